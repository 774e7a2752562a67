//! The history of jobs in this process's memory: for `demo`, and for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::job::JobKey;
use crate::ports::history::{CALLS_MAX, History, HistoryError, PastCall};

/// So many jobs are remembered; the one whose number comes first makes room.
const JOBS_MAX: usize = 10_000;

/// Remembers the calls of jobs in a map, for as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryHistory {
    jobs: Mutex<BTreeMap<JobKey, Vec<PastCall>>>,
}

impl MemoryHistory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<JobKey, Vec<PastCall>>> {
        // No code panics while it holds the lock.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl History for MemoryHistory {
    async fn note(
        &self,
        key: &JobKey,
        call: &PastCall,
        _life: Duration,
    ) -> Result<(), HistoryError> {
        let mut jobs = self.jobs();
        if jobs.len() >= JOBS_MAX && !jobs.contains_key(key) {
            jobs.pop_first();
        }
        let calls = jobs.entry(key.clone()).or_default();
        calls.push(call.clone());
        if calls.len() > CALLS_MAX {
            calls.remove(0);
        }
        Ok(())
    }

    async fn keep(&self, _key: &JobKey, _life: Duration) -> Result<(), HistoryError> {
        Ok(())
    }

    async fn calls(&self, key: &JobKey) -> Result<Vec<PastCall>, HistoryError> {
        Ok(self.jobs().get(key).cloned().unwrap_or_default())
    }
}
