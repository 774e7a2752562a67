//! What becomes of a claimed job that was not sent: the spend guard or an operator said no.

use crate::domain::entry::{Entry, InFlight};
use crate::lifecycle::answer::{self, Wait};
use crate::lifecycle::{Call, Context, DeferReason, Memory, Transition, Withheld};

/// Decides for the holder, whose entry `state` is, or has vanished.
///
/// Nothing was sent now, so what the entry knows of the danger stays as it was: a job that was never
/// sent is still unsent (rule 4). Only such a job may be rejected, and for the reason that rule 11 has
/// Alipay is asked first: the ledger may have forgotten that it paid the job long ago. Any other one
/// waits whatever is wanted, for it may have been paid, and is followed to its end.
pub(super) fn judge(
    held: InFlight,
    withheld: Withheld,
    state: Option<&Entry>,
    context: &Context<'_>,
) -> Transition {
    match withheld {
        Withheld::Paused => answer::defer(held, DeferReason::LaneClosed, context),
        Withheld::Uncounted => answer::defer(held, DeferReason::Uncounted, context),
        Withheld::Unwanted { .. } if is_unsent(&held, state, context) => Transition::Call {
            held: Box::new(held),
            call: Call::QueryOverBudget,
        },
        Withheld::OverBudget { until } | Withheld::Unwanted { until } => {
            // A wait of the ladder's own, so that the job is due when its copy comes.
            let length = until.since(context.now);
            let delay = context.policy.retry.delay_for(length);
            let wait = Wait {
                least: delay,
                most: delay,
            };
            answer::defer_for(held, DeferReason::OverBudget, &wait, context)
        }
    }
}

/// Whether the job was never sent as far as the ledger knows: the entry says so, is there, and has lost
/// nothing of late.
fn is_unsent(held: &InFlight, state: Option<&Entry>, context: &Context<'_>) -> bool {
    !held.pending.maybe_sent && state.is_some() && context.memory == Memory::Sound
}
