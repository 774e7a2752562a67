//! Everything around the workers in one place: the servers, the weather, the oracle, the trace.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hongbaod::app::metrics::Metrics;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::MerchantNo;
use hongbaod::domain::job::{JobKey, Kind, MoneyJob, OperationRef, QueryTarget};
use hongbaod::ports::broker::JobCopy;
use serde_json::Value;
use tokio::sync::Notify;

use super::bank::Bank;
use super::dice::Dice;
use super::hall::{Hall, Message};
use super::oracle::{Guard, Oracle, Proof};
use super::planted::Bug;
use super::process::Process;
use super::scenario::{SKEW_MAX, Scenario, Weather};
use super::store::Store;

/// How long after the last fault every copy too many is gone.
const SETTLING: Duration = Duration::from_secs(600);

/// For how long after a loss an event may tell what was decided before its notice.
const UNNOTICED_MAX: Duration = Duration::from_secs(60);

/// What a worker's world is made of.
pub(crate) struct Town {
    pub(crate) scenario: Scenario,
    pub(crate) bug: Option<Bug>,
    pub(crate) metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// A queue or a channel has changed.
    pub(crate) changed: Notify,
    start: tokio::time::Instant,
    is_tracing: bool,
}

/// What changes.
pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) store: Store,
    pub(crate) hall: Hall,
    pub(crate) bank: Bank,
    pub(crate) oracle: Oracle,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// The jobs by the contents that were prepared for them.
    pub(crate) contents: BTreeMap<String, MoneyJob>,
    pub(crate) seats: Vec<Option<Arc<Process>>>,
    pub(crate) processes: u64,
    /// The version that every replica has from now on.
    pub(crate) rolled_to: Option<u64>,
    /// Whether replicas of another version than the first have run.
    pub(crate) is_mixed: bool,
    /// When the last fault was, or the last message that somebody outside published.
    pub(crate) restless_until: Duration,
    /// Messages of producers that are not confirmed yet.
    pub(crate) unsubmitted: usize,
    pub(crate) calls: u64,
    pub(crate) events: u64,
    pub(crate) trace: Vec<String>,
    /// A digest of everything that happened and when.
    pub(crate) mark: u64,
}

impl Town {
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's own time is virtual here"
    )]
    pub(crate) fn new(
        scenario: Scenario,
        dice: Dice,
        bug: Option<Bug>,
        is_tracing: bool,
    ) -> Arc<Self> {
        let policy = &scenario.options.policy;
        let state = State {
            dice,
            weather: scenario.weather,
            store: Store::default(),
            hall: Hall::new(scenario.prefetch),
            bank: Bank::new(scenario.manners, scenario.funds),
            oracle: Oracle::new(Proof {
                confirmations: policy.absence_confirmations,
                window: policy.absence_window.saturating_sub(SKEW_MAX),
            }),
            faults: BTreeMap::new(),
            contents: BTreeMap::new(),
            seats: vec![None; scenario.seats],
            processes: 0,
            rolled_to: None,
            is_mixed: false,
            restless_until: scenario.calm_at,
            unsubmitted: scenario.submissions.len(),
            calls: 0,
            events: 0,
            trace: Vec::new(),
            mark: 0,
        };
        Arc::new(Self {
            metrics: Arc::new(Metrics::new(&[super::scenario::app()])),
            scenario,
            bug,
            state: Mutex::new(state),
            changed: Notify::new(),
            start: tokio::time::Instant::now(),
            is_tracing,
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Changes something, and lets the oracle see what came of it.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let result = change(&mut state);
        let now = self.now();
        state.bank.advance(now);
        for (key, job) in std::mem::take(&mut state.bank.moved) {
            state.note(now, self.is_tracing, "bank", &format_args!("MOVED {key:?}"));
            state.oracle.moved(key, &job);
        }
        result
    }

    /// Writes a line of the trace, and marks the run by it.
    pub(crate) fn note(&self, who: &str, what: &impl Display) {
        let now = self.now();
        self.state
            .lock()
            .unwrap()
            .note(now, self.is_tracing, who, what);
    }

    pub(crate) fn fault(&self, who: &str, what: &'static str) {
        let mut state = self.state.lock().unwrap();
        *state.faults.entry(what).or_default() += 1;
        state.note(
            self.now(),
            self.is_tracing,
            who,
            &format_args!("FAULT {what}"),
        );
    }
}

impl State {
    fn note(&mut self, now: Duration, is_tracing: bool, who: &str, what: &impl Display) {
        let millis = u64::try_from(now.as_millis()).unwrap();
        self.calls += 1;
        self.mark = who.bytes().fold(self.mark ^ millis, |mark, byte| {
            (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        if is_tracing {
            let line = format!("{:>10.3} {who:<6} {what}", now.as_secs_f64());
            self.trace.push(line);
        }
    }

    /// The tag of a message, from its labels; a body that is no job is the bad one.
    pub(crate) fn tag(body: &Bytes) -> String {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        value["labels"]["job"].as_str().unwrap_or("bad").to_owned()
    }

    pub(crate) fn message(copy: &JobCopy) -> Message {
        Hall::message(&Self::tag(&copy.body), copy.clone())
    }

    /// Memory that is lost, and what it means for those who were told "no".
    pub(crate) fn loses(&mut self, now: Duration, lost: &[Entry]) {
        self.oracle.lost_at = Some(now);
        for entry in lost {
            if let Entry::Settled(outcome) = entry {
                self.oracle.forgets(outcome);
            }
        }
        self.oracle.forget_conflicts();
        let orphans = self
            .oracle
            .asked()
            .iter()
            .filter(|(_, asked)| asked.orphaned);
        let orphans: Vec<String> = orphans.map(|(tag, _)| tag.clone()).collect();
        for tag in orphans {
            if !self.is_remembered(&tag) && self.hall.copies(&tag) == 0 {
                self.oracle.release(&tag);
            }
        }
    }

    /// Somebody purges a queue.
    pub(crate) fn purge(&mut self, kind: Kind) -> usize {
        let gone = self.hall.purge(kind);
        for message in &gone {
            self.oracle.purged(&message.tag);
            self.look_for(&message.tag);
        }
        gone.len()
    }

    /// Whether the ledger knows the job as unsettled.
    fn is_remembered(&self, tag: &str) -> bool {
        let pending = self
            .store
            .entries()
            .filter_map(|(_, entry)| entry.pending());
        pending
            .into_iter()
            .any(|pending| super::oracle::tag_of(&pending.job) == tag)
    }

    /// P2: a job that was confirmed and is not told has a message somewhere.
    pub(crate) fn look_for(&mut self, tag: &str) {
        let Some(asked) = self.oracle.asked().get(tag) else {
            return;
        };
        if asked.confirmed == 0 || asked.orphaned || self.oracle.is_quits(tag) {
            return;
        }
        if self.hall.copies(tag) > 0 || self.hall.is_dead(tag) {
            return;
        }
        let purged = asked.purged;
        if purged && self.is_remembered(tag) {
            // The rescue task has to bring it back.
            self.oracle.orphan(tag, true);
        } else if purged {
            self.oracle.release(tag);
        } else {
            let what = format!("P2: {tag} has no message and no outcome");
            self.oracle.violate(what);
        }
    }

    /// An event is published.
    pub(crate) fn tell(&mut self, (now, doubt): (Duration, Duration), id: &str, body: &Value) {
        self.events += 1;
        let entry = key_of_event(id).and_then(|key| self.store.entry(&key).cloned());
        let lost_at = self.oracle.lost_at;
        let guard = match lost_at {
            Some(lost) if now < lost + UNNOTICED_MAX => Guard::NotYetUp,
            Some(lost) if now > lost + doubt => Guard::DownAgain,
            Some(_) | None => Guard::Up,
        };
        self.oracle.told(id, body, entry.as_ref(), guard);
    }

    /// Whether the job's entry is the first of its life and comes from nothing but redelivered
    /// messages: then the lack of an entry proved nothing.
    pub(crate) fn is_first_of_marked(&self, channel: u64, job: &MoneyJob) -> bool {
        let is_first = match self.store.entry(&job.key()) {
            Some(Entry::InFlight(entry)) => entry.attempt == 1 && entry.pending.attempts == 0,
            Some(Entry::Deferred(_) | Entry::Settled(_)) | None => false,
        };
        is_first && self.hall.is_marked(channel, &super::oracle::tag_of(job))
    }

    /// A query was answered "not found".
    pub(crate) fn found_nothing(
        &mut self,
        target: &QueryTarget,
        asked_at: Duration,
        now: Duration,
    ) {
        if let OperationRef::OutRequestNo(number) = &target.operation {
            let key = JobKey {
                app: super::scenario::app(),
                out_request_no: number.clone(),
            };
            self.oracle.found_nothing(&key, asked_at, now);
        }
    }

    /// P6: once it has been calm for long, the job that has the ledger's entry has one copy, and a
    /// second one for the moment between its confirm and the acknowledgement of the first.
    pub(crate) fn count_copies(&mut self, now: Duration, tag: &str) {
        let copies = self.hall.copies(tag);
        if now > self.restless_until + SETTLING && copies > 2 && self.is_remembered(tag) {
            self.oracle.violate(format!(
                "P6: {copies} copies of {tag} long after the last fault"
            ));
        }
    }

    /// Whether everybody has an answer and nothing moves any more.
    pub(crate) fn is_over(&self) -> bool {
        self.unsubmitted == 0
            && self.hall.living().next().is_none()
            && self.bank.is_still()
            && self
                .oracle
                .asked()
                .keys()
                .all(|tag| self.oracle.is_quits(tag) || self.hall.is_dead(tag))
            && self
                .hall
                .dead
                .iter()
                .all(|letter| letter.reason == "invalid")
            && self
                .store
                .entries()
                .all(|(_, entry)| entry.pending().is_none())
    }

    /// What is not over, for people.
    pub(crate) fn what_is_left(&self) -> String {
        let untold = self
            .oracle
            .asked()
            .iter()
            .filter(|(tag, _)| !self.oracle.is_quits(tag));
        let untold: Vec<&String> = untold.map(|(tag, _)| tag).collect();
        let pending = self
            .store
            .entries()
            .filter(|(_, entry)| entry.pending().is_some());
        let pending: Vec<String> = pending
            .map(|(key, entry)| format!("{key}: {entry:?}"))
            .collect();
        let living: Vec<&String> = self.hall.living().map(|message| &message.tag).collect();
        let dead: Vec<&str> = self.hall.dead.iter().map(|letter| letter.reason).collect();
        format!("untold {untold:?}, unsettled {pending:?}, messages {living:?}, dead {dead:?}")
    }
}

/// `<app>/<kind>/<number>` and whatever follows.
fn key_of_event(id: &str) -> Option<JobKey> {
    let number = id.split('/').nth(2)?;
    Some(JobKey {
        app: super::scenario::app(),
        out_request_no: MerchantNo::new(number).ok()?,
    })
}
