//! The runtime's clock, which tests can also stop, as the port's; and chance that is none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::clock::{Clock, Random};

pub(crate) struct RuntimeClock;

impl RuntimeClock {
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Clock for RuntimeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::ZERO)
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

pub(crate) struct NoChance;

impl Random for NoChance {
    fn next_u64(&self) -> u64 {
        0
    }
}
