//! Exchanges and queues: what they are called, what they must be, and whether they are.

pub mod outline;
mod spec;

use std::fmt;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::ShortString;
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use crate::adapters::rabbitmq::RabbitmqOptions;
use crate::adapters::rabbitmq::ladder::Ladder;
use crate::adapters::rabbitmq::topology::spec::{ExchangeSpec, QueueSpec, number, text};
use crate::domain::lane::{Lane, Shards, Tier};
use crate::domain::time::millis;

/// Everything declared under one prefix.
#[derive(Debug)]
pub struct Topology {
    /// `<prefix>.jobs`.
    pub(crate) jobs: ShortString,
    /// `<prefix>.outcomes`.
    pub(crate) outcomes: ShortString,
    /// `<prefix>.outcomes.unrouted`, the exchange and the queue.
    unrouted: ShortString,
    /// `<prefix>.dead`, the exchange and the queue.
    pub(crate) dead: ShortString,
    /// `<prefix>.retry.<rung>`, in the ladder's order, exchange and queue each.
    pub(crate) retries: Vec<ShortString>,
    pub(crate) ladder: Ladder,
    prefix: String,
    shards: Shards,
    exchanges: Vec<ExchangeSpec>,
    queues: Vec<QueueSpec>,
}

/// What a declared object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

/// How one object was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStatus {
    /// What it is.
    pub object: ObjectKind,
    /// Its name.
    pub name: String,
    /// How it was found.
    pub state: ObjectState,
}

/// How an object was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// It is there, as it must be.
    Ok,
    /// It is not there; `run` declares it.
    Missing,
    /// It is there with another argument, which the broker's sentence names.
    Mismatch {
        /// For example `x-delivery-limit`.
        argument: String,
        /// The broker's own sentence.
        detail: String,
    },
}

/// Why the topology could not be declared or checked.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// An object exists with another argument. RabbitMQ never changes one: it is to be deleted
    /// when empty, or the configuration put back.
    #[error("{object} \"{name}\" exists with another \"{argument}\": {detail}")]
    Mismatch {
        /// What it is.
        object: ObjectKind,
        /// Its name.
        name: String,
        /// For example `x-delivery-limit`.
        argument: String,
        /// The broker's own sentence.
        detail: String,
    },
    /// The broker would not, or could not be asked.
    #[error("declare {object} \"{name}\"")]
    Declare {
        /// What it is.
        object: ObjectKind,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: lapin::Error,
    },
    /// No channel to declare on.
    #[error("open a channel to declare the topology")]
    Channel(#[source] lapin::Error),
}

impl Topology {
    /// Whether a queue is one of those that jobs, dead letters and unrouted events are in, under any
    /// configuration with this prefix: nothing but their own messages may come into them.
    ///
    /// What a producer lets us put into a rung of the ladder could never leave it again, as its
    /// routing key is the rung's own name; and RabbitMQ moves nothing on that waits behind 32 such.
    pub(crate) fn is_internal(&self, queue: &str) -> bool {
        let rest = queue.strip_prefix(self.prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| {
            matches!(rest, "dead" | "outcomes.unrouted")
                || rest.starts_with("jobs.")
                || rest.starts_with("retry.")
        })
    }

    /// The topology of `options.prefix`.
    ///
    /// # Errors
    ///
    /// A name over AMQP's 255 bytes, given back.
    pub(crate) fn new(options: &RabbitmqOptions) -> Result<Self, String> {
        let ladder = Ladder::new(
            options.delay_min,
            options.delay_max,
            options.multiplier_permille,
        );
        let name = |rest: &str| {
            let name = format!("{}.{rest}", options.prefix);
            ShortString::try_new(name.clone()).map_err(|_too_long| name)
        };
        let (jobs, dead) = (name("jobs")?, name("dead")?);
        let (outcomes, unrouted) = (name("outcomes")?, name("outcomes.unrouted")?);
        let retries = ladder
            .rungs()
            .iter()
            .map(|rung| name(&format!("retry.{}", rung.name)))
            .collect::<Result<Vec<_>, _>>()?;

        let mut exchanges = vec![
            ExchangeSpec::new(&dead, ExchangeKind::Fanout),
            ExchangeSpec::new(&jobs, ExchangeKind::Direct),
            ExchangeSpec::new(&unrouted, ExchangeKind::Fanout),
            ExchangeSpec::new(&outcomes, ExchangeKind::Topic)
                .with("alternate-exchange", text(unrouted.as_str())),
        ];
        let mut queues = vec![
            QueueSpec::bound(&dead, &dead).looked_at_for_ever(),
            QueueSpec::bound(&unrouted, &unrouted)
                .looked_at_for_ever()
                .with(
                    "x-max-length",
                    number(u64::from(options.unrouted_max.get())),
                )
                .with("x-overflow", text("drop-head")),
        ];
        for lane in Lane::all(options.shards) {
            let queue = QueueSpec::bound(&name(&format!("jobs.{lane}"))?, &jobs)
                .with_routing_key(routing_key(lane))
                .with(
                    "x-delivery-limit",
                    number(u64::from(options.delivery_limit.get())),
                );
            queues.push(queue.dead_lettering(&dead));
        }
        for (exchange, rung) in retries.iter().zip(ladder.rungs()) {
            exchanges.push(ExchangeSpec::new(exchange, ExchangeKind::Fanout));
            let queue = QueueSpec::bound(exchange, exchange)
                .with("x-message-ttl", number(millis(rung.delay)));
            // Without a dead-letter routing key the message keeps its own, the lane's.
            queues.push(queue.dead_lettering(&jobs));
        }
        Ok(Self {
            jobs,
            outcomes,
            unrouted,
            dead,
            retries,
            ladder,
            prefix: options.prefix.clone(),
            shards: options.shards,
            exchanges,
            queues,
        })
    }

    /// The queue that the jobs of `lane` wait in.
    pub(crate) fn job_queue(&self, lane: Lane) -> ShortString {
        format!("{}.{lane}", self.jobs).into()
    }

    /// Whether it is a shard above the configured number of them.
    pub(crate) fn is_retired(&self, lane: Lane) -> bool {
        match lane.tier {
            Tier::Shard(number) => number >= self.shards.of(lane.kind).get(),
            Tier::Urgent | Tier::Bulk => false,
        }
    }

    /// The lane that a copy of a message of `lane` waits for: its own, but for a retired shard's,
    /// which are to become empty.
    pub(crate) fn home(&self, lane: Lane) -> Lane {
        if self.is_retired(lane) {
            Lane::from(lane.kind)
        } else {
            lane
        }
    }

    /// Declares what is not there and checks what is.
    ///
    /// # Errors
    ///
    /// [`TopologyError`], of the first object that is wrong.
    pub(crate) async fn declare(&self, connection: &Connection) -> Result<(), TopologyError> {
        let channel = open(connection).await?;
        for exchange in &self.exchanges {
            exchange.declare(&channel).await?;
        }
        for queue in &self.queues {
            queue.declare(&channel).await?;
        }
        Ok(())
    }

    /// Declares again the queue that the jobs of `lane` wait in, should it have been deleted; a
    /// retired one is left as it is.
    pub(crate) async fn declare_job_queue(
        &self,
        channel: &Channel,
        lane: Lane,
    ) -> Result<(), TopologyError> {
        let name = self.job_queue(lane);
        for queue in self.queues.iter().filter(|queue| queue.name == name) {
            queue.declare(channel).await?;
        }
        Ok(())
    }

    /// Whether each object is there, whatever its arguments. Cheap: nothing is written.
    ///
    /// # Errors
    ///
    /// [`TopologyError`], when the broker cannot be asked.
    pub(crate) async fn is_there(&self, connection: &Connection) -> Result<bool, TopologyError> {
        let channel = open(connection).await?;
        for exchange in &self.exchanges {
            if known(exchange.declare_passively(&channel).await)? == ObjectState::Missing {
                return Ok(false);
            }
        }
        for queue in &self.queues {
            if known(queue.declare_passively(&channel).await)? == ObjectState::Missing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes every queue and exchange, with what is in them.
    ///
    /// # Errors
    ///
    /// [`TopologyError`], of the first object that could not be deleted; a missing one is fine.
    pub(crate) async fn delete(&self, connection: &Connection) -> Result<(), TopologyError> {
        let channel = open(connection).await?;
        let failed = |object, name: &ShortString, source| TopologyError::Declare {
            object,
            name: name.as_str().to_owned(),
            source,
        };
        for queue in &self.queues {
            let deleted = channel.queue_delete(queue.name.clone(), QueueDeleteOptions::default());
            let deleted = deleted.await;
            deleted.map_err(|source| failed(ObjectKind::Queue, &queue.name, source))?;
        }
        for exchange in &self.exchanges {
            let options = ExchangeDeleteOptions::default();
            let deleted = channel
                .exchange_delete(exchange.name.clone(), options)
                .await;
            deleted.map_err(|source| failed(ObjectKind::Exchange, &exchange.name, source))?;
        }
        Ok(())
    }

    /// Looks at each object and changes nothing.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Declare`] and [`TopologyError::Channel`]; a mismatch is a status.
    pub(crate) async fn check(
        &self,
        connection: &Connection,
    ) -> Result<Vec<ObjectStatus>, TopologyError> {
        let mut statuses = Vec::with_capacity(self.exchanges.len() + self.queues.len());
        for exchange in &self.exchanges {
            // Each question that is answered with an error costs its channel.
            let passive = exchange.declare_passively(&open(connection).await?).await;
            let state = match known(passive)? {
                ObjectState::Ok => known(exchange.declare(&open(connection).await?).await)?,
                other @ (ObjectState::Missing | ObjectState::Mismatch { .. }) => other,
            };
            statuses.push(ObjectStatus::new(
                ObjectKind::Exchange,
                &exchange.name,
                state,
            ));
        }
        for queue in &self.queues {
            let passive = queue.declare_passively(&open(connection).await?).await;
            let state = match known(passive)? {
                // It exists: a declaration creates nothing and compares the arguments.
                ObjectState::Ok => known(queue.declare_queue(&open(connection).await?).await)?,
                other @ (ObjectState::Missing | ObjectState::Mismatch { .. }) => other,
            };
            statuses.push(ObjectStatus::new(ObjectKind::Queue, &queue.name, state));
        }
        Ok(statuses)
    }
}

impl ObjectStatus {
    fn new(object: ObjectKind, name: &ShortString, state: ObjectState) -> Self {
        Self {
            object,
            name: name.as_str().to_owned(),
            state,
        }
    }
}

impl TopologyError {
    pub(crate) fn of(object: ObjectKind, name: &ShortString, source: lapin::Error) -> Self {
        let name = name.as_str().to_owned();
        match soft(&source) {
            Some((AMQPSoftError::PRECONDITIONFAILED, sentence)) => Self::Mismatch {
                object,
                name,
                argument: argument_of(sentence).to_owned(),
                detail: sentence.to_owned(),
            },
            Some(_) | None => Self::Declare {
                object,
                name,
                source,
            },
        }
    }
}

/// Turns the two answers that are findings into a state.
fn known(result: Result<(), TopologyError>) -> Result<ObjectState, TopologyError> {
    match result {
        Ok(()) => Ok(ObjectState::Ok),
        Err(TopologyError::Mismatch {
            argument, detail, ..
        }) => Ok(ObjectState::Mismatch { argument, detail }),
        Err(TopologyError::Declare { source, .. })
            if matches!(soft(&source), Some((AMQPSoftError::NOTFOUND, _))) =>
        {
            Ok(ObjectState::Missing)
        }
        Err(error @ (TopologyError::Declare { .. } | TopologyError::Channel(_))) => Err(error),
    }
}

/// The channel-level error that the broker answered with, and its sentence.
pub(crate) fn soft(error: &lapin::Error) -> Option<(&AMQPSoftError, &str)> {
    if let ErrorKind::ProtocolError(error) = error.kind()
        && let AMQPErrorKind::Soft(soft) = error.kind()
    {
        return Some((soft, error.get_message().as_str()));
    }
    None
}

/// The argument in a sentence such as `PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit'
/// for queue …`; `type`, `durable` and their like are named the same way.
fn argument_of(sentence: &str) -> &str {
    sentence
        .split_once("arg '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map_or("argument", |(argument, _)| argument)
}

/// The routing key of a lane; always short enough.
pub(crate) fn routing_key(lane: Lane) -> ShortString {
    lane.routing_key().as_ref().into()
}

pub(crate) async fn open(connection: &Connection) -> Result<Channel, TopologyError> {
    connection
        .create_channel()
        .await
        .map_err(TopologyError::Channel)
}

#[cfg(test)]
mod tests;
