//! Time and chance as arguments.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::time::{Monotonic, UnixMillis};

/// The two clocks, and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock: what is stored and shown. It may jump.
    fn now(&self) -> UnixMillis;

    /// The monotonic clock: what leases are held by. It never goes back.
    fn monotonic(&self) -> Monotonic;

    /// Waits for `length`.
    async fn sleep(&self, length: Duration);
}

/// Chance.
pub trait Random: Send + Sync {
    /// 64 random bits, good enough that lease tokens never meet.
    fn next_u64(&self) -> u64;
}
