//! Consuming: each lane by itself, from the queue to whoever asks for the next delivery.

mod acknowledging;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer, Queue};
use tokio::sync::{Notify, watch};

use crate::adapters::rabbitmq::acks::Outstanding;
use crate::adapters::rabbitmq::connection::{ANSWER_TIMEOUT, NoAnswer};
use crate::adapters::rabbitmq::lanes::{Drain, Found, look};
use crate::adapters::rabbitmq::liveness::{Ailment, Liveness, Look, Room};
use crate::adapters::rabbitmq::message::read_delivery;
use crate::adapters::rabbitmq::topology::{Topology, TopologyError};
use crate::domain::causes::with_causes;
use crate::domain::lane::Lane;
use crate::ports::broker::{Delivery, DeliveryTag};
use crate::ports::clock::Clock;

/// How long a lane waits before it replaces its channel.
const REPLACE_DELAY: Duration = Duration::from_millis(500);

/// How often the queue is looked at, to see whether our consumer still is one.
const PROBE_PERIOD: Duration = Duration::from_secs(2);

/// How long that look may take; without an answer by then the connection is given up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a resting lane looks whether its channel still stands.
const REST_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How often it is looked whether the deleted queue of a retired shard is there again.
const RETIRED_LOOK_PERIOD: Duration = Duration::from_secs(60);

/// How long pausing waits for the broker to have taken the consumers away.
const PAUSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What is wanted of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Consuming,
    Paused,
    Stopped,
}

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no channel.
    Away,
    /// It has a consumer.
    Consuming,
    /// It has a channel and, as was wanted, no consumer.
    Resting,
    /// Its shard is retired and its queue deleted.
    Gone,
}

/// Why a lane lost its channel.
#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("talk to RabbitMQ")]
    Client(#[from] lapin::Error),
    #[error("declare the queue")]
    Topology(#[from] TopologyError),
    #[error("wait for RabbitMQ")]
    NoAnswer(#[from] NoAnswer),
    #[error("RabbitMQ cancelled the consumer, as when the queue is deleted or loses its leader")]
    Cancelled,
    #[error("RabbitMQ knows no consumer of the queue")]
    Forgotten,
    #[error("messages wait, and RabbitMQ delivers none of them")]
    PassedOver,
    #[error("the queue of a retired shard is deleted")]
    Gone,
}

impl From<Ailment> for LaneError {
    fn from(ailment: Ailment) -> Self {
        match ailment {
            Ailment::Forgotten => Self::Forgotten,
            Ailment::PassedOver => Self::PassedOver,
        }
    }
}

/// One lane's way from the broker to the worker.
pub(crate) struct Consumption {
    lane: Lane,
    /// Among all lanes of this connection.
    place: usize,
    queue: ShortString,
    prefetch: u16,
    inbox: Mutex<Inbox>,
    arrived: Notify,
    /// Rung when there is something to acknowledge.
    done: Notify,
    acknowledging: tokio::sync::Mutex<()>,
    mode: watch::Sender<Mode>,
    phase: watch::Sender<Phase>,
}

#[derive(Default)]
struct Inbox {
    held: Option<HeldChannel>,
    /// Not yet handed out; at most the prefetch, which the broker keeps to.
    waiting: VecDeque<Delivery>,
    ended: bool,
}

struct HeldChannel {
    number: u64,
    channel: Arc<Channel>,
    /// Handed out, waiting, or done and not yet acknowledged.
    outstanding: Outstanding,
}

impl Inbox {
    /// The channel that the delivery came on, if it is still ours.
    fn channel(&mut self, delivery: &DeliveryTag) -> Option<&mut HeldChannel> {
        let held = self.held.as_mut();
        held.filter(|held| held.number == delivery.channel)
    }

    /// The next delivery, unless `prefetch` of them are in the worker's hands already: the broker
    /// counts for each consumer anew, so after a pause it sends more.
    fn hand_out(&mut self, prefetch: u16) -> Option<Delivery> {
        let held = self.held.as_ref();
        let unacked = held.map_or(0, |held| held.outstanding.held());
        if unacked.saturating_sub(self.waiting.len()) >= usize::from(prefetch) {
            return None;
        }
        self.waiting.pop_front()
    }
}

/// What the lanes of one connection share.
pub(crate) struct Surroundings {
    pub(crate) topology: Arc<Topology>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) channels: AtomicU64,
}

impl Surroundings {
    /// A number that no channel had before, from which [`place_of`] reads the lane's place.
    fn next_channel(&self, place: usize) -> u64 {
        let generation = self.channels.fetch_add(1, Ordering::Relaxed);
        let place = u64::try_from(place).unwrap_or(0);
        generation.saturating_mul(PLACES).saturating_add(place)
    }
}

/// More than there can be lanes.
const PLACES: u64 = 1_024;

/// The place of the lane that a channel's number was made for.
pub(crate) fn place_of(channel: u64) -> usize {
    usize::try_from(channel % PLACES).unwrap_or(usize::MAX)
}

impl Consumption {
    /// `place` is the lane's among all of its connection.
    pub(crate) fn new(lane: Lane, place: usize, prefetch: u16, topology: &Topology) -> Self {
        Self {
            lane,
            place,
            queue: topology.job_queue(lane),
            prefetch,
            inbox: Mutex::new(Inbox::default()),
            arrived: Notify::new(),
            done: Notify::new(),
            acknowledging: tokio::sync::Mutex::default(),
            mode: watch::Sender::new(Mode::Consuming),
            phase: watch::Sender::new(Phase::Away),
        }
    }

    pub(crate) const fn lane(&self) -> Lane {
        self.lane
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) async fn next(&self) -> Option<Delivery> {
        loop {
            // Made before the look, so that what arrives in between is not missed.
            let arrived = self.arrived.notified();
            {
                let mut inbox = self.inbox();
                if let Some(delivery) = inbox.hand_out(self.prefetch) {
                    if !inbox.waiting.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(delivery);
                }
                if inbox.ended {
                    return None;
                }
            }
            arrived.await;
        }
    }

    pub(crate) fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.inbox().held.as_ref().is_some_and(|held| {
            held.number == delivery.channel
                && held.outstanding.holds(delivery.tag)
                && held.channel.status().connected()
        })
    }

    /// Asks for another mode; nothing changes once it was stopped.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.send_if_modified(|current| {
            let changes = *current != Mode::Stopped && *current != mode;
            if changes {
                *current = mode;
            }
            changes
        });
        if matches!(self.phase(), Phase::Away | Phase::Gone) {
            self.end_if_stopped();
        }
    }

    /// Waits until the lane has no consumer, for a few seconds at most.
    pub(crate) async fn rested(&self) {
        let mut phase = self.phase.subscribe();
        let resting = phase.wait_for(|phase| *phase != Phase::Consuming);
        if tokio::time::timeout(PAUSE_WAIT_MAX, resting).await.is_err() {
            tracing::warn!(lane = %self.lane, "RabbitMQ has not yet cancelled the consumer");
        }
    }

    /// Keeps a channel, and a consumer where one is wanted, for as long as `connection` is good.
    pub(crate) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        around: Arc<Surroundings>,
    ) {
        loop {
            let Err(error) = self.keep_channel(&connection, &around).await;
            let is_gone = matches!(error, LaneError::Gone);
            self.forget_channel(if is_gone { Phase::Gone } else { Phase::Away });
            if !connection.status().connected() {
                return;
            }
            if is_gone {
                around.clock.sleep(RETIRED_LOOK_PERIOD).await;
                continue;
            }
            tracing::warn!(lane = %self.lane, error = %with_causes(&error), "replacing the consumer");
            if matches!(error, LaneError::NoAnswer(_)) {
                // A channel that does not answer cannot be closed either, and what it holds would
                // not come again before the connection ends.
                return;
            }
            around.clock.sleep(REPLACE_DELAY).await;
        }
    }

    /// Forgets the channel: what was delivered on it comes again.
    pub(crate) fn lose_channel(&self) {
        self.forget_channel(Phase::Away);
    }

    fn forget_channel(&self, phase: Phase) {
        {
            let mut inbox = self.inbox();
            inbox.held = None;
            inbox.waiting.clear();
        }
        self.phase.send_replace(phase);
        self.end_if_stopped();
    }

    async fn keep_channel(
        &self,
        connection: &Connection,
        around: &Surroundings,
    ) -> Result<Infallible, LaneError> {
        if around.topology.is_retired(self.lane)
            && answered(look(&around.topology, self.lane, connection)).await? == Found::Nothing
        {
            return Err(LaneError::Gone);
        }
        let channel = Arc::new(answered(connection.create_channel()).await?);
        answered(around.topology.declare_job_queue(&channel, self.lane)).await?;
        answered(channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let number = around.next_channel(self.place);
        self.inbox().held = Some(HeldChannel {
            number,
            channel: Arc::clone(&channel),
            outstanding: Outstanding::default(),
        });
        tokio::select! {
            ended = self.keep_mode(&channel, number, around) => ended,
            ended = self.keep_acknowledging(&*around.clock) => ended,
        }
    }

    async fn keep_mode(
        &self,
        channel: &Channel,
        number: u64,
        around: &Surroundings,
    ) -> Result<Infallible, LaneError> {
        let mut mode = self.mode.subscribe();
        loop {
            let wanted = *mode.borrow_and_update();
            match wanted {
                Mode::Consuming => self.consume(channel, number, &mut mode, around).await?,
                Mode::Paused | Mode::Stopped => {
                    self.phase.send_replace(Phase::Resting);
                    self.end_if_stopped();
                    self.rest(channel, &mut mode, around).await?;
                }
            }
        }
    }

    /// Consumes until another mode is wanted.
    async fn consume(
        &self,
        channel: &Channel,
        number: u64,
        mode: &mut watch::Receiver<Mode>,
        around: &Surroundings,
    ) -> Result<(), LaneError> {
        let mut consumer = answered(channel.basic_consume(
            self.queue.clone(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        ))
        .await?;
        self.phase.send_replace(Phase::Consuming);
        let (mut liveness, mut delivered) = (Liveness::default(), 0);
        let mut drain = around.topology.is_retired(self.lane).then(Drain::default);
        // Beside the deliveries, which must not wait for a slow answer.
        let mut probe = pin!(self.probe(channel, around));
        loop {
            tokio::select! {
                delivery = consumer.next() => {
                    self.take_in(number, delivery.ok_or(LaneError::Cancelled)??);
                    delivered += 1;
                    // What came along is taken without waking up for each.
                    while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
                        self.take_in(number, delivery);
                        delivered += 1;
                    }
                }
                _changed = mode.changed() => return self.cancel(channel, consumer).await,
                queue = &mut probe => {
                    let queue = queue?;
                    if let Some(drain) = &mut drain {
                        drain.look(self.queue.as_str(), queue.message_count());
                    }
                    if let Some(ailment) = liveness.judge(self.look(&queue, delivered)) {
                        return Err(ailment.into());
                    }
                    probe.set(self.probe(channel, around));
                }
            }
        }
    }

    fn look(&self, queue: &Queue, delivered: u64) -> Look {
        // What is done counts at the broker until it is acknowledged.
        let unacked = self.inbox().held.as_ref().map_or(0, |held| {
            let outstanding = &held.outstanding;
            outstanding.held().saturating_add(outstanding.done())
        });
        Look {
            ready: queue.message_count(),
            consumers: queue.consumer_count(),
            delivered,
            room: if unacked < usize::from(self.prefetch) {
                Room::Some
            } else {
                Room::None
            },
        }
    }

    fn take_in(&self, channel: u64, delivery: lapin::message::Delivery) {
        let tag = delivery.delivery_tag;
        let delivery = read_delivery(DeliveryTag { channel, tag }, self.lane, delivery);
        {
            let mut inbox = self.inbox();
            if let Some(held) = inbox.held.as_mut() {
                held.outstanding.take_in(tag);
                inbox.waiting.push_back(delivery);
            }
        }
        self.arrived.notify_one();
    }

    /// Takes the consumer away and gives back what nobody was given yet.
    async fn cancel(&self, channel: &Channel, mut consumer: Consumer) -> Result<(), LaneError> {
        answered(channel.basic_cancel(consumer.tag(), BasicCancelOptions::default())).await?;
        let mut unwanted = Vec::new();
        // The stream ends behind what had arrived before the broker's answer.
        while let Some(delivery) = consumer.next().await {
            unwanted.push(delivery?.delivery_tag);
        }
        {
            let mut inbox = self.inbox();
            let waiting = std::mem::take(&mut inbox.waiting);
            if let Some(held) = inbox.held.as_mut() {
                for tag in &unwanted {
                    held.outstanding.take_in(*tag);
                }
                unwanted.extend(waiting.iter().map(|delivery| delivery.tag.tag));
                // Before anything is written: what is acknowledged meanwhile must not cover them.
                unwanted.retain(|tag| held.outstanding.leave(*tag));
            }
        }
        for tag in unwanted {
            let written = answered(requeue(channel, tag)).await;
            if let Some(held) = self.inbox().held.as_mut() {
                held.outstanding.left(tag, &written);
            }
            written?;
        }
        self.done.notify_one();
        Ok(())
    }

    /// Waits, with a channel but no consumer, until another mode is wanted.
    async fn rest(
        &self,
        channel: &Channel,
        mode: &mut watch::Receiver<Mode>,
        around: &Surroundings,
    ) -> Result<(), LaneError> {
        loop {
            tokio::select! {
                _changed = mode.changed() => return Ok(()),
                () = around.clock.sleep(REST_LOOK_PERIOD) => {
                    if !channel.status().connected() {
                        return Err(LaneError::Cancelled);
                    }
                }
            }
        }
    }

    /// Looks at the queue after a while; one that was deleted costs the channel.
    async fn probe(&self, channel: &Channel, around: &Surroundings) -> Result<Queue, LaneError> {
        around.clock.sleep(PROBE_PERIOD).await;
        let question = channel.queue_declare(
            self.queue.clone(),
            QueueDeclareOptions::durable().passive(),
            FieldTable::default(),
        );
        match tokio::time::timeout(PROBE_TIMEOUT, question).await {
            Ok(queue) => Ok(queue?),
            Err(_elapsed) => Err(NoAnswer(PROBE_TIMEOUT).into()),
        }
    }

    fn end_if_stopped(&self) {
        if *self.mode.borrow() == Mode::Stopped {
            self.inbox().ended = true;
            self.arrived.notify_waiters();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing panics while it holds the lock; a poisoned inbox would still be whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn requeue(channel: &Channel, tag: u64) -> lapin::Result<()> {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    channel.basic_nack(tag, options).await
}

/// Waits for the broker's answer, but not for ever.
async fn answered<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, LaneError>
where
    LaneError: From<E>,
{
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => Err(NoAnswer(ANSWER_TIMEOUT).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lane::{SHARDS_MAX, Shards};

    #[test]
    fn a_channels_number_tells_the_lanes_place() {
        let most = Lane::all(Shards::default()).len() + 3 * usize::from(SHARDS_MAX);
        assert!(u64::try_from(most).unwrap() < PLACES);
        for generation in [0, 1, 77] {
            for place in 0..most {
                let number = generation * PLACES + u64::try_from(place).unwrap();
                assert_eq!(place_of(number), place);
            }
        }
    }
}
