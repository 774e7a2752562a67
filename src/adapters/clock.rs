//! The system's clocks: the only place that reads them.

use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

use crate::domain::time::{Monotonic, UnixMillis, millis};
use crate::ports::clock::Clock;

/// The wall clock and the monotonic clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero. Instants of two clocks do not compare: make one for the
    /// whole process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clocks"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    /// A wall clock set before 1970 reads as 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clocks"
    )]
    fn now(&self) -> UnixMillis {
        let since_1970 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixMillis(millis(since_1970))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.started.elapsed())
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[cfg(test)]
mod tests {
    use super::SystemClock;
    use crate::domain::time::UnixMillis;
    use crate::ports::clock::Clock;

    #[test]
    fn the_wall_clock_is_past_the_day_this_was_written_and_the_monotonic_one_starts_near_zero() {
        let clock = SystemClock::new();
        assert!(clock.now() > UnixMillis(1_763_000_000_000));
        let first = clock.monotonic();
        assert!(first.0.as_secs() < 60);
        assert!(clock.monotonic() >= first);
    }
}
