//! The tables `[ledger]`, `[retry]` and `[pacing]`: how jobs are remembered, repeated and paced.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::app::config::reader::Reader;
use crate::app::config::values::Fault;
use crate::domain::time::format_duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Shortest memory of settled jobs. It must outlast the longest retry rung (one day) with room
/// for a queue that stands still over a weekend.
const RETENTION_MIN: Duration = DAY.saturating_mul(3);

/// `[ledger]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// How long a claim holds; at least 4/3 of [`super::AlipayConfig::timeout`].
    pub lease: Duration,
    /// How long an unsettled job may be overdue before it is published again.
    pub rescue_after: Duration,
    /// How long the ledger is doubted after it may have lost its memory.
    pub doubt: Duration,
    /// Replicas that must hold a negative outcome before it is announced, 0 to 10.
    pub replicas_min: u32,
    /// How long a settled job is remembered, at least 3 days.
    pub retention: Duration,
}

/// `[retry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// The first delay.
    pub delay_min: Duration,
    /// The longest delay; more than [`Self::delay_min`].
    pub delay_max: Duration,
    /// What each delay is to the one before, in thousandths: 2,000 doubles. 1,001 to 10,000.
    pub multiplier_permille: u32,
    /// How long an answer stays unknown before an `unresolved` event goes out.
    pub unresolved_after: Duration,
    /// Answers "not found" that are needed before the same request is sent again.
    pub absence_confirmations: NonZeroU32,
    /// The least time between the first and the last of them; at least
    /// [`LedgerConfig::lease`].
    pub absence_window: Duration,
    /// Attempts of a query job before `unresolved` is its last word.
    pub query_attempts: NonZeroU32,
}

/// `[pacing]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacingConfig {
    /// Requests per second, per app and method, over all replicas; 1 to 100,000.
    pub requests_per_second: NonZeroU32,
    /// The floor of the calls in flight per app in one replica.
    pub concurrency_min: NonZeroU32,
    /// Their ceiling, not below the floor.
    pub concurrency_max: NonZeroU32,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            lease: SECOND.saturating_mul(20),
            rescue_after: MINUTE.saturating_mul(10),
            doubt: MINUTE.saturating_mul(10),
            replicas_min: 0,
            retention: DAY.saturating_mul(7),
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(500),
            delay_max: MINUTE.saturating_mul(17),
            multiplier_permille: 2_000,
            unresolved_after: MINUTE.saturating_mul(10),
            absence_confirmations: NonZeroU32::MIN.saturating_add(1),
            absence_window: SECOND.saturating_mul(30),
            query_attempts: NonZeroU32::MIN.saturating_add(9),
        }
    }
}

impl Default for PacingConfig {
    fn default() -> Self {
        Self {
            requests_per_second: NonZeroU32::MIN.saturating_add(99),
            concurrency_min: NonZeroU32::MIN.saturating_add(3),
            concurrency_max: NonZeroU32::MIN.saturating_add(255),
        }
    }
}

impl LedgerConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        Self {
            lease: reader.duration("ledger.lease", default.lease, SECOND..=HOUR),
            rescue_after: reader.duration(
                "ledger.rescue_after",
                default.rescue_after,
                SECOND.saturating_mul(5)..=DAY,
            ),
            // No doubt at all would resend after a lost memory without asking first.
            doubt: reader.duration("ledger.doubt", default.doubt, MINUTE..=DAY),
            replicas_min: reader.number("ledger.replicas_min", default.replicas_min, 0..=10),
            retention: reader.duration(
                "ledger.retention",
                default.retention,
                RETENTION_MIN..=DAY.saturating_mul(365),
            ),
        }
    }
}

impl RetryConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let retry = Self {
            delay_min: reader.duration(
                "retry.delay_min",
                default.delay_min,
                Duration::from_millis(1)..=HOUR,
            ),
            delay_max: reader.duration("retry.delay_max", default.delay_max, SECOND..=DAY),
            multiplier_permille: reader.permille(
                "retry.multiplier",
                default.multiplier_permille,
                1_001..=10_000,
            ),
            unresolved_after: reader.duration(
                "retry.unresolved_after",
                default.unresolved_after,
                MINUTE..=DAY,
            ),
            absence_confirmations: reader.count(
                "retry.absence_confirmations",
                default.absence_confirmations,
                100,
            ),
            absence_window: reader.duration(
                "retry.absence_window",
                default.absence_window,
                SECOND..=DAY,
            ),
            query_attempts: reader.count("retry.query_attempts", default.query_attempts, 1_000),
        };
        if retry.delay_min >= retry.delay_max {
            let [min, max] = [retry.delay_min, retry.delay_max].map(format_duration);
            let fault = format!("{min} is not less than retry.delay_max ({max})");
            let remedy = format!("write less than \"{max}\", or raise retry.delay_max");
            let keys = ["retry.delay_min", "retry.delay_max"];
            reader.conflict(keys, Fault::new(fault, remedy));
        }
        retry
    }
}

impl PacingConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let keys = ["pacing.concurrency_min", "pacing.concurrency_max"];
        let pacing = Self {
            requests_per_second: reader.count(
                "pacing.requests_per_second",
                default.requests_per_second,
                100_000,
            ),
            concurrency_min: reader.count(keys[0], default.concurrency_min, 10_000),
            concurrency_max: reader.count(keys[1], default.concurrency_max, 10_000),
        };
        let (min, max) = (pacing.concurrency_min, pacing.concurrency_max);
        if min > max {
            let fault = format!("{min} is more than pacing.concurrency_max ({max})");
            let remedy = format!("write at most {max}, or raise pacing.concurrency_max");
            reader.conflict(keys, Fault::new(fault, remedy));
        }
        pacing
    }
}
