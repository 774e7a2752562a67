//! The tasks that run beside the deliveries for as long as the worker does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::ports::ledger::Connection;

use super::Worker;

/// How long a ledger that was away must have been back before jobs are taken again; doubles each
/// time that it does not last.
const STAY_MIN: Duration = Duration::from_millis(250);
/// The longest such time; twice of it without trouble and the next one is short again.
const STAY_MAX: Duration = Duration::from_secs(5);

/// How long after a panic a task begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Which run of a task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    First,
    AfterPanic,
}

impl Worker {
    pub(super) fn spawn_background(self: &Arc<Self>, until: &CancellationToken) {
        let (worker, stop) = (Arc::clone(self), until.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = worker.restarting("follow the ledger", |run| worker.follow_ledger(run)) => {}
            }
        });
        let (worker, stop) = (Arc::clone(self), until.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = worker.restarting("rescue", |_| worker.rescue_forever()) => {}
            }
        });
        let (worker, stop) = (Arc::clone(self), until.clone());
        tokio::spawn(async move {
            let follow = worker.restarting("follow the switches", |_| worker.follow_switches());
            stop.run_until_cancelled(follow).await;
        });
    }

    /// Does `work` to its end, again after each panic, unless the worker drains.
    ///
    /// A task that ended by a panic would be missed by nobody: jobs would go on, but not be
    /// rescued, say. And a daemon that stopped instead would stop again at the same job.
    pub(super) async fn restarting<F: Future<Output = ()>>(
        &self,
        task: &'static str,
        work: impl Fn(Run) -> F,
    ) {
        let mut run = Run::First;
        while AssertUnwindSafe(work(run)).catch_unwind().await.is_err() {
            error!(task, "a task panicked; it begins again");
            let pause = self.ports.clock.sleep(RESTART_PAUSE);
            if self.draining.run_until_cancelled(pause).await.is_none() {
                return;
            }
            run = Run::AfterPanic;
        }
    }

    /// Rule 14: while the ledger is away no jobs are taken, so that other replicas get them.
    ///
    /// Each pause gives back what was delivered ahead, which the broker counts against a limit. So
    /// a ledger that comes and goes has to stay for longer and longer before jobs are taken again.
    async fn follow_ledger(&self, run: Run) {
        let clock = &self.ports.clock;
        let mut health = self.ports.ledger.health();
        let mut taking = Connection::Up;
        if run == Run::AfterPanic {
            // Nobody knows any more whether jobs are taken.
            self.ports.broker.pause().await;
            taking = Connection::Down;
        }
        let mut stay = STAY_MIN;
        let mut resumed_at = clock.monotonic();
        loop {
            self.metrics.set_ledger(&health);
            let seen = health;
            match (taking, health.connection) {
                (Connection::Up, Connection::Down) => {
                    warn!("the ledger is away: no new jobs are taken");
                    self.ports.broker.pause().await;
                    taking = Connection::Down;
                    let calm = clock.monotonic().since(resumed_at) > STAY_MAX.saturating_mul(2);
                    stay = if calm {
                        STAY_MIN
                    } else {
                        (stay * 2).min(STAY_MAX)
                    };
                    health = self.ports.ledger.changed(seen).await;
                }
                (Connection::Down, Connection::Up) => tokio::select! {
                    biased;
                    // First, so that a ledger that left in the last instant did not stay.
                    now = self.ports.ledger.changed(seen) => health = now,
                    () = clock.sleep(stay) => {
                        info!("the ledger is back: jobs are taken again");
                        self.ports.broker.resume().await;
                        taking = Connection::Up;
                        resumed_at = clock.monotonic();
                    }
                },
                (Connection::Up, Connection::Up) | (Connection::Down, Connection::Down) => {
                    health = self.ports.ledger.changed(seen).await;
                }
            }
            if health.memory_losses > seen.memory_losses {
                warn!(
                    "the ledger may have lost its memory: jobs without an entry are queried before they are sent"
                );
            }
        }
    }
}
