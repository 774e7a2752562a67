//! The real binary in processes of its own, on real RabbitMQ and real Redis, with the sandbox as
//! its Alipay; at the end of each run the bank, the events, the dead letters and the queues are
//! compared job by job.

mod agreement;
mod bad_start;
mod books;
pub(crate) mod broker;
mod crash;
pub(crate) mod plan;
pub(crate) mod process;
mod quiet;
mod server_loss;
mod termination;
pub(crate) mod world;
