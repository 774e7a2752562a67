//! The servers go wrong while the real binary works: what they forget, lose or refuse must not
//! cost a payment, nor a second one. Processes are killed and frozen, connections cut, stalled and
//! closed by halves.

mod cluster;
mod forwarder;
mod full_redis;
mod ledger_memory;
mod proxy;
mod redis_failover;
mod storm;
