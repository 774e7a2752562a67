//! Which fault comes when: all of it drawn from the seed before anything starts.

use std::time::Duration;

use crate::daemon::plan::Dice;
use crate::faults::proxy::{Direction, Directions};

/// How many daemons run.
pub(crate) const REPLICAS: usize = 2;

/// A kind of connection that a daemon has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Amqp,
    Redis,
    Gateway,
}

impl Link {
    pub(crate) const ALL: [Self; 3] = [Self::Amqp, Self::Redis, Self::Gateway];
}

/// Whose connections a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Replica(usize),
    Everybodys,
}

impl Whose {
    pub(crate) fn include(self, replica: usize) -> bool {
        match self {
            Self::Replica(one) => one == replica,
            Self::Everybodys => true,
        }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9, and a new process after `down`.
    WorkerKilled {
        replica: usize,
        down: Duration,
    },
    /// SIGSTOP, and SIGCONT after `length`.
    WorkerFrozen {
        replica: usize,
        length: Duration,
    },
    /// SIGTERM, and a new process, as in a rollout.
    WorkerReplaced {
        replica: usize,
    },
    BrokerKilled {
        down: Duration,
    },
    BrokerFrozen {
        length: Duration,
    },
    /// The memory alarm: no publisher is served.
    BrokerAlarmed {
        length: Duration,
    },
    /// The queue of disburse jobs, with all that is in it.
    JobQueueDeleted,
    /// A low rung of the retry ladder, with all that waits there.
    RetryQueueDeleted {
        rung: usize,
    },
    /// What waits in the queue of disburse jobs.
    JobQueuePurged,
    RedisKilled {
        down: Duration,
    },
    RedisFrozen {
        length: Duration,
    },
    /// `maxmemory` is reached: reads are answered, writes refused.
    RedisFull {
        length: Duration,
    },
    /// FLUSHALL.
    RedisFlushed,
    /// Connections are cut, and new ones too while `length` lasts.
    LinkCut {
        link: Link,
        whose: Whose,
        length: Duration,
    },
    LinkStalled {
        link: Link,
        whose: Whose,
        directions: Directions,
        length: Duration,
    },
    LinkHalfClosed {
        link: Link,
        whose: Whose,
        direction: Direction,
    },
    /// Alipay's manners change.
    Manners {
        index: usize,
    },
}

impl Fault {
    /// The word that it is counted under.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WorkerKilled { .. } => "worker killed",
            Self::WorkerFrozen { .. } => "worker frozen",
            Self::WorkerReplaced { .. } => "worker replaced",
            Self::BrokerKilled { .. } => "broker killed",
            Self::BrokerFrozen { .. } => "broker frozen",
            Self::BrokerAlarmed { .. } => "memory alarm",
            Self::JobQueueDeleted => "job queue deleted",
            Self::RetryQueueDeleted { .. } => "retry queue deleted",
            Self::JobQueuePurged => "job queue purged",
            Self::RedisKilled { .. } => "redis killed",
            Self::RedisFrozen { .. } => "redis frozen",
            Self::RedisFull { .. } => "redis full",
            Self::RedisFlushed => "redis flushed",
            Self::LinkCut { link, .. } => match link {
                Link::Amqp => "amqp cut",
                Link::Redis => "redis cut",
                Link::Gateway => "gateway cut",
            },
            Self::LinkStalled { link, .. } => match link {
                Link::Amqp => "amqp stalled",
                Link::Redis => "redis stalled",
                Link::Gateway => "gateway stalled",
            },
            Self::LinkHalfClosed { link, .. } => match link {
                Link::Amqp => "amqp half-closed",
                Link::Redis => "redis half-closed",
                Link::Gateway => "gateway half-closed",
            },
            Self::Manners { .. } => "alipay's manners",
        }
    }

    /// How long its victim is busy with it, about.
    fn length(self) -> Duration {
        match self {
            Self::WorkerKilled { down, .. } | Self::RedisKilled { down } => down,
            // It starts slowly, and is not killed again before it has written what it voted.
            Self::BrokerKilled { down } => down + Duration::from_secs(8),
            // The command that sets the alarm takes a second, twice.
            Self::BrokerAlarmed { length } => length + Duration::from_secs(2),
            Self::WorkerFrozen { length, .. }
            | Self::BrokerFrozen { length }
            | Self::RedisFrozen { length }
            | Self::RedisFull { length }
            | Self::LinkCut { length, .. }
            | Self::LinkStalled { length, .. } => length,
            Self::WorkerReplaced { .. }
            | Self::JobQueueDeleted
            | Self::RetryQueueDeleted { .. }
            | Self::JobQueuePurged => Duration::from_secs(1),
            Self::RedisFlushed | Self::LinkHalfClosed { .. } | Self::Manners { .. } => {
                Duration::ZERO
            }
        }
    }
}

/// A fault and its instant, from the beginning of the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
}

type Draw = fn(&mut Dice) -> Fault;

/// A victim: one fault of it ends before the next begins, those of different victims overlap.
struct Lane {
    /// The shortest and the longest pause between two faults, in milliseconds.
    pause_ms: (usize, usize),
    faults: &'static [Draw],
}

const LANES: [Lane; 7] = [
    Lane {
        pause_ms: (1_000, 5_000),
        faults: &[
            |dice| Fault::WorkerKilled {
                replica: dice.below(REPLICAS),
                down: span(dice, 0, 2_000),
            },
            |dice| Fault::WorkerFrozen {
                replica: dice.below(REPLICAS),
                length: span(dice, 100, 5_000),
            },
            |dice| Fault::WorkerKilled {
                replica: dice.below(REPLICAS),
                down: span(dice, 0, 500),
            },
            |dice| Fault::WorkerReplaced {
                replica: dice.below(REPLICAS),
            },
        ],
    },
    Lane {
        pause_ms: (500, 3_000),
        faults: &[
            |dice| Fault::BrokerKilled {
                down: span(dice, 0, 1_500),
            },
            |dice| Fault::BrokerFrozen {
                length: span(dice, 200, 5_000),
            },
            |dice| Fault::BrokerAlarmed {
                length: span(dice, 500, 4_000),
            },
            |_| Fault::JobQueueDeleted,
            |dice| Fault::RetryQueueDeleted {
                rung: dice.below(3),
            },
            |_| Fault::JobQueuePurged,
        ],
    },
    Lane {
        pause_ms: (2_000, 8_000),
        faults: &[
            |dice| Fault::RedisKilled {
                down: span(dice, 0, 2_000),
            },
            |dice| Fault::RedisFrozen {
                length: span(dice, 100, 4_000),
            },
            |dice| Fault::RedisFull {
                length: span(dice, 200, 3_000),
            },
            |_| Fault::RedisFlushed,
        ],
    },
    Lane {
        pause_ms: (2_000, 10_000),
        faults: &[
            |dice| cut(dice, Link::Amqp),
            |dice| stall(dice, Link::Amqp, 7_000),
            |dice| half_close(dice, Link::Amqp),
        ],
    },
    Lane {
        pause_ms: (2_000, 10_000),
        faults: &[
            |dice| cut(dice, Link::Redis),
            |dice| stall(dice, Link::Redis, 4_000),
            |dice| half_close(dice, Link::Redis),
        ],
    },
    Lane {
        pause_ms: (1_000, 6_000),
        faults: &[
            |dice| cut(dice, Link::Gateway),
            |dice| stall(dice, Link::Gateway, 3_000),
            |dice| half_close(dice, Link::Gateway),
        ],
    },
    Lane {
        pause_ms: (2_000, 8_000),
        faults: &[
            |_| Fault::Manners { index: 0 },
            |_| Fault::Manners { index: 1 },
            |_| Fault::Manners { index: 2 },
            |_| Fault::Manners { index: 3 },
        ],
    },
];

fn span(dice: &mut Dice, from_ms: usize, to_ms: usize) -> Duration {
    let length_ms = from_ms + dice.below(to_ms - from_ms);
    Duration::from_millis(u64::try_from(length_ms).unwrap())
}

fn whose(dice: &mut Dice) -> Whose {
    match dice.below(REPLICAS + 1) {
        REPLICAS => Whose::Everybodys,
        replica => Whose::Replica(replica),
    }
}

fn direction(dice: &mut Dice) -> Direction {
    [Direction::ToServer, Direction::ToClient][dice.below(2)]
}

fn cut(dice: &mut Dice, link: Link) -> Fault {
    let whose = whose(dice);
    let length = span(dice, 0, 2_000);
    Fault::LinkCut {
        link,
        whose,
        length,
    }
}

fn stall(dice: &mut Dice, link: Link, longest_ms: usize) -> Fault {
    let directions = match dice.below(3) {
        0 => Directions::Both,
        _ => Directions::One(direction(dice)),
    };
    Fault::LinkStalled {
        link,
        whose: whose(dice),
        directions,
        length: span(dice, 100, longest_ms),
    }
}

fn half_close(dice: &mut Dice, link: Link) -> Fault {
    Fault::LinkHalfClosed {
        link,
        whose: whose(dice),
        direction: direction(dice),
    }
}

/// A storm comes in gusts; in the lull after each nothing new goes wrong, so that there is work in
/// full swing when the next one comes.
const GUST: Duration = Duration::from_secs(20);
const LULL: Duration = Duration::from_secs(10);

/// `at`, or the same time into the next gust if it is in a lull.
fn in_a_gust(at: Duration) -> Duration {
    let round_ms = (GUST + LULL).as_millis();
    let into = Duration::from_millis(u64::try_from(at.as_millis() % round_ms).unwrap());
    if into < GUST { at } else { at + LULL }
}

/// Draws a storm of `length`: for each victim its faults, in their order.
///
/// Each lane deals all of its faults once before any comes again, so that a short storm has seen
/// them all.
pub(crate) fn draw(length: Duration, dice: &mut Dice) -> Vec<Vec<Planned>> {
    let draw_lane = |lane: &Lane| {
        let (pause_min_ms, pause_max_ms) = lane.pause_ms;
        let mut planned = Vec::new();
        let mut deck: Vec<Draw> = Vec::new();
        let mut at = in_a_gust(span(dice, 0, pause_max_ms));
        while at < length {
            if deck.is_empty() {
                deck.extend(lane.faults);
            }
            let card = deck.swap_remove(dice.below(deck.len()));
            let fault = card(dice);
            planned.push(Planned { at, fault });
            at = in_a_gust(at + fault.length() + span(dice, pause_min_ms, pause_max_ms));
        }
        planned
    };
    LANES.iter().map(draw_lane).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{GUST, LANES, LULL, draw};
    use crate::daemon::plan::Dice;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_gives_the_same_storm_again_and_another_one_another() {
        assert_eq!(
            draw(MINUTE, &mut Dice::new(7)),
            draw(MINUTE, &mut Dice::new(7))
        );
        assert_ne!(
            draw(MINUTE, &mut Dice::new(7)),
            draw(MINUTE, &mut Dice::new(8))
        );
    }

    #[test]
    fn a_storm_of_three_minutes_has_every_fault_and_none_of_a_victim_overlap() {
        for seed in 0..50 {
            let lanes = draw(MINUTE * 3, &mut Dice::new(seed));
            let mut names = BTreeSet::new();
            for lane in &lanes {
                for planned in lane {
                    let into_ms = planned.at.as_millis() % (GUST + LULL).as_millis();
                    assert!(into_ms < GUST.as_millis(), "{planned:?}");
                }
                for pair in lane.windows(2) {
                    assert!(pair[0].at + pair[0].fault.length() < pair[1].at, "{pair:?}");
                }
                names.extend(lane.iter().map(|planned| planned.fault.name()));
            }
            // Two kinds of killed workers, and four manners, have one name.
            let kinds: usize = LANES.iter().map(|lane| lane.faults.len()).sum();
            assert_eq!(names.len(), kinds - 1 - 3, "seed {seed}: {names:?}");
        }
    }
}
