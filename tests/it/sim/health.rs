//! What a replica knows of the ledger's health, and who waits for it to change.
//!
//! Not tokio's `watch`: in which order that wakes those who wait is drawn by chance, and then the same
//! seed would not be the same run.

use std::sync::Mutex;

use hongbaod::ports::ledger::LedgerHealth;
use tokio::sync::Notify;

pub(crate) struct Health {
    now: Mutex<LedgerHealth>,
    changed: Notify,
}

impl Health {
    pub(crate) fn new(now: LedgerHealth) -> Self {
        Self {
            now: Mutex::new(now),
            changed: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> LedgerHealth {
        *self.now.lock().unwrap()
    }

    /// Changes it, and wakes whoever waits, in the order in which they came, if it is another one then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut LedgerHealth)) {
        let is_other = {
            let mut now = self.now.lock().unwrap();
            let before = *now;
            change(&mut now);
            *now != before
        };
        if is_other {
            self.changed.notify_waiters();
        }
    }

    /// Waits until it is another one than `seen`.
    pub(crate) async fn other_than(&self, seen: LedgerHealth) -> LedgerHealth {
        loop {
            // Made before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let now = self.now();
            if now != seen {
                return now;
            }
            changed.await;
        }
    }
}
