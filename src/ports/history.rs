//! What is remembered of the calls of a job, for people.
//!
//! It is advisory: no decision reads it, and losing a note loses no money. So whoever keeps it may
//! forget, and nobody may wait for it.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::job::JobKey;
use crate::domain::time::UnixMillis;

/// So many calls of one job are remembered at most, the newest.
pub const CALLS_MAX: usize = 32;

/// Of a code, so many characters are remembered, the first ones. The longest that Alipay lists has
/// fewer than 50.
pub const CODE_CHARS_MAX: usize = 64;

/// Of a replica's name, so many characters are remembered, the last ones: the end of a pod's name
/// tells it from its siblings.
pub const REPLICA_CHARS_MAX: usize = 32;

/// Remembers the calls of jobs.
#[async_trait]
pub trait History: Send + Sync {
    /// Adds a call to those of a job, which are all kept for `life` from now on. Of more than
    /// [`CALLS_MAX`] the oldest are forgotten.
    ///
    /// # Errors
    ///
    /// [`HistoryError`]: the call is remembered or not, nobody knows.
    async fn note(&self, key: &JobKey, call: &PastCall, life: Duration)
    -> Result<(), HistoryError>;

    /// Keeps what is remembered of a job for `life` from now on; nothing, if nothing is.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    async fn keep(&self, key: &JobKey, life: Duration) -> Result<(), HistoryError>;

    /// The calls that are remembered, in the order in which they were noted. One that cannot be
    /// read, since another version wrote it, is left out.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    async fn calls(&self, key: &JobKey) -> Result<Vec<PastCall>, HistoryError>;
}

/// One call to Alipay about one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCall {
    /// The call's number: 1 is the first of the job.
    pub number: u32,
    /// What was called.
    pub call: CallKind,
    /// What it told.
    pub verdict: PastVerdict,
    /// The gateway code, where the answer gave one and did not simply succeed.
    pub code: Option<String>,
    /// The business code, likewise.
    pub sub_code: Option<String>,
    /// When the call began.
    pub at: UnixMillis,
    /// From before signing to the verdict, in milliseconds.
    pub duration_ms: u64,
    /// Which process made it.
    pub replica: String,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The call that moves money.
    Send,
    /// The query that reads what became of it.
    Query,
}

/// What a call told, as the words of [`crate::domain::verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastVerdict {
    /// It is done.
    Succeeded,
    /// Alipay refused it, or closed it.
    Refused,
    /// Alipay is at it.
    InProgress,
    /// Nobody knows.
    Unknown,
    /// The number was used before.
    AlreadyUsed,
    /// Certainly nothing happened.
    NotExecuted,
    /// Keys, permissions or contract.
    Blocked,
    /// A query found nothing.
    NotFound,
}

impl CallKind {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Query => "query",
        }
    }
}

impl PastVerdict {
    /// Every one, in the order in which they are numbered where they are kept.
    pub const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::Refused,
        Self::InProgress,
        Self::Unknown,
        Self::AlreadyUsed,
        Self::NotExecuted,
        Self::Blocked,
        Self::NotFound,
    ];

    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::InProgress => "in_progress",
            Self::Unknown => "unknown",
            Self::AlreadyUsed => "already_used",
            Self::NotExecuted => "not_executed",
            Self::Blocked => "blocked",
            Self::NotFound => "not_found",
        }
    }

    /// The one with this word; `None` for any other text.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }
}

/// Nobody could be asked, or no answer came.
#[derive(Debug, thiserror::Error)]
#[error("keep or read the history of a job")]
pub struct HistoryError(#[source] pub Box<dyn Error + Send + Sync>);
