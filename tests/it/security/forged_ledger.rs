//! Somebody who can write into Redis: what is deleted or damaged there pays nobody twice and fails
//! nobody; what is put there as settled is believed, which `docs/security.md` says.

use redis::AsyncCommands as _;

use crate::daemon::broker;
use crate::daemon::world::{World, WorldOptions, events};
use crate::patience::eventually;
use crate::redis_server::RedisServer;

fn job(number: &str) -> Vec<u8> {
    format!(
        r#"{{"kind":"disburse","out_request_no":"{number}","out_order_no":"{number}","deduct_out_order_no":"PACKET-1","order_title":"t","amount":"1.00","payee_user_id":"2088101000000002"}}"#
    )
    .into_bytes()
}

async fn world(redis: &RedisServer) -> World {
    let options = WorldOptions {
        redis: redis.url(),
        ..WorldOptions::default()
    };
    World::start("forged-ledger", options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_deleted_or_damaged_lets_nothing_be_paid_twice() {
    let server = RedisServer::start(&[]);
    let world = world(&server).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let mut redis = server.connection().await;
    for idempotency in ["replay", "already_used"] {
        world
            .set_faults(&format!(r#"{{"idempotency": "{idempotency}"}}"#))
            .await;
        let number = format!("D-{idempotency}");
        let key = format!("{}:{{main:{number}}}", world.prefix);
        for _ in 0..3 {
            let before = subscriber.count();
            broker::publish(&world.amqp, &world.prefix, &[job(&number)]).await;
            events(&subscriber, before + 1).await;
            let deleted: u32 = redis.del(&key).await.unwrap();
            assert_eq!(deleted, 1, "{key}");
        }
    }
    // What is no entry, and what another program may have put there.
    for (index, value) in [&b"garbage"[..], b"", &[0xff; 300]].into_iter().enumerate() {
        let number = format!("G{index}");
        let key = format!("{}:{{main:{number}}}", world.prefix);
        let _: () = redis.set(&key, value).await.unwrap();
        broker::publish(&world.amqp, &world.prefix, &[job(&number)]).await;
    }
    eventually("the unreadable ones wait for somebody", async || {
        let reason = "\"unreadable\"";
        daemon.count("hongbaod_deferrals_total", reason).await >= 3
    })
    .await;
    let dead = [format!("{}.dead", world.prefix)];
    assert_eq!(broker::counts(&world.amqp, &dead).await.unwrap(), [0]);
    for event in subscriber.events() {
        assert_eq!(event["data"]["result"], "succeeded", "{event}");
    }
    let books = world.sandbox("books").await;
    assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
    assert_eq!(books["movements"]["disburse"], 2, "{books}");
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.demolish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_jobs_outcome_under_a_number_is_a_conflict_and_never_that_jobs_outcome() {
    let server = RedisServer::start(&[]);
    let world = world(&server).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let mut redis = server.connection().await;
    broker::publish(&world.amqp, &world.prefix, &[job("S1")]).await;
    events(&subscriber, 1).await;
    let key = |number: &str| format!("{}:{{main:{number}}}", world.prefix);
    let settled: Vec<u8> = redis.get(key("S1")).await.unwrap();
    let _: () = redis.set(key("S2"), settled).await.unwrap();
    broker::publish(&world.amqp, &world.prefix, &[job("S2")]).await;
    events(&subscriber, 2).await;
    let event = subscriber.events().remove(1);
    assert_eq!(event["data"]["out_request_no"], "S2", "{event}");
    assert_eq!(event["data"]["result"], "rejected", "{event}");
    assert_eq!(event["data"]["reason"], "conflict", "{event}");
    let books = world.sandbox("books").await;
    assert_eq!(books["movements"]["disburse"], 1, "{books}");
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.demolish().await;
}
