//! `kill -9` of the daemon in the middle of its work.

use super::agreement::{FAULTS, SHAPE};
use super::plan::{Dice, Plan};
use super::world::{World, WorldOptions, events};

/// How often it is killed in one run.
const CRASHES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_again_and_again_pays_each_job_once() {
    let world = World::start(
        "crash",
        WorldOptions {
            sandbox: &["--delay", "20ms"],
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(FAULTS).await;
    let mut dice = Dice::new(2);
    let plan = Plan::draw(SHAPE, &mut dice);
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    let share = plan.outcomes() / (CRASHES + 1);
    for crash in 0..CRASHES {
        events(&subscriber, share * crash + 1 + dice.below(share)).await;
        daemon.process.crash().await;
        let told = subscriber.count();
        assert!(told < plan.outcomes(), "crash {crash} came after the work");
        daemon = world.daemon().await;
    }
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}
