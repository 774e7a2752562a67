//! What an answer of Alipay means for a job.

use std::time::Duration;

use crate::domain::entry::{Absence, Deferred, Entry, InFlight, Pending, Ticket};
use crate::domain::ident::AlipayNo;
use crate::domain::job::{MoneyJob, MoneyRequest};
use crate::domain::outcome::{Failure, Outcome, Rejection, Resolution};
use crate::domain::verdict::{
    AlipayNumbers, Blockage, Finding, Operation, OperationStatus, Proof, Receipt, Refusal, Verdict,
};
use crate::lifecycle::absence::{self, Missing};
use crate::lifecycle::{
    Answer, Answered, Call, Context, DeferReason, Deferral, Learnt, LeaseLife, Memory,
    NotApplicable, Transition, Unresolved, Vacate, Withheld,
};
use crate::lifecycle::{comparison, withholding};

/// Decides what an answer means, against what the ledger holds now (rules 4, 6 to 10, 12).
pub(super) fn judge(
    state: Option<&Entry>,
    answered: &Answered<'_>,
    context: &Context<'_>,
) -> Transition {
    match state {
        // Rule 5: an entry that vanished under its living holder is written again.
        None => judge_own(state, answered, context),
        Some(Entry::InFlight(entry)) if entry.lease.token == answered.held.lease.token => {
            judge_own(state, answered, context)
        }
        Some(Entry::Settled(outcome))
            if outcome.fingerprint == answered.held.pending.fingerprint =>
        {
            against_settled(outcome, evidence(answered))
        }
        Some(entry) => judge_late(entry, answered, context),
    }
}

/// What an answer proves, whoever holds the job by now.
pub(super) enum Evidence {
    Success(Receipt),
    Closed,
    OtherContent,
    Nothing,
}

fn evidence(answered: &Answered<'_>) -> Evidence {
    match answered.answer {
        Answer::Sent(Verdict::Succeeded(receipt)) => Evidence::Success(receipt.clone()),
        Answer::Sent(_) => Evidence::Nothing,
        Answer::Queried(Finding::Found(operation)) if !is_astray(answered, operation) => {
            evidence_of(&answered.held.pending.job, operation)
        }
        Answer::Queried(_) | Answer::Withheld(_) => Evidence::Nothing,
    }
}

/// Whether a query by Alipay's own numbers has found another operation than the job's: then the
/// numbers are wrong, and nothing was learnt about the job.
fn is_astray(answered: &Answered<'_>, operation: &Operation) -> bool {
    let Pending { numbers, job, .. } = &answered.held.pending;
    // Alipay knows an operation by its order and its own number; one without a number is no proof.
    let other_order = (operation.out_order_no.as_ref())
        .zip(job.out_order_no())
        .is_some_and(|(found, own)| found != own);
    let own_number = operation.out_request_no.as_ref() == Some(&job.out_request_no);
    numbers.is_some() && (other_order || !own_number)
}

pub(super) fn evidence_of(job: &MoneyJob, operation: &Operation) -> Evidence {
    if !comparison::is_same(job, operation) {
        return Evidence::OtherContent;
    }
    match operation.status {
        OperationStatus::Success => Evidence::Success(receipt_of(operation)),
        OperationStatus::Closed => Evidence::Closed,
        OperationStatus::Init => Evidence::Nothing,
    }
}

fn receipt_of(operation: &Operation) -> Receipt {
    Receipt {
        auth_no: operation.auth_no.clone(),
        operation_id: operation.operation_id.clone(),
        gmt_trans: operation.gmt_trans.clone(),
    }
}

/// Rule 9: an outcome once settled never changes; what speaks against it is said.
fn against_settled(outcome: &Outcome, evidence: Evidence) -> Transition {
    let contradict = |evidence| Transition::Contradict {
        outcome: Box::new(outcome.clone()),
        evidence,
    };
    // That somebody has paid a signed order, or has not, is what the signature is for.
    if let Resolution::Signed(_) = outcome.resolution {
        return Transition::Announce(Box::new(outcome.clone()));
    }
    match (evidence, outcome.resolution.is_success()) {
        (Evidence::Success(_), false) => contradict("alipay reports the operation as succeeded"),
        (Evidence::Closed, true) => contradict("alipay reports the operation as closed"),
        (Evidence::OtherContent, true) => {
            contradict("alipay reports the number with other content")
        }
        _ => Transition::Announce(Box::new(outcome.clone())),
    }
}

/// Rule 8: over somebody else's unsettled entry only a success is a word.
fn judge_late(entry: &Entry, answered: &Answered<'_>, context: &Context<'_>) -> Transition {
    let held = answered.held;
    if entry.fingerprint() != held.pending.fingerprint {
        return Transition::StartOver;
    }
    match evidence(answered) {
        Evidence::Success(receipt) => settle_success(held, &receipt, context),
        Evidence::Closed | Evidence::OtherContent | Evidence::Nothing => Transition::StartOver,
    }
}

fn judge_own(state: Option<&Entry>, answered: &Answered<'_>, context: &Context<'_>) -> Transition {
    let mut held = answered.held.clone();
    match answered.answer {
        Answer::Sent(_) | Answer::Queried(_) => {
            held.pending.attempts = held.pending.attempts.saturating_add(1);
            held.pending.rescues = 0;
        }
        // No call was made, so nothing was learnt by one.
        Answer::Withheld(Withheld::Paused) => {}
        Answer::Withheld(
            Withheld::OverBudget { .. } | Withheld::Unwanted { .. } | Withheld::Uncounted,
        ) => held.pending.rescues = 0,
    }
    match answered.answer {
        Answer::Sent(verdict) => judge_sent(held, verdict, answered, context),
        Answer::Queried(finding) => judge_queried(held, finding, answered, context),
        Answer::Withheld(withheld) => withholding::judge(held, withheld, state, context),
    }
}

fn judge_sent(
    mut held: InFlight,
    verdict: &Verdict,
    answered: &Answered<'_>,
    context: &Context<'_>,
) -> Transition {
    match verdict {
        Verdict::Succeeded(receipt) => settle_success(&held, receipt, context),
        Verdict::Refused(refusal) if held.pending.maybe_sent => {
            refused_after_send(held, refusal, context)
        }
        Verdict::Refused(refusal) => settle_negative(
            &held,
            Resolution::Failed(Failure::Refused(refusal.clone())),
            answered.lease,
            context,
        ),
        Verdict::RefusedUnconfirmed(refusal) if held.pending.maybe_sent => {
            refused_after_send(held, refusal, context)
        }
        Verdict::RefusedUnconfirmed(refusal) => {
            held.pending.refusal = Some(refusal.clone());
            Transition::Call {
                held: Box::new(held),
                call: Call::QueryOnce,
            }
        }
        Verdict::AlreadyUsed => {
            held.pending.number_used = true;
            Transition::Call {
                held: Box::new(held),
                call: Call::Query,
            }
        }
        Verdict::InProgress(numbers) => {
            held.pending.numbers = numbers.as_deref().cloned().or(held.pending.numbers);
            defer_sent(held, DeferReason::InProgress, context)
        }
        Verdict::Unknown(_) => defer_sent(held, DeferReason::Unknown, context),
        // Rule 4: what earlier attempts may have done is not cleared by this one.
        Verdict::NotExecuted(_) => defer(held, DeferReason::NotExecuted, context),
        Verdict::Blocked(Blockage {
            proof: Proof::Signed,
            ..
        }) => defer(held, DeferReason::Blocked, context),
        Verdict::Blocked(Blockage {
            proof: Proof::Unsigned,
            ..
        }) => defer_sent(held, DeferReason::Blocked, context),
    }
}

/// The whole absence confirmation is gathered anew after a refusal that follows a possible send.
fn refused_after_send(mut held: InFlight, refusal: &Refusal, context: &Context<'_>) -> Transition {
    held.pending.refusal = Some(refusal.clone());
    defer_sent(held, DeferReason::RefusalUnconfirmed, context)
}

/// Defers after a call that may have reached Alipay: the absence is gathered anew.
fn defer_sent(mut held: InFlight, reason: DeferReason, context: &Context<'_>) -> Transition {
    held.pending.maybe_sent = true;
    held.pending.absence = Absence::default();
    defer(held, reason, context)
}

fn judge_queried(
    mut held: InFlight,
    finding: &Finding,
    answered: &Answered<'_>,
    context: &Context<'_>,
) -> Transition {
    // A query is only asked when something may have been sent, but for those that ask before a
    // rejection, of what the ledger believes unsent.
    held.pending.maybe_sent |= rejection(answered.call).is_none();
    let astray = match finding {
        Finding::Found(operation) => is_astray(answered, operation),
        Finding::NotFound => held.pending.numbers.is_some(),
        Finding::Unknown(_) | Finding::NotExecuted(_) | Finding::Blocked(_) => false,
    };
    if astray {
        // The job's own numbers are those that count.
        held.pending.numbers = None;
        return Transition::Call {
            held: Box::new(held),
            call: answered.call,
        };
    }
    match finding {
        Finding::Found(operation) => match evidence_of(&held.pending.job, operation) {
            Evidence::Success(receipt) => settle_success(&held, &receipt, context),
            Evidence::Closed => settle_negative(
                &held,
                Resolution::Failed(Failure::Closed),
                answered.lease,
                context,
            ),
            Evidence::OtherContent => Transition::Conflict(Vacate::RemoveEntry),
            Evidence::Nothing => {
                let (order, number) = (&operation.auth_no, &operation.operation_id);
                held.pending.numbers = AlipayNumbers::of(order.as_ref(), number.as_ref());
                defer_sent(held, DeferReason::InProgress, context)
            }
        },
        Finding::NotFound => match rejection(answered.call) {
            // Rule 11: neither the ledger nor Alipay knows of it, and it is not sent any more.
            Some(rejection) if context.memory == Memory::Sound => settle_negative(
                &held,
                Resolution::Rejected(rejection),
                answered.lease,
                context,
            ),
            // Rule 5: the ledger may have forgotten since the claim, so its "never sent" is worth
            // nothing. Deferred and not sent at once, for the claim did not say so.
            Some(_) => {
                held.pending.maybe_sent = true;
                held.pending.absence = absence::one_more(held.pending.absence, context.now);
                defer(held, DeferReason::NotFound, context)
            }
            None => {
                held.pending.absence = absence::one_more(held.pending.absence, context.now);
                judge_not_found(held, answered, context)
            }
        },
        Finding::Unknown(_) => defer(held, DeferReason::Unknown, context),
        Finding::NotExecuted(_) => defer(held, DeferReason::NotExecuted, context),
        Finding::Blocked(_) => defer(held, DeferReason::Blocked, context),
    }
}

/// As what a job is rejected that the query does not find.
const fn rejection(call: Call) -> Option<Rejection> {
    match call {
        Call::QueryExpired => Some(Rejection::Expired),
        Call::QueryOverBudget => Some(Rejection::OverBudget),
        Call::Send | Call::Query | Call::QueryOnce => None,
    }
}

fn judge_not_found(
    mut held: InFlight,
    answered: &Answered<'_>,
    context: &Context<'_>,
) -> Transition {
    // Once is enough when nothing but the lack of an entry speaks for an earlier send, and for a
    // refusal that was the answer to the only attempt there ever was.
    let confirmed = answered.call == Call::QueryOnce
        || absence::missing(held.pending.absence, context.now, context.policy) == Missing::Nothing;
    if let Some(refusal) = held.pending.refusal.clone() {
        return if confirmed {
            let failed = Resolution::Failed(Failure::Refused(refusal));
            settle_negative(&held, failed, answered.lease, context)
        } else {
            defer(held, DeferReason::RefusalUnconfirmed, context)
        };
    }
    if held.pending.number_used {
        held.pending.absence = Absence::default();
        return defer(held, DeferReason::NumberUsed, context);
    }
    if !confirmed {
        return defer(held, DeferReason::NotFound, context);
    }
    // Rule 10: a resend is byte-equal, or it is not sent.
    if held
        .pending
        .digest
        .is_some_and(|first| first != answered.digest)
    {
        held.pending.absence = Absence::default();
        return defer(held, DeferReason::DigestDiffers, context);
    }
    Transition::Call {
        held: Box::new(held),
        call: Call::Send,
    }
}

pub(super) fn defer(mut held: InFlight, reason: DeferReason, context: &Context<'_>) -> Transition {
    let policy = context.policy;
    let wait = match reason {
        DeferReason::NotExecuted
        | DeferReason::Blocked
        | DeferReason::LaneClosed
        | DeferReason::OverBudget
        | DeferReason::Uncounted => {
            let wait = |jitter| policy.retry.delay_unsent(held.attempt, jitter);
            Wait::jittered(context, wait)
        }
        DeferReason::NotFound | DeferReason::RefusalUnconfirmed => {
            let backoff = inconclusive(&mut held.pending, context);
            let wait = |backoff| absence::wait(held.pending.absence, context.now, policy, backoff);
            Wait {
                least: wait(backoff.least),
                most: wait(backoff.most),
            }
        }
        DeferReason::InProgress
        | DeferReason::Unknown
        | DeferReason::NumberUsed
        | DeferReason::DigestDiffers => inconclusive(&mut held.pending, context),
    };
    defer_for(held, reason, &wait, context)
}

/// Defers for as long as `wait` says.
pub(super) fn defer_for(
    mut held: InFlight,
    reason: DeferReason,
    wait: &Wait,
    context: &Context<'_>,
) -> Transition {
    let unresolved = unresolved(&mut held.pending, context);
    Transition::Defer(Box::new(Deferral {
        entry: Deferred {
            ticket: Ticket(held.attempt.saturating_add(1)),
            due_at: context.now.plus(wait.most),
            pending: held.pending,
        },
        delay: wait.least,
        reason,
        unresolved,
    }))
}

/// Counts one more answer without a final word, and says how long to wait after it.
fn inconclusive(pending: &mut Pending, context: &Context<'_>) -> Wait {
    pending.inconclusive = pending.inconclusive.saturating_add(1);
    let number = pending.inconclusive;
    Wait::jittered(context, |jitter| context.policy.retry.delay(number, jitter))
}

/// How long a copy waits: at least what the jitter left, and at most the whole wait, which is the
/// rung that lets it go.
pub(super) struct Wait {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Wait {
    pub(super) fn jittered(context: &Context<'_>, wait: impl Fn(u16) -> Duration) -> Self {
        Self {
            least: wait(context.jitter_permille),
            most: wait(0),
        }
    }
}

/// Rule 12: said once for a job that may have been sent and of which nobody knows the end.
pub(super) fn unresolved(pending: &mut Pending, context: &Context<'_>) -> Unresolved {
    let due = pending.first_seen_at.plus(context.policy.unresolved_after) <= context.now;
    if due && pending.maybe_sent && !pending.unresolved_announced {
        pending.unresolved_announced = true;
        Unresolved::Announce
    } else {
        Unresolved::Quiet
    }
}

fn settle_success(held: &InFlight, receipt: &Receipt, context: &Context<'_>) -> Transition {
    Transition::Settle(Box::new(outcome(
        &held.pending,
        receipt.auth_no.clone(),
        Resolution::of_receipt(receipt),
        context,
    )))
}

/// Rule 8: a negative word is spoken only while the own lease lives.
fn settle_negative(
    held: &InFlight,
    resolution: Resolution,
    lease: LeaseLife,
    context: &Context<'_>,
) -> Transition {
    match lease {
        LeaseLife::Over => Transition::StartOver,
        LeaseLife::Alive => {
            Transition::Settle(Box::new(outcome(&held.pending, None, resolution, context)))
        }
    }
}

pub(super) fn outcome(
    pending: &Pending,
    auth_no: Option<AlipayNo>,
    resolution: Resolution,
    context: &Context<'_>,
) -> Outcome {
    let job = &pending.job;
    Outcome {
        kind: job.kind(),
        fingerprint: pending.fingerprint,
        out_order_no: job.out_order_no().cloned(),
        auth_no: auth_no.or_else(|| asked_auth_no(job)),
        amount: job.amount(),
        resolution,
        attempts: pending.attempts,
        settled_at: context.now,
        labels: job.labels.clone(),
    }
}

/// The `auth_no` that the job itself names: a refund's pay order.
fn asked_auth_no(job: &MoneyJob) -> Option<AlipayNo> {
    match &job.request {
        MoneyRequest::Refund { auth_no, .. } => Some(auth_no.clone()),
        MoneyRequest::Disburse { .. } | MoneyRequest::Pay { .. } | MoneyRequest::Order { .. } => {
            None
        }
    }
}

/// Rule 16: what a query job or a notification tells about an unsettled job settles it.
///
/// Only a success does: nobody else's lease gives the right to a negative word.
pub(super) fn learn(
    state: Option<&Entry>,
    learnt: &Learnt<'_>,
    context: &Context<'_>,
) -> Transition {
    let pending = match state {
        None => return Transition::Refuse(NotApplicable::NoEntry),
        Some(Entry::Settled(outcome)) => return learn_settled(outcome, learnt.operation),
        Some(Entry::InFlight(entry)) => &entry.pending,
        Some(Entry::Deferred(entry)) => &entry.pending,
    };
    match evidence_of(&pending.job, learnt.operation) {
        Evidence::Success(receipt) => {
            let resolution = Resolution::of_receipt(&receipt);
            Transition::Settle(Box::new(outcome(
                pending,
                receipt.auth_no,
                resolution,
                context,
            )))
        }
        Evidence::Closed | Evidence::OtherContent | Evidence::Nothing => {
            Transition::Refuse(NotApplicable::NotEvidence)
        }
    }
}

/// A settled entry has dropped its job, so only what its facts show can be compared.
fn learn_settled(outcome: &Outcome, operation: &Operation) -> Transition {
    let same_amount = operation
        .amount
        .is_none_or(|amount| amount == outcome.amount);
    let same_order = match (&operation.out_order_no, &outcome.out_order_no) {
        (Some(found), Some(asked)) => found == asked,
        _ => true,
    };
    let evidence = match operation.status {
        _ if !same_amount || !same_order => return Transition::Refuse(NotApplicable::NotEvidence),
        OperationStatus::Success => Evidence::Success(receipt_of(operation)),
        OperationStatus::Closed => Evidence::Closed,
        OperationStatus::Init => Evidence::Nothing,
    };
    let told = against_settled(outcome, evidence);
    if matches!(told, Transition::Contradict { .. }) {
        told
    } else {
        Transition::Refuse(NotApplicable::AlreadySettled)
    }
}
