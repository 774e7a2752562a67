//! Faults of a real RabbitMQ: killed, cut, frozen, short of memory. Each on a node of its own.

use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::rabbitmq::{RabbitmqBroker, RabbitmqOptions};
use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::{Broker, PublishError, Settlement};
use hongbaod::ports::ledger::Connection;

use super::rabbitmq::{connect, options, up};
use super::world::{arrival, body, event, job, nothing_arrives};
use crate::clocks::elapsed;
use crate::patience::eventually;
use crate::rabbitmq_server::RabbitmqServer;

/// Jobs that wait while the broker fails.
const JOBS: usize = 20;

/// How long a confirm may take in these tests: long enough for a busy machine.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

async fn options_of(node: &RabbitmqServer) -> RabbitmqOptions {
    RabbitmqOptions {
        confirm_timeout: CONFIRM_TIMEOUT,
        ..options(&node.url().await, "faults")
    }
}

async fn down(broker: &RabbitmqBroker) {
    eventually("the broker is down", async || {
        broker.connection() == Connection::Down
    })
    .await;
}

async fn publish_jobs(broker: &RabbitmqBroker) {
    for number in 0..JOBS {
        broker
            .publish_job(&job(Kind::Pay, &number.to_string()))
            .await
            .unwrap();
    }
}

/// Takes every job that waits and acknowledges it.
async fn take_jobs(broker: &RabbitmqBroker) {
    let mut numbers = Vec::new();
    for _ in 0..JOBS {
        let delivery = arrival(broker, Kind::Pay).await;
        numbers.push(body(&delivery).parse::<usize>().unwrap());
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..JOBS), "{numbers:?}");
}

async fn expect_unavailable(broker: &RabbitmqBroker) {
    let refused = broker.publish_event(&event("e-1")).await;
    assert!(
        matches!(refused, Err(PublishError::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_comes_back_with_every_confirmed_job() {
    let node = RabbitmqServer::start().await;
    let broker = connect(options_of(&node).await).await;
    publish_jobs(&broker).await;
    broker
        .publish_job(&job(Kind::Refund, "held"))
        .await
        .unwrap();
    let held = arrival(&*broker, Kind::Refund).await;
    node.votes_written().await;

    node.run(&["kill9-rabbitmq"]).await;
    down(&broker).await;
    assert!(!broker.holds(&held.tag));
    assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
    assert_eq!(broker.hand_back(&held.tag).await, Settlement::Lost);
    // At once, not after the confirm's timeout, with which these would take a minute.
    let waited = elapsed(async {
        for _ in 0..20 {
            expect_unavailable(&broker).await;
        }
    })
    .await;
    assert!(waited < CONFIRM_TIMEOUT * 10, "{waited:?}");
    assert_eq!(broker.waiting(Kind::Pay).await, None);

    node.run(&["restart-rabbitmq"]).await;
    up(&broker).await;
    let again = arrival(&*broker, Kind::Refund).await;
    assert!(again.redelivered && again.tag.channel > held.tag.channel);
    assert_eq!(broker.ack(&again.tag).await, Settlement::Sent);
    take_jobs(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_are_opened_again() {
    let node = RabbitmqServer::start().await;
    let broker = connect(options_of(&node).await).await;
    for _ in 0..3 {
        publish_jobs(&broker).await;
        let held = arrival(&*broker, Kind::Pay).await;
        node.run(&["ctl", "close_all_connections", "for a test"])
            .await;
        eventually("the tag is stale", async || !broker.holds(&held.tag)).await;
        assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
        up(&broker).await;
        take_jobs(&broker).await;
        broker.publish_event(&event("e-1")).await.unwrap();
    }
    broker.pause().await;
    node.run(&["ctl", "close_all_connections", "for a test"])
        .await;
    down(&broker).await;
    up(&broker).await;
    broker.publish_job(&job(Kind::Pay, "paused")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.resume().await;
    assert_eq!(body(&arrival(&*broker, Kind::Pay).await), "paused");
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_takes_no_messages_but_still_acknowledgements() {
    let node = RabbitmqServer::start().await;
    let broker = connect(options_of(&node).await).await;
    publish_jobs(&broker).await;
    node.run(&["ctl", "set_vm_memory_high_watermark", "0.00001"])
        .await;
    let waited = elapsed(expect_unavailable(&broker)).await;
    assert!(
        waited >= CONFIRM_TIMEOUT && waited < CONFIRM_TIMEOUT * 10,
        "{waited:?}"
    );
    expect_unavailable(&broker).await;
    assert_eq!(broker.connection(), Connection::Down);
    // More than the prefetch: only an acknowledgement that arrived makes room for the next.
    take_jobs(&broker).await;

    node.run(&["ctl", "set_vm_memory_high_watermark", "absolute", "1GB"])
        .await;
    up(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_noticed_by_its_silence() {
    let node = RabbitmqServer::start().await;
    let broker: Arc<RabbitmqBroker> = connect(options_of(&node).await).await;
    publish_jobs(&broker).await;
    let held = arrival(&*broker, Kind::Pay).await;
    node.run(&["stall-rabbitmq"]).await;
    expect_unavailable(&broker).await;
    down(&broker).await;
    eventually("the tag is stale", async || !broker.holds(&held.tag)).await;
    node.run(&["resume-rabbitmq"]).await;
    up(&broker).await;
    take_jobs(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    broker.close().await;
}
