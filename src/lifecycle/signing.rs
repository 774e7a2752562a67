//! Orders that a person pays: they are signed and told, and nothing is called.
//!
//! There is no attempt, no doubt and no lease: a signature moves no money, and two of them for one
//! number are one order to Alipay. So the entry goes from absent to settled in one write, and
//! whoever finds it settled tells what it holds.

use crate::domain::entry::Entry;
use crate::domain::job::{Fingerprint, MoneyJob};
use crate::domain::outcome::{Outcome, Rejection, Resolution};
use crate::domain::time::UnixMillis;

/// What is to be done with a delivery of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Sign it, write [`outcome`] of that, announce it, acknowledge.
    Sign,
    /// Write [`outcome`] of this rejection, announce it, acknowledge.
    Reject(Rejection),
    /// Announce the recorded outcome again, acknowledge.
    Announce(Box<Outcome>),
    /// The number belongs to another job: announce the conflict, acknowledge.
    Conflict,
    /// Another job holds the number and is not settled: look again later.
    Park,
}

/// Decides what becomes of a delivery of an order (P4, P5, rule 11).
#[must_use]
pub fn admit(
    state: Option<&Entry>,
    job: &MoneyJob,
    fingerprint: Fingerprint,
    now: UnixMillis,
) -> Signing {
    match state {
        None if job.is_expired(now) => Signing::Reject(Rejection::Expired),
        None => Signing::Sign,
        Some(Entry::Settled(outcome)) if outcome.fingerprint == fingerprint => {
            Signing::Announce(Box::new(outcome.clone()))
        }
        Some(Entry::Settled(_)) => Signing::Conflict,
        Some(Entry::InFlight(_) | Entry::Deferred(_)) => Signing::Park,
    }
}

/// The outcome of an order.
#[must_use]
pub fn outcome(
    job: &MoneyJob,
    fingerprint: Fingerprint,
    resolution: Resolution,
    now: UnixMillis,
) -> Outcome {
    Outcome {
        kind: job.kind(),
        fingerprint,
        out_order_no: job.out_order_no().cloned(),
        auth_no: None,
        amount: job.amount(),
        resolution,
        attempts: 0,
        settled_at: now,
        labels: job.labels.clone(),
    }
}
