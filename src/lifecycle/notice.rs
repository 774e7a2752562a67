//! What a notification means: for the job that asked for its operation, or for nobody's (rule 16).

use crate::domain::entry::{Deferred, Entry, InFlight};
use crate::domain::job::{Kind, Labels};
use crate::domain::notice::{Notice, Telling};
use crate::domain::outcome::{Outcome, Resolution};
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
    /// No job's outcome says it: announce it as what it is. `against` is what speaks against the
    /// order that was signed for it, for a person to look at.
    Tell {
        /// What is announced.
        telling: Box<Telling>,
        /// What does not fit.
        against: Option<&'static str>,
    },
    /// Nothing: it is not final, or a pending job's own query has the word on it.
    Nothing,
    /// Say nothing, and let Alipay repeat it: whose it is will be known later. The ledger may have
    /// forgotten the job (rule 5), or an unsettled job under its numbers has other content.
    Repeat,
}

/// Decides what a notice means against what the ledger holds under its `out_request_no`.
///
/// An entry is the operation's own only if nothing that both name differs: Alipay takes one
/// `out_request_no` under several orders, and nobody has said which one an automatic refund bears.
#[must_use]
pub fn hear(state: Option<&Entry>, notice: &Notice, context: &Context<'_>) -> Heard {
    let operation = notice.operation();
    let nobodys = tell(notice, notice.kind(), Labels::default(), None);
    // To tell it as nobody's and then as a forgotten job's would look like two payments.
    let unless_forgotten = match (&nobodys, context.memory) {
        (Heard::Tell { .. }, Memory::Doubtful) => Heard::Repeat,
        _ => nobodys.clone(),
    };
    match state {
        None => unless_forgotten,
        Some(Entry::Settled(outcome)) => hear_settled(outcome, nobodys, notice, context),
        Some(
            entry @ (Entry::InFlight(InFlight { pending, .. })
            | Entry::Deferred(Deferred { pending, .. })),
        ) => {
            let job = &pending.job;
            if !comparison::is_same_operation(job, operation) {
                // As with conflicts, an unsettled entry may be younger than a forgotten one.
                unless_forgotten
            } else if comparison::is_same(job, operation) {
                learnt(Some(entry), operation, context)
            } else {
                // Whether it is the job's, told in other words, or somebody else's under its
                // number, is for the job's own query to find.
                Heard::Repeat
            }
        }
    }
}

/// Decides against an outcome, which has dropped its job; `nobodys` is for another operation.
fn hear_settled(
    outcome: &Outcome,
    nobodys: Heard,
    notice: &Notice,
    context: &Context<'_>,
) -> Heard {
    let operation = notice.operation();
    let likeness = likeness(outcome, operation);
    match (likeness, &outcome.resolution) {
        (Likeness::Another, _) => nobodys,
        // Somebody paid the order, or nobody in time: no job waits for it, and its event is here.
        (Likeness::Same, Resolution::Signed(_)) => {
            tell(notice, Kind::Pay, outcome.labels.clone(), None)
        }
        (Likeness::OtherAmount, Resolution::Signed(_)) => {
            let against = Some("alipay reports another amount than the signed order has");
            tell(notice, Kind::Pay, outcome.labels.clone(), against)
        }
        (Likeness::OtherAmount, Resolution::Succeeded { .. }) => Heard::Contradict {
            outcome: Box::new(outcome.clone()),
            evidence: OTHER_CONTENT,
        },
        // Nothing was paid by the job, so another one uses its number.
        (Likeness::OtherAmount, Resolution::Failed(_) | Resolution::Rejected(_)) => nobodys,
        (
            Likeness::Same,
            Resolution::Succeeded { .. } | Resolution::Failed(_) | Resolution::Rejected(_),
        ) => learnt(Some(&Entry::Settled(outcome.clone())), operation, context),
    }
}

/// Tells what is final, and nothing of what is not.
fn tell(notice: &Notice, kind: Kind, labels: Labels, against: Option<&'static str>) -> Heard {
    match notice.operation().status {
        OperationStatus::Success | OperationStatus::Closed => Heard::Tell {
            telling: Box::new(Telling {
                notice: notice.clone(),
                kind,
                labels,
            }),
            against,
        },
        OperationStatus::Init => Heard::Nothing,
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
    /// The same order, number and kind of operation, and yet another amount.
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
    if same_amount {
        Likeness::Same
    } else {
        Likeness::OtherAmount
    }
}

#[cfg(test)]
mod tests;
