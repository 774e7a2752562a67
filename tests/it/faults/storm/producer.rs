//! A producer that publishes each message until the broker has confirmed it, through whatever
//! happens to the broker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hongbaod::adapters::clock::SystemClock;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::jobs::{Ask, Wish};
use crate::daemon::broker::Line;
use crate::patience::pause;

/// Messages published and not yet confirmed.
const WINDOW: usize = 200;

/// After this long without a confirm the connection is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the line of messages is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// So many looks pass before a message that had no queue is published again: half a second.
const HOLD: u32 = 25;

/// What is known of the messages.
#[derive(Debug, Default)]
struct Desk {
    /// Places in the asks, not yet published or to be published again.
    line: VecDeque<usize>,
    /// When each ask was first published.
    first_at: BTreeMap<usize, UnixMillis>,
    unconfirmed: usize,
    confirmed: usize,
    repeated: usize,
    /// Looks to wait before anything is published, after the broker had no queue for a message.
    holds: u32,
    is_held: bool,
}

/// The producer; it ends with this value.
pub(crate) struct Producer {
    desk: Arc<Mutex<Desk>>,
    publishing: JoinHandle<()>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

/// What has been published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Messages with a confirm.
    pub(crate) confirmed: usize,
    /// Messages that were published once more for want of one.
    pub(crate) repeated: usize,
}

impl Producer {
    /// Starts with nothing to publish.
    pub(crate) fn start(url: &str, prefix: &str, asks: Arc<Vec<Ask>>) -> Self {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let session = Session {
            url: url.to_owned(),
            exchange: format!("{prefix}.jobs").into(),
            asks,
            desk: Arc::clone(&desk),
            clock: SystemClock::new(),
        };
        let publishing = tokio::spawn(async move {
            loop {
                drop(session.run().await);
                pause(LOOK_PERIOD * 5).await;
            }
        });
        Self { desk, publishing }
    }

    /// Publishes an ask, or another copy of it.
    pub(crate) fn publish(&self, ask: usize) {
        self.desk.lock().unwrap().line.push_back(ask);
    }

    /// Nothing is published from now on.
    pub(crate) fn hold(&self) {
        self.desk.lock().unwrap().is_held = true;
    }

    /// Ends [`Producer::hold`].
    pub(crate) fn release(&self) {
        self.desk.lock().unwrap().is_held = false;
    }

    /// Whether nothing is waiting for its confirm.
    pub(crate) fn is_resting(&self) -> bool {
        self.desk.lock().unwrap().unconfirmed == 0
    }

    /// Whether everything is confirmed.
    pub(crate) fn is_done(&self) -> bool {
        let desk = self.desk.lock().unwrap();
        desk.line.is_empty() && desk.unconfirmed == 0
    }

    /// When an ask was first published.
    pub(crate) fn first_published_at(&self, ask: usize) -> Option<UnixMillis> {
        self.desk.lock().unwrap().first_at.get(&ask).copied()
    }

    pub(crate) fn published(&self) -> Published {
        let desk = self.desk.lock().unwrap();
        Published {
            confirmed: desk.confirmed,
            repeated: desk.repeated,
        }
    }
}

struct Session {
    url: String,
    exchange: ShortString,
    asks: Arc<Vec<Ask>>,
    desk: Arc<Mutex<Desk>>,
    clock: SystemClock,
}

impl Session {
    /// Publishes over one connection until it breaks; what is not confirmed by then goes back into
    /// the line.
    async fn run(&self) -> lapin::Result<()> {
        let line = Line::open(&self.url).await?;
        let mut channels: BTreeMap<&'static str, Channel> = BTreeMap::new();
        // The client may hand a returned message to another confirm of the same channel.
        for key in ["disburse", "refund", "query"] {
            let channel = line.another().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            channels.insert(key, channel);
        }
        let mut open: VecDeque<usize> = VecDeque::new();
        let ended = self.publish(&channels, &mut open).await;
        let mut desk = self.desk.lock().unwrap();
        desk.repeated += open.len();
        desk.unconfirmed -= open.len();
        open.append(&mut desk.line);
        desk.line = open;
        ended
    }

    async fn publish(
        &self,
        channels: &BTreeMap<&'static str, Channel>,
        open: &mut VecDeque<usize>,
    ) -> lapin::Result<()> {
        let mut confirms = FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK_PERIOD);
        loop {
            tokio::select! {
                Some((ask, confirmed)) = confirms.next() => {
                    // A timeout is an error of the connection, too.
                    let Ok(confirmed) = confirmed else { return Ok(()) };
                    let confirmed: Confirmation = confirmed?;
                    self.note(ask, &confirmed, open);
                }
                _ = look.tick() => {
                    self.hold_on();
                    while confirms.len() < WINDOW
                        && let Some(ask) = self.take()
                    {
                        open.push_back(ask);
                        let message = &self.asks[ask];
                        let confirm = channels[message.routing_key()]
                            .basic_publish(
                                self.exchange.clone(),
                                message.routing_key().into(),
                                BasicPublishOptions {
                                    mandatory: true,
                                    ..BasicPublishOptions::default()
                                },
                                &message.body,
                                properties(message),
                            )
                            .await?;
                        confirms.push(async move { (ask, timeout(CONFIRM_TIMEOUT, confirm).await) });
                    }
                }
            }
        }
    }

    fn hold_on(&self) {
        let mut desk = self.desk.lock().unwrap();
        desk.holds = desk.holds.saturating_sub(1);
    }

    fn take(&self) -> Option<usize> {
        let now = self.clock.now();
        let mut desk = self.desk.lock().unwrap();
        if desk.holds > 0 || desk.is_held {
            return None;
        }
        let ask = desk.line.pop_front()?;
        desk.unconfirmed += 1;
        desk.first_at.entry(ask).or_insert(now);
        Some(ask)
    }

    fn note(&self, ask: usize, confirmed: &Confirmation, open: &mut VecDeque<usize>) {
        let place = open.iter().position(|published| *published == ask);
        open.remove(place.expect("it was published"));
        let mut desk = self.desk.lock().unwrap();
        desk.unconfirmed -= 1;
        if matches!(confirmed, Confirmation::Ack(None)) {
            desk.confirmed += 1;
        } else {
            desk.repeated += 1;
            desk.holds = HOLD;
            desk.line.push_back(ask);
        }
    }
}

fn properties(ask: &Ask) -> BasicProperties {
    let properties = BasicProperties::default().with_delivery_mode(2);
    match ask.wish {
        Wish::Query { .. } => properties.with_message_id(ask.number.as_str().into()),
        Wish::Disburse { .. } | Wish::Refund { .. } | Wish::Bad { .. } => properties,
    }
}
