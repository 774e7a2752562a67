//! Build the adapters from the configuration, start the worker and the servers, drain on stop.

pub mod admin_server;
pub mod alipay_setup;
pub mod assembly;
pub mod bench;
pub mod budget;
pub mod check;
pub mod client;
pub mod codes;
pub mod config;
pub mod daemon;
pub mod digest;
pub mod embedded;
pub mod job_body;
pub mod key_watch;
pub mod logging;
pub mod metrics;
pub mod notify_server;
pub mod order_signing;
pub mod outcome_event;
pub mod show;
pub mod shutdown;
pub mod submission;
pub mod wall_clock;
pub mod witness;
pub mod worker;
