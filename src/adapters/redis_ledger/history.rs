//! The history of jobs in Redis: one short list per job that needed more than one good call.

mod note;

use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};

use crate::adapters::redis_ledger::RedisLedger;
use crate::adapters::redis_ledger::connection::NoAnswer;
use crate::adapters::redis_ledger::history::note::{read, write};
use crate::adapters::redis_ledger::inspector::RedisInspector;
use crate::adapters::redis_ledger::slots::slot_of;
use crate::domain::job::JobKey;
use crate::domain::time::millis;
use crate::ports::history::{CALLS_MAX, History, HistoryError, PastCall};
use crate::ports::ledger::LedgerError;

#[async_trait]
impl History for RedisLedger {
    /// Three commands on one key in one exchange. Redis may have done a part of them: then there is
    /// a note too many, or one that lives until the next one.
    async fn note(
        &self,
        key: &JobKey,
        call: &PastCall,
        life: Duration,
    ) -> Result<(), HistoryError> {
        let name = self.supervisor.keys.history(key);
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("RPUSH")
            .arg(&name)
            .arg(write(call))
            .cmd("LTRIM")
            .arg(&name)
            .arg(-i64::try_from(CALLS_MAX).unwrap_or(i64::MAX))
            .arg(-1)
            .add_command(expire(&name, life));
        let link = self.supervisor.link(&name).map_err(unavailable)?;
        let mut connection = link.connection.clone();
        let exchange = pipeline.query_async::<Vec<Value>>(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        // A key that is on its way to another master is not followed: the note is lost, no more.
        let noted = link.exchange(limit, exchange).await;
        noted.map(|_| ()).map_err(unavailable)
    }

    async fn keep(&self, key: &JobKey, life: Duration) -> Result<(), HistoryError> {
        let name = self.supervisor.keys.history(key);
        let kept = self.call::<Value>(&name, &expire(&name, life)).await;
        kept.map(|_| ()).map_err(unavailable)
    }

    async fn calls(&self, key: &JobKey) -> Result<Vec<PastCall>, HistoryError> {
        let name = self.supervisor.keys.history(key);
        let found: Vec<Vec<u8>> = self.call(&name, &range(&name)).await.map_err(unavailable)?;
        Ok(found.iter().filter_map(|bytes| read(bytes)).collect())
    }
}

impl RedisInspector {
    /// The calls that are remembered of one job, in their order.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub async fn calls(&self, key: &JobKey) -> Result<Vec<PastCall>, HistoryError> {
        let name = self.supervisor.keys.history(key);
        let slot = slot_of(name.as_bytes());
        let mut links = self.links.iter();
        let Some((_, link)) = links.find(|(place, _)| place.share.has(slot)) else {
            return Err(HistoryError(Box::new(NoAnswer::NotConnected)));
        };
        let limit = self.supervisor.options.response_timeout;
        let found: Vec<Vec<u8>> = link.call(&range(&name), limit).await.map_err(unavailable)?;
        Ok(found.iter().filter_map(|bytes| read(bytes)).collect())
    }
}

fn range(name: &str) -> Cmd {
    let mut range = redis::cmd("LRANGE");
    range.arg(name).arg(0).arg(-1);
    range
}

fn expire(name: &str, life: Duration) -> Cmd {
    let mut expire = redis::cmd("PEXPIRE");
    expire.arg(name).arg(millis(life).max(1));
    expire
}

fn unavailable(error: LedgerError) -> HistoryError {
    HistoryError(Box::new(error))
}
