//! The one line that a storm ends with.

use std::fmt;
use std::time::Duration;

use super::comparison::{Evidence, Findings};
use super::field::Diary;
use super::jobs::{Ask, Wish};
use super::producer::Published;
use super::settling::Settled;

/// What the daemons counted; a killed one's last second is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    deliveries: u64,
    duplicates: u64,
    deferrals: u64,
    /// How often a daemon ended by itself.
    pub(crate) exits: u64,
}

impl Work {
    /// Reads it from a daemon's metrics.
    pub(crate) fn of_metrics(text: &str) -> Self {
        let sum = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            values.sum()
        };
        Self {
            deliveries: sum("hongbaod_jobs_received_total{"),
            duplicates: sum("hongbaod_duplicates_total{"),
            deferrals: sum("hongbaod_deferrals_total{"),
            exits: 0,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.duplicates += other.duplicates;
        self.deferrals += other.deferrals;
        self.exits += other.exits;
    }
}

/// Everything that is said of a storm.
pub(crate) struct Summary<'a> {
    /// Seed and length.
    pub(crate) order: (u64, Duration),
    pub(crate) messages: usize,
    pub(crate) asks: &'a [Ask],
    pub(crate) published: Published,
    pub(crate) settled: &'a Settled,
    /// How many ids of events were told before everything was healed.
    pub(crate) told_in_storm: usize,
    pub(crate) diary: &'a Diary,
    pub(crate) work: Work,
    pub(crate) evidence: &'a Evidence,
    pub(crate) findings: &'a Findings,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, length) = self.order;
        let seconds = length.as_secs();
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        write!(f, "storm: seed {seed}, {minutes} min {seconds} s, ")?;
        let count = |wanted: fn(&Wish) -> bool| {
            let asks = self.asks.iter().filter(|ask| wanted(&ask.wish));
            asks.count()
        };
        write!(
            f,
            "jobs {} (disburse {}, refund {}, query {}, bad {}), ",
            self.asks.len(),
            count(|wish| matches!(wish, Wish::Disburse { .. })),
            count(|wish| matches!(wish, Wish::Refund { .. })),
            count(|wish| matches!(wish, Wish::Query { .. })),
            count(|wish| matches!(wish, Wish::Bad { .. })),
        )?;
        write!(
            f,
            "messages {} (confirmed {}, repeated {}), thrown away with a queue {}, of those \
             resubmitted at the end {} (held by a daemon {}), ",
            self.messages,
            self.published.confirmed,
            self.published.repeated,
            self.diary.thrown_away_count,
            self.settled.resubmitted,
            self.settled.held.len(),
        )?;
        write!(
            f,
            "deliveries at least {} (duplicates {}, deferrals {}), ",
            self.work.deliveries, self.work.duplicates, self.work.deferrals
        )?;
        let faults: usize = self.diary.faults.values().sum();
        let kinds = self.diary.faults.iter();
        let kinds: Vec<String> = kinds
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let left_out = self.diary.left_out;
        write!(
            f,
            "faults {faults} ({}), left out {left_out}, ",
            kinds.join(", ")
        )?;
        write!(f, "daemons that ended at their start {}, ", self.work.exits)?;
        self.rest(f)
    }
}

impl Summary<'_> {
    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (evidence, findings) = (self.evidence, self.findings);
        let moves = evidence.operations.iter();
        let moves = moves.filter(|o| o["kind"] != "pay" && o["status"] == "SUCCESS");
        write!(
            f,
            "events {} with {} ids ({} of them during the storm), bank moves {}, dead letters {}, ",
            evidence.told.events,
            evidence.told.ids(),
            self.told_in_storm,
            moves.count(),
            evidence.dead_letters.len()
        )?;
        write!(
            f,
            "unresolved on the way {}, given to operators {}, forgotten negatives {}, other {}; ",
            findings.unresolved,
            findings.given_to_operators,
            findings.forgotten_negatives,
            findings.others.len()
        )?;
        write!(
            f,
            "lost {}, doubled {}, falsely failed {}, unequal copies {}",
            findings.lost.len(),
            findings.doubled.len(),
            findings.falsely_failed.len(),
            findings.unequal_copies.len()
        )
    }
}
