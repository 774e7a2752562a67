//! The embedded broker under the contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hongbaod::adapters::memory_broker::{Mailbox, MemoryBroker, Reply};
use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::{Broker, EventMessage, Settlement};

use super::clock::RuntimeClock;
use super::world::{Letter, Letters, PREFETCH, World, arrival, body, event, job};
use crate::clocks::elapsed;
use crate::patience::pause;

pub(super) struct MemoryWorld {
    /// Never consumes; the replicas join it.
    root: MemoryBroker,
}

impl MemoryWorld {
    pub(super) fn new() -> Self {
        Self {
            root: MemoryBroker::new(RuntimeClock::shared(), PREFETCH),
        }
    }
}

#[async_trait]
impl World for MemoryWorld {
    async fn replica(&self) -> Arc<dyn Broker> {
        Arc::new(self.root.join())
    }

    async fn subscribe(&self) -> Box<dyn Letters> {
        Box::new(Events(self.root.subscribe()))
    }

    async fn reply_queue(&self, name: &str) -> Box<dyn Letters> {
        Box::new(Replies(name.to_owned(), self.root.open_reply_queue(name)))
    }

    async fn next_buried(&self) -> (Bytes, String, String) {
        loop {
            if let Some(letter) = self.root.dead_letters().pop() {
                let epitaph = letter.epitaph;
                return (letter.copy.body, epitaph.reason.to_owned(), epitaph.detail);
            }
            pause(Duration::from_millis(1)).await;
        }
    }
}

struct Events(Arc<Mailbox<EventMessage>>);

#[async_trait]
impl Letters for Events {
    async fn next(&mut self) -> Letter {
        let event = self.0.next().await;
        Letter {
            routing_key: event.routing_key,
            message_id: Some(event.id),
            correlation_id: None,
            body: event.body,
        }
    }
}

struct Replies(String, Arc<Mailbox<Reply>>);

#[async_trait]
impl Letters for Replies {
    async fn next(&mut self) -> Letter {
        let reply = self.1.next().await;
        Letter {
            routing_key: self.0.clone(),
            message_id: Some(reply.event.id),
            correlation_id: reply.correlation_id,
            body: reply.event.body,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_in_the_ladder_takes_no_real_time() {
    let broker = MemoryBroker::new(RuntimeClock::shared(), PREFETCH);
    let day = Duration::from_secs(24 * 60 * 60);
    broker
        .publish_later(&job(Kind::Pay, "x"), day)
        .await
        .unwrap();
    let waited = elapsed(async {
        // Unlike `arrival`, which has no patience for a day.
        assert!(broker.next(Kind::Pay.into()).await.is_some());
    })
    .await;
    assert!(waited >= day);
}

#[tokio::test]
async fn a_cut_makes_every_earlier_tag_stale_and_keeps_the_order() {
    let broker = MemoryBroker::new(RuntimeClock::shared(), PREFETCH);
    for number in 0..3 {
        let sent = job(Kind::Pay, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    let held = arrival(&broker, Kind::Pay).await;
    arrival(&broker, Kind::Pay).await;
    broker.cut();
    assert!(!broker.holds(&held.tag));
    assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
    let order = [("0", true), ("1", true), ("2", false)];
    for (expected, redelivered) in order {
        let delivery = arrival(&broker, Kind::Pay).await;
        assert_eq!(
            (body(&delivery), delivery.redelivered),
            (expected, redelivered)
        );
    }
}

#[tokio::test]
async fn events_without_a_subscriber_are_kept() {
    let broker = MemoryBroker::new(RuntimeClock::shared(), PREFETCH);
    broker.publish_event(&event("e-1")).await.unwrap();
    drop(broker.subscribe());
    broker.publish_event(&event("e-2")).await.unwrap();
    let ids: Vec<_> = broker
        .unrouted_events()
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(ids, ["e-1", "e-2"]);
}
