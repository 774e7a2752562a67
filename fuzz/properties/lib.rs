//! What must hold for bytes from outside, whatever they are: one function per kind of bytes, which
//! panics with what does not hold.
//!
//! The fuzz targets call these functions with libFuzzer's bytes. The stable test suite includes
//! the same files and calls them with the seeds and with generated cases. Each function compares
//! with a second reading that is written from the documents, not from the product's code.

pub mod answer;
pub mod config;
pub mod job_body;
pub mod json;
pub mod key_text;
pub mod ledger_value;
pub mod money;
pub mod notification;
pub mod params;
