//! One master and its part of the ledger: checked when it is connected, and looked at from then on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::Cmd;
use tokio::sync::OnceCell;

use crate::adapters::redis_ledger::connection::{Address, Link, LinkState};
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::rights::Whose;
use crate::adapters::redis_ledger::server::{Info, ServerFacts, followed_another, mode};
use crate::adapters::redis_ledger::slots::Share;
use crate::adapters::redis_ledger::supervisor::Supervisor;
use crate::adapters::redis_ledger::tripwire::{Canary, Finding, ServerIds, Tripwire};
use crate::ports::ledger::LedgerError;

/// A server's clock further away than this is warned of.
const CLOCK_SKEW_MS_MAX: u64 = 1_000;

/// One master's part of the ledger, whichever server is its master at present.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) share: Share,
    /// The hash tag of the keys of the ledger's own in this share.
    tag: Option<u32>,
    canary: String,
    tripwire: Mutex<Tripwire>,
    facts: Mutex<Option<ServerFacts>>,
    /// The present connection; `None` while there is none.
    link: Mutex<Option<Arc<Link>>>,
    /// The server refuses to write even the canary.
    is_refusing: AtomicBool,
}

impl Shard {
    pub(super) fn new(
        share: Share,
        tripwire: Tripwire,
        canary: impl Fn(Option<u32>) -> String,
    ) -> Self {
        let tag = share.tag();
        Self {
            share,
            tag,
            canary: canary(tag),
            tripwire: Mutex::new(tripwire),
            facts: Mutex::default(),
            link: Mutex::default(),
            is_refusing: AtomicBool::new(false),
        }
    }

    /// The present connection, if it is good.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        let link = locked(&self.link).clone();
        link.filter(|link| !link.state.is_broken())
    }

    pub(super) fn set_link(&self, link: Option<Arc<Link>>) {
        *locked(&self.link) = link;
    }

    /// Whether jobs can be expected to be written here.
    pub(super) fn is_serving(&self) -> bool {
        self.link().is_some() && !self.is_refusing.load(Ordering::Acquire)
    }

    /// What the server said of itself at the last connect.
    pub(super) fn facts(&self) -> Option<ServerFacts> {
        locked(&self.facts).clone()
    }

    fn tripwire(&self) -> MutexGuard<'_, Tripwire> {
        locked(&self.tripwire)
    }
}

impl Supervisor {
    /// Opens a connection and checks nothing.
    pub(super) async fn open(
        &self,
        address: &Address,
        tag: Option<u32>,
    ) -> Result<Link, ConnectError> {
        let state = LinkState::new(Arc::clone(&self.wake));
        let opening = self.locator.connector.open(address, Arc::clone(&state));
        Ok(Link {
            connection: opening.await?,
            address: address.clone(),
            state,
            ids: ServerIds::default(),
            fence_key: self.keys.fence(tag),
            fence: OnceCell::new(),
            fence_turn: tokio::sync::Mutex::default(),
        })
    }

    /// Opens a connection to the master of `shard` and checks the server and its memory; then it
    /// can be handed out.
    pub(super) async fn connect(
        &self,
        shard: &Shard,
        address: &Address,
    ) -> Result<(), ConnectError> {
        let link = self.open(address, shard.tag).await?;
        let link = self.check(shard, link).await?;
        shard.is_refusing.store(false, Ordering::Release);
        shard.set_link(Some(Arc::new(link)));
        Ok(())
    }

    /// Opens a second connection to the server of `link`, and makes sure that it is the same one.
    pub(super) async fn open_fence(
        &self,
        link: &Link,
    ) -> Result<redis::aio::MultiplexedConnection, ConnectError> {
        let state = Arc::clone(&link.state);
        let mut fence = self.locator.connector.open(&link.address, state).await?;
        let info: String = self
            .ask(&mut fence, &link.address, "INFO", &redis::cmd("INFO"))
            .await?;
        if Info::parse(&info, &link.address)?.ids.run_id == link.ids.run_id {
            Ok(fence)
        } else {
            link.state.give_up();
            Err(ConnectError::OtherServer {
                address: link.address.to_string(),
            })
        }
    }

    async fn check(&self, shard: &Shard, mut link: Link) -> Result<Link, ConnectError> {
        let (address, connection) = (&link.address, &mut link.connection);
        let (raw_ids, facts) = self.ask_facts(connection, address).await?;
        self.check_rights(connection, address, shard.tag, Whose::Daemon)
            .await?;
        let ids = ServerIds {
            run_id: shard.share.identity(&raw_ids.run_id),
            master_replid: raw_ids.master_replid.clone(),
        };
        let offered = self.new_canary(&ids.run_id);
        let offer = offer(&shard.canary, &offered);
        let found: Option<String> = self
            .ask(connection, address, "SET … NX GET", &offer)
            .await?;
        link.ids = raw_ids;
        let found = found.map(Canary::found);
        let finding = shard.tripwire().connected(ids, found, offered.clone());
        // Before the connection is handed out: whoever uses it knows of the loss.
        self.note(finding);
        let is_stale = shard.tripwire().is_stale();
        if is_stale {
            let mut renew = redis::cmd("SET");
            renew.arg(&shard.canary).arg(offered.as_str());
            let () = self.ask(connection, &link.address, "SET", &renew).await?;
            shard.tripwire().renewed(offered);
        }
        *locked(&shard.facts) = Some(facts);
        Ok(link)
    }

    /// Asks the server for all that it says of itself, and refuses one that is not fit.
    pub(super) async fn ask_facts(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        address: &Address,
    ) -> Result<(ServerIds, ServerFacts), ConnectError> {
        let info: String = self
            .ask(connection, address, "INFO", &redis::cmd("INFO"))
            .await?;
        let expected = self.locator.server_mode();
        if let Some(found) = mode(&info).filter(|found| *found != expected) {
            return Err(ConnectError::Mode {
                address: address.to_string(),
                found: found.to_owned(),
                configured: self.locator.mode(),
            });
        }
        let info = Info::parse(&info, address)?;
        let facts = ServerFacts {
            version: info.version,
            persistence: info.persistence,
            replicas: info.replicas,
            clock_skew_ms: self.measure_clock_skew(connection, address).await?,
        };
        Ok((info.ids, facts))
    }

    pub(super) async fn ask<T: redis::FromRedisValue>(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        address: &Address,
        what: &'static str,
        command: &Cmd,
    ) -> Result<T, ConnectError> {
        self.locator.ask(connection, address, what, command).await
    }

    async fn measure_clock_skew(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        address: &Address,
    ) -> Result<i64, ConnectError> {
        let before = self.clock.now();
        let (seconds, micros): (u64, u64) = self
            .ask(connection, address, "TIME", &redis::cmd("TIME"))
            .await?;
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

    /// Looks at one master, if there is a connection to it.
    pub(super) async fn look(&self, shard: &Shard) {
        let Some(link) = shard.link() else {
            return;
        };
        let wants_canary = shard.tripwire().wants_canary();
        let looked = if link.state.is_refusing() {
            self.try_to_write(shard, &link).await
        } else if wants_canary {
            self.plant(shard, &link).await
        } else {
            self.look_at_canary(shard, &link).await
        };
        if let Err(error) = looked {
            tracing::debug!(%error, "could not look at the ledger's canary");
        }
    }

    async fn look_at_canary(&self, shard: &Shard, link: &Link) -> Result<(), LedgerError> {
        if self.is_led_astray(link).await? {
            // A new connection finds out what that cost, or that this is no master any more.
            link.state.give_up();
            return Ok(());
        }
        let mut get = redis::cmd("GET");
        get.arg(&shard.canary);
        let found: Option<String> = link.call(&get, self.options.response_timeout).await?;
        if link.state.is_broken() {
            // Another server may be this part's master by now: this answer is none of its.
            return Ok(());
        }
        let found = found.map(Canary::found);
        let finding = shard.tripwire().looked(found.as_ref());
        self.note(finding);
        match finding {
            Finding::Calm | Finding::OldAs(_) => Ok(()),
            Finding::Lost(_) => self.plant(shard, link).await,
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
    async fn plant(&self, shard: &Shard, link: &Link) -> Result<(), LedgerError> {
        let offered = self.new_canary(&shard.share.identity(&link.ids.run_id));
        let offer = offer(&shard.canary, &offered);
        let found: Option<String> = link.call(&offer, self.options.response_timeout).await?;
        shard.tripwire().planted(found.map(Canary::found), offered);
        Ok(())
    }

    /// Offers the canary to a server that refused to write: as long as it refuses that too, jobs are
    /// better taken by nobody.
    async fn try_to_write(&self, shard: &Shard, link: &Link) -> Result<(), LedgerError> {
        let offered = self.new_canary(&shard.share.identity(&link.ids.run_id));
        let offer = offer(&shard.canary, &offered);
        let tried = link.call::<Option<String>>(&offer, self.options.response_timeout);
        let found = match tried.await {
            Ok(found) => found.map(Canary::found),
            Err(error) => {
                if !shard.is_refusing.swap(true, Ordering::AcqRel) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "Redis refuses to write; trying until it does");
                }
                return Err(error);
            }
        };
        // What made room may have been a flush.
        let finding = {
            let mut tripwire = shard.tripwire();
            let finding = tripwire.looked(found.as_ref());
            if tripwire.wants_canary() {
                tripwire.planted(found, offered);
            }
            finding
        };
        self.note(finding);
        link.state.accept();
        if shard.is_refusing.swap(false, Ordering::AcqRel) {
            tracing::info!("Redis writes again");
        }
        Ok(())
    }

    fn new_canary(&self, identity: &str) -> Canary {
        let birth_id = [self.random.next_u64(), self.random.next_u64()];
        Canary::new(birth_id, self.clock.now(), identity)
    }
}

fn offer(key: &str, canary: &Canary) -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(canary.as_str()).arg("NX").arg("GET");
    set
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
