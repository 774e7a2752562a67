//! Redis has no memory left and refuses every write, as it must with `noeviction`.

use redis::aio::MultiplexedConnection;

use crate::daemon::agreement::{FAULTS, SHAPE};
use crate::daemon::plan::{Dice, Plan};
use crate::daemon::process::Stream;
use crate::daemon::world::{World, WorldOptions, events};
use crate::patience::eventually;
use crate::redis_server::RedisServer;
use crate::servers::amqp_url;

/// What the ledger may have beside what the server needs for itself, in bytes.
const ROOM: u64 = 4 << 20;

/// How many more writes must be refused before the books are looked at.
const REFUSALS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_makes_the_daemon_unready_and_nothing_is_paid_without_a_claim() {
    let redis = RedisServer::start(&["--appendonly", "yes"]);
    let mut connection = redis.connection().await;
    let options = WorldOptions {
        amqp: amqp_url(),
        redis: redis.url(),
        sandbox: &["--delay", "20ms"],
        settings: &[],
    };
    let world = World::start("full-redis", options).await;
    world.set_faults(FAULTS).await;
    let mut dice = Dice::new(13);
    let plan = Plan::draw(SHAPE, &mut dice);
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let limit = info(&mut connection, "memory", "used_memory:").await + ROOM;
    set_limit(&mut connection, limit).await;
    world.submit_plan(&plan).await;
    events(&subscriber, 20 + dice.below(60)).await;

    fill(&mut connection).await;
    // Buffers that come and go must not make room again.
    set_limit(&mut connection, limit - ROOM / 2).await;
    let refused = info(&mut connection, "errorstats", "errorstat_OOM:count=").await;
    daemon.unready("redis").await;
    assert_eq!(daemon.count("hongbaod_ledger_connected", "").await, 0);
    let told = subscriber.count();
    assert!(told < plan.outcomes(), "it was filled after the work");
    let tried = connection.clone();
    eventually("more refusals", async || {
        let counted = info(&mut tried.clone(), "errorstats", "errorstat_OOM:count=").await;
        counted >= refused + REFUSALS
    })
    .await;
    for number in paid(&world).await {
        let entry = format!("{}:{{main:{number}}}", world.prefix);
        let mut exists = redis::cmd("EXISTS");
        let claimed: bool = exists
            .arg(entry)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert!(claimed, "{number} was paid without a claim");
    }
    assert_eq!(daemon.page("/readyz").await.0, 503, "it is still full");

    let mut give_back = redis::cmd("DEL");
    give_back
        .arg("ballast")
        .exec_async(&mut connection)
        .await
        .unwrap();
    daemon.ready().await;
    let process = &daemon.process;
    process.line(Stream::Stderr, "jobs are taken again").await;
    assert_eq!(daemon.count("hongbaod_ledger_connected", "").await, 1);
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

/// The numbers under which the bank has moved money.
async fn paid(world: &World) -> Vec<String> {
    let operations = world.sandbox("operations").await;
    let operations = operations.as_array().unwrap().iter();
    let paid = operations.filter(|made| made["kind"] == "disburse" && made["status"] == "SUCCESS");
    let numbers = paid.map(|made| made["out_request_no"].as_str().unwrap().to_owned());
    numbers.collect()
}

async fn set_limit(redis: &mut MultiplexedConnection, bytes: u64) {
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(bytes);
    set.exec_async(redis).await.unwrap();
}

/// Writes until the server refuses, into one list.
async fn fill(redis: &mut MultiplexedConnection) {
    let block = "x".repeat(1 << 14);
    loop {
        let mut push = redis::cmd("RPUSH");
        push.arg("ballast").arg(&block);
        if let Err(error) = push.exec_async(redis).await {
            assert_eq!(error.code(), Some("OOM"), "{error}");
            return;
        }
    }
}

/// The number after `name` in a section of INFO; 0 where it is not told.
async fn info(redis: &mut MultiplexedConnection, section: &str, name: &str) -> u64 {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg(section).query_async(redis).await.unwrap();
    let rest = info.lines().find_map(|line| line.strip_prefix(name));
    rest.map_or(0, |rest| rest.parse().unwrap())
}
