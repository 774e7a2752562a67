//! What a person's word about an unsettled job counts, beside Alipay's.
//!
//! It is not part of `step`: nobody delivers the job, and nothing but a query is called. The person
//! comes first with the ledger's entry, then with what the query by the job's own numbers found:
//! [`begin`], [`decide`]. Whatever is decided is written over the very value that [`begin`] saw, by
//! compare-and-set: whoever sends claims first, so where the value still is the same, nobody has
//! sent since.

use crate::domain::entry::{Absence, Entry, Pending};
use crate::domain::job::QueryTarget;
use crate::domain::outcome::{Failure, Outcome, Resolution};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Finding, OperationStatus, Receipt, Refusal};
use crate::lifecycle::Context;
use crate::lifecycle::absence::{self, Missing};
use crate::lifecycle::answer::{Evidence, evidence_of, outcome};

/// The `code` of a failure that a person decided, where Alipay's would stand. It is none of Alipay's.
pub const OPERATOR_CODE: &str = "OPERATOR";

/// What a person says became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The money moved.
    Succeeded,
    /// Nothing moved, and nothing will.
    Failed,
}

/// How much the word is meant to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Only if Alipay says the same.
    Confirmed,
    /// Also if Alipay says nothing that decides; never against what it says of moved money.
    Forced,
}

/// What is to be done before Alipay is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Ask for this, then [`decide`].
    Ask(QueryTarget),
    /// It is settled so already: announce the recorded outcome again (rule 7).
    Announce(Box<Outcome>),
    /// It is settled otherwise, and an outcome stands (rule 9).
    SettledOtherwise(Box<Outcome>),
    /// Somebody holds it, whose word comes first (rule 2).
    Held {
        /// Until then.
        until: UnixMillis,
    },
    /// The ledger knows no such job.
    Unknown,
}

/// What the word comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write the outcome, announce it.
    Settle {
        /// The outcome.
        outcome: Box<Outcome>,
        /// Whose word it rests on.
        authority: Authority,
    },
    /// Change nothing.
    Refuse(Objection),
}

/// Whose word an outcome rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Alipay says the same.
    Alipay,
    /// The person's alone.
    Operator,
}

/// What speaks against a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Alipay says that money moved under this number: no word makes it failed.
    MoneyMoved,
    /// Alipay says that the operation ended without moving money: no word makes it succeeded.
    Ended,
    /// Alipay is at it, and may yet move the money: no word makes it failed.
    UnderWay,
    /// Alipay does not confirm the word; it would have to be forced.
    NotConfirmed,
}

/// Decides what a word can be about.
#[must_use]
pub fn begin(state: Option<&Entry>, word: Word, now: UnixMillis) -> Beginning {
    match state {
        None => Beginning::Unknown,
        Some(Entry::Settled(outcome)) => {
            let is_so = match (word, &outcome.resolution) {
                (Word::Succeeded, Resolution::Succeeded { .. })
                | (Word::Failed, Resolution::Failed(_)) => true,
                (
                    Word::Succeeded,
                    Resolution::Failed(_) | Resolution::Rejected(_) | Resolution::Signed(_),
                )
                | (
                    Word::Failed,
                    Resolution::Succeeded { .. } | Resolution::Rejected(_) | Resolution::Signed(_),
                ) => false,
            };
            let outcome = Box::new(outcome.clone());
            if is_so {
                Beginning::Announce(outcome)
            } else {
                Beginning::SettledOtherwise(outcome)
            }
        }
        Some(Entry::InFlight(held)) if now < held.lease.expires_at => Beginning::Held {
            until: held.lease.expires_at,
        },
        Some(Entry::InFlight(held)) => Beginning::Ask(held.pending.job.query_target()),
        Some(Entry::Deferred(deferred)) => Beginning::Ask(deferred.pending.job.query_target()),
    }
}

/// Decides what a word comes to, against what the query by the job's own numbers found.
///
/// `None` when the entry is settled: then there is nothing left to decide.
#[must_use]
pub fn decide(
    entry: &Entry,
    (word, weight): (Word, Weight),
    finding: &Finding,
    context: &Context<'_>,
) -> Option<Decision> {
    let mut pending = match entry {
        Entry::InFlight(held) => {
            // Rule 4: a takeover counts "not found" answers anew.
            let mut pending = held.pending.clone();
            pending.absence = Absence::default();
            pending
        }
        Entry::Deferred(deferred) => deferred.pending.clone(),
        Entry::Settled(_) => return None,
    };
    pending.attempts = pending.attempts.saturating_add(1);
    let confirmed = match word {
        Word::Succeeded => success(&pending, finding),
        Word::Failed => failure(&mut pending, finding, context),
    };
    let settle = |resolution, receipt: Option<Receipt>, authority| Decision::Settle {
        outcome: Box::new(outcome(
            &pending,
            receipt.and_then(|receipt| receipt.auth_no),
            resolution,
            context,
        )),
        authority,
    };
    Some(match (confirmed, weight) {
        (Ok((resolution, receipt)), _) => settle(resolution, receipt, Authority::Alipay),
        (Err(Objection::NotConfirmed), Weight::Forced) => {
            settle(of_operator(word), None, Authority::Operator)
        }
        (Err(objection), Weight::Confirmed | Weight::Forced) => Decision::Refuse(objection),
    })
}

type Confirmed = Result<(Resolution, Option<Receipt>), Objection>;

fn success(pending: &Pending, finding: &Finding) -> Confirmed {
    let Finding::Found(operation) = finding else {
        return Err(Objection::NotConfirmed);
    };
    match (evidence_of(&pending.job, operation), operation.status) {
        (Evidence::Success(receipt), _) => Ok((Resolution::of_receipt(&receipt), Some(receipt))),
        (_, OperationStatus::Closed) => Err(Objection::Ended),
        (
            Evidence::OtherContent | Evidence::Nothing | Evidence::Closed,
            OperationStatus::Success | OperationStatus::Init,
        ) => Err(Objection::NotConfirmed),
    }
}

fn failure(pending: &mut Pending, finding: &Finding, context: &Context<'_>) -> Confirmed {
    match finding {
        Finding::Found(operation) => match (evidence_of(&pending.job, operation), operation.status)
        {
            (Evidence::Closed, _) => Ok((Resolution::Failed(Failure::Closed), None)),
            (_, OperationStatus::Success) => Err(Objection::MoneyMoved),
            (_, OperationStatus::Init) => Err(Objection::UnderWay),
            (
                Evidence::OtherContent | Evidence::Nothing | Evidence::Success(_),
                OperationStatus::Closed,
            ) => Err(Objection::NotConfirmed),
        },
        // A refusal that follows a possible send is final once the absence is confirmed.
        Finding::NotFound => {
            pending.absence = absence::one_more(pending.absence, context.now);
            let missing = absence::missing(pending.absence, context.now, context.policy);
            match (&pending.refusal, missing) {
                (Some(refusal), Missing::Nothing) => {
                    let refused = Failure::Refused(refusal.clone());
                    Ok((Resolution::Failed(refused), None))
                }
                (Some(_), Missing::Answers | Missing::Time(_)) | (None, _) => {
                    Err(Objection::NotConfirmed)
                }
            }
        }
        Finding::Unknown(_) | Finding::NotExecuted(_) | Finding::Blocked(_) => {
            Err(Objection::NotConfirmed)
        }
    }
}

/// What is recorded where the person's word is all there is: no number, time or code of Alipay's.
fn of_operator(word: Word) -> Resolution {
    match word {
        Word::Succeeded => Resolution::of_receipt(&Receipt::default()),
        Word::Failed => Resolution::Failed(Failure::Refused(Refusal {
            code: OPERATOR_CODE.to_owned(),
            sub_code: None,
            display_message: None,
        })),
    }
}
