//! Opening connections: several addresses, deadlines, and errors that say what to repair.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::rabbitmq::topology::{TopologyError, soft};
use crate::adapters::rabbitmq::{RabbitmqOptions, RabbitmqTls};

/// How long one address may take, from the first packet to an open connection. The client has no
/// deadline of its own: a stopped broker accepts TCP and never answers.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest frame, in bytes, unless an address says otherwise. The client keeps two buffers of 32
/// frames for each connection, 8 MiB with the broker's 128 KiB; a body may have any number of frames.
const FRAME_MAX: u32 = 32 * 1024;

/// How long the broker may take to answer on an open connection. Declaring all queues for the first
/// time takes it about a second.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address was given.
    #[error("no RabbitMQ address is configured")]
    NoAddress,
    /// An address cannot be read; its text may hold a password and is not repeated.
    #[error(
        "RabbitMQ address number {position} is not of the form amqp://user:password@host:port/vhost"
    )]
    Address {
        /// Counted from 1.
        position: usize,
    },
    /// The prefix makes names that AMQP does not allow.
    #[error("the name \"{name}\" is longer than 255 bytes")]
    Name {
        /// The name.
        name: String,
    },
    /// Nobody answered.
    #[error("reach RabbitMQ at {endpoint}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker does not accept user and password.
    #[error("RabbitMQ at {endpoint} refused the user name or the password")]
    Login {
        /// Host and port.
        endpoint: String,
    },
    /// The virtual host does not exist, or the user may not enter it.
    #[error("RabbitMQ at {endpoint} does not let us into the virtual host \"{vhost}\": {detail}")]
    VirtualHost {
        /// Host and port.
        endpoint: String,
        /// The virtual host.
        vhost: String,
        /// The broker's own sentence.
        detail: String,
    },
    /// An exchange or a queue is not as it must be.
    #[error("RabbitMQ's exchanges and queues are not as they must be")]
    Topology(#[source] TopologyError),
}

impl ConnectError {
    /// Whether it is the configuration that must be changed, not the broker.
    #[must_use]
    pub const fn is_misconfigured(&self) -> bool {
        match self {
            Self::NoAddress
            | Self::Address { .. }
            | Self::Name { .. }
            | Self::Login { .. }
            | Self::VirtualHost { .. } => true,
            Self::Unreachable { .. } | Self::Topology(_) => false,
        }
    }

    /// The name of the exchange or queue that is not there, if that is why.
    #[must_use]
    pub fn missing_object(&self) -> Option<&str> {
        let Self::Topology(TopologyError::Declare { name, source, .. }) = self else {
            return None;
        };
        let ErrorKind::ProtocolError(error) = source.kind() else {
            return None;
        };
        let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
        (*error.kind() == not_found).then_some(name)
    }

    /// The name of the exchange or queue that the user may not declare, if that is why.
    #[must_use]
    pub fn forbidden_object(&self) -> Option<&str> {
        let Self::Topology(TopologyError::Declare { name, source, .. }) = self else {
            return None;
        };
        let refused = soft(source).is_some_and(|(kind, _)| *kind == AMQPSoftError::ACCESSREFUSED);
        refused.then_some(name)
    }
}

/// Nothing came within the time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(crate) struct NoAnswer(pub(crate) Duration);

/// What a connection is for; each purpose has its own, since the broker stops reading from a
/// connection that publishes while it is short of memory or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Consume,
    Publish,
    Watch,
}

impl Purpose {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Publish => "publish",
            Self::Watch => "watch",
        }
    }
}

/// Where to connect, and as whom.
pub(crate) struct Dialer {
    addresses: Vec<Address>,
    tls: RabbitmqTls,
    connection_name: String,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// One broker; not `Debug` by derive, as it holds the password.
struct Address {
    uri: AMQPUri,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.endpoint())
    }
}

impl Address {
    fn parse(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        // The parser takes an IPv6 address for no host at all and would go to localhost.
        if text.contains('[') {
            return None;
        }
        let uri: AMQPUri = text.parse().ok()?;
        Some(Self { uri })
    }

    fn endpoint(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

impl Dialer {
    pub(crate) fn new(options: &RabbitmqOptions) -> Result<Self, ConnectError> {
        let heartbeat_s = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
        let mut addresses = Vec::with_capacity(options.urls.len());
        for (index, url) in options.urls.iter().enumerate() {
            let position = index.saturating_add(1);
            let mut address = Address::parse(url).ok_or(ConnectError::Address { position })?;
            address.uri.query.heartbeat = Some(heartbeat_s.max(1));
            address.uri.query.frame_max.get_or_insert(FRAME_MAX);
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        Ok(Self {
            addresses,
            tls: options.tls.clone(),
            connection_name: options.connection_name.clone(),
        })
    }

    /// Opens a connection to the first address that lets us in.
    ///
    /// # Errors
    ///
    /// The error of the last address, but one that asks for a repair rather than for waiting comes
    /// first.
    pub(crate) async fn open(&self, purpose: Purpose) -> Result<Connection, ConnectError> {
        let mut worst = ConnectError::NoAddress;
        for address in &self.addresses {
            match self.open_one(address, purpose).await {
                Ok(connection) => return Ok(connection),
                Err(error) if worst.asks_for_repair() => drop(error),
                Err(error) => worst = error,
            }
        }
        Err(worst)
    }

    async fn open_one(
        &self,
        address: &Address,
        purpose: Purpose,
    ) -> Result<Connection, ConnectError> {
        let name = format!("{} ({})", self.connection_name, purpose.as_str());
        // No automatic recovery: when its attempts run out, consumers hang silently for ever.
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        // Boxed: the handshake's future is large and every supervisor would carry it.
        let attempt: BoxFuture<'_, lapin::Result<Connection>> =
            Box::pin(self.connect(address, properties));
        match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(source)) => Err(ConnectError::of(address, source)),
            Err(_elapsed) => Err(ConnectError::Unreachable {
                endpoint: address.endpoint(),
                source: Box::new(NoAnswer(CONNECT_TIMEOUT)),
            }),
        }
    }
}

impl Dialer {
    async fn connect(
        &self,
        address: &Address,
        properties: ConnectionProperties,
    ) -> lapin::Result<Connection> {
        let identity = self.tls.identity.as_ref();
        let tls = OwnedTLSConfig {
            cert_chain: self.tls.ca.clone(),
            identity: identity.map(|(certificate, key)| OwnedIdentity::PKCS8 {
                pem: certificate.as_bytes().to_vec(),
                key: key.expose_secret().as_bytes().to_vec(),
            }),
        };
        let runtime = lapin::runtime::default_runtime()?;
        Connection::connect_uri_with_config(address.uri.clone(), properties, tls, runtime).await
    }
}

impl ConnectError {
    fn of(address: &Address, source: lapin::Error) -> Self {
        let endpoint = address.endpoint();
        if let ErrorKind::ProtocolError(error) = source.kind() {
            match error.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                    return Self::Login { endpoint };
                }
                // Source: RabbitMQ answers connection.open for a vhost that is missing or closed
                // to the user with 530 NOT_ALLOWED.
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH) => {
                    return Self::VirtualHost {
                        endpoint,
                        vhost: address.uri.vhost.clone(),
                        detail: error.get_message().as_str().to_owned(),
                    };
                }
                AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => {}
            }
        }
        Self::Unreachable {
            endpoint,
            source: Box::new(source),
        }
    }

    /// Whether waiting cannot help.
    fn asks_for_repair(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::Name { .. }
            | Self::Login { .. }
            | Self::VirtualHost { .. }
            | Self::Topology(_) => true,
            Self::NoAddress | Self::Unreachable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer(urls: &[&str]) -> Result<Dialer, ConnectError> {
        let mut options = RabbitmqOptions::new("t");
        options.urls = urls.iter().map(|url| SecretString::from(*url)).collect();
        Dialer::new(&options)
    }

    #[test]
    fn an_address_that_cannot_be_read_is_named_by_its_place_alone() {
        let table = [
            "http://a",
            "nonsense pa55",
            "amqp://u:pa55@[::1]:5672/%2f",
            "",
        ];
        for bad in table {
            let error = dialer(&["amqp://u:pa55@host:5672/%2f", bad]).unwrap_err();
            assert!(
                matches!(error, ConnectError::Address { position: 2 }),
                "{bad}: {error:?}"
            );
            assert!(!format!("{error:?} {error}").contains("pa55"));
        }
        assert!(matches!(dialer(&[]), Err(ConnectError::NoAddress)));
    }

    #[test]
    fn a_dialer_shows_no_password() {
        let dialer = dialer(&["amqp://user:pa55@host:5673/v"]).unwrap();
        let shown = format!("{dialer:?}");
        assert!(
            shown.contains("host:5673") && !shown.contains("pa55"),
            "{shown}"
        );
    }
}
