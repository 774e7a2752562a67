//! Everything that is tested across a boundary, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy lets tests panic, but not the functions that tests share"
)]

mod ledger_contract;
mod ledger_entries;
mod openssl;
mod redis_ledger;
mod redis_server;
mod servers;
