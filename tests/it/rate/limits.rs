//! Four real daemons on one backlog, real RabbitMQ and Redis, and the sandbox in a process of its
//! own, which says when each call came.

use std::time::Duration;

use serde_json::Value;

use crate::daemon::broker;
use crate::daemon::plan::{Fate, body, yuan};
use crate::daemon::process::Process;
use crate::daemon::world::{Daemon, World, WorldOptions};
use crate::patience::{eventually, eventually_within};
use crate::servers;

const RATE: usize = 100;
const REPLICAS: usize = 4;
/// Jobs over those of the measured seconds, for the time until all replicas are at work.
const FIRST: usize = 300;
const DISBURSE: &str = "alipay.fund.coupon.order.disburse";
const QUERY: &str = "alipay.fund.coupon.operation.query";

/// How long the backlog lasts, and what is expected of it.
struct Measure {
    seconds: usize,
    /// The most calls in any second.
    most: usize,
    /// The least calls in a thousand seconds.
    mean_permille: usize,
}

impl Measure {
    /// Beside other tests, where a busy machine bunches what was called apart. Four replicas that
    /// each counted for themselves would make 400 calls a second, and one that works while three
    /// hold what they have no use for 25.
    const SHORT: Self = Self {
        seconds: 3,
        most: RATE * 2,
        mean_permille: 40_000,
    };

    #[expect(
        clippy::disallowed_methods,
        reason = "tests/limits tells the test by this variable how long"
    )]
    fn read() -> Self {
        let text = std::env::var("HONGBAOD_LIMITS_SECONDS").unwrap_or_default();
        if text.is_empty() {
            return Self::SHORT;
        }
        let seconds = text.parse();
        Self {
            seconds: seconds.unwrap_or_else(|_| panic!("HONGBAOD_LIMITS_SECONDS={text}")),
            most: RATE * 105 / 100,
            mean_permille: 95_000,
        }
    }
}

/// When each call of a method came, in milliseconds.
async fn instants(world: &World, method: &str) -> Vec<u64> {
    let calls = world.sandbox("calls").await;
    let instants = calls[method].as_array().cloned().unwrap_or_default();
    let mut instants: Vec<u64> = instants.iter().filter_map(Value::as_u64).collect();
    instants.sort_unstable();
    instants
}

/// The most in any second, wherever it begins.
fn most(instants: &[u64]) -> usize {
    let within =
        |(index, start): (usize, &u64)| instants[index..].partition_point(|at| at - start < 1_000);
    instants.iter().enumerate().map(within).max().unwrap_or(0)
}

/// The calls of each whole second from the first on.
fn per_second(instants: &[u64]) -> Vec<usize> {
    let (first, last) = (instants[0], instants[instants.len() - 1]);
    let mut seconds = vec![0; usize::try_from((last - first) / 1_000).unwrap() + 1];
    for at in instants {
        seconds[usize::try_from((at - first) / 1_000).unwrap()] += 1;
    }
    seconds
}

/// How many jobs each daemon has settled.
async fn settled(daemons: &[Daemon]) -> Vec<u64> {
    let mut settled = Vec::new();
    for daemon in daemons {
        settled.push(
            daemon
                .count("hongbaod_jobs_settled_total", "disburse")
                .await,
        );
    }
    settled
}

/// Publishes jobs.
async fn publish(world: &World, count: usize) {
    let job = |index: usize| {
        let (number, amount) = (format!("R{index:06}"), yuan(1 + index % 500));
        body(&number, &amount, Fate::Succeeded)
    };
    let bodies: Vec<Vec<u8>> = (0..count).map(job).collect();
    broker::publish(&world.amqp, &world.prefix, &bodies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_with_one_backlog_keep_to_the_rate_and_use_it() {
    let measure = Measure::read();
    let options = WorldOptions {
        amqp: servers::amqp_url(),
        redis: servers::redis_url(),
        sandbox: &["--delay", "30ms"],
        settings: &[
            ("HONGBAOD__PACING__REQUESTS_PER_SECOND", "100"),
            ("HONGBAOD__PACING__CONCURRENCY_MIN", "16"),
            ("HONGBAOD__PACING__CONCURRENCY_MAX", "64"),
            ("HONGBAOD__RABBITMQ__PREFETCH__DISBURSE", "64"),
        ],
    };
    let world = World::start("limits", options).await;
    // One daemon declares the queues; the backlog is there before the four are.
    let mut first = world.daemon().await;
    assert_eq!(first.process.terminate().await, Some(0));
    let subscriber = world.subscribe().await;
    let all = FIRST + RATE * measure.seconds;
    publish(&world, all).await;
    let starting: Vec<Process> = (0..REPLICAS).map(|_| world.hongbaod(&["run"])).collect();
    let mut daemons = Vec::new();
    for process in starting {
        daemons.push(world.daemon_of(process).await);
    }
    eventually("every replica at work", async || {
        let mut shares = settled(&daemons).await;
        shares.retain(|share| *share == 0);
        shares.is_empty()
    })
    .await;
    let before = instants(&world, DISBURSE).await.len();
    let patience = Duration::from_secs(60 + 2 * u64::try_from(measure.seconds).unwrap());
    eventually_within(patience, "every job", async || subscriber.count() >= all).await;

    // A fresh ledger doubts everything for a minute: until then each job is queried before it is
    // sent, and the queries have a limit of their own.
    let queries = instants(&world, QUERY).await;
    let queries = most(&queries[before..]);
    let instants = instants(&world, DISBURSE).await;
    assert_eq!(instants.len(), all, "one call per job");
    let instants = &instants[before..];
    let jobs = instants.len();
    let most = most(instants);
    let took_ms = instants[jobs - 1] - instants[0];
    // All but the last call, over the time until it.
    let mean_permille = (jobs - 1) * 1_000_000 / usize::try_from(took_ms).unwrap();
    eprintln!(
        "limits: {jobs} calls of {REPLICAS} replicas at {RATE}/s in {took_ms} ms: {}.{:03} a second, \
         at most {most} in any, at most {queries} queries; per second: {:?}",
        mean_permille / 1_000,
        mean_permille % 1_000,
        per_second(instants),
    );
    eprintln!(
        "limits: jobs of each replica: {:?}",
        settled(&daemons).await
    );
    for most in [most, queries] {
        assert!(most <= measure.most, "{most} in a second");
    }
    assert!(mean_permille >= measure.mean_permille, "{mean_permille}");
    for daemon in &mut daemons {
        assert_eq!(daemon.process.terminate().await, Some(0));
    }
}
