//! A monotonic clock that does not keep up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::clock::Clock;

/// Passes time so many times more slowly for whoever holds a lease.
pub(crate) struct SlowClock {
    pub(crate) inner: Arc<dyn Clock>,
    pub(crate) slowness: u32,
}

#[async_trait]
impl Clock for SlowClock {
    fn now(&self) -> UnixMillis {
        self.inner.now()
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.inner.monotonic().0 / self.slowness)
    }
    async fn sleep(&self, length: Duration) {
        self.inner.sleep(length).await;
    }
}
