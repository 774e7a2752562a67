//! The simulated Alipay over real loopback HTTP, seen by a small client of its own.

mod answers;
mod client;
mod console;
mod deadlines;
mod faults;
mod keys;
mod notices;
mod orders;
mod protocol;
