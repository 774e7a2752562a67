//! What a benchmark needs of the broker: the events without acknowledging them, and a clean table
//! afterwards.

use bytes::Bytes;
use futures_util::StreamExt as _;
use lapin::options::BasicConsumeOptions;
use lapin::{Connection, Consumer};

use crate::adapters::rabbitmq::client::subscribe;
use crate::adapters::rabbitmq::connection::{ConnectError, Dialer, Purpose};
use crate::adapters::rabbitmq::supervisor::close;
use crate::adapters::rabbitmq::topology::{ObjectKind, TopologyError};
use crate::adapters::rabbitmq::{RabbitmqOptions, topology_of};

/// Every outcome event as it comes. Nothing is acknowledged, so that watching costs the broker
/// little: what is on its way when the stream ends is gone.
pub struct EventTap {
    connection: Connection,
    consumer: Consumer,
}

impl EventTap {
    /// Subscribes. The exchange must be there: `hongbaod run` declares it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(options: &RabbitmqOptions) -> Result<Self, ConnectError> {
        let topology = topology_of(options)?;
        let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
        let unacknowledged = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = subscribe(&connection, &topology.outcomes, "#".into(), unacknowledged)
            .await
            .map_err(|source| {
                ConnectError::Topology(TopologyError::Declare {
                    object: ObjectKind::Queue,
                    name: "of this benchmark".to_owned(),
                    source,
                })
            })?;
        Ok(Self {
            connection,
            consumer,
        })
    }

    /// The next event's body; `None` when the connection is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        let delivery = self.consumer.next().await?.ok()?;
        Some(Bytes::from(delivery.data))
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

/// Deletes every queue and exchange of `options.prefix`, with what is in them.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn clear(options: &RabbitmqOptions) -> Result<(), ConnectError> {
    let topology = topology_of(options)?;
    let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
    let deleted = topology.delete(&connection).await;
    close(&connection).await;
    deleted.map_err(ConnectError::Topology)
}
