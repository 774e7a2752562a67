//! A ledger in this process's memory: the embedded default of `demo`, and of tests.
//!
//! It forgets everything with the process, so it is for trying things out, never for money.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::domain::notice::{Mark, NoticeKey};
use crate::domain::switch::{Switch, SwitchKey, Thrown};
use crate::domain::time::UnixMillis;
use crate::ports::ledger::{
    Connection, Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned,
    Written,
};
use crate::ports::switches::Switches;

/// Remembers jobs in a map.
#[derive(Debug)]
pub struct MemoryLedger {
    memory: Mutex<Memory>,
    health: watch::Sender<LedgerHealth>,
}

#[derive(Debug, Default)]
struct Memory {
    slots: BTreeMap<JobKey, Slot>,
    marks: BTreeMap<NoticeKey, Mark>,
    switches: Thrown,
    writes: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    revision: Revision,
    /// When the last deferral of an unsettled entry was due: the index.
    due_at: Option<UnixMillis>,
}

impl Slot {
    fn versioned(&self) -> Versioned {
        Versioned {
            entry: self.entry.clone(),
            revision: self.revision.clone(),
        }
    }
}

impl Memory {
    fn write(&mut self, key: &JobKey, entry: &Entry) -> Written {
        self.writes = self.writes.saturating_add(1);
        let revision = Revision(Arc::from(self.writes.to_be_bytes()));
        let due_at = match entry {
            Entry::Deferred(deferred) => Some(deferred.due_at),
            Entry::InFlight(_) => self.slots.get(key).and_then(|slot| slot.due_at),
            Entry::Settled(_) => None,
        };
        let slot = Slot {
            entry: entry.clone(),
            revision: revision.clone(),
            due_at,
        };
        self.slots.insert(key.clone(), slot);
        Written::Stored(revision)
    }
}

impl MemoryLedger {
    /// An empty ledger, which has lost nothing.
    #[must_use]
    pub fn new() -> Self {
        let health = LedgerHealth {
            connection: Connection::Up,
            memory_lost_at: None,
            memory_losses: 0,
        };
        Self {
            memory: Mutex::default(),
            health: watch::Sender::new(health),
        }
    }

    /// Forgets every entry, as a flushed server does, and notices the loss at `now`.
    pub fn forget_everything(&self, now: UnixMillis) {
        // Noticed before it happens: nobody meets the empty ledger without the doubt.
        self.health.send_modify(|health| {
            health.memory_lost_at = Some(now);
            health.memory_losses = health.memory_losses.saturating_add(1);
        });
        let mut memory = self.locked();
        memory.slots.clear();
        memory.marks.clear();
        memory.switches.clear();
    }

    /// Forgets what was settled before `settled_before`: the retention, which nothing else here
    /// looks after.
    pub fn expire(&self, settled_before: UnixMillis) {
        self.locked().slots.retain(|_, slot| match &slot.entry {
            Entry::Settled(outcome) => outcome.settled_at >= settled_before,
            Entry::InFlight(_) | Entry::Deferred(_) => true,
        });
    }

    fn locked(&self) -> MutexGuard<'_, Memory> {
        // No code panics while it holds the lock, so a poisoned map is whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        let mut memory = self.locked();
        Ok(match memory.slots.get(key) {
            Some(slot) => Written::Found(Box::new(slot.versioned())),
            None => memory.write(key, entry),
        })
    }

    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        Ok(self.locked().slots.get(key).map(Slot::versioned))
    }

    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        let mut memory = self.locked();
        Ok(match memory.slots.get(key) {
            None => Written::Vanished,
            Some(slot) if slot.revision == *old => memory.write(key, new),
            Some(slot) => Written::Found(Box::new(slot.versioned())),
        })
    }

    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        let mut memory = self.locked();
        Ok(match memory.slots.get(key) {
            Some(slot) if slot.revision != *old => Removed::Changed,
            Some(_) | None => {
                memory.slots.remove(key);
                Removed::Gone
            }
        })
    }

    async fn replicated(
        &self,
        _key: &JobKey,
        replicas: u32,
        _timeout: Duration,
    ) -> Result<bool, LedgerError> {
        Ok(replicas == 0)
    }

    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        let memory = self.locked();
        let mut due: Vec<(UnixMillis, &JobKey)> = memory
            .slots
            .iter()
            .filter_map(|(key, slot)| Some((slot.due_at?, key)))
            .filter(|(due_at, _)| *due_at < due_before)
            .collect();
        due.sort();
        Ok(due
            .into_iter()
            .take(limit)
            .map(|(_, key)| key.clone())
            .collect())
    }

    /// One step is the whole map, so the next cursor is always [`ScanCursor::START`].
    async fn scan(&self, _cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        let unsettled = self
            .locked()
            .slots
            .iter()
            .filter(|(_, slot)| slot.entry.pending().is_some())
            .map(|(key, _)| key.clone())
            .collect();
        Ok((unsettled, ScanCursor::START))
    }

    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError> {
        Ok(self.locked().marks.get(notice).copied())
    }

    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError> {
        self.locked().marks.insert(notice.clone(), mark);
        Ok(())
    }

    fn health(&self) -> LedgerHealth {
        *self.health.borrow()
    }

    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        let mut health = self.health.subscribe();
        let changed = health.wait_for(|now| *now != seen).await.map(|now| *now);
        // The sender lives as long as `self`, so the wait never ends without a change.
        changed.unwrap_or(seen)
    }
}

#[async_trait]
impl Switches for MemoryLedger {
    async fn thrown(&self) -> Result<Thrown, LedgerError> {
        Ok(self.locked().switches.clone())
    }

    async fn throw(&self, switches: &Thrown) -> Result<(), LedgerError> {
        self.locked().switches.extend(switches.clone());
        Ok(())
    }

    async fn restore(&self, key: &SwitchKey, switch: &Switch) -> Result<(), LedgerError> {
        let mut memory = self.locked();
        let there = memory.switches.entry(key.clone());
        there.or_insert_with(|| switch.clone());
        Ok(())
    }
}
