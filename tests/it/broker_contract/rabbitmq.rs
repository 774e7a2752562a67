//! RabbitMQ under the contract: a prefix of its own on the tests' broker.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use hongbaod::adapters::rabbitmq::{
    ObjectKind, ObjectState, Prefetch, RabbitmqBroker, RabbitmqOptions, check_topology,
};
use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::Broker;
use hongbaod::ports::ledger::Connection;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ConnectionProperties, Consumer};
use secrecy::SecretString;

use super::clock::{NoChance, RuntimeClock};
use super::world::{DELAY_MIN, Letter, Letters, PREFETCH, World, eventually};
use crate::patience::pause;
use crate::servers::{amqp_url, unique_prefix};

/// Options for `url`, with a ladder short enough to wait for.
pub(super) fn options(url: &str, prefix: &str) -> RabbitmqOptions {
    let prefetch = NonZeroU16::new(PREFETCH).unwrap();
    RabbitmqOptions {
        urls: vec![SecretString::from(url)],
        prefetch: Prefetch {
            disburse: prefetch,
            refund: prefetch,
            query: prefetch,
            pay: prefetch,
        },
        delay_min: DELAY_MIN,
        delay_max: DELAY_MIN * 4,
        confirm_timeout: Duration::from_secs(5),
        heartbeat: Duration::from_secs(4),
        connection_name: format!("test {prefix}"),
        ..RabbitmqOptions::new(prefix)
    }
}

/// Connects and waits until every consumer is there.
pub(super) async fn connect(options: RabbitmqOptions) -> Arc<RabbitmqBroker> {
    let broker = RabbitmqBroker::connect(options, RuntimeClock::shared(), Arc::new(NoChance))
        .await
        .unwrap();
    let broker = Arc::new(broker);
    up(&broker).await;
    broker
}

pub(super) async fn up(broker: &RabbitmqBroker) {
    eventually("the broker is up", async || {
        broker.connection() == Connection::Up
    })
    .await;
}

/// A channel of the test's own.
pub(super) struct Bystander {
    connection: lapin::Connection,
}

impl Bystander {
    pub(super) async fn connect(url: &str) -> Self {
        let connection = lapin::Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        Self { connection }
    }

    pub(super) async fn channel(&self) -> Channel {
        self.connection.create_channel().await.unwrap()
    }

    pub(super) async fn delete_queue(&self, name: &str) {
        self.channel()
            .await
            .queue_delete(name.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    }

    /// Deletes whatever `options` declared.
    pub(super) async fn demolish(&self, options: &RabbitmqOptions) {
        let channel = self.channel().await;
        for status in check_topology(options).await.unwrap() {
            assert!(
                !matches!(status.state, ObjectState::Mismatch { .. }),
                "{status:?}"
            );
            let name = ShortString::from(status.name);
            match status.object {
                ObjectKind::Exchange => {
                    let options = ExchangeDeleteOptions::default();
                    channel.exchange_delete(name, options).await.unwrap();
                }
                ObjectKind::Queue => {
                    let options = QueueDeleteOptions::default();
                    channel.queue_delete(name, options).await.unwrap();
                }
            }
        }
    }
}

pub(super) struct RabbitmqWorld {
    options: RabbitmqOptions,
    bystander: Bystander,
}

impl RabbitmqWorld {
    pub(super) async fn new() -> Self {
        Self::at(&[amqp_url()], &|_| {}).await
    }

    /// A world on the nodes at these addresses, for one who looks on without TLS.
    pub(super) async fn at(urls: &[String], adapt: &impl Fn(&mut RabbitmqOptions)) -> Self {
        let mut options = options("", &unique_prefix("broker"));
        options.urls = urls.iter().map(|url| url.as_str().into()).collect();
        adapt(&mut options);
        let plain = if urls[0].starts_with("amqps:") {
            amqp_url()
        } else {
            urls[0].clone()
        };
        Self {
            options,
            bystander: Bystander::connect(&plain).await,
        }
    }

    pub(super) async fn demolish(self) {
        self.bystander.demolish(&self.options).await;
    }
}

#[async_trait]
impl World for RabbitmqWorld {
    async fn replica(&self) -> Arc<dyn Broker> {
        connect(self.options.clone()).await
    }

    async fn subscribe(&self) -> Box<dyn Letters> {
        let channel = self.bystander.channel().await;
        let queue = exclusive_queue(&channel, "").await;
        channel
            .queue_bind(
                queue.clone(),
                format!("{}.outcomes", self.options.prefix).into(),
                "disburse.*".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        Box::new(QueueLetters::of(&channel, queue).await)
    }

    async fn reply_queue(&self, name: &str) -> Box<dyn Letters> {
        let channel = self.bystander.channel().await;
        let queue = exclusive_queue(&channel, name).await;
        Box::new(QueueLetters::of(&channel, queue).await)
    }

    async fn next_buried(&self) -> (Bytes, String, String) {
        let channel = self.bystander.channel().await;
        let queue = format!("{}.dead", self.options.prefix);
        loop {
            let got = channel
                .basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true })
                .await
                .unwrap();
            if let Some(message) = got {
                let headers = message.delivery.properties.headers().clone().unwrap();
                let header = |name: &str| match headers.inner().get(name) {
                    Some(AMQPValue::LongString(text)) => text.to_string(),
                    other => panic!("{name}: {other:?}"),
                };
                let (reason, detail) = (header("x-hongbao-reason"), header("x-hongbao-detail"));
                assert_eq!(header("x-hongbao-buried-by"), self.options.connection_name);
                assert_eq!(
                    message.delivery.routing_key.as_str(),
                    Kind::Disburse.as_str()
                );
                return (Bytes::from(message.delivery.data), reason, detail);
            }
            pause(Duration::from_millis(10)).await;
        }
    }
}

async fn exclusive_queue(channel: &Channel, name: &str) -> ShortString {
    channel
        .queue_declare(
            name.into(),
            QueueDeclareOptions::exclusive().auto_delete(),
            FieldTable::default(),
        )
        .await
        .unwrap()
        .name()
        .clone()
}

struct QueueLetters {
    consumer: Consumer,
}

impl QueueLetters {
    async fn of(channel: &Channel, queue: ShortString) -> Self {
        let consumer = channel
            .basic_consume(
                queue,
                ShortString::default(),
                BasicConsumeOptions {
                    no_ack: true,
                    ..BasicConsumeOptions::default()
                },
                FieldTable::default(),
            )
            .await
            .unwrap();
        Self { consumer }
    }
}

#[async_trait]
impl Letters for QueueLetters {
    async fn next(&mut self) -> Letter {
        let delivery = self.consumer.next().await.unwrap().unwrap();
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        assert_eq!(
            text(delivery.properties.content_type()).as_deref(),
            Some("application/cloudevents+json")
        );
        assert_eq!(*delivery.properties.delivery_mode(), Some(2));
        Letter {
            routing_key: delivery.routing_key.as_str().to_owned(),
            message_id: text(delivery.properties.message_id()),
            correlation_id: text(delivery.properties.correlation_id()),
            body: Bytes::from(delivery.data),
        }
    }
}
