//! SIGTERM: what is in flight is finished within the grace, the rest is for the next start.

use std::time::Duration;

use super::broker::Subscriber;
use super::plan::{Dice, Plan, Shape};
use super::process::Stream;
use super::world::{Daemon, World, WorldOptions, events};
use crate::patience::eventually;

/// A call that takes longer than any test.
const HANG: &str = r#"{"hang_before_effect_permille": 1000, "hang_ms": 600000}"#;

/// Far longer than an exit takes, and not as long as the grace of the test that needs it.
const AT_ONCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_is_in_flight_and_leaves_the_rest_to_the_next_start() {
    let world = World::start(
        "drain",
        WorldOptions {
            sandbox: &["--delay", "50ms"],
            ..WorldOptions::default()
        },
    )
    .await;
    let shape = Shape {
        jobs: 150,
        duplicates: 5,
        conflicts: 1,
    };
    let plan = Plan::draw(shape, &mut Dice::new(3));
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    events(&subscriber, 20).await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    daemon.process.line(Stream::Stderr, "\"drained\"").await;
    let told = subscriber.count();
    assert!(told < plan.outcomes(), "nothing was left: {told} events");
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

/// A world with one job whose call hangs, the plan of that job, and its daemon.
async fn hanging(
    topic: &str,
    settings: &[(&'static str, &'static str)],
) -> (World, Plan, Daemon, Subscriber) {
    let world = World::start(
        topic,
        WorldOptions {
            settings,
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(HANG).await;
    let shape = Shape {
        jobs: 1,
        duplicates: 0,
        conflicts: 0,
    };
    let mut plan = Plan::draw(shape, &mut Dice::new(4));
    plan.bad.clear();
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    eventually("a call that hangs", async || {
        world.sandbox("books").await["faults_injected"]["hang_before_effect"] == 1
    })
    .await;
    (world, plan, daemon, subscriber)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_grace_is_left_to_the_next_start() {
    let settings = [
        ("HONGBAOD__ALIPAY__TIMEOUT", "6s"),
        ("HONGBAOD__LEDGER__LEASE", "8s"),
        ("HONGBAOD__RETRY__ABSENCE_WINDOW", "8s"),
        ("HONGBAOD__SHUTDOWN__GRACE", "1s"),
    ];
    let (world, plan, mut daemon, subscriber) = hanging("grace", &settings).await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    daemon
        .process
        .line(Stream::Stderr, "the grace is over")
        .await;
    assert_eq!(subscriber.count(), 0, "nothing is known of the job");
    world.set_faults("{}").await;
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_daemon_at_once() {
    let settings = [
        ("HONGBAOD__ALIPAY__TIMEOUT", "45s"),
        ("HONGBAOD__LEDGER__LEASE", "60s"),
        ("HONGBAOD__RETRY__ABSENCE_WINDOW", "60s"),
        ("HONGBAOD__SHUTDOWN__GRACE", "60s"),
    ];
    let (world, _plan, mut daemon, subscriber) = hanging("second", &settings).await;
    daemon.process.signal("TERM");
    daemon.process.line(Stream::Stderr, "draining").await;
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.exit_code_within(AT_ONCE).await, Some(1));
    let text = daemon.process.written().text();
    assert!(text.contains("a second signal"), "{text}");
    for slower in ["\"drained\"", "the grace is over"] {
        assert!(!text.contains(slower), "{text}");
    }
    assert_eq!(subscriber.count(), 0);
    world.demolish().await;
}
