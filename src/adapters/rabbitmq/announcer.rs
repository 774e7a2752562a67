//! Publishing outcome events for an operator, who takes no jobs.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::rabbitmq::client::expect_exchange;
use crate::adapters::rabbitmq::connection::{ConnectError, Dialer, Purpose};
use crate::adapters::rabbitmq::publisher::Link;
use crate::adapters::rabbitmq::supervisor::close;
use crate::adapters::rabbitmq::topology::Topology;
use crate::adapters::rabbitmq::{RabbitmqOptions, event_message, reply_message, topology_of};
use crate::domain::entry::ReturnAddress;
use crate::ports::broker::{EventMessage, PublishError};

/// Publishes outcome events as the worker does.
pub struct Announcer {
    link: Link,
    topology: Arc<Topology>,
    confirm_timeout: Duration,
}

impl Announcer {
    /// Connects. The exchange must be there: `hongbaod run` declares it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(options: &RabbitmqOptions) -> Result<Self, ConnectError> {
        let topology = topology_of(options)?;
        let connection = Dialer::new(options)?.open(Purpose::Publish).await?;
        expect_exchange(&connection, &topology.outcomes).await?;
        Ok(Self {
            link: Link::new(connection),
            topology,
            confirm_timeout: options.confirm_timeout,
        })
    }

    /// Publishes an event to everybody and waits for the confirm.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        let message = event_message(&self.topology, event)?;
        self.link.publish(message, self.confirm_timeout).await
    }

    /// Publishes a copy of an event to one queue.
    ///
    /// # Errors
    ///
    /// [`PublishError::Unroutable`] when the queue is gone, else as the other.
    pub async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        let message = reply_message(&self.topology, event, address)?;
        self.link.publish(message, self.confirm_timeout).await
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(self.link.connection()).await;
    }
}
