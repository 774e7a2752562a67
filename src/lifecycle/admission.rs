//! What a delivery finds, and what is to be done with it.

use std::time::Duration;

use crate::domain::entry::{Absence, Deferred, Entry, InFlight, Pending, Ticket};
use crate::domain::outcome::{Outcome, Rejection, Resolution};
use crate::domain::time::UnixMillis;
use crate::lifecycle::answer::{self, Wait};
use crate::lifecycle::rescue::RESCUES_MAX;
use crate::lifecycle::{
    Arrival, Call, Context, DeferReason, Deferral, Delivered, Lane, Memory, Transition, Vacate,
};

/// Decides what becomes of a delivery (rules 1, 2, 4, 5, 6, 7, 11).
pub(super) fn admit(
    state: Option<&Entry>,
    delivered: &Delivered<'_>,
    context: &Context<'_>,
) -> Transition {
    match state {
        None => admit_new(delivered, context),
        Some(entry) if entry.fingerprint() != delivered.fingerprint => {
            admit_other_job(entry, delivered, context)
        }
        Some(Entry::Settled(outcome)) => Transition::Announce(Box::new(outcome.clone())),
        Some(Entry::InFlight(in_flight)) => admit_held(in_flight, delivered, context),
        Some(Entry::Deferred(deferred)) => admit_deferred(deferred, delivered, context),
    }
}

/// Rule 5: whether the lack of an entry, or of a mark in it, proves nothing.
fn in_doubt(delivered: &Delivered<'_>, context: &Context<'_>) -> bool {
    delivered.arrival == Arrival::Again
        || delivered.ticket.is_some()
        || context.memory == Memory::Doubtful
}

fn is_expired(delivered: &Delivered<'_>, now: UnixMillis) -> bool {
    delivered
        .job
        .not_after
        .is_some_and(|not_after| now > not_after)
}

fn admit_new(delivered: &Delivered<'_>, context: &Context<'_>) -> Transition {
    let doubt = in_doubt(delivered, context);
    if !doubt && is_expired(delivered, context.now) {
        return Transition::Settle(Box::new(expired(delivered, context, 0)));
    }
    let pending = Pending {
        job: delivered.job.clone(),
        fingerprint: delivered.fingerprint,
        return_address: delivered.return_address.clone(),
        maybe_sent: doubt,
        digest: Some(delivered.digest),
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        attempts: 0,
        inconclusive: 0,
        rescues: 0,
        first_seen_at: context.now,
        unresolved_announced: false,
    };
    let attempt = ticket_number(delivered).saturating_add(1);
    match delivered.lane {
        Lane::Closed => hold_back(pending, Ticket(attempt), context),
        Lane::Open => {
            let call = if doubt { Call::QueryOnce } else { Call::Send };
            claim(pending, attempt, delivered, call)
        }
    }
}

/// Rule 2, and rule 4 once the lease is over.
fn admit_held(
    in_flight: &InFlight,
    delivered: &Delivered<'_>,
    context: &Context<'_>,
) -> Transition {
    if context.now < in_flight.lease.expires_at {
        return Transition::Park;
    }
    let mut pending = in_flight.pending.clone();
    pending.maybe_sent = true;
    // The count of "not found" starts anew: the former holder may have sent after the last of them.
    pending.absence = Absence::default();
    let attempt = in_flight
        .attempt
        .max(ticket_number(delivered))
        .saturating_add(1);
    match delivered.lane {
        // Put off as far as any other job: parking is for leases, which are short.
        Lane::Closed => hold_back(pending, Ticket(attempt), context),
        Lane::Open => claim(pending, attempt, delivered, Call::Query),
    }
}

fn admit_deferred(
    deferred: &Deferred,
    delivered: &Delivered<'_>,
    context: &Context<'_>,
) -> Transition {
    // Rule 6: a copy with a greater ticket was confirmed before this entry was written. A producer's
    // own message has no ticket and is older than any copy. Rule 13: the newest copy of a job that
    // was given to operators is a dead letter, which may come back without its ticket.
    let is_older = delivered
        .ticket
        .is_none_or(|ticket| ticket < deferred.ticket);
    if is_older && deferred.pending.rescues <= RESCUES_MAX {
        return Transition::Drop;
    }
    let mut pending = deferred.pending.clone();
    if pending.rescues > RESCUES_MAX {
        // An operator has started it again: from here on it is rescued like any other.
        pending.rescues = 0;
    }
    // Rule 5: an entry that was set back to an older one may have forgotten that it was sent.
    pending.maybe_sent |= context.memory == Memory::Doubtful;
    // A newer copy than the entry knows of: whoever published it may have written more, since lost.
    pending.maybe_sent |= delivered
        .ticket
        .is_some_and(|ticket| ticket > deferred.ticket);
    if !pending.maybe_sent && is_expired(delivered, context.now) {
        return Transition::Settle(Box::new(expired(delivered, context, pending.attempts)));
    }
    let attempt = deferred.ticket.0.max(ticket_number(delivered));
    match delivered.lane {
        Lane::Closed => hold_back(pending, Ticket(attempt.saturating_add(1)), context),
        Lane::Open if pending.maybe_sent => claim(pending, attempt, delivered, Call::Query),
        Lane::Open => {
            // Nothing was ever sent, so these bytes are the first.
            pending.digest = Some(delivered.digest);
            claim(pending, attempt, delivered, Call::Send)
        }
    }
}

/// P5, and rule 5: in doubt only a settled entry proves that the number belongs to another job.
fn admit_other_job(entry: &Entry, delivered: &Delivered<'_>, context: &Context<'_>) -> Transition {
    match entry {
        Entry::Settled(_) => Transition::Conflict(Vacate::KeepEntry),
        Entry::InFlight(_) | Entry::Deferred(_) if in_doubt(delivered, context) => Transition::Park,
        Entry::InFlight(_) | Entry::Deferred(_) => Transition::Conflict(Vacate::KeepEntry),
    }
}

fn ticket_number(delivered: &Delivered<'_>) -> u32 {
    delivered.ticket.map_or(0, |ticket| ticket.0)
}

fn claim(pending: Pending, attempt: u32, delivered: &Delivered<'_>, call: Call) -> Transition {
    Transition::Claim {
        entry: Box::new(InFlight {
            lease: delivered.lease,
            attempt,
            pending,
        }),
        call,
    }
}

/// An open breaker defers and never fails; a job that was never sent keeps that knowledge.
fn hold_back(mut pending: Pending, ticket: Ticket, context: &Context<'_>) -> Transition {
    let unresolved = answer::unresolved(&mut pending, context);
    let wait = Wait::jittered(context, |jitter| {
        context.policy.retry.delay_unsent(ticket.0, jitter)
    });
    Transition::Defer(Box::new(Deferral {
        entry: Deferred {
            ticket,
            due_at: context.now.plus(wait.most),
            pending,
        },
        delay: wait.least,
        reason: DeferReason::LaneClosed,
        unresolved,
    }))
}

/// Rule 11: only what was certainly never sent is settled as expired.
fn expired(delivered: &Delivered<'_>, context: &Context<'_>, attempts: u32) -> Outcome {
    let job = delivered.job;
    Outcome {
        kind: job.kind(),
        fingerprint: delivered.fingerprint,
        out_order_no: job.out_order_no().cloned(),
        auth_no: answer::asked_auth_no(job),
        amount: job.amount(),
        resolution: Resolution::Rejected(Rejection::Expired),
        attempts,
        settled_at: context.now,
        labels: job.labels.clone(),
    }
}

/// How long a parked delivery waits: the lease it waits for is short.
pub const PARK_DELAY: Duration = Duration::from_secs(1);
