//! What the broker port promises, tried on every implementation.
//!
//! Each fact is a function of a [`World`]; the list at the end runs them all on both.

mod clock;
mod endings;
mod memory;
mod rabbitmq;
mod rabbitmq_alone;
mod rabbitmq_dead;
mod rabbitmq_faults;
mod rabbitmq_lifetimes;
mod rabbitmq_reconnects;
mod rabbitmq_shards;
mod rabbitmq_tls;
mod world;

use std::sync::Arc;

use hongbaod::adapters::rabbitmq::RabbitmqOptions;
use hongbaod::domain::entry::{ReturnAddress, Ticket};
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::{Lane, Shards};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{DeliveryTag, Epitaph, JobCopy, PublishError, Settlement};
use hongbaod::ports::ledger::Connection;
use tokio::time::timeout;

use crate::clocks::elapsed;
use crate::scale;
use endings::{
    a_closed_broker_publishes_nothing, a_pause_does_not_raise_the_prefetch,
    a_paused_replica_gives_back_what_it_had_not_handed_out,
    a_paused_replica_leaves_the_jobs_to_others, stopping_ends_next_but_keeps_what_is_held,
};
use world::{
    DELAY_MIN, PATIENCE, PREFETCH, World, arrival, body, event, eventually, job, nothing_arrives,
};

async fn a_published_job_arrives_as_it_was_sent(world: &dyn World) {
    let broker = world.replica().await;
    let sent = JobCopy {
        ticket: Some(Ticket(4)),
        return_address: ReturnAddress {
            reply_to: Some("answers".to_owned()),
            correlation_id: Some("c-9".to_owned()),
            message_id: Some("m-9".to_owned()),
            traceparent: Some("00-11-22-01".to_owned()),
        },
        published_at: Some(UnixMillis(1_700_000_000_123)),
        attempts: 2,
        ..job(Kind::Query, "q")
    };
    broker.publish_job(&sent).await.unwrap();
    let delivery = arrival(&*broker, Kind::Query).await;
    assert_eq!(delivery.kind, Kind::Query);
    assert_eq!(delivery.body, sent.body);
    assert_eq!(delivery.ticket, sent.ticket);
    assert_eq!(delivery.return_address, sent.return_address);
    assert_eq!(delivery.published_at, sent.published_at);
    assert_eq!(delivery.attempts, 2);
    assert!(!delivery.redelivered);
    assert!(broker.holds(&delivery.tag));
}

async fn each_lane_has_its_own_queue(world: &dyn World) {
    let broker = world.replica().await;
    let lanes = broker.lanes();
    assert_eq!(lanes, Lane::all(Shards::default()));
    for lane in &lanes {
        let sent = job(lane.kind, &lane.to_string()).in_lane(*lane);
        broker.publish_job(&sent).await.unwrap();
    }
    for lane in lanes {
        let delivery = arrival(&*broker, lane).await;
        assert_eq!(
            (delivery.lane(), body(&delivery)),
            (lane, &*lane.to_string())
        );
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
}

async fn a_lane_that_is_not_there_delivers_nothing(world: &dyn World) {
    let broker = world.replica().await;
    let lane = Lane::shard(Kind::Disburse, 7);
    assert!(!broker.lanes().contains(&lane));
    let ended = timeout(PATIENCE, broker.next(lane)).await.unwrap();
    assert!(ended.is_none());
}

async fn a_full_lane_holds_up_no_other(world: &dyn World) {
    let broker = world.replica().await;
    let normal = Lane::from(Kind::Disburse);
    let others = [Lane::urgent(Kind::Disburse), normal.aside().unwrap()];
    for number in 0..PREFETCH * 2 {
        let sent = job(Kind::Disburse, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    for _ in 0..PREFETCH {
        arrival(&*broker, normal).await;
    }
    for lane in others {
        let sent = job(Kind::Disburse, &lane.to_string()).in_lane(lane);
        broker.publish_job(&sent).await.unwrap();
        assert_eq!(body(&arrival(&*broker, lane).await), lane.to_string());
    }
    nothing_arrives(&*broker, normal).await;
}

async fn a_later_copy_comes_back_to_its_lane(world: &dyn World) {
    let broker = world.replica().await;
    let normal = Lane::from(Kind::Pay);
    for lane in [Lane::urgent(Kind::Pay), normal.aside().unwrap()] {
        let copy = job(Kind::Pay, &lane.to_string()).in_lane(lane);
        broker.publish_later(&copy, DELAY_MIN).await.unwrap();
        let delivery = arrival(&*broker, lane).await;
        assert_eq!(
            (delivery.lane(), body(&delivery)),
            (lane, &*lane.to_string())
        );
    }
}

async fn an_acknowledged_delivery_never_comes_again(world: &dyn World) {
    let broker = world.replica().await;
    broker.publish_job(&job(Kind::Disburse, "1")).await.unwrap();
    let delivery = arrival(&*broker, Kind::Disburse).await;
    assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    assert!(!broker.holds(&delivery.tag));
    assert_eq!(broker.ack(&delivery.tag).await, Settlement::Lost);
    broker.close().await;
    let other = world.replica().await;
    nothing_arrives(&*other, Kind::Disburse).await;
}

async fn a_tag_that_was_never_given_is_lost(world: &dyn World) {
    let broker = world.replica().await;
    let tag = DeliveryTag {
        channel: u64::MAX,
        tag: 1,
    };
    assert!(!broker.holds(&tag));
    assert_eq!(broker.ack(&tag).await, Settlement::Lost);
    assert_eq!(broker.hand_back(&tag).await, Settlement::Lost);
}

async fn a_delivery_handed_back_comes_again_marked(world: &dyn World) {
    let broker = world.replica().await;
    let sent = JobCopy {
        ticket: Some(Ticket(1)),
        ..job(Kind::Refund, "r")
    };
    broker.publish_job(&sent).await.unwrap();
    let first = arrival(&*broker, Kind::Refund).await;
    assert_eq!(broker.hand_back(&first.tag).await, Settlement::Sent);
    assert!(!broker.holds(&first.tag));
    let second = arrival(&*broker, Kind::Refund).await;
    assert!(second.redelivered);
    assert_ne!(second.tag, first.tag);
    assert_eq!((body(&second), second.ticket), ("r", Some(Ticket(1))));
}

async fn deliveries_of_a_replica_that_goes_come_again_marked(world: &dyn World) {
    let leaving = world.replica().await;
    for number in 0..3 {
        let sent = job(Kind::Pay, &number.to_string());
        leaving.publish_job(&sent).await.unwrap();
    }
    let held = arrival(&*leaving, Kind::Pay).await;
    leaving.close().await;
    assert_eq!(leaving.ack(&held.tag).await, Settlement::Lost);
    assert_eq!(leaving.connection(), Connection::Down);
    let staying = world.replica().await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let delivery = arrival(&*staying, Kind::Pay).await;
        if body(&delivery) == body(&held) {
            assert!(delivery.redelivered);
        }
        bodies.push(body(&delivery).to_owned());
        assert_eq!(staying.ack(&delivery.tag).await, Settlement::Sent);
    }
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2"]);
}

async fn the_prefetch_bounds_what_is_unacknowledged(world: &dyn World) {
    let broker = world.replica().await;
    for number in 0..=PREFETCH {
        let sent = job(Kind::Disburse, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..PREFETCH {
        held.push(arrival(&*broker, Kind::Disburse).await);
    }
    nothing_arrives(&*broker, Kind::Disburse).await;
    assert_eq!(broker.ack(&held[1].tag).await, Settlement::Sent);
    let last = arrival(&*broker, Kind::Disburse).await;
    assert_eq!(body(&last), PREFETCH.to_string());
}

async fn a_later_copy_comes_back_after_its_delay_with_its_ticket(world: &dyn World) {
    let broker = world.replica().await;
    let copy = JobCopy {
        ticket: Some(Ticket(7)),
        ..job(Kind::Refund, "later")
    };
    for delay in [DELAY_MIN, DELAY_MIN * 3] {
        let waited = elapsed(async {
            broker.publish_later(&copy, delay).await.unwrap();
            let delivery = arrival(&*broker, Kind::Refund).await;
            assert_eq!(
                (body(&delivery), delivery.ticket),
                ("later", Some(Ticket(7)))
            );
            // It waited; nobody had it before.
            assert!(!delivery.redelivered);
            broker.ack(&delivery.tag).await;
        })
        .await;
        assert!(waited >= delay, "{waited:?} for {delay:?}");
    }
}

async fn a_copy_may_be_put_off_again_and_again(world: &dyn World) {
    let broker = world.replica().await;
    let mut copy = job(Kind::Query, "again");
    broker.publish_job(&copy).await.unwrap();
    for attempts in 1..=4 {
        let delivery = arrival(&*broker, Kind::Query).await;
        assert_eq!(delivery.attempts, attempts - 1);
        copy.attempts = attempts;
        broker.publish_later(&copy, DELAY_MIN).await.unwrap();
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    assert_eq!(arrival(&*broker, Kind::Query).await.attempts, 4);
}

async fn jobs_that_nobody_takes_are_counted_as_waiting(world: &dyn World) {
    let broker = world.replica().await;
    broker.pause().await;
    for number in 0..3 {
        let sent = job(Kind::Refund, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    // RabbitMQ counts a little behind.
    eventually("three waiting", async || {
        broker.waiting(Kind::Refund).await == Some(3)
    })
    .await;
    // Of a queue that nobody consumes RabbitMQ does not tell "empty" from "cannot say".
    assert!(broker.waiting(Kind::Disburse).await.unwrap_or(0) == 0);
    broker.resume().await;
    for _ in 0..3 {
        let delivery = arrival(&*broker, Kind::Refund).await;
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    for kind in [Kind::Refund, Kind::Disburse] {
        eventually("none waiting", async || {
            broker.waiting(kind).await == Some(0)
        })
        .await;
    }
}

async fn a_buried_job_keeps_its_reason(world: &dyn World) {
    let broker = world.replica().await;
    let epitaph = Epitaph {
        reason: "invalid",
        detail: "field \"amount\" is missing".to_owned(),
        at: UnixMillis(1_700_000_000_000),
    };
    broker
        .bury(&job(Kind::Disburse, "bad"), &epitaph)
        .await
        .unwrap();
    let (body, reason, detail) = timeout(PATIENCE, world.next_buried()).await.unwrap();
    assert_eq!(body, "bad");
    assert_eq!((reason.as_str(), detail), (epitaph.reason, epitaph.detail));
}

async fn an_event_reaches_every_subscriber(world: &dyn World) {
    let broker = world.replica().await;
    broker.publish_event(&event("unheard")).await.unwrap();
    let mut subscribers = [world.subscribe().await, world.subscribe().await];
    broker.publish_event(&event("e-1")).await.unwrap();
    for subscriber in &mut subscribers {
        let letter = timeout(PATIENCE, subscriber.next()).await.unwrap();
        assert_eq!(letter.routing_key, "disburse.succeeded");
        assert_eq!(letter.message_id.as_deref(), Some("e-1"));
        assert_eq!(letter.body, event("e-1").body);
    }
}

async fn a_reply_reaches_its_queue_and_a_missing_queue_is_unroutable(world: &dyn World) {
    let broker = world.replica().await;
    let name = crate::servers::unique_prefix("answers");
    let address = ReturnAddress {
        reply_to: Some(name.clone()),
        correlation_id: Some("c-1".to_owned()),
        ..ReturnAddress::default()
    };
    let refused = broker.publish_reply(&event("e-1"), &address).await;
    let Err(PublishError::Unroutable { routing_key, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(routing_key, name);
    let mut replies = world.reply_queue(&name).await;
    broker.publish_reply(&event("e-2"), &address).await.unwrap();
    let letter = timeout(PATIENCE, replies.next()).await.unwrap();
    assert_eq!(letter.message_id.as_deref(), Some("e-2"));
    assert_eq!(letter.correlation_id.as_deref(), Some("c-1"));
    let nameless = ReturnAddress {
        reply_to: Some("q".repeat(300)),
        ..ReturnAddress::default()
    };
    let refused = broker.publish_reply(&event("e-3"), &nameless).await;
    assert!(
        matches!(refused, Err(PublishError::Unroutable { .. })),
        "{refused:?}"
    );
}

async fn many_waiters_share_the_deliveries(world: &dyn World) {
    let broker = world.replica().await;
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { broker.next(Kind::Query.into()).await.unwrap().body })
        })
        .collect();
    for number in 0..3 {
        let sent = job(Kind::Query, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    let mut bodies = Vec::new();
    for waiter in waiters {
        bodies.push(timeout(PATIENCE, waiter).await.unwrap().unwrap());
    }
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2"]);
}

/// Tries what a broker promises on the nodes at `urls`, with the certificates that `options` add: a
/// few facts, or all of them where `tests/scale` asks for it.
pub(crate) async fn facts_hold_at(urls: &[String], options: impl Fn(&mut RabbitmqOptions)) {
    let count = if scale::jobs().is_some() {
        usize::MAX
    } else {
        2
    };
    first_facts(count, async || {
        rabbitmq::RabbitmqWorld::at(urls, &options).await
    })
    .await;
}

macro_rules! facts {
    ($($fact:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(&super::memory::MemoryWorld::new()).await;
            })*
        }
        mod on_rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let world = super::rabbitmq::RabbitmqWorld::new().await;
                super::$fact(&world).await;
                world.demolish().await;
            })*
        }

        /// Tries the facts one after the other on a broker that is reached otherwise: `count` of
        /// them, each in a world of its own.
        async fn first_facts(count: usize, world: impl AsyncFn() -> rabbitmq::RabbitmqWorld) {
            let mut left = count;
            $(
                if left > 0 {
                    left -= 1;
                    eprintln!("fact: {}", stringify!($fact));
                    let world = world().await;
                    $fact(&world).await;
                    world.demolish().await;
                }
            )*
            assert!(left == 0 || count == usize::MAX, "there are fewer facts");
        }
    };
}

facts!(
    a_published_job_arrives_as_it_was_sent,
    an_event_reaches_every_subscriber,
    each_lane_has_its_own_queue,
    a_lane_that_is_not_there_delivers_nothing,
    a_full_lane_holds_up_no_other,
    a_later_copy_comes_back_to_its_lane,
    an_acknowledged_delivery_never_comes_again,
    a_tag_that_was_never_given_is_lost,
    a_delivery_handed_back_comes_again_marked,
    deliveries_of_a_replica_that_goes_come_again_marked,
    the_prefetch_bounds_what_is_unacknowledged,
    a_later_copy_comes_back_after_its_delay_with_its_ticket,
    a_copy_may_be_put_off_again_and_again,
    a_paused_replica_leaves_the_jobs_to_others,
    a_paused_replica_gives_back_what_it_had_not_handed_out,
    a_pause_does_not_raise_the_prefetch,
    jobs_that_nobody_takes_are_counted_as_waiting,
    a_buried_job_keeps_its_reason,
    a_reply_reaches_its_queue_and_a_missing_queue_is_unroutable,
    stopping_ends_next_but_keeps_what_is_held,
    many_waiters_share_the_deliveries,
    a_closed_broker_publishes_nothing,
);
