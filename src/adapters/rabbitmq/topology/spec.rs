//! One exchange or queue: its arguments, and how it is declared.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use crate::adapters::rabbitmq::topology::outline::{ExchangeOutline, QueueOutline, arguments};
use crate::adapters::rabbitmq::topology::{ObjectKind, TopologyError};

/// An exchange as it must be; durable.
#[derive(Debug)]
pub(super) struct ExchangeSpec {
    pub(super) name: ShortString,
    kind: ExchangeKind,
    arguments: FieldTable,
}

/// A queue as it must be, and what it is bound to.
#[derive(Debug)]
pub(super) struct QueueSpec {
    pub(super) name: ShortString,
    pub(super) arguments: FieldTable,
    exchange: ShortString,
    routing_key: ShortString,
}

impl ExchangeSpec {
    pub(super) fn new(name: &ShortString, kind: ExchangeKind) -> Self {
        Self {
            name: name.clone(),
            kind,
            arguments: FieldTable::default(),
        }
    }

    pub(super) fn with(mut self, argument: &str, value: AMQPValue) -> Self {
        self.arguments.insert(argument.into(), value);
        self
    }

    pub(super) fn outline(&self) -> ExchangeOutline {
        ExchangeOutline {
            name: self.name.as_str().to_owned(),
            kind: word(&self.kind).to_owned(),
            arguments: arguments(&self.arguments),
        }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), TopologyError> {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        self.declare_with(channel, options).await
    }

    pub(super) async fn declare_passively(&self, channel: &Channel) -> Result<(), TopologyError> {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        self.declare_with(channel, options).await
    }

    async fn declare_with(
        &self,
        channel: &Channel,
        options: ExchangeDeclareOptions,
    ) -> Result<(), TopologyError> {
        channel
            .exchange_declare(
                self.name.clone(),
                self.kind.clone(),
                options,
                self.arguments.clone(),
            )
            .await
            .map_err(|source| TopologyError::of(ObjectKind::Exchange, &self.name, source))
    }
}

impl QueueSpec {
    /// For a queue that people look into: whoever takes a message and puts it back counts as a
    /// failed delivery, and from 4.0 on the twentieth throws it away. Source: RabbitMQ, "Quorum
    /// queues: poison message handling"; before 4.0 "without limit" cannot be spelled.
    pub(super) fn looked_at_for_ever(self) -> Self {
        self.with("x-delivery-limit", number(1_000_000))
    }

    /// A durable quorum queue, bound with an empty routing key.
    pub(super) fn bound(name: &ShortString, exchange: &ShortString) -> Self {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        Self {
            name: name.clone(),
            arguments,
            exchange: exchange.clone(),
            routing_key: ShortString::default(),
        }
    }

    pub(super) fn with(mut self, argument: &str, value: AMQPValue) -> Self {
        self.arguments.insert(argument.into(), value);
        self
    }

    pub(super) fn with_routing_key(mut self, routing_key: ShortString) -> Self {
        self.routing_key = routing_key;
        self
    }

    /// Dead-letters to `exchange` without a loss: the default strategy forgets a message before
    /// its next queue has it. Source: RabbitMQ, "Quorum queues: at-least-once dead lettering",
    /// which also asks for `reject-publish`.
    pub(super) fn dead_lettering(self, exchange: &ShortString) -> Self {
        self.with("x-dead-letter-exchange", text(exchange.as_str()))
            .with("x-dead-letter-strategy", text("at-least-once"))
            .with("x-overflow", text("reject-publish"))
    }

    pub(super) fn outline(&self) -> QueueOutline {
        QueueOutline {
            name: self.name.as_str().to_owned(),
            arguments: arguments(&self.arguments),
            exchange: self.exchange.as_str().to_owned(),
            routing_key: self.routing_key.as_str().to_owned(),
        }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), TopologyError> {
        self.declare_queue(channel).await?;
        channel
            .queue_bind(
                self.name.clone(),
                self.exchange.clone(),
                self.routing_key.clone(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(|source| TopologyError::of(ObjectKind::Queue, &self.name, source))
    }

    pub(super) async fn declare_queue(&self, channel: &Channel) -> Result<(), TopologyError> {
        self.declare_with(channel, QueueDeclareOptions::durable())
            .await
    }

    pub(super) async fn declare_passively(&self, channel: &Channel) -> Result<(), TopologyError> {
        self.declare_with(channel, QueueDeclareOptions::durable().passive())
            .await
    }

    async fn declare_with(
        &self,
        channel: &Channel,
        options: QueueDeclareOptions,
    ) -> Result<(), TopologyError> {
        channel
            .queue_declare(self.name.clone(), options, self.arguments.clone())
            .await
            .map(drop)
            .map_err(|source| TopologyError::of(ObjectKind::Queue, &self.name, source))
    }
}

/// AMQP's word for a kind of exchange.
fn word(kind: &ExchangeKind) -> &str {
    match kind {
        ExchangeKind::Custom(word) => word,
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Topic => "topic",
    }
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}
