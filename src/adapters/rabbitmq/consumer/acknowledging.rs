//! A lane's other direction: what was worked is acknowledged, what was not is handed back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::BasicAckOptions;

use crate::adapters::rabbitmq::acks::{Ack, Outstanding};
use crate::domain::causes::with_causes;
use crate::domain::time::Monotonic;
use crate::ports::broker::{DeliveryTag, Settlement};
use crate::ports::clock::Clock;

use super::{Consumption, LaneError, requeue};

/// How long what is done may wait to be acknowledged together with other deliveries. It costs
/// nothing but that a replica which is killed meanwhile leaves more deliveries to be told again.
const ACK_DELAY_MAX: Duration = Duration::from_millis(50);

impl Consumption {
    /// Takes note that a delivery is worked. The acknowledgement is written soon after, together
    /// with others; should the channel be lost before, the delivery comes again.
    pub(crate) fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        let mut inbox = self.inbox();
        let finished = inbox
            .channel(delivery)
            .is_some_and(|held| held.outstanding.finish(delivery.tag));
        if !finished {
            return Settlement::Lost;
        }
        self.done.notify_one();
        if !inbox.waiting.is_empty() {
            self.arrived.notify_one();
        }
        Settlement::Sent
    }

    /// Writes that a delivery goes back to its queue. When that fails, the channel is gone and the
    /// delivery comes again all the same.
    pub(crate) async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        let channel = {
            let mut inbox = self.inbox();
            let Some(held) = inbox.channel(delivery) else {
                return Settlement::Lost;
            };
            if !held.outstanding.leave(delivery.tag) {
                return Settlement::Lost;
            }
            Arc::clone(&held.channel)
        };
        let written = requeue(&channel, delivery.tag).await;
        let mut inbox = self.inbox();
        if let Some(held) = inbox.channel(delivery) {
            held.outstanding.left(delivery.tag, &written);
        }
        self.done.notify_one();
        if !inbox.waiting.is_empty() {
            self.arrived.notify_one();
        }
        match written {
            Ok(()) => Settlement::Sent,
            Err(_gone) => Settlement::Lost,
        }
    }

    /// Writes acknowledgements for as long as the channel is ours.
    pub(super) async fn keep_acknowledging(
        &self,
        clock: &dyn Clock,
    ) -> Result<Infallible, LaneError> {
        let enough = usize::from(self.prefetch / 4).max(1);
        let mut until: Option<Monotonic> = None;
        loop {
            let is_over = match until {
                None => {
                    self.done.notified().await;
                    false
                }
                Some(until) => tokio::select! {
                    biased;
                    () = self.done.notified() => clock.monotonic() >= until,
                    () = clock.sleep(until.since(clock.monotonic())) => true,
                },
            };
            // Outside of the wait, which may be given up at any point.
            let mut left = self.done();
            if left >= enough {
                left = self.acknowledge(Outstanding::take_front).await?;
            }
            if is_over || left >= enough {
                left = self.acknowledge(Outstanding::take_all).await?;
            }
            until = match until {
                _ if left == 0 => None,
                Some(until) if !is_over => Some(until),
                Some(_) | None => Some(clock.monotonic().plus(ACK_DELAY_MAX)),
            };
        }
    }

    /// How many deliveries are done and not yet acknowledged.
    fn done(&self) -> usize {
        let inbox = self.inbox();
        let held = inbox.held.as_ref();
        held.map_or(0, |held| held.outstanding.done())
    }

    /// Writes the acknowledgements that `take` finds, and says how many are done and must wait.
    async fn acknowledge(
        &self,
        take: impl FnOnce(&mut Outstanding) -> Vec<Ack>,
    ) -> Result<usize, LaneError> {
        // In the order in which they are found: an acknowledgement of several covers no tag whose
        // own is still on its way.
        let _turn = self.acknowledging.lock().await;
        let (channel, acks, left) = {
            let mut inbox = self.inbox();
            let Some(held) = inbox.held.as_mut() else {
                return Ok(0);
            };
            let acks = take(&mut held.outstanding);
            (Arc::clone(&held.channel), acks, held.outstanding.done())
        };
        let writing = acks.into_iter().map(|ack| {
            let (tag, multiple) = match ack {
                Ack::One(tag) => (tag, false),
                Ack::UpTo(tag) => (tag, true),
            };
            channel.basic_ack(tag, BasicAckOptions { multiple })
        });
        try_join_all(writing).await?;
        Ok(left)
    }

    /// Writes every acknowledgement that is owed.
    pub(crate) async fn flush(&self) {
        if let Err(error) = self.acknowledge(Outstanding::take_all).await {
            tracing::debug!(error = %with_causes(&error), "what was done is delivered again");
        }
    }
}
