//! What a broker under the contract lets its tests see, and the words that the facts are told in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hongbaod::domain::entry::ReturnAddress;
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::{Lane, Tier};
use hongbaod::ports::broker::{Broker, Delivery, EventMessage, JobCopy};
use tokio::time::timeout;

pub(super) use crate::patience::{PATIENCE, eventually};

/// Unacknowledged deliveries of a replica and kind at a time.
pub(super) const PREFETCH: u16 = 4;

/// The shortest rung of the ladder in these tests.
pub(super) const DELAY_MIN: Duration = Duration::from_millis(100);

/// How long something that must not come is waited for.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// Longer than a delivery takes on a machine that is busy otherwise: what the ladder moves, and has no
/// confirm of, RabbitMQ moves again after three minutes. Source: `dead_letter_worker_publisher_confirm_timeout`.
const ARRIVAL_MAX: Duration = Duration::from_secs(240);

/// One broker with empty queues, and what a test can see of it from outside.
#[async_trait]
pub(super) trait World: Send + Sync {
    /// A new consumer of the same queues.
    async fn replica(&self) -> Arc<dyn Broker>;

    /// Every event from now on.
    async fn subscribe(&self) -> Box<dyn Letters>;

    /// A new reply queue of this name.
    async fn reply_queue(&self, name: &str) -> Box<dyn Letters>;

    /// What was buried: body, reason, detail.
    async fn next_buried(&self) -> (Bytes, String, String);
}

/// Messages that arrive somewhere.
#[async_trait]
pub(super) trait Letters: Send {
    async fn next(&mut self) -> Letter;
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) routing_key: String,
    pub(super) message_id: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) body: Bytes,
}

pub(super) fn job(kind: Kind, body: &str) -> JobCopy {
    JobCopy {
        kind,
        tier: Tier::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ticket: None,
        return_address: ReturnAddress::default(),
        published_at: None,
        attempts: 0,
    }
}

pub(super) fn event(id: &str) -> EventMessage {
    EventMessage {
        routing_key: "disburse.succeeded".to_owned(),
        id: id.to_owned(),
        body: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
    }
}

/// The next delivery; fails rather than waiting for ever.
pub(super) async fn arrival(broker: &dyn Broker, lane: impl Into<Lane>) -> Delivery {
    let lane = lane.into();
    timeout(ARRIVAL_MAX, broker.next(lane))
        .await
        .unwrap_or_else(|_| panic!("a delivery of {lane:?} in time"))
        .expect("a broker that was not stopped")
}

pub(super) async fn nothing_arrives(broker: &dyn Broker, lane: impl Into<Lane>) {
    let arrived = timeout(QUIET, broker.next(lane.into())).await;
    assert!(arrived.is_err(), "{arrived:?}");
}

pub(super) fn body(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.body).unwrap()
}
