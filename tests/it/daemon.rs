//! The real binary in processes of its own, on real RabbitMQ and real Redis, with the sandbox as
//! its Alipay; at the end of each run the bank, the events, the dead letters and the queues are
//! compared job by job.

pub(crate) mod agreement;
mod audit;
mod bad_start;
pub(crate) mod books;
pub(crate) mod broker;
mod crash;
mod orphans;
mod pausing;
pub(crate) mod plan;
pub(crate) mod process;
mod quiet;
mod reconcile;
mod rotation;
mod server_loss;
mod termination;
mod tls;
mod upgrade;
pub(crate) mod world;
