//! The connection of a producer or an operator: never one that takes jobs.

use std::error::Error;

use crate::adapters::rabbitmq::client::{Acknowledged, EventStream};
use crate::adapters::rabbitmq::{ConnectError, RabbitmqOptions};
use crate::adapters::redis_ledger;
use crate::app::assembly::rabbitmq_options;
use crate::app::config::Config;

pub use crate::adapters::rabbitmq::client::WatchedEvent;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `memory:` lives inside the daemon's own process.
    #[error(
        "{key} is \"memory:\", which lives inside the daemon alone; name a real server to reach it from another process"
    )]
    Embedded {
        /// The key of the configuration.
        key: &'static str,
    },
    /// The exchange is not there.
    #[error(
        "RabbitMQ has no exchange \"{name}\": start `hongbaod run` once, it declares everything"
    )]
    NotDeclared {
        /// Its name.
        name: String,
    },
    /// No connection.
    #[error(transparent)]
    Connect(ConnectError),
}

impl ClientError {
    /// Whether waiting may help, as nobody answered.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Unreachable { .. }) => true,
            Self::Connect(_) | Self::Embedded { .. } | Self::NotDeclared { .. } => false,
        }
    }

    /// Whether it is the configuration that must be changed.
    #[must_use]
    pub fn is_config(&self) -> bool {
        match self {
            Self::Embedded { .. } => true,
            Self::Connect(error) => error.is_misconfigured(),
            Self::NotDeclared { .. } => false,
        }
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        match error.missing_object() {
            Some(name) => Self::NotDeclared {
                name: name.to_owned(),
            },
            None => Self::Connect(error),
        }
    }
}

/// Subscribes to the outcome events whose routing key matches `pattern`: `#` for all,
/// `disburse.*`, `*.failed`.
///
/// # Errors
///
/// [`ClientError`].
pub async fn watch(config: &Config, pattern: &str) -> Result<EventStream, ClientError> {
    let options = broker_options(config, "hongbaod watch")?;
    Ok(EventStream::connect(&options, pattern, Acknowledged::Each).await?)
}

/// Tells whether an error of a start is that a server does not answer, so that waiting may help.
#[must_use]
pub fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    let rabbitmq = error.downcast_ref::<ConnectError>();
    let redis = error.downcast_ref::<redis_ledger::ConnectError>();
    matches!(rabbitmq, Some(ConnectError::Unreachable { .. }))
        || matches!(redis, Some(redis_ledger::ConnectError::Unreachable { .. }))
}

/// Tells whether an error of a start is that the configuration does not fit the server: a wrong
/// address, user or password.
#[must_use]
pub fn is_misconfigured(error: &(dyn Error + 'static)) -> bool {
    let rabbitmq = error.downcast_ref::<ConnectError>();
    let redis = error.downcast_ref::<redis_ledger::ConnectError>();
    rabbitmq.is_some_and(ConnectError::is_misconfigured)
        || redis.is_some_and(redis_ledger::ConnectError::is_misconfigured)
}

/// How to reach the broker, under a name that its management page shows.
///
/// # Errors
///
/// [`ClientError::Embedded`].
pub(crate) fn broker_options(config: &Config, name: &str) -> Result<RabbitmqOptions, ClientError> {
    let key = "rabbitmq.urls";
    let mut options = rabbitmq_options(config).ok_or(ClientError::Embedded { key })?;
    name.clone_into(&mut options.connection_name);
    Ok(options)
}
