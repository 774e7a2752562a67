//! A ledger and a broker that do the second thing first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::app::worker::Ports;
use hongbaod::domain::entry::{Entry, ReturnAddress};
use hongbaod::domain::job::{JobKey, Kind};
use hongbaod::domain::lane::Lane;
use hongbaod::domain::notice::{Mark, NoticeKey};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use hongbaod::ports::ledger::{
    Connection, Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned,
    Written,
};

use super::Bug;

pub(crate) struct Hasty {
    bug: Bug,
    ledger: Arc<dyn Ledger>,
    broker: Arc<dyn Broker>,
    /// Outcomes that are written once they are told.
    outcomes: Mutex<Vec<(JobKey, Option<Revision>, Entry)>>,
    /// Copies that are published once the ledger says so.
    copies: Mutex<Vec<(JobCopy, Duration)>>,
}

impl Hasty {
    pub(crate) fn new(bug: Bug, ports: &Ports) -> Arc<Self> {
        Arc::new(Self {
            bug,
            ledger: Arc::clone(&ports.ledger),
            broker: Arc::clone(&ports.broker),
            outcomes: Mutex::default(),
            copies: Mutex::default(),
        })
    }

    fn puts_off(&self, key: &JobKey, old: Option<&Revision>, entry: &Entry) -> Option<Written> {
        if self.bug != Bug::EventBeforeLedger || !matches!(entry, Entry::Settled(_)) {
            return None;
        }
        let outcome = (key.clone(), old.cloned(), entry.clone());
        self.outcomes.lock().unwrap().push(outcome);
        Some(Written::Stored(Revision(Arc::from([]))))
    }

    async fn write_outcomes(&self) {
        let outcomes = std::mem::take(&mut *self.outcomes.lock().unwrap());
        for (key, old, entry) in outcomes {
            let _written = match &old {
                None => self.ledger.insert(&key, &entry).await,
                Some(old) => self.ledger.replace(&key, old, &entry).await,
            };
        }
    }

    async fn publish_copies(&self) {
        let copies = std::mem::take(&mut *self.copies.lock().unwrap());
        for (copy, delay) in copies {
            while self.broker.publish_later(&copy, delay).await.is_err() {}
        }
    }
}

#[async_trait]
impl Ledger for Hasty {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        if let Some(written) = self.puts_off(key, None, entry) {
            return Ok(written);
        }
        self.ledger.insert(key, entry).await
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        self.ledger.read(key).await
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        if let Some(written) = self.puts_off(key, Some(old), new) {
            return Ok(written);
        }
        self.ledger.replace(key, old, new).await
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        self.ledger.remove(key, old).await
    }
    async fn replicated(
        &self,
        key: &JobKey,
        replicas: u32,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        self.ledger.replicated(key, replicas, timeout).await
    }
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        self.ledger.unsettled(due_before, limit).await
    }
    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        self.ledger.scan(cursor).await
    }
    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        self.ledger.mark(notice).await
    }
    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        self.ledger.set_mark(notice, mark).await
    }
    fn health(&self) -> LedgerHealth {
        self.ledger.health()
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        self.ledger.changed(seen).await
    }
}

#[async_trait]
impl Broker for Hasty {
    fn lanes(&self) -> Vec<Lane> {
        self.broker.lanes()
    }
    async fn next(&self, lane: Lane) -> Option<Delivery> {
        self.broker.next(lane).await
    }
    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        self.publish_copies().await;
        self.broker.ack(delivery).await
    }
    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        self.broker.hand_back(delivery).await
    }
    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.broker.holds(delivery)
    }
    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        if self.bug == Bug::CopyAfterLedger && copy.kind != Kind::Query {
            self.copies.lock().unwrap().push((copy.clone(), delay));
            return Ok(());
        }
        self.broker.publish_later(copy, delay).await
    }
    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        self.broker.publish_job(copy).await
    }
    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        let published = self.broker.publish_event(event).await;
        self.write_outcomes().await;
        published
    }
    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        self.broker.publish_reply(event, address).await
    }
    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        self.broker.bury(copy, epitaph).await
    }
    async fn pause(&self) {
        self.broker.pause().await;
    }
    async fn resume(&self) {
        self.broker.resume().await;
    }
    async fn stop(&self) {
        self.broker.stop().await;
    }
    async fn close(&self) {
        self.broker.close().await;
    }
    async fn waiting(&self, kind: Kind) -> Option<u64> {
        self.broker.waiting(kind).await
    }
    fn connection(&self) -> Connection {
        self.broker.connection()
    }
}
