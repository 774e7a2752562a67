//! The time of day for whoever is handed a clock and may not read one.

use crate::adapters::clock::SystemClock;
use crate::domain::time::UnixMillis;
use crate::ports::clock::Clock;

/// Returns the present instant of this machine's wall clock.
#[must_use]
pub fn now() -> UnixMillis {
    SystemClock::new().now()
}
