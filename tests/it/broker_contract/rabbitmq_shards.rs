//! Shards: of the configuration, and those that it has left behind.

use std::num::NonZeroU8;

use hongbaod::adapters::rabbitmq::{ObjectState, RabbitmqOptions, check_topology};
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::{Lane, Shards};
use hongbaod::ports::broker::{Broker, Settlement};
use hongbaod::ports::ledger::Connection;
use tokio::time::timeout;

use super::rabbitmq::{Bystander, connect, options};
use super::world::{DELAY_MIN, PATIENCE, arrival, body, eventually, job, nothing_arrives};
use crate::servers::{amqp_url, unique_prefix};

fn sharded(options: &RabbitmqOptions, disburse: u8) -> RabbitmqOptions {
    RabbitmqOptions {
        shards: Shards {
            disburse: NonZeroU8::new(disburse).unwrap(),
            ..Shards::default()
        },
        ..options.clone()
    }
}

fn shard(number: u8) -> Lane {
    Lane::shard(Kind::Disburse, number)
}

/// Takes the next job of a shard, and acknowledges it.
async fn take(broker: &dyn Broker, number: u8) -> String {
    let delivery = arrival(broker, shard(number)).await;
    assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    body(&delivery).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_not_configured_any_more_is_emptied_and_its_copies_go_home() {
    let options = options(&amqp_url(), &unique_prefix("shards"));
    let bystander = Bystander::connect(&amqp_url()).await;
    let four = connect(sharded(&options, 4)).await;
    four.pause().await;
    for number in 0..4 {
        let sent = job(Kind::Disburse, &format!("in {number}")).in_lane(shard(number));
        four.publish_job(&sent).await.unwrap();
    }
    let waits = job(Kind::Disburse, "in the ladder").in_lane(shard(3));
    four.publish_later(&waits, DELAY_MIN * 4).await.unwrap();
    assert_eq!(four.lanes(), Lane::all(sharded(&options, 4).shards));
    four.close().await;

    let two = connect(sharded(&options, 2)).await;
    let lanes = two.lanes();
    assert!(lanes.ends_with(&[shard(2), shard(3)]), "{lanes:?}");
    for number in 0..4 {
        assert_eq!(take(&*two, number).await, format!("in {number}"));
    }
    assert_eq!(take(&*two, 3).await, "in the ladder");
    // What is put off from now on comes back to the first shard.
    let copy = job(Kind::Disburse, "home").in_lane(shard(3));
    two.publish_later(&copy, DELAY_MIN).await.unwrap();
    assert_eq!(take(&*two, 0).await, "home");
    two.close().await;

    // More of them again: the ones that were left behind, and one that is new.
    let five = connect(sharded(&options, 5)).await;
    for number in 0..5 {
        let sent = job(Kind::Disburse, &format!("again {number}")).in_lane(shard(number));
        five.publish_job(&sent).await.unwrap();
        assert_eq!(take(&*five, number).await, format!("again {number}"));
    }
    five.close().await;
    bystander.demolish(&sharded(&options, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deleted_queue_of_a_shard_left_behind_stays_deleted_and_holds_nobody_up() {
    let options = options(&amqp_url(), &unique_prefix("retired"));
    let bystander = Bystander::connect(&amqp_url()).await;
    connect(sharded(&options, 3)).await.close().await;
    let one = connect(options.clone()).await;
    assert!(one.lanes().contains(&shard(2)));
    for number in [2, 1] {
        let queue = format!("{}.jobs.disburse.{number}", options.prefix);
        bystander.delete_queue(&queue).await;
    }
    // Both consumers have noticed once the rest can be counted again.
    eventually("the others go on", async || {
        one.connection() == Connection::Up && one.waiting(Kind::Disburse).await == Some(0)
    })
    .await;
    one.publish_job(&job(Kind::Disburse, "on")).await.unwrap();
    assert_eq!(take(&*one, 0).await, "on");
    nothing_arrives(&*one, shard(2)).await;
    let there = check_topology(&sharded(&options, 3)).await.unwrap();
    let missing = there
        .iter()
        .filter(|status| status.name.contains("disburse."));
    let missing = missing.filter(|status| status.state != ObjectState::Ok);
    assert_eq!(missing.count(), 2);
    one.stop().await;
    let ended = timeout(PATIENCE, one.next(shard(2))).await.unwrap();
    assert!(ended.is_none());
    one.close().await;
    let again = connect(options.clone()).await;
    assert_eq!(again.lanes(), Lane::all(Shards::default()));
    again.close().await;
    bystander.demolish(&options).await;
}
