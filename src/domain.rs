//! The nouns of the product, in the order in which one meets them.
//!
//! - [`money`]: [`Fen`](money::Fen), an amount
//! - [`time`]: [`UnixMillis`](time::UnixMillis), an instant of the wall clock; lengths of time as text
//! - [`backoff`]: the waits between attempts to reach a server
//! - [`causes`]: an error as one line
//! - [`budget`]: what the spend guard counts, over which windows
//! - [`ident`]: the numbers and names that Alipay, producers and operators give to things
//! - [`job`]: what a producer asks
//! - [`lane`]: the queues in which the jobs of a kind wait
//! - [`draft`]: how a job is made from fields, with every mistake named
//! - [`verdict`]: what one call to Alipay told us
//! - [`outcome`]: the final fact of a job, and everything else we tell the world
//! - [`entry`]: what the ledger remembers of a job
//! - [`notice`]: what Alipay says of an operation without being asked
//! - [`trace`]: which trace a job's message belongs to
//! - [`switch`]: what an operator has paused
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows a wire format.
#![deny(clippy::arithmetic_side_effects)]

pub mod backoff;
pub mod budget;
pub mod causes;
pub mod draft;
pub mod entry;
pub mod ident;
pub mod job;
pub mod lane;
pub mod money;
pub mod notice;
pub mod outcome;
pub mod switch;
pub mod time;
pub mod trace;
pub mod verdict;
