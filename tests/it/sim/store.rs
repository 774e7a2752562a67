//! The ledger's server: what it holds, what it forgets, and what a failover sets back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hongbaod::domain::entry::Entry;
use hongbaod::domain::job::JobKey;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::ledger::{Removed, Revision, Versioned, Written};

/// How far back a failover can reach.
const UNDO_MAX: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Slot {
    versioned: Versioned,
    due_at: Option<UnixMillis>,
}

struct Undo {
    at: Duration,
    key: JobKey,
    before: Option<Slot>,
}

/// The server.
#[derive(Default)]
pub(crate) struct Store {
    slots: BTreeMap<JobKey, Slot>,
    undo: VecDeque<Undo>,
    writes: u64,
    /// Until when nobody reaches it.
    pub(crate) away_until: Duration,
}

impl Store {
    pub(crate) fn entry(&self, key: &JobKey) -> Option<&Entry> {
        self.slots.get(key).map(|slot| &slot.versioned.entry)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&JobKey, &Entry)> {
        self.slots
            .iter()
            .map(|(key, slot)| (key, &slot.versioned.entry))
    }

    pub(crate) fn read(&self, key: &JobKey) -> Option<Versioned> {
        self.slots.get(key).map(|slot| slot.versioned.clone())
    }

    pub(crate) fn insert(&mut self, now: Duration, key: &JobKey, entry: &Entry) -> Written {
        match self.read(key) {
            Some(found) => Written::Found(Box::new(found)),
            None => self.write(now, key, entry),
        }
    }

    pub(crate) fn replace(
        &mut self,
        now: Duration,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Written {
        match self.read(key) {
            None => Written::Vanished,
            Some(found) if found.revision == *old => self.write(now, key, new),
            Some(found) => Written::Found(Box::new(found)),
        }
    }

    /// Writes whatever is there: what a compare-and-set must never do.
    pub(crate) fn write(&mut self, now: Duration, key: &JobKey, entry: &Entry) -> Written {
        self.writes += 1;
        let revision = Revision(Arc::from(self.writes.to_be_bytes()));
        let due_at = match entry {
            Entry::Deferred(deferred) => Some(deferred.due_at),
            Entry::InFlight(_) => self.slots.get(key).and_then(|slot| slot.due_at),
            Entry::Settled(_) => None,
        };
        let versioned = Versioned {
            entry: entry.clone(),
            revision: revision.clone(),
        };
        self.put(now, key, Some(Slot { versioned, due_at }));
        Written::Stored(revision)
    }

    pub(crate) fn remove(&mut self, now: Duration, key: &JobKey, old: &Revision) -> Removed {
        match self.read(key) {
            Some(found) if found.revision != *old => Removed::Changed,
            Some(_) | None => {
                self.put(now, key, None);
                Removed::Gone
            }
        }
    }

    fn put(&mut self, now: Duration, key: &JobKey, slot: Option<Slot>) {
        let before = match slot {
            Some(slot) => self.slots.insert(key.clone(), slot),
            None => self.slots.remove(key),
        };
        while self
            .undo
            .front()
            .is_some_and(|undo| undo.at + UNDO_MAX < now)
        {
            self.undo.pop_front();
        }
        let key = key.clone();
        self.undo.push_back(Undo {
            at: now,
            key,
            before,
        });
    }

    /// The replica has everything: a failover sets nothing back.
    pub(crate) fn replicate(&mut self) {
        self.undo.clear();
    }

    /// Forgets everything; what was settled is returned.
    pub(crate) fn flush(&mut self) -> Vec<Entry> {
        self.undo.clear();
        let slots = std::mem::take(&mut self.slots);
        slots
            .into_values()
            .map(|slot| slot.versioned.entry)
            .collect()
    }

    /// A replica without the writes since `since` takes over; what was set back is returned.
    pub(crate) fn fail_over(&mut self, since: Duration) -> Vec<Entry> {
        let mut lost = Vec::new();
        while let Some(undo) = self.undo.pop_back() {
            if undo.at < since {
                break;
            }
            let gone = match undo.before {
                Some(before) => self.slots.insert(undo.key, before),
                None => self.slots.remove(&undo.key),
            };
            lost.extend(gone.map(|slot| slot.versioned.entry));
        }
        self.undo.clear();
        lost
    }

    pub(crate) fn unsettled(&self, due_before: UnixMillis, limit: usize) -> Vec<JobKey> {
        let mut due: Vec<(UnixMillis, &JobKey)> = self
            .slots
            .iter()
            .filter_map(|(key, slot)| Some((slot.due_at?, key)))
            .filter(|(due_at, _)| *due_at < due_before)
            .collect();
        due.sort();
        due.into_iter()
            .take(limit)
            .map(|(_, key)| key.clone())
            .collect()
    }

    pub(crate) fn scan(&self) -> Vec<JobKey> {
        let pending = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.versioned.entry.pending().is_some());
        pending.map(|(key, _)| key.clone()).collect()
    }
}
