//! When "not found" answers add up to an absence.
//!
//! A query that answers "no such operation" after a possible send is no proof: the effect may not
//! be visible yet. Only `absence_confirmations` such answers, spread over `absence_window`, are.

use std::time::Duration;

use crate::domain::entry::Absence;
use crate::domain::time::UnixMillis;
use crate::lifecycle::Policy;

/// The absence after one more "not found" at `now`.
#[must_use]
pub fn one_more(absence: Absence, now: UnixMillis) -> Absence {
    Absence {
        count: absence.count.saturating_add(1),
        since: Some(absence.since.unwrap_or(now)),
    }
}

/// What is still missing to a confirmed absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the absence is confirmed.
    Nothing,
    /// At least one more answer.
    Answers,
    /// Enough answers, but the last must come this much later.
    Time(Duration),
}

/// What is missing at `now`.
#[must_use]
pub fn missing(absence: Absence, now: UnixMillis, policy: &Policy) -> Missing {
    let Some(since) = absence.since else {
        return Missing::Answers;
    };
    let spread = now.since(since);
    let left = policy.absence_window.saturating_sub(spread);
    if absence.count < policy.absence_confirmations {
        Missing::Answers
    } else if left.is_zero() {
        Missing::Nothing
    } else {
        Missing::Time(left)
    }
}

/// How long to wait before the next query, given the `backoff` that would apply otherwise: the
/// answer that completes the count should not come before the window has passed.
#[must_use]
pub fn wait(absence: Absence, now: UnixMillis, policy: &Policy, backoff: Duration) -> Duration {
    let is_last = absence.count.saturating_add(1) >= policy.absence_confirmations;
    match (absence.since, is_last) {
        (Some(since), true) => policy
            .absence_window
            .saturating_sub(now.since(since))
            .max(backoff.min(policy.absence_window)),
        _ => backoff,
    }
}
