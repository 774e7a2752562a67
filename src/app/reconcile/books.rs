//! Holds what the ledger has settled in a window of time against the events and against Alipay.
//! Pure; nothing here changes the state of anything.

mod difference;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::app::digest::digest;
use crate::app::outcome_event;
use crate::app::reconcile::window::{Window, happened_at};
use crate::domain::ident::{AlipayNo, MerchantNo};
use crate::domain::job::{
    Fingerprint, JobKey, Kind, MoneyJob, OperationRef, OrderRef, QueryTarget,
};
use crate::domain::money::Fen;
use crate::domain::outcome::{Announcement, Outcome, Resolution};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{AlipayNumbers, Finding, Operation, OperationStatus};

pub use crate::app::reconcile::books::difference::{
    DIFFERENCES_MAX, Difference, DifferenceKind, Report,
};

/// Most entries that are held at a time; one takes about 500 bytes.
pub const ENTRIES_MAX: usize = 2_000_000;

/// The window holds more entries than [`ENTRIES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window holds more than {ENTRIES_MAX} settled jobs: choose a shorter one")]
pub struct TooMany;

/// A line of Alipay's bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// The merchant's number, as the bill spells it.
    pub number: Option<String>,
    /// Alipay's number.
    pub operation: Option<String>,
    /// How much, in or out.
    pub amount: Fen,
    /// When.
    pub at: UnixMillis,
    /// Where in its file, counted from 1.
    pub line: u64,
}

/// A terminal event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    /// Whose outcome.
    pub key: JobKey,
    /// The kind of the job.
    pub kind: Kind,
    /// Of its data.
    pub digest: Fingerprint,
    /// What it says, for people.
    pub says: String,
    /// How much.
    pub amount: Option<Fen>,
    /// When the operation happened.
    pub at: UnixMillis,
}

/// Which sources were read to their end: only then can anything be missing in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files of events.
    pub events: u32,
    /// Bills.
    pub bills: u32,
}

/// The books of one window.
#[derive(Debug)]
pub struct Books {
    window: Window,
    entries: BTreeMap<JobKey, Held>,
    by_operation: HashMap<AlipayNo, JobKey>,
    by_number: HashMap<MerchantNo, Vec<JobKey>>,
    /// Numbers of jobs that are not settled yet.
    unsettled: HashMap<MerchantNo, JobKey>,
    report: Report,
}

/// What the ledger holds of one job, and what was seen of it elsewhere.
#[derive(Debug)]
struct Held {
    kind: Kind,
    amount: Fen,
    ended: Ended,
    place: Place,
    /// What Alipay is asked for; `None` where no money moves.
    target: Option<QueryTarget>,
    /// Of the data that its event must have.
    event: Fingerprint,
    events: u32,
    rows: u32,
}

/// How a job ended, by the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Succeeded,
    Failed,
    Rejected,
    Signed,
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the window.
    Inside,
    /// Near it: it may be found elsewhere, and is not missed.
    Margin,
}

impl Ended {
    fn of(resolution: &Resolution) -> Self {
        match resolution {
            Resolution::Succeeded { .. } => Self::Succeeded,
            Resolution::Failed(_) => Self::Failed,
            Resolution::Rejected(_) => Self::Rejected,
            Resolution::Signed(_) => Self::Signed,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Signed => "signed",
        }
    }
}

impl Books {
    /// Begins with empty books.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            entries: BTreeMap::new(),
            by_operation: HashMap::new(),
            by_number: HashMap::new(),
            unsettled: HashMap::new(),
            report: Report::default(),
        }
    }

    /// Enters a settled job; again is as once. What lies far from the window is left out.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub fn enter(&mut self, key: &JobKey, outcome: &Outcome) -> Result<(), TooMany> {
        let at = happened_at(outcome);
        let place = if self.window.has(at) {
            Place::Inside
        } else if self.window.is_near(at) {
            Place::Margin
        } else {
            return Ok(());
        };
        if self.entries.contains_key(key) {
            return Ok(());
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(TooMany);
        }
        let operation_id = outcome.resolution.operation_id().cloned();
        if let Some(operation_id) = &operation_id {
            self.by_operation.insert(operation_id.clone(), key.clone());
        }
        let of_order = outcome.out_order_no.iter();
        for number in of_order.chain([&key.out_request_no]) {
            let keys = self.by_number.entry(number.clone()).or_default();
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let held = Held {
            kind: outcome.kind,
            amount: outcome.amount,
            ended: Ended::of(&outcome.resolution),
            place,
            target: query_target(key, outcome),
            event: event_digest(key, outcome),
            events: 0,
            rows: 0,
        };
        match place {
            Place::Inside => self.report.held = self.report.held.saturating_add(1),
            Place::Margin => self.report.near = self.report.near.saturating_add(1),
        }
        self.entries.insert(key.clone(), held);
        Ok(())
    }

    /// How many entries are held, those near the window included.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.report.held.saturating_add(self.report.near)
    }

    /// Enters a job that is not settled yet: whatever is found of it elsewhere is not amiss.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub fn enter_unsettled(&mut self, key: &JobKey, job: &MoneyJob) -> Result<(), TooMany> {
        if self.unsettled.len() >= ENTRIES_MAX {
            return Err(TooMany);
        }
        for number in job.out_order_no().into_iter().chain([&key.out_request_no]) {
            self.unsettled.insert(number.clone(), key.clone());
        }
        self.report.unsettled = self.report.unsettled.saturating_add(1);
        Ok(())
    }

    /// The jobs that Alipay can be asked about, with what they are found by: those in the window
    /// that moved money or might have.
    #[must_use]
    pub fn askable(&self) -> Vec<(JobKey, QueryTarget)> {
        let inside = self.entries.iter();
        inside
            .filter(|(_, held)| held.place == Place::Inside)
            .filter_map(|(key, held)| Some((key.clone(), held.target.clone()?)))
            .collect()
    }

    /// Enters what Alipay answered about a job.
    pub fn answered(&mut self, key: &JobKey, finding: &Finding) {
        let Some(held) = self.entries.get(key) else {
            return;
        };
        let difference = match finding {
            Finding::Found(operation) => compare_operation(key, held, operation),
            Finding::NotFound => (held.ended == Ended::Succeeded)
                .then(|| held.differs(key, DifferenceKind::NotAtAlipay, "not found".to_owned())),
            Finding::Unknown(_) | Finding::NotExecuted(_) | Finding::Blocked(_) => {
                self.report.unanswered = self.report.unanswered.saturating_add(1);
                return;
            }
        };
        self.report.asked = self.report.asked.saturating_add(1);
        self.report.add_all(difference);
    }

    /// Enters a line of Alipay's bill.
    pub fn billed(&mut self, row: &BillRow) {
        self.report.rows = self.report.rows.saturating_add(1);
        let Some(key) = self.find(row) else {
            if let Some(key) = self.find_unsettled(row) {
                let difference = Difference {
                    kind: DifferenceKind::Unsettled,
                    app: Some(key.app.clone()),
                    job_kind: None,
                    number: key.out_request_no.to_string(),
                    ledger: "not settled yet".to_owned(),
                    other: format!("{} in the bill", row.amount),
                    fen: row.amount.get(),
                };
                self.report.add(difference);
            } else if self.window.has(row.at) {
                let number = row.number.clone().or_else(|| row.operation.clone());
                self.report.add(Difference {
                    kind: DifferenceKind::NotInLedger,
                    app: None,
                    job_kind: None,
                    number: number.unwrap_or_else(|| format!("line {} of a bill", row.line)),
                    ledger: "nothing".to_owned(),
                    other: format!("{} in the bill", row.amount),
                    fen: row.amount.get(),
                });
            } else {
                self.report.outside = self.report.outside.saturating_add(1);
            }
            return;
        };
        let Some(held) = self.entries.get_mut(&key) else {
            return;
        };
        held.rows = held.rows.saturating_add(1);
        let says = format!("{} in the bill", row.amount);
        let mut difference = if held.rows > 1 {
            Some(held.differs(&key, DifferenceKind::PaidTwice, says))
        } else {
            match held.ended {
                // What a person pays for a signed order is no outcome of the job.
                Ended::Signed => None,
                Ended::Failed | Ended::Rejected => {
                    Some(held.differs(&key, DifferenceKind::Result, says))
                }
                Ended::Succeeded => (held.amount != row.amount).then(|| {
                    let fen = held.amount.get().abs_diff(row.amount.get());
                    Difference {
                        fen,
                        ..held.differs(&key, DifferenceKind::Amount, says)
                    }
                }),
            }
        };
        if let Some(difference) = &mut difference
            && difference.kind != DifferenceKind::Amount
        {
            difference.fen = row.amount.get();
        }
        self.report.add_all(difference);
    }

    /// Enters a terminal event.
    pub fn told(&mut self, event: &SeenEvent) {
        self.report.events = self.report.events.saturating_add(1);
        let Some(held) = self.entries.get_mut(&event.key) else {
            if self.window.has(event.at) {
                self.report.add(Difference {
                    kind: DifferenceKind::EventNotInLedger,
                    app: Some(event.key.app.clone()),
                    job_kind: Some(event.kind),
                    number: event.key.out_request_no.to_string(),
                    ledger: "nothing".to_owned(),
                    other: event.says.clone(),
                    fen: event.amount.map_or(0, Fen::get),
                });
            } else {
                self.report.outside = self.report.outside.saturating_add(1);
            }
            return;
        };
        held.events = held.events.saturating_add(1);
        if held.events > 1 {
            // Delivered at least once: a copy is no difference as long as it is equal.
            self.report.copies = self.report.copies.saturating_add(1);
        }
        let unequal = (held.event != event.digest || held.kind != event.kind)
            .then(|| held.differs(&event.key, DifferenceKind::EventUnequal, event.says.clone()));
        self.report.add_all(unequal);
    }

    /// Returns all that differs, once the sources have been read.
    #[must_use]
    pub fn finish(mut self, sources: Sources) -> Report {
        for (key, held) in &self.entries {
            if held.place == Place::Margin {
                continue;
            }
            if sources.events > 0 && held.events == 0 {
                let other = "no event".to_owned();
                let missing = held.differs(key, DifferenceKind::EventMissing, other);
                self.report.add(missing);
            }
            let paid = held.ended == Ended::Succeeded && moves_money(held.kind);
            if sources.bills > 0 && held.rows == 0 && paid {
                let other = "not in the bill".to_owned();
                let missing = held.differs(key, DifferenceKind::NotAtAlipay, other);
                self.report.add(missing);
            }
        }
        self.report
    }

    /// The job that a line of the bill is about: by Alipay's number of the operation, or else by
    /// the merchant's, where only one job has it.
    fn find(&self, row: &BillRow) -> Option<JobKey> {
        let operation = row
            .operation
            .as_deref()
            .and_then(|no| AlipayNo::new(no).ok());
        if let Some(key) = operation.as_ref().and_then(|no| self.by_operation.get(no)) {
            return Some(key.clone());
        }
        let number = MerchantNo::new(row.number.as_deref()?).ok()?;
        let keys = self.by_number.get(&number)?;
        let moved = |key: &&JobKey| {
            let held = self.entries.get(*key);
            // A job that Alipay gave another number to is another operation.
            held.is_some_and(|held| moves_money(held.kind))
        };
        let mut fitting = keys.iter().filter(moved);
        let first = fitting.next()?;
        fitting.next().is_none().then(|| first.clone())
    }

    fn find_unsettled(&self, row: &BillRow) -> Option<&JobKey> {
        let number = MerchantNo::new(row.number.as_deref()?).ok()?;
        self.unsettled.get(&number)
    }
}

impl Held {
    fn differs(&self, key: &JobKey, kind: DifferenceKind, other: String) -> Difference {
        Difference {
            kind,
            app: Some(key.app.clone()),
            job_kind: Some(self.kind),
            number: key.out_request_no.to_string(),
            ledger: format!("{} {}", self.ended.as_str(), self.amount),
            other,
            fen: self.amount.get(),
        }
    }
}

/// What an answer says of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// The same.
    Equal,
    /// Something else, about so many fen.
    Differs(DifferenceKind, u64),
    /// Nothing.
    Unanswered,
}

/// Holds one outcome against one answer.
pub(super) fn check(outcome: &Outcome, finding: &Finding) -> Checked {
    let (ended, amount) = (Ended::of(&outcome.resolution), outcome.amount);
    match finding {
        Finding::Found(operation) => match judge(ended, amount, operation) {
            None => Checked::Equal,
            Some(kind) => Checked::Differs(kind, fen_of(kind, amount, operation)),
        },
        Finding::NotFound if ended == Ended::Succeeded => {
            Checked::Differs(DifferenceKind::NotAtAlipay, amount.get())
        }
        Finding::NotFound => Checked::Equal,
        Finding::Unknown(_) | Finding::NotExecuted(_) | Finding::Blocked(_) => Checked::Unanswered,
    }
}

/// What the operation of an outcome is found by: Alipay's numbers where both are known, else the
/// merchant's. `None` where no money moves by it.
pub(super) fn query_target(key: &JobKey, outcome: &Outcome) -> Option<QueryTarget> {
    if !moves_money(outcome.kind) {
        return None;
    }
    let operation_id = outcome.resolution.operation_id();
    if let Some(numbers) = AlipayNumbers::of(outcome.auth_no.as_ref(), operation_id) {
        return Some(numbers.target());
    }
    let order = match (&outcome.out_order_no, &outcome.auth_no) {
        (Some(number), _) => OrderRef::OutOrderNo(number.clone()),
        (None, Some(number)) => OrderRef::AuthNo(number.clone()),
        (None, None) => return None,
    };
    Some(QueryTarget {
        order,
        operation: OperationRef::OutRequestNo(key.out_request_no.clone()),
    })
}

fn compare_operation(key: &JobKey, held: &Held, operation: &Operation) -> Option<Difference> {
    let kind = judge(held.ended, held.amount, operation)?;
    let amount = operation.amount.unwrap_or(held.amount);
    let other = format!("{} {amount}", status_word(operation.status));
    let fen = fen_of(kind, held.amount, operation);
    Some(Difference {
        fen,
        ..held.differs(key, kind, other)
    })
}

/// Of different amounts the difference, else what Alipay has.
fn fen_of(kind: DifferenceKind, amount: Fen, operation: &Operation) -> u64 {
    let found = operation.amount.unwrap_or(amount);
    if kind == DifferenceKind::Amount {
        amount.get().abs_diff(found.get())
    } else {
        found.get()
    }
}

fn judge(ended: Ended, amount: Fen, operation: &Operation) -> Option<DifferenceKind> {
    let same_amount = operation.amount.is_none_or(|found| found == amount);
    match (ended, operation.status) {
        (Ended::Succeeded, OperationStatus::Success) => {
            (!same_amount).then_some(DifferenceKind::Amount)
        }
        (Ended::Succeeded, OperationStatus::Closed | OperationStatus::Init)
        | (Ended::Failed | Ended::Rejected, OperationStatus::Success) => {
            Some(DifferenceKind::Result)
        }
        // Nothing has moved, and what a person pays for a signed order is no outcome of the job.
        (Ended::Failed | Ended::Rejected, OperationStatus::Closed | OperationStatus::Init)
        | (
            Ended::Signed,
            OperationStatus::Success | OperationStatus::Closed | OperationStatus::Init,
        ) => None,
    }
}

const fn status_word(status: OperationStatus) -> &'static str {
    match status {
        OperationStatus::Success => "SUCCESS",
        OperationStatus::Closed => "CLOSED",
        OperationStatus::Init => "INIT",
    }
}

const fn moves_money(kind: Kind) -> bool {
    match kind {
        Kind::Disburse | Kind::Refund | Kind::Pay => true,
        Kind::Query | Kind::AppPay | Kind::PagePay => false,
    }
}

/// The digest of an event's data, however its members are ordered.
#[must_use]
pub(super) fn data_digest(data: &Value) -> Fingerprint {
    digest(data.to_string().as_bytes())
}

fn event_digest(key: &JobKey, outcome: &Outcome) -> Fingerprint {
    let settled = Announcement::Settled {
        key: key.clone(),
        outcome: outcome.clone(),
    };
    let event = outcome_event::encode(&settled, None);
    let body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
    data_digest(body.get("data").unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests;
