//! Three RabbitMQ nodes: the one that leads the jobs is killed in the middle of the work, then the
//! one that the daemon is connected to.

use crate::broker_contract::facts_hold_at;
use crate::daemon::agreement::{FAULTS, SHAPE};
use crate::daemon::plan::{Dice, Plan, Shape};
use crate::daemon::world::{Daemon, World, WorldOptions, events};
use crate::patience::eventually;
use crate::rabbitmq_cluster::{NODES, RabbitmqCluster};
use crate::scale;
use crate::servers::redis_url;

/// Where the queues are declared, so it leads them all until it is killed.
const FIRST_LEADER: u8 = 1;
/// Where the daemon connects first, and is killed next.
const DAEMONS: u8 = 2;
/// Lives on; the test looks from there.
const WITNESS: u8 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_and_a_killed_node_of_a_cluster_lose_and_double_nothing() {
    let cluster = RabbitmqCluster::start().await;
    let urls = cluster.urls().await;
    facts_hold_at(&urls, |_| {}).await;
    let options = WorldOptions {
        amqp: cluster.url(WITNESS).await,
        redis: redis_url(),
        sandbox: &["--delay", "20ms"],
        settings: &[],
    };
    let mut world = World::start("cluster", options).await;
    world.set_faults(FAULTS).await;
    let daemon = daemon_beside_the_leader(&mut world, &cluster).await;
    let subscriber = world.subscribe().await;

    let mut dice = Dice::new(12);
    let jobs = scale::jobs().unwrap_or(240);
    let shape = Shape { jobs, ..SHAPE };
    let plan = Plan::draw(shape, &mut dice);
    let (first, second) = plan.bodies.split_at(plan.bodies.len() / 2);
    submit(&world, first).await;
    events(&subscriber, 20 + dice.below(30)).await;
    cluster.kill(FIRST_LEADER).await;
    let told = subscriber.count();
    eprintln!("RabbitMQ cluster, the quorum leader of all queues: killed with {told} told");
    assert!(
        told < first.len() - 40,
        "it was killed after the work: {told}"
    );
    // Two nodes go on without the third.
    events(&subscriber, told + 30).await;
    led_by_others(&cluster, &world.prefix).await;
    cluster.start_again(FIRST_LEADER).await;
    cluster.whole(&world.prefix).await;

    world.publish_bad(&plan).await;
    let told = subscriber.count();
    submit(&world, second).await;
    events(&subscriber, told + 20 + dice.below(30)).await;
    cluster.kill(DAEMONS).await;
    let told = subscriber.count();
    eprintln!("RabbitMQ cluster, the daemon's node: killed with {told} told");
    assert!(
        told < plan.outcomes() - 40,
        "it was killed after the work: {told}"
    );
    daemon.unready("rabbitmq").await;
    daemon.ready().await;
    assert_eq!(consumes_from(&cluster).await, [WITNESS]);
    cluster.start_again(DAEMONS).await;
    world.finished(&plan, &subscriber, &daemon).await;
    cluster.whole(&world.prefix).await;
    world.agrees(&plan, &subscriber, daemon).await;
    eprintln!("RabbitMQ cluster: {jobs} jobs: lost 0, doubled 0, falsely failed 0");
}

/// Declares everything through the first leader, then starts a daemon that is connected elsewhere.
async fn daemon_beside_the_leader(world: &mut World, cluster: &RabbitmqCluster) -> Daemon {
    connect_first_to(world, cluster, [FIRST_LEADER, DAEMONS, WITNESS]).await;
    let mut declarer = world.daemon().await;
    let declared_at = cluster.mark();
    assert_eq!(declarer.process.terminate().await, Some(0));
    connect_first_to(world, cluster, [DAEMONS, WITNESS, FIRST_LEADER]).await;
    let daemon = world.daemon().await;
    cluster.votes_written(declared_at).await;
    let queues = cluster.queues(&world.prefix, WITNESS).await;
    assert!(queues.len() > 8, "{queues:?}");
    for queue in &queues {
        assert_eq!(queue.leader, FIRST_LEADER, "{queue:?}");
        assert_eq!(queue.members, NODES, "{queue:?}");
        assert_eq!(queue.online, NODES, "{queue:?}");
    }
    assert_eq!(consumes_from(cluster).await, [DAEMONS]);
    daemon
}

/// The node that the daemon consumes from.
async fn consumes_from(cluster: &RabbitmqCluster) -> Vec<u8> {
    cluster.nodes_of("(consume)", WITNESS).await
}

async fn submit(world: &World, bodies: &[Vec<u8>]) {
    let (code, lines) = world.submit(bodies).await;
    assert_eq!(code, Some(0), "{lines:?}");
}

/// Waits until each queue has another leader; the daemon stayed where it was.
async fn led_by_others(cluster: &RabbitmqCluster, prefix: &str) {
    eventually("other leaders", async || {
        let queues = cluster.queues(prefix, WITNESS).await;
        let led = |leader| [DAEMONS, WITNESS].contains(&leader);
        queues.iter().all(|queue| led(queue.leader))
    })
    .await;
    assert_eq!(consumes_from(cluster).await, [DAEMONS]);
}

/// Sets the addresses of all nodes, in this order, for what is started from now on.
async fn connect_first_to(world: &mut World, cluster: &RabbitmqCluster, nodes: [u8; 3]) {
    let mut urls = Vec::new();
    for node in nodes {
        urls.push(cluster.url(node).await);
    }
    world.set("HONGBAOD__RABBITMQ__URLS", &urls.join(","));
}
