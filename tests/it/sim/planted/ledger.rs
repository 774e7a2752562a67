//! A ledger adapter that forgets marks, hides losses, or overwrites.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::entry::{Entry, Ticket};
use hongbaod::domain::job::JobKey;
use hongbaod::domain::notice::{Mark, NoticeKey};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock;
use hongbaod::ports::ledger::{
    Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned, Written,
};

use super::Bug;
use crate::sim::orders::START;

/// How late a refusal is settled, and until when that happens.
const LATE: Duration = Duration::from_secs(90);

pub(crate) struct BadLedger {
    bug: Bug,
    inner: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
}

impl BadLedger {
    pub(crate) fn new(bug: Bug, inner: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { bug, inner, clock }
    }

    fn seen(&self, mut entry: Entry) -> Entry {
        if let Entry::Deferred(deferred) = &mut entry {
            match self.bug {
                Bug::TicketsIgnored => deferred.ticket = Ticket(0),
                Bug::ExpiresWhatWasSent => {
                    let not_after = deferred.pending.job.not_after;
                    let is_late = not_after.is_some_and(|not_after| self.clock.now() > not_after);
                    deferred.pending.maybe_sent &= !is_late;
                }
                _ => {}
            }
        }
        entry
    }

    fn read_as(&self, versioned: Versioned) -> Versioned {
        Versioned {
            entry: self.seen(versioned.entry),
            revision: versioned.revision,
        }
    }

    fn written(&self, written: Written) -> Written {
        match written {
            Written::Found(found) => Written::Found(Box::new(self.read_as(*found))),
            Written::Stored(_) | Written::Vanished => written,
        }
    }

    fn kept(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if let (Bug::MaybeSentForgotten, Entry::Deferred(deferred)) = (self.bug, &mut entry) {
            deferred.pending.maybe_sent = false;
        }
        entry
    }

    /// Whether `new` is written over whatever is there.
    fn overwrites(&self, new: &Entry) -> bool {
        match (self.bug, new) {
            (Bug::SetNotCompared, _) | (Bug::EndedLeaseRenewed, Entry::InFlight(_)) => true,
            (Bug::LateRefusalSettles, Entry::Settled(outcome)) => !outcome.resolution.is_success(),
            _ => false,
        }
    }

    fn blind(&self, health: LedgerHealth) -> LedgerHealth {
        match self.bug {
            Bug::FlushUnnoticed | Bug::DoubtIgnored => LedgerHealth {
                memory_lost_at: None,
                memory_losses: 0,
                ..health
            },
            _ => health,
        }
    }
}

#[async_trait]
impl Ledger for BadLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        let entry = self.kept(entry);
        match self.inner.insert(key, &entry).await? {
            Written::Found(found) if self.bug == Bug::SetNotCompared => {
                self.inner.replace(key, &found.revision, &entry).await
            }
            written => Ok(self.written(written)),
        }
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        let found = self.inner.read(key).await?;
        Ok(found.map(|found| self.read_as(found)))
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        let new = self.kept(new);
        let is_early = self.clock.now() < START.plus(LATE);
        if self.bug == Bug::LateRefusalSettles && self.overwrites(&new) && is_early {
            // Late enough for somebody else to hold the job.
            self.clock.sleep(LATE).await;
        }
        let written = self.inner.replace(key, old, &new).await?;
        match written {
            Written::Found(found) if self.overwrites(&new) => {
                self.inner.replace(key, &found.revision, &new).await
            }
            written => Ok(self.written(written)),
        }
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        self.inner.remove(key, old).await
    }
    async fn replicated(
        &self,
        key: &JobKey,
        replicas: u32,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        self.inner.replicated(key, replicas, timeout).await
    }
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        self.inner.unsettled(due_before, limit).await
    }
    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        self.inner.scan(cursor).await
    }
    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        self.inner.mark(notice).await
    }
    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        self.inner.set_mark(notice, mark).await
    }
    fn health(&self) -> LedgerHealth {
        self.blind(self.inner.health())
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        loop {
            let real = self.inner.health();
            let now = self.blind(real);
            if now != seen {
                return now;
            }
            self.inner.changed(real).await;
        }
    }
}
