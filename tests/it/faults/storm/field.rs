//! Where the storm takes place, and how each fault is inflicted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock;
use lapin::options::QueueDeleteOptions;
use serde_json::Value;

use super::comparison::Forgetting;
use super::producer::Producer;
use super::replica::Replica;
use super::schedule::{Fault, Link, Planned, REPLICAS, Whose};
use crate::daemon::broker::{Line, counts, take_all};
use crate::daemon::world::World;
use crate::faults::proxy::Proxy;
use crate::patience::{eventually, pause};
use crate::rabbitmq_server::RabbitmqServer;
use crate::redis_server::connection;

/// RabbitMQ 3.10 saves the votes of a young queue 5 s after its election; a node that is killed
/// earlier comes back with queues that never elect a leader. And when a queue with at-least-once
/// dead letters is deleted right after its election, the broker stops dead-lettering altogether,
/// until it is started again. Neither is a fault of ours.
const YOUTH: Duration = Duration::from_secs(8);

/// How many disburse jobs a daemon holds at most.
pub(crate) const PREFETCH: usize = 16;

/// The least pause between two faults of one victim.
const BREATH: Duration = Duration::from_secs(1);

/// So long after the end of the storm a late fault still comes.
const LATE_MAX: Duration = Duration::from_secs(15);

/// How often RabbitMQ is asked to start again, a minute each.
const STARTS_MAX: usize = 5;

/// The header of a copy that a daemon published.
const TICKET: &str = "x-hongbao-ticket";

/// Alipay's manners: mild, rough, good, unreadable. `{}` is what a used number answers.
const MANNERS: [&str; 4] = [
    r#"{"in_progress_done_permille": 30, "unknown_with_effect_permille": 30,
    "unknown_without_effect_permille": 10, "reset_after_effect_permille": 20,
    "reset_before_effect_permille": 10, "html_error_page_permille": 20,
    "truncated_answer_permille": 10, "forged_signature_permille": 20,
    "missing_signature_permille": 10, "limited_permille": 20, "query_unknown_permille": 30,
    "effect_delay_ms": 200, "delay_ms": 10, "idempotency": "{}"}"#,
    r#"{"in_progress_done_permille": 100, "in_progress_never_permille": 50,
    "unknown_with_effect_permille": 100, "unknown_without_effect_permille": 50,
    "hang_after_effect_permille": 20, "hang_before_effect_permille": 10, "hang_ms": 1500,
    "reset_after_effect_permille": 50, "reset_before_effect_permille": 50,
    "effect_delay_ms": 1000, "query_lag_ms": 300, "delay_ms": 30, "idempotency": "{}"}"#,
    r#"{"delay_ms": 20, "idempotency": "{}"}"#,
    r#"{"html_error_page_permille": 80, "truncated_answer_permille": 60,
    "forged_signature_permille": 80, "missing_signature_permille": 60,
    "duplicate_node_permille": 60, "limited_permille": 100, "query_unknown_permille": 150,
    "delay_ms": 10, "idempotency": "{}"}"#,
];

/// A queue that was deleted, and with it what the daemons held unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) what: Lost,
    /// What was published up to here may have been held.
    pub(crate) until: UnixMillis,
}

impl Loss {
    /// How many jobs were gone with it at most, of those that had left no other trace.
    pub(crate) fn held_max(self) -> usize {
        match self.what {
            Lost::Jobs => REPLICAS * PREFETCH,
            // What came into the ladder between the last look and the deletion.
            Lost::Copies => 4,
        }
    }
}

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Disburse jobs.
    Jobs,
    /// Copies of any job that waited.
    Copies,
}

/// What was done, for the comparison and for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary {
    /// Faults for which there was no time.
    pub(crate) left_out: usize,
    pub(crate) faults: BTreeMap<&'static str, usize>,
    pub(crate) forgettings: Vec<Forgetting>,
    pub(crate) losses: Vec<Loss>,
    /// The [`content`] of every message that was thrown away.
    pub(crate) thrown_away: BTreeSet<String>,
    /// How many they were.
    pub(crate) thrown_away_count: usize,
}

/// What a message asks for, whoever wrote it: copies of the daemons are spelled their own way.
pub(crate) fn content(body: &[u8]) -> String {
    let job: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| job[name].as_str();
    match (text("kind"), text("out_request_no"), text("amount")) {
        (Some("query"), Some(target), _) => format!("query {target}"),
        (Some(kind), Some(number), Some(amount)) => format!("{kind} {number} {amount}"),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Everything that a fault can be in.
pub(crate) struct Field {
    pub(crate) world: Arc<World>,
    pub(crate) replicas: Vec<Arc<Replica>>,
    pub(crate) node: RabbitmqServer,
    pub(crate) redis: String,
    pub(crate) producer: Producer,
    /// Where each [`content`] is in the asks; of those that are equal any one.
    pub(crate) places: HashMap<String, usize>,
    pub(crate) clock: SystemClock,
    /// Names of the retry queues, the shortest wait first.
    pub(crate) retry_queues: Vec<String>,
    /// What a used number answers.
    pub(crate) idempotency: &'static str,
    pub(crate) diary: Mutex<Diary>,
    /// Until when the broker is not killed.
    pub(crate) young_until: Mutex<Duration>,
}

impl Field {
    /// Inflicts the faults of one victim, each at its instant or when the one before has ended.
    ///
    /// A machine that is busy with something else makes them late; then there is a pause before
    /// each all the same, and what would come long after `end` is left out, and counted.
    pub(crate) async fn run_lane(
        self: Arc<Self>,
        (began, end): (Duration, Duration),
        lane: Vec<Planned>,
    ) {
        let mut least = Duration::ZERO;
        for planned in lane {
            let (now, fault) = (self.clock.monotonic().0, planned.fault);
            let at = (began + planned.at).max(now + least);
            if at > end + LATE_MAX {
                self.diary.lock().unwrap().left_out += 1;
                continue;
            }
            pause(at - now).await;
            least = BREATH;
            eprintln!("storm: {:>6} ms {fault:?}", (at - began).as_millis());
            self.inflict(fault).await;
            let mut diary = self.diary.lock().unwrap();
            *diary.faults.entry(fault.name()).or_default() += 1;
        }
    }

    async fn inflict(&self, fault: Fault) {
        match fault {
            Fault::WorkerKilled { replica, down } => {
                self.replicas[replica].restart("KILL", down).await;
            }
            Fault::WorkerReplaced { replica } => {
                self.replicas[replica].restart("TERM", Duration::ZERO).await;
            }
            Fault::WorkerFrozen { replica, length } => self.replicas[replica].freeze(length).await,
            Fault::BrokerKilled { down } => self.kill_broker(down).await,
            Fault::BrokerFrozen { length } => {
                self.node.run(&["stall-rabbitmq"]).await;
                pause(length).await;
                self.node.run(&["resume-rabbitmq"]).await;
            }
            Fault::BrokerAlarmed { length } => self.alarm(length).await,
            Fault::JobQueueDeleted => {
                let queue = format!("{}.jobs.disburse", self.world.prefix);
                self.delete(&queue, Lost::Jobs).await;
            }
            Fault::RetryQueueDeleted { rung } => {
                self.delete(&self.retry_queues[rung], Lost::Copies).await;
            }
            Fault::JobQueuePurged => {
                let queue = format!("{}.jobs.disburse", self.world.prefix);
                self.throw_away(&queue).await;
                self.producer.release();
            }
            Fault::RedisKilled { down } => self.kill_redis(down).await,
            Fault::RedisFrozen { length } => {
                self.node.run(&["stall-redis"]).await;
                pause(length).await;
                self.node.run(&["resume-redis"]).await;
            }
            Fault::RedisFull { length } => {
                // One byte: whatever is there already is more.
                self.redis(&["CONFIG", "SET", "maxmemory", "1"]).await;
                pause(length).await;
                self.redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
            }
            Fault::RedisFlushed => self.flush().await,
            Fault::LinkCut {
                link,
                whose,
                length,
            } => {
                self.each(link, whose, |proxy| {
                    proxy.refuse();
                    proxy.cut();
                });
                pause(length).await;
                self.each(link, whose, Proxy::heal);
            }
            Fault::LinkStalled {
                link,
                whose,
                directions,
                length,
            } => {
                self.each(link, whose, |proxy| proxy.stall(directions));
                pause(length).await;
                self.each(link, whose, Proxy::heal);
            }
            Fault::LinkHalfClosed {
                link,
                whose,
                direction,
            } => self.each(link, whose, |proxy| proxy.half_close(direction)),
            Fault::Manners { index } => self.set_manners(index).await,
        }
    }

    fn each(&self, link: Link, whose: Whose, change: impl Fn(&Proxy)) {
        let replicas = self.replicas.iter().enumerate();
        for (_, replica) in replicas.filter(|(index, _)| whose.include(*index)) {
            change(replica.link(link));
        }
    }

    pub(crate) async fn set_manners(&self, index: usize) {
        let knobs = MANNERS[index].replace("{}", self.idempotency);
        self.world.set_faults(&knobs).await;
    }

    /// Nothing goes wrong any more.
    pub(crate) async fn heal(&self) {
        self.set_manners(2).await;
        for link in Link::ALL {
            self.each(link, Whose::Everybodys, Proxy::heal);
        }
    }

    /// Lets the broker's queues be young from now on.
    pub(crate) fn queues_are_young(&self) {
        *self.young_until.lock().unwrap() = self.clock.monotonic().0 + YOUTH;
    }

    async fn kill_broker(&self, down: Duration) {
        self.grow_up().await;
        self.node.run(&["kill9-rabbitmq"]).await;
        pause(down).await;
        for _ in 1..STARTS_MAX {
            match self.node.try_run(&["restart-rabbitmq"]).await {
                Ok(_) => return self.queues_are_young(),
                Err(error) => eprintln!("storm: RabbitMQ starts slowly: {error}"),
            }
        }
        self.node.run(&["restart-rabbitmq"]).await;
        self.queues_are_young();
    }

    async fn alarm(&self, length: Duration) {
        let low = &["ctl", "set_vm_memory_high_watermark", "0.00001"];
        self.node.run(low).await;
        pause(length).await;
        let high = &["ctl", "set_vm_memory_high_watermark", "absolute", "1GB"];
        self.node.run(high).await;
    }

    /// Deletes a queue with all that is in it, and waits until a daemon has declared it again.
    async fn delete(&self, queue: &str, what: Lost) {
        self.grow_up().await;
        self.throw_away(queue).await;
        eventually("the queue is deleted", async || {
            let Ok(line) = Line::open(&self.world.amqp).await else {
                return false;
            };
            let options = QueueDeleteOptions::default();
            let deleted = line.channel.queue_delete(queue.into(), options).await;
            drop(line);
            deleted.is_ok()
        })
        .await;
        let queue = [queue.to_owned()];
        eventually("the queue is declared again", async || {
            counts(&self.world.amqp, &queue).await.is_ok()
        })
        .await;
        self.queues_are_young();
        let until = self.clock.now();
        self.producer.release();
        self.diary.lock().unwrap().losses.push(Loss { what, until });
    }

    /// Purges a queue, one message at a time, to know what was in it; what the daemons hold is
    /// theirs. Until [`Producer::release`] nothing new comes.
    async fn throw_away(&self, queue: &str) {
        self.producer.hold();
        eventually("the producer rests", async || self.producer.is_resting()).await;
        for (body, headers) in take_all(&self.world.amqp, queue).await {
            let content = content(&body);
            // The producer publishes its own messages again, as after any accident of the broker's.
            // What the daemons published is theirs to find missing.
            if !headers.inner().contains_key(TICKET)
                && let Some(ask) = self.places.get(&content)
            {
                self.producer.publish(*ask);
            }
            let mut diary = self.diary.lock().unwrap();
            diary.thrown_away_count += 1;
            diary.thrown_away.insert(content);
        }
    }

    /// Waits until the broker's queues are not young any more.
    async fn grow_up(&self) {
        let young_until = *self.young_until.lock().unwrap();
        pause(young_until.saturating_sub(self.clock.monotonic().0)).await;
    }

    /// This instant, in milliseconds since 1970.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now().0).unwrap()
    }

    async fn kill_redis(&self, down: Duration) {
        let from_ms = self.now_ms();
        self.node.run(&["kill9-redis"]).await;
        let to_ms = self.now_ms();
        let killed = Forgetting::Killed { from_ms, to_ms };
        self.diary.lock().unwrap().forgettings.push(killed);
        pause(down).await;
        self.node.run(&["restart-redis"]).await;
    }

    async fn flush(&self) {
        let from_ms = self.now_ms();
        self.redis(&["FLUSHALL"]).await;
        let to_ms = self.now_ms();
        let flushed = Forgetting::Flushed { from_ms, to_ms };
        self.diary.lock().unwrap().forgettings.push(flushed);
    }

    async fn redis(&self, words: &[&str]) {
        let mut redis = connection(&self.redis).await;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let _: redis::Value = command.query_async(&mut redis).await.unwrap();
    }
}
