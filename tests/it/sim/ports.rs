//! The ports of one replica: they reach the town's servers through everything that can go wrong.

mod broker;
mod gateway;
mod ledger;

pub(crate) use broker::SimBroker;
pub(crate) use gateway::SimGateway;
pub(crate) use ledger::SimLedger;
