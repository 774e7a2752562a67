//! The contracts with those who write jobs and read events: JSON Schemas and an AsyncAPI document.
//!
//! They are made of the types that the daemon itself works with: fields and limits of
//! [`crate::domain::draft`], the keys that [`crate::app::outcome_event`] writes, the exchanges and
//! queues that the broker's adapter declares. The copies in `docs/contract/` are compared with them.

mod asyncapi;
mod event;
mod job;
mod node;
mod pattern;

use crate::adapters::rabbitmq::Topology;
use crate::app::assembly::rabbitmq_options;
use crate::app::config::Config;
use crate::app::contract::node::Node;

pub use crate::app::contract::event::Growth;

/// The dialect of the schemas.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The embedded broker has no exchanges for others.
    #[error("rabbitmq.urls is \"memory:\", which has no exchanges and queues to describe")]
    Embedded,
    /// A name over AMQP's 255 bytes.
    #[error("the name \"{0}\" is longer than AMQP allows")]
    Name(String),
}

/// The JSON Schema of jobs.
#[must_use]
pub fn job_schema() -> String {
    text(&job::schema())
}

/// The JSON Schema of outcome events: for consumers, who have to bear what later versions add, or
/// for tests that want to notice it.
#[must_use]
pub fn event_schema(growth: Growth) -> String {
    text(&event::schema(growth))
}

/// The AsyncAPI document of the exchanges and queues that `config` names.
///
/// # Errors
///
/// [`ContractError`].
pub fn asyncapi(config: &Config) -> Result<String, ContractError> {
    let options = rabbitmq_options(config).ok_or(ContractError::Embedded)?;
    let topology = Topology::new(&options).map_err(ContractError::Name)?;
    Ok(text(&asyncapi::document(&topology.outline())))
}

/// The document with a line end, as it is printed and committed.
fn text(node: &Node) -> String {
    // Texts as keys and numbers as values: nothing here can fail to be written.
    let mut text = serde_json::to_string_pretty(node).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
