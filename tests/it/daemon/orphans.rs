//! Rule 13 with the real binary: jobs whose only message somebody purged, or the broker buried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::broker;
use super::plan::{Fate, Plan, PlannedJob, body};
use super::world::{Daemon, World, WorldOptions};
use crate::patience::{eventually, pause};

const JOBS: u32 = 5;

/// Jobs without a fault in them.
fn plan() -> Plan {
    let numbers = (0..JOBS).map(|index| format!("N{index}"));
    let job = |number: String| {
        let (fate, amounts) = (Fate::Succeeded, BTreeSet::from(["8.88".to_owned()]));
        (number, PlannedJob { fate, amounts })
    };
    let jobs: BTreeMap<String, PlannedJob> = numbers.map(job).collect();
    let bodies = jobs
        .keys()
        .map(|number| body(number, "8.88", Fate::Succeeded));
    Plan {
        bodies: bodies.collect(),
        jobs,
        bad: Vec::new(),
    }
}

/// A world whose jobs are rescued soon, and whose first calls all end as `faults` say.
async fn world(
    topic: &str,
    faults: &str,
    settings: &[(&'static str, &'static str)],
) -> (World, Daemon) {
    let mut settings = settings.to_vec();
    settings.push(("HONGBAOD__LEDGER__RESCUE_AFTER", "5s"));
    let world = World::start(
        topic,
        WorldOptions {
            settings: &settings,
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(faults).await;
    let daemon = world.daemon().await;
    (world, daemon)
}

/// Waits until all jobs wait in the queues whose names contain `part`, and returns the queues.
async fn all_in(world: &World, part: &str) -> Vec<String> {
    let mut queues = broker::queues(&world.rabbitmq()).await;
    queues.retain(|queue| queue.contains(part));
    eventually(part, async || {
        let counts = broker::counts(&world.amqp, &queues).await.unwrap();
        counts.iter().sum::<u32>() == JOBS
    })
    .await;
    queues
}

/// Loses all jobs that wait in the queues whose names contain `part`.
async fn purge(world: &World, part: &str) {
    let mut purged = 0;
    for queue in all_in(world, part).await {
        purged += broker::take_all(&world.amqp, &queue).await.len();
    }
    assert_eq!(u32::try_from(purged).unwrap(), JOBS);
}

/// The money moves, and the answer tells nothing.
const UNKNOWN: &str = r#"{"unknown_with_effect_permille": 1000, "faults_per_number_max": 1}"#;

/// Copies wait so long that a test can get at them.
const LONG_DELAYS: [(&str, &str); 2] = [
    ("HONGBAOD__RETRY__DELAY_MIN", "6s"),
    ("HONGBAOD__RETRY__DELAY_MAX", "7s"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_whose_retry_copies_are_purged_are_rescued() {
    let (world, daemon) = world("purged-retry", UNKNOWN, &LONG_DELAYS).await;
    let (plan, subscriber) = (plan(), world.subscribe().await);
    world.submit_plan(&plan).await;
    purge(&world, ".retry.").await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_come_back_into_a_queue_that_is_purged_are_rescued() {
    let (world, mut daemon) = world("purged-jobs", UNKNOWN, &LONG_DELAYS).await;
    let (plan, subscriber) = (plan(), world.subscribe().await);
    world.submit_plan(&plan).await;
    all_in(&world, ".retry.").await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    purge(&world, ".jobs.").await;
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

/// The money moves, and no answer comes.
const HANG: &str = r#"{"hang_after_effect_permille": 1000, "faults_per_number_max": 1}"#;

/// Calls are so long that the daemon can be killed in all of them.
const LONG_CALLS: [(&str, &str); 4] = [
    ("HONGBAOD__ALIPAY__TIMEOUT", "4s"),
    ("HONGBAOD__LEDGER__LEASE", "6s"),
    ("HONGBAOD__RETRY__ABSENCE_WINDOW", "6s"),
    ("HONGBAOD__RABBITMQ__DELIVERY_LIMIT", "1"),
];

/// Waits until each job's money has moved: a job in flight may still wait for its permit.
async fn moved_by_all_calls(world: &World) {
    eventually("every job's money moved", async || {
        let operations = world.sandbox("operations").await;
        let paid = operations.as_array().unwrap().iter();
        let paid = paid.filter(|operation| operation["kind"] == "disburse");
        u32::try_from(paid.count()).unwrap() == JOBS
    })
    .await;
}

/// Kills the daemon while each job is in a call.
async fn crash_in_all_calls(daemon: &mut Daemon) {
    eventually("every job is in a call", async || {
        daemon.in_flight().await == u64::from(JOBS)
    })
    .await;
    daemon.process.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_a_crash_left_claimed_and_a_purge_left_without_a_message_are_rescued() {
    let (world, mut daemon) = world("purged-claims", HANG, &LONG_CALLS).await;
    let (plan, subscriber) = (plan(), world.subscribe().await);
    world.submit_plan(&plan).await;
    moved_by_all_calls(&world).await;
    crash_in_all_calls(&mut daemon).await;
    purge(&world, ".jobs.").await;
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_the_broker_buried_after_too_many_crashes_are_rescued() {
    let (world, mut daemon) = world("buried", HANG, &LONG_CALLS).await;
    let (plan, subscriber) = (plan(), world.subscribe().await);
    world.submit_plan(&plan).await;
    moved_by_all_calls(&world).await;
    crash_in_all_calls(&mut daemon).await;
    // Once the leases are over the copies are taken over, and queried first.
    all_in(&world, ".jobs.").await;
    pause(Duration::from_secs(7)).await;
    world.set_faults(r#"{"delay_ms": 60000}"#).await;
    let mut daemon = world.daemon().await;
    crash_in_all_calls(&mut daemon).await;
    let grave = all_in(&world, ".dead").await;
    let buried = broker::take_all(&world.amqp, &grave[0]).await;
    let bodies: BTreeSet<&Vec<u8>> = buried.iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, plan.bodies.iter().collect());

    world.set_faults("{}").await;
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}
