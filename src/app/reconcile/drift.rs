//! Reconciles a little all the time: a few of the jobs that were just settled are asked for at
//! Alipay some minutes later, and what has drifted apart is counted and told.
//!
//! The sample is even within each minute and bounded for an hour. It is no record: what is in it when
//! the process ends is not asked for.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, warn};

use crate::app::metrics::Metrics;
use crate::app::reconcile::books::{Checked, check, query_target};
use crate::app::witness::{Settling, Witness};
use crate::app::worker::signal_of_finding;
use crate::domain::job::{JobKey, QueryTarget};
use crate::domain::outcome::Outcome;
use crate::domain::time::UnixMillis;
use crate::pacing::{Admission, Applicant, Further, PacedCall, Pacing, Party, Rank};
use crate::ports::clock::{Clock, Random};
use crate::ports::gateway::Gateway;

/// How long after it was settled a job is asked for: by then Alipay's queries see what its payments
/// did.
const ASKED_AFTER: Duration = Duration::from_secs(300);

/// For how many minutes of settled jobs the sample lasts, when they cannot be asked for.
const MINUTES_MAX: usize = 60;

const MINUTE_MS: u64 = 60_000;

/// The sample, and whoever asks for what is in it.
pub struct Drift {
    sample: Mutex<Sample>,
    rate_per_minute: NonZeroU32,
    random: Arc<dyn Random>,
}

/// What is asked, and what is told of it.
pub struct DriftPorts {
    /// Alipay.
    pub gateway: Arc<dyn Gateway>,
    /// Whose permits are taken, with the lowest rank.
    pub pacing: Arc<Pacing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Sample {
    /// The minute that is being drawn from, since 1970.
    minute: u64,
    /// How many were settled in it.
    settled: u64,
    drawn: Vec<Due>,
    /// Of minutes before, the oldest first.
    due: VecDeque<Due>,
}

/// One job to be asked for.
struct Due {
    key: JobKey,
    outcome: Outcome,
    target: QueryTarget,
}

impl Drift {
    /// Makes an empty sample, of which so many jobs are asked for in a minute.
    #[must_use]
    pub fn new(rate_per_minute: NonZeroU32, random: Arc<dyn Random>) -> Self {
        Self {
            sample: Mutex::new(Sample::default()),
            rate_per_minute,
            random,
        }
    }

    /// Asks for ever, one job after the other.
    pub async fn run(self: Arc<Self>, ports: DriftPorts) {
        let interval = Duration::from_secs(60) / self.rate_per_minute.get();
        loop {
            ports.clock.sleep(interval).await;
            if let Some(due) = self.next(ports.clock.now()) {
                ask(&due, &ports).await;
            }
        }
    }

    /// The oldest that is due, taken out.
    fn next(&self, now: UnixMillis) -> Option<Due> {
        let mut sample = self.lock();
        if now.0.div_euclid(MINUTE_MS) > sample.minute {
            sample.end_minute(self.per_minute());
        }
        let due = sample.due.front()?;
        if now < due.outcome.settled_at.plus(ASKED_AFTER) {
            return None;
        }
        sample.due.pop_front()
    }

    fn per_minute(&self) -> usize {
        usize::try_from(self.rate_per_minute.get()).unwrap_or(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    /// What was drawn of a minute waits until it is due; what is too old makes room.
    fn end_minute(&mut self, per_minute: usize) {
        self.settled = 0;
        self.due.extend(self.drawn.drain(..));
        let surplus = self
            .due
            .len()
            .saturating_sub(per_minute.saturating_mul(MINUTES_MAX));
        self.due.drain(..surplus);
    }
}

impl Witness for Drift {
    fn settled(&self, settling: &Settling<'_>) {
        let Some(target) = query_target(settling.key, settling.outcome) else {
            return;
        };
        let minute = settling.outcome.settled_at.0.div_euclid(MINUTE_MS);
        let mut sample = self.lock();
        if minute > sample.minute {
            sample.end_minute(self.per_minute());
            sample.minute = minute;
        }
        sample.settled = sample.settled.saturating_add(1);
        // Every job of the minute stays with the same likelihood. Source: Vitter, Algorithm R.
        let place = if sample.drawn.len() < self.per_minute() {
            sample.drawn.len()
        } else {
            let drawn = self.random.next_u64().checked_rem(sample.settled);
            usize::try_from(drawn.unwrap_or(u64::MAX)).unwrap_or(usize::MAX)
        };
        let due = || Due {
            key: settling.key.clone(),
            outcome: settling.outcome.clone(),
            target,
        };
        if place == sample.drawn.len() && place < self.per_minute() {
            sample.drawn.push(due());
        } else if let Some(other) = sample.drawn.get_mut(place) {
            *other = due();
        }
    }
}

async fn ask(due: &Due, ports: &DriftPorts) {
    let app = &due.key.app;
    let applicant = Applicant {
        call: PacedCall::Query,
        rank: Rank::Last,
        party: Party::default(),
    };
    let checked = match ports.pacing.permit(app, applicant).await {
        Admission::Closed { .. } => Checked::Unanswered,
        Admission::Open(permit) => {
            if !permit.is_fresh() {
                match permit.next_call(PacedCall::Query).await {
                    // A query is never paused.
                    Further::Granted | Further::Paused => {}
                }
            }
            let finding = ports.gateway.query(app, &due.target).await;
            permit.report(signal_of_finding(&finding));
            check(&due.outcome, &finding)
        }
    };
    let (job, kind) = (&due.key, due.outcome.kind);
    match checked {
        Checked::Equal => ports.metrics.reconciled(app, "equal", 0),
        Checked::Differs(difference, fen) => {
            error!(
                job.id = %job, job.kind = %kind, difference = difference.as_str(), fen,
                result = due.outcome.resolution.as_str(),
                "alipay says something else than the ledger; a person must look"
            );
            ports.metrics.reconciled(app, "different", fen);
        }
        Checked::Unanswered => {
            warn!(job.id = %job, "alipay gave no answer by which the ledger could be checked");
            ports.metrics.reconciled(app, "unanswered", 0);
        }
    }
}

#[cfg(test)]
mod tests;
