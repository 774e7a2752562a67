//! The simulated Alipay over real loopback HTTP, seen by a small client of its own.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod client;
mod console;
mod faults;
mod protocol;
