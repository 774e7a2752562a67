//! Setting aside, killed in the middle of it.

use std::cell::Cell;

use crate::daemon::broker;
use crate::daemon::plan::{Dice, Plan, Shape};
use crate::daemon::world::{World, WorldOptions};
use crate::patience::eventually;

/// All of one room. Far more than a prefetch, so that the daemon is still at it when it is killed.
const SHAPE: Shape = Shape {
    jobs: 1_200,
    duplicates: 20,
    conflicts: 5,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_while_it_sets_aside_loses_nothing_and_pays_nothing_twice() {
    let mut world = World::start(
        "aside",
        WorldOptions {
            settings: &[
                ("HONGBAOD__FAIRNESS__LABEL", "room"),
                ("HONGBAOD__PACING__REQUESTS_PER_SECOND", "1"),
            ],
            ..WorldOptions::default()
        },
    )
    .await;
    let plan = Plan::draw(SHAPE, &mut Dice::new(7));
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.submit_plan(&plan).await;

    let queues = ["", ".bulk"].map(|lane| format!("{}.jobs.disburse{lane}", world.prefix));
    let mut daemon = world.daemon().await;
    let left = Cell::new(0);
    eventually("half of it is set aside", async || {
        let counts = broker::counts(&world.amqp, &queues).await.unwrap();
        left.set(counts[0]);
        counts[1] > 100
    })
    .await;
    daemon.process.crash().await;
    assert!(left.get() > 0, "it was killed after the last one");
    // What was confirmed and not yet acknowledged is there twice now.
    let published = u32::try_from(plan.bodies.len()).unwrap();
    eventually("everything is there", async || {
        let counts = broker::counts(&world.amqp, &queues).await.unwrap();
        counts.iter().sum::<u32>() + 10 >= published
    })
    .await;

    world.set("HONGBAOD__PACING__REQUESTS_PER_SECOND", "10000");
    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}
