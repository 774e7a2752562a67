//! Real faults on real servers: processes killed and frozen, connections cut, stalled and closed
//! by halves.

pub(crate) mod proxy;
mod storm;
