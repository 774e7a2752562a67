//! A look at the ledger's server from outside: reads only, and leaves no trace.

use std::sync::Arc;

use crate::adapters::redis_ledger::connection::{ConnectError, Link};
use crate::adapters::redis_ledger::server::ServerFacts;
use crate::adapters::redis_ledger::supervisor::Supervisor;
use crate::adapters::redis_ledger::{RedisLedgerOptions, versioned};
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::LedgerError;

/// One connection for operators. Unlike [`RedisLedger`](super::RedisLedger) it plants no canary,
/// and is not rebuilt.
pub struct RedisInspector {
    pub(super) supervisor: Supervisor,
    pub(super) link: Link,
}

impl RedisInspector {
    /// Connects; whether the server is fit is told by [`RedisInspector::facts`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(
        options: RedisLedgerOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConnectError> {
        let supervisor = Supervisor::new(options, clock, random)?;
        let link = supervisor.open().await?;
        Ok(Self { supervisor, link })
    }

    /// What the server says of itself.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] also for a server that is not fit to be a ledger.
    pub async fn facts(&self) -> Result<ServerFacts, ConnectError> {
        let mut connection = self.link.connection.clone();
        let (_ids, facts) = self.supervisor.ask_facts(&mut connection).await?;
        Ok(facts)
    }

    /// Whether a ledger was here before: `false` at a first start, and after a flush.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn has_canary(&self) -> Result<bool, ConnectError> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.supervisor.keys.canary());
        let mut connection = self.link.connection.clone();
        let count: u64 = self
            .supervisor
            .ask(&mut connection, "EXISTS", &exists)
            .await?;
        Ok(count > 0)
    }

    /// Reads one job's entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn read(&self, key: &JobKey) -> Result<Option<Entry>, LedgerError> {
        let mut get = redis::cmd("GET");
        get.arg(self.supervisor.keys.entry(key));
        let limit = self.supervisor.options.response_timeout;
        let found: Option<Vec<u8>> = self.link.call(&get, limit).await?;
        let found = found.map(|bytes| versioned(key, bytes)).transpose()?;
        Ok(found.map(|versioned| versioned.entry))
    }
}
