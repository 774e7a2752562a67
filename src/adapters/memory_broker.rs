//! A broker inside the process: the embedded default of the demo, and of tests.
//!
//! It keeps the port's promises but one: what it holds is gone with the process.

mod mailbox;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::entry::ReturnAddress;
use crate::domain::job::Kind;
use crate::domain::lane::{Lane, Shards};
use crate::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use crate::ports::clock::Clock;
use crate::ports::ledger::Connection;

pub use crate::adapters::memory_broker::mailbox::Mailbox;

/// Most jobs that wait, delayed ones included; more are refused, as by a broker that is full.
const JOBS_MAX: usize = 1_000_000;

/// Dead letters, and events without a subscriber, that are kept: the newest.
const KEPT_MAX: usize = 100_000;

/// A message in the dead-letter queue.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message.
    pub copy: JobCopy,
    /// Why it is there.
    pub epitaph: Epitaph,
}

/// A copy of an event in a reply queue.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The event.
    pub event: EventMessage,
    /// Of the job's message.
    pub correlation_id: Option<String>,
}

/// One consumer of the embedded broker; [`MemoryBroker::join`] makes further ones.
pub struct MemoryBroker {
    hall: Arc<Hall>,
    consumer: u64,
    prefetch: usize,
}

/// What all consumers share.
struct Hall {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    queues: HashMap<Lane, VecDeque<Waiting>>,
    jobs: usize,
    consumers: HashMap<u64, ConsumerState>,
    numbers: u64,
    dead: VecDeque<DeadLetter>,
    unrouted: VecDeque<EventMessage>,
    subscribers: Vec<Weak<Mailbox<EventMessage>>>,
    reply_queues: HashMap<String, Weak<Mailbox<Reply>>>,
}

struct Waiting {
    copy: JobCopy,
    redelivered: bool,
}

struct ConsumerState {
    channel: u64,
    mode: Mode,
    unacked: HashMap<u64, JobCopy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Consuming,
    Paused,
    Stopped,
    Closed,
}

/// The broker was closed.
#[derive(Debug, thiserror::Error)]
#[error("the embedded broker was closed")]
struct Closed;

impl State {
    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Waiting> {
        self.queues.entry(lane).or_default()
    }

    fn enqueue(&mut self, copy: JobCopy) {
        let waiting = Waiting {
            copy,
            redelivered: false,
        };
        self.queue(waiting.copy.lane()).push_back(waiting);
    }

    /// Puts a delivery back to the front, as RabbitMQ does.
    fn put_back(&mut self, copy: JobCopy) {
        let waiting = Waiting {
            copy,
            redelivered: true,
        };
        self.queue(waiting.copy.lane()).push_front(waiting);
    }

    fn mode(&self, consumer: u64) -> Mode {
        self.consumers
            .get(&consumer)
            .map_or(Mode::Closed, |consumer| consumer.mode)
    }

    /// Puts back all that a consumer holds.
    fn release(&mut self, consumer: u64) {
        let Some(consumer) = self.consumers.get_mut(&consumer) else {
            return;
        };
        let mut unacked: Vec<(u64, JobCopy)> = consumer.unacked.drain().collect();
        // The oldest comes to the front last, and so is first again.
        unacked.sort_unstable_by_key(|(tag, _)| std::cmp::Reverse(*tag));
        for (_, copy) in unacked {
            self.put_back(copy);
        }
    }

    fn take(&mut self, delivery: &DeliveryTag, consumer: u64) -> Option<JobCopy> {
        let consumer = self.consumers.get_mut(&consumer)?;
        if consumer.channel != delivery.channel {
            return None;
        }
        consumer.unacked.remove(&delivery.tag)
    }

    /// The next delivery of `lane` to `consumer`, if there is one and the prefetch allows it.
    fn deliver(&mut self, lane: Lane, consumer: u64, prefetch: usize) -> Option<Delivery> {
        let state = self.consumers.get(&consumer)?;
        let channel = state.channel;
        let held = state
            .unacked
            .values()
            .filter(|copy| copy.lane() == lane)
            .count();
        if state.mode != Mode::Consuming || held >= prefetch {
            return None;
        }
        let Waiting { copy, redelivered } = self.queue(lane).pop_front()?;
        let tag = self.number();
        let delivery = Delivery {
            tag: DeliveryTag { channel, tag },
            kind: copy.kind,
            tier: copy.tier,
            body: copy.body.clone(),
            ticket: copy.ticket,
            redelivered,
            return_address: copy.return_address.clone(),
            published_at: copy.published_at,
            attempts: copy.attempts,
        };
        if let Some(state) = self.consumers.get_mut(&consumer) {
            state.unacked.insert(tag, copy);
        }
        Some(delivery)
    }
}

impl Hall {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_waiters();
        result
    }

    fn add_consumer(self: &Arc<Self>, prefetch: usize) -> MemoryBroker {
        let consumer = self.change(|state| {
            let channel = state.number();
            let consumer = ConsumerState {
                channel,
                mode: Mode::Consuming,
                unacked: HashMap::new(),
            };
            state.consumers.insert(channel, consumer);
            channel
        });
        MemoryBroker {
            hall: Arc::clone(self),
            consumer,
            prefetch,
        }
    }
}

impl Drop for MemoryBroker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl MemoryBroker {
    /// Makes an empty broker and its first consumer, which holds at most `prefetch` unacknowledged
    /// deliveries of each lane. Delayed copies wait by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, prefetch: u16) -> Self {
        let hall = Arc::new(Hall {
            clock,
            state: Mutex::new(State::default()),
            changed: Notify::new(),
        });
        hall.add_consumer(usize::from(prefetch.max(1)))
    }

    /// Another consumer of the same queues, as a second replica has.
    #[must_use]
    pub fn join(&self) -> Self {
        self.hall.add_consumer(self.prefetch)
    }

    /// Loses this consumer's channel, as a cut connection does: what it held is delivered again,
    /// and its tags are stale.
    pub fn cut(&self) {
        self.hall.change(|state| {
            state.release(self.consumer);
            let channel = state.number();
            if let Some(consumer) = state.consumers.get_mut(&self.consumer) {
                consumer.channel = channel;
            }
        });
    }

    /// Subscribes to every outcome event from now on.
    #[must_use]
    pub fn subscribe(&self) -> Arc<Mailbox<EventMessage>> {
        let mailbox = Arc::new(Mailbox::default());
        self.hall.state().subscribers.push(Arc::downgrade(&mailbox));
        mailbox
    }

    /// Opens the reply queue `name`, which lives as long as the mailbox.
    #[must_use]
    pub fn open_reply_queue(&self, name: &str) -> Arc<Mailbox<Reply>> {
        let mailbox = Arc::new(Mailbox::default());
        let mut state = self.hall.state();
        state
            .reply_queues
            .retain(|_, queue| queue.strong_count() > 0);
        state
            .reply_queues
            .insert(name.to_owned(), Arc::downgrade(&mailbox));
        mailbox
    }

    /// What was buried, oldest first: the newest 100,000.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.hall.state().dead.iter().cloned().collect()
    }

    /// The events that came while nobody had subscribed, oldest first: the newest 100,000.
    #[must_use]
    pub fn unrouted_events(&self) -> Vec<EventMessage> {
        self.hall.state().unrouted.iter().cloned().collect()
    }

    fn leave(&self) {
        self.hall.change(|state| {
            state.release(self.consumer);
            state.consumers.remove(&self.consumer);
        });
    }

    fn set_mode(&self, mode: Mode) {
        self.hall.change(|state| {
            if let Some(consumer) = state.consumers.get_mut(&self.consumer)
                && consumer.mode != Mode::Stopped
            {
                consumer.mode = mode;
            }
        });
    }

    /// Whether jobs are accepted.
    fn admit(&self, state: &mut State) -> Result<(), PublishError> {
        self.open(state)?;
        if state.jobs >= JOBS_MAX {
            return Err(PublishError::Refused);
        }
        state.jobs = state.jobs.saturating_add(1);
        Ok(())
    }

    fn open(&self, state: &State) -> Result<(), PublishError> {
        match state.mode(self.consumer) {
            Mode::Consuming | Mode::Paused | Mode::Stopped => Ok(()),
            Mode::Closed => Err(PublishError::Unavailable(Box::new(Closed))),
        }
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn lanes(&self) -> Vec<Lane> {
        Lane::all(Shards::default())
    }

    async fn next(&self, lane: Lane) -> Option<Delivery> {
        if !self.lanes().contains(&lane) {
            return None;
        }
        loop {
            // Made before the look, so that a change in between is not missed.
            let changed = self.hall.changed.notified();
            {
                let mut state = self.hall.state();
                match state.mode(self.consumer) {
                    Mode::Stopped | Mode::Closed => return None,
                    Mode::Consuming | Mode::Paused => {}
                }
                if let Some(delivery) = state.deliver(lane, self.consumer, self.prefetch) {
                    return Some(delivery);
                }
            }
            changed.await;
        }
    }

    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        self.hall
            .change(|state| match state.take(delivery, self.consumer) {
                Some(_done) => {
                    state.jobs = state.jobs.saturating_sub(1);
                    Settlement::Sent
                }
                None => Settlement::Lost,
            })
    }

    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        self.hall
            .change(|state| match state.take(delivery, self.consumer) {
                Some(copy) => {
                    state.put_back(copy);
                    Settlement::Sent
                }
                None => Settlement::Lost,
            })
    }

    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.hall
            .state()
            .consumers
            .get(&self.consumer)
            .is_some_and(|consumer| {
                consumer.channel == delivery.channel && consumer.unacked.contains_key(&delivery.tag)
            })
    }

    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        self.admit(&mut self.hall.state())?;
        let clock = Arc::clone(&self.hall.clock);
        let hall = Arc::downgrade(&self.hall);
        let copy = copy.clone();
        tokio::spawn(async move {
            clock.sleep(delay).await;
            if let Some(hall) = hall.upgrade() {
                hall.change(|state| state.enqueue(copy));
            }
        });
        Ok(())
    }

    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        self.hall.change(|state| {
            self.admit(state)?;
            state.enqueue(copy.clone());
            Ok(())
        })
    }

    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        let mut state = self.hall.state();
        self.open(&state)?;
        state
            .subscribers
            .retain(|mailbox| mailbox.strong_count() > 0);
        if state.subscribers.is_empty() {
            keep_newest(&mut state.unrouted, event.clone());
        }
        for mailbox in state.subscribers.iter().filter_map(Weak::upgrade) {
            mailbox.put(event.clone());
        }
        Ok(())
    }

    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        let state = self.hall.state();
        self.open(&state)?;
        let name = address.reply_to.as_deref().unwrap_or_default();
        let Some(mailbox) = state.reply_queues.get(name).and_then(Weak::upgrade) else {
            return Err(PublishError::Unroutable {
                exchange: String::new(),
                routing_key: name.to_owned(),
            });
        };
        mailbox.put(Reply {
            event: event.clone(),
            correlation_id: address.correlation_id.clone(),
        });
        Ok(())
    }

    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        let mut state = self.hall.state();
        self.open(&state)?;
        let letter = DeadLetter {
            copy: copy.clone(),
            epitaph: epitaph.clone(),
        };
        keep_newest(&mut state.dead, letter);
        Ok(())
    }

    async fn pause(&self) {
        self.set_mode(Mode::Paused);
    }

    async fn resume(&self) {
        self.set_mode(Mode::Consuming);
    }

    async fn stop(&self) {
        self.set_mode(Mode::Stopped);
    }

    async fn close(&self) {
        self.leave();
    }

    async fn waiting(&self, kind: Kind) -> Option<u64> {
        let state = self.hall.state();
        let queues = state.queues.iter().filter(|(lane, _)| lane.kind == kind);
        u64::try_from(queues.map(|(_, queue)| queue.len()).sum::<usize>()).ok()
    }

    fn connection(&self) -> Connection {
        match self.hall.state().mode(self.consumer) {
            Mode::Consuming | Mode::Paused | Mode::Stopped => Connection::Up,
            Mode::Closed => Connection::Down,
        }
    }
}

fn keep_newest<T>(list: &mut VecDeque<T>, item: T) {
    while list.len() >= KEPT_MAX {
        list.pop_front();
    }
    list.push_back(item);
}
