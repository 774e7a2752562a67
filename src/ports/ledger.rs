//! What the worker needs of the ledger: one value per job, changed only by compare-and-set.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::domain::notice::{Mark, NoticeKey};
use crate::domain::time::UnixMillis;

/// Remembers jobs.
///
/// A [`LedgerError::Unavailable`] means *maybe executed*: the caller reads again and compares. The
/// ledger decides nothing: every rule is in [`crate::lifecycle`].
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Writes `entry` if the key has none; otherwise returns what is there. One round trip.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the entry may have been written all the same.
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError>;

    /// Reads the key's entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError>;

    /// Replaces the value that `old` was read as by `new`, atomically, if it is still that value.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the entry may have been written all the same.
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError>;

    /// Removes the entry if it is still the value that `old` was read as.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the entry may have been removed all the same.
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError>;

    /// Waits until at least `replicas` replicas have everything that was written about `key` over
    /// this connection, at most `timeout`; `true` when they have (rule 8). With 0 it is `true` at
    /// once.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn replicated(
        &self,
        key: &JobKey,
        replicas: u32,
        timeout: Duration,
    ) -> Result<bool, LedgerError>;

    /// Unsettled jobs that the advisory index says were due before `due_before`, oldest first, at
    /// most `limit`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError>;

    /// One step of the slow scan over everything: keys of unsettled jobs that it met, and where to
    /// go on. Start with [`ScanCursor::START`]; the scan is over when it is returned again.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn scan(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError>;

    /// What is remembered of a notice; `None` for nothing, or once the retention is over.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn mark(&self, notice: &NoticeKey) -> Result<Option<Mark>, LedgerError>;

    /// Remembers `mark` of a notice, over whatever was remembered, for the retention.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; it may be remembered all the same.
    async fn set_mark(&self, notice: &NoticeKey, mark: Mark) -> Result<(), LedgerError>;

    /// Whether the ledger is connected, and when it may last have lost its memory.
    fn health(&self) -> LedgerHealth;

    /// Returns when [`Ledger::health`] has changed since `seen`, at once if it already has.
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth;
}

/// The ledger's state as the worker needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerHealth {
    /// Whether commands can be expected to work.
    pub connection: Connection,
    /// When a memory loss was last noticed: a lost canary, another `run_id` or `master_replid`, or
    /// a ledger without a canary. `None` when none was noticed.
    pub memory_lost_at: Option<UnixMillis>,
    /// How many losses this process has noticed.
    pub memory_losses: u64,
}

/// Whether a server can be expected to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The last exchange worked.
    Up,
    /// Being rebuilt, or refusing to work.
    Down,
}

/// What an entry was read as: opaque, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub Arc<[u8]>);

/// An entry with the revision to replace it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The entry.
    pub entry: Entry,
    /// What it was read as.
    pub revision: Revision,
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The new entry is there, with this revision.
    Stored(Revision),
    /// Something else is there; nothing was written.
    Found(Box<Versioned>),
    /// Nothing is there, though something was expected; nothing was written.
    Vanished,
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The entry is gone.
    Gone,
    /// Something else was there; nothing was removed.
    Changed,
}

/// Where a scan goes on; what the numbers mean is the ledger's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanCursor {
    /// Which of several servers.
    pub server: u16,
    /// Where in it.
    pub position: u64,
}

impl ScanCursor {
    /// Where a scan starts, and what it returns when it is over.
    pub const START: Self = Self {
        server: 0,
        position: 0,
    };
}

/// Why the ledger gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No answer: the command may have been executed.
    #[error("reach the ledger")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refuses to write, as it does when its memory is full: nothing was executed.
    #[error("write to the ledger: {reason}")]
    Refused {
        /// The server's word.
        reason: String,
    },
    /// A value that this version cannot read, for another one wrote it; nothing is changed.
    #[error("read the ledger's value of {key}: {reason}")]
    Unreadable {
        /// Whose value.
        key: JobKey,
        /// What is wrong with it.
        reason: String,
    },
}
