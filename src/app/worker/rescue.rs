//! Rule 13: no silent orphans. Looks for overdue jobs at a low rate and gives them a new copy.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::{error, warn};

use crate::app::job_body;
use crate::app::outcome_event;
use crate::domain::causes::with_causes;
use crate::domain::entry::{Deferred, Entry};
use crate::domain::job::{JobKey, Kind};
use crate::domain::lane::Tier;
use crate::domain::outcome::Announcement;
use crate::domain::time::UnixMillis;
use crate::lifecycle::{Event, Transition, step};
use crate::ports::broker::{Epitaph, JobCopy, PublishError};
use crate::ports::ledger::{LedgerError, ScanCursor, Versioned};

use super::Worker;

/// How many jobs of the index are looked at in one round.
const ROUND_MAX: usize = 500;

/// Why a round came to nothing; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum RescueError {
    #[error("ask the ledger")]
    Ledger(#[from] LedgerError),
    #[error("publish")]
    Publish(#[from] PublishError),
}

/// What a round saw, for the gauges.
#[derive(Default)]
struct Census {
    by_kind: [u64; Kind::ALL.len()],
    oldest: Option<UnixMillis>,
}

impl Worker {
    pub(super) async fn rescue_forever(&self) {
        let mut cursor = ScanCursor::START;
        loop {
            self.ports.clock.sleep(self.options.rescue_interval).await;
            match self.rescue_round(cursor).await {
                Ok(next) => cursor = next,
                Err(error) => {
                    warn!(error = %with_causes(&error), "the look for overdue jobs is cut short")
                }
            }
        }
    }

    async fn rescue_round(&self, cursor: ScanCursor) -> Result<ScanCursor, RescueError> {
        let ledger = &self.ports.ledger;
        let mut census = Census::default();
        for key in ledger.unsettled(UnixMillis(u64::MAX), ROUND_MAX).await? {
            self.rescue_one(&key, Some(&mut census)).await?;
        }
        for (kind, count) in Kind::ALL.into_iter().zip(census.by_kind) {
            self.metrics.set_unsettled(kind, count);
        }
        let now = self.ports.clock.now();
        let oldest = census
            .oldest
            .map_or(Duration::ZERO, |oldest| now.since(oldest));
        self.metrics.set_unsettled_oldest_age(oldest);
        // The index is advisory: a claim that was never deferred is found only here.
        let (keys, next) = ledger.scan(cursor).await?;
        for key in keys {
            self.rescue_one(&key, None).await?;
        }
        Ok(next)
    }

    /// Rescues one job, so that no trouble of its own keeps the others from being seen.
    async fn rescue_one(
        &self,
        key: &JobKey,
        census: Option<&mut Census>,
    ) -> Result<(), RescueError> {
        let rescue = AssertUnwindSafe(self.rescue(key, census)).catch_unwind();
        if let Ok(rescued) = rescue.await {
            return passable(key, rescued);
        }
        error!(job.id = %key, "the look at an unsettled job panicked");
        Ok(())
    }

    async fn rescue(&self, key: &JobKey, census: Option<&mut Census>) -> Result<(), RescueError> {
        let Some(state) = self.ports.ledger.read(key).await? else {
            return Ok(());
        };
        let Some(pending) = state.entry.pending() else {
            return Ok(());
        };
        let kind = pending.job.kind();
        if let Some(census) = census {
            census.count(kind, pending.first_seen_at);
        }
        let transition = step(Some(&state.entry), Event::Overdue, &self.context());
        if matches!(transition, Transition::Refuse(_)) || !self.may_rescue(key, kind).await {
            return Ok(());
        }
        if let Transition::Rescue(entry) = transition {
            self.republish(key, &state, *entry).await
        } else if let Transition::GiveToOperators(entry) = transition {
            self.give_to_operators(key, &state, *entry).await
        } else {
            Ok(())
        }
    }

    /// No rescue while the job may simply be waiting its turn.
    async fn may_rescue(&self, key: &JobKey, kind: Kind) -> bool {
        !self.pacing.breaker_open(&key.app)
            && !self.is_paused(&key.app, kind)
            && self.ports.broker.waiting(kind).await == Some(0)
    }

    /// The copy first, then the entry: there are never zero copies.
    async fn republish(
        &self,
        key: &JobKey,
        state: &Versioned,
        entry: Deferred,
    ) -> Result<(), RescueError> {
        warn!(job.id = %key, rescues = entry.pending.rescues, "an overdue job gets a new copy");
        self.ports
            .broker
            .publish_job(&copy_of_entry(&entry))
            .await?;
        self.ports
            .ledger
            .replace(key, &state.revision, &Entry::Deferred(entry))
            .await?;
        Ok(())
    }

    async fn give_to_operators(
        &self,
        key: &JobKey,
        state: &Versioned,
        entry: Deferred,
    ) -> Result<(), RescueError> {
        error!(job.id = %key, "an unsettled job was rescued too often; it is given to operators");
        let now = self.ports.clock.now();
        let broker = &self.ports.broker;
        let said = Announcement::Unresolved {
            job: Box::new(entry.pending.job.clone()),
            attempts: entry.pending.attempts,
            at: now,
        };
        let traceparent = entry.pending.return_address.traceparent.clone();
        broker
            .publish_event(&outcome_event::encode(&said, traceparent.as_deref()))
            .await?;
        let epitaph = Epitaph {
            reason: "rescued_too_often",
            detail: "three new copies brought no verdict; requeue it once the cause is found"
                .to_owned(),
            at: now,
        };
        broker.bury(&copy_of_entry(&entry), &epitaph).await?;
        self.metrics.buried(epitaph.reason);
        self.ports
            .ledger
            .replace(key, &state.revision, &Entry::Deferred(entry))
            .await?;
        Ok(())
    }
}

/// Lets a round go on where the trouble is one job's own: the oldest one, which is looked at first,
/// must not keep all others from being seen.
fn passable(key: &JobKey, rescued: Result<(), RescueError>) -> Result<(), RescueError> {
    match rescued {
        Err(
            error @ (RescueError::Ledger(LedgerError::Unreadable { .. })
            | RescueError::Publish(PublishError::Refused | PublishError::Unroutable { .. })),
        ) => {
            error!(job.id = %key, error = %with_causes(&error), "an unsettled job cannot be rescued");
            Ok(())
        }
        other => other,
    }
}

impl Census {
    fn count(&mut self, kind: Kind, first_seen_at: UnixMillis) {
        for (known, count) in Kind::ALL.into_iter().zip(self.by_kind.iter_mut()) {
            if known == kind {
                *count += 1;
            }
        }
        self.oldest = Some(
            self.oldest
                .map_or(first_seen_at, |oldest| oldest.min(first_seen_at)),
        );
    }
}

fn copy_of_entry(entry: &Deferred) -> JobCopy {
    let job = &entry.pending.job;
    JobCopy {
        kind: job.kind(),
        tier: Tier::default(),
        body: job_body::encode(job),
        ticket: Some(entry.ticket),
        return_address: entry.pending.return_address.clone(),
        published_at: None,
        attempts: 0,
    }
}
