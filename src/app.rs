//! Build the adapters from the configuration, start the worker and the servers, drain on stop.

pub mod admin_server;
pub mod config;
pub mod digest;
pub mod job_body;
pub mod logging;
pub mod metrics;
pub mod outcome_event;
