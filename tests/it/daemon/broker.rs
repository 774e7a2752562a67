//! RabbitMQ from outside: another producer, a subscriber of every event, and the queues' contents.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use hongbaod::adapters::rabbitmq::{ObjectKind, RabbitmqOptions, check_topology};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::patience::pause;

/// What was buried, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub(crate) body: Vec<u8>,
    pub(crate) reason: String,
    pub(crate) detail: String,
}

/// A connection of the test's own, and the channel on it.
pub(crate) struct Line {
    connection: Connection,
    pub(crate) channel: Channel,
}

impl Line {
    pub(crate) async fn open(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok(Self {
            connection,
            channel,
        })
    }

    /// Another channel on the connection.
    pub(crate) async fn another(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    pub(crate) async fn close(self) {
        self.connection.close(200, "done".into()).await.unwrap();
    }
}

/// Publishes bodies as they are, as a producer in another language may.
pub(crate) async fn publish(url: &str, prefix: &str, bodies: &[Vec<u8>]) {
    let line = Line::open(url).await.unwrap();
    let confirms = ConfirmSelectOptions::default();
    line.channel.confirm_select(confirms).await.unwrap();
    for body in bodies {
        let confirm = line
            .channel
            .basic_publish(
                format!("{prefix}.jobs").into(),
                "disburse".into(),
                BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                },
                body,
                BasicProperties::default().with_delivery_mode(2),
            )
            .await
            .unwrap();
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
    }
    line.close().await;
}

/// Declares a quorum queue without dead letters, as somebody may have done by hand.
pub(crate) async fn declare_otherwise(url: &str, queue: &str) {
    let line = Line::open(url).await.unwrap();
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    let options = QueueDeclareOptions::durable();
    let declared = line.channel.queue_declare(queue.into(), options, arguments);
    declared.await.unwrap();
    line.close().await;
}

/// How many messages wait in each of the queues.
pub(crate) async fn counts(url: &str, queues: &[String]) -> lapin::Result<Vec<u32>> {
    let line = Line::open(url).await?;
    let mut counts = Vec::new();
    for queue in queues {
        let options = QueueDeclareOptions::durable().passive();
        let queue = line
            .channel
            .queue_declare(queue.as_str().into(), options, FieldTable::default())
            .await?;
        counts.push(queue.message_count());
    }
    line.close().await;
    Ok(counts)
}

/// Takes every message out of a queue: body and headers.
pub(crate) async fn take_all(url: &str, queue: &str) -> Vec<(Vec<u8>, FieldTable)> {
    let line = Line::open(url).await.unwrap();
    let mut messages = Vec::new();
    while let Some(message) = line
        .channel
        .basic_get(queue.into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap()
    {
        let headers = message.delivery.properties.headers().clone();
        messages.push((message.delivery.data, headers.unwrap_or_default()));
    }
    line.close().await;
    messages
}

/// Takes every dead letter.
pub(crate) async fn dead_letters(url: &str, prefix: &str) -> Vec<DeadLetter> {
    let header = |headers: &FieldTable, name: &str| match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => format!("{other:?}"),
    };
    let messages = take_all(url, &format!("{prefix}.dead")).await;
    let letters = messages.into_iter().map(|(body, headers)| DeadLetter {
        body,
        reason: header(&headers, "x-hongbao-reason"),
        detail: header(&headers, "x-hongbao-detail"),
    });
    letters.collect()
}

/// The names of all queues of `options`.
pub(crate) async fn queues(options: &RabbitmqOptions) -> Vec<String> {
    let statuses = check_topology(options).await.unwrap();
    let queues = statuses
        .into_iter()
        .filter(|status| status.object == ObjectKind::Queue);
    queues.map(|status| status.name).collect()
}

/// Deletes what `options` declared, and the subscriber's queue.
pub(crate) async fn demolish(url: &str, options: &RabbitmqOptions) {
    let statuses = check_topology(options).await.unwrap();
    let line = Line::open(url).await.unwrap();
    for status in statuses {
        let name = ShortString::from(status.name);
        match status.object {
            ObjectKind::Exchange => {
                let options = ExchangeDeleteOptions::default();
                line.channel.exchange_delete(name, options).await.unwrap();
            }
            ObjectKind::Queue => {
                let options = QueueDeleteOptions::default();
                line.channel.queue_delete(name, options).await.unwrap();
            }
        }
    }
    let name = subscription(&options.prefix).into();
    let options = QueueDeleteOptions::default();
    line.channel.queue_delete(name, options).await.unwrap();
    line.close().await;
}

fn subscription(prefix: &str) -> String {
    format!("{prefix}.subscriber")
}

/// A subscriber of every event with a durable queue, as the rest of the company would have it: it
/// comes back after each loss of the broker.
pub(crate) struct Subscriber {
    events: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Subscriber {
    /// Subscribes; no event after this call is missed.
    pub(crate) async fn start(url: &str, prefix: &str) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let task = subscribe(url, prefix, move |body| {
            let event = serde_json::from_slice(body).expect("an event is JSON");
            sink.lock().unwrap().push(event);
        });
        let task = task.await;
        Self { events, task }
    }

    /// Every event so far, copies included, in the order in which they came.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands the body of every event to `sink` until the task is aborted; no event after this call is
/// missed.
pub(crate) async fn subscribe(
    url: &str,
    prefix: &str,
    sink: impl Fn(&[u8]) + Send + Sync + 'static,
) -> JoinHandle<()> {
    let line = Line::open(url).await.unwrap();
    let queue = subscription(prefix);
    let durable = QueueDeclareOptions::durable();
    let arguments = FieldTable::default();
    let declared = line
        .channel
        .queue_declare(queue.as_str().into(), durable, arguments.clone());
    declared.await.unwrap();
    let bound = line.channel.queue_bind(
        queue.as_str().into(),
        format!("{prefix}.outcomes").into(),
        "#".into(),
        QueueBindOptions::default(),
        arguments,
    );
    bound.await.unwrap();
    line.close().await;
    let url = url.to_owned();
    tokio::spawn(async move {
        loop {
            // Whatever goes wrong, the next connection gets the same events again.
            drop(consume(&url, &queue, &sink).await);
            pause(Duration::from_millis(100)).await;
        }
    })
}

async fn consume(url: &str, queue: &str, sink: &impl Fn(&[u8])) -> lapin::Result<()> {
    let line = Line::open(url).await?;
    let mut consumer = line
        .channel
        .basic_consume(
            queue.into(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        sink(&delivery.data);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
