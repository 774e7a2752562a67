//! The loop that drives the lifecycle: it takes deliveries, does what [`crate::lifecycle::step`]
//! says, and acknowledges last.
//!
//! For each delivery: decode, permit (pacing), claim in the ledger, call Alipay, settle or defer in
//! the ledger, publish with confirm, acknowledge. Nothing here decides what an answer means; what
//! is decided here is only in which order things are done, and when to stop trying.

mod announce;
mod background;
mod budget;
mod calls;
mod case;
mod deliver;
mod fairness;
mod ledger_access;
mod money;
mod notice;
mod put_down;
mod query;
mod rescue;
mod signing;
mod switches;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::budget::SpendGuard;
use crate::app::metrics::Metrics;
use crate::app::witness::Witnesses;
use crate::domain::ident::AppName;
use crate::domain::lane::Lane;
use crate::lifecycle::{Context, Memory, Policy};
use crate::pacing::Pacing;
use crate::ports::broker::Broker;
use crate::ports::clock::{Clock, Random};
use crate::ports::gateway::Gateway;
use crate::ports::ledger::Ledger;
use crate::ports::switches::Switches;

pub(in crate::app) use self::calls::signal_of_finding;
use self::fairness::Fairness;
pub use self::fairness::FairnessOptions;
use self::notice::Turns;
pub use self::notice::{Noted, Unnoted};
use self::switches::Panel;

/// Everything outside that the worker touches.
#[derive(Clone)]
pub struct Ports {
    /// Remembers jobs.
    pub ledger: Arc<dyn Ledger>,
    /// Calls Alipay.
    pub gateway: Arc<dyn Gateway>,
    /// Delivers and publishes.
    pub broker: Arc<dyn Broker>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Remembers what operators have paused; `None` where nobody can pause anything.
    pub switches: Option<Arc<dyn Switches>>,
}

/// The worker's numbers, from the configuration.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The lifecycle's numbers.
    pub policy: Policy,
    /// How long a claim gives the right to call; at least 4/3 of `call_timeout`.
    pub lease: Duration,
    /// The longest that one call to Alipay can take.
    pub call_timeout: Duration,
    /// How long deliveries without entry are doubted after a possible loss of memory.
    pub doubt: Duration,
    /// Negative outcomes wait until so many replicas have them.
    pub replicas_min: u32,
    /// After so many answers without a word, a query job is answered `unresolved`.
    pub query_attempts: NonZeroU32,
    /// For jobs that name no app.
    pub default_app: Option<AppName>,
    /// How often overdue jobs are looked for.
    pub rescue_interval: Duration,
    /// Whose jobs share the lanes fairly; `None`: first come, first served.
    pub fairness: Option<FairnessOptions>,
    /// Caps on what is paid out, and who counts it; `None`: nothing is counted.
    pub budget: Option<SpendGuard>,
}

/// The payment worker.
pub struct Worker {
    ports: Ports,
    options: WorkerOptions,
    pacing: Arc<Pacing>,
    metrics: Arc<Metrics>,
    witnesses: Witnesses,
    /// No new work, and what waits for a permit or a server is handed back.
    draining: CancellationToken,
    /// The grace is over: whatever still runs is dropped, which is as safe as a crash.
    aborted: CancellationToken,
    tasks: TaskTracker,
    fairness: Fairness,
    /// Who is at work on which notification.
    notices: Turns,
    /// What operators have paused.
    panel: Panel,
}

impl Worker {
    /// Makes a worker; nothing runs yet.
    #[must_use]
    pub fn new(
        ports: Ports,
        options: WorkerOptions,
        pacing: Arc<Pacing>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Self::witnessed(ports, options, pacing, (metrics, Witnesses::default()))
    }

    /// Makes a worker whose doings others are told of as well.
    #[must_use]
    pub fn witnessed(
        ports: Ports,
        options: WorkerOptions,
        pacing: Arc<Pacing>,
        (metrics, witnesses): (Arc<Metrics>, Witnesses),
    ) -> Arc<Self> {
        let fairness = Fairness::new(options.fairness.clone());
        Arc::new(Self {
            fairness,
            ports,
            options,
            pacing,
            metrics,
            witnesses,
            draining: CancellationToken::new(),
            aborted: CancellationToken::new(),
            tasks: TaskTracker::new(),
            notices: Turns::default(),
            panel: Panel::default(),
        })
    }

    /// Works until `shutdown` is cancelled, then drains for at most `grace` and closes the broker.
    ///
    /// What is not finished by then was not acknowledged, and comes to another replica.
    pub async fn run(self: &Arc<Self>, shutdown: CancellationToken, grace: Duration) {
        self.learn_switches(&shutdown).await;
        let consumers = TaskTracker::new();
        for lane in self.ports.broker.lanes() {
            let worker = Arc::clone(self);
            consumers.spawn(async move {
                worker.restarting("consume", |_| worker.consume(lane)).await;
            });
        }
        let background = CancellationToken::new();
        self.spawn_background(&background);
        shutdown.cancelled().await;
        info!(
            in_flight = self.tasks.len(),
            grace_ms = grace.as_millis(),
            "draining: no new jobs are taken"
        );
        self.draining.cancel();
        self.ports.broker.stop().await;
        background.cancel();
        consumers.close();
        self.tasks.close();
        let drained = async {
            consumers.wait().await;
            self.tasks.wait().await;
        };
        tokio::select! {
            biased;
            () = drained => info!("drained"),
            () = self.ports.clock.sleep(grace) => {
                warn!(left = self.tasks.len(), "the grace is over: unfinished jobs go to another replica");
                self.aborted.cancel();
                self.tasks.wait().await;
            }
        }
        self.ports.broker.close().await;
    }

    /// Whether the worker has begun to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    async fn consume(self: &Arc<Self>, lane: Lane) {
        while let Some(delivery) = self.ports.broker.next(lane).await {
            let worker = Arc::clone(self);
            let aborted = self.aborted.clone();
            // In a box: the runtime moves a task a dozen times, and this future has kilobytes.
            self.tasks.spawn(Box::pin(async move {
                tokio::select! {
                    biased;
                    // What can be finished without waiting is finished, even at the end.
                    () = worker.deliver(delivery) => {}
                    () = aborted.cancelled() => {}
                }
            }));
        }
    }

    fn context(&self) -> Context<'_> {
        let now = self.ports.clock.now();
        let lost_at = self.ports.ledger.health().memory_lost_at;
        let doubtful = lost_at.is_some_and(|lost_at| now < lost_at.plus(self.options.doubt));
        Context {
            now,
            jitter_permille: u16::try_from(self.ports.random.next_u64() % 1001).unwrap_or(0),
            memory: if doubtful {
                Memory::Doubtful
            } else {
                Memory::Sound
            },
            policy: &self.options.policy,
        }
    }
}
