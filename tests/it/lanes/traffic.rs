//! A producer and a subscriber on one clock: how long each job took from publishing to its event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::domain::time::Monotonic;
use hongbaod::ports::clock::Clock;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::daemon::broker::{Line, subscribe};
use crate::daemon::world::World;
use crate::patience::{eventually_within, pause};

/// How long the last event may take.
const TOLD_WITHIN: Duration = Duration::from_secs(300);

/// Instants by the jobs' names.
type Instants = BTreeMap<String, Monotonic>;

/// What goes out and what comes back.
pub(super) struct Traffic {
    clock: SystemClock,
    /// Of whoever publishes steadily.
    line: Line,
    /// Of whoever publishes all at once: RabbitMQ slows down such a connection.
    flood: Line,
    exchange: String,
    asked: Instants,
    told: Arc<Mutex<Instants>>,
    listening: JoinHandle<()>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One job to publish: its name, its routing key, its body.
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) routing_key: &'static str,
    pub(super) body: Value,
}

impl Traffic {
    pub(super) async fn start(world: &World) -> Self {
        let clock = SystemClock::new();
        let told = Arc::new(Mutex::new(Instants::new()));
        let (sink, watch) = (Arc::clone(&told), clock);
        let listening = subscribe(&world.amqp, &world.prefix, move |body| {
            let now = watch.monotonic();
            let event: Value = serde_json::from_slice(body).unwrap();
            let mut told = sink.lock().unwrap();
            told.entry(name(&event)).or_insert(now);
        });
        let listening = listening.await;
        let line = Line::open(&world.amqp).await.unwrap();
        let flood = Line::open(&world.amqp).await.unwrap();
        let confirms = ConfirmSelectOptions::default();
        line.channel.confirm_select(confirms).await.unwrap();
        Self {
            clock,
            line,
            flood,
            exchange: format!("{}.jobs", world.prefix),
            asked: Instants::new(),
            told,
            listening,
        }
    }

    pub(super) fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// Publishes one job of many, all at once.
    pub(super) async fn flood(&mut self, ask: Ask) {
        self.asked.insert(ask.name.clone(), self.clock.monotonic());
        publish(&self.flood, &self.exchange, ask).await;
    }

    /// Publishes one job, without waiting for its confirm.
    pub(super) async fn ask(&mut self, ask: Ask) {
        self.asked.insert(ask.name.clone(), self.clock.monotonic());
        publish(&self.line, &self.exchange, ask).await;
    }

    /// Publishes what `next` makes, `per_second` of it for `length`, evenly.
    pub(super) async fn stream(
        &mut self,
        per_second: u32,
        length: Duration,
        mut next: impl FnMut(u32) -> Ask,
    ) {
        let start = self.clock.monotonic();
        let count = u32::try_from(length.as_secs()).unwrap() * per_second;
        for index in 0..count {
            let due = start.plus(Duration::from_secs(1) * index / per_second);
            pause(due.since(self.clock.monotonic())).await;
            self.ask(next(index)).await;
        }
    }

    /// Waits until every job whose name begins with `start` is told.
    pub(super) async fn all_told(&self, start: &str) {
        eventually_within(TOLD_WITHIN, start, async || {
            let told = self.told.lock().unwrap();
            self.asked
                .keys()
                .filter(|name| name.starts_with(start))
                .all(|name| told.contains_key(name))
        })
        .await;
    }

    /// How long the jobs whose names begin with `start` took, shortest first.
    pub(super) fn latencies(&self, start: &str) -> Latencies {
        let told = self.told.lock().unwrap();
        let asked = self
            .asked
            .iter()
            .filter(|(name, _)| name.starts_with(start));
        let mut latencies: Vec<Duration> = asked.map(|(name, at)| told[name].since(*at)).collect();
        latencies.sort();
        Latencies(latencies)
    }

    /// How many jobs are told whose names begin with `start`.
    pub(super) fn told(&self, start: &str) -> usize {
        let told = self.told.lock().unwrap();
        told.keys().filter(|name| name.starts_with(start)).count()
    }
}

async fn publish(line: &Line, exchange: &str, ask: Ask) {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(ask.name.as_str().into());
    let confirm = line
        .channel
        .basic_publish(
            exchange.into(),
            ask.routing_key.into(),
            BasicPublishOptions::default(),
            ask.body.to_string().as_bytes(),
            properties,
        )
        .await
        .unwrap();
    drop(confirm);
}

/// The job's number; of a query, whose event names what was asked about, the message's id.
fn name(event: &Value) -> String {
    let id = event["id"].as_str().unwrap();
    let mut parts = id.rsplit('/');
    let last = parts.next().unwrap();
    let is_query = event["data"]["kind"] == "query";
    let name = if is_query {
        parts.next().unwrap()
    } else {
        last
    };
    name.to_owned()
}

/// In ascending order.
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The latency that so many of a hundred do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub(super) fn summary(&self) -> String {
        let [p50, p95, p99, most] = [50, 95, 99, 100].map(|percent| {
            let micros = self.percentile(percent).as_micros();
            format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
        });
        format!(
            "p50 {p50}, p95 {p95}, p99 {p99}, max {most} ({} jobs)",
            self.0.len()
        )
    }
}
