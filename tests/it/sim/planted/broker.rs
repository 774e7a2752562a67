//! A broker adapter that acknowledges too early, hides marks, or believes what is not confirmed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::entry::ReturnAddress;
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::Lane;
use hongbaod::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use hongbaod::ports::ledger::Connection;
use serde_json::Value;

use super::Bug;

pub(crate) struct BadBroker {
    bug: Bug,
    inner: Arc<dyn Broker>,
    seen: Mutex<BTreeSet<String>>,
}

impl BadBroker {
    pub(crate) fn new(bug: Bug, inner: Arc<dyn Broker>) -> Self {
        Self {
            bug,
            inner,
            seen: Mutex::default(),
        }
    }

    fn published(&self, published: Result<(), PublishError>) -> Result<(), PublishError> {
        match self.bug {
            Bug::ConfirmIgnored => Ok(()),
            _ => published,
        }
    }

    /// Whether a delivery is a query about a number that a payment has had.
    fn is_taken_for_a_duplicate(&self, delivery: &Delivery) -> bool {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        let number = body["out_request_no"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut seen = self.seen.lock().unwrap();
        if delivery.kind == Kind::Query {
            seen.contains(&number)
        } else {
            seen.insert(number);
            false
        }
    }
}

#[async_trait]
impl Broker for BadBroker {
    fn lanes(&self) -> Vec<Lane> {
        self.inner.lanes()
    }
    async fn next(&self, lane: Lane) -> Option<Delivery> {
        loop {
            let mut delivery = self.inner.next(lane).await?;
            match self.bug {
                Bug::AckBeforeLedger => _ = self.inner.ack(&delivery.tag).await,
                Bug::DoubtIgnored => delivery.redelivered = false,
                Bug::QuerySwallowed if self.is_taken_for_a_duplicate(&delivery) => {
                    self.inner.ack(&delivery.tag).await;
                    continue;
                }
                _ => {}
            }
            return Some(delivery);
        }
    }
    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        match self.bug {
            Bug::AckBeforeLedger => Settlement::Sent,
            _ => self.inner.ack(delivery).await,
        }
    }
    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        self.inner.hand_back(delivery).await
    }
    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.bug == Bug::AckBeforeLedger || self.inner.holds(delivery)
    }
    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        self.published(self.inner.publish_later(copy, delay).await)
    }
    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        self.published(self.inner.publish_job(copy).await)
    }
    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        self.published(self.inner.publish_event(event).await)
    }
    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        self.inner.publish_reply(event, address).await
    }
    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        self.published(self.inner.bury(copy, epitaph).await)
    }
    async fn pause(&self) {
        self.inner.pause().await;
    }
    async fn resume(&self) {
        self.inner.resume().await;
    }
    async fn stop(&self) {
        self.inner.stop().await;
    }
    async fn close(&self) {
        self.inner.close().await;
    }
    async fn waiting(&self, kind: Kind) -> Option<u64> {
        self.inner.waiting(kind).await
    }
    fn connection(&self) -> Connection {
        self.inner.connection()
    }
}
