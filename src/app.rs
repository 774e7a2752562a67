//! Build the adapters from the configuration, start the worker and the servers, drain on stop.

pub mod config;
