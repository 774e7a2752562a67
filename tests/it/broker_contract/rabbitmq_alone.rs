//! What only RabbitMQ can do wrong: declarations, routes, log-ins; and its clients for operators.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use hongbaod::adapters::rabbitmq::client::{Acknowledged, EventStream, Producer};
use hongbaod::adapters::rabbitmq::{
    ConnectError, ObjectState, RabbitmqBroker, RabbitmqOptions, TopologyError, check_topology,
};
use hongbaod::domain::job::Kind;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{Broker, Epitaph, PublishError, Settlement};
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};
use secrecy::SecretString;
use tokio::time::timeout;

use super::clock::{NoChance, RuntimeClock};
use super::rabbitmq::{Bystander, connect, options};
use super::world::{PATIENCE, arrival, body, event, eventually, job};
use crate::servers::{amqp_url, unique_prefix};

/// A prefix of the test's own on the tests' broker.
async fn start(topic: &str) -> (RabbitmqOptions, Bystander) {
    let options = options(&amqp_url(), &unique_prefix(topic));
    (options, Bystander::connect(&amqp_url()).await)
}

async fn refusal(options: RabbitmqOptions) -> ConnectError {
    let broker = RabbitmqBroker::connect(
        options,
        RuntimeClock::shared(),
        std::sync::Arc::new(NoChance),
    );
    match timeout(PATIENCE, broker).await.unwrap() {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}

fn epitaph() -> Epitaph {
    Epitaph {
        reason: "invalid",
        detail: "no reason".to_owned(),
        at: UnixMillis(0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_declared_otherwise_is_named_with_its_argument() {
    let (first, bystander) = start("mismatch").await;
    connect(first.clone()).await.close().await;
    let second = RabbitmqOptions {
        delivery_limit: NonZeroU32::new(7).unwrap(),
        ..first.clone()
    };
    let error = refusal(second.clone()).await;
    let ConnectError::Topology(TopologyError::Mismatch { name, argument, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*name, format!("{}.jobs.disburse", first.prefix));
    assert_eq!(argument, "x-delivery-limit");

    let statuses = check_topology(&second).await.unwrap();
    for status in &statuses {
        let is_job_queue = status.name.contains(".jobs.");
        let mismatch = matches!(&status.state, ObjectState::Mismatch { argument, .. }
            if argument == "x-delivery-limit");
        assert_eq!(mismatch, is_job_queue, "{status:?}");
    }
    bystander.demolish(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checking_finds_what_is_missing_and_declares_nothing() {
    let (options, bystander) = start("check").await;
    for _ in 0..2 {
        let statuses = check_topology(&options).await.unwrap();
        assert!(
            statuses
                .iter()
                .all(|status| status.state == ObjectState::Missing)
        );
    }
    connect(options.clone()).await.close().await;
    let statuses = check_topology(&options).await.unwrap();
    assert!(
        statuses
            .iter()
            .all(|status| status.state == ObjectState::Ok)
    );
    bystander
        .delete_queue(&format!("{}.dead", options.prefix))
        .await;
    let statuses = check_topology(&options).await.unwrap();
    let missing: Vec<_> = statuses
        .iter()
        .filter(|status| status.state != ObjectState::Ok)
        .map(|status| status.name.clone())
        .collect();
    assert_eq!(missing, [format!("{}.dead", options.prefix)]);
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_queue_is_unroutable_and_all_others_are_not() {
    let (options, bystander) = start("unroutable").await;
    let broker = connect(options.clone()).await;
    bystander
        .delete_queue(&format!("{}.dead", options.prefix))
        .await;
    // All under way together: a returned message must not be taken for another's.
    let (copy, epitaph) = (job(Kind::Pay, "x"), epitaph());
    let buried = join_all((0..200).map(|_| broker.bury(&copy, &epitaph)));
    let events: Vec<_> = (0..200)
        .map(|number| event(&format!("e-{number}")))
        .collect();
    let published = join_all(events.iter().map(|event| broker.publish_event(event)));
    let (buried, published) = tokio::join!(buried, published);
    for result in buried {
        let Err(PublishError::Unroutable { exchange, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(exchange, format!("{}.dead", options.prefix));
    }
    assert!(published.iter().all(Result::is_ok), "{published:?}");
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_subscriber_is_kept_in_the_unrouted_queue() {
    let (options, bystander) = start("unrouted").await;
    let options = RabbitmqOptions {
        unrouted_max: NonZeroU32::new(2).unwrap(),
        ..options
    };
    let broker = connect(options.clone()).await;
    for number in 0..5 {
        broker
            .publish_event(&event(&format!("e-{number}")))
            .await
            .unwrap();
    }
    let queue = format!("{}.outcomes.unrouted", options.prefix);
    let channel = bystander.channel().await;
    let mut ids = Vec::new();
    while let Some(message) = channel
        .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap()
    {
        ids.push(
            message
                .delivery
                .properties
                .message_id()
                .clone()
                .unwrap()
                .to_string(),
        );
    }
    assert_eq!(ids, ["e-3", "e-4"], "the newest two");
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_delivered_too_often_is_dead_lettered_by_the_broker() {
    let (options, bystander) = start("limit").await;
    let options = RabbitmqOptions {
        delivery_limit: NonZeroU32::new(2).unwrap(),
        ..options
    };
    let broker = connect(options.clone()).await;
    broker.publish_job(&job(Kind::Pay, "poison")).await.unwrap();
    for _ in 0..3 {
        let delivery = arrival(&*broker, Kind::Pay).await;
        assert_eq!(broker.hand_back(&delivery.tag).await, Settlement::Sent);
    }
    let queue = format!("{}.dead", options.prefix);
    let channel = bystander.channel().await;
    eventually("the dead letter", async || {
        channel
            .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
            .await
            .unwrap()
            .is_some_and(|message| message.delivery.data == b"poison")
    })
    .await;
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_queue_was_deleted_is_replaced() {
    let (options, bystander) = start("deleted").await;
    let broker = connect(options.clone()).await;
    broker.publish_job(&job(Kind::Pay, "gone")).await.unwrap();
    let held = arrival(&*broker, Kind::Pay).await;
    bystander
        .delete_queue(&format!("{}.jobs.pay", options.prefix))
        .await;
    eventually("the channel is replaced", async || !broker.holds(&held.tag)).await;
    assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
    // Unroutable until the queue is declared again.
    eventually("a job is accepted", async || {
        broker.publish_job(&job(Kind::Pay, "new")).await.is_ok()
    })
    .await;
    let delivery = arrival(&*broker, Kind::Pay).await;
    assert_eq!(body(&delivery), "new");
    assert!(delivery.tag.channel > held.tag.channel);
    assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_not_getting_in_has_its_own_error() {
    let url = amqp_url();
    let (_, place) = url.split_once('@').unwrap();
    let host = place.split('/').next().unwrap();
    let login = refusal(options(&format!("amqp://guest:pa55@{place}"), "in")).await;
    assert!(matches!(login, ConnectError::Login { .. }), "{login:?}");
    assert!(!format!("{login:?} {login}").contains("pa55"));
    let vhost = refusal(options(&format!("amqp://guest:guest@{host}/nowhere"), "in")).await;
    let ConnectError::VirtualHost { vhost: name, .. } = &vhost else {
        panic!("{vhost:?}");
    };
    assert_eq!(name, "nowhere");
    // Port 9 is "discard", which nobody serves here.
    let nobody = "amqp://guest:guest@127.0.0.1:9/%2f";
    let unreachable = refusal(options(nobody, "in")).await;
    let ConnectError::Unreachable { endpoint, .. } = &unreachable else {
        panic!("{unreachable:?}");
    };
    assert_eq!(endpoint, "127.0.0.1:9");
    // What can be repaired is told before what may pass by itself.
    let mut both = options(&format!("amqp://guest:pa55@{place}"), "in");
    both.urls.push(SecretString::from(nobody));
    assert!(matches!(refusal(both).await, ConnectError::Login { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_address_is_tried_when_one_is_down() {
    let (mut options, bystander) = start("second").await;
    options
        .urls
        .insert(0, SecretString::from("amqp://guest:guest@127.0.0.1:9/%2f"));
    let broker = connect(options.clone()).await;
    broker.publish_event(&event("e-1")).await.unwrap();
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_submits_and_a_watcher_sees_the_outcomes() {
    const JOBS: usize = 1_000;
    let (options, bystander) = start("clients").await;
    let missing = Producer::connect(&options).await;
    assert!(
        matches!(missing.err(), Some(ConnectError::Topology(_))),
        "nothing was declared yet"
    );

    let broker = connect(options.clone()).await;
    // More than a watcher is sent ahead of what it acknowledges, if it does.
    let watch = |acknowledged| EventStream::connect(&options, "disburse.#", acknowledged);
    let watchers = [
        watch(Acknowledged::Each).await.unwrap(),
        watch(Acknowledged::Nothing).await.unwrap(),
    ];
    let producer = Producer::connect(&options).await.unwrap();
    let copies: Vec<_> = (0..JOBS)
        .map(|number| job(Kind::Disburse, &number.to_string()))
        .collect();
    let submitted = join_all(copies.iter().map(|copy| producer.publish(copy))).await;
    assert!(submitted.iter().all(Result::is_ok));
    producer.close().await;

    let mut numbers = Vec::new();
    for _ in 0..JOBS {
        let delivery = arrival(&*broker, Kind::Disburse).await;
        numbers.push(body(&delivery).parse::<usize>().unwrap());
        broker.publish_event(&event(body(&delivery))).await.unwrap();
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..JOBS), "each once");
    for mut watcher in watchers {
        let mut bodies = HashSet::new();
        for _ in 0..JOBS {
            let seen = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
            assert_eq!(seen.routing_key, "disburse.succeeded");
            bodies.insert(seen.body);
        }
        assert_eq!(bodies.len(), JOBS);
        watcher.close().await;
    }
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_long_delay_takes_the_longest_rung() {
    let (options, bystander) = start("rungs").await;
    let broker = connect(options.clone()).await;
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    broker
        .publish_later(&job(Kind::Pay, "x"), week)
        .await
        .unwrap();
    let channel = bystander.channel().await;
    let queue = format!("{}.retry.1d", options.prefix);
    let message = channel
        .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap();
    assert_eq!(message.unwrap().delivery.routing_key.as_str(), "pay");
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_reply_to_address_gets_its_reply() {
    let (options, bystander) = start("direct").await;
    let broker = connect(options.clone()).await;
    let channel = bystander.channel().await;
    let consume = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let pseudo_queue = "amq.rabbitmq.reply-to";
    let mut replies = channel
        .basic_consume(
            pseudo_queue.into(),
            ShortString::default(),
            consume,
            FieldTable::default(),
        )
        .await
        .unwrap();
    channel
        .basic_publish(
            format!("{}.jobs", options.prefix).into(),
            "query".into(),
            BasicPublishOptions::default(),
            b"question",
            BasicProperties::default().with_reply_to(pseudo_queue.into()),
        )
        .await
        .unwrap();
    let delivery = arrival(&*broker, Kind::Query).await;
    let answer = event("e-1");
    broker
        .publish_reply(&answer, &delivery.return_address)
        .await
        .unwrap();
    let reply = timeout(PATIENCE, replies.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(reply.data, answer.body);
    broker.close().await;
    bystander.demolish(&options).await;
}
