//! The broker as one replica reaches it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::entry::ReturnAddress;
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::{Lane, Shards, Tier};
use hongbaod::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use hongbaod::ports::ledger::Connection;

use crate::sim::hall::Mode;
use crate::sim::process::{Failed, Fate, Process, Words};
use crate::sim::town::State;

const BROKER: Words = Words {
    error: "broker: error before the effect",
    refused: "broker: returned or refused",
    late: "broker: published after the caller gave up",
    reply_lost: "broker: confirm lost",
    slow: "broker: slow",
    slow_reply: "broker: slow confirm",
    crash_before: "crash before a broker call",
    crash_after: "crash after a broker call",
    freeze_after: "freeze after a broker call",
};

/// The broker as a replica reaches it.
pub(crate) struct SimBroker(pub(crate) Arc<Process>);

fn publish_error(failed: Failed) -> PublishError {
    match failed {
        Failed::Unavailable => PublishError::Unavailable("no confirm".into()),
        Failed::Refused => PublishError::Unroutable {
            exchange: "hongbao.jobs".to_owned(),
            routing_key: "disburse".to_owned(),
        },
    }
}

impl SimBroker {
    /// Publishes, with all that can happen on the way.
    async fn publish(
        &self,
        what: String,
        effect: impl FnOnce(&Arc<Process>) + Send + 'static,
    ) -> Result<(), PublishError> {
        let process = &self.0;
        let rate = process.town.with(|state| state.weather.broker);
        let fate = process.enter(rate, &BROKER).await.map_err(publish_error)?;
        if let Fate::Late(after) = fate {
            let late = Arc::clone(process);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                late.town.note(&late.name, &format_args!("(late) {what}"));
                effect(&late);
            });
        } else {
            process.town.note(&process.name, &what);
            effect(process);
        }
        process.leave(fate).await.map_err(publish_error)
    }
}

fn keep(process: &Arc<Process>, copy: &JobCopy, delay: Duration) {
    let town = &process.town;
    let after = town.with(|state| {
        let most = u64::try_from(delay.as_millis()).unwrap();
        delay + state.dice.millis(0, (most / 4).min(5_000))
    });
    let number = town.with(|state| {
        let message = State::message(copy);
        state.oracle.orphan(&message.tag, false);
        let tag = message.tag.clone();
        let number = state.hall.put_off(message);
        state.count_copies(town.now(), &tag);
        number
    });
    let town = Arc::clone(town);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        town.with(|state| state.hall.wake(number));
        town.changed.notify_waiters();
    });
}

#[async_trait]
impl Broker for SimBroker {
    fn lanes(&self) -> Vec<Lane> {
        Lane::all(Shards::default())
    }
    async fn next(&self, lane: Lane) -> Option<Delivery> {
        let process = &self.0;
        let town = &process.town;
        loop {
            process.alive().await;
            // Made before the look, so that a change in between is not missed.
            let changed = town.changed.notified();
            let channel = process.channel();
            let delivery = town.with(|state| {
                let reorder = state.weather.reorder;
                let drawn = state.dice.happens(reorder).then(|| state.dice.draw() >> 32);
                state.hall.deliver(lane, channel, drawn)
            });
            if let Some(delivery) = delivery {
                let tag = State::tag(&delivery.body);
                let (redelivered, ticket) = (delivery.redelivered, delivery.ticket);
                town.note(
                    &process.name,
                    &format_args!("is delivered {tag}, redelivered {redelivered}, {ticket:?}"),
                );
                return Some(delivery);
            }
            if town.with(|state| state.hall.mode(channel)) == Mode::Stopped {
                return None;
            }
            changed.await;
        }
    }
    async fn ack(&self, delivery: &DeliveryTag) -> Settlement {
        let process = &self.0;
        let rate = process.town.with(|state| state.weather.broker);
        let fate = process.enter(rate, &BROKER).await;
        let lost = matches!(fate, Err(_) | Ok(Fate::Late(_) | Fate::ReplyLost));
        if lost {
            // Written, but the connection broke before the broker read it.
            process.cut();
            return Settlement::Sent;
        }
        let message = process.town.with(|state| {
            let message = state.hall.ack(delivery)?;
            state.look_for(&message.tag);
            Some(message)
        });
        process.town.changed.notify_waiters();
        match message {
            Some(message) => {
                process
                    .town
                    .note(&process.name, &format_args!("acks {}", message.tag));
                if let Ok(fate) = fate {
                    let _ended = process.leave(fate).await;
                }
                Settlement::Sent
            }
            None => Settlement::Lost,
        }
    }
    async fn hand_back(&self, delivery: &DeliveryTag) -> Settlement {
        self.0.alive().await;
        let held = self.0.town.with(|state| state.hall.hand_back(delivery));
        self.0.town.changed.notify_waiters();
        if held {
            Settlement::Sent
        } else {
            Settlement::Lost
        }
    }
    fn holds(&self, delivery: &DeliveryTag) -> bool {
        self.0.town.with(|state| state.hall.holds(delivery))
    }
    async fn publish_later(&self, copy: &JobCopy, delay: Duration) -> Result<(), PublishError> {
        let what = format!(
            "puts {} off by {delay:?}, {:?}",
            State::tag(&copy.body),
            copy.ticket
        );
        let copy = copy.clone();
        self.publish(what, move |process| keep(process, &copy, delay))
            .await
    }
    async fn publish_job(&self, copy: &JobCopy) -> Result<(), PublishError> {
        let what = format!(
            "publishes {} again, {:?}",
            State::tag(&copy.body),
            copy.ticket
        );
        let copy = copy.clone();
        self.publish(what, move |process| {
            if copy.tier == Tier::Bulk {
                process.town.fault(&process.name, "job: set aside");
            }
            process.town.with(|state| {
                let message = State::message(&copy);
                state.oracle.orphan(&message.tag, false);
                state.hall.enqueue(message);
            });
            process.town.changed.notify_waiters();
        })
        .await
    }
    async fn publish_event(&self, event: &EventMessage) -> Result<(), PublishError> {
        let what = format!("tells {} {}", event.id, event.routing_key);
        let event = event.clone();
        self.publish(what, move |process| {
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
            let town = &process.town;
            let since = (town.now(), town.scenario.options.doubt);
            town.with(|state| state.tell(since, &event.id, &body));
        })
        .await
    }
    async fn publish_reply(
        &self,
        event: &EventMessage,
        address: &ReturnAddress,
    ) -> Result<(), PublishError> {
        let what = format!("answers {:?} {}", address.reply_to, event.id);
        self.publish(what, |_| {}).await
    }
    async fn bury(&self, copy: &JobCopy, epitaph: &Epitaph) -> Result<(), PublishError> {
        let what = format!("buries {}: {}", State::tag(&copy.body), epitaph.reason);
        let (copy, reason) = (copy.clone(), epitaph.reason);
        self.publish(what, move |process| {
            process.town.with(|state| {
                let message = State::message(&copy);
                state.oracle.orphan(&message.tag, false);
                state.hall.bury(message, reason);
            });
        })
        .await
    }
    async fn pause(&self) {
        self.0.alive().await;
        self.0.set_mode(Mode::Paused);
        // Consumers are cancelled, and what was delivered ahead goes back.
        self.0.town.note(&self.0.name, &"pauses");
    }
    async fn resume(&self) {
        self.0.alive().await;
        self.0.town.note(&self.0.name, &"resumes");
        self.0.set_mode(Mode::Consuming);
    }
    async fn stop(&self) {
        self.0.alive().await;
        self.0.set_mode(Mode::Stopped);
    }
    async fn close(&self) {
        self.0.alive().await;
    }
    async fn waiting(&self, kind: Kind) -> Option<u64> {
        self.0.alive().await;
        let waiting = self.0.town.with(|state| {
            let silent = state.weather.broker > 0 && state.dice.happens(50);
            (!silent).then(|| state.hall.waiting(kind))
        });
        waiting.map(|waiting| u64::try_from(waiting).unwrap())
    }
    fn connection(&self) -> Connection {
        Connection::Up
    }
}
