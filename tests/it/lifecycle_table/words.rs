//! Transitions in the words of the tables.

use hongbaod::domain::entry::Pending;
use hongbaod::domain::outcome::{Failure, Outcome, Rejection, Resolution};
use hongbaod::lifecycle::{Call, Transition, Unresolved, Vacate};

fn danger(pending: &Pending) -> &'static str {
    if pending.maybe_sent { "!" } else { "" }
}

const fn word(call: Call) -> &'static str {
    match call {
        Call::Send => "send",
        Call::Query => "query",
        Call::QueryOnce => "query once",
        Call::QueryExpired => "query expired",
        Call::QueryOverBudget => "query over budget",
    }
}

pub(crate) fn result(outcome: &Outcome) -> &'static str {
    match &outcome.resolution {
        Resolution::Succeeded { .. } => "succeeded",
        Resolution::Failed(Failure::Refused(_)) => "failed",
        Resolution::Failed(Failure::Closed) => "closed",
        Resolution::Rejected(Rejection::Expired) => "expired",
        Resolution::Rejected(Rejection::OverBudget) => "over budget",
        Resolution::Signed(_) => "signed",
    }
}

/// The transition in words.
pub(crate) fn describe(told: &Transition) -> String {
    match told {
        Transition::Claim { entry, call } => {
            let danger = danger(&entry.pending);
            format!("claim {}{danger}, {}", entry.attempt, word(*call))
        }
        Transition::Call { held, call } => format!("{}{}", word(*call), danger(&held.pending)),
        Transition::Settle(outcome) => format!("settle {}", result(outcome)),
        Transition::Announce(outcome) => format!("tell {}", result(outcome)),
        Transition::Defer(deferral) => {
            let unresolved = match deferral.unresolved {
                Unresolved::Announce => "+u",
                Unresolved::Quiet => "",
            };
            let entry = &deferral.entry;
            let danger = danger(&entry.pending);
            let reason = deferral.reason.as_str();
            format!("defer {}{danger} {reason}{unresolved}", entry.ticket.0)
        }
        Transition::Park => "park".to_owned(),
        Transition::Drop => "drop".to_owned(),
        Transition::Conflict(Vacate::KeepEntry) => "conflict".to_owned(),
        Transition::Conflict(Vacate::RemoveEntry) => "conflict, remove".to_owned(),
        Transition::StartOver => "start over".to_owned(),
        Transition::Contradict { outcome, .. } => format!("contradict {}", result(outcome)),
        Transition::Rescue(entry) => {
            format!("rescue {}{}", entry.ticket.0, danger(&entry.pending))
        }
        Transition::GiveToOperators(entry) => {
            format!("bury {}{}", entry.ticket.0, danger(&entry.pending))
        }
        Transition::Refuse(why) => format!("{why:?}"),
    }
}
