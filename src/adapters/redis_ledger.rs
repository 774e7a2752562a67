//! The ledger in Redis: one value per job, changed only by compare-and-set.
//!
//! Every command is on a single key. A fresh job that settles costs two round trips: one
//! `SET … NX GET` for the claim and one script for the settling. Needs Redis 7.0 or newer, or
//! Valkey, as a master with `maxmemory-policy noeviction`.

mod connection;
mod inspector;
mod keys;
mod server;
mod supervisor;
mod tripwire;
pub mod value;
mod workbench;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, Script, Value};
use secrecy::SecretString;
use tokio_util::task::AbortOnDropHandle;

pub use crate::adapters::redis_ledger::connection::ConnectError;
use crate::adapters::redis_ledger::connection::NoAnswer;
pub use crate::adapters::redis_ledger::inspector::RedisInspector;
use crate::adapters::redis_ledger::keys::{job_of_member, member};
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

/// Where the ledger is and how it is kept.
#[derive(Clone, Debug)]
pub struct RedisLedgerOptions {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    pub url: SecretString,
    /// What the name of every key starts with; `hongbao` by default.
    pub prefix: String,
    /// How long opening a connection may take, logging in included.
    pub connect_timeout: Duration,
    /// How long the answer to one command may take. A command without an answer in time may have
    /// been executed.
    pub response_timeout: Duration,
    /// How long a settled entry is kept, whole milliseconds, at least one.
    pub retention: Duration,
    /// How often the canary is looked at; a flush goes unnoticed for so long at most.
    pub check_interval: Duration,
}

impl RedisLedgerOptions {
    /// The defaults for the server at `url`.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            prefix: "hongbao".to_owned(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            check_interval: Duration::from_millis(250),
        }
    }
}

/// The ledger in one Redis server. Dropping it ends its supervisor and closes the connection.
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
        supervisor.connect().await?;
        let task = tokio::spawn(Arc::clone(&supervisor).run());
        Ok(Self {
            supervisor,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What the server said of itself at the last connect, its clock's distance from ours included.
    #[must_use]
    pub fn server(&self) -> Option<ServerFacts> {
        self.supervisor.facts()
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LedgerError> {
        let limit = self.supervisor.options.response_timeout;
        self.supervisor.link()?.call(command, limit).await
    }

    /// Runs the script: `new` is the new value, empty to remove the key.
    async fn compare_and_set(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &[u8],
        life_ms: u64,
    ) -> Result<Changed, LedgerError> {
        let link = self.supervisor.link()?;
        let mut connection = link.connection.clone();
        let mut invocation = COMPARE_AND_SET.key(self.supervisor.keys.entry(key));
        invocation.arg(&*old.0).arg(new).arg(life_ms);
        let exchange = invocation.invoke_async(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        let answer: Value = link.exchange(limit, exchange).await?;
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
        if let Err(error) = self.call::<Value>(&command).await {
            tracing::debug!(%error, "could not keep the index of unsettled jobs");
        }
    }

    fn leave_index(&self, members: &[String]) -> Cmd {
        let mut remove = redis::cmd("ZREM");
        remove.arg(self.supervisor.keys.unsettled()).arg(members);
        remove
    }

    /// The first byte of each job's value, `None` where there is no value.
    async fn heads(&self, keys: &[JobKey]) -> Result<Vec<Option<u8>>, LedgerError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline
                .cmd("GETRANGE")
                .arg(self.supervisor.keys.entry(key))
                .arg(0)
                .arg(0);
        }
        let link = self.supervisor.link()?;
        let mut connection = link.connection.clone();
        let exchange = pipeline.query_async(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        let heads: Vec<Vec<u8>> = link.exchange(limit, exchange).await?;
        Ok(heads.iter().map(|head| head.first().copied()).collect())
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
        let mut set = redis::cmd("SET");
        set.arg(self.supervisor.keys.entry(key))
            .arg(&bytes)
            .arg("NX")
            .arg("GET");
        let life_ms = self.life_ms(entry);
        if life_ms > 0 {
            set.arg("PX").arg(life_ms);
        }
        let found: Option<Vec<u8>> = self.call(&set).await?;
        if let Some(found) = found {
            return versioned(key, found).map(|found| Written::Found(Box::new(found)));
        }
        self.keep_index(key, Indexed::No, Some(entry)).await;
        Ok(Written::Stored(Revision(Arc::from(bytes))))
    }

    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        let mut get = redis::cmd("GET");
        get.arg(self.supervisor.keys.entry(key));
        let found: Option<Vec<u8>> = self.call(&get).await?;
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
    async fn replicated(&self, replicas: u32, timeout: Duration) -> Result<bool, LedgerError> {
        if replicas == 0 {
            return Ok(true);
        }
        let link = self.supervisor.link()?;
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
            .arg(self.supervisor.keys.fence())
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
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(self.supervisor.keys.unsettled())
            .arg("-inf")
            .arg(format!("({}", due_before.0))
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(limit);
        let members: Vec<String> = self.call(&range).await?;
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
            self.call::<Value>(&self.leave_index(&stale)).await?;
        }
        Ok(unsettled)
    }

    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor.0)
            .arg("MATCH")
            .arg(self.supervisor.keys.entries_pattern())
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let (next, names): (u64, Vec<Vec<u8>>) = self.call(&scan).await?;
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
        Ok((unsettled, ScanCursor(next)))
    }

    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        let mut get = redis::cmd("GET");
        get.arg(self.supervisor.keys.notice(notice));
        let found: Option<Vec<u8>> = self.call(&get).await?;
        match found.as_deref() {
            None => Ok(None),
            Some(BEGUN) => Ok(Some(Mark::Begun)),
            Some(TOLD) => Ok(Some(Mark::Told)),
            Some(_) => Err(LedgerError::Unavailable(Box::new(NoAnswer::Senseless))),
        }
    }

    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        let mut set = redis::cmd("SET");
        set.arg(self.supervisor.keys.notice(notice))
            .arg(match mark {
                Mark::Begun => BEGUN,
                Mark::Told => TOLD,
            })
            .arg("PX")
            .arg(millis(self.supervisor.options.retention).max(1));
        self.call::<Value>(&set).await?;
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
