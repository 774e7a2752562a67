//! The embedded adapters behind wrappers that write a journal and lose replies when told, a gateway
//! that answers by script, and virtual time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::memory_broker::MemoryBroker;
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::domain::draft::FieldError;
use hongbaod::domain::entry::{Entry, LeaseToken, RequestDigest, ReturnAddress};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{JobKey, Kind, MoneyJob, QueryTarget};
use hongbaod::domain::lane::{Lane, Tier};
use hongbaod::domain::notice::{Mark, NoticeKey};
use hongbaod::domain::outcome::SignedOrder;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::domain::verdict::{Finding, Verdict};
use hongbaod::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use hongbaod::ports::clock::{Clock, Random};
use hongbaod::ports::gateway::{BizContent, Expected, Gateway, Prepared};
use hongbaod::ports::ledger::{
    Connection, Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned,
    Written,
};
use tokio::sync::watch;

use super::world::{app, key};

/// The runtime's virtual time, as both clocks.
pub(crate) struct VirtualClock {
    start: tokio::time::Instant,
}

pub(crate) const START: UnixMillis = UnixMillis(1_795_312_800_000);

impl VirtualClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's own time is virtual here"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> UnixMillis {
        START.plus(self.start.elapsed())
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }
    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[derive(Default)]
pub(crate) struct Counting(Mutex<u64>);

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        let mut drawn = self.0.lock().unwrap();
        *drawn += 1001;
        *drawn
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    pub(crate) fn count(&self, what: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.starts_with(what))
            .count()
    }
    fn place(&self, what: &str) -> usize {
        let lines = self.lines();
        lines
            .iter()
            .position(|line| line.starts_with(what))
            .unwrap_or_else(|| panic!("no {what} in {lines:#?}"))
    }
    pub(crate) fn assert_order(&self, steps: &[&str]) {
        let places: Vec<usize> = steps.iter().map(|step| self.place(step)).collect();
        assert!(places.is_sorted(), "{steps:?} in {:#?}", self.lines());
    }
}

/// The next so many calls of one operation get no answer, though they are carried out.
#[derive(Default)]
pub(crate) struct LostReplies(Mutex<u32>);

impl LostReplies {
    pub(crate) fn lose(&self, replies: u32) {
        *self.0.lock().unwrap() = replies;
    }
    fn is_lost(&self) -> bool {
        let mut left = self.0.lock().unwrap();
        let lost = *left > 0;
        *left = left.saturating_sub(1);
        lost
    }
}

pub(crate) struct JournalLedger {
    pub(crate) inner: MemoryLedger,
    pub(super) journal: Journal,
    pub(crate) inserts: LostReplies,
    /// How long an insertion's answer takes.
    pub(crate) inserts_take: Mutex<Duration>,
    pub(crate) replaces: LostReplies,
    pub(crate) up: watch::Sender<Connection>,
    pub(crate) replicas: Mutex<VecDeque<bool>>,
    /// Under the next so many replacements the entry is gone, unnoticed as yet.
    pub(crate) vanishings: LostReplies,
    /// Before the next so many removals somebody else takes the entry over.
    pub(crate) takeovers: LostReplies,
    /// The next so many calls of this operation panic.
    pub(crate) panics: Mutex<(&'static str, u32)>,
    /// A job whose value cannot be read any more.
    pub(crate) unreadable: Mutex<Option<JobKey>>,
}

fn state_of(entry: &Entry) -> String {
    match entry {
        Entry::InFlight(in_flight) => format!("InFlight{{{}}}", in_flight.attempt),
        Entry::Deferred(deferred) => format!("Deferred{{{}}}", deferred.ticket.0),
        Entry::Settled(outcome) => format!("Settled{{{}}}", outcome.resolution.as_str()),
    }
}

fn lost() -> LedgerError {
    LedgerError::Unavailable("the reply is lost".into())
}

impl JournalLedger {
    fn check(&self) -> Result<(), LedgerError> {
        match *self.up.borrow() {
            Connection::Up => Ok(()),
            Connection::Down => Err(lost()),
        }
    }
    fn panic_if_told(&self, operation: &str) {
        let panics = {
            let mut panics = self.panics.lock().unwrap();
            let told = panics.0 == operation && panics.1 > 0;
            panics.1 -= u32::from(told);
            told
        };
        if panics {
            self.journal.note(format!("panic in {operation}"));
            panic!("as the test says");
        }
    }
    fn refuse_unreadable(&self, key: &JobKey) -> Result<(), LedgerError> {
        if self.unreadable.lock().unwrap().as_ref() == Some(key) {
            return Err(LedgerError::Unreadable {
                key: key.clone(),
                reason: "it is of another version".to_owned(),
            });
        }
        Ok(())
    }
    async fn take_away(&self, key: &JobKey) {
        if let Some(there) = self.inner.read(key).await.unwrap() {
            self.inner.remove(key, &there.revision).await.unwrap();
        }
    }
    async fn take_over(&self, key: &JobKey) {
        let there = self.inner.read(key).await.unwrap().unwrap();
        let mut entry = there.entry;
        if let Entry::InFlight(in_flight) = &mut entry {
            in_flight.lease.token = LeaseToken(7);
        }
        let written = self.inner.replace(key, &there.revision, &entry).await;
        assert!(matches!(written, Ok(Written::Stored(_))));
    }
    pub(crate) async fn entry(&self, number: &str) -> Option<Entry> {
        self.inner
            .read(&key(number))
            .await
            .unwrap()
            .map(|versioned| versioned.entry)
    }
}

#[async_trait]
impl Ledger for JournalLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        self.check()?;
        self.journal.note(format!("insert {}", state_of(entry)));
        self.refuse_unreadable(key)?;
        let written = self.inner.insert(key, entry).await?;
        let length = *self.inserts_take.lock().unwrap();
        if !length.is_zero() {
            tokio::time::sleep(length).await;
        }
        if self.inserts.is_lost() {
            Err(lost())
        } else {
            Ok(written)
        }
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        self.check()?;
        self.journal.note("read");
        self.panic_if_told(&format!("read {}", key.out_request_no));
        self.refuse_unreadable(key)?;
        self.inner.read(key).await
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        self.check()?;
        self.journal.note(format!("replace by {}", state_of(new)));
        self.refuse_unreadable(key)?;
        if self.vanishings.is_lost() {
            self.take_away(key).await;
        }
        let written = self.inner.replace(key, old, new).await?;
        if self.replaces.is_lost() {
            Err(lost())
        } else {
            Ok(written)
        }
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        self.check()?;
        self.journal.note("remove");
        if self.takeovers.is_lost() {
            self.take_over(key).await;
        }
        self.inner.remove(key, old).await
    }
    async fn replicated(&self, _: &JobKey, _: u32, _: Duration) -> Result<bool, LedgerError> {
        let replicated = self.replicas.lock().unwrap().pop_front().unwrap_or(true);
        self.journal.note(format!("replicated {replicated}"));
        Ok(replicated)
    }
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        self.check()?;
        self.panic_if_told("unsettled");
        self.inner.unsettled(due_before, limit).await
    }
    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        self.check()?;
        self.inner.scan(cursor).await
    }
    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        self.check()?;
        self.inner.mark(notice).await
    }
    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        self.check()?;
        self.journal.note(format!("mark {mark:?}"));
        self.inner.set_mark(notice, mark).await
    }
    fn health(&self) -> LedgerHealth {
        LedgerHealth {
            connection: *self.up.borrow(),
            ..self.inner.health()
        }
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        self.panic_if_told("changed");
        let mut up = self.up.subscribe();
        while self.health() == seen {
            tokio::select! {
                changed = up.changed() => changed.unwrap(),
                _ = self.inner.changed(LedgerHealth { connection: Connection::Up, ..seen }) => {}
            }
        }
        self.health()
    }
}

pub(crate) struct JournalBroker {
    pub(crate) inner: Arc<MemoryBroker>,
    pub(super) journal: Journal,
    pub(crate) events: LostReplies,
    pub(crate) copies: LostReplies,
    /// What was set aside.
    pub(crate) aside: Mutex<Vec<JobCopy>>,
    /// How long that takes.
    pub(crate) aside_takes: Mutex<Duration>,
    /// The next so many replies are refused, as by a queue that is full.
    pub(crate) refusals: LostReplies,
}

fn unconfirmed() -> PublishError {
    PublishError::Unavailable("no confirm".into())
}

#[async_trait]
impl Broker for JournalBroker {
    fn lanes(&self) -> Vec<Lane> {
        self.inner.lanes()
    }
    async fn next(&self, lane: Lane) -> Option<Delivery> {
        self.inner.next(lane).await
    }
    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        self.journal.note("ack");
        self.inner.ack(delivery).await
    }
    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        self.journal.note("hand back");
        self.inner.hand_back(delivery).await
    }
    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.inner.holds(delivery)
    }
    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        self.journal.note(format!(
            "copy with ticket {:?}",
            copy.ticket.map(|ticket| ticket.0)
        ));
        self.inner.publish_later(copy, delay).await?;
        if self.copies.is_lost() {
            Err(unconfirmed())
        } else {
            Ok(())
        }
    }
    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        let ticket = copy.ticket.map(|ticket| ticket.0);
        if copy.tier == Tier::Bulk {
            self.journal.note(format!("aside with ticket {ticket:?}"));
            self.aside.lock().unwrap().push(copy.clone());
            let length = *self.aside_takes.lock().unwrap();
            tokio::time::sleep(length).await;
        } else {
            self.journal.note(format!("rescue with ticket {ticket:?}"));
        }
        self.inner.publish_job(copy).await
    }
    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        self.journal.note(format!("event {}", event.routing_key));
        self.inner.publish_event(event).await?;
        if self.events.is_lost() {
            Err(unconfirmed())
        } else {
            Ok(())
        }
    }
    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        self.journal.note("reply");
        if self.refusals.is_lost() {
            return Err(PublishError::Refused);
        }
        self.inner.publish_reply(event, address).await
    }
    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        self.journal.note(format!("bury {}", epitaph.reason));
        self.inner.bury(copy, epitaph).await
    }
    async fn pause(&self) {
        self.journal.note("pause");
        self.inner.pause().await;
    }
    async fn resume(&self) {
        self.journal.note("resume");
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

/// What the gateway answers next.
pub(crate) enum Scripted {
    Sent(Verdict),
    Queried(Finding),
    /// After so long.
    Late(Duration, Box<Self>),
    Panic,
}

pub(crate) struct ScriptedGateway {
    pub(super) journal: Journal,
    pub(crate) script: Mutex<VecDeque<Scripted>>,
    pub(crate) sent: Mutex<Vec<String>>,
    /// The next so many orders are not signed.
    pub(crate) unsigned: LostReplies,
    /// What was asked for, as `<order>:<operation>`.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl ScriptedGateway {
    async fn answer(&self) -> Scripted {
        let next = self.script.lock().unwrap().pop_front();
        match next.unwrap_or_else(|| panic!("the script is over")) {
            Scripted::Late(length, answer) => {
                tokio::time::sleep(length).await;
                *answer
            }
            answer @ (Scripted::Sent(_) | Scripted::Queried(_) | Scripted::Panic) => answer,
        }
    }
}

#[async_trait]
impl Gateway for ScriptedGateway {
    fn apps(&self) -> Vec<AppName> {
        vec![app()]
    }
    fn unwritable(&self, job: &MoneyJob) -> Vec<FieldError> {
        let has_emoji = job.canonical().contains('🧧');
        let error = FieldError::new("order_title", "has the character U+1F9E7");
        has_emoji.then_some(error).into_iter().collect()
    }
    fn prepare(&self, job: &MoneyJob) -> Option<Prepared> {
        let content = job.canonical();
        Some(Prepared {
            method: "alipay.fund.coupon.order.disburse",
            digest: RequestDigest(hongbaod::app::digest::digest(content.as_bytes()).0),
            biz_content: BizContent(content),
            expected: Expected {
                out_request_no: job.out_request_no.clone(),
                amount: job.amount(),
            },
        })
    }
    fn sign_order(&self, job: &MoneyJob, prepared: &Prepared) -> Option<SignedOrder> {
        self.journal.note("sign");
        if self.unsigned.is_lost() {
            return None;
        }
        let mut sent = self.sent.lock().unwrap();
        sent.push(prepared.biz_content.0.clone());
        // No two signatures are equal: each bears its instant.
        Some(SignedOrder(format!("{}&sign={}", job.kind(), sent.len())))
    }

    async fn send(&self, _: &AppName, prepared: &Prepared) -> Verdict {
        self.journal.note("send");
        self.sent
            .lock()
            .unwrap()
            .push(prepared.biz_content.0.clone());
        match self.answer().await {
            Scripted::Sent(verdict) => verdict,
            Scripted::Panic => panic!("as the script says"),
            Scripted::Queried(_) | Scripted::Late(..) => panic!("the script expects a query"),
        }
    }
    async fn query(&self, _: &AppName, target: &QueryTarget) -> Finding {
        self.journal.note("query");
        self.asked.lock().unwrap().push(target.to_string());
        match self.answer().await {
            Scripted::Queried(finding) => finding,
            Scripted::Panic => panic!("as the script says"),
            Scripted::Sent(_) | Scripted::Late(..) => panic!("the script expects a send"),
        }
    }
}
