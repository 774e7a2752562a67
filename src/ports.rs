//! The needs: what the worker asks of the outside, in the domain's words.
//!
//! Each trait says in its docs what an implementation promises; the contract suites under
//! `tests/it` hold every implementation to it. No driver's type appears in a signature.

pub mod audit;
pub mod broker;
pub mod budget;
pub mod clock;
pub mod gateway;
pub mod history;
pub mod ledger;
pub mod notifications;
pub mod rate;
pub mod switches;
