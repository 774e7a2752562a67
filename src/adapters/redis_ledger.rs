//! The ledger in Redis: one value per job, changed only by compare-and-set.
//!
//! Every command is on a single key. A fresh job that settles costs two round trips: one
//! `SET … NX GET` for the claim and one script for the settling. Needs Redis 7.0 or newer, or
//! Valkey, with `maxmemory-policy noeviction`: one server, a master that sentinels name, or a
//! cluster.

mod budget;
mod cluster;
mod connection;
mod error;
mod exchange;
mod history;
mod inspector;
mod keys;
mod locator;
mod options;
mod rate;
mod rights;
mod routes;
mod server;
mod shard;
mod slots;
mod supervisor;
mod switches;
mod tripwire;
pub mod value;
mod workbench;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Script, Value};
use tokio_util::task::AbortOnDropHandle;

use crate::adapters::redis_ledger::connection::NoAnswer;
pub use crate::adapters::redis_ledger::error::ConnectError;
pub use crate::adapters::redis_ledger::inspector::{Looked, Master, RedisInspector};
use crate::adapters::redis_ledger::keys::{job_of_member, member};
pub use crate::adapters::redis_ledger::options::{RedisLedgerOptions, RedisMode, RedisTls};
pub use crate::adapters::redis_ledger::server::{Persistence, ServerFacts};
use crate::adapters::redis_ledger::supervisor::Supervisor;
use crate::adapters::redis_ledger::value::{Indexed, decode, encode, indexed, is_settled};
pub use crate::adapters::redis_ledger::workbench::ServerUsage;
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::domain::notice::{Mark, NoticeKey};
use crate::domain::time::{UnixMillis, millis};
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::{
    Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned, Written,
};

/// KEYS, ARGV and every return value are in its head.
static COMPARE_AND_SET: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_ledger/compare_and_set.lua")));

/// The values of [`keys::Keys::notice`].
const BEGUN: &[u8] = b"0";
const TOLD: &[u8] = b"1";

/// How many keys one step of a scan asks for.
const SCAN_COUNT: usize = 500;

/// The ledger in Redis. Dropping it ends its supervisor and closes the connections.
pub struct RedisLedger {
    supervisor: Arc<Supervisor>,
    _task: AbortOnDropHandle<()>,
}

impl fmt::Debug for RedisLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLedger")
            .field("options", &self.supervisor.options)
            .finish_non_exhaustive()
    }
}

impl RedisLedger {
    /// Connects and checks the server; from then on a broken connection is rebuilt for ever, and
    /// checked again each time.
    ///
    /// A server without a canary counts as a memory loss: a first start and a flush cannot be told
    /// apart. So does a canary that was made for another server: there was a restart or a failover
    /// that nobody has met yet. Any other canary's birth is taken as the last loss.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the server cannot be reached, or cannot be a ledger as it is.
    pub async fn connect(
        options: RedisLedgerOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConnectError> {
        let supervisor = Arc::new(Supervisor::new(options, clock, random)?);
        supervisor.connect_all().await?;
        let task = tokio::spawn(Arc::clone(&supervisor).run());
        Ok(Self {
            supervisor,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What the server, or the first master of a cluster, said of itself at the last connect, its
    /// clock's distance from ours included.
    #[must_use]
    pub fn server(&self) -> Option<ServerFacts> {
        self.supervisor.facts()
    }

    /// Runs the script: `new` is the new value, empty to remove the key.
    async fn compare_and_set(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &[u8],
        life_ms: u64,
    ) -> Result<Changed, LedgerError> {
        let name = self.supervisor.keys.entry(key);
        let mut invocation = COMPARE_AND_SET.key(&name);
        invocation.arg(&*old.0).arg(new).arg(life_ms);
        let answer: Value = self.evaluate(&name, &COMPARE_AND_SET, &invocation).await?;
        if let Value::BulkString(bytes) = answer {
            Ok(Changed::Other(bytes))
        } else if answer == Value::Nil {
            Ok(Changed::Vanished)
        } else if answer == Value::Int(1) {
            Ok(Changed::Done)
        } else {
            Err(LedgerError::Unavailable(Box::new(NoAnswer::Senseless)))
        }
    }

    fn life_ms(&self, entry: &Entry) -> u64 {
        match entry {
            Entry::InFlight(_) | Entry::Deferred(_) => 0,
            Entry::Settled(_) => millis(self.supervisor.options.retention).max(1),
        }
    }

    /// Keeps the advisory index: a job enters when it is deferred and leaves when it is over.
    ///
    /// A job that is never deferred costs nothing here. Failures are only noted: what the index
    /// misses is found by the scan, what it has too much is cleared by [`Ledger::unsettled`].
    async fn keep_index(&self, key: &JobKey, was: Indexed, new: Option<&Entry>) {
        let command = match (new, was) {
            (Some(Entry::Deferred(deferred)), Indexed::No | Indexed::Maybe) => {
                let mut add = redis::cmd("ZADD");
                add.arg(self.supervisor.keys.unsettled())
                    .arg(deferred.due_at.0)
                    .arg(member(key));
                add
            }
            (Some(Entry::Settled(_)) | None, Indexed::Maybe) => self.leave_index(&[member(key)]),
            (Some(Entry::InFlight(_)), Indexed::No | Indexed::Maybe)
            | (Some(Entry::Settled(_)) | None, Indexed::No) => return,
        };
        let index = self.supervisor.keys.unsettled();
        if let Err(error) = self.call::<Value>(&index, &command).await {
            tracing::debug!(%error, "could not keep the index of unsettled jobs");
        }
    }

    fn leave_index(&self, members: &[String]) -> Cmd {
        let mut remove = redis::cmd("ZREM");
        remove.arg(self.supervisor.keys.unsettled()).arg(members);
        remove
    }
}

/// What the script answered.
enum Changed {
    Done,
    Other(Vec<u8>),
    Vanished,
}

fn versioned(key: &JobKey, bytes: Vec<u8>) -> Result<Versioned, LedgerError> {
    match decode(key, &bytes) {
        Ok(entry) => Ok(Versioned {
            entry,
            revision: Revision(Arc::from(bytes)),
        }),
        Err(malformed) => Err(LedgerError::Unreadable {
            key: key.clone(),
            reason: malformed.to_string(),
        }),
    }
}

#[async_trait]
impl Ledger for RedisLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        let bytes = encode(key, entry, Indexed::No);
        let name = self.supervisor.keys.entry(key);
        let mut set = redis::cmd("SET");
        set.arg(&name).arg(&bytes).arg("NX").arg("GET");
        let life_ms = self.life_ms(entry);
        if life_ms > 0 {
            set.arg("PX").arg(life_ms);
        }
        let found: Option<Vec<u8>> = self.call(&name, &set).await?;
        if let Some(found) = found {
            return versioned(key, found).map(|found| Written::Found(Box::new(found)));
        }
        self.keep_index(key, Indexed::No, Some(entry)).await;
        Ok(Written::Stored(Revision(Arc::from(bytes))))
    }

    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        let name = self.supervisor.keys.entry(key);
        let mut get = redis::cmd("GET");
        get.arg(&name);
        let found: Option<Vec<u8>> = self.call(&name, &get).await?;
        found.map(|bytes| versioned(key, bytes)).transpose()
    }

    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        let was = indexed(&old.0);
        let bytes = encode(key, new, was);
        let changed = self
            .compare_and_set(key, old, &bytes, self.life_ms(new))
            .await?;
        match changed {
            Changed::Done => {
                // After the change: a lost race must not take a living job out of the index.
                self.keep_index(key, was, Some(new)).await;
                Ok(Written::Stored(Revision(Arc::from(bytes))))
            }
            Changed::Other(found) => {
                versioned(key, found).map(|found| Written::Found(Box::new(found)))
            }
            Changed::Vanished => Ok(Written::Vanished),
        }
    }

    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        match self.compare_and_set(key, old, b"", 0).await? {
            Changed::Done | Changed::Vanished => {
                self.keep_index(key, indexed(&old.0), None).await;
                Ok(Removed::Gone)
            }
            Changed::Other(_) => Ok(Removed::Changed),
        }
    }

    /// Waits on a connection of its own, since WAIT holds up every command after it. A write there
    /// comes after all others at the server, so that waiting for it covers them.
    async fn replicated(
        &self,
        key: &JobKey,
        replicas: u32,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        if replicas == 0 {
            return Ok(true);
        }
        let link = self.supervisor.link(&self.supervisor.keys.entry(key))?;
        let _turn = link.fence_turn.lock().await;
        let opening = link
            .fence
            .get_or_try_init(|| self.supervisor.open_fence(&link));
        let mut fence = match opening.await {
            Ok(fence) => fence.clone(),
            Err(error) => return Err(LedgerError::Unavailable(Box::new(error))),
        };
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SET")
            .arg(&link.fence_key)
            .arg("1")
            .ignore()
            .cmd("WAIT")
            .arg(replicas)
            // WAIT takes 0 for "for ever".
            .arg(millis(timeout).max(1));
        let limit = timeout.saturating_add(self.supervisor.options.response_timeout);
        let exchange = pipeline.query_async(&mut fence);
        let (reached,): (u32,) = link.exchange(limit, exchange).await?;
        Ok(reached >= replicas)
    }

    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        let index = self.supervisor.keys.unsettled();
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(&index)
            .arg("-inf")
            .arg(format!("({}", due_before.0))
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(limit);
        let members: Vec<String> = self.call(&index, &range).await?;
        let mut keys = Vec::with_capacity(members.len());
        let mut stale = Vec::new();
        for member in members {
            match job_of_member(&member) {
                Some(key) => keys.push(key),
                None => stale.push(member),
            }
        }
        let heads = self.heads(&keys).await?;
        let mut unsettled = Vec::with_capacity(keys.len());
        for (key, head) in keys.into_iter().zip(heads) {
            match head {
                Some(head) if !is_settled(head) => unsettled.push(key),
                Some(_) | None => stale.push(member(&key)),
            }
        }
        // Otherwise what is over would in time hide what is not.
        if !stale.is_empty() {
            self.call::<Value>(&index, &self.leave_index(&stale))
                .await?;
        }
        Ok(unsettled)
    }

    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        let (link, next_server) = self.supervisor.link_of_slot(cursor.server)?;
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor.position)
            .arg("MATCH")
            .arg(self.supervisor.keys.entries_pattern())
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let limit = self.supervisor.options.response_timeout;
        let (position, names): (u64, Vec<Vec<u8>>) = link.call(&scan, limit).await?;
        let next = match (position, next_server) {
            (0, None) => ScanCursor::START,
            (0, Some(server)) => ScanCursor {
                server,
                position: 0,
            },
            (position, _) => ScanCursor { position, ..cursor },
        };
        let keys: Vec<JobKey> = names
            .iter()
            .filter_map(|name| self.supervisor.keys.job_of_entry(name))
            .collect();
        let heads = self.heads(&keys).await?;
        let unsettled = keys
            .into_iter()
            .zip(heads)
            .filter(|(_, head)| head.is_some_and(|head| !is_settled(head)))
            .map(|(key, _)| key)
            .collect();
        Ok((unsettled, next))
    }

    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        let name = self.supervisor.keys.notice(notice);
        let mut get = redis::cmd("GET");
        get.arg(&name);
        let found: Option<Vec<u8>> = self.call(&name, &get).await?;
        match found.as_deref() {
            None => Ok(None),
            Some(BEGUN) => Ok(Some(Mark::Begun)),
            Some(TOLD) => Ok(Some(Mark::Told)),
            Some(_) => Err(LedgerError::Unavailable(Box::new(NoAnswer::Senseless))),
        }
    }

    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        let name = self.supervisor.keys.notice(notice);
        let mut set = redis::cmd("SET");
        set.arg(&name)
            .arg(match mark {
                Mark::Begun => BEGUN,
                Mark::Told => TOLD,
            })
            .arg("PX")
            .arg(millis(self.supervisor.options.retention).max(1));
        self.call::<Value>(&name, &set).await?;
        Ok(())
    }

    fn health(&self) -> LedgerHealth {
        *self.supervisor.health.borrow()
    }

    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        let mut health = self.supervisor.health.subscribe();
        let changed = health.wait_for(|now| *now != seen).await.map(|now| *now);
        // The sender lives as long as `self`, so the wait never ends without a change.
        changed.unwrap_or(seen)
    }
}
