//! The other side of the worker's queues, for operators: submitting jobs, watching outcomes.

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, Consumer, ExchangeKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::adapters::rabbitmq::connection::{ConnectError, Dialer, Purpose};
use crate::adapters::rabbitmq::publisher::Link;
use crate::adapters::rabbitmq::supervisor::close;
use crate::adapters::rabbitmq::topology::{ObjectKind, Topology, TopologyError};
use crate::adapters::rabbitmq::{RabbitmqOptions, job_message, topology_of};
use crate::ports::broker::{JobCopy, PublishError};

/// Unconfirmed jobs of a [`Producer`] at a time.
pub const WINDOW: usize = 256;

/// Events that an [`EventStream`] which acknowledges is sent ahead of its reader.
const EVENT_PREFETCH: u16 = 512;

/// Publishes jobs as any producer does.
pub struct Producer {
    link: Link,
    topology: Arc<Topology>,
    window: Semaphore,
    confirm_timeout: Duration,
}

impl Producer {
    /// Connects. The exchange must be there: `hongbaod run` declares it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(options: &RabbitmqOptions) -> Result<Self, ConnectError> {
        let topology = topology_of(options)?;
        let connection = Dialer::new(options)?.open(Purpose::Publish).await?;
        expect_exchange(&connection, &topology.jobs).await?;
        Ok(Self {
            link: Link::new(connection),
            topology,
            window: Semaphore::new(WINDOW),
            confirm_timeout: options.confirm_timeout,
        })
    }

    /// Publishes one job and waits for the confirm. Call it many times at once for speed; above
    /// [`WINDOW`] unconfirmed jobs the next one waits its turn.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; a job that was perhaps published may be published again, as its number
    /// makes the copies one job.
    pub async fn publish(&self, job: &JobCopy) -> Result<(), PublishError> {
        let _turn = self
            .window
            .acquire()
            .await
            .map_err(|closed| PublishError::Unavailable(Box::new(closed)))?;
        let message = job_message(&self.topology, job);
        self.link.publish(message, self.confirm_timeout).await
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(self.link.connection()).await;
    }
}

/// An outcome event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedEvent {
    /// `<kind>.<result>`.
    pub routing_key: String,
    /// The CloudEvents body.
    pub body: Bytes,
}

/// Which events an [`EventStream`] acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// Each one when it is read, so that a slow reader is not sent more than it can hold.
    Each,
    /// None, so that watching costs the broker little: it sends as fast as it can, and what is on
    /// its way when the stream ends is gone.
    Nothing,
}

impl Acknowledged {
    fn consume_options(self) -> BasicConsumeOptions {
        BasicConsumeOptions {
            no_ack: match self {
                Self::Each => false,
                Self::Nothing => true,
            },
            ..BasicConsumeOptions::default()
        }
    }
}

/// Outcome events as they come, from a queue that lives as long as the stream.
pub struct EventStream {
    connection: Connection,
    consumer: Consumer,
    acknowledged: Acknowledged,
}

impl EventStream {
    /// Subscribes to the events whose routing key matches `pattern`, such as `#`, `*.failed` or
    /// `disburse.*`. The exchange must be there: `hongbaod run` declares it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(
        options: &RabbitmqOptions,
        pattern: &str,
        acknowledged: Acknowledged,
    ) -> Result<Self, ConnectError> {
        let topology = topology_of(options)?;
        let pattern = ShortString::try_new(pattern).map_err(|_too_long| ConnectError::Name {
            name: pattern.to_owned(),
        })?;
        let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
        expect_exchange(&connection, &topology.outcomes).await?;
        let options = acknowledged.consume_options();
        let consumer = subscribe(&connection, &topology.outcomes, pattern, options)
            .await
            .map_err(|source| {
                ConnectError::Topology(TopologyError::Declare {
                    object: ObjectKind::Queue,
                    name: "of this watcher".to_owned(),
                    source,
                })
            })?;
        Ok(Self {
            connection,
            consumer,
            acknowledged,
        })
    }

    /// The next event; `None` when the connection is gone, and with it the queue: what came
    /// meanwhile was missed.
    pub async fn next(&mut self) -> Option<WatchedEvent> {
        let delivery = self.consumer.next().await?.ok()?;
        match self.acknowledged {
            Acknowledged::Each => {
                delivery.acker.ack(BasicAckOptions::default()).await.ok()?;
            }
            Acknowledged::Nothing => {}
        }
        Some(WatchedEvent {
            routing_key: delivery.routing_key.as_str().to_owned(),
            body: Bytes::from(delivery.data),
        })
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

/// Consumes what is published to `exchange` from now on and matches `pattern`.
async fn subscribe(
    connection: &Connection,
    exchange: &ShortString,
    pattern: ShortString,
    options: BasicConsumeOptions,
) -> lapin::Result<Consumer> {
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(EVENT_PREFETCH, BasicQosOptions::default())
        .await?;
    // The broker makes up the name.
    let queue = channel
        .queue_declare(
            ShortString::default(),
            QueueDeclareOptions::exclusive().auto_delete(),
            FieldTable::default(),
        )
        .await?;
    channel
        .queue_bind(
            queue.name().clone(),
            exchange.clone(),
            pattern,
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    channel
        .basic_consume(
            queue.name().clone(),
            ShortString::default(),
            options,
            FieldTable::default(),
        )
        .await
}

pub(super) async fn expect_exchange(
    connection: &Connection,
    exchange: &ShortString,
) -> Result<(), ConnectError> {
    let asked = async {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                exchange.clone(),
                ExchangeKind::Direct,
                options,
                FieldTable::default(),
            )
            .await
    };
    asked.await.map_err(|source: lapin::Error| {
        ConnectError::Topology(TopologyError::Declare {
            object: ObjectKind::Exchange,
            name: exchange.as_str().to_owned(),
            source,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::Acknowledged;

    #[test]
    fn only_who_acknowledges_is_sent_no_more_than_the_prefetch() {
        assert!(!Acknowledged::Each.consume_options().no_ack);
        assert!(Acknowledged::Nothing.consume_options().no_ack);
    }
}
