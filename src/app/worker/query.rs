//! Drives a query job: it reads, and takes no ledger entry.

use std::time::Duration;

use tracing::warn;

use crate::domain::entry::{Entry, ReturnAddress};
use crate::domain::job::{JobKey, Kind, QueryJob};
use crate::domain::outcome::{Announcement, QueryAnswer};
use crate::domain::time::Monotonic;
use crate::domain::verdict::{Finding, Operation};
use crate::lifecycle::{DeferReason, Event, Learnt, Transition, step};
use crate::pacing::{Admission, Applicant, PacedCall, Party};
use crate::ports::broker::Delivery;

use super::Worker;
use super::calls::{rank, signal_of_finding};
use super::case::Halt;
use super::deliver::copy_of;
use super::ledger_access::Write;

impl Worker {
    pub(super) async fn work_query(
        &self,
        delivery: &Delivery,
        job: QueryJob,
        received_at: Monotonic,
    ) -> Result<(), Halt> {
        let now = self.ports.clock.now();
        if job.not_after.is_some_and(|not_after| now > not_after) {
            return self
                .answer_query(delivery, job, QueryAnswer::Expired, received_at)
                .await;
        }
        let who = Applicant {
            call: PacedCall::Query,
            rank: rank(Kind::Query, delivery.tier),
            party: Party::default(),
        };
        let permit = match self.admission(delivery, &job.app, who).await? {
            Admission::Open(permit) => permit,
            Admission::Closed { retry_after } => {
                return self
                    .defer_query(
                        delivery,
                        delivery.attempts,
                        retry_after,
                        DeferReason::LaneClosed,
                    )
                    .await;
            }
        };
        let finding = self.ports.gateway.query(&job.app, &job.target).await;
        permit.report(signal_of_finding(&finding));
        drop(permit);
        match finding {
            Finding::Found(operation) => {
                match self.learn(delivery, &job, &operation).await {
                    Ok(()) => {}
                    Err(Halt::HandBack) => return Err(Halt::HandBack),
                    // The answer is true all the same; the job's own copy brings it to an end.
                    Err(Halt::Unreadable(reason)) => {
                        warn!(reason, "a query met an entry that this version cannot read");
                    }
                }
                self.answer_query(delivery, job, QueryAnswer::Found(operation), received_at)
                    .await
            }
            Finding::NotFound => {
                self.answer_query(delivery, job, QueryAnswer::NotFound, received_at)
                    .await
            }
            Finding::Unknown(_) => {
                let attempts = delivery.attempts.saturating_add(1);
                if attempts >= self.options.query_attempts.get() {
                    return self
                        .answer_query(delivery, job, QueryAnswer::Unresolved, received_at)
                        .await;
                }
                let context = self.context();
                let delay = context
                    .policy
                    .retry
                    .delay(attempts, context.jitter_permille);
                self.defer_query(delivery, attempts, delay, DeferReason::Unknown)
                    .await
            }
            // Not asked at all: this is no answer, and does not count as one.
            Finding::NotExecuted(_) => self.defer_unasked(delivery, DeferReason::NotExecuted).await,
            Finding::Blocked(_) => self.defer_unasked(delivery, DeferReason::Blocked).await,
        }
    }

    async fn defer_unasked(&self, delivery: &Delivery, reason: DeferReason) -> Result<(), Halt> {
        let context = self.context();
        let delay = context
            .policy
            .retry
            .delay_unsent(delivery.attempts.saturating_add(3), context.jitter_permille);
        self.defer_query(delivery, delivery.attempts, delay, reason)
            .await
    }

    async fn defer_query(
        &self,
        delivery: &Delivery,
        attempts: u32,
        delay: Duration,
        reason: DeferReason,
    ) -> Result<(), Halt> {
        let mut copy = copy_of(delivery).of_kind(Kind::Query);
        copy.attempts = attempts;
        let broker = &self.ports.broker;
        self.until_published(delivery, || broker.publish_later(&copy, delay))
            .await?;
        self.metrics.deferred(Kind::Query, reason);
        self.acknowledge(delivery).await;
        Ok(())
    }

    async fn answer_query(
        &self,
        delivery: &Delivery,
        job: QueryJob,
        answer: QueryAnswer,
        received_at: Monotonic,
    ) -> Result<(), Halt> {
        self.metrics.answered(&job.app, &answer);
        let now = self.ports.clock.now();
        let announcement = Announcement::Answered {
            job: Box::new(job),
            message_id: delivery.return_address.message_id.clone(),
            answer,
            attempts: delivery.attempts.saturating_add(1),
            at: now,
        };
        self.announce(delivery, &announcement).await?;
        self.acknowledge(delivery).await;
        let took = self.ports.clock.monotonic().since(received_at);
        self.metrics.announced(Kind::Query, took);
        Ok(())
    }

    /// Whoever settled the job by this very query may have ended before it told so, and then nothing
    /// but the query comes again. Otherwise nothing was learnt that anybody waits for.
    async fn tell_again(
        &self,
        delivery: &Delivery,
        key: JobKey,
        entry: Option<&Entry>,
    ) -> Result<(), Halt> {
        let Some(Entry::Settled(outcome)) = entry else {
            return Ok(());
        };
        if !delivery.redelivered {
            return Ok(());
        }
        let mut nobodys = delivery.clone();
        nobodys.return_address = ReturnAddress::default();
        let said = Announcement::Settled {
            key,
            outcome: outcome.clone(),
        };
        self.announce(&nobodys, &said).await
    }

    /// Rule 16: what a query job found about a job that is still unsettled settles it.
    async fn learn(
        &self,
        delivery: &Delivery,
        job: &QueryJob,
        operation: &Operation,
    ) -> Result<(), Halt> {
        let Some(out_request_no) = operation.out_request_no.clone() else {
            return Ok(());
        };
        let key = JobKey {
            app: job.app.clone(),
            out_request_no,
        };
        let mut state = self.read(delivery, &key).await?;
        loop {
            let entry = state.as_ref().map(|versioned| &versioned.entry);
            let transition = step(entry, Event::Learnt(&Learnt { operation }), &self.context());
            if let Transition::Contradict { outcome, evidence } = transition {
                return self
                    .tell_contradiction(delivery, &key, *outcome, evidence)
                    .await;
            }
            let Transition::Settle(outcome) = transition else {
                return self.tell_again(delivery, key, entry).await;
            };
            let owner = entry
                .and_then(Entry::pending)
                .map(|pending| pending.return_address.clone());
            let settled = Entry::Settled((*outcome).clone());
            match self.write(delivery, &key, state.as_ref(), settled).await? {
                Write::Stored(_) => {
                    self.note_settled(&key, &outcome, None);
                    let mut owned = delivery.clone();
                    owned.return_address = owner.unwrap_or_default();
                    let said = Announcement::Settled {
                        key,
                        outcome: *outcome,
                    };
                    return self.announce(&owned, &said).await;
                }
                Write::Other(other) => state = other,
            }
        }
    }
}
