//! The translations: each file speaks with one outside party in its own terms.

pub mod memory_broker;
pub mod rabbitmq;
