//! Asking the master of a key, and whom it sends us to while the key is on its way.

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, ScriptInvocation};

use crate::adapters::redis_ledger::RedisLedger;
use crate::adapters::redis_ledger::connection::Link;
use crate::domain::job::JobKey;
use crate::ports::ledger::LedgerError;

impl RedisLedger {
    /// Sends a command about `key` to its master.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, LedgerError> {
        let limit = self.supervisor.options.response_timeout;
        match self.supervisor.link(key)?.call(command, limit).await {
            Err(LedgerError::Unavailable(error)) => {
                let mut question = redis::pipe();
                question.cmd("ASKING").ignore().add_command(command.clone());
                Box::pin(self.follow(error, question)).await
            }
            answer => answer,
        }
    }

    /// Runs `script` on `key` at its master.
    pub(super) async fn evaluate<T: FromRedisValue>(
        &self,
        key: &str,
        script: &Script,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, LedgerError> {
        let link = self.supervisor.link(key)?;
        let mut connection = link.connection.clone();
        let exchange = invocation.invoke_async(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        match link.exchange(limit, exchange).await {
            Err(LedgerError::Unavailable(error)) => {
                let mut question = redis::pipe();
                question.load_script(script).ignore();
                question.cmd("ASKING").ignore().invoke_script(invocation);
                Box::pin(self.follow(error, question)).await
            }
            answer => answer,
        }
    }

    /// Puts a question to the master that another one of the cluster sends us to: the key's slot is
    /// on its way there, and the key is there already or not yet made. Nothing was executed so far.
    ///
    /// Any other error is returned as it is.
    async fn follow<T: FromRedisValue>(
        &self,
        error: Box<dyn std::error::Error + Send + Sync>,
        question: Pipeline,
    ) -> Result<T, LedgerError> {
        let said = error.downcast_ref::<RedisError>();
        let link = said
            .filter(|said| said.code() == Some("ASK"))
            .and_then(|said| self.supervisor.link_at(said.redirect_node()?.0));
        let Some(link) = link else {
            return Err(LedgerError::Unavailable(error));
        };
        let mut connection = link.connection.clone();
        let exchange = question.query_async(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        let (answer,): (T,) = link.exchange(limit, exchange).await?;
        Ok(answer)
    }

    /// The first byte of each job's value, `None` where there is no value.
    pub(super) async fn heads(&self, keys: &[JobKey]) -> Result<Vec<Option<u8>>, LedgerError> {
        let names: Vec<String> = keys
            .iter()
            .map(|key| self.supervisor.keys.entry(key))
            .collect();
        // Each master is asked once for all that it has.
        let mut groups: Vec<(Arc<Link>, Vec<usize>)> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let link = self.supervisor.link(name)?;
            match groups
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, &link))
            {
                Some((_, indexes)) => indexes.push(index),
                None => groups.push((link, vec![index])),
            }
        }
        let mut heads = vec![None; names.len()];
        for (link, indexes) in groups {
            let asked: Vec<&str> = indexes
                .iter()
                .filter_map(|index| names.get(*index).map(String::as_str))
                .collect();
            let found = self.heads_at(&link, &asked).await?;
            for (index, found) in indexes.into_iter().zip(found) {
                if let Some(head) = heads.get_mut(index) {
                    *head = found.first().copied();
                }
            }
        }
        Ok(heads)
    }

    /// The first byte of each value, or nothing, in one exchange with the master of all these keys.
    async fn heads_at(&self, link: &Link, names: &[&str]) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut pipeline = redis::pipe();
        for name in names {
            pipeline.add_command(first_byte(name));
        }
        let mut connection = link.connection.clone();
        let exchange = pipeline.query_async(&mut connection);
        let limit = self.supervisor.options.response_timeout;
        let answer = link.exchange(limit, exchange).await;
        let Err(LedgerError::Unavailable(error)) = answer else {
            return answer;
        };
        let said = error.downcast_ref::<RedisError>();
        if said.and_then(RedisError::code) != Some("ASK") {
            return Err(LedgerError::Unavailable(error));
        }
        // Some of them are on their way to another master.
        let mut heads = Vec::with_capacity(names.len());
        for name in names {
            heads.push(self.call(name, &first_byte(name)).await?);
        }
        Ok(heads)
    }
}

fn first_byte(name: &str) -> Cmd {
    let mut range = redis::cmd("GETRANGE");
    range.arg(name).arg(0).arg(0);
    range
}
