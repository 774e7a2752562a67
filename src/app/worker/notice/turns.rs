//! One notice at a time under each key, in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turnstile, OwnedMutexGuard};

use crate::domain::notice::NoticeKey;

/// Who is at work under which key. Holds nothing of keys that nobody works on.
#[derive(Debug, Default)]
pub(in crate::app::worker) struct Turns(Mutex<BTreeMap<NoticeKey, Arc<Turnstile<()>>>>);

/// The right to work under a key until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: &'a NoticeKey,
    turnstile: Arc<Turnstile<()>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else works under `key`.
    pub(super) async fn turn<'a>(&'a self, key: &'a NoticeKey) -> Turn<'a> {
        let turnstile = Arc::clone(self.locked().entry(key.clone()).or_default());
        let mut turn = Turn {
            turns: self,
            key,
            turnstile: Arc::clone(&turnstile),
            guard: None,
        };
        turn.guard = Some(turnstile.lock_owned().await);
        turn
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<NoticeKey, Arc<Turnstile<()>>>> {
        // No code panics while it holds the lock, so a poisoned map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut turns = self.turns.locked();
        // Ours and the map's: nobody waits, and nobody can begin to while the map is locked.
        if Arc::strong_count(&self.turnstile) <= 2 {
            turns.remove(self.key);
        }
    }
}
