//! A gateway in trouble for an hour, on virtual time: nothing fails, nothing spins, nothing is held
//! by those who wait, and the backlog drains when it recovers.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::memory_broker::{Mailbox, MemoryBroker};
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::app::metrics::Metrics;
use hongbaod::app::worker::{Ports, Worker};
use hongbaod::domain::draft::FieldError;
use hongbaod::domain::entry::{Entry, RequestDigest};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{JobKey, Kind, MoneyJob, QueryTarget};
use hongbaod::domain::money::Fen;
use hongbaod::domain::notice::{Mark, NoticeKey};
use hongbaod::domain::outcome::SignedOrder;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::domain::verdict::{
    Doubt, Finding, NotExecuted, Operation, OperationStatus, OperationType, Receipt, Verdict,
};
use hongbaod::pacing::{Pacing, PacingOptions};
use hongbaod::ports::broker::{Broker as _, EventMessage};
use hongbaod::ports::clock::Clock;
use hongbaod::ports::gateway::{BizContent, Expected, Gateway, Prepared};
use hongbaod::ports::ledger::{
    Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned, Written,
};
use tokio_util::sync::CancellationToken;

use super::fakes::{Counting, Journal, JournalBroker, LostReplies, VirtualClock};
use super::world::{app, copy, options};

const RATE: u32 = 100;
const PREFETCH: u32 = 64;
const HOUR: Duration = Duration::from_secs(3_600);

/// What the gateway does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fine,
    /// 40005 to everybody.
    Limited,
    /// True answers after so long.
    Slow(Duration),
    /// 20000 to every second call, half of the time after the money moved.
    EverySecondUnknown,
    /// No answer ever.
    Silent,
}

/// A gateway that pays by number, and notes when it is called.
struct Gateways {
    clock: Arc<VirtualClock>,
    weather: Mutex<Weather>,
    /// How often each number was paid.
    paid: Mutex<HashMap<String, u32>>,
    sends: Mutex<Vec<Monotonic>>,
    calls: AtomicU64,
}

impl Gateways {
    /// What is answered instead of the truth, and whether the call has its effect.
    async fn meet(&self) -> (Option<Doubt>, Option<NotExecuted>, Effect) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let weather = *self.weather.lock().unwrap();
        match weather {
            Weather::Fine => self.answer_after(Duration::from_millis(20)).await,
            Weather::Slow(length) => self.answer_after(length).await,
            Weather::Limited => {
                self.answer_after(Duration::from_millis(20)).await;
                return (None, Some(NotExecuted::Limited), Effect::No);
            }
            Weather::EverySecondUnknown if call % 2 == 1 => {
                self.answer_after(Duration::from_millis(20)).await;
                let doubt = Doubt::Answered {
                    code: "20000".to_owned(),
                    sub_code: Some("isp.unknow-error".to_owned()),
                };
                let effect = if call % 4 == 1 {
                    Effect::Yes
                } else {
                    Effect::No
                };
                return (Some(doubt), None, effect);
            }
            Weather::EverySecondUnknown => self.answer_after(Duration::from_millis(20)).await,
            Weather::Silent => std::future::pending().await,
        }
        (None, None, Effect::Yes)
    }

    async fn answer_after(&self, length: Duration) {
        self.clock.sleep(length).await;
    }

    fn pay(&self, number: &str) {
        // The same number is the same operation, however often it is sent.
        self.paid
            .lock()
            .unwrap()
            .entry(number.to_owned())
            .or_insert(1);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Yes,
    No,
}

#[async_trait]
impl Gateway for Gateways {
    fn apps(&self) -> Vec<AppName> {
        vec![app()]
    }
    fn unwritable(&self, _: &MoneyJob) -> Vec<FieldError> {
        Vec::new()
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
    fn sign_order(&self, _: &MoneyJob, _: &Prepared) -> Option<SignedOrder> {
        None
    }
    async fn send(&self, _: &AppName, prepared: &Prepared) -> Verdict {
        self.sends.lock().unwrap().push(self.clock.monotonic());
        let (doubt, not_executed, effect) = self.meet().await;
        if effect == Effect::Yes {
            self.pay(&prepared.expected.out_request_no.to_string());
        }
        match (doubt, not_executed) {
            (Some(doubt), _) => Verdict::Unknown(doubt),
            (None, Some(cause)) => Verdict::NotExecuted(cause),
            (None, None) => Verdict::Succeeded(Receipt::default()),
        }
    }
    async fn query(&self, _: &AppName, target: &QueryTarget) -> Finding {
        let (doubt, not_executed, _) = self.meet().await;
        if let Some(doubt) = doubt {
            return Finding::Unknown(doubt);
        }
        if let Some(cause) = not_executed {
            return Finding::NotExecuted(cause);
        }
        let target = target.to_string();
        let number = target.rsplit(':').next().unwrap().to_owned();
        if self.paid.lock().unwrap().contains_key(&number) {
            found(&number)
        } else {
            Finding::NotFound
        }
    }
}

fn found(number: &str) -> Finding {
    let number = hongbaod::domain::ident::MerchantNo::new(number).ok();
    Finding::Found(Box::new(Operation {
        auth_no: None,
        out_order_no: number.clone(),
        operation_id: None,
        out_request_no: number,
        amount: Fen::new(888),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    }))
}

/// The embedded ledger, counted, and slow when told.
struct Books {
    inner: MemoryLedger,
    clock: Arc<VirtualClock>,
    /// All that writes. The rescue reads at most a thousand jobs in a round, whatever happens.
    writes: AtomicUsize,
    reads: AtomicUsize,
    claims: AtomicUsize,
    /// Until then no claim is answered.
    claims_from: Mutex<Monotonic>,
}

impl Books {
    fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Ledger for Books {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        self.wrote();
        self.claims.fetch_add(1, Ordering::Relaxed);
        let from = *self.claims_from.lock().unwrap();
        self.clock.sleep(from.since(self.clock.monotonic())).await;
        self.inner.insert(key, entry).await
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(key).await
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        self.wrote();
        self.inner.replace(key, old, new).await
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        self.wrote();
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
        self.inner.health()
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        self.inner.changed(seen).await
    }
}

struct Office {
    clock: Arc<VirtualClock>,
    gateway: Arc<Gateways>,
    ledger: Arc<Books>,
    broker: Arc<MemoryBroker>,
    journal: Journal,
    events: Arc<Mailbox<EventMessage>>,
    pacing: Arc<Pacing>,
    _shutdown: CancellationToken,
}

impl Office {
    /// A worker whose concurrency is between the two.
    fn open(weather: Weather, (floor, ceiling): (u32, u32)) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let dyn_clock: Arc<dyn Clock> = Arc::<VirtualClock>::clone(&clock);
        let prefetch = NonZeroU32::new(PREFETCH).unwrap();
        let broker = Arc::new(MemoryBroker::new(
            Arc::clone(&dyn_clock),
            prefetch.get().try_into().unwrap(),
        ));
        let events = broker.subscribe();
        let journal = Journal::default();
        let counted = Arc::new(JournalBroker {
            inner: Arc::clone(&broker),
            journal: journal.clone(),
            events: LostReplies::default(),
            copies: LostReplies::default(),
            refusals: LostReplies::default(),
            aside: Mutex::default(),
            aside_takes: Mutex::default(),
        });
        let gateway = Arc::new(Gateways {
            clock: Arc::clone(&clock),
            weather: Mutex::new(weather),
            paid: Mutex::default(),
            sends: Mutex::default(),
            calls: AtomicU64::new(0),
        });
        let ledger = Arc::new(Books {
            inner: MemoryLedger::new(),
            clock: Arc::clone(&clock),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
            claims_from: Mutex::new(Monotonic(Duration::ZERO)),
        });
        let limits = [RATE, floor, ceiling].map(|number| NonZeroU32::new(number).unwrap());
        let pacing = PacingOptions {
            requests_per_second: limits[0],
            concurrency_min: limits[1],
            concurrency_max: limits[2],
        };
        let pacing = Pacing::new(pacing, &[app()], Arc::clone(&dyn_clock));
        let ports = Ports {
            ledger: Arc::<Books>::clone(&ledger),
            gateway: Arc::<Gateways>::clone(&gateway),
            broker: counted,
            clock: dyn_clock,
            random: Arc::new(Counting::default()),
            switches: None,
        };
        let metrics = Arc::new(Metrics::new(&[app()]));
        let worker = Worker::new(ports, options(), Arc::clone(&pacing), metrics);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move { worker.run(stop, Duration::from_secs(25)).await });
        Self {
            clock,
            gateway,
            ledger,
            broker,
            journal,
            events,
            pacing,
            _shutdown: shutdown,
        }
    }

    async fn submit(&self, jobs: usize) {
        for index in 0..jobs {
            let body = super::JOB
                .replace("\"R1\"", &format!("\"R{index:06}\""))
                .replace("\"O1\"", &format!("\"R{index:06}\""));
            self.broker.publish_job(&copy(&body)).await.unwrap();
        }
    }

    async fn pass(&self, length: Duration) {
        self.clock.sleep(length).await;
    }

    fn becomes(&self, weather: Weather) {
        *self.gateway.weather.lock().unwrap() = weather;
    }

    /// Waits for the outcomes of `jobs`: how long it took. Each is told once, and is a success.
    async fn drained(&self, jobs: usize) -> Duration {
        let start = self.clock.monotonic();
        let mut told = HashMap::new();
        while told.len() < jobs {
            let event = tokio::time::timeout(2 * HOUR, self.events.next()).await;
            let event = event.unwrap_or_else(|_| panic!("only {} of {jobs}", told.len()));
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
            if event.routing_key == "disburse.unresolved" {
                continue;
            }
            assert_eq!(event.routing_key, "disburse.succeeded", "{body}");
            let times: &mut u32 = told.entry(body["id"].to_string()).or_default();
            *times += 1;
        }
        assert!(self.broker.dead_letters().is_empty());
        assert_eq!(self.gateway.paid.lock().unwrap().len(), jobs);
        self.clock.monotonic().since(start)
    }

    /// The most sends in one second.
    fn most_sends(&self) -> usize {
        let sends = self.gateway.sends.lock().unwrap();
        let within = |(index, start): (usize, &Monotonic)| {
            let second = Duration::from_secs(1);
            sends[index..].partition_point(|at| at.since(*start) < second)
        };
        sends.iter().enumerate().map(within).max().unwrap_or(0)
    }

    fn broker_operations(&self) -> usize {
        self.journal.count("")
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_40005_costs_a_few_calls_and_drains_when_it_is_over() {
    const JOBS: usize = 800;
    let office = Office::open(Weather::Limited, (4, 256));
    office.submit(JOBS).await;
    office.pass(HOUR).await;
    // One round of the floor's four calls in ten seconds, and some more until the pauses are long.
    let calls = office.gateway.calls();
    assert!((300..=1_700).contains(&calls), "{calls}");
    let calls = usize::try_from(calls).unwrap();
    // Each costs a claim, a copy, its entry and an acknowledgement: no more.
    let (ledger, broker) = (
        office.ledger.writes.load(Ordering::Relaxed),
        office.broker_operations(),
    );
    assert!(ledger <= 3 * calls, "{ledger} of {calls}");
    let reads = office.ledger.reads.load(Ordering::Relaxed);
    assert!(reads <= 3 * calls + 120 * 1_000, "{reads} of {calls}");
    assert!(broker <= 3 * calls, "{broker} of {calls}");
    assert_eq!(office.gateway.paid.lock().unwrap().len(), 0);
    office.becomes(Weather::Fine);
    let took = office.drained(JOBS).await;
    // 8 s at the rate, 10 s of the last pause, 30 s until the last copy comes back.
    assert!(took <= Duration::from_secs(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_answers_after_14_s_repeats_nothing_and_drains_when_it_is_over() {
    // More than 32 slots can carry in an hour.
    const JOBS: usize = 8_400;
    let office = Office::open(Weather::Slow(Duration::from_secs(14)), (4, 32));
    office.submit(JOBS).await;
    office.pass(HOUR).await;
    // The slots are what limits it: each carries one call in 14 s.
    let calls = office.gateway.calls();
    assert!((3_600..=32 * 258).contains(&calls), "{calls}");
    office.becomes(Weather::Fine);
    let took = office.drained(JOBS).await;
    assert!(took <= Duration::from_secs(40), "{took:?}");
    assert_eq!(office.gateway.sends.lock().unwrap().len(), JOBS);
    let ledger = office.ledger.writes.load(Ordering::Relaxed);
    assert!(ledger <= 2 * JOBS, "{ledger}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_20000_for_every_second_call_slows_and_loses_nothing() {
    const JOBS: usize = 800;
    let office = Office::open(Weather::EverySecondUnknown, (4, 256));
    office.submit(JOBS).await;
    office.pass(HOUR).await;
    let calls = usize::try_from(office.gateway.calls()).unwrap();
    // A send and a query for half of the jobs, a quarter of those once more, and so on; what was
    // not found is sent again after two such answers.
    assert!((2 * JOBS..=5 * JOBS).contains(&calls), "{calls}");
    let ledger = office.ledger.writes.load(Ordering::Relaxed);
    assert!(ledger <= 3 * calls, "{ledger} of {calls}");
    let broker = office.broker_operations();
    assert!(broker <= 3 * calls, "{broker} of {calls}");
    let paid = office.gateway.paid.lock().unwrap().len();
    assert!(paid * 100 >= JOBS * 95, "{paid}");
    office.becomes(Weather::Fine);
    let took = office.drained(JOBS).await;
    // Whoever met nothing but doubt is asked about once an hour by now: rule 12.
    assert!(took <= HOUR + Duration::from_secs(60), "{took:?}");
    let most = office.most_sends();
    assert!(most <= 102, "{most}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_permit_holds_no_lease_and_nothing_beyond_the_prefetch() {
    const JOBS: usize = 10_000;
    let office = Office::open(Weather::Silent, (4, 256));
    office.submit(JOBS).await;
    office.pass(Duration::from_secs(10)).await;
    // A slot of the four may be kept for others; for whoever has none nothing was written.
    let in_flight = usize::try_from(office.pacing.in_flight(&app())).unwrap();
    assert!((1..=4).contains(&in_flight), "{in_flight}");
    assert_eq!(office.ledger.claims.load(Ordering::Relaxed), in_flight);
    assert_eq!(office.ledger.writes.load(Ordering::Relaxed), in_flight);
    assert_eq!(office.broker_operations(), 0);
    let prefetch = usize::try_from(PREFETCH).unwrap();
    assert_eq!(office.pacing.waiting(&app()), prefetch - in_flight);
    let waiting = office.broker.waiting(Kind::Disburse).await;
    assert_eq!(waiting, Some(u64::try_from(JOBS - prefetch).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn claims_that_were_held_up_together_do_not_become_calls_together() {
    const JOBS: usize = 500;
    let office = Office::open(Weather::Fine, (256, 256));
    let stall = Monotonic(Duration::from_millis(1_500));
    *office.ledger.claims_from.lock().unwrap() = stall;
    office.submit(JOBS).await;
    office.drained(JOBS).await;
    let most = office.most_sends();
    assert!(most <= 107, "{most}");
}
