//! Consumers, confirms, exchanges and queues that are lost while the connections stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use hongbaod::adapters::rabbitmq::{
    ObjectKind, ObjectState, RabbitmqBroker, RabbitmqOptions, check_topology,
};
use hongbaod::domain::job::Kind;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::broker::{Broker, Delivery, Epitaph, PublishError, Settlement};
use hongbaod::ports::clock::Clock;
use lapin::options::{BasicGetOptions, ExchangeDeleteOptions};

use super::clock::NoChance;
use super::rabbitmq::{Bystander, connect, options, up};
use super::world::{DELAY_MIN, PREFETCH, QUIET, arrival, body, event, job, nothing_arrives};
use crate::clocks::{HastyClock, ScaledClock, elapsed};
use crate::patience::{eventually, pause};
use crate::proxy::{Mode, Proxy};
use crate::rabbitmq_server::RabbitmqServer;
use crate::servers::{amqp_url, unique_prefix};

/// Long enough for three looks at a queue and the replacement, on a machine that is busy.
const SECONDS: Duration = Duration::from_secs(20);

pub(super) async fn connect_by(
    clock: Arc<dyn Clock>,
    options: RabbitmqOptions,
) -> Arc<RabbitmqBroker> {
    let broker = RabbitmqBroker::connect(options, clock, Arc::new(NoChance)).await;
    let broker = Arc::new(broker.unwrap());
    up(&broker).await;
    broker
}

/// Takes one consumer out of the queue of pay jobs, and tells neither its channel nor its client.
const FORGET: &[&str] = &[
    "ctl",
    "eval",
    r#"{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"lost.jobs.pay">>)),
    Leader = amqqueue:get_pid(Q),
    {ok, {_, Consumers}, _} = ra:leader_query(Leader, fun rabbit_fifo:query_consumers/1),
    [Id | _] = maps:keys(Consumers),
    {ok, ok, _} = ra:process_command(Leader, rabbit_fifo:make_checkout(Id, cancel, #{}))."#,
];

/// Lets the channel of a consumer of pay jobs do nothing any more.
const SUSPEND_CHANNEL: &[&str] = &[
    "ctl",
    "eval",
    r#"{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"lost.jobs.pay">>)),
    {ok, {_, Consumers}, _} =
        ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_consumers/1),
    [{_, Channel} | _] = maps:keys(Consumers),
    sys:suspend(Channel)."#,
];

/// Lets the leader of the queue of pay jobs do nothing for a while.
const SUSPEND_LEADER: &[&str] = &[
    "ctl",
    "eval",
    r#"{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"lost.jobs.pay">>)),
    {Leader, _} = amqqueue:get_pid(Q),
    sys:suspend(Leader)."#,
];

const RESUME_LEADER: &[&str] = &[
    "ctl",
    "eval",
    r#"{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"lost.jobs.pay">>)),
    {Leader, _} = amqqueue:get_pid(Q),
    sys:resume(Leader)."#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_lost_without_a_word_is_replaced() {
    let node = RabbitmqServer::start().await;
    let options = options(&node.url().await, "lost");
    let broker = connect(options.clone()).await;
    a_leader_that_is_away_does_not_make_its_queue_empty(&node, &broker).await;
    a_lone_consumer_is_replaced_within_seconds(&node, &broker).await;
    one_of_two_consumers_is_replaced_within_seconds(&node, &broker, options).await;
    a_channel_that_does_not_answer_gives_back_what_it_holds(&node, &broker).await;
    broker.close().await;
}

async fn a_leader_that_is_away_does_not_make_its_queue_empty(
    node: &RabbitmqServer,
    broker: &RabbitmqBroker,
) {
    eventually("an empty queue", async || {
        broker.waiting(Kind::Pay).await == Some(0)
    })
    .await;
    node.run(SUSPEND_LEADER).await;
    let waiting = broker.waiting(Kind::Pay).await;
    node.run(RESUME_LEADER).await;
    assert_eq!(waiting, None);
}

async fn a_lone_consumer_is_replaced_within_seconds(
    node: &RabbitmqServer,
    broker: &RabbitmqBroker,
) {
    node.run(FORGET).await;
    let took = elapsed(async {
        broker.publish_job(&job(Kind::Pay, "alone")).await.unwrap();
        let delivery = arrival(broker, Kind::Pay).await;
        assert_eq!(body(&delivery), "alone");
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    })
    .await;
    assert!(took < SECONDS, "{took:?}");
}

async fn one_of_two_consumers_is_replaced_within_seconds(
    node: &RabbitmqServer,
    broker: &RabbitmqBroker,
    options: RabbitmqOptions,
) {
    let other = connect(options).await;
    node.run(FORGET).await;
    let took = elapsed(async {
        for number in 0..2 * PREFETCH {
            let job = job(Kind::Pay, &number.to_string());
            broker.publish_job(&job).await.unwrap();
        }
        // The other one's prefetch holds half of them; the rest is for whom was forgotten.
        let (ours, theirs) = tokio::join!(take(broker), take(&other));
        for delivery in &ours {
            assert!(broker.holds(&delivery.tag), "it was replaced in vain");
            assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
        }
        for delivery in &theirs {
            assert!(other.holds(&delivery.tag), "it was replaced in vain");
            assert_eq!(other.ack(&delivery.tag).await, Settlement::Sent);
        }
    })
    .await;
    assert!(took < SECONDS, "{took:?}");
    other.close().await;
}

/// As many deliveries as the prefetch allows.
async fn take(broker: &RabbitmqBroker) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..PREFETCH {
        deliveries.push(arrival(broker, Kind::Pay).await);
    }
    deliveries
}

async fn a_channel_that_does_not_answer_gives_back_what_it_holds(
    node: &RabbitmqServer,
    broker: &RabbitmqBroker,
) {
    node.run(SUSPEND_CHANNEL).await;
    broker.publish_job(&job(Kind::Pay, "stuck")).await.unwrap();
    let delivery = arrival(broker, Kind::Pay).await;
    assert_eq!(body(&delivery), "stuck");
    assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_rests_is_idle_or_is_full_is_left_alone() {
    let bystander = Bystander::connect(&amqp_url()).await;
    let options = options(&amqp_url(), &unique_prefix("calm"));
    // About ten looks in this time.
    let looks = Duration::from_secs(2);
    let broker = connect_by(ScaledClock::new(100), options.clone()).await;
    broker.publish_job(&job(Kind::Pay, "first")).await.unwrap();
    let first = arrival(&*broker, Kind::Pay).await;
    assert_eq!(broker.ack(&first.tag).await, Settlement::Sent);

    pause(looks).await;
    for number in 0..2 * PREFETCH {
        let job = job(Kind::Pay, &number.to_string());
        broker.publish_job(&job).await.unwrap();
    }
    let held = take(&broker).await;
    pause(looks).await;
    broker.pause().await;
    pause(looks).await;
    broker.resume().await;
    pause(looks).await;
    for delivery in held {
        assert_eq!(delivery.tag.channel, first.tag.channel, "it was replaced");
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    for delivery in take(&broker).await {
        assert_eq!(delivery.tag.channel, first.tag.channel, "it was replaced");
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    broker.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_that_never_comes_is_a_maybe_in_bounded_time() {
    const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
    let bystander = Bystander::connect(&amqp_url()).await;
    let proxy = Proxy::before(&amqp_url());
    let options = RabbitmqOptions {
        confirm_timeout: CONFIRM_TIMEOUT,
        heartbeat: Duration::from_secs(60),
        ..options(&proxy.url(&amqp_url()), &unique_prefix("confirm"))
    };
    let broker = connect(options.clone()).await;
    let day = Duration::from_secs(24 * 60 * 60);
    // Its channel is open: only the confirm can be missed.
    let before = job(Kind::Pay, "before");
    broker.publish_later(&before, day).await.unwrap();
    proxy.set(Mode::Mute);
    let copy = job(Kind::Pay, "mute");
    let took = elapsed(async {
        let published = join_all((0..50).map(|_| broker.publish_later(&copy, day))).await;
        for result in published {
            let Err(PublishError::Unavailable(source)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(source.to_string(), "no answer within 3s");
        }
    })
    .await;
    assert!(
        // Not one after the other, which would take fifty.
        took >= CONFIRM_TIMEOUT && took < CONFIRM_TIMEOUT * 20,
        "{took:?}"
    );

    // Each of the maybes was a yes, and what comes after is heard again.
    proxy.set(Mode::Pass);
    let after = job(Kind::Pay, "after");
    broker.publish_later(&after, day).await.unwrap();
    let channel = bystander.channel().await;
    let queue = format!("{}.retry.1d", options.prefix);
    let mut bodies = Vec::new();
    while let Some(message) = channel
        .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap()
    {
        bodies.push(String::from_utf8(message.delivery.data).unwrap());
    }
    let count = |body: &str| bodies.iter().filter(|each| *each == body).count();
    assert_eq!(
        (count("before"), count("mute"), count("after")),
        (1, 50, 1),
        "{bodies:?}"
    );
    broker.close().await;
    bystander.demolish(&options).await;
}

async fn delete(bystander: &Bystander, object: ObjectKind, name: &str) {
    match object {
        ObjectKind::Exchange => {
            let channel = bystander.channel().await;
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(name.into(), options).await.unwrap();
        }
        ObjectKind::Queue => bystander.delete_queue(name).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_deleted_while_nothing_is_published_is_declared_again() {
    let bystander = Bystander::connect(&amqp_url()).await;
    let options = options(&amqp_url(), &unique_prefix("mended"));
    let broker = connect_by(Arc::new(HastyClock::default()), options.clone()).await;
    let objects = check_topology(&options).await.unwrap();
    assert!(objects.len() > 15, "{objects:?}");
    for object in &objects {
        delete(&bystander, object.object, &object.name).await;
        eventually("everything is there", async || {
            let statuses = check_topology(&options).await.unwrap();
            statuses
                .iter()
                .all(|status| status.state == ObjectState::Ok)
        })
        .await;
    }
    up(&broker).await;
    everything_flows(&broker).await;
    broker.close().await;
    bystander.demolish(&options).await;
}

/// Each way of publishing arrives: at once, after a while, outside, and in the grave.
async fn everything_flows(broker: &RabbitmqBroker) {
    for kind in Kind::ALL {
        broker.publish_job(&job(kind, "now")).await.unwrap();
        let later = job(kind, "later");
        broker.publish_later(&later, DELAY_MIN).await.unwrap();
        for _ in 0..2 {
            let delivery = arrival(broker, kind).await;
            assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
        }
    }
    broker.publish_event(&event("e-1")).await.unwrap();
    let epitaph = Epitaph {
        reason: "invalid",
        detail: "no reason".to_owned(),
        at: UnixMillis(0),
    };
    broker.bury(&job(Kind::Pay, "x"), &epitaph).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_finds_no_way_has_one_made_at_once() {
    let bystander = Bystander::connect(&amqp_url()).await;
    for object in [ObjectKind::Queue, ObjectKind::Exchange] {
        let options = options(&amqp_url(), &unique_prefix("no-way"));
        // The looks at the topology are nearly a minute apart.
        let broker = connect_by(ScaledClock::new(10_000), options.clone()).await;
        let copy = job(Kind::Pay, "x");
        broker.publish_later(&copy, DELAY_MIN).await.unwrap();
        assert_eq!(body(&arrival(&*broker, Kind::Pay).await), "x");
        delete(
            &bystander,
            object,
            &format!("{}.retry.100ms", options.prefix),
        )
        .await;
        let took = elapsed(async {
            let lost = broker.publish_later(&copy, DELAY_MIN).await;
            assert!(
                matches!(lost, Err(PublishError::Unroutable { .. })),
                "{lost:?}"
            );
            eventually("a way", async || {
                broker.publish_later(&copy, DELAY_MIN).await.is_ok()
            })
            .await;
            assert_eq!(body(&arrival(&*broker, Kind::Pay).await), "x");
        })
        .await;
        assert!(took < SECONDS, "{took:?}");
        broker.close().await;
        bystander.demolish(&options).await;
    }
}

/// Panics at its first wait of two seconds, which is that of a look at a queue.
#[derive(Default)]
struct StumblingClock {
    stumbled: AtomicBool,
}

#[async_trait]
impl Clock for StumblingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::ZERO)
    }

    async fn sleep(&self, length: Duration) {
        pause(length / 20).await;
        let is_look = length == Duration::from_secs(2);
        assert!(
            !is_look || self.stumbled.swap(true, Ordering::SeqCst),
            "as the test says"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_consumer_leaves_no_kind_to_nobody() {
    let bystander = Bystander::connect(&amqp_url()).await;
    let options = options(&amqp_url(), &unique_prefix("panic"));
    let clock = Arc::new(StumblingClock::default());
    let broker = connect_by(Arc::<StumblingClock>::clone(&clock), options.clone()).await;
    eventually("a panic", async || clock.stumbled.load(Ordering::SeqCst)).await;
    everything_flows(&broker).await;
    pause(QUIET).await;
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.close().await;
    bystander.demolish(&options).await;
}
