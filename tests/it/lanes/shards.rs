//! The number of shards grows and shrinks while jobs are under way.

use crate::daemon::agreement::{FAULTS, SHAPE};
use crate::daemon::plan::{Dice, Plan};
use crate::daemon::world::{World, WorldOptions};

const SHARDS: &str = "HONGBAOD__RABBITMQ__SHARDS__DISBURSE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_number_of_shards_grows_and_shrinks() {
    let mut world = World::start(
        "shards",
        WorldOptions {
            sandbox: &["--delay", "20ms"],
            ..WorldOptions::default()
        },
    )
    .await;
    // Some answers are unknown, so that copies are in the ladder all the time.
    world.set_faults(FAULTS).await;
    let plan = Plan::draw(SHAPE, &mut Dice::new(11));
    let parts: Vec<_> = plan.bodies.chunks(plan.bodies.len().div_ceil(4)).collect();
    let mut one = world.daemon().await;
    let subscriber = world.subscribe().await;
    submit(&world, parts[0]).await;

    // A daemon first, then whoever publishes, then the others.
    world.set(SHARDS, "4");
    let mut four = world.daemon().await;
    submit(&world, parts[1]).await;
    assert_eq!(one.process.terminate().await, Some(0));
    submit(&world, parts[2]).await;

    // Who publishes first, then the daemons. Nobody is left who is configured for four.
    four.process.crash().await;
    world.set(SHARDS, "1");
    submit(&world, parts[3]).await;
    world.publish_bad(&plan).await;
    let last = world.daemon().await;
    let warned = last.process.written();
    let retired = (1..4).map(|shard| format!("{}.jobs.disburse.{shard}", world.prefix));
    for queue in retired {
        assert!(warned.text().contains(&queue), "{queue} is told of");
    }
    drop(warned);
    // The comparison looks into all four queues.
    world.set(SHARDS, "4");
    world.agrees(&plan, &subscriber, last).await;
    world.demolish().await;
}

async fn submit(world: &World, bodies: &[Vec<u8>]) {
    let (code, lines) = world.submit(bodies).await;
    assert_eq!(code, Some(0), "{lines:?}");
}
