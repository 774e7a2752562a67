//! The whole life of a money job as one function: [`step`].
//!
//! ```text
//!                       first delivery            delivery in doubt, or expired
//!            ┌───────────────────────────────  absent  ───────────────┐
//!            │ claim, send                               claim, query │
//!            ▼                                                        ▼
//!        InFlight ◀──────── claim ─────────┐                      InFlight
//!            │  │  (newest copy arrives,   │
//!            │  │   or the lease is over)  │
//!            │  └──── defer: no final word ──▶ Deferred
//!            │
//!            └─ success, or a final "no" inside the own lease ──▶ Settled
//!               (of an expired job that was never sent: Alipay does not know it)
//! ```
//!
//! `step` takes what the ledger holds, what happened, and the circumstances; it returns what is to
//! be done. It is pure and total: each pair of state and event is a transition or a named refusal.
//! It never does I/O; the driver (`app::worker`) does what it is told, in this order: ledger, then
//! publish with confirm, then acknowledge. When a compare-and-set finds another value than the
//! driver knew, the driver asks `step` again with that value: the late event is judged against
//! what is true now.
//!
//! The numbers in comments (rule 1 to 17) are those of `docs/job-lifecycle.md`.

pub mod absence;
pub mod admission;
pub mod answer;
pub mod comparison;
pub mod notice;
pub mod rescue;
pub mod resolving;
pub mod retry;
pub mod signing;
pub mod withholding;

use std::time::Duration;

use crate::domain::entry::{
    Deferred, Entry, InFlight, Lease, RequestDigest, ReturnAddress, Ticket,
};
use crate::domain::job::{Fingerprint, MoneyJob};
use crate::domain::outcome::Outcome;
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Finding, Operation, Verdict};
use crate::lifecycle::retry::RetryPolicy;

/// The rules' numbers, from the configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long to wait after a call without a final word.
    pub retry: RetryPolicy,
    /// How many "not found" answers make an absence believable; at least 1.
    pub absence_confirmations: u32,
    /// Over how long they must be spread; at least one lease.
    pub absence_window: Duration,
    /// After how long without a final word `unresolved` is announced.
    pub unresolved_after: Duration,
    /// By how much a job must be overdue before it is rescued.
    pub rescue_after: Duration,
}

/// The circumstances of an event.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The wall clock.
    pub now: UnixMillis,
    /// Drawn by the caller, 0 to 1000: the share of the jitter that is taken off a delay.
    pub jitter_permille: u16,
    /// Whether the ledger may have lost entries.
    pub memory: Memory,
    /// The rules' numbers.
    pub policy: &'a Policy,
}

/// Whether the ledger may have lost entries (rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// No entry means never claimed.
    Sound,
    /// No entry means nothing.
    Doubtful,
}

/// Something that happened to a job.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A delivery of the job arrived.
    Delivered(&'a Delivered<'a>),
    /// A call of a holder came back.
    Answered(&'a Answered<'a>),
    /// A query job or a notification told what became of the job's operation (rule 16).
    Learnt(&'a Learnt<'a>),
    /// The rescue task found the job unsettled.
    Overdue,
}

/// One arrival of a job from the broker.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The job.
    pub job: &'a MoneyJob,
    /// Of the job.
    pub fingerprint: Fingerprint,
    /// Who waits for the answer.
    pub return_address: &'a ReturnAddress,
    /// The retry copy's ticket; `None` for a producer's own message.
    pub ticket: Option<Ticket>,
    /// Whether the broker, or an event that came to nothing, has shown it before.
    pub arrival: Arrival,
    /// Whether calls may be made for this app now.
    pub lane: Lane,
    /// The lease that a claim would take.
    pub lease: Lease,
    /// Of the `biz_content` that this process would send.
    pub digest: RequestDigest,
}

/// Whether a delivery may have been worked on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Never seen before, as far as the broker knows.
    First,
    /// Marked redelivered, replayed by an operator, or started over.
    Again,
}

/// Whether calls may be made for an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A permit is held, or would be asked for.
    Open,
    /// An operator has paused the call that moves money: queries alone may be made.
    Paused,
    /// The breaker is open.
    Closed,
}

/// A call of a holder that came back.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The entry as the holder last wrote it, with what it has learnt since.
    pub held: &'a InFlight,
    /// What was called.
    pub call: Call,
    /// What came back.
    pub answer: Answer<'a>,
    /// Whether the holder's lease lives, by its own clock.
    pub lease: LeaseLife,
    /// Of the `biz_content` that this process would send.
    pub digest: RequestDigest,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The call that moves money.
    Send,
    /// The query that reads what became of it.
    Query,
    /// The query where one "not found" is enough: nothing but the lack of an entry, or a refusal
    /// of the only attempt, speaks for an effect.
    QueryOnce,
    /// The query about a job that is expired and, as far as the ledger knows, was never sent: one
    /// "not found" rejects it as expired, and no answer makes it sent.
    QueryExpired,
    /// The query about a job that is over its budget, is not wanted any more and, as far as the ledger
    /// knows, was never sent: one "not found" rejects it, and no answer makes it sent.
    QueryOverBudget,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// From [`Call::Send`].
    Sent(&'a Verdict),
    /// From every other call.
    Queried(&'a Finding),
    /// In place of [`Call::Send`], which was not made.
    Withheld(Withheld),
}

/// Why the call that pays was not made, although the job was claimed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The job would exceed a cap, and waits.
    OverBudget {
        /// When the last of the exceeded caps begins anew.
        until: UnixMillis,
    },
    /// The job would exceed a cap, and is not wanted any more.
    Unwanted {
        /// As above, for a job that may have been sent all the same.
        until: UnixMillis,
    },
    /// Nobody could say whether it would.
    Uncounted,
    /// An operator has paused such calls.
    Paused,
}

/// Whether a lease still gives the right to speak a negative word (rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLife {
    /// It lives by the holder's own monotonic clock.
    Alive,
    /// It is over.
    Over,
}

/// What a query job or a notification told about an operation.
#[derive(Clone, Copy, Debug)]
pub struct Learnt<'a> {
    /// The operation.
    pub operation: &'a Operation,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Write `entry`, then make `call`.
    Claim {
        /// The new entry.
        entry: Box<InFlight>,
        /// What to call once it is written.
        call: Call,
    },
    /// Make `call` under the lease that is held; nothing is written now.
    Call {
        /// The entry as held, with what was just learnt; written at the next transition.
        held: Box<InFlight>,
        /// What to call.
        call: Call,
    },
    /// Write the outcome, announce it, acknowledge.
    Settle(Box<Outcome>),
    /// Announce the recorded outcome again, acknowledge.
    Announce(Box<Outcome>),
    /// Publish a copy with the entry's ticket, write the entry, acknowledge.
    Defer(Box<Deferral>),
    /// Publish a copy that waits for [`admission::park_delay`] and has the delivery's ticket (0 at
    /// least), acknowledge; the
    /// ledger is left alone.
    Park,
    /// Acknowledge: a newer confirmed copy exists.
    Drop,
    /// Announce a conflict under its own id, acknowledge.
    Conflict(Vacate),
    /// Read the entry again and take the delivery as redelivered: the event came too late.
    StartOver,
    /// Say that evidence speaks against the recorded outcome, then announce the outcome again.
    Contradict {
        /// The outcome that stands.
        outcome: Box<Outcome>,
        /// What speaks against it.
        evidence: &'static str,
    },
    /// Publish a copy with the entry's ticket, then write the entry; nothing is acknowledged.
    Rescue(Box<Deferred>),
    /// Bury a copy of the job with the entry's ticket, announce `unresolved`, then write the entry.
    GiveToOperators(Box<Deferred>),
    /// Nothing is to be done.
    Refuse(NotApplicable),
}

/// How a job is put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// The new entry; its ticket is the copy's.
    pub entry: Deferred,
    /// How long the copy waits, at least.
    pub delay: Duration,
    /// Why.
    pub reason: DeferReason,
    /// Whether `unresolved` is due: announced before the copy is published.
    pub unresolved: Unresolved,
}

/// Whether `unresolved` is to be announced with a deferral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Now, for the first time.
    Announce,
    /// Not yet, or already said.
    Quiet,
}

/// Why a job is put off; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeferReason {
    /// Alipay says that it is at it.
    InProgress,
    /// Nobody knows what happened.
    Unknown,
    /// Not visible to a query, which is no proof yet.
    NotFound,
    /// Refused, but an earlier attempt may have gone through.
    RefusalUnconfirmed,
    /// The number is used, but the operation is not visible.
    NumberUsed,
    /// This version would send other bytes than were sent first.
    DigestDiffers,
    /// Certainly nothing happened.
    NotExecuted,
    /// Keys, permissions or contract.
    Blocked,
    /// The breaker is open, or an operator has paused the kind.
    LaneClosed,
    /// It would exceed a cap of the spend guard.
    OverBudget,
    /// The spend guard could not count it.
    Uncounted,
}

impl DeferReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::InProgress,
        Self::Unknown,
        Self::NotFound,
        Self::RefusalUnconfirmed,
        Self::NumberUsed,
        Self::DigestDiffers,
        Self::NotExecuted,
        Self::Blocked,
        Self::LaneClosed,
        Self::OverBudget,
        Self::Uncounted,
    ];

    /// The reason's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Unknown => "unknown",
            Self::NotFound => "not_found",
            Self::RefusalUnconfirmed => "refusal_unconfirmed",
            Self::NumberUsed => "number_used",
            Self::DigestDiffers => "digest_differs",
            Self::NotExecuted => "not_executed",
            Self::Blocked => "blocked",
            Self::LaneClosed => "lane_closed",
            Self::OverBudget => "over_budget",
            Self::Uncounted => "uncounted",
        }
    }
}

/// Whether a conflict frees the number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacate {
    /// Alipay knows the number for other content: remove the own entry first, so that the number
    /// is free for its owner.
    RemoveEntry,
    /// The entry belongs to the other job.
    KeepEntry,
}

/// Why an event does not apply to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotApplicable {
    /// There is no entry to rescue, or to settle by what was learnt.
    NoEntry,
    /// The job is settled already.
    AlreadySettled,
    /// The job is not overdue yet, or was given to operators.
    NotDue,
    /// What was learnt is about another operation, or not final.
    NotEvidence,
}

/// Decides what is to be done when `event` meets `state`; `None` is the lack of an entry.
#[must_use]
pub fn step(state: Option<&Entry>, event: Event<'_>, context: &Context<'_>) -> Transition {
    match event {
        Event::Delivered(delivered) => admission::admit(state, delivered, context),
        Event::Answered(answered) => answer::judge(state, answered, context),
        Event::Learnt(learnt) => answer::learn(state, learnt, context),
        Event::Overdue => rescue::rescue(state, context),
    }
}
