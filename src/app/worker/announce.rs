//! Telling the world, and the queue that waits for the answer.

use tracing::{error, warn};

use crate::app::outcome_event;
use crate::domain::causes::with_causes;
use crate::domain::job::JobKey;
use crate::domain::outcome::{Announcement, Outcome};
use crate::ports::broker::{Delivery, PublishError};

use super::Worker;
use super::case::{Case, Halt};

impl Worker {
    /// Announces a settled outcome and acknowledges. The ledger has it already.
    pub(super) async fn announce_settled(
        &self,
        case: &Case<'_>,
        outcome: Outcome,
    ) -> Result<(), Halt> {
        if !outcome.resolution.is_success() {
            self.wait_for_replicas(case.delivery, &case.key).await?;
        }
        let announcement = Announcement::Settled {
            key: case.key.clone(),
            outcome,
        };
        self.announce(case.delivery, &announcement).await?;
        // Publish before ack: a crash in between repeats the event, never loses it.
        self.acknowledge(case.delivery).await;
        Ok(())
    }

    /// Rule 9: says what speaks against a settled outcome, then that outcome again: it stands.
    pub(super) async fn contradict(
        &self,
        case: &Case<'_>,
        outcome: Outcome,
        evidence: &'static str,
    ) -> Result<(), Halt> {
        self.tell_contradiction(case.delivery, &case.key, outcome.clone(), evidence)
            .await?;
        self.announce_settled(case, outcome).await
    }

    /// Logs, counts and publishes a contradiction.
    pub(super) async fn tell_contradiction(
        &self,
        delivery: &Delivery,
        key: &JobKey,
        outcome: Outcome,
        evidence: &'static str,
    ) -> Result<(), Halt> {
        let settled = outcome.resolution.as_str();
        error!(job.id = %key, evidence, settled, "an outcome is contradicted; a person must look");
        self.metrics.contradicted();
        let at = self.ports.clock.now();
        let said = Announcement::Contradicted {
            key: key.clone(),
            outcome,
            evidence,
            at,
        };
        self.announce(delivery, &said).await
    }

    /// Announces that the number belongs to another job, and acknowledges.
    pub(super) async fn announce_conflict(&self, case: &Case<'_>) -> Result<(), Halt> {
        self.metrics.conflict(case.job.kind());
        self.metrics.rejected(&case.key.app, case.job.kind());
        let announcement = Announcement::Conflict {
            job: Box::new(case.job.clone()),
            fingerprint: case.fingerprint,
            at: self.ports.clock.now(),
        };
        self.announce(case.delivery, &announcement).await?;
        self.acknowledge(case.delivery).await;
        Ok(())
    }

    /// Publishes the event, and a copy to the queue that the delivery names.
    pub(super) async fn announce(
        &self,
        delivery: &Delivery,
        announcement: &Announcement,
    ) -> Result<(), Halt> {
        let address = &delivery.return_address;
        let event = outcome_event::encode(announcement, address.traceparent.as_deref());
        let broker = &self.ports.broker;
        self.until_published(delivery, || broker.publish_event(&event))
            .await?;
        if address.reply_to.is_none() {
            return Ok(());
        }
        self.until_published(delivery, || async {
            match broker.publish_reply(&event, address).await {
                // Nobody waits any more, or nobody reads: one producer's queue must not hold up
                // the jobs of all others. Everybody else has the event.
                Err(error @ (PublishError::Unroutable { .. } | PublishError::Refused)) => {
                    warn!(error = %with_causes(&error), "the reply queue is gone, full, or not for replies");
                    Ok(())
                }
                published => published,
            }
        })
        .await
    }
}
