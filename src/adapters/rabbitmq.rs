//! The broker over RabbitMQ, on two connections of its own supervision.
//!
//! ```text
//! supervisor ──▶ consuming connection ──▶ one channel, with its prefetch, per lane ──▶ next
//!            └─▶ publishing connection ──▶ one confirm channel per destination ◀── publish_*
//! ```
//!
//! The client library's own recovery is off: when its attempts run out, consumers hang silently.

mod acks;
pub mod announcer;
pub mod client;
mod connection;
mod consumer;
pub mod dead_letters;
pub mod ladder;
mod lanes;
mod liveness;
pub mod message;
mod publisher;
mod supervisor;
mod topology;
pub mod workbench;

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::types::ShortString;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::adapters::rabbitmq::connection::{Dialer, Purpose};
use crate::adapters::rabbitmq::consumer::{Consumption, Mode, Phase, Surroundings, place_of};
use crate::adapters::rabbitmq::message::{
    buried_properties, event_properties, job_properties, reply_properties, short,
};
use crate::adapters::rabbitmq::publisher::{Message, Publisher, Route};
use crate::adapters::rabbitmq::supervisor::{Supervisor, close};
use crate::domain::entry::ReturnAddress;
use crate::domain::job::Kind;
use crate::domain::lane::{Lane, Shards};
use crate::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::Connection;

pub use crate::adapters::rabbitmq::connection::ConnectError;
pub use crate::adapters::rabbitmq::topology::outline;
use crate::adapters::rabbitmq::topology::routing_key;
pub use crate::adapters::rabbitmq::topology::{
    ObjectKind, ObjectState, ObjectStatus, Topology, TopologyError,
};

/// How long the broker may take to say how many messages wait.
const WAITING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long closing waits for the last acknowledgements, and then as long again for both
/// connections.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(15);

/// How to reach RabbitMQ and what to declare there.
#[derive(Clone, Debug)]
pub struct RabbitmqOptions {
    /// The broker, or the nodes of its cluster, tried in turn: `amqp://user:password@host:port/vhost`,
    /// or `amqps://` for TLS.
    pub urls: Vec<SecretString>,
    /// Whom to trust and who we are, where the URLs are `amqps://`.
    pub tls: RabbitmqTls,
    /// What every name begins with.
    pub prefix: String,
    /// Unacknowledged deliveries at a time, per kind: in its normal lane (shared by its shards), and
    /// as many again in each of its other lanes.
    pub prefetch: Prefetch,
    /// Over how many queues the normal lane of a kind is spread.
    pub shards: Shards,
    /// AMQP heartbeat, in whole seconds; a silent connection is given up after twice of it.
    pub heartbeat: Duration,
    /// Deliveries of one message before RabbitMQ dead-letters it.
    pub delivery_limit: NonZeroU32,
    /// How long a publisher confirm may take.
    pub confirm_timeout: Duration,
    /// The shortest rung of the retry ladder.
    pub delay_min: Duration,
    /// The longest rung but for the hour and the day.
    pub delay_max: Duration,
    /// How much each rung is longer than the one before; 2000 doubles.
    pub multiplier_permille: u32,
    /// Outcome events without a subscriber that are kept, the newest.
    pub unrouted_max: NonZeroU32,
    /// What RabbitMQ's management shows, and what is written on buried messages.
    pub connection_name: String,
}

/// Certificates for TLS, as PEM.
#[derive(Clone, Default)]
pub struct RabbitmqTls {
    /// Authorities that are trusted beside the system's.
    pub ca: Option<String>,
    /// Our certificate and its private key, for brokers that ask who we are.
    pub identity: Option<(String, SecretString)>,
}

impl fmt::Debug for RabbitmqTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitmqTls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl RabbitmqOptions {
    /// The defaults, with no address yet.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        const HUNDRED: NonZeroU32 = NonZeroU32::new(100).unwrap();
        const HUNDRED_THOUSAND: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
        Self {
            urls: Vec::new(),
            tls: RabbitmqTls::default(),
            prefix: prefix.to_owned(),
            prefetch: Prefetch::default(),
            shards: Shards::default(),
            heartbeat: Duration::from_secs(10),
            delivery_limit: HUNDRED,
            confirm_timeout: Duration::from_secs(10),
            delay_min: Duration::from_millis(500),
            delay_max: Duration::from_secs(17 * 60),
            multiplier_permille: 2_000,
            unrouted_max: HUNDRED_THOUSAND,
            connection_name: "hongbaod".to_owned(),
        }
    }
}

/// Unacknowledged deliveries at a time. Never 0, which AMQP takes for "without limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    /// Of disburse jobs.
    pub disburse: NonZeroU16,
    /// Of refund jobs.
    pub refund: NonZeroU16,
    /// Of query jobs.
    pub query: NonZeroU16,
    /// Of pay jobs.
    pub pay: NonZeroU16,
}

impl Default for Prefetch {
    fn default() -> Self {
        const MANY: NonZeroU16 = NonZeroU16::new(256).unwrap();
        const SOME: NonZeroU16 = NonZeroU16::new(64).unwrap();
        Self {
            disburse: MANY,
            refund: SOME,
            query: SOME,
            pay: SOME,
        }
    }
}

impl Prefetch {
    /// The bound of one kind.
    #[must_use]
    pub const fn of(self, kind: Kind) -> NonZeroU16 {
        match kind {
            Kind::Disburse => self.disburse,
            Kind::Refund => self.refund,
            Kind::Query => self.query,
            Kind::Pay | Kind::AppPay | Kind::PagePay => self.pay,
        }
    }
}

/// RabbitMQ as the worker's broker.
pub struct RabbitmqBroker {
    options: RabbitmqOptions,
    topology: Arc<Topology>,
    lanes: Vec<Arc<Consumption>>,
    publisher: Arc<Publisher>,
    end: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for RabbitmqBroker {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl RabbitmqBroker {
    /// Connects, declares everything, and begins to consume.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], of the first attempt: a broker that is away, or not as it must be, is told
    /// at start. Afterwards connections are opened again for as long as it takes.
    pub async fn connect(
        options: RabbitmqOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConnectError> {
        let topology = topology_of(&options)?;
        let end = CancellationToken::new();
        let supervisor = Arc::new(Supervisor {
            dialer: Dialer::new(&options)?,
            topology: Arc::clone(&topology),
            clock: Arc::clone(&clock),
            random,
            end: end.clone(),
        });
        let consuming = supervisor.connect(Purpose::Consume).await?;
        let publishing = supervisor.dialer.open(Purpose::Publish).await?;

        let lanes = lanes::lanes(&options, &topology, &consuming)
            .await
            .map_err(ConnectError::Topology)?;
        let lanes: Vec<Arc<Consumption>> = lanes
            .iter()
            .enumerate()
            .map(|(place, lane)| {
                let prefetch = lanes::prefetch(options.prefetch, *lane, &lanes);
                Arc::new(Consumption::new(*lane, place, prefetch, &topology))
            })
            .collect();
        let publisher = Arc::new(Publisher::default());
        let around = Arc::new(Surroundings {
            topology: Arc::clone(&topology),
            clock,
            channels: AtomicU64::new(0),
        });
        let tasks = vec![
            tokio::spawn(
                Arc::clone(&supervisor).keep_publishing(Arc::clone(&publisher), publishing),
            ),
            tokio::spawn(supervisor.keep_consuming(lanes.clone(), around, consuming)),
        ];
        Ok(Self {
            options,
            topology,
            lanes,
            publisher,
            end,
            tasks: Mutex::new(tasks),
        })
    }

    /// Where a delivery came by, if it was one of ours.
    fn way(&self, delivery: &DeliveryTag) -> Option<&Arc<Consumption>> {
        self.lanes.get(place_of(delivery.channel))
    }

    async fn send(&self, message: Message<'_>) -> Result<(), PublishError> {
        self.publisher
            .publish(message, self.options.confirm_timeout)
            .await
    }

    fn set_mode(&self, mode: Mode) {
        for lane in &self.lanes {
            lane.set_mode(mode);
        }
    }
}

#[async_trait]
impl Broker for RabbitmqBroker {
    fn lanes(&self) -> Vec<Lane> {
        self.lanes.iter().map(|way| way.lane()).collect()
    }

    async fn next(&self, lane: Lane) -> Option<Delivery> {
        let way = self.lanes.iter().find(|way| way.lane() == lane)?;
        way.next().await
    }

    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        match self.way(delivery) {
            Some(way) => way.ack(delivery),
            None => Settlement::Lost,
        }
    }

    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        match self.way(delivery) {
            Some(way) => way.hand_back(delivery).await,
            None => Settlement::Lost,
        }
    }

    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.way(delivery).is_some_and(|way| way.holds(delivery))
    }

    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        let rung = self.topology.ladder.rung_for(delay);
        self.send(Message {
            route: Route::Retry(rung),
            exchange: self.topology.retries.get(rung).cloned().unwrap_or_default(),
            routing_key: routing_key(self.topology.home(copy.lane())),
            body: &copy.body,
            properties: job_properties(copy),
        })
        .await
    }

    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        self.send(job_message(&self.topology, copy)).await
    }

    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        self.send(event_message(&self.topology, event)?).await
    }

    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        self.send(reply_message(&self.topology, event, address)?)
            .await
    }

    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        self.send(Message {
            route: Route::Dead,
            exchange: self.topology.dead.clone(),
            routing_key: routing_key(copy.lane()),
            body: &copy.body,
            properties: buried_properties(copy, epitaph, &self.options.connection_name),
        })
        .await
    }

    async fn pause(&self) {
        self.set_mode(Mode::Paused);
        join_all(self.lanes.iter().map(|lane| lane.rested())).await;
    }

    async fn resume(&self) {
        self.set_mode(Mode::Consuming);
    }

    async fn stop(&self) {
        self.set_mode(Mode::Stopped);
        join_all(self.lanes.iter().map(|lane| lane.rested())).await;
    }

    async fn close(&self) {
        self.set_mode(Mode::Stopped);
        let flushed = join_all(self.lanes.iter().map(|lane| lane.flush()));
        if in_time(flushed).await.is_none() {
            tracing::warn!("RabbitMQ did not take the last acknowledgements in time");
        }
        self.end.cancel();
        let tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        if in_time(join_all(tasks)).await.is_none() {
            tracing::warn!("the connections to RabbitMQ did not close in time");
        }
    }

    async fn waiting(&self, kind: Kind) -> Option<u64> {
        let link = self.publisher.link()?;
        let ours = |way: &&Arc<Consumption>| way.lane().kind == kind && way.phase() != Phase::Gone;
        let mut waiting = 0_u64;
        for way in self.lanes.iter().filter(ours) {
            let queue = self.topology.job_queue(way.lane());
            let asked = timeout(WAITING_TIMEOUT, link.waiting(queue)).await;
            waiting = waiting.saturating_add(asked.ok().flatten()?);
        }
        Some(waiting)
    }

    fn connection(&self) -> Connection {
        let consuming = self.lanes.iter().all(|lane| lane.phase() != Phase::Away);
        let publishing = self.publisher.link().is_some_and(|link| link.is_open());
        if consuming && publishing {
            Connection::Up
        } else {
            Connection::Down
        }
    }
}

/// Looks at every exchange and queue of `options.prefix` and changes nothing.
///
/// # Errors
///
/// [`ConnectError`]; an object that is missing or different is a status, not an error.
pub async fn check_topology(options: &RabbitmqOptions) -> Result<Vec<ObjectStatus>, ConnectError> {
    let topology = topology_of(options)?;
    let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
    let statuses = topology
        .check(&connection)
        .await
        .map_err(ConnectError::Topology);
    close(&connection).await;
    statuses
}

fn topology_of(options: &RabbitmqOptions) -> Result<Arc<Topology>, ConnectError> {
    Topology::new(options)
        .map(Arc::new)
        .map_err(|name| ConnectError::Name { name })
}

fn job_message<'a>(topology: &Topology, copy: &'a JobCopy) -> Message<'a> {
    Message {
        route: Route::Jobs(copy.lane()),
        exchange: topology.jobs.clone(),
        routing_key: routing_key(copy.lane()),
        body: &copy.body,
        properties: job_properties(copy),
    }
}

fn event_message<'a>(
    topology: &Topology,
    event: &'a EventMessage,
) -> Result<Message<'a>, PublishError> {
    let exchange = topology.outcomes.clone();
    let routing_key = key(&event.routing_key, exchange.as_str())?;
    Ok(Message {
        route: Route::Outcomes,
        exchange,
        routing_key,
        body: &event.body,
        properties: event_properties(event),
    })
}

/// An event's copy to one queue; a queue of ours takes none, as if it were not there.
fn reply_message<'a>(
    topology: &Topology,
    event: &'a EventMessage,
    address: &ReturnAddress,
) -> Result<Message<'a>, PublishError> {
    let queue = address.reply_to.as_deref().unwrap_or_default();
    if topology.is_internal(queue) {
        return Err(PublishError::Unroutable {
            exchange: String::new(),
            routing_key: queue.to_owned(),
        });
    }
    Ok(Message {
        route: Route::Replies,
        exchange: ShortString::default(),
        routing_key: key(queue, "")?,
        body: &event.body,
        properties: reply_properties(event, address),
    })
}

/// A routing key, or "unroutable" where it is longer than any queue's name can be.
fn key(text: &str, exchange: &str) -> Result<ShortString, PublishError> {
    short(text).ok_or_else(|| PublishError::Unroutable {
        exchange: exchange.to_owned(),
        routing_key: text.to_owned(),
    })
}

/// Waits for one step of closing, but not for ever; `None` when it takes too long.
async fn in_time<T>(step: impl Future<Output = T>) -> Option<T> {
    timeout(CLOSE_WAIT_MAX, step).await.ok()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::{CLOSE_WAIT_MAX, in_time, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_step_of_closing_that_never_ends_is_given_up() {
        let given_up = timeout(CLOSE_WAIT_MAX * 2, in_time(pending::<()>())).await;
        assert_eq!(given_up, Ok(None));
        assert_eq!(in_time(ready(7)).await, Some(7));
    }
}
