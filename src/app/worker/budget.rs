//! The spend guard's place in the work: a sum is reserved right before a call that pays out.
//!
//! Before the *call*, and not before the claim: whoever holds the claim has seen that the job is not
//! settled, so that a duplicate takes nothing out of a budget, and a job in doubt, which is asked about
//! first and perhaps sent then, comes by as well. A crash in between leaves a reservation that the
//! job's next turn finds again, or a claim that its next turn takes over, and no payment uncounted.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, warn};

use crate::app::budget::{OnError, SpendGuard, WhenOver};
use crate::app::outcome_event;
use crate::domain::causes::with_causes;
use crate::domain::job::MoneyJob;
use crate::domain::outcome::{Announcement, BudgetWarning, Outcome, Resolution};
use crate::domain::time::UnixMillis;
use crate::lifecycle::{Call, Withheld};
use crate::ports::budget::{Count, Fit, Grant, Limit, Reservation, Spending};

use super::Worker;
use super::case::Case;

/// So often a warning is tried to be published.
const WARNING_ATTEMPTS_MAX: u32 = 10;

/// How long to wait in between.
const WARNING_PAUSE: Duration = Duration::from_secs(1);

impl Worker {
    /// Reserves the job's amount, if the call pays it out; `None` if the call may be made.
    pub(super) async fn withhold(&self, case: &Case<'_>, call: Call) -> Option<Withheld> {
        let guard = self.options.budget.as_ref()?;
        match call {
            Call::Send => {}
            Call::Query | Call::QueryOnce | Call::QueryExpired | Call::QueryOverBudget => {
                return None;
            }
        }
        let now = self.ports.clock.now();
        let spending = guard.options.spending(&case.job, case.fingerprint, now)?;
        match guard.counters.draw(&spending).await {
            Ok(reservation) => {
                self.tell_budget(guard, &case.job, &spending, &reservation);
                withheld(guard, &spending, &reservation)
            }
            Err(error) => {
                self.metrics.budget_uncounted(&case.key.app);
                let did = match guard.options.on_error {
                    OnError::Wait => "waits",
                    OnError::Pay => "is paid uncounted",
                };
                warn!(job.id = %case.key, error = %with_causes(&error), did, "the spend guard cannot count a payment");
                match guard.options.on_error {
                    OnError::Wait => Some(Withheld::Uncounted),
                    OnError::Pay => None,
                }
            }
        }
    }

    /// Gives back what a job reserved that was not paid. After the outcome is in the ledger: from then
    /// on the job is never sent again.
    pub(super) async fn give_back(&self, case: &Case<'_>, outcome: &Outcome) {
        let Some(guard) = &self.options.budget else {
            return;
        };
        match outcome.resolution {
            Resolution::Failed(_) | Resolution::Rejected(_) => {}
            Resolution::Succeeded { .. } | Resolution::Signed(_) => return,
        }
        let now = self.ports.clock.now();
        let Some(spending) = guard.options.spending(&case.job, case.fingerprint, now) else {
            return;
        };
        if let Err(error) = guard.counters.give_back(&spending).await {
            debug!(job.id = %case.key, error = %with_causes(&error), "what was reserved for a job that was not paid may stay counted");
        }
    }

    /// Tells metrics, log and subscribers how the sums stand.
    fn tell_budget(
        &self,
        guard: &SpendGuard,
        job: &MoneyJob,
        spending: &Spending,
        reservation: &Reservation,
    ) {
        let app = &job.app;
        for (limit, count) in spending.limits.iter().zip(&reservation.counts) {
            let counter = &limit.counter;
            self.metrics.budget_spent(app, counter, count.spent_fen);
            if count.fit.is_over() {
                self.metrics.budget_over(app, counter);
            }
            // Payees and label values may be people: the job's number leads to them.
            let (scope, window) = (counter.scope.as_str(), counter.window.as_str());
            let (cap_fen, spent_fen) = (limit.cap.get(), count.spent_fen);
            if count.fit == Fit::OverFirst {
                let did = match guard.options.over {
                    WhenOver::Wait => "are put off",
                    WhenOver::Reject => "are rejected, or put off if they may have been sent",
                    WhenOver::Tell => "are paid all the same",
                };
                warn!(app = %app, scope, window, cap_fen, spent_fen, job.id = %job.key(), did, "a cap of the spend guard is reached: what would exceed it is held back or told until the window ends");
            }
            if count.warned_now {
                warn!(app = %app, scope, window, cap_fen, spent_fen, job.id = %job.key(), "a cap of the spend guard is nearly reached");
                self.metrics.budget_warned(app, counter);
                self.announce_warning(guard, job, (limit, count), spending.at);
            }
        }
    }

    /// Publishes beside the job, which it must not hold up.
    fn announce_warning(
        &self,
        guard: &SpendGuard,
        job: &MoneyJob,
        (limit, count): (&Limit, &Count),
        at: UnixMillis,
    ) {
        let warning = BudgetWarning {
            app: job.app.clone(),
            counter: limit.counter,
            value: guard.options.value_of(limit.counter.scope, job),
            cap: limit.cap,
            spent_fen: count.spent_fen,
            at,
        };
        let event = outcome_event::encode(&Announcement::BudgetWarned(Box::new(warning)), None);
        let (broker, clock) = (
            Arc::clone(&self.ports.broker),
            Arc::clone(&self.ports.clock),
        );
        let draining = self.draining.clone();
        self.tasks.spawn(async move {
            for _ in 0..WARNING_ATTEMPTS_MAX {
                let Err(error) = broker.publish_event(&event).await else {
                    return;
                };
                debug!(event.id = event.id, error = %with_causes(&error), "not confirmed");
                if draining
                    .run_until_cancelled(clock.sleep(WARNING_PAUSE))
                    .await
                    .is_none()
                {
                    break;
                }
            }
            error!(
                event.id = event.id,
                "a warning of the spend guard was not published; the log and the metrics have it"
            );
        });
    }
}

/// What is said instead of an answer; `None` if the job may be sent.
fn withheld(
    guard: &SpendGuard,
    spending: &Spending,
    reservation: &Reservation,
) -> Option<Withheld> {
    match reservation.grant {
        Grant::Granted => return None,
        Grant::Refused => {}
    }
    let exceeded = spending.limits.iter().zip(&reservation.counts);
    let exceeded = exceeded.filter(|(_, count)| count.fit.is_over());
    // Before the last of them begins anew, the job would only be refused again.
    let until = exceeded.map(|(limit, _)| limit.counter.ends_at()).max();
    let until = until.unwrap_or(spending.at);
    Some(match guard.options.over {
        WhenOver::Wait | WhenOver::Tell => Withheld::OverBudget { until },
        WhenOver::Reject => Withheld::Unwanted { until },
    })
}
