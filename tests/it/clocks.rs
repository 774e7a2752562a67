//! Clocks that pass faster or slower than the runtime's, for what waits by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::clock::{Clock, Random};

/// Every wait takes this share of its time, in thousandths, and the clock goes accordingly.
pub(crate) struct ScaledClock {
    permille: u32,
    start: tokio::time::Instant,
}

impl ScaledClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a clock of the tests, on the runtime's time"
    )]
    pub(crate) fn new(permille: u32) -> Arc<Self> {
        Arc::new(Self {
            permille,
            start: tokio::time::Instant::now(),
        })
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0).plus(self.monotonic().0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed() * 1_000 / self.permille)
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length * self.permille / 1_000).await;
    }
}

/// Every wait takes a twentieth of its time, and whatever lies between two looks at the clock
/// seems to have lasted an hour.
#[derive(Default)]
pub(crate) struct HastyClock {
    looks: AtomicU64,
}

#[async_trait]
impl Clock for HastyClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Monotonic {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        Monotonic(Duration::from_secs(3_600 * looks))
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length / 20).await;
    }
}

/// Chance that is none: every wait before an attempt to connect is the shortest.
pub(crate) struct LeastChance;

impl Random for LeastChance {
    fn next_u64(&self) -> u64 {
        0
    }
}

/// How long `work` took by the runtime's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a test measures a real broker's delay"
)]
pub(crate) async fn elapsed(work: impl Future<Output = ()>) -> Duration {
    let start = tokio::time::Instant::now();
    work.await;
    start.elapsed()
}
