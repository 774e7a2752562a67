//! How long to wait before the next call: the one place that uses the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// After the doubling, so many waits of [`RetryPolicy::HOURLY`] follow; then [`RetryPolicy::DAILY`].
const HOURLY_WAITS: u32 = 24;

/// The waits grow for so many steps at most; a multiplier of 1.001 from 500 ms to 17 min takes 7,600.
const GROWING_WAITS_MAX: usize = 10_000;

/// How waits grow. Made by [`RetryPolicy::new`], which checks the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    delay_min: Duration,
    delay_max: Duration,
    multiplier_permille: u32,
    /// How many waits it takes to grow to the greatest delay, that one included.
    growing: u32,
    /// How many waits there are before the hourly ones.
    frequent: u32,
}

/// Why numbers make no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    /// The least delay is zero or above the greatest.
    #[error("the least delay must be above zero and not above the greatest")]
    Delays,
    /// The multiplier does not make waits grow, or makes them jump.
    #[error("the multiplier must be above 1 and at most 10")]
    Multiplier,
}

impl RetryPolicy {
    /// The wait once the doubling has reached its end.
    pub const HOURLY: Duration = Duration::from_secs(60 * 60);
    /// The wait after a day of hourly waits.
    pub const DAILY: Duration = Duration::from_secs(24 * 60 * 60);
    /// The longest wait of a job of which certainly nothing was sent: it has no reason to stay
    /// away once the lane is open again.
    pub const UNSENT_MAX: Duration = Duration::from_secs(30);

    /// Makes a policy; `multiplier_permille` is 1001 to 10000 (2000 doubles).
    ///
    /// # Errors
    ///
    /// [`RetryPolicyError`] when a number is out of range.
    pub fn new(
        delay_min: Duration,
        delay_max: Duration,
        multiplier_permille: u32,
    ) -> Result<Self, RetryPolicyError> {
        if delay_min.is_zero() || delay_min > delay_max {
            return Err(RetryPolicyError::Delays);
        }
        if !(1001..=10_000).contains(&multiplier_permille) {
            return Err(RetryPolicyError::Multiplier);
        }
        let mut policy = Self {
            delay_min,
            delay_max,
            multiplier_permille,
            growing: 0,
            frequent: 0,
        };
        policy.growing = policy.growing_waits();
        policy.frequent = policy.frequent_waits();
        Ok(policy)
    }

    /// How long to wait after inconclusive answer number `inconclusive` (1-based).
    ///
    /// The wait grows from the least delay up to the greatest and stays there until an hour has
    /// passed in all; then it is an hour for a day, then a day for ever: an unknown payment is followed to its end. `jitter_permille` (0 to 1000,
    /// drawn by the caller) is the share of half the wait that is taken off, so that jobs which
    /// failed together come back apart. The result is never above the greatest delay of its
    /// stretch and never below half of the least.
    #[must_use]
    pub fn delay(&self, inconclusive: u32, jitter_permille: u16) -> Duration {
        let base = if inconclusive < self.growing {
            self.grown(inconclusive)
        } else if inconclusive <= self.frequent {
            self.delay_max
        } else if inconclusive <= self.frequent.saturating_add(HOURLY_WAITS) {
            Self::HOURLY.max(self.delay_max)
        } else {
            Self::DAILY
        };
        let off = (base / 2).saturating_mul(u32::from(jitter_permille.min(1000))) / 1000;
        base.saturating_sub(off)
    }

    /// As [`RetryPolicy::delay`], for a job of which certainly nothing was sent.
    #[must_use]
    pub fn delay_unsent(&self, inconclusive: u32, jitter_permille: u16) -> Duration {
        self.delay(inconclusive, jitter_permille)
            .min(Self::UNSENT_MAX)
    }

    /// The shortest of the growing waits that is not shorter than `length`; the greatest if none is.
    #[must_use]
    pub fn delay_for(&self, length: Duration) -> Duration {
        if length >= self.delay_max {
            return self.delay_max;
        }
        let reaching = self.waits().find(|wait| *wait >= length);
        reaching.unwrap_or(self.delay_max)
    }

    fn growing_waits(&self) -> u32 {
        let waits = self.waits().take_while(|wait| *wait < self.delay_max);
        u32::try_from(waits.count()).map_or(u32::MAX, |waits| waits.saturating_add(1))
    }

    /// The growing waits, and as many of the greatest as fill the first hour.
    fn frequent_waits(&self) -> u32 {
        let grown: Duration = self.waits().take_while(|wait| *wait < self.delay_max).sum();
        let left = Self::HOURLY.saturating_sub(grown);
        let more = left
            .as_millis()
            .div_ceil(self.delay_max.as_millis().max(1))
            .max(1);
        let before = self.growing.saturating_sub(1);
        before.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// The wait number `wait` of the growing stretch.
    fn grown(&self, wait: u32) -> Duration {
        let before = usize::try_from(wait.saturating_sub(1)).unwrap_or(usize::MAX);
        self.waits().nth(before).unwrap_or(self.delay_max)
    }

    /// The growing waits, through the `backoff` crate without its own randomness and without its
    /// own give-up time.
    #[expect(
        clippy::float_arithmetic,
        reason = "the crate wants its multiplier as a float; no money is in it"
    )]
    fn waits(&self) -> impl Iterator<Item = Duration> {
        let mut generator = ExponentialBackoff {
            current_interval: self.delay_min,
            initial_interval: self.delay_min,
            randomization_factor: 0.0,
            multiplier: f64::from(self.multiplier_permille) / 1000.0,
            max_interval: self.delay_max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        // The crate's cap can be passed by its rounding; clamp after it.
        let (least, greatest) = (self.delay_min, self.delay_max);
        std::iter::from_fn(move || generator.next_backoff())
            .map(move |wait| wait.clamp(least, greatest))
            .take(GROWING_WAITS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{RetryPolicy, RetryPolicyError};
    use std::time::Duration;

    fn policy() -> RetryPolicy {
        RetryPolicy::new(Duration::from_millis(500), Duration::from_secs(1020), 2000).unwrap()
    }

    #[test]
    fn the_wait_for_a_length_is_the_first_that_reaches_it() {
        for (length_ms, expected_ms) in [
            (0, 500),
            (500, 500),
            (501, 1_000),
            (35_000, 64_000),
            (512_000, 512_000),
            (512_001, 1_020_000),
            (86_400_000, 1_020_000),
        ] {
            let delay = policy().delay_for(Duration::from_millis(length_ms));
            assert_eq!(delay, Duration::from_millis(expected_ms), "{length_ms}");
        }
    }

    #[test]
    fn waits_double_for_an_hour_then_are_hourly_then_daily() {
        let hour = 3_600_000;
        for (inconclusive, expected_ms) in [
            (1, 500),
            (2, 1000),
            (3, 2000),
            (11, 512_000),
            (12, 1_020_000),
            (14, 1_020_000),
            (15, hour),
            (38, hour),
            (39, 24 * hour),
            (u32::MAX, 24 * hour),
        ] {
            assert_eq!(
                policy().delay(inconclusive, 0),
                Duration::from_millis(expected_ms),
                "{inconclusive}"
            );
        }
    }

    #[test]
    fn jitter_takes_off_at_most_half_and_never_adds() {
        for inconclusive in 1..60 {
            let whole = policy().delay(inconclusive, 0);
            for jitter in [0, 1, 500, 999, 1000, u16::MAX] {
                let delay = policy().delay(inconclusive, jitter);
                assert!(
                    delay <= whole && delay >= whole / 2,
                    "{inconclusive} {jitter} {delay:?}"
                );
            }
        }
    }

    #[test]
    fn the_slowest_growth_is_reckoned_once_and_ends() {
        let policy = |min| RetryPolicy::new(min, Duration::from_secs(1020), 1001).unwrap();
        let slow = policy(Duration::from_millis(500));
        assert!(slow.delay(7_000, 0) < Duration::from_secs(1020));
        assert_eq!(slow.delay(20_000, 0), RetryPolicy::DAILY);
        // A small greatest delay is kept for the first hour all the same.
        let brief =
            RetryPolicy::new(Duration::from_millis(50), Duration::from_millis(400), 2000).unwrap();
        assert_eq!(brief.delay(8_000, 0), Duration::from_millis(400));
        assert_eq!(brief.delay(9_010, 0), RetryPolicy::HOURLY);
        // Too small to grow at all: the steps are bounded all the same.
        let stuck = policy(Duration::from_nanos(1));
        assert_eq!(stuck.delay(u32::MAX, 0), RetryPolicy::DAILY);
    }

    #[test]
    fn an_unsent_job_never_stays_away_long() {
        assert_eq!(policy().delay_unsent(50, 0), RetryPolicy::UNSENT_MAX);
    }

    #[test]
    fn numbers_that_make_no_policy_are_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(
            RetryPolicy::new(Duration::ZERO, second, 2000),
            Err(RetryPolicyError::Delays)
        );
        assert_eq!(
            RetryPolicy::new(second * 2, second, 2000),
            Err(RetryPolicyError::Delays)
        );
        assert_eq!(
            RetryPolicy::new(second, second, 1000),
            Err(RetryPolicyError::Multiplier)
        );
        assert_eq!(
            RetryPolicy::new(second, second, 10_001),
            Err(RetryPolicyError::Multiplier)
        );
    }
}
