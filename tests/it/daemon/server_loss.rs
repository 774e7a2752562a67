//! RabbitMQ and Redis killed and started again in the middle of the work.

use super::agreement::{FAULTS, SHAPE};
use super::plan::{Dice, Plan, Shape};
use super::world::{World, WorldOptions, events};
use crate::rabbitmq_server::RabbitmqServer;
use crate::redis_server::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_makes_the_daemon_unready_and_nothing_wrong() {
    let mut redis = RedisServer::start(&["--appendonly", "yes"]);
    let world = World::start(
        "redis-loss",
        WorldOptions {
            redis: redis.url(),
            sandbox: &["--delay", "20ms"],
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(FAULTS).await;
    let mut dice = Dice::new(5);
    let plan = Plan::draw(SHAPE, &mut dice);
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    for at in [20 + dice.below(60), 130 + dice.below(60)] {
        events(&subscriber, at).await;
        redis.kill();
        daemon.unready("redis").await;
        let told = subscriber.count();
        assert!(told < plan.outcomes(), "it was killed after the work");
        redis.start_again();
        daemon.ready().await;
    }
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rabbitmq_makes_the_daemon_unready_and_nothing_wrong() {
    let rabbitmq = RabbitmqServer::start().await;
    let world = World::start(
        "rabbitmq-loss",
        WorldOptions {
            amqp: rabbitmq.url().await,
            sandbox: &["--delay", "20ms"],
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(FAULTS).await;
    let mut dice = Dice::new(6);
    // A node of its own takes long to start and to come back; the work need not take long too.
    let shape = Shape { jobs: 150, ..SHAPE };
    let plan = Plan::draw(shape, &mut dice);
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    rabbitmq.votes_written().await;
    world.submit_plan(&plan).await;
    events(&subscriber, 20 + dice.below(60)).await;
    rabbitmq.run(&["kill9-rabbitmq"]).await;
    daemon.unready("rabbitmq").await;
    let told = subscriber.count();
    assert!(told < plan.outcomes(), "it was killed after the work");
    rabbitmq.run(&["restart-rabbitmq"]).await;
    daemon.ready().await;
    world.agrees(&plan, &subscriber, daemon).await;
}
