//! What the demo hears: every event, held against what was submitted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::Value;

use crate::cli::demo::plan::{PlannedJob, Role};
use crate::domain::money::Fen;
use crate::domain::time::Monotonic;

/// The terminal event of one id.
pub(super) struct Told {
    /// The event's data, by which copies are compared.
    pub(super) data: Value,
    /// How many equal copies came.
    pub(super) copies: u64,
    /// From the first submission to the first copy.
    pub(super) took: Duration,
}

impl Told {
    pub(super) fn text(&self, field: &str) -> &str {
        self.data
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn fen(&self) -> u64 {
        Fen::parse_yuan(self.text("amount")).map_or(0, Fen::get)
    }
}

/// Everything heard so far.
pub(super) struct Tally {
    pub(super) progress: ProgressBar,
    /// When each expected id, or beginning of one, was first submitted.
    pub(super) submitted: BTreeMap<String, Monotonic>,
    /// Terminal events by the expectation that they meet.
    pub(super) told: HashMap<String, Told>,
    /// Events that are not terminal, or that nobody expected.
    pub(super) other: Vec<String>,
    /// Ids of which two copies had different data.
    pub(super) unequal: Vec<String>,
    /// How many jobs were submitted in each role.
    pub(super) roles: Roles,
    pub(super) last_event_at: Monotonic,
}

/// How many jobs were submitted in each role.
#[derive(Default)]
pub(super) struct Roles {
    pub(super) originals: u64,
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
    pub(super) invalid: u64,
    pub(super) garbage: u64,
}

impl Tally {
    pub(super) fn new(progress: ProgressBar) -> Self {
        Self {
            progress,
            submitted: BTreeMap::new(),
            told: HashMap::new(),
            other: Vec::new(),
            unequal: Vec::new(),
            roles: Roles::default(),
            last_event_at: Monotonic(Duration::ZERO),
        }
    }

    /// Notes a job that is about to be submitted.
    pub(super) fn submitted(&mut self, job: &PlannedJob, now: Monotonic) {
        self.last_event_at = now;
        let (count, expected) = match &job.role {
            Role::Original(id) => (&mut self.roles.originals, Some(id)),
            Role::Duplicate(id) => (&mut self.roles.duplicates, Some(id)),
            Role::Conflict(id) => (&mut self.roles.conflicts, Some(id)),
            Role::Invalid(id) => (&mut self.roles.invalid, Some(id)),
            Role::Garbage => (&mut self.roles.garbage, None),
        };
        *count += 1;
        if let Some(expected) = expected {
            self.submitted.entry(expected.clone()).or_insert(now);
        }
    }

    /// Notes an event.
    pub(super) fn took(&mut self, id: &str, body: &[u8], now: Monotonic) {
        self.last_event_at = now;
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        let data = event.get("data").cloned().unwrap_or_default();
        let Some(expected) = self.expectation(id) else {
            self.other.push(id.to_owned());
            return;
        };
        if let Some(told) = self.told.get_mut(&expected) {
            told.copies += 1;
            if told.data != data {
                self.unequal.push(id.to_owned());
            }
            return;
        }
        let submitted_at = self.submitted.get(&expected).copied().unwrap_or(now);
        let took = now.since(submitted_at);
        self.told.insert(
            expected,
            Told {
                data,
                copies: 1,
                took,
            },
        );
        self.progress.inc(1);
    }

    /// How many expectations are not met.
    pub(super) fn open(&self) -> usize {
        self.submitted.len().saturating_sub(self.told.len())
    }

    /// What the events say was disbursed from a packet, in fen.
    pub(super) fn disbursed_from(&self, packet: &str) -> u64 {
        let label = |told: &&Told| {
            told.data.pointer("/labels/packet").and_then(Value::as_str) == Some(packet)
        };
        let told = self
            .told
            .values()
            .filter(|told| told.text("result") == "succeeded");
        told.filter(label).map(Told::fen).sum()
    }

    /// The expectation that an event meets: its id, or the beginning that ends in a slash.
    fn expectation(&self, id: &str) -> Option<String> {
        if self.submitted.contains_key(id) {
            return Some(id.to_owned());
        }
        let (head, _) = id.rsplit_once('/')?;
        let beginning = format!("{head}/");
        self.submitted.contains_key(&beginning).then_some(beginning)
    }
}
