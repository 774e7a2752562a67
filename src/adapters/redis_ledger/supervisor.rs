//! Keeps a checked connection to each master: notices what broke or moved, and mends it for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use crate::adapters::redis_ledger::RedisLedgerOptions;
use crate::adapters::redis_ledger::connection::{Link, NoAnswer};
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::keys::Keys;
use crate::adapters::redis_ledger::locator::{Locator, Place};
use crate::adapters::redis_ledger::routes::Routes;
use crate::adapters::redis_ledger::server::ServerFacts;
use crate::adapters::redis_ledger::shard::Shard;
use crate::adapters::redis_ledger::tripwire::{Finding, Tripwire};
use crate::domain::backoff::Backoff;
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::{Connection, LedgerError, LedgerHealth};

/// The first wait before an attempt to reconnect, at most; it doubles from there.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to reconnect to a server that stays where it is.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The least time between two questions where the masters are.
const LOOK_AROUND_PAUSE: Duration = Duration::from_millis(50);

/// Everything that the ledger and its supervisor share.
pub(super) struct Supervisor {
    pub(super) options: RedisLedgerOptions,
    pub(super) keys: Keys,
    pub(super) locator: Locator,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// Which connection each key takes: what is looked at for every command.
    routes: RwLock<Routes>,
    /// The present masters, in the order of their slots.
    shards: Mutex<Vec<Arc<Shard>>>,
    /// Whether the masters are known and work together.
    is_whole: AtomicBool,
    pub(super) health: watch::Sender<LedgerHealth>,
    /// Wakes whoever looks at the masters.
    pub(super) wake: Arc<Notify>,
    /// Wakes whoever connects to them.
    mend: Notify,
}

impl Supervisor {
    pub(super) fn new(
        options: RedisLedgerOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConnectError> {
        let health = LedgerHealth {
            connection: Connection::Down,
            memory_lost_at: None,
            memory_losses: 0,
        };
        Ok(Self {
            locator: Locator::new(&options)?,
            keys: Keys::new(options.prefix.clone()),
            options,
            clock,
            random,
            routes: RwLock::default(),
            shards: Mutex::default(),
            is_whole: AtomicBool::new(false),
            health: watch::Sender::new(health),
            wake: Arc::default(),
            mend: Notify::new(),
        })
    }

    /// The present connection to the master of a key.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] while it is rebuilt.
    pub(super) fn link(&self, key: &str) -> Result<Arc<Link>, LedgerError> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        match routes.link(key) {
            Some(link) if !link.state.is_broken() => Ok(Arc::clone(link)),
            Some(_) | None => Err(LedgerError::Unavailable(Box::new(NoAnswer::NotConnected))),
        }
    }

    /// The present connection to the master at this address, if it is one of a cluster.
    pub(super) fn link_at(&self, address: &str) -> Option<Arc<Link>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let link = routes.link_at(address).cloned();
        link.filter(|link| !link.state.is_broken())
    }

    /// The present connection to the master that has `slot`, and the first slot of the master after
    /// it; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] while there is none.
    pub(super) fn link_of_slot(&self, slot: u16) -> Result<(Arc<Link>, Option<u16>), LedgerError> {
        let shards = self.shards();
        let mut from_it = shards.iter().skip_while(|shard| !shard.share.has(slot));
        let link = from_it.next().and_then(|shard| shard.link());
        let next = from_it
            .next()
            .and_then(|shard| shard.share.ranges().first());
        match link {
            Some(link) => Ok((link, next.map(|(first, _)| *first))),
            None => Err(LedgerError::Unavailable(Box::new(NoAnswer::NotConnected))),
        }
    }

    /// The present masters, in the order of their slots.
    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.locked_shards().clone()
    }

    /// What the first master said of itself at the last connect.
    pub(super) fn facts(&self) -> Option<ServerFacts> {
        self.shards().first().and_then(|shard| shard.facts())
    }

    fn locked_shards(&self) -> MutexGuard<'_, Vec<Arc<Shard>>> {
        // No code panics while it holds the lock.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.shards()
            .iter()
            .filter_map(|shard| shard.link())
            .collect()
    }

    /// Finds the masters, connects to those that there is no good connection to, checks them, and
    /// hands all connections out.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], of one of those that failed; the others are handed out all the same.
    pub(super) async fn connect_all(&self) -> Result<(), ConnectError> {
        let places = match self.locator.masters(&self.links()).await {
            Ok(places) => places,
            Err(error) => {
                if matches!(error, ConnectError::ClusterDown) {
                    self.is_whole.store(false, Ordering::Release);
                }
                self.tell();
                return Err(error);
            }
        };
        let before = self.shards();
        let connecting = places
            .iter()
            .map(|place| self.keep_or_connect(place, &before));
        let mut shards = Vec::with_capacity(places.len());
        let mut failure = None;
        for (shard, connected) in join_all(connecting).await {
            shards.push(shard);
            failure = failure.or_else(|| connected.err());
        }
        let routes = Routes::of(&shards);
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        *self.locked_shards() = shards;
        self.is_whole.store(true, Ordering::Release);
        self.tell();
        failure.map_or(Ok(()), Err)
    }

    async fn keep_or_connect(
        &self,
        place: &Place,
        before: &[Arc<Shard>],
    ) -> (Arc<Shard>, Result<(), ConnectError>) {
        let same = before.iter().find(|shard| shard.share == place.share);
        let shard = same.cloned().unwrap_or_else(|| {
            let tripwire = if before.is_empty() {
                Tripwire::default()
            } else {
                Tripwire::of_changed_share()
            };
            let canary = |tag| self.keys.canary(tag);
            Arc::new(Shard::new(place.share.clone(), tripwire, canary))
        });
        if let Some(link) = shard.link() {
            if link.address == place.address {
                return (shard, Ok(()));
            }
            // What it answers is not the master's word any more, whatever it takes itself for.
            link.state.give_up();
        }
        shard.set_link(None);
        let connected = self.connect(&shard, &place.address).await;
        (shard, connected)
    }

    /// Looks after the connections until the task is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        tokio::join!(self.look_for_ever(), self.mend_for_ever());
    }

    async fn look_for_ever(&self) {
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.clock.sleep(self.options.check_interval) => {}
            }
            let shards = self.shards();
            join_all(shards.iter().map(|shard| self.look(shard))).await;
            let mut needs_mending = false;
            for shard in &shards {
                // Each is asked: it forgets that it was astray.
                needs_mending |= shard.link().is_none_or(|link| link.state.was_astray());
            }
            self.tell();
            if needs_mending {
                self.mend.notify_one();
            }
        }
    }

    async fn mend_for_ever(&self) {
        let period = self.locator.period();
        let backoff_max = period.unwrap_or(BACKOFF_MAX);
        let mut backoff = Backoff::new(BACKOFF_MIN, backoff_max);
        let mut connected_at = self.clock.monotonic();
        loop {
            tokio::select! {
                () = self.mend.notified() => {}
                () = self.sleep_or_never(period) => {}
            }
            if self.is_connected() {
                self.look_around().await;
                if self.is_connected() {
                    self.clock.sleep(LOOK_AROUND_PAUSE).await;
                    continue;
                }
            }
            backoff.lasted(self.clock.monotonic().since(connected_at));
            self.reconnect(&mut backoff).await;
            connected_at = self.clock.monotonic();
        }
    }

    async fn sleep_or_never(&self, period: Option<Duration>) {
        match period {
            Some(period) => self.clock.sleep(period).await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is a good connection to every master, as far as is known.
    fn is_connected(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
            && self.shards().iter().all(|shard| shard.link().is_some())
    }

    /// Asks whether the masters are still the same.
    async fn look_around(&self) {
        if let Err(error) = self.connect_all().await {
            let error: &dyn std::error::Error = &error;
            if self.is_connected() {
                // What is connected works; those who know of changes may be away for a moment.
                tracing::debug!(error, "could not ask where Redis's masters are");
            } else {
                tracing::warn!(error, "could not connect to a new master of Redis");
            }
        }
    }

    async fn reconnect(&self, backoff: &mut Backoff) {
        self.tell();
        tracing::warn!("the connection to Redis is broken; reconnecting");
        loop {
            self.clock.sleep(backoff.wait(self.random.next_u64())).await;
            match self.connect_all().await {
                Ok(()) => break,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "could not reconnect to Redis");
                }
            }
        }
        tracing::info!("reconnected to Redis");
    }

    pub(super) fn note(&self, finding: Finding) {
        let now = self.clock.now();
        match finding {
            Finding::Calm => {}
            Finding::OldAs(born_at) => {
                // A canary that says nothing of its age may be new.
                let born_at = born_at.unwrap_or(now).min(now);
                self.health.send_modify(|health| {
                    // Of several masters, the one that may have forgotten last.
                    health.memory_lost_at = health.memory_lost_at.max(Some(born_at));
                });
            }
            Finding::Lost(loss) => {
                tracing::warn!(reason = %loss, "the ledger may have lost its memory: for a while, jobs without an entry are queried before they are sent");
                self.health.send_modify(|health| {
                    health.memory_lost_at = Some(now);
                    health.memory_losses = health.memory_losses.saturating_add(1);
                });
            }
        }
    }

    /// Tells the worker whether jobs can be written: a job may be anybody's, so all masters must
    /// serve.
    fn tell(&self) {
        let shards = self.shards();
        let serves = self.is_whole.load(Ordering::Acquire)
            && !shards.is_empty()
            && shards.iter().all(|shard| shard.is_serving());
        let connection = if serves {
            Connection::Up
        } else {
            Connection::Down
        };
        self.health.send_if_modified(|health| {
            let changed = health.connection != connection;
            health.connection = connection;
            changed
        });
    }
}
