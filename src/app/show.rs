//! What the ledger remembers of one job, for operators.

use std::sync::Arc;

use crate::adapters::clock::SystemClock;
use crate::adapters::random::SystemRandom;
use crate::adapters::redis_ledger::{ConnectError, RedisInspector};
use crate::app::assembly::redis_options;
use crate::app::config::Config;
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::domain::time::UnixMillis;
use crate::ports::clock::Clock;
use crate::ports::history::{HistoryError, PastCall};
use crate::ports::ledger::LedgerError;

/// What was found.
#[derive(Debug)]
pub struct Remembered {
    /// The entry, or `None` when the ledger knows no such job.
    pub entry: Option<Entry>,
    /// The calls that were noted, in their order.
    pub calls: Vec<PastCall>,
    /// When it was read, by this machine's clock.
    pub read_at: UnixMillis,
}

/// Why the ledger could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// `memory:` lives inside the daemon's own process.
    #[error(
        "redis.urls is \"memory:\", which lives inside the daemon alone; no other process can read it"
    )]
    Embedded,
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer, or none that this version can read.
    #[error(transparent)]
    Read(#[from] LedgerError),
    /// The same, about the calls.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl ShowError {
    /// Whether waiting may help, as nobody answered.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Unreachable { .. })
            | Self::Read(LedgerError::Unavailable(_))
            | Self::History(_) => true,
            Self::Embedded | Self::Connect(_) | Self::Read(_) => false,
        }
    }

    /// Whether it is the configuration that must be changed.
    #[must_use]
    pub fn is_config(&self) -> bool {
        match self {
            Self::Embedded => true,
            Self::Connect(error) => error.is_misconfigured(),
            Self::Read(_) | Self::History(_) => false,
        }
    }
}

/// Reads one job's entry and changes nothing.
///
/// # Errors
///
/// [`ShowError`].
pub async fn show(config: &Config, key: &JobKey) -> Result<Remembered, ShowError> {
    let clock = SystemClock::new();
    let inspector = inspector(config).await?;
    let entry = inspector.read(key).await?;
    let calls = inspector.calls(key).await?;
    Ok(Remembered {
        entry,
        calls,
        read_at: clock.now(),
    })
}

/// Connects to the ledger's server to read from it.
///
/// # Errors
///
/// [`ShowError`], but for [`ShowError::Read`].
pub(crate) async fn inspector(config: &Config) -> Result<RedisInspector, ShowError> {
    let options = redis_options(config).ok_or(ShowError::Embedded)?;
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Ok(RedisInspector::connect(options, clock, random).await?)
}
