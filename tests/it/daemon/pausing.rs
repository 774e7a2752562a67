//! An operator pauses three replicas in the middle of a burst, and lets them go on.

use std::time::Duration;

use serde_json::Value;

use super::agreement::FAULTS;
use super::plan::{Dice, Plan, Shape};
use super::world::{Daemon, World, WorldOptions, events};
use crate::patience::{eventually, pause};

const SHAPE: Shape = Shape {
    jobs: 900,
    duplicates: 20,
    conflicts: 5,
};

/// What is promised: no call that moves money starts later.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(1);

const CALLS: &str = "hongbaod_gateway_requests_total";
const DEFERRALS: &str = "hongbaod_deferrals_total";
const PUT_OFF: &str = "reason=\"lane_closed\"";
const SENDS: &str = "method=\"alipay.fund.coupon.order.disburse\"";
const QUERIES: &str = "method=\"alipay.fund.coupon.operation.query\"";

/// The sum over all replicas of a metric's series with `label`; one that has just started may have
/// none yet.
async fn count(daemons: &[Daemon], metric: &str, label: &str) -> u64 {
    let mut sum = 0;
    for daemon in daemons {
        let (_, page) = daemon.page("/metrics").await;
        let series = page
            .lines()
            .filter(|line| line.starts_with(metric) && line.contains(label));
        let values = series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        sum += values.sum::<u64>();
    }
    sum
}

/// Runs a command to its end and returns its lines.
async fn run(world: &World, words: &[&str]) -> Vec<Value> {
    let mut process = world.hongbaod(words);
    assert_eq!(process.exit_code().await, Some(0), "{words:?}");
    let written = process.written();
    let lines = written.stdout.iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_stop_within_a_second_ask_on_and_pay_each_job_once_afterwards() {
    let world = World::start(
        "pausing",
        WorldOptions {
            sandbox: &["--delay", "20ms"],
            settings: &[("HONGBAOD__PACING__REQUESTS_PER_SECOND", "100")],
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(FAULTS).await;
    let plan = Plan::draw(SHAPE, &mut Dice::new(7));
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(world.daemon().await);
    }
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    events(&subscriber, 100).await;

    let words = [
        "pause", "main", "--reason", "a test", "--by", "anna", "--json",
    ];
    let told = run(&world, &words).await;
    assert!(
        told.len() == 3 && told.iter().all(|line| line["changed"] == true),
        "{told:?}"
    );
    pause(EFFECTIVE_WITHIN).await;
    let moved = world.sandbox("operations").await.as_array().unwrap().len();
    assert!(
        subscriber.count() < plan.outcomes(),
        "the pause came after the work"
    );
    // What one has in hand comes to the others, and whoever starts during the pause keeps it too.
    daemons.swap_remove(0).process.crash().await;
    daemons.push(world.daemon().await);
    stays_ready_and_tells(&world, &daemons).await;
    let sent = count(&daemons, CALLS, SENDS).await;
    let asked = count(&daemons, CALLS, QUERIES).await;
    let rounds = count(&daemons, DEFERRALS, PUT_OFF).await;
    eventually(
        "jobs that come back are put off again, and asked about",
        async || {
            let now = count(&daemons, DEFERRALS, PUT_OFF).await;
            now >= rounds + 600 && count(&daemons, CALLS, QUERIES).await > asked
        },
    )
    .await;
    assert_eq!(count(&daemons, CALLS, SENDS).await, sent);
    let still = world.sandbox("operations").await.as_array().unwrap().len();
    assert_eq!(still, moved, "money moved while it was paused");

    run(&world, &["resume", "main", "--json"]).await;
    world.finished(&plan, &subscriber, &daemons[0]).await;
    for mut other in daemons.drain(1..) {
        assert_eq!(other.process.terminate().await, Some(0));
    }
    let last = daemons.remove(0);
    world.agrees(&plan, &subscriber, last).await;
    world.demolish().await;
}

/// Ready, and everybody can see why nothing is paid.
async fn stays_ready_and_tells(world: &World, daemons: &[Daemon]) {
    for daemon in daemons {
        let (status, body) = daemon.page("/readyz").await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("paused disburse, refund, pay"), "{body}");
        assert_eq!(daemon.count("hongbaod_paused", "app=\"main\"").await, 3);
    }
    let listed = run(world, &["pause", "--list", "--json"]).await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    for line in &listed {
        assert_eq!(
            (&line["by"], &line["reason"]),
            (&"anna".into(), &"a test".into())
        );
    }
}
