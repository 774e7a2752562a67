//! No silent orphans: what is done about an unsettled job that is overdue (rule 13).

use std::time::Duration;

use crate::domain::entry::{Absence, Deferred, Entry, Pending, Ticket};
use crate::domain::time::UnixMillis;
use crate::lifecycle::{Context, Memory, NotApplicable, Transition};

/// So many copies are published without a new verdict; then the job is given to operators.
pub const RESCUES_MAX: u32 = 3;

/// The longest wait between two rescues of one job.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Decides whether an unsettled job gets a new copy.
pub(super) fn rescue(state: Option<&Entry>, context: &Context<'_>) -> Transition {
    match state {
        None => Transition::Refuse(NotApplicable::NoEntry),
        Some(Entry::Settled(_)) => Transition::Refuse(NotApplicable::AlreadySettled),
        Some(Entry::InFlight(entry)) => {
            // The holder is gone and may have sent, unless it only asked: as at a takeover.
            let mut pending = entry.pending.clone();
            pending.maybe_sent = entry.is_maybe_sent() || context.memory == Memory::Doubtful;
            pending.absence = Absence::default();
            republish(pending, entry.lease.expires_at, entry.attempt, context)
        }
        Some(Entry::Deferred(entry)) => {
            let mut pending = entry.pending.clone();
            // Rule 5: "never sent" is not believed while the entry may have been set back; the doubt
            // may be over when the copy arrives.
            pending.maybe_sent |= context.memory == Memory::Doubtful;
            republish(pending, entry.due_at, entry.ticket.0, context)
        }
    }
}

fn republish(
    mut pending: Pending,
    due_at: UnixMillis,
    newest: u32,
    context: &Context<'_>,
) -> Transition {
    if pending.rescues > RESCUES_MAX || context.now < due_at.plus(wait(pending.rescues, context)) {
        return Transition::Refuse(NotApplicable::NotDue);
    }
    pending.rescues = pending.rescues.saturating_add(1);
    let given_up = pending.rescues > RESCUES_MAX;
    pending.unresolved_announced |= given_up;
    let entry = Box::new(Deferred {
        ticket: Ticket(newest.saturating_add(1)),
        due_at: context.now,
        pending,
    });
    if given_up {
        Transition::GiveToOperators(entry)
    } else {
        Transition::Rescue(entry)
    }
}

/// Each rescue of one job doubles its wait, at most daily.
fn wait(rescues: u32, context: &Context<'_>) -> Duration {
    let factor = 1_u32.checked_shl(rescues).unwrap_or(u32::MAX);
    context
        .policy
        .rescue_after
        .saturating_mul(factor)
        .min(WAIT_MAX.max(context.policy.rescue_after))
}
