//! Build the adapters from the configuration, start the worker and the servers, drain on stop.

pub mod config;
pub mod digest;
pub mod job_body;
pub mod outcome_event;
