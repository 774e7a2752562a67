//! Both servers by TLS, with an authority of one's own, and a client certificate that RabbitMQ asks
//! for: the daemon and the commands reach them, and what they are told is in the configuration alone.

use super::plan::{Dice, Plan, Shape};
use super::world::{World, WorldOptions};
use crate::servers::{amqp_url, amqps_url, redis_url, rediss_url, tls_path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_paid_over_tls() {
    let options = WorldOptions {
        // For the test's own look at the queues.
        amqp: amqp_url(),
        redis: redis_url(),
        sandbox: &[],
        settings: &[],
    };
    let mut world = World::start("tls", options).await;
    let files = [
        ("HONGBAOD__RABBITMQ__TLS_CA_FILE", "ca.pem"),
        ("HONGBAOD__RABBITMQ__TLS_CERT_FILE", "client.pem"),
        ("HONGBAOD__RABBITMQ__TLS_KEY_FILE", "client.key"),
        ("HONGBAOD__REDIS__TLS_CA_FILE", "ca.pem"),
    ];
    for (name, file) in files {
        world.set(name, &tls_path(file));
    }
    world.set("HONGBAOD__RABBITMQ__URLS", &amqps_url());
    world.set("HONGBAOD__REDIS__URLS", &rediss_url());
    let mut check = world.hongbaod(&["check", "--json"]);
    assert_eq!(check.exit_code().await, Some(0));
    let told = check.written().text();
    for words in [
        "TLS, trusting tls_ca, with our certificate",
        "\"TLS, trusting tls_ca\"",
    ] {
        assert!(told.contains(words), "{told}");
    }

    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let shape = Shape {
        jobs: 40,
        duplicates: 4,
        conflicts: 1,
    };
    let plan = Plan::draw(shape, &mut Dice::new(17));
    world.submit_plan(&plan).await;
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}
