//! The ports of one replica: they reach the town's servers through everything that can go wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::app::digest::{digest, fingerprint};
use hongbaod::domain::entry::{Entry, RequestDigest, ReturnAddress};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{JobKey, Kind, MoneyJob, QueryTarget};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{Doubt, Finding, Verdict};
use hongbaod::ports::broker::{
    Broker, Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy, PublishError, Settlement,
};
use hongbaod::ports::gateway::{BizContent, Expected, Gateway, Prepared};
use hongbaod::ports::ledger::{
    Connection, Ledger, LedgerError, LedgerHealth, Removed, Revision, ScanCursor, Versioned,
    Written,
};

use super::bank::{Moment, Request};
use super::hall::Mode;
use super::oracle::tag_of;
use super::process::{Failed, Fate, Process, Words};
use super::scenario::app;
use super::town::State;

const LEDGER: Words = Words {
    error: "ledger: error before the effect",
    refused: "ledger: write refused",
    late: "ledger: executed after the caller gave up",
    reply_lost: "ledger: reply lost",
    slow: "ledger: slow",
    slow_reply: "ledger: slow reply",
    crash_before: "crash before a ledger call",
    crash_after: "crash after a ledger call",
    freeze_after: "freeze after a ledger call",
};

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

const GATEWAY: Words = Words {
    error: "gateway: slow",
    refused: "gateway: slow",
    late: "gateway: slow",
    reply_lost: "gateway: slow",
    slow: "gateway: slow",
    slow_reply: "gateway: slow answer",
    crash_before: "crash before a gateway call",
    crash_after: "crash after a gateway call",
    freeze_after: "freeze after a gateway call",
};

/// The ledger as a replica reaches it.
pub(crate) struct SimLedger(pub(crate) Arc<Process>);

fn ledger_error(failed: Failed) -> LedgerError {
    match failed {
        Failed::Unavailable => LedgerError::Unavailable("no reply".into()),
        Failed::Refused => LedgerError::Refused {
            reason: "OOM".to_owned(),
        },
    }
}

fn short(entry: &Entry) -> String {
    match entry {
        Entry::InFlight(entry) => format!(
            "InFlight {{ attempt {}, maybe_sent {} }}",
            entry.attempt, entry.pending.maybe_sent
        ),
        Entry::Deferred(entry) => format!(
            "Deferred {{ ticket {}, maybe_sent {} }}",
            entry.ticket.0, entry.pending.maybe_sent
        ),
        Entry::Settled(outcome) => format!("Settled {{ {} }}", outcome.resolution.as_str()),
    }
}

impl SimLedger {
    /// Carries a command out, with all that can happen on the way.
    async fn command<T: Send + 'static>(
        &self,
        what: String,
        effect: impl FnOnce(&mut State, Duration) -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let process = &self.0;
        let town = &process.town;
        let (rate, away) =
            town.with(|state| (state.weather.ledger, state.store.away_until > town.now()));
        if away {
            process.alive().await;
            process.set_connection(Connection::Down);
            return Err(ledger_error(Failed::Unavailable));
        }
        let fate = process.enter(rate, &LEDGER).await.map_err(ledger_error)?;
        if let Fate::Late(after) = fate {
            let late = Arc::clone(process);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                late.town.note(&late.name, &format_args!("(late) {what}"));
                let now = late.town.now();
                late.town.with(|state| effect(state, now));
            });
            process.leave(fate).await.map_err(ledger_error)?;
            return Err(ledger_error(Failed::Unavailable));
        }
        let now = town.now();
        town.note(&process.name, &what);
        let result = town.with(|state| effect(state, now));
        process.leave(fate).await.map_err(ledger_error)?;
        Ok(result)
    }
}

#[async_trait]
impl Ledger for SimLedger {
    async fn insert(&self, key: &JobKey, entry: &Entry) -> Result<Written, LedgerError> {
        let what = format!("insert {key} {}", short(entry));
        let (key, entry) = (key.clone(), entry.clone());
        self.command(what, move |state, now| {
            state.store.insert(now, &key, &entry)
        })
        .await
    }
    async fn read(&self, key: &JobKey) -> Result<Option<Versioned>, LedgerError> {
        let what = format!("read {key}");
        let key = key.clone();
        self.command(what, move |state, _| state.store.read(&key))
            .await
    }
    async fn replace(
        &self,
        key: &JobKey,
        old: &Revision,
        new: &Entry,
    ) -> Result<Written, LedgerError> {
        let what = format!("replace {key} by {}", short(new));
        let (key, old, new) = (key.clone(), old.clone(), new.clone());
        self.command(what, move |state, now| {
            state.store.replace(now, &key, &old, &new)
        })
        .await
    }
    async fn remove(&self, key: &JobKey, old: &Revision) -> Result<Removed, LedgerError> {
        let what = format!("remove {key}");
        let (key, old) = (key.clone(), old.clone());
        self.command(what, move |state, now| state.store.remove(now, &key, &old))
            .await
    }
    async fn replicated(&self, replicas: u32, _timeout: Duration) -> Result<bool, LedgerError> {
        self.command("wait for replicas".to_owned(), move |state, _| {
            let there = replicas == 0 || !state.dice.happens(200);
            if there && replicas > 0 {
                state.store.replicate();
            }
            there
        })
        .await
    }
    async fn unsettled(
        &self,
        due_before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<JobKey>, LedgerError> {
        self.command("unsettled".to_owned(), move |state, _| {
            state.store.unsettled(due_before, limit)
        })
        .await
    }
    async fn scan(&self, _cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        self.command("scan".to_owned(), |state, _| {
            (state.store.scan(), ScanCursor::START)
        })
        .await
    }
    fn health(&self) -> LedgerHealth {
        *self.0.health.borrow()
    }
    async fn changed(&self, seen: LedgerHealth) -> LedgerHealth {
        let mut health = self.0.health.subscribe();
        let changed = health.wait_for(|now| *now != seen).await.map(|now| *now);
        self.0.alive().await;
        changed.unwrap_or(seen)
    }
}

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
    async fn next(&self, kind: Kind) -> Option<Delivery> {
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
                state.hall.deliver(kind, channel, drawn)
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

/// Alipay as a replica reaches it.
pub(crate) struct SimGateway(pub(crate) Arc<Process>);

impl SimGateway {
    /// On the way there.
    async fn travel(&self) -> Fate {
        let process = &self.0;
        let (rate, way) = process.town.with(|state| {
            let rate = (state.weather.ledger + state.weather.broker) / 2;
            (rate, state.dice.millis(1, 300))
        });
        let fate = process.enter(rate, &GATEWAY).await.unwrap_or(Fate::Fine);
        tokio::time::sleep(way).await;
        process.alive().await;
        fate
    }

    /// On the way back: whether the answer comes in time.
    async fn come_back(&self, begun: Duration, fate: Fate) -> bool {
        let process = &self.0;
        let limit = process.town.scenario.options.call_timeout;
        let fate = match fate {
            Fate::Late(length) | Fate::SlowReply(length) => {
                let left = (begun + limit).saturating_sub(process.town.now());
                tokio::time::sleep(length.min(left)).await;
                Fate::Fine
            }
            Fate::ReplyLost => {
                let left = (begun + limit).saturating_sub(process.town.now());
                tokio::time::sleep(left).await;
                Fate::Fine
            }
            Fate::Fine | Fate::CrashAfter | Fate::FreezeAfter(_) => fate,
        };
        let _ended = process.leave(fate).await;
        process.town.now() < begun + limit
    }
}

#[async_trait]
impl Gateway for SimGateway {
    fn apps(&self) -> Vec<AppName> {
        vec![app()]
    }

    fn prepare(&self, job: &MoneyJob) -> Option<Prepared> {
        let mut content = format!("version={}\n", self.0.version);
        for (field, value) in job.fields() {
            content.push_str(&format!("{}={value}\n", field.as_str()));
        }
        content.push_str(&tag_of(job));
        self.0
            .town
            .with(|state| state.contents.insert(content.clone(), job.clone()));
        Some(Prepared {
            method: "alipay.fund.coupon.order.disburse",
            digest: RequestDigest(digest(content.as_bytes()).0),
            biz_content: BizContent(content),
            expected: Expected {
                out_request_no: job.out_request_no.clone(),
                amount: job.amount(),
            },
        })
    }

    async fn send(&self, _app: &AppName, prepared: &Prepared) -> Verdict {
        let process = &self.0;
        let town = &process.town;
        let begun = town.now();
        let mut sender = process.sender();
        let content = prepared.biz_content.0.clone();
        let (job, number) = town.with(|state| {
            // What a planted bug has put behind the mark is no part of the job.
            let told = content.split('#').next().unwrap_or_default();
            let job = state.contents.get(told).cloned().unwrap();
            sender.is_marked = state.is_first_of_marked(process.channel(), &job);
            let whose = (&job, fingerprint(&job));
            let number = state.oracle.send_begins(begun, whose, &content, &sender);
            (job, number)
        });
        let key = job.key();
        town.note(&process.name, &format_args!("sends {key}"));
        let fate = self.travel().await;
        let request = Request {
            job,
            content,
            begun,
        };
        let overdue = town.now() > begun + town.scenario.options.call_timeout;
        let (verdict, word) = town.with(|state| {
            let mut moment = Moment {
                now: town.now(),
                trouble: state.weather.gateway,
                dice: &mut state.dice,
                overdue,
            };
            state.bank.send(&request, &mut moment)
        });
        if !word.is_empty() {
            town.fault("alipay", word);
        }
        let verdict = if self.come_back(begun, fate).await {
            verdict
        } else {
            Verdict::Unknown(Doubt::TimedOut)
        };
        town.note(&process.name, &format_args!("is told {verdict:?} of {key}"));
        town.with(|state| state.oracle.send_ended(&key, number, &verdict));
        verdict
    }

    async fn query(&self, _app: &AppName, target: &QueryTarget) -> Finding {
        let process = &self.0;
        let town = &process.town;
        let begun = town.now();
        let fate = self.travel().await;
        let (finding, word) = town.with(|state| {
            let mut moment = Moment {
                now: town.now(),
                trouble: state.weather.gateway,
                dice: &mut state.dice,
                overdue: false,
            };
            state.bank.query(target, &mut moment)
        });
        if !word.is_empty() {
            town.fault("alipay", word);
        }
        let finding = if self.come_back(begun, fate).await {
            finding
        } else {
            Finding::Unknown(Doubt::TimedOut)
        };
        town.note(
            &process.name,
            &format_args!("asks for {target}: {}", finding.as_str()),
        );
        if finding == Finding::NotFound {
            let now = town.now();
            town.with(|state| state.found_nothing(target, begun, now));
        }
        finding
    }
}
