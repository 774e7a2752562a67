//! The translations between the ports and the outside world. Lists the adapters; nothing else.

pub mod alipay;
pub mod audit_file;
pub mod clock;
pub mod memory_broker;
pub mod memory_budget;
pub mod memory_history;
pub mod memory_ledger;
pub mod rabbitmq;
pub mod random;
pub mod redis_ledger;
