//! What a notification means: for the job that asked for its operation, or for nobody's (rule 16).

use crate::domain::entry::Entry;
use crate::domain::job::Kind;
use crate::domain::notice::Notice;
use crate::domain::outcome::Outcome;
use crate::domain::verdict::{Operation, OperationStatus, OperationType};
use crate::lifecycle::{
    Context, Event, Learnt, Memory, NotApplicable, Transition, comparison, step,
};

/// What is to be done about a notice; Alipay hears `success` once it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Write the outcome, announce it.
    Settle(Box<Outcome>),
    /// The recorded outcome says the same: whoever recorded it tells it.
    Known(Box<Outcome>),
    /// Say that the notice speaks against the recorded outcome, which stands.
    Contradict {
        /// The outcome that stands.
        outcome: Box<Outcome>,
        /// What speaks against it.
        evidence: &'static str,
    },
    /// No job asked for the operation: announce it as what it is.
    Tell,
    /// Nothing: it is not final, or a pending job's own query has the word on it.
    Nothing,
    /// Say nothing, and let Alipay repeat it: the ledger may have forgotten the job (rule 5).
    Repeat,
}

/// Decides what a notice means against what the ledger holds under its `out_request_no`.
///
/// An entry is the operation's own only if nothing that both name differs: Alipay takes one
/// `out_request_no` under several orders, and nobody has said which one an automatic refund bears.
#[must_use]
pub fn hear(state: Option<&Entry>, notice: &Notice, context: &Context<'_>) -> Heard {
    let operation = notice.operation();
    let nobodys = match operation.status {
        OperationStatus::Success | OperationStatus::Closed => Heard::Tell,
        OperationStatus::Init => Heard::Nothing,
    };
    // To tell it as nobody's and then as a forgotten job's would look like two payments.
    let unless_forgotten = match (&nobodys, context.memory) {
        (Heard::Tell, Memory::Doubtful) => Heard::Repeat,
        _ => nobodys.clone(),
    };
    match state {
        None => unless_forgotten,
        // As with conflicts, an unsettled entry may be younger than the forgotten one.
        Some(Entry::InFlight(entry)) if !comparison::is_same(&entry.pending.job, operation) => {
            unless_forgotten
        }
        Some(Entry::Deferred(entry)) if !comparison::is_same(&entry.pending.job, operation) => {
            unless_forgotten
        }
        Some(Entry::Settled(outcome)) => match likeness(outcome, operation) {
            Likeness::Another => nobodys,
            Likeness::OtherAmount => Heard::Contradict {
                outcome: Box::new(outcome.clone()),
                evidence: OTHER_CONTENT,
            },
            Likeness::Same => learnt(state, operation, context),
        },
        Some(Entry::InFlight(_) | Entry::Deferred(_)) => learnt(state, operation, context),
    }
}

/// The evidence that answers give too.
const OTHER_CONTENT: &str = "alipay reports the number with other content";

fn learnt(state: Option<&Entry>, operation: &Operation, context: &Context<'_>) -> Heard {
    match step(state, Event::Learnt(&Learnt { operation }), context) {
        Transition::Settle(outcome) => Heard::Settle(outcome),
        Transition::Contradict { outcome, evidence } => Heard::Contradict { outcome, evidence },
        Transition::Refuse(NotApplicable::AlreadySettled) => match state {
            Some(Entry::Settled(outcome)) => Heard::Known(Box::new(outcome.clone())),
            Some(Entry::InFlight(_) | Entry::Deferred(_)) | None => Heard::Nothing,
        },
        // A "no" needs a lease (rule 8): the job's own query finds it.
        Transition::Refuse(
            NotApplicable::NotEvidence | NotApplicable::NoEntry | NotApplicable::NotDue,
        )
        | Transition::Claim { .. }
        | Transition::Call { .. }
        | Transition::Announce(_)
        | Transition::Defer(_)
        | Transition::Park
        | Transition::Drop
        | Transition::Conflict(_)
        | Transition::StartOver
        | Transition::Rescue(_)
        | Transition::GiveToOperators(_) => Heard::Nothing,
    }
}

/// How an operation looks beside a settled outcome, which has dropped its job.
enum Likeness {
    /// Nothing that both name differs.
    Same,
    /// The same order, number and kind of operation, and yet another amount than was paid.
    OtherAmount,
    /// It is another operation.
    Another,
}

fn likeness(outcome: &Outcome, operation: &Operation) -> Likeness {
    fn differs<T: PartialEq>(ours: Option<&T>, found: Option<&T>) -> bool {
        ours.zip(found).is_some_and(|(ours, found)| ours != found)
    }
    let receipt = outcome.resolution.operation_id();
    let is_refund = outcome.kind == Kind::Refund;
    let other_type = operation
        .operation_type
        .is_some_and(|found| (found == OperationType::Refund) != is_refund);
    // The order's number is part of Alipay's own key: `auth_no` for a refund.
    let other_order = differs(
        outcome.out_order_no.as_ref(),
        operation.out_order_no.as_ref(),
    ) || differs(outcome.auth_no.as_ref(), operation.auth_no.as_ref());
    if other_type || other_order || differs(receipt, operation.operation_id.as_ref()) {
        return Likeness::Another;
    }
    let same_amount = operation
        .amount
        .is_none_or(|amount| amount == outcome.amount);
    match (same_amount, outcome.resolution.is_success()) {
        (true, _) => Likeness::Same,
        (false, true) => Likeness::OtherAmount,
        // Nothing was paid by the job, so another one uses its number.
        (false, false) => Likeness::Another,
    }
}

#[cfg(test)]
mod tests;
