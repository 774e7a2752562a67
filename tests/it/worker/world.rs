//! A world for the worker, made of fakes and virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hongbaod::adapters::memory_broker::{Mailbox, MemoryBroker};
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::app::metrics::Metrics;
use hongbaod::app::worker::{Ports, Worker, WorkerOptions};
use hongbaod::domain::entry::ReturnAddress;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{JobKey, Kind};
use hongbaod::domain::lane::Tier;
use hongbaod::lifecycle::Policy;
use hongbaod::lifecycle::retry::RetryPolicy;
use hongbaod::pacing::{Pacing, PacingOptions};
use hongbaod::ports::broker::{Broker, EventMessage, JobCopy};
use hongbaod::ports::clock::Clock;
use hongbaod::ports::ledger::Connection;
use hongbaod::ports::switches::Switches;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fakes::{
    Counting, Journal, JournalBroker, JournalLedger, LostReplies, Scripted, ScriptedGateway,
    VirtualClock,
};

pub(crate) fn app() -> AppName {
    AppName::new("main").unwrap()
}

pub(crate) fn key(number: &str) -> JobKey {
    let out_request_no = hongbaod::domain::ident::MerchantNo::new(number).unwrap();
    JobKey {
        app: app(),
        out_request_no,
    }
}

pub(crate) struct World {
    pub(crate) journal: Journal,
    pub(crate) ledger: Arc<JournalLedger>,
    pub(crate) broker: Arc<JournalBroker>,
    pub(crate) gateway: Arc<ScriptedGateway>,
    pub(crate) events: Arc<Mailbox<EventMessage>>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) pacing: Arc<Pacing>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

pub(crate) fn options() -> WorkerOptions {
    let seconds = Duration::from_secs;
    WorkerOptions {
        policy: Policy {
            retry: RetryPolicy::new(Duration::from_millis(500), seconds(1020), 2000).unwrap(),
            absence_confirmations: 2,
            absence_window: seconds(30),
            unresolved_after: seconds(600),
            rescue_after: seconds(600),
        },
        lease: seconds(20),
        call_timeout: seconds(15),
        doubt: seconds(600),
        replicas_min: 0,
        query_attempts: std::num::NonZeroU32::new(3).unwrap(),
        default_app: Some(app()),
        rescue_interval: seconds(30),
        fairness: None,
        budget: None,
    }
}

impl World {
    pub(crate) fn start(script: Vec<Scripted>) -> Self {
        Self::with(script, options())
    }

    pub(crate) fn with(script: Vec<Scripted>, options: WorkerOptions) -> Self {
        Self::paced(script, options, std::num::NonZeroU32::new(1000).unwrap())
    }

    /// With switches that somebody may throw.
    pub(crate) fn switched(script: Vec<Scripted>, switches: Arc<dyn Switches>) -> Self {
        let many = std::num::NonZeroU32::new(1000).unwrap();
        Self::build(script, options(), many, Some(switches))
    }

    /// With so many calls at a time.
    pub(crate) fn paced(
        script: Vec<Scripted>,
        options: WorkerOptions,
        concurrency: std::num::NonZeroU32,
    ) -> Self {
        Self::build(script, options, concurrency, None)
    }

    fn build(
        script: Vec<Scripted>,
        options: WorkerOptions,
        concurrency: std::num::NonZeroU32,
        switches: Option<Arc<dyn Switches>>,
    ) -> Self {
        let journal = Journal::default();
        let clock = Arc::new(VirtualClock::new());
        let dyn_clock: Arc<dyn Clock> = Arc::<VirtualClock>::clone(&clock);
        let ledger = Arc::new(JournalLedger {
            inner: MemoryLedger::new(),
            journal: journal.clone(),
            inserts: LostReplies::default(),
            inserts_take: Mutex::default(),
            replaces: LostReplies::default(),
            up: watch::Sender::new(Connection::Up),
            replicas: Mutex::default(),
            vanishings: LostReplies::default(),
            takeovers: LostReplies::default(),
            panics: Mutex::default(),
            unreadable: Mutex::default(),
        });
        let inner = Arc::new(MemoryBroker::new(Arc::clone(&dyn_clock), 16));
        let events = inner.subscribe();
        let broker = Arc::new(JournalBroker {
            inner,
            journal: journal.clone(),
            events: LostReplies::default(),
            copies: LostReplies::default(),
            aside: Mutex::default(),
            aside_takes: Mutex::default(),
            refusals: LostReplies::default(),
        });
        let gateway = Arc::new(ScriptedGateway {
            journal: journal.clone(),
            script: Mutex::new(script.into()),
            sent: Mutex::default(),
            asked: Mutex::default(),
            unsigned: LostReplies::default(),
        });
        let many = std::num::NonZeroU32::new(1000).unwrap();
        let pacing = PacingOptions {
            requests_per_second: many,
            concurrency_min: concurrency,
            concurrency_max: concurrency,
        };
        let ports = Ports {
            ledger: Arc::<JournalLedger>::clone(&ledger),
            gateway: Arc::<ScriptedGateway>::clone(&gateway),
            broker: Arc::<JournalBroker>::clone(&broker),
            clock: Arc::clone(&dyn_clock),
            random: Arc::new(Counting::default()),
            switches,
        };
        let pacing = Pacing::new(pacing, &[app()], dyn_clock);
        let metrics = Arc::new(Metrics::new(&[app()]));
        let worker = Worker::new(ports, options, Arc::clone(&pacing), Arc::clone(&metrics));
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let running = Arc::clone(&worker);
        let running = tokio::spawn(async move { running.run(stop, Duration::from_secs(25)).await });
        Self {
            journal,
            ledger,
            broker,
            gateway,
            events,
            clock,
            worker,
            pacing,
            metrics,
            shutdown,
            running,
        }
    }

    pub(crate) async fn submit(&self, body: &str) {
        self.broker.inner.publish_job(&copy(body)).await.unwrap();
    }

    /// The next event, its key and its body.
    pub(crate) async fn event(&self) -> (String, serde_json::Value) {
        let event =
            tokio::time::timeout(Duration::from_secs(3 * 24 * 3600), self.events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("no event; {:#?}", self.journal.lines()));
        (
            event.routing_key,
            serde_json::from_slice(&event.body).unwrap(),
        )
    }

    /// Waits until the journal has `count` lines that begin with `what`.
    pub(crate) async fn until(&self, what: &str, count: usize) {
        for _ in 0..100_000 {
            if self.journal.count(what) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never {count} times {what}: {:#?}", self.journal.lines());
    }

    /// A metric's value, by its name and labels without `hongbaod_`.
    pub(crate) fn metric(&self, name: &str) -> String {
        self.metrics.set_pacing(&self.pacing);
        let name = format!("hongbaod_{name} ");
        let text = self.metrics.encode();
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("{name}")).to_owned()
    }

    /// Stops the worker in good order.
    pub(crate) async fn stop(self) -> Journal {
        self.shutdown.cancel();
        self.running.await.unwrap();
        self.journal
    }

    /// Begins to stop and goes on.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn copy(body: &str) -> JobCopy {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| body.contains(&format!("\"kind\":\"{kind}\"")))
        .unwrap_or(Kind::Disburse);
    JobCopy {
        kind,
        tier: Tier::default(),
        body: Bytes::from(body.to_owned()),
        ticket: None,
        return_address: ReturnAddress {
            message_id: Some("m1".to_owned()),
            ..ReturnAddress::default()
        },
        published_at: None,
        attempts: 0,
    }
}

/// How much virtual time has passed.
pub(crate) fn elapsed(clock: &VirtualClock) -> Duration {
    clock.monotonic().0
}

impl World {
    pub(crate) fn clock_since_start(&self) -> Duration {
        elapsed(&self.clock)
    }
}
