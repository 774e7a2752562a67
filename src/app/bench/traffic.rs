//! Jobs in, events out, and when each went and came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio_util::task::TaskTracker;

use crate::adapters::rabbitmq::client::{EventStream, Producer, WINDOW};
use crate::app::bench::jobs::{self, Settled};
use crate::domain::time::Monotonic;
use crate::ports::clock::Clock;

/// For so long no event may come before the benchmark is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// When each job was published, in microseconds of the clock; 0: not yet.
pub struct Sent(Vec<AtomicU64>);

impl Sent {
    /// Nothing is sent yet.
    pub fn new(jobs: usize) -> Self {
        Self((0..jobs).map(|_| AtomicU64::new(0)).collect())
    }

    fn note(&self, place: usize, now: Monotonic) {
        if let Some(sent) = self.0.get(place) {
            sent.store(micros(now.0), Ordering::Relaxed);
        }
    }

    fn at(&self, place: usize) -> Option<u64> {
        let sent = self.0.get(place)?.load(Ordering::Relaxed);
        (sent > 0).then_some(sent)
    }
}

/// Publishes all jobs as fast as the broker confirms them.
///
/// # Errors
///
/// A job that was not confirmed.
pub async fn preload(producer: &Producer, sent: &Sent, clock: &dyn Clock) -> anyhow::Result<()> {
    let publishing = stream::iter(0..sent.0.len()).map(|place| async move {
        let message = jobs::message(place, clock.now());
        sent.note(place, clock.monotonic());
        producer.publish(&message).await
    });
    let mut publishing = publishing.buffer_unordered(WINDOW);
    while let Some(published) = publishing.next().await {
        published.context("queue the jobs")?;
    }
    Ok(())
}

/// Publishes one job after the other, `rate` a second, without waiting for confirms.
pub async fn feed(producer: Arc<Producer>, sent: Arc<Sent>, rate: u64, clock: Arc<dyn Clock>) {
    let publishing = TaskTracker::new();
    let began = clock.monotonic();
    for place in 0..sent.0.len() {
        let offset = u64::try_from(place).unwrap_or(u64::MAX);
        let due = began.plus(Duration::from_nanos(
            offset.saturating_mul(1_000_000_000) / rate.max(1),
        ));
        let wait = due.since(clock.monotonic());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
        let (producer, sent, clock) = (producer.clone(), sent.clone(), clock.clone());
        publishing.spawn(async move {
            let message = jobs::message(place, clock.now());
            sent.note(place, clock.monotonic());
            if let Err(error) = producer.publish(&message).await {
                tracing::warn!(%error, "a job of the benchmark was not confirmed");
            }
        });
    }
    publishing.close();
    publishing.wait().await;
}

/// What was seen of the events.
#[derive(Debug, Default)]
pub struct Seen {
    /// Jobs that were told for the first time.
    pub settled: usize,
    /// Events of a job that had been told before.
    pub repeated: usize,
    /// Events that do not say "paid".
    pub unpaid: usize,
    /// From publishing to the event, in microseconds, of each job after the warm-up.
    pub latencies_us: Vec<u64>,
    told: Vec<bool>,
}

impl Seen {
    /// Nothing was seen yet of so many jobs.
    pub fn new(jobs: usize) -> Self {
        Self {
            told: vec![false; jobs],
            ..Self::default()
        }
    }

    /// Takes events until `until` jobs are settled.
    ///
    /// # Errors
    ///
    /// The connection is lost, or nothing came for a minute.
    pub async fn follow(
        &mut self,
        events: &mut EventStream,
        until: usize,
        sent: &Sent,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        while self.settled < until {
            let event = tokio::select! {
                event = events.next() => event.context("the connection for the events was lost")?,
                () = clock.sleep(SILENCE_MAX) => anyhow::bail!(
                    "no event for {} s; {} of {until} jobs are settled",
                    SILENCE_MAX.as_secs(), self.settled
                ),
            };
            let now = micros(clock.monotonic().0);
            let Some((place, settled)) = jobs::settled(&event.body) else {
                continue;
            };
            let Some(told) = self.told.get_mut(place) else {
                continue;
            };
            if std::mem::replace(told, true) {
                self.repeated += 1;
                continue;
            }
            self.settled += 1;
            if settled == Settled::Otherwise {
                self.unpaid += 1;
            }
            if let Some(sent) = sent.at(place) {
                self.latencies_us.push(now.saturating_sub(sent));
            }
        }
        Ok(())
    }
}

/// Whole microseconds.
pub fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
