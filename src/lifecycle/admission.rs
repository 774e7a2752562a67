//! What a delivery finds, and what is to be done with it.

use std::time::Duration;

use crate::domain::entry::{Absence, Deferred, Entry, InFlight, Pending, Ticket};
use crate::domain::job::Fingerprint;
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
        Some(entry) if entry.fingerprint() != delivered.fingerprint => admit_other_job(entry),
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

fn admit_new(delivered: &Delivered<'_>, context: &Context<'_>) -> Transition {
    let doubt = in_doubt(delivered, context);
    let mut pending = Pending {
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
        numbers: None,
        unresolved_announced: false,
    };
    let attempt = ticket_number(delivered).saturating_add(1);
    match delivered.lane {
        Lane::Closed => hold_back(pending, Ticket(attempt), context),
        Lane::Open | Lane::Paused => {
            let call = if doubt {
                Call::QueryOnce
            } else {
                first_call(&mut pending, delivered, context)
            };
            begin(
                pending,
                (attempt, Ticket(attempt)),
                call,
                (delivered, context),
            )
        }
    }
}

/// What is called for a job that, as far as the ledger knows, was never sent.
///
/// Rule 11: the ledger forgets after its retention or a loss, Alipay does not. So an expired job is
/// asked about, and its claim has no digest: whoever takes over knows that nothing was sent.
fn first_call(pending: &mut Pending, delivered: &Delivered<'_>, context: &Context<'_>) -> Call {
    if delivered.job.is_expired(context.now) {
        pending.digest = None;
        Call::QueryExpired
    } else {
        // Nothing was ever sent, so these bytes are the first.
        pending.digest = Some(delivered.digest);
        Call::Send
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
    // The next ticket is the dead holder's own copy; a greater one tells of writes since lost.
    let is_newest = ticket_number(delivered) <= in_flight.attempt.saturating_add(1);
    // Rule 11: a claim that only asked sent nothing.
    let only_asked = !in_flight.is_maybe_sent() && context.memory == Memory::Sound && is_newest;
    pending.maybe_sent = !(only_asked && delivered.job.is_expired(context.now));
    pending.digest = pending.digest.or(Some(delivered.digest));
    // The count of "not found" starts anew: the former holder may have sent after the last of them.
    pending.absence = Absence::default();
    let attempt = in_flight
        .attempt
        .max(ticket_number(delivered))
        .saturating_add(1);
    match delivered.lane {
        // Put off as far as any other job: parking is for leases, which are short.
        Lane::Closed => hold_back(pending, Ticket(attempt), context),
        Lane::Open | Lane::Paused if pending.maybe_sent => {
            claim(pending, attempt, delivered, Call::Query)
        }
        Lane::Open | Lane::Paused => {
            let call = first_call(&mut pending, delivered, context);
            begin(
                pending,
                (attempt, Ticket(attempt)),
                call,
                (delivered, context),
            )
        }
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
    pending.digest = pending.digest.or(Some(delivered.digest));
    let attempt = deferred.ticket.0.max(ticket_number(delivered));
    let next = Ticket(attempt.saturating_add(1));
    match delivered.lane {
        Lane::Closed => hold_back(pending, next, context),
        Lane::Open | Lane::Paused if pending.maybe_sent => {
            claim(pending, attempt, delivered, Call::Query)
        }
        Lane::Open | Lane::Paused => {
            let call = first_call(&mut pending, delivered, context);
            begin(pending, (attempt, next), call, (delivered, context))
        }
    }
}

/// P5, and rule 5: only a settled entry proves that the number belongs to another job. An unsettled
/// one may have been made after the ledger forgot this very job, and the doubt may be over.
fn admit_other_job(entry: &Entry) -> Transition {
    match entry {
        Entry::Settled(_) => Transition::Conflict(Vacate::KeepEntry),
        Entry::InFlight(_) | Entry::Deferred(_) => Transition::Park,
    }
}

fn ticket_number(delivered: &Delivered<'_>) -> u32 {
    delivered.ticket.map_or(0, |ticket| ticket.0)
}

/// Claims in order to make `call`, unless that is the one that an operator has paused: then the job
/// is put off under `ticket`, and keeps the knowledge that it was never sent.
fn begin(
    pending: Pending,
    (attempt, ticket): (u32, Ticket),
    call: Call,
    (delivered, context): (&Delivered<'_>, &Context<'_>),
) -> Transition {
    match (delivered.lane, call) {
        (Lane::Paused, Call::Send) | (Lane::Closed, _) => hold_back(pending, ticket, context),
        (
            Lane::Paused,
            Call::Query | Call::QueryOnce | Call::QueryExpired | Call::QueryOverBudget,
        )
        | (Lane::Open, _) => claim(pending, attempt, delivered, call),
    }
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

/// An open breaker or a pause defers and never fails; a job that was never sent keeps that knowledge.
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

/// How long a delivery waits that is parked behind a lease: leases are short.
pub const PARK_DELAY: Duration = Duration::from_secs(1);

/// The longest that a delivery waits that is parked behind another job with its number.
pub const PARK_DELAY_MAX: Duration = Duration::from_secs(64);

/// How long a parked delivery waits before it looks again.
///
/// Behind a lease it is the same short time always. Behind another job, which may stay unsettled for
/// days, it doubles with each time that the delivery was `parked` before.
#[must_use]
pub fn park_delay(found: &Entry, fingerprint: Fingerprint, parked: u32) -> Duration {
    if found.fingerprint() == fingerprint {
        return PARK_DELAY;
    }
    growing(parked)
}

/// How long a delivery whose entry cannot be read waits before it looks again: it doubles with each
/// time that the delivery was `parked` before.
#[must_use]
pub fn park_delay_unread(parked: u32) -> Duration {
    growing(parked)
}

fn growing(parked: u32) -> Duration {
    let factor = 1_u32.checked_shl(parked).unwrap_or(u32::MAX);
    PARK_DELAY.saturating_mul(factor).min(PARK_DELAY_MAX)
}
