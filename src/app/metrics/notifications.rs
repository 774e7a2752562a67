//! What became of each notification: the label `result`.

use crate::app::worker::{Noted, Unnoted};
use crate::ports::notifications::NotificationError;

/// How a notification was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotificationResult {
    /// It was dealt with, and answered `success`.
    Noted(Noted),
    /// It is true, and Alipay shall repeat it.
    Unnoted(Postponed),
    /// It is not true, or nothing can be done with it.
    Refused(NotificationError),
    /// It was not even read.
    Unread(Unread),
}

/// Why a true notification is not dealt with yet; the words of [`Unnoted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Postponed {
    /// [`Unnoted::Doubtful`].
    Doubtful,
    /// [`Unnoted::Ledger`].
    Ledger,
    /// [`Unnoted::Broker`].
    Broker,
    /// [`Unnoted::TimedOut`].
    TimedOut,
}

/// Why a request was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Its source sends too many.
    RateLimited,
    /// Too many are being dealt with.
    Busy,
    /// Its body is too long.
    TooLarge,
    /// Its body did not come in time, or was cut off.
    Incomplete,
}

impl NotificationResult {
    /// Every result.
    pub const ALL: [Self; 22] = [
        Self::Noted(Noted::Settled),
        Self::Noted(Noted::Told),
        Self::Noted(Noted::Known),
        Self::Noted(Noted::Contradicted),
        Self::Noted(Noted::NothingToTell),
        Self::Unnoted(Postponed::Doubtful),
        Self::Unnoted(Postponed::Ledger),
        Self::Unnoted(Postponed::Broker),
        Self::Unnoted(Postponed::TimedOut),
        Self::Refused(NotificationError::UnknownApp),
        Self::Refused(NotificationError::NotAForm),
        Self::Refused(NotificationError::Duplicate),
        Self::Refused(NotificationError::Ambiguous),
        Self::Refused(NotificationError::Unsigned),
        Self::Refused(NotificationError::Forged),
        Self::Refused(NotificationError::Foreign),
        Self::Refused(NotificationError::Charset),
        Self::Refused(NotificationError::Unreadable { field: "" }),
        Self::Unread(Unread::RateLimited),
        Self::Unread(Unread::Busy),
        Self::Unread(Unread::TooLarge),
        Self::Unread(Unread::Incomplete),
    ];

    /// The result's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noted(Noted::Settled) => "settled",
            Self::Noted(Noted::Told) => "told",
            Self::Noted(Noted::Known) => "known",
            Self::Noted(Noted::Contradicted) => "contradicted",
            Self::Noted(Noted::NothingToTell) => "nothing_to_tell",
            Self::Unnoted(Postponed::Doubtful) => "doubtful",
            Self::Unnoted(Postponed::Ledger) => "ledger_away",
            Self::Unnoted(Postponed::Broker) => "broker_away",
            Self::Unnoted(Postponed::TimedOut) => "timed_out",
            Self::Refused(NotificationError::UnknownApp) => "unknown_app",
            Self::Refused(NotificationError::NotAForm) => "not_a_form",
            Self::Refused(NotificationError::Duplicate) => "duplicate",
            Self::Refused(NotificationError::Ambiguous) => "ambiguous",
            Self::Refused(NotificationError::Unsigned) => "unsigned",
            Self::Refused(NotificationError::Forged) => "forged",
            Self::Refused(NotificationError::Foreign) => "foreign",
            Self::Refused(NotificationError::Charset) => "charset",
            Self::Refused(NotificationError::Unreadable { .. }) => "unreadable",
            Self::Unread(Unread::RateLimited) => "rate_limited",
            Self::Unread(Unread::Busy) => "busy",
            Self::Unread(Unread::TooLarge) => "too_large",
            Self::Unread(Unread::Incomplete) => "incomplete",
        }
    }
}

impl From<&Unnoted> for Postponed {
    fn from(unnoted: &Unnoted) -> Self {
        match unnoted {
            Unnoted::Doubtful => Self::Doubtful,
            Unnoted::Ledger(_) => Self::Ledger,
            Unnoted::Broker(_) => Self::Broker,
            Unnoted::TimedOut => Self::TimedOut,
        }
    }
}
