//! Knobs for notifications.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most copies of one delivery.
pub(super) const COPIES_MAX: u8 = 8;

/// How notifications are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoticeKnobs {
    /// How often each delivery is sent at the same time, 1 to 8; all bear one `notify_id`.
    pub copies: u8,
    /// How long after the money moved the first delivery goes out, in milliseconds of the
    /// sandbox's clock.
    pub delay_ms: u64,
    /// In which order notifications that are due together go out.
    pub order: NoticeOrder,
    /// Their charset.
    pub charset: NoticeCharset,
    /// What becomes of members without a value.
    pub nulls: Nulls,
    /// Whether the first delivery has ended before the call that caused it is answered.
    pub moment: Moment,
}

impl NoticeKnobs {
    /// How long after the money moved the first delivery goes out.
    pub(in crate::sandbox) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

impl Default for NoticeKnobs {
    fn default() -> Self {
        Self {
            copies: 1,
            delay_ms: 0,
            order: NoticeOrder::default(),
            charset: NoticeCharset::default(),
            nulls: Nulls::default(),
            moment: Moment::default(),
        }
    }
}

/// In which order notifications that are due together go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeOrder {
    /// All at once.
    #[default]
    Together,
    /// One after the other, the newest first.
    NewestFirst,
}

/// The charset of notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCharset {
    /// The charset of the call that is told of.
    #[default]
    AsRequested,
    /// GBK.
    Gbk,
    /// GBK, and no `charset` says so.
    GbkUnsaid,
}

/// What becomes of a notification's members without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// They are left out.
    #[default]
    Absent,
    /// They are there, and their value is the text `null`.
    Literal,
}

/// When the first delivery is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// At about the time of the answer: it may come before or after it.
    #[default]
    Anytime,
    /// Before the answer: the call is not answered until the delivery has ended.
    BeforeAnswer,
}
