//! Which lanes are consumed, how they share the prefetch, and those that the configuration has left
//! behind.
//!
//! A shard that is not configured any more is *retired*. Its queue may hold jobs still, and copies in
//! the retry ladder keep its routing key; so it is consumed for as long as it exists, but never
//! declared and never deleted by us.

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;

use crate::adapters::rabbitmq::topology::{ObjectKind, Topology, TopologyError, open, soft};
use crate::adapters::rabbitmq::{Prefetch, RabbitmqOptions};
use crate::domain::job::Kind;
use crate::domain::lane::{Lane, SHARDS_MAX, Tier};

/// After so many numbers without a queue in a row no more are looked for: each such question is an
/// error in RabbitMQ's log. Whoever deletes queues begins at the highest number.
const GAP_MAX: u8 = 4;

/// A retired queue that is not empty is told of once in so many looks.
const LOOKS_BETWEEN_WARNINGS: u32 = 30;

/// Whether a queue is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is.
    Queue {
        /// How many messages wait in it.
        messages: u32,
    },
    /// It is not.
    Nothing,
}

/// Every lane to consume: those of the configuration, then the retired ones that still have a queue.
///
/// # Errors
///
/// [`TopologyError`], when the broker cannot be asked.
pub(crate) async fn lanes(
    options: &RabbitmqOptions,
    topology: &Topology,
    connection: &Connection,
) -> Result<Vec<Lane>, TopologyError> {
    let mut lanes = Lane::all(options.shards);
    for kind in [Kind::Disburse, Kind::Refund, Kind::Pay] {
        let mut missing = 0;
        for number in options.shards.of(kind).get()..SHARDS_MAX {
            let lane = Lane::shard(kind, number);
            match look(topology, lane, connection).await? {
                Found::Queue { messages } => {
                    missing = 0;
                    tracing::warn!(
                        queue = topology.job_queue(lane).as_str(),
                        messages,
                        "the queue of a shard that is not configured any more is consumed until it is deleted"
                    );
                    lanes.push(lane);
                }
                Found::Nothing => missing += 1,
            }
            if missing == GAP_MAX {
                break;
            }
        }
    }
    Ok(lanes)
}

/// Looks whether the queue of `lane` is there, whatever its arguments.
///
/// # Errors
///
/// [`TopologyError`], when the broker cannot be asked.
pub(crate) async fn look(
    topology: &Topology,
    lane: Lane,
    connection: &Connection,
) -> Result<Found, TopologyError> {
    // A question that is answered with an error costs its channel.
    let channel = open(connection).await?;
    let name = topology.job_queue(lane);
    let options = QueueDeclareOptions::durable().passive();
    let asked = channel.queue_declare(name.clone(), options, FieldTable::default());
    match asked.await {
        Ok(queue) => {
            let messages = queue.message_count();
            // The lane looks again whenever its channel breaks.
            drop(channel.close(200, "OK".into()).await);
            Ok(Found::Queue { messages })
        }
        Err(error) if matches!(soft(&error), Some((AMQPSoftError::NOTFOUND, _))) => {
            Ok(Found::Nothing)
        }
        Err(error) => Err(TopologyError::of(ObjectKind::Queue, &name, error)),
    }
}

/// How many unacknowledged deliveries `lane` may have: a kind's shards, retired ones included,
/// share what is configured for the kind; each gets one at least.
pub(crate) fn prefetch(prefetch: Prefetch, lane: Lane, lanes: &[Lane]) -> u16 {
    let whole = prefetch.of(lane.kind).get();
    let is_shard = |other: &&Lane| {
        other.kind == lane.kind
            && match other.tier {
                Tier::Shard(_) => true,
                Tier::Urgent | Tier::Bulk => false,
            }
    };
    match lane.tier {
        Tier::Urgent | Tier::Bulk => whole,
        Tier::Shard(_) => {
            let shards = u16::try_from(lanes.iter().filter(is_shard).count()).unwrap_or(u16::MAX);
            (whole / shards.max(1)).max(1)
        }
    }
}

/// Tells operators how a retired queue empties.
#[derive(Default)]
pub(crate) struct Drain {
    looks: u32,
    told: Option<Told>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Empty,
    NotEmpty,
}

impl Drain {
    /// Learns how many messages wait in `queue`.
    pub(crate) fn look(&mut self, queue: &str, ready: u32) {
        let now = if ready == 0 {
            Told::Empty
        } else {
            Told::NotEmpty
        };
        self.looks = self.looks.saturating_add(1);
        let is_due = now == Told::NotEmpty && self.looks >= LOOKS_BETWEEN_WARNINGS;
        if self.told == Some(now) && !is_due {
            return;
        }
        self.told = Some(now);
        self.looks = 0;
        match now {
            Told::NotEmpty => tracing::warn!(
                queue,
                messages = ready,
                "jobs wait in the queue of a shard that is not configured any more"
            ),
            Told::Empty => tracing::info!(
                queue,
                "the queue of a shard that is not configured any more is empty; copies in the retry ladder may still come back to it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use super::prefetch;
    use crate::adapters::rabbitmq::Prefetch;
    use crate::domain::job::Kind;
    use crate::domain::lane::{Lane, Shards};

    #[test]
    fn the_shards_of_a_kind_share_its_prefetch() {
        let shards = Shards {
            disburse: NonZeroU8::new(4).unwrap(),
            ..Shards::default()
        };
        let mut lanes = Lane::all(shards);
        let of = |lane, lanes: &[Lane]| prefetch(Prefetch::default(), lane, lanes);
        let first = Lane::from(Kind::Disburse);
        assert_eq!(of(first, &lanes), 64);
        assert_eq!(of(Lane::urgent(Kind::Disburse), &lanes), 256);
        assert_eq!(of(Lane::from(Kind::Refund), &lanes), 64);
        // Retired ones take part.
        lanes.extend((4..8).map(|number| Lane::shard(Kind::Disburse, number)));
        assert_eq!(of(first, &lanes), 32);
        assert_eq!(of(Lane::shard(Kind::Disburse, 7), &lanes), 32);
        lanes.extend((0..250).map(|_| Lane::shard(Kind::Refund, 9)));
        assert_eq!(of(Lane::from(Kind::Refund), &lanes), 1);
    }
}
