//! The topology in plain words, for the contract: what is declared, without the client library.

use lapin::types::{AMQPValue, FieldTable};

use crate::adapters::rabbitmq::topology::Topology;
use crate::domain::lane::Lane;

/// Everything that is declared under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The exchange that jobs are published to.
    pub jobs: String,
    /// The exchange that outcome events are published to.
    pub outcomes: String,
    /// The queue of events that nobody is bound for.
    pub unrouted: String,
    /// The queue of dead letters.
    pub dead: String,
    /// The lanes, and the queue of each.
    pub lanes: Vec<(Lane, String)>,
    /// Every exchange.
    pub exchanges: Vec<ExchangeOutline>,
    /// Every queue.
    pub queues: Vec<QueueOutline>,
}

/// A durable exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeOutline {
    /// Its name.
    pub name: String,
    /// `direct`, `fanout` or `topic`.
    pub kind: String,
    /// Its arguments by name.
    pub arguments: Vec<(String, Argument)>,
}

/// A durable queue with one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOutline {
    /// Its name.
    pub name: String,
    /// Its arguments by name.
    pub arguments: Vec<(String, Argument)>,
    /// The exchange that it is bound to.
    pub exchange: String,
    /// The routing key of the binding.
    pub routing_key: String,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
}

impl Topology {
    /// What is declared.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let lanes = Lane::all(self.shards).into_iter();
        Outline {
            jobs: self.jobs.as_str().to_owned(),
            outcomes: self.outcomes.as_str().to_owned(),
            unrouted: self.unrouted.as_str().to_owned(),
            dead: self.dead.as_str().to_owned(),
            lanes: lanes
                .map(|lane| (lane, self.job_queue(lane).as_str().to_owned()))
                .collect(),
            exchanges: self.exchanges.iter().map(|spec| spec.outline()).collect(),
            queues: self.queues.iter().map(|spec| spec.outline()).collect(),
        }
    }
}

/// The arguments of a declaration, which are texts and numbers.
pub(super) fn arguments(table: &FieldTable) -> Vec<(String, Argument)> {
    let arguments = table.inner().iter();
    arguments
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), argument(value)?)))
        .collect()
}

fn argument(value: &AMQPValue) -> Option<Argument> {
    if let AMQPValue::LongString(text) = value {
        return Some(Argument::Text(text.to_string()));
    }
    if let AMQPValue::LongLongInt(number) = value {
        return u64::try_from(*number).ok().map(Argument::Number);
    }
    None
}
