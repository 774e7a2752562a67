//! What the spend guard needs of whoever counts what all replicas pay out together.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::budget::Counter;
use crate::domain::job::{Fingerprint, JobKey};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// How much longer than its window a counter is kept: clocks of replicas may differ by so much.
pub const LIFE_AFTER: Duration = Duration::from_secs(10 * 60);

/// The most counters of one job: three scopes, three windows.
pub const COUNTERS_MAX: usize = 9;

/// The sums that all replicas share.
///
/// The windows are named by whoever asks, by its own clock: a clock that is wrong puts a payment into
/// a neighbouring window, and no window ever holds more than its cap.
#[async_trait]
pub trait Budget: Send + Sync {
    /// Adds the amount to all counters of the spending or, if a cap would be exceeded, to none.
    ///
    /// What the same job was counted in already is not added to again, nor held against its cap. So a
    /// job is counted once in each window, however often it is asked for; in later windows it is
    /// counted anew.
    ///
    /// # Errors
    ///
    /// [`BudgetError`]: it may have been counted all the same. Asking again is free then.
    async fn draw(&self, spending: &Spending) -> Result<Reservation, BudgetError>;

    /// Takes the amount out of those counters of the spending that this very job was counted in, and
    /// forgets that it was; sums never get below zero. For a job that is never sent again.
    ///
    /// # Errors
    ///
    /// [`BudgetError`]: the amount may stay counted.
    async fn give_back(&self, spending: &Spending) -> Result<(), BudgetError>;
}

/// What one job would pay out, and where that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The job.
    pub key: JobKey,
    /// Of the job: another one under its number is counted by itself.
    pub fingerprint: Fingerprint,
    /// How much.
    pub amount: Fen,
    /// When, by the asker's clock; in all windows of `limits`.
    pub at: UnixMillis,
    /// The counters with their caps, at most [`COUNTERS_MAX`], each once.
    pub limits: Vec<Limit>,
    /// Whether caps hold.
    pub mode: Mode,
}

/// A counter and its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The counter.
    pub counter: Counter,
    /// The most that its sum may be.
    pub cap: Fen,
    /// The sum from which on it is warned of, in fen; not above the cap.
    pub warn_at_fen: u64,
}

/// Whether caps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No sum gets above its cap.
    Enforce,
    /// Everything is counted, and what would be over a cap is only told.
    Tell,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whether the job may be sent.
    pub grant: Grant,
    /// Each counter, in the order of [`Spending::limits`].
    pub counts: Vec<Count>,
}

/// Whether a job may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It is counted.
    Granted,
    /// It would exceed a cap: nothing was added.
    Refused,
}

/// How one counter stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The sum, in fen.
    pub spent_fen: u64,
    /// Whether the job is within the cap.
    pub fit: Fit,
    /// Whether the sum has reached what is warned of; told of each counter once.
    pub warned_now: bool,
}

/// Whether a job is within a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is.
    Within,
    /// It is not, and it is the first of which that is told in this window.
    OverFirst,
    /// It is not.
    OverAgain,
}

impl Fit {
    /// Whether the job is over the cap.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Within => false,
            Self::OverFirst | Self::OverAgain => true,
        }
    }
}

/// Nobody could be asked, or no answer came.
#[derive(Debug, thiserror::Error)]
#[error("count what is paid out")]
pub struct BudgetError(#[source] pub Box<dyn Error + Send + Sync>);
