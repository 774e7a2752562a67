//! The ledger as one replica reaches it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::job::JobKey;
use hongbaod::domain::notice::{Mark, NoticeKey};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::ledger::{
    Connection, Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned,
    Written,
};

use crate::sim::process::{Failed, Fate, Process, Words};
use crate::sim::town::State;

const LEDGER: Words = Words {
    error: "ledger: error before the effect",
    refused: "ledger: write refused",
    late: "ledger: executed after the caller gave up",
    reply_lost: "ledger: reply lost",
    slow: "ledger: slow",
    slow_reply: "ledger: slow reply",
    crash_before: "crash before a ledger call",
    crash_after: "crash after a ledger call",
    freeze_after: "freeze after a ledger call",
};

/// The ledger as a replica reaches it.
pub(crate) struct SimLedger(pub(crate) Arc<Process>);

fn ledger_error(failed: Failed) -> LedgerError {
    match failed {
        Failed::Unavailable => LedgerError::Unavailable("no reply".into()),
        Failed::Refused => LedgerError::Refused {
            reason: "OOM".to_owned(),
        },
    }
}

/// This Alipay sends none.
fn no_notifications() -> LedgerError {
    LedgerError::Unavailable("there are no notifications in the simulation".into())
}

fn short(entry: &Entry) -> String {
    match entry {
        Entry::InFlight(entry) => format!(
            "InFlight {{ attempt {}, maybe_sent {} }}",
            entry.attempt, entry.pending.maybe_sent
        ),
        Entry::Deferred(entry) => format!(
            "Deferred {{ ticket {}, maybe_sent {} }}",
            entry.ticket.0, entry.pending.maybe_sent
        ),
        Entry::Settled(outcome) => format!("Settled {{ {} }}", outcome.resolution.as_str()),
    }
}

impl SimLedger {
    /// Carries a command out, with all that can happen on the way.
    async fn command<T: Send + 'static>(
        &self,
        what: String,
        effect: impl FnOnce(&mut State, Duration) -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let process = &self.0;
        let town = &process.town;
        let (rate, away) =
            town.with(|state| (state.weather.ledger, state.store.away_until > town.now()));
        if away {
            process.alive().await;
            process.set_connection(Connection::Down);
            return Err(ledger_error(Failed::Unavailable));
        }
        let fate = process.enter(rate, &LEDGER).await.map_err(ledger_error)?;
        if let Fate::Late(after) = fate {
            let late = Arc::clone(process);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                late.town.note(&late.name, &format_args!("(late) {what}"));
                let now = late.town.now();
                late.town.with(|state| effect(state, now));
            });
            process.leave(fate).await.map_err(ledger_error)?;
            return Err(ledger_error(Failed::Unavailable));
        }
        let now = town.now();
        town.note(&process.name, &what);
        let result = town.with(|state| effect(state, now));
        process.leave(fate).await.map_err(ledger_error)?;
        Ok(result)
    }
}

#[async_trait]
impl Ledger for SimLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        let what = format!("insert {key} {}", short(entry));
        let (key, entry) = (key.clone(), entry.clone());
        self.command(what, move |state, now| {
            state.store.insert(now, &key, &entry)
        })
        .await
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        let what = format!("read {key}");
        let key = key.clone();
        self.command(what, move |state, _| state.store.read(&key))
            .await
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        let what = format!("replace {key} by {}", short(new));
        let (key, old, new) = (key.clone(), old.clone(), new.clone());
        self.command(what, move |state, now| {
            state.store.replace(now, &key, &old, &new)
        })
        .await
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        let what = format!("remove {key}");
        let (key, old) = (key.clone(), old.clone());
        self.command(what, move |state, now| state.store.remove(now, &key, &old))
            .await
    }
    async fn replicated(
        &self,
        _key: &JobKey,
        replicas: u32,
        _timeout: Duration,
    ) -> Result<bool, LedgerError> {
        self.command("wait for replicas".to_owned(), move |state, _| {
            let there = replicas == 0 || !state.dice.happens(200);
            if there && replicas > 0 {
                state.store.replicate();
            }
            there
        })
        .await
    }
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        self.command("unsettled".to_owned(), move |state, _| {
            state.store.unsettled(due_before, limit)
        })
        .await
    }
    async fn scan(&self, _cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        self.command("scan".to_owned(), |state, _| {
            (state.store.scan(), ScanCursor::START)
        })
        .await
    }
    async fn mark(&self, _notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        Err(no_notifications())
    }
    async fn set_mark(&self, _notice: &NoticeKey, _mark: Mark) -> Result<(), LedgerError> {
        Err(no_notifications())
    }
    fn health(&self) -> LedgerHealth {
        *self.0.health.borrow()
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        loop {
            let mut changed = pin!(self.0.health_changed.notified());
            changed.as_mut().enable();
            let now = self.health();
            if now != seen {
                self.0.alive().await;
                return now;
            }
            changed.await;
        }
    }
}
