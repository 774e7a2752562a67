//! The broker's server: queues, waiting copies, channels with what they hold, dead letters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::Lane;
use hongbaod::ports::broker::{Delivery, DeliveryTag, JobCopy};

/// After so many deliveries a quorum queue gives a message up.
const DELIVERY_LIMIT: u32 = 20;

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) tag: String,
    pub(crate) copy: JobCopy,
    redelivered: bool,
    deliveries: u32,
}

/// A message in the dead-letter queue.
pub(crate) struct DeadLetter {
    pub(crate) message: Message,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Consuming,
    Paused,
    Stopped,
}

struct Channel {
    mode: Mode,
    unacked: BTreeMap<u64, Message>,
    /// Jobs whose unmarked messages came over a channel that is cut: whoever works on them may not
    /// know yet that it works in vain.
    ghosts: BTreeSet<String>,
}

/// The server.
pub(crate) struct Hall {
    prefetch: usize,
    queues: BTreeMap<Lane, VecDeque<Message>>,
    later: BTreeMap<u64, Message>,
    channels: BTreeMap<u64, Channel>,
    pub(crate) dead: Vec<DeadLetter>,
    numbers: u64,
    pub(crate) deliveries: u64,
}

impl Hall {
    pub(crate) fn new(prefetch: usize) -> Self {
        Self {
            prefetch,
            queues: BTreeMap::new(),
            later: BTreeMap::new(),
            channels: BTreeMap::new(),
            dead: Vec::new(),
            numbers: 0,
            deliveries: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Message> {
        self.queues.entry(lane).or_default()
    }

    pub(crate) fn message(tag: &str, copy: JobCopy) -> Message {
        Message {
            tag: tag.to_owned(),
            copy,
            redelivered: false,
            deliveries: 0,
        }
    }

    pub(crate) fn enqueue(&mut self, message: Message) {
        self.queue(message.copy.lane()).push_back(message);
    }

    /// Keeps a copy for later; the number is what it is woken by.
    pub(crate) fn put_off(&mut self, message: Message) -> u64 {
        let number = self.number();
        self.later.insert(number, message);
        number
    }

    pub(crate) fn wake(&mut self, number: u64) {
        if let Some(message) = self.later.remove(&number) {
            self.enqueue(message);
        }
    }

    pub(crate) fn open(&mut self) -> u64 {
        let number = self.number();
        let channel = Channel {
            mode: Mode::Consuming,
            unacked: BTreeMap::new(),
            ghosts: BTreeSet::new(),
        };
        self.channels.insert(number, channel);
        number
    }

    /// Cuts a channel and opens another for the same process.
    pub(crate) fn reopen(&mut self, channel: u64) -> u64 {
        let ghosts = self.channels.get_mut(&channel).map(|cut| {
            let unmarked = cut.unacked.values().filter(|message| !message.redelivered);
            let unmarked = unmarked.map(|message| message.tag.clone());
            let mut ghosts = std::mem::take(&mut cut.ghosts);
            ghosts.extend(unmarked);
            ghosts
        });
        let mode = self.close(channel);
        let number = self.open();
        self.set_mode(number, mode);
        if let Some(opened) = self.channels.get_mut(&number) {
            opened.ghosts = ghosts.unwrap_or_default();
        }
        number
    }

    pub(crate) fn mode(&self, channel: u64) -> Mode {
        self.channels
            .get(&channel)
            .map_or(Mode::Stopped, |channel| channel.mode)
    }

    pub(crate) fn set_mode(&mut self, channel: u64, mode: Mode) {
        if let Some(channel) = self.channels.get_mut(&channel)
            && channel.mode != Mode::Stopped
        {
            channel.mode = mode;
        }
    }

    /// Closes a channel: what it held comes again. Returns its mode.
    pub(crate) fn close(&mut self, channel: u64) -> Mode {
        let Some(channel) = self.channels.remove(&channel) else {
            return Mode::Stopped;
        };
        // The oldest comes to the front last, and so is first again.
        for message in channel.unacked.into_values().rev() {
            self.put_back(message);
        }
        channel.mode
    }

    fn put_back(&mut self, mut message: Message) {
        message.redelivered = true;
        if message.deliveries > DELIVERY_LIMIT {
            self.bury(message, "delivery_limit");
        } else {
            self.queue(message.copy.lane()).push_front(message);
        }
    }

    pub(crate) fn bury(&mut self, message: Message, reason: &'static str) {
        self.dead.push(DeadLetter { message, reason });
    }

    pub(crate) fn waiting(&self, kind: Kind) -> usize {
        let queues = self.queues.iter().filter(|(lane, _)| lane.kind == kind);
        queues.map(|(_, queue)| queue.len()).sum()
    }

    /// The next delivery; `drawn` says which of the queue's messages comes.
    pub(crate) fn deliver(
        &mut self,
        lane: Lane,
        channel: u64,
        drawn: Option<u64>,
    ) -> Option<Delivery> {
        let prefetch = self.prefetch;
        let state = self.channels.get(&channel)?;
        let held = state
            .unacked
            .values()
            .filter(|message| message.copy.lane() == lane)
            .count();
        if state.mode != Mode::Consuming || held >= prefetch {
            return None;
        }
        let queue = self.queue(lane);
        let at = drawn.map_or(0, |drawn| {
            usize::try_from(drawn).unwrap() % queue.len().max(1)
        });
        let mut message = queue.remove(at)?;
        message.deliveries += 1;
        let tag = self.number();
        self.deliveries += 1;
        let copy = &message.copy;
        let delivery = Delivery {
            tag: DeliveryTag { channel, tag },
            kind: lane.kind,
            tier: lane.tier,
            body: copy.body.clone(),
            ticket: copy.ticket,
            redelivered: message.redelivered,
            return_address: copy.return_address.clone(),
            published_at: copy.published_at,
            attempts: copy.attempts,
        };
        let state = self.channels.get_mut(&channel)?;
        state.unacked.insert(tag, message);
        Some(delivery)
    }

    /// Whether every message of a job that the channel's process may work on is marked as redelivered.
    pub(crate) fn is_marked(&self, channel: u64, tag: &str) -> bool {
        let Some(channel) = self.channels.get(&channel) else {
            return false;
        };
        let mut held = channel
            .unacked
            .values()
            .filter(|message| message.tag == tag)
            .peekable();
        let is_held = held.peek().is_some();
        is_held && held.all(|message| message.redelivered) && !channel.ghosts.contains(tag)
    }

    pub(crate) fn holds(&self, delivery: &DeliveryTag) -> bool {
        let channel = self.channels.get(&delivery.channel);
        channel.is_some_and(|channel| channel.unacked.contains_key(&delivery.tag))
    }

    pub(crate) fn ack(&mut self, delivery: &DeliveryTag) -> Option<Message> {
        self.channels
            .get_mut(&delivery.channel)?
            .unacked
            .remove(&delivery.tag)
    }

    pub(crate) fn hand_back(&mut self, delivery: &DeliveryTag) -> bool {
        let message = self.ack(delivery);
        let held = message.is_some();
        if let Some(message) = message {
            self.put_back(message);
        }
        held
    }

    /// Takes every waiting message of a kind away, put off ones included.
    pub(crate) fn purge(&mut self, kind: Kind) -> Vec<Message> {
        let queues = self.queues.iter_mut().filter(|(lane, _)| lane.kind == kind);
        let mut gone: Vec<Message> = queues.flat_map(|(_, queue)| queue.drain(..)).collect();
        let later = std::mem::take(&mut self.later);
        let (purged, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = later
            .into_iter()
            .partition(|(_, message)| message.copy.kind == kind);
        self.later = kept;
        gone.extend(purged.into_values());
        gone
    }

    /// An operator publishes again, marked so, what is dead and no invalid job.
    pub(crate) fn replay(&mut self) -> u64 {
        let dead = std::mem::take(&mut self.dead);
        let (kept, again): (Vec<_>, Vec<_>) = dead
            .into_iter()
            .partition(|letter| letter.reason == "invalid");
        self.dead = kept;
        let mut replayed = 0;
        for letter in again {
            let mut message = letter.message;
            message.redelivered = true;
            message.deliveries = 0;
            self.enqueue(message);
            replayed += 1;
        }
        replayed
    }

    /// How many messages of a job wait or are worked on, dead ones not counted.
    pub(crate) fn copies(&self, tag: &str) -> usize {
        self.living().filter(|message| message.tag == tag).count()
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = &Message> {
        let unacked = self
            .channels
            .values()
            .flat_map(|channel| channel.unacked.values());
        let waiting = self.queues.values().flatten();
        waiting.chain(self.later.values()).chain(unacked)
    }

    pub(crate) fn is_dead(&self, tag: &str) -> bool {
        self.dead.iter().any(|letter| letter.message.tag == tag)
    }
}
