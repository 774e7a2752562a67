//! The dead letters, for operators: looked at, published again, or thrown away, each by itself.
//!
//! ```text
//! Reader ──consumes──▶ DeadLetter ──▶ kept: goes back when the reader is closed
//!                                ├──▶ Replayer::replay: published, confirmed, only then acknowledged
//!                                └──▶ DeadLetter::throw_away: acknowledged
//! ```
//!
//! A message that is looked at is taken and not acknowledged, so that it goes back whatever becomes
//! of the one who looks.

mod letter;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer, Queue};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::adapters::rabbitmq::client::expect_exchange;
use crate::adapters::rabbitmq::connection::{ANSWER_TIMEOUT, ConnectError, Dialer, Purpose};
use crate::adapters::rabbitmq::publisher::{Link, Message, Route};
use crate::adapters::rabbitmq::supervisor::close;
use crate::adapters::rabbitmq::topology::{ObjectKind, Topology, TopologyError, routing_key};
use crate::adapters::rabbitmq::{RabbitmqOptions, topology_of};
use crate::domain::lane::Lane;
use crate::ports::broker::PublishError;

pub use crate::adapters::rabbitmq::dead_letters::letter::DeadLetter;

/// Dead letters that are published again at a time.
pub const WINDOW: usize = 32;

/// Letters that one consumer holds; at most so many bodies are in memory.
const PREFETCH: u16 = 256;

/// Letters that are given back at a time.
const GIVEN_BACK: u16 = 32;

/// After so long without a letter the queue is asked whether it still has any.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// How long the queue may take to have again what is given back, and how often it is asked.
const BACK_WAIT_MAX: Duration = Duration::from_secs(5);
const BACK_LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How long the queue may have letters and deliver none.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why no more letters come.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The channel or the connection is gone: what was held has gone back.
    #[error("read the dead letters")]
    Lost(#[source] lapin::Error),
    /// Somebody deleted the queue, or its node is away.
    #[error("RabbitMQ ended the reading of the dead letters")]
    Ended,
    /// It has letters and delivers none.
    #[error("RabbitMQ delivered no dead letter within {0:?}")]
    Silent(Duration),
}

/// Why a letter is still among the dead ones, or may be.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// It was not published, or nobody knows: it stays.
    #[error("publish the job again")]
    Publish(#[source] PublishError),
    /// The reader's channel is gone: the letter has gone back. If it was published before, there
    /// are two copies of its job, which its number makes one.
    #[error("acknowledge the dead letter")]
    Acknowledge(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Takes the dead letters one after the other, the oldest first, and gives back what is not
/// acknowledged.
pub struct Reader {
    connection: Connection,
    channel: Channel,
    queue: ShortString,
    consumer: Consumer,
    consumers: u32,
    /// How many letters there were at the begin: what is buried meanwhile is left for another time.
    count: u64,
    given: u64,
    /// Of the present consumer's letters, those that stay.
    kept: u16,
    /// Of all letters, those that stay.
    staying: u64,
    /// The delivery tag of every so-manieth letter that stays.
    marks: Vec<u64>,
}

impl Reader {
    /// Connects and begins to read. The queue must be there: `hongbaod run` declares it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn open(options: &RabbitmqOptions) -> Result<Self, ConnectError> {
        let queue = topology_of(options)?.dead.clone();
        let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
        match begin(&connection, &queue).await {
            Ok((channel, consumer, count)) => Ok(Self {
                connection,
                channel,
                queue,
                consumer,
                consumers: 1,
                count,
                given: 0,
                kept: 0,
                staying: 0,
                marks: Vec::new(),
            }),
            Err(source) => {
                close(&connection).await;
                let error = TopologyError::of(ObjectKind::Queue, &queue, source);
                Err(ConnectError::Topology(error))
            }
        }
    }

    /// How many letters there are to read, at most.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The next letter; `None` when those that were there at the begin have been read. Each one is
    /// to be kept or acknowledged, for no more than some hundred are given out at a time.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, ReadError> {
        let mut silence = Duration::ZERO;
        while self.given < self.count {
            match timeout(LOOK_PERIOD, self.consumer.next()).await {
                Ok(Some(Ok(delivery))) => {
                    self.given = self.given.saturating_add(1);
                    return Ok(Some(DeadLetter::new(delivery)));
                }
                Ok(Some(Err(source))) => return Err(ReadError::Lost(source)),
                Ok(None) => return Err(ReadError::Ended),
                Err(_elapsed) => {
                    if self.is_empty().await? {
                        return Ok(None);
                    }
                    silence = silence.saturating_add(LOOK_PERIOD);
                    if silence >= SILENCE_MAX {
                        return Err(ReadError::Silent(silence));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes note that a letter stays. Not to be given up half way, unlike [`Reader::next`].
    ///
    /// When all that the consumer may hold stays, another one goes on: the letters before would
    /// come again if they were given back now.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn keep(&mut self, letter: &DeadLetter) -> Result<(), ReadError> {
        self.kept = self.kept.saturating_add(1);
        self.staying = self.staying.saturating_add(1);
        if self.kept.is_multiple_of(GIVEN_BACK) {
            self.marks.push(letter.tag());
        }
        if self.kept < PREFETCH || self.given >= self.count {
            return Ok(());
        }
        // It holds as many as it may, so nothing is on its way to it.
        let tag = self.consumer.tag();
        let cancelled = self
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        cancelled.await.map_err(ReadError::Lost)?;
        self.consumers = self.consumers.saturating_add(1);
        self.consumer = consume(&self.channel, &self.queue, self.consumers)
            .await
            .map_err(ReadError::Lost)?;
        self.kept = 0;
        Ok(())
    }

    /// Gives back what was kept and says goodbye. To a broker that does not answer, the end of the
    /// connection says the same.
    pub async fn close(mut self) {
        let back = timeout(ANSWER_TIMEOUT, self.give_back()).await;
        if !matches!(back, Ok(Ok(()))) {
            tracing::debug!("the dead letters go back with the connection");
        }
        close(&self.connection).await;
    }

    /// By nacks, which since RabbitMQ 4.3 do not count as failed deliveries as the end of a channel
    /// does (source: RabbitMQ, "Negative Acknowledgements: basic.reject vs. basic.nack"), and few
    /// letters at a time: of more, RabbitMQ 3.10 gives back each nack's in no order.
    async fn give_back(&mut self) -> lapin::Result<()> {
        let tag = self.consumer.tag();
        // First, or they would come to us again.
        self.channel
            .basic_cancel(tag, BasicCancelOptions::default())
            .await?;
        let options = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        self.marks.sort_unstable();
        // What came behind the last of them, and all if there is none, is the tag 0.
        // Source: AMQP 0-9-1, basic.nack, delivery-tag.
        for tag in self.marks.iter().copied().chain([0]) {
            self.channel.basic_nack(tag, options).await?;
        }
        // Whoever looks next is to find them all. Somebody else may be faster and take them.
        drop(timeout(BACK_WAIT_MAX, self.all_are_back()).await);
        self.channel.close(200, "OK".into()).await
    }

    /// Waits until the queue says that it has again what was kept.
    async fn all_are_back(&self) -> lapin::Result<()> {
        while u64::from(look(&self.channel, &self.queue).await?.message_count()) < self.staying {
            sleep(BACK_LOOK_PERIOD).await;
        }
        Ok(())
    }

    /// Whether no letter waits. It is believed, since the queue knows of our consumer.
    async fn is_empty(&self) -> Result<bool, ReadError> {
        let asked = timeout(ANSWER_TIMEOUT, look(&self.channel, &self.queue)).await;
        let queue = asked
            .map_err(|_elapsed| ReadError::Silent(ANSWER_TIMEOUT))?
            .map_err(ReadError::Lost)?;
        Ok(queue.message_count() == 0 && queue.consumer_count() > 0)
    }
}

/// A channel, its first consumer, and how many letters there are.
async fn begin(
    connection: &Connection,
    queue: &ShortString,
) -> lapin::Result<(Channel, Consumer, u64)> {
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let before = look(&channel, queue).await?.message_count();
    let consumer = consume(&channel, queue, 1).await?;
    if before > 0 {
        return Ok((channel, consumer, u64::from(before)));
    }
    // A queue whose leader was slow to answer is said to be empty; see `Link::waiting`. What the
    // consumer was sent by now is not counted any more.
    let after = look(&channel, queue).await?.message_count();
    let count = u64::from(after).saturating_add(u64::from(PREFETCH));
    Ok((channel, consumer, count))
}

async fn look(channel: &Channel, queue: &ShortString) -> lapin::Result<Queue> {
    let options = QueueDeclareOptions::durable().passive();
    channel
        .queue_declare(queue.clone(), options, FieldTable::default())
        .await
}

/// The consumers' tags are in the order of their letters, for RabbitMQ gives back what a channel
/// holds in the order of the tags.
async fn consume(channel: &Channel, queue: &ShortString, number: u32) -> lapin::Result<Consumer> {
    let tag = format!("look-{number:010}");
    channel
        .basic_consume(
            queue.clone(),
            tag.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// Publishes dead letters as jobs again.
pub struct Replayer {
    link: Link,
    topology: Arc<Topology>,
    confirm_timeout: Duration,
    turns: Semaphore,
    /// Routes on which nothing is under way.
    free: Mutex<Vec<usize>>,
    routes: AtomicUsize,
}

impl Replayer {
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
            confirm_timeout: options.confirm_timeout,
            turns: Semaphore::new(WINDOW),
            free: Mutex::new(Vec::new()),
            routes: AtomicUsize::new(0),
        })
    }

    /// Publishes the letter's job to `lane` and acknowledges the letter once RabbitMQ has confirmed
    /// that a queue has it.
    ///
    /// # Errors
    ///
    /// [`LetterError`]; the letter is not acknowledged then.
    pub async fn replay(&self, letter: &DeadLetter, lane: Lane) -> Result<(), LetterError> {
        self.publish(letter, lane)
            .await
            .map_err(LetterError::Publish)?;
        // Publish before acknowledge: a crash in between leaves two copies of a job, never none.
        letter.throw_away().await
    }

    /// Whether the next letter has a chance.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Says goodbye.
    pub async fn close(self) {
        close(self.link.connection()).await;
    }

    /// Each letter that is under way has a channel of its own, so that what RabbitMQ returns or
    /// confirms there is about no other one.
    async fn publish(&self, letter: &DeadLetter, lane: Lane) -> Result<(), PublishError> {
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|closed| PublishError::Unavailable(Box::new(closed)))?;
        let free = self.free().pop();
        let route = free.unwrap_or_else(|| self.routes.fetch_add(1, Ordering::Relaxed));
        let message = Message {
            route: Route::Replay(route),
            exchange: self.topology.jobs.clone(),
            routing_key: routing_key(lane),
            body: &letter.body,
            properties: letter.job_properties(),
        };
        let published = self.link.publish(message, self.confirm_timeout).await;
        self.free().push(route);
        published
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
