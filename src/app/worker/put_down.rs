//! How work on a delivery ends in the ledger: settled, freed, deferred, or parked beside it.

use std::time::Duration;

use tracing::debug;

use crate::app::witness::{Settling, Witness as _};
use crate::domain::entry::{Entry, Ticket};
use crate::domain::job::JobKey;
use crate::domain::outcome::{Announcement, Outcome};
use crate::lifecycle::admission::{PARK_DELAY, park_delay, park_delay_unread};
use crate::lifecycle::{Deferral, Memory, Unresolved, Vacate};
use crate::ports::broker::Delivery;
use crate::ports::ledger::{Removed, Versioned};

use super::Worker;
use super::case::{Case, Halt};
use super::deliver::copy_of;
use super::ledger_access::Write;
use super::money::Turn;

impl Worker {
    /// Rule 7: ledger, then event, then ack. `None` when the ledger holds something else, which is
    /// then in `state`.
    pub(super) async fn settle(
        &self,
        case: &Case<'_>,
        state: &mut Option<Versioned>,
        outcome: Outcome,
    ) -> Result<Option<Turn>, Halt> {
        match self
            .write(
                case.delivery,
                &case.key,
                state.as_ref(),
                Entry::Settled(outcome.clone()),
            )
            .await?
        {
            Write::Stored(_) => {
                let took = self.ports.clock.monotonic().since(case.received_at);
                let result = outcome.resolution.as_str();
                debug!(job.id = %case.key, job.kind = %outcome.kind, result, attempts = outcome.attempts, "settled");
                self.note_settled(&case.key, &outcome, Some(took));
                self.give_back(case, &outcome).await;
                let kind = outcome.kind;
                self.announce_settled(case, outcome).await?;
                self.metrics.announced(kind, took);
                Ok(Some(Turn::Done))
            }
            Write::Other(other) => {
                *state = other;
                Ok(None)
            }
        }
    }

    /// Tells everybody in this process that an outcome was written.
    pub(super) fn note_settled(&self, key: &JobKey, outcome: &Outcome, took: Option<Duration>) {
        self.metrics
            .settled(&key.app, outcome.kind, &outcome.resolution, outcome.amount);
        self.witnesses.settled(&Settling { key, outcome, took });
    }

    /// The number belongs to another job: frees it where that is ours to do, and says so.
    pub(super) async fn conflict(
        &self,
        case: &Case<'_>,
        state: Option<&Versioned>,
        vacate: Vacate,
    ) -> Result<Turn, Halt> {
        if let (Vacate::RemoveEntry, Some(state)) = (vacate, state)
            && self.remove(case.delivery, &case.key, state).await? == Removed::Changed
        {
            // Rule 8: whoever holds this very job by now has the word.
            let there = self.read(case.delivery, &case.key).await?;
            if there.is_some_and(|there| there.entry.fingerprint() == case.fingerprint) {
                return Ok(Turn::StartOver);
            }
        }
        self.announce_conflict(case).await?;
        Ok(Turn::Done)
    }

    /// Rule 6: the copy is confirmed, then the entry says so, then the delivery is acknowledged.
    pub(super) async fn defer(
        &self,
        case: &Case<'_>,
        mut state: Option<Versioned>,
        deferral: Deferral,
    ) -> Result<Turn, Halt> {
        let Deferral {
            entry,
            delay,
            reason,
            unresolved,
        } = deferral;
        if unresolved == Unresolved::Announce {
            self.announce_unresolved(case, entry.pending.attempts)
                .await?;
        }
        let mut copy = copy_of(case.delivery);
        copy = copy.of_kind(case.job.kind());
        copy.ticket = Some(entry.ticket);
        // However often it was parked, it is its own turn now.
        copy.attempts = 0;
        let broker = &self.ports.broker;
        self.until_published(case.delivery, || broker.publish_later(&copy, delay))
            .await?;
        let attempts = entry.pending.attempts;
        loop {
            let wanted = Entry::Deferred(entry.clone());
            match self
                .write(case.delivery, &case.key, state.as_ref(), wanted)
                .await?
            {
                Write::Stored(_) => break,
                // It vanished, or the write came to nothing: again.
                Write::Other(None) => state = None,
                Write::Other(Some(found))
                    if state
                        .as_ref()
                        .is_some_and(|old| old.revision == found.revision) => {}
                // Somebody else's by now: the copy exists, and whoever receives it finds the truth.
                Write::Other(Some(_)) => break,
            }
        }
        debug!(job.id = %case.key, reason = reason.as_str(), delay_ms = delay.as_millis(), attempts, "deferred");
        self.metrics.deferred(case.job.kind(), reason);
        self.acknowledge(case.delivery).await;
        Ok(Turn::Done)
    }

    async fn announce_unresolved(&self, case: &Case<'_>, attempts: u32) -> Result<(), Halt> {
        let job = Box::new(case.job.clone());
        let said = Announcement::Unresolved {
            job,
            attempts,
            at: self.ports.clock.now(),
        };
        self.announce(case.delivery, &said).await
    }

    /// Makes room for others: the delivery goes on in its kind's bulk lane. Nothing is claimed yet, and
    /// the copy is confirmed before the delivery is acknowledged, so a crash in between leaves two
    /// messages of one job, which is safe, and never none.
    pub(super) async fn set_aside(&self, case: &Case<'_>) -> Result<(), Halt> {
        let delivery = case.delivery;
        // Never closed.
        let _turn = self.fairness.door.acquire().await;
        if !self.ports.broker.holds(&delivery.tag) {
            // It comes again by itself; one more copy would be one too many.
            return Err(Halt::HandBack);
        }
        let lane = delivery.lane();
        let mut copy = copy_of(delivery).in_lane(lane.aside().unwrap_or(lane));
        // Rule 5: whatever made this delivery doubtful must be known of its copy, which to RabbitMQ is
        // a new message. The doubt of the ledger's memory may be over when it arrives.
        if delivery.redelivered || self.context().memory == Memory::Doubtful {
            copy.ticket = Some(copy.ticket.unwrap_or(Ticket(0)));
        }
        let broker = &self.ports.broker;
        self.until_published(delivery, || broker.publish_job(&copy))
            .await?;
        self.metrics.set_aside(lane.kind);
        self.acknowledge(delivery).await;
        Ok(())
    }

    /// Rule 2: somebody else holds the job, or its number; the delivery waits in the ladder, not here.
    pub(super) async fn park(
        &self,
        case: &Case<'_>,
        found: Option<&Versioned>,
    ) -> Result<Turn, Halt> {
        let mut copy = copy_of(case.delivery);
        let delay = found.map_or(PARK_DELAY, |found| {
            park_delay(&found.entry, case.fingerprint, copy.attempts)
        });
        copy.attempts = copy.attempts.saturating_add(1);
        copy = copy.of_kind(case.job.kind());
        copy.ticket = Some(copy.ticket.unwrap_or(Ticket(0)));
        let broker = &self.ports.broker;
        self.until_published(case.delivery, || broker.publish_later(&copy, delay))
            .await?;
        self.metrics.parked(case.job.kind());
        self.acknowledge(case.delivery).await;
        Ok(Turn::Done)
    }

    /// What a newer version wrote is a newer replica's to go on with, and no reason to give a job up:
    /// the delivery waits in the ladder until somebody can read the entry. Its copy counts as one that
    /// was delivered before, so that a job whose entry is gone by then is asked about first (rule 5).
    pub(super) async fn park_unread(&self, delivery: &Delivery) -> Result<(), Halt> {
        let mut copy = copy_of(delivery);
        let delay = park_delay_unread(copy.attempts);
        copy.attempts = copy.attempts.saturating_add(1);
        copy.ticket = Some(copy.ticket.unwrap_or(Ticket(0)));
        let broker = &self.ports.broker;
        self.until_published(delivery, || broker.publish_later(&copy, delay))
            .await?;
        self.metrics.parked_unread(delivery.kind);
        self.acknowledge(delivery).await;
        Ok(())
    }
}
