//! Keeps one checked connection: looks at the canary, notices what broke, rebuilds for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redis::Cmd;
use tokio::sync::{Notify, OnceCell, watch};

use crate::adapters::redis_ledger::RedisLedgerOptions;
use crate::adapters::redis_ledger::connection::{
    ConnectError, Connector, Link, LinkState, NoAnswer,
};
use crate::adapters::redis_ledger::keys::Keys;
use crate::adapters::redis_ledger::server::{Info, ServerFacts, followed_another};
use crate::adapters::redis_ledger::tripwire::{Canary, Finding, ServerIds, Tripwire};
use crate::domain::backoff::Backoff;
use crate::domain::time::UnixMillis;
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::{Connection, LedgerError, LedgerHealth};

/// The first wait before an attempt to reconnect, at most; it doubles from there.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to reconnect.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A server's clock further away than this is warned of.
const CLOCK_SKEW_MS_MAX: u64 = 1_000;

/// Everything that the ledger and its supervisor share.
pub(super) struct Supervisor {
    pub(super) options: RedisLedgerOptions,
    pub(super) keys: Keys,
    connector: Connector,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The present connection; `None` while it is rebuilt.
    link: RwLock<Option<Arc<Link>>>,
    tripwire: Mutex<Tripwire>,
    facts: Mutex<Option<ServerFacts>>,
    pub(super) health: watch::Sender<LedgerHealth>,
    wake: Arc<Notify>,
}

/// Whether the present connection is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Broken,
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
            connector: Connector::new(&options.url, options.connect_timeout)?,
            keys: Keys::new(options.prefix.clone()),
            options,
            clock,
            random,
            link: RwLock::default(),
            tripwire: Mutex::default(),
            facts: Mutex::default(),
            health: watch::Sender::new(health),
            wake: Arc::default(),
        })
    }

    /// The present connection.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] while it is rebuilt.
    pub(super) fn link(&self) -> Result<Arc<Link>, LedgerError> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        match link.as_ref() {
            Some(link) if !link.state.is_broken() => Ok(Arc::clone(link)),
            Some(_) | None => Err(LedgerError::Unavailable(Box::new(NoAnswer::NotConnected))),
        }
    }

    /// What the server said of itself at the last connect.
    pub(super) fn facts(&self) -> Option<ServerFacts> {
        locked(&self.facts).clone()
    }

    /// Opens a connection and checks nothing.
    pub(super) async fn open(&self) -> Result<Link, ConnectError> {
        let state = LinkState::new(Arc::clone(&self.wake));
        let connection = self.connector.open(Arc::clone(&state)).await?;
        Ok(Link {
            connection,
            state,
            ids: ServerIds::default(),
            fence: OnceCell::new(),
            fence_turn: tokio::sync::Mutex::default(),
        })
    }

    /// Opens a connection, checks the server and its memory, and hands the connection out.
    pub(super) async fn connect(&self) -> Result<(), ConnectError> {
        let link = self.open().await?;
        let link = self.check(link).await?;
        self.set_link(Some(Arc::new(link)));
        self.set_connection(Connection::Up);
        Ok(())
    }

    /// Opens a second connection to the server of `link`, and makes sure that it is the same one.
    pub(super) async fn open_fence(
        &self,
        link: &Link,
    ) -> Result<redis::aio::MultiplexedConnection, ConnectError> {
        let mut fence = self.connector.open(Arc::clone(&link.state)).await?;
        let info = self
            .ask::<String>(&mut fence, "INFO", &redis::cmd("INFO"))
            .await?;
        if Info::parse(&info)?.ids.run_id == link.ids.run_id {
            Ok(fence)
        } else {
            link.state.give_up();
            Err(ConnectError::OtherServer)
        }
    }

    async fn check(&self, mut link: Link) -> Result<Link, ConnectError> {
        let connection = &mut link.connection;
        let (ids, facts) = self.ask_facts(connection).await?;
        let offered = self.new_canary(&ids);
        let offer = self.offer(&offered);
        let found: Option<String> = self.ask(connection, "SET … NX GET", &offer).await?;
        link.ids.clone_from(&ids);
        let found = found.map(Canary::found);
        let finding = locked(&self.tripwire).connected(ids, found, offered.clone());
        // Before the connection is handed out: whoever uses it knows of the loss.
        self.note(finding);
        if locked(&self.tripwire).is_stale() {
            let mut renew = redis::cmd("SET");
            renew.arg(self.keys.canary()).arg(offered.as_str());
            let () = self.ask(connection, "SET", &renew).await?;
            locked(&self.tripwire).renewed(offered);
        }
        *locked(&self.facts) = Some(facts);
        Ok(link)
    }

    /// Asks the server for all that it says of itself, and refuses one that is not fit.
    pub(super) async fn ask_facts(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
    ) -> Result<(ServerIds, ServerFacts), ConnectError> {
        let info: String = self.ask(connection, "INFO", &redis::cmd("INFO")).await?;
        let info = Info::parse(&info)?;
        let facts = ServerFacts {
            version: info.version,
            persistence: info.persistence,
            replicas: info.replicas,
            clock_skew_ms: self.measure_clock_skew(connection).await?,
        };
        Ok((info.ids, facts))
    }

    pub(super) async fn ask<T: redis::FromRedisValue>(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        what: &'static str,
        command: &Cmd,
    ) -> Result<T, ConnectError> {
        let limit = self.options.response_timeout;
        match tokio::time::timeout(limit, command.query_async(connection)).await {
            Ok(answer) => answer.map_err(|source| ConnectError::Ask { what, source }),
            Err(_elapsed) => Err(self.connector.silent(limit)),
        }
    }

    async fn measure_clock_skew(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
    ) -> Result<i64, ConnectError> {
        let before = self.clock.now();
        let (seconds, micros): (u64, u64) =
            self.ask(connection, "TIME", &redis::cmd("TIME")).await?;
        let after = self.clock.now();
        let ours = before.0.midpoint(after.0);
        let theirs = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        let skew = i64::try_from(i128::from(theirs) - i128::from(ours)).unwrap_or(i64::MAX);
        if skew.unsigned_abs() > CLOCK_SKEW_MS_MAX {
            tracing::warn!(
                clock_skew_ms = skew,
                "the clock of Redis differs from ours by more than a second"
            );
        }
        Ok(skew)
    }

    /// Looks after the connection until the task is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut connected_at = self.clock.monotonic();
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.clock.sleep(self.options.check_interval) => {}
            }
            if self.look().await == State::Broken {
                backoff.lasted(self.clock.monotonic().since(connected_at));
                self.reconnect(&mut backoff).await;
                connected_at = self.clock.monotonic();
            }
        }
    }

    async fn look(&self) -> State {
        let Ok(link) = self.link() else {
            return State::Broken;
        };
        let looked = if link.state.is_refusing() {
            self.try_to_write(&link).await
        } else if locked(&self.tripwire).wants_canary() {
            self.plant(&link).await
        } else {
            self.look_at_canary(&link).await
        };
        if let Err(error) = looked {
            tracing::debug!(%error, "could not look at the ledger's canary");
        }
        if link.state.is_broken() {
            State::Broken
        } else {
            State::Good
        }
    }

    async fn look_at_canary(&self, link: &Link) -> Result<(), LedgerError> {
        if self.is_led_astray(link).await? {
            // A new connection finds out what that cost, or that this is no master any more.
            link.state.give_up();
            return Ok(());
        }
        let mut get = redis::cmd("GET");
        get.arg(self.keys.canary());
        let found: Option<String> = link.call(&get, self.options.response_timeout).await?;
        let found = found.map(Canary::found);
        let finding = locked(&self.tripwire).looked(found.as_ref());
        self.note(finding);
        match finding {
            Finding::Calm | Finding::OldAs(_) => Ok(()),
            Finding::Lost(_) => self.plant(link).await,
        }
    }

    /// Whether the server has become a replica since the connection was opened, if only for a while.
    async fn is_led_astray(&self, link: &Link) -> Result<bool, LedgerError> {
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let info: String = link.call(&info, self.options.response_timeout).await?;
        Ok(followed_another(&info, &link.ids).unwrap_or(true))
    }

    /// Offers a new canary for a lost one; another replica's may be there first.
    async fn plant(&self, link: &Link) -> Result<(), LedgerError> {
        let offered = self.new_canary(&link.ids);
        let offer = self.offer(&offered);
        let found: Option<String> = link.call(&offer, self.options.response_timeout).await?;
        locked(&self.tripwire).planted(found.map(Canary::found), offered);
        Ok(())
    }

    /// Offers the canary to a server that refused to write: as long as it refuses that too, jobs are
    /// better taken by nobody.
    async fn try_to_write(&self, link: &Link) -> Result<(), LedgerError> {
        let offered = self.new_canary(&link.ids);
        let offer = self.offer(&offered);
        let tried = link.call::<Option<String>>(&offer, self.options.response_timeout);
        let found = match tried.await {
            Ok(found) => found.map(Canary::found),
            Err(error) => {
                if self.set_connection(Connection::Down) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "Redis refuses to write; trying until it does");
                }
                return Err(error);
            }
        };
        // What made room may have been a flush.
        let finding = {
            let mut tripwire = locked(&self.tripwire);
            let finding = tripwire.looked(found.as_ref());
            if tripwire.wants_canary() {
                tripwire.planted(found, offered);
            }
            finding
        };
        self.note(finding);
        link.state.accept();
        if self.set_connection(Connection::Up) {
            tracing::info!("Redis writes again");
        }
        Ok(())
    }

    async fn reconnect(&self, backoff: &mut Backoff) {
        self.set_link(None);
        self.set_connection(Connection::Down);
        tracing::warn!("the connection to Redis is broken; reconnecting");
        loop {
            self.clock.sleep(backoff.wait(self.random.next_u64())).await;
            match self.connect().await {
                Ok(()) => break,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "could not reconnect to Redis");
                }
            }
        }
        tracing::info!("reconnected to Redis");
    }

    fn note(&self, finding: Finding) {
        let now = self.clock.now();
        match finding {
            Finding::Calm => {}
            Finding::OldAs(born_at) => {
                // A canary that says nothing of its age may be new.
                let born_at = born_at.unwrap_or(now).min(now);
                self.set_memory_lost_at(born_at);
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

    fn set_memory_lost_at(&self, instant: UnixMillis) {
        self.health
            .send_modify(|health| health.memory_lost_at = Some(instant));
    }

    /// Returns whether that is news.
    fn set_connection(&self, connection: Connection) -> bool {
        self.health.send_if_modified(|health| {
            let changed = health.connection != connection;
            health.connection = connection;
            changed
        })
    }

    fn set_link(&self, link: Option<Arc<Link>>) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn new_canary(&self, ids: &ServerIds) -> Canary {
        let birth_id = [self.random.next_u64(), self.random.next_u64()];
        Canary::new(birth_id, self.clock.now(), &ids.run_id)
    }

    fn offer(&self, canary: &Canary) -> Cmd {
        let mut set = redis::cmd("SET");
        set.arg(self.keys.canary())
            .arg(canary.as_str())
            .arg("NX")
            .arg("GET");
        set
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
