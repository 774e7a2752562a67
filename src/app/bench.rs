//! What a job costs: jobs through the real daemon, on real servers, against a sandbox, each in a
//! process of its own.
//!
//! Everything has a prefix of its own in both servers, and is removed at the end. The daemon is
//! this very program with a configuration that is written for it: the servers' tables of the
//! user's, the sandbox as Alipay, and a rate that is no limit.

pub mod jobs;
pub mod pair;
pub mod process;
mod setup;
pub mod traffic;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::adapters::clock::SystemClock;
use crate::adapters::rabbitmq::client::{Acknowledged, EventStream, Producer};
use crate::adapters::redis_ledger::ServerUsage;
use crate::app::bench::pair::PairTimes;
use crate::app::bench::process::{CpuTime, Workers, cpu_time};
use crate::app::bench::setup::Setup;
use crate::app::bench::traffic::{Seen, Sent, feed, micros, preload};
use crate::ports::clock::Clock;

/// One part in so many of the jobs warms the processes up and is not measured.
const WARM_UP_PARTS: usize = 20;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchOptions {
    /// How many jobs are settled, the first twentieth unmeasured.
    pub jobs: usize,
    /// How the jobs come.
    pub feed: Feed,
    /// How long Alipay takes for each answer.
    pub delay: Duration,
    /// When Alipay signs its answers.
    pub answers: Answers,
    /// How many daemons share the jobs.
    pub replicas: NonZeroU32,
}

/// How the jobs come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// So many wait in the queue before the daemon starts, at least as many as are settled.
    Queued(usize),
    /// So many a second, while it runs.
    PerSecond(NonZeroU32),
}

/// When Alipay signs its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// When it gives them, as Alipay does.
    SignedAtOnce,
    /// Before the measurement: its signing costs the daemon's machine nothing.
    SignedBefore,
}

/// What was measured. Whatever is `None` could not be seen from here, as of a server on another
/// machine.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Jobs settled while it was measured.
    pub jobs: u64,
    /// How long that took, in microseconds.
    pub elapsed_us: u64,
    /// From publishing to the event.
    pub latency: Latency,
    /// The unit of the daemon's CPU time.
    pub pair: PairTimes,
    /// The daemon's CPU time, of all replicas together.
    pub worker: CpuTime,
    /// The daemon's resident memory at the end, and the most there was, in KiB; of the largest
    /// replica.
    pub resident_kib: (u64, u64),
    /// The sandbox's CPU time.
    pub sandbox: CpuTime,
    /// RabbitMQ's CPU time, if it runs here.
    pub rabbitmq: Option<CpuTime>,
    /// What Redis has spent; its memory is what it grew by.
    pub redis: ServerUsage,
    /// Jobs that were told more than once.
    pub repeated: u64,
    /// Jobs that were told anything but "paid".
    pub unpaid: u64,
}

/// How long jobs took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of them at most.
    pub p50_us: u64,
    /// 95 of 100 at most.
    pub p95_us: u64,
    /// 99 of 100 at most.
    pub p99_us: u64,
    /// All of them.
    pub max_us: u64,
}

impl Figures {
    /// Settled jobs a second, rounded down.
    #[must_use]
    pub fn jobs_per_second(&self) -> u64 {
        self.jobs.saturating_mul(1_000_000) / self.elapsed_us.max(1)
    }

    /// The daemon's CPU time for a job as a multiple of the pair that is measured alone, in
    /// thousandths.
    #[must_use]
    pub fn pairs_permille(&self) -> u64 {
        self.multiple(self.pair.alone_ns)
    }

    /// As [`Figures::pairs_permille`], of the pair that is measured while every core is busy.
    #[must_use]
    pub fn crowded_pairs_permille(&self) -> u64 {
        self.multiple(self.pair.crowded_ns)
    }

    /// As [`Figures::pairs_permille`], of the pair that is measured at the rate of the jobs.
    #[must_use]
    pub fn paced_pairs_permille(&self) -> Option<u64> {
        self.pair.paced_ns.map(|paced_ns| self.multiple(paced_ns))
    }

    fn multiple(&self, pair_ns: u64) -> u64 {
        let job_ns = self.worker.total_us().saturating_mul(1_000) / self.jobs.max(1);
        job_ns.saturating_mul(1_000) / pair_ns.max(1)
    }
}

impl Latency {
    fn of(mut latencies_us: Vec<u64>) -> Self {
        latencies_us.sort_unstable();
        let at = |permille: usize| {
            let rank = (latencies_us.len() * permille).div_ceil(1_000);
            latencies_us.get(rank.saturating_sub(1)).copied()
        };
        Self {
            p50_us: at(500).unwrap_or_default(),
            p95_us: at(950).unwrap_or_default(),
            p99_us: at(990).unwrap_or_default(),
            max_us: latencies_us.last().copied().unwrap_or_default(),
        }
    }
}

/// What is going on, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Measuring the pair.
    Pair,
    /// Starting the sandbox and declaring the queues.
    Starting,
    /// Having the answers signed.
    Signing,
    /// Queueing the jobs.
    Queueing,
    /// Measuring.
    Measuring,
}

/// Measures with the servers of the configuration `file`, or the default ones.
///
/// # Errors
///
/// Whatever is in the way: a server, a process that ends, a job that is not settled.
pub async fn run(
    options: BenchOptions,
    file: Option<&Path>,
    observe: &mut (dyn FnMut(Stage) + Send),
) -> anyhow::Result<Figures> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    observe(Stage::Pair);
    let rate = match options.feed {
        Feed::Queued(_) => None,
        Feed::PerSecond(rate) => Some(rate),
    };
    let measuring = pair::measure(&*clock, rate).await;
    let pair = measuring.context("measure a signature")?;
    observe(Stage::Starting);
    let setup = Setup::make(&options, file, &clock).await?;
    let measured = measure(&options, &setup, pair, &clock, observe).await;
    // Whatever came of it, nothing is left in the servers.
    let cleared = setup.clear().await;
    let figures = measured.with_context(|| format!("see the logs in {}", setup.dir.display()))?;
    cleared?;
    setup.forget_logs()?;
    Ok(figures)
}

async fn measure(
    options: &BenchOptions,
    setup: &Setup,
    pair: PairTimes,
    clock: &Arc<dyn Clock>,
    observe: &mut (dyn FnMut(Stage) + Send),
) -> anyhow::Result<Figures> {
    setup.declare(clock).await?;
    let published = match options.feed {
        Feed::Queued(queued) => queued.max(options.jobs),
        Feed::PerSecond(_) => options.jobs,
    };
    if options.answers == Answers::SignedBefore {
        observe(Stage::Signing);
        setup.sign_answers(options.jobs, clock).await?;
    }
    let producer = Arc::new(Producer::connect(&setup.rabbitmq).await?);
    let mut events = EventStream::connect(&setup.rabbitmq, "#", Acknowledged::Nothing).await?;
    let sent = Arc::new(Sent::new(published));
    if let Feed::Queued(_) = options.feed {
        observe(Stage::Queueing);
        preload(&producer, &sent, &**clock).await?;
    }
    observe(Stage::Measuring);
    let memory_before = setup.redis.usage().await?.memory_bytes;
    let workers = setup.start_workers(clock).await?;
    let feeding = match options.feed {
        Feed::Queued(_) => None,
        Feed::PerSecond(rate) => Some(tokio::spawn(feed(
            Arc::clone(&producer),
            Arc::clone(&sent),
            u64::from(rate.get()),
            Arc::clone(clock),
        ))),
    };
    let mut seen = Seen::new(published);
    let warm = options.jobs / WARM_UP_PARTS;
    seen.follow(&mut events, warm, &sent, &**clock).await?;
    seen.latencies_us.clear();
    let before = Spent::now(setup, &workers, clock).await?;
    seen.follow(&mut events, options.jobs, &sent, &**clock)
        .await?;
    let after = Spent::now(setup, &workers, clock).await?;
    let resident_kib = workers.resident_kib().context("see the daemon's memory")?;
    if let Some(feeding) = feeding {
        feeding.await?;
    }
    // Stopped before the memory of Redis is looked at: its connections have buffers.
    drop(workers);
    let memory_after = setup.redis.usage().await?.memory_bytes;
    events.close().await;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let settled_since_memory = count(options.jobs);
    Ok(Figures {
        jobs: count(options.jobs - warm),
        elapsed_us: after.at_us.saturating_sub(before.at_us),
        latency: Latency::of(seen.latencies_us),
        pair,
        worker: after.worker.since(before.worker),
        resident_kib,
        sandbox: after.sandbox.since(before.sandbox),
        rabbitmq: after
            .rabbitmq
            .zip(before.rabbitmq)
            .map(|(after, before)| after.since(before)),
        redis: ServerUsage {
            memory_bytes: memory_after.saturating_sub(memory_before) / settled_since_memory.max(1),
            commands: after.redis.commands.saturating_sub(before.redis.commands),
            cpu_us: after.redis.cpu_us.saturating_sub(before.redis.cpu_us),
        },
        repeated: count(seen.repeated),
        unpaid: count(seen.unpaid),
    })
}

/// What everybody has spent up to one instant.
struct Spent {
    at_us: u64,
    worker: CpuTime,
    sandbox: CpuTime,
    rabbitmq: Option<CpuTime>,
    redis: ServerUsage,
}

impl Spent {
    async fn now(setup: &Setup, workers: &Workers, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let redis = setup.redis.usage().await?;
        Ok(Self {
            at_us: micros(clock.monotonic().0),
            worker: workers
                .cpu_time()
                .context("a daemon of the benchmark ended")?,
            sandbox: cpu_time(setup.sandbox.id()).context("the sandbox ended")?,
            rabbitmq: setup.broker_process.and_then(cpu_time),
            redis,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Latency;

    #[test]
    fn a_percentile_is_the_least_value_that_covers_its_share() {
        let latency = Latency::of((1..=1_000).rev().collect());
        let expected = Latency {
            p50_us: 500,
            p95_us: 950,
            p99_us: 990,
            max_us: 1_000,
        };
        assert_eq!(latency, expected);
        let one = Latency::of(vec![7]);
        assert_eq!((one.p50_us, one.p99_us, one.max_us), (7, 7, 7));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
