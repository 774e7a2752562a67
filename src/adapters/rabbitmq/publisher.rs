//! Publishing with confirms.
//!
//! Each destination has a channel of its own. The client hands a returned message to whichever
//! confirm of the channel is settled next, and the broker settles several at once: on a shared
//! channel a message without a queue could be told "confirmed" and another one, which has a queue,
//! "returned". Messages of one destination share their fate, so there it does no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::adapters::rabbitmq::connection::NoAnswer;
use crate::adapters::rabbitmq::topology::soft;
use crate::domain::lane::Lane;
use crate::ports::broker::PublishError;

/// How often a connection is looked at, should its end not have been told.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What a "direct reply-to" address begins with. It is no queue: RabbitMQ delivers to it and still
/// returns the message as unroutable when asked for a queue.
/// Source: RabbitMQ, "Direct Reply-to: caveats and limitations".
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to.";

/// Why a message was surely not, or perhaps, published.
#[derive(Debug, thiserror::Error)]
enum PublishFault {
    /// Surely not published.
    #[error("the connection to RabbitMQ is down")]
    Disconnected,
    /// Surely not published.
    #[error("RabbitMQ accepts no messages: it is short of memory or disk")]
    Blocked,
    /// RabbitMQ returned another message in place of this one.
    #[error("the confirm belonged to another message")]
    Mistaken,
    /// The channel is not in confirm mode, which cannot be.
    #[error("the broker gave no confirm")]
    Unconfirmed,
}

/// A destination, and with it a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Jobs(Lane),
    /// The rung's index in the ladder.
    Retry(usize),
    Outcomes,
    /// Any queue, by name: a reply queue that is gone loses nothing, whichever of two replies is
    /// told so.
    Replies,
    Dead,
    /// For one dead letter at a time, which shares its fate with no other message.
    Replay(usize),
    /// Not for publishing: questions whose answer may cost the channel.
    Questions,
}

/// What to publish, and where.
pub(crate) struct Message<'a> {
    pub(crate) route: Route,
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) body: &'a [u8],
    pub(crate) properties: BasicProperties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Open,
    Blocked,
    Closed,
}

/// A connection that publishes.
pub(crate) struct Link {
    connection: Connection,
    state: watch::Receiver<LinkState>,
    listener: AbortHandle,
    channels: Mutex<Vec<(Route, Arc<Channel>)>>,
    /// Held while a channel is opened: all who publish meanwhile need the same one.
    opening: tokio::sync::Mutex<()>,
    /// Rung when a message of ours found no exchange or no queue that we had declared.
    missed: Notify,
    /// RabbitMQ said that we may not reply.
    replies_forbidden: AtomicBool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Link {
    pub(crate) fn new(connection: Connection) -> Self {
        let (sender, state) = watch::channel(LinkState::Open);
        let mut events = connection.events_listener();
        let listener = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::ConnectionBlocked(reason) = event {
                    tracing::warn!(reason, "RabbitMQ blocks publishing");
                    sender.send_replace(LinkState::Blocked);
                } else if matches!(event, Event::ConnectionUnblocked) {
                    tracing::info!("RabbitMQ lets us publish again");
                    sender.send_replace(LinkState::Open);
                } else if matches!(event, Event::Error(_)) {
                    break;
                }
            }
            sender.send_replace(LinkState::Closed);
        });
        Self {
            connection,
            state,
            listener: listener.abort_handle(),
            channels: Mutex::new(Vec::new()),
            opening: tokio::sync::Mutex::new(()),
            missed: Notify::new(),
            replies_forbidden: AtomicBool::new(false),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether messages are accepted.
    pub(crate) fn is_open(&self) -> bool {
        *self.state.borrow() == LinkState::Open && self.connection.status().connected()
    }

    /// Waits until the connection is gone.
    pub(crate) async fn closed(&self) {
        let mut state = self.state.clone();
        while self.connection.status().connected() {
            let told = state.wait_for(|state| *state == LinkState::Closed);
            if timeout(LOOK_PERIOD, told).await.is_ok() {
                return;
            }
        }
    }

    /// Waits until a message found no way, if none did since the last call.
    pub(crate) async fn missed(&self) {
        self.missed.notified().await;
    }

    /// Publishes one message and waits for its confirm.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; [`PublishError::Unavailable`] after `confirm_timeout`.
    pub(crate) async fn publish(
        &self,
        message: Message<'_>,
        confirm_timeout: Duration,
    ) -> Result<(), PublishError> {
        let route = message.route;
        let used = OnceLock::new();
        let attempt = timeout(confirm_timeout, self.attempt(message, &used)).await;
        let Ok(result) = attempt else {
            // What is still under way on it would otherwise be kept by the client for ever.
            if let Some(channel) = used.get() {
                self.retire(channel);
            }
            return Err(if *self.state.borrow() == LinkState::Blocked {
                unavailable(PublishFault::Blocked)
            } else {
                unavailable(NoAnswer(confirm_timeout))
            });
        };
        if matches!(result, Err(PublishError::Unroutable { .. })) && route != Route::Replies {
            self.missed.notify_one();
        }
        result
    }

    async fn attempt(
        &self,
        message: Message<'_>,
        used: &OnceLock<Arc<Channel>>,
    ) -> Result<(), PublishError> {
        // A message handed over now would go out when the broker recovers, long after its
        // publisher was told that it did not.
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != LinkState::Blocked).await {
            Ok(state) if *state == LinkState::Open => {}
            Ok(_) | Err(_) => return Err(unavailable(PublishFault::Disconnected)),
        }
        let route = message.route;
        let message_id = message.properties.message_id().clone();
        let (exchange, routing_key) = (message.exchange.clone(), message.routing_key.clone());
        let unroutable = || PublishError::Unroutable {
            exchange: exchange.as_str().to_owned(),
            routing_key: routing_key.as_str().to_owned(),
        };
        match self.send(message, used).await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
                // The properties of a returned message are those it was published with.
                if *returned.delivery.properties.message_id() == message_id {
                    Err(unroutable())
                } else {
                    Err(unavailable(PublishFault::Mistaken))
                }
            }
            Ok(Confirmation::Nack(None)) => Err(PublishError::Refused),
            Ok(Confirmation::NotRequested) => Err(unavailable(PublishFault::Unconfirmed)),
            // The exchange itself is missing.
            Err(error) if matches!(soft(&error), Some((AMQPSoftError::NOTFOUND, _))) => {
                Err(unroutable())
            }
            // The right is to the default exchange as a whole: without it no reply goes out, and no
            // job must wait until one does.
            Err(error)
                if route == Route::Replies
                    && matches!(soft(&error), Some((AMQPSoftError::ACCESSREFUSED, _))) =>
            {
                self.replies_forbidden.store(true, Ordering::Release);
                Err(PublishError::Refused)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn send(
        &self,
        message: Message<'_>,
        used: &OnceLock<Arc<Channel>>,
    ) -> lapin::Result<Confirmation> {
        let channel = self.channel(message.route).await?;
        let channel = used.get_or_init(|| channel);
        let options = BasicPublishOptions {
            mandatory: !message.routing_key.as_str().starts_with(DIRECT_REPLY),
            ..BasicPublishOptions::default()
        };
        let confirm = channel
            .basic_publish(
                message.exchange,
                message.routing_key,
                options,
                message.body,
                message.properties,
            )
            .await?;
        confirm.await
    }

    /// How many messages wait in `queue`, or `None` when the broker cannot say. Of a queue whose
    /// leader does not answer at once RabbitMQ says that it has neither messages nor consumers, so
    /// this is believed of none. Source: `rabbit_quorum_queue:stat/2`.
    pub(crate) async fn waiting(&self, queue: ShortString) -> Option<u64> {
        if !self.is_open() {
            return None;
        }
        let channel = self.channel(Route::Questions).await.ok()?;
        let queue = channel
            .queue_declare(
                queue,
                QueueDeclareOptions::durable().passive(),
                FieldTable::default(),
            )
            .await
            .ok()?;
        let (ready, consumers) = (queue.message_count(), queue.consumer_count());
        (ready > 0 || consumers > 0).then(|| u64::from(ready))
    }

    /// The route's channel, opened at the first use and after each error.
    async fn channel(&self, route: Route) -> lapin::Result<Arc<Channel>> {
        if let Some(channel) = self.open_channel(route) {
            return Ok(channel);
        }
        let _opening = self.opening.lock().await;
        if let Some(channel) = self.open_channel(route) {
            return Ok(channel);
        }
        let channel = Arc::new(self.connection.create_channel().await?);
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|(known, _)| *known != route);
        channels.push((route, Arc::clone(&channel)));
        Ok(channel)
    }

    fn open_channel(&self, route: Route) -> Option<Arc<Channel>> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, channel) = channels.iter().find(|(known, _)| *known == route)?;
        channel.status().connected().then(|| Arc::clone(channel))
    }

    /// Uses a channel no more. Only that one: the route may have another by now, on which others
    /// wait for their confirms.
    fn retire(&self, retired: &Arc<Channel>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|(_, channel)| !Arc::ptr_eq(channel, retired));
    }
}

/// The connection that publishes, whichever it is at the moment.
#[derive(Default)]
pub(crate) struct Publisher {
    link: Mutex<Option<Arc<Link>>>,
    /// No reply is sent any more: each would cost its channel, and those behind it on the channel
    /// the connection that all else is published on. Until the process starts again.
    replies_forbidden: AtomicBool,
}

impl Publisher {
    pub(crate) fn set(&self, link: Option<Arc<Link>>) {
        let old = {
            let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, link)
        };
        drop(old);
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As [`Link::publish`]; fails at once while there is no connection.
    pub(crate) async fn publish(
        &self,
        message: Message<'_>,
        confirm_timeout: Duration,
    ) -> Result<(), PublishError> {
        if message.route == Route::Replies && self.replies_forbidden.load(Ordering::Acquire) {
            return Err(PublishError::Refused);
        }
        let Some(link) = self.link() else {
            return Err(unavailable(PublishFault::Disconnected));
        };
        let published = link.publish(message, confirm_timeout).await;
        if link.replies_forbidden.load(Ordering::Acquire)
            && !self.replies_forbidden.swap(true, Ordering::AcqRel)
        {
            tracing::error!(
                "RabbitMQ lets us write into no reply queue: no reply is sent until the next start; \
                 give the user the right to write to amq.default, or let producers ask for none"
            );
        }
        published
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PublishError {
    PublishError::Unavailable(error.into())
}
