//! What the worker needs of the message broker.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::entry::{ReturnAddress, Ticket};
use crate::domain::job::Kind;
use crate::domain::lane::{Lane, Tier};
use crate::domain::time::UnixMillis;
use crate::ports::ledger::Connection;

/// Delivers jobs, keeps copies for later, publishes events.
///
/// Every publishing method returns only when the broker has confirmed that it has the message and
/// that it is routed; any error means *maybe published*.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Every lane that jobs are to be taken from; the same ones for as long as the broker lives.
    fn lanes(&self) -> Vec<Lane>;

    /// The next delivery of `lane`; waits for one, over any number of reconnections. At most the
    /// configured prefetch of them are unacknowledged at a time. `None` once [`Broker::stop`] was
    /// called and nothing more will come, and for a lane that is none of [`Broker::lanes`].
    async fn next(&self, lane: Lane) -> Option<Delivery>;

    /// Takes note that a delivery is worked; [`Settlement::Lost`] when its channel is gone: the broker
    /// will, or did, give it to somebody again. The acknowledgement is written soon after, perhaps
    /// together with others, and at [`Broker::close`] at the latest.
    async fn ack(&self, delivery: &DeliveryTag) -> Settlement;

    /// Gives a delivery back without acknowledging it: it comes again, marked redelivered. Returns
    /// when that is written to the broker.
    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement;

    /// Whether the delivery is still ours to acknowledge.
    fn holds(&self, delivery: &DeliveryTag) -> bool;

    /// Publishes a copy of a job that comes back after at least `delay`.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError>;

    /// Publishes a job at once.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError>;

    /// Publishes an outcome event to everybody.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError>;

    /// Publishes a copy of an outcome event to one queue.
    ///
    /// # Errors
    ///
    /// [`PublishError::Unroutable`] when the queue is gone, else as the others.
    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError>;

    /// Puts a message into the dead-letter queue, with its reason.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError>;

    /// Stops taking jobs until [`Broker::resume`]: consumers are cancelled, so that other replicas
    /// get the jobs. What was delivered stays ours.
    async fn pause(&self);

    /// Takes jobs again.
    async fn resume(&self);

    /// Stops taking jobs for good; [`Broker::next`] ends.
    async fn stop(&self);

    /// Closes the connections once the last acknowledgements are written; a broker that takes neither
    /// is waited for only so long, and delivers again what was not acknowledged.
    async fn close(&self);

    /// How many messages wait in all lanes of `kind`, or `None` when the broker cannot say, as
    /// while nobody consumes.
    async fn waiting(&self, kind: Kind) -> Option<u64>;

    /// Whether the broker can be expected to answer.
    fn connection(&self) -> Connection;
}

/// One arrival of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to acknowledge by.
    pub tag: DeliveryTag,
    /// The queue's kind.
    pub kind: Kind,
    /// Which of the kind's queues.
    pub tier: Tier,
    /// The body as it came, not yet read; at most what the broker allows.
    pub body: Bytes,
    /// The retry copy's ticket, if it is one.
    pub ticket: Option<Ticket>,
    /// Whether the broker has delivered it before, or an operator replayed it.
    pub redelivered: bool,
    /// Who waits for the answer.
    pub return_address: ReturnAddress,
    /// When the producer published it, if it said so.
    pub published_at: Option<UnixMillis>,
    /// How often it was put off without a call that counts: a query without an answer, or a job that
    /// was parked.
    pub attempts: u32,
}

impl Delivery {
    /// The lane that it came by.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        Lane {
            kind: self.kind,
            tier: self.tier,
        }
    }
}

impl JobCopy {
    /// The lane that it goes to.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        Lane {
            kind: self.kind,
            tier: self.tier,
        }
    }

    /// Leaves it in its lane, unless that is another kind's: then it goes to the kind's own.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        if self.kind == kind {
            self
        } else {
            self.in_lane(Lane::from(kind))
        }
    }

    /// Puts it into another lane.
    #[must_use]
    pub fn in_lane(self, lane: Lane) -> Self {
        Self {
            kind: lane.kind,
            tier: lane.tier,
            ..self
        }
    }
}

/// What to acknowledge by: a delivery tag, and the consuming channel that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryTag {
    /// The consuming channel's number in this process; grows with each new channel.
    pub channel: u64,
    /// The broker's delivery tag on that channel.
    pub tag: u64,
}

/// A job as a message.
#[derive(Clone, Debug)]
pub struct JobCopy {
    /// With the tier, the routing key.
    pub kind: Kind,
    /// With the kind, the routing key.
    pub tier: Tier,
    /// The job's body.
    pub body: Bytes,
    /// The ticket, if it is a retry copy.
    pub ticket: Option<Ticket>,
    /// Carried on.
    pub return_address: ReturnAddress,
    /// Carried on.
    pub published_at: Option<UnixMillis>,
    /// How often it was put off without a call that counts: a query without an answer, or a job that
    /// was parked.
    pub attempts: u32,
}

/// An outcome event as a message.
#[derive(Clone, Debug)]
pub struct EventMessage {
    /// `<kind>.<result>`.
    pub routing_key: String,
    /// The event's id, also the message id.
    pub id: String,
    /// The CloudEvents body.
    pub body: Bytes,
}

/// What is written on a buried message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epitaph {
    /// Why, as a word: `invalid`, `unknown_app`, `rescued_too_often`, …
    pub reason: &'static str,
    /// Why, as a sentence that an operator can act on.
    pub detail: String,
    /// When.
    pub at: UnixMillis,
}

/// What came of acknowledging or handing back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The delivery was ours, and the broker is told: of a handing back it has been, of an
    /// acknowledgement it is soon. Should the channel be lost before, the delivery comes again.
    Sent,
    /// The channel is gone: the delivery comes again.
    Lost,
}

/// Why a message may not have been published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No confirm: it may have been published.
    #[error("reach the broker")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The broker said no.
    #[error("the broker refused the message")]
    Refused,
    /// The broker returned the message: no queue takes `routing_key` at `exchange`.
    #[error("no queue takes \"{routing_key}\" at exchange \"{exchange}\"")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
}
