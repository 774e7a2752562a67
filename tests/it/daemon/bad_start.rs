//! Starts that cannot work: each ends with the documented exit code and says what to repair.

use std::net::TcpListener;

use super::broker;
use super::world::{World, WorldOptions};
use crate::redis_server::RedisServer;
use crate::servers::{amqp_url, redis_url};

/// Port 9 is "discard", which nobody serves here.
const NOBODY_AMQP: &str = "amqp://guest:guest@127.0.0.1:9/%2f";
const NOBODY_REDIS: &str = "redis://127.0.0.1:9/0";

async fn world(settings: &[(&'static str, &'static str)]) -> World {
    let options = WorldOptions {
        amqp: "memory:".to_owned(),
        redis: "memory:".to_owned(),
        sandbox: &[],
        settings,
    };
    World::start("bad-start", options).await
}

/// Starts the daemon, which must end with `code` and say all of `words`.
async fn check(world: &World, code: i32, words: &[&str]) {
    let mut process = world.hongbaod(&["run"]);
    let ended = process.exit_code().await;
    let text = process.written().text();
    assert_eq!(ended, Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert!(!text.contains("guest:guest"), "{text}");
}

/// Rewrites a part of the configuration file.
fn edit(world: &World, from: &str, to: &str) {
    let path = world.path("hongbaod.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_mistakes_of_a_configuration_are_told_at_once() {
    let world = world(&[
        ("HONGBAOD__RETRY__DELAY_MIN", "250"),
        ("HONGBAOD__ADMIN__LISTEN", "localhost"),
    ])
    .await;
    edit(&world, "[alipay]\n", "[alipay]\ngatewey = \"x\"\n");
    edit(&world, "app_id = \"", "app_id = \"x");
    std::fs::write(world.path("keys").join("app_private_key.pem"), "no key").unwrap();
    check(
        &world,
        78,
        &[
            "5 mistakes",
            "HONGBAOD__RETRY__DELAY_MIN",
            "retry.delay_min",
            "admin.listen",
            "alipay.gatewey",
            "hongbaod.toml:",
            "alipay.apps.main.app_id",
            "alipay.apps.main.private_key_file",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_used_is_named() {
    let world = world(&[]).await;
    let key = |name: &str| world.path("keys").join(name);
    let alipays = std::fs::read(key("alipay_public_key.pem")).unwrap();

    std::fs::copy(key("app_public_key.pem"), key("alipay_public_key.pem")).unwrap();
    let own = "this is the app's own public key, not Alipay's";
    check(&world, 78, &["alipay.apps.main.alipay_public_key", own]).await;

    std::fs::write(
        key("alipay_public_key.pem"),
        "-----BEGIN PUBLIC KEY-----\nMIIB",
    )
    .unwrap();
    check(&world, 78, &["alipay.apps.main.alipay_public_key"]).await;

    std::fs::write(key("alipay_public_key.pem"), alipays).unwrap();
    let private_key = std::fs::read_to_string(key("app_private_key.pem")).unwrap();
    let half = &private_key[..private_key.len() / 2];
    std::fs::write(key("app_private_key.pem"), half).unwrap();
    check(&world, 78, &["alipay.apps.main.private_key"]).await;

    std::fs::remove_file(key("app_private_key.pem")).unwrap();
    let missing = [
        "alipay.apps.main.private_key_file",
        "the file cannot be read: No such file",
    ];
    check(&world, 78, &missing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_told_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut world = world(&[]).await;
    world.set("HONGBAOD__ADMIN__LISTEN", &address);
    check(
        &world,
        78,
        &["admin.listen", &address, "the port is in use"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_named_with_its_address() {
    let mut world = world(&[]).await;
    world.set("HONGBAOD__REDIS__URLS", &redis_url());
    world.set("HONGBAOD__RABBITMQ__URLS", NOBODY_AMQP);
    check(&world, 69, &["RabbitMQ at 127.0.0.1:9"]).await;
    world.set("HONGBAOD__RABBITMQ__URLS", "memory:");
    world.set("HONGBAOD__REDIS__URLS", NOBODY_REDIS);
    check(&world, 69, &["Redis at 127.0.0.1:9"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_evict_is_refused() {
    let redis = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut world = world(&[]).await;
    world.set("HONGBAOD__REDIS__URLS", &redis.url());
    let words = ["maxmemory-policy is allkeys-lru", "set it to noeviction"];
    check(&world, 1, &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_declared_otherwise_is_named_with_its_argument() {
    let mut world = world(&[]).await;
    world.set("HONGBAOD__REDIS__URLS", &redis_url());
    world.set("HONGBAOD__RABBITMQ__URLS", &amqp_url());
    let queue = format!("{}.jobs.disburse", world.prefix);
    broker::declare_otherwise(&amqp_url(), &queue).await;
    check(&world, 1, &[&queue, "\"x-dead-letter-exchange\""]).await;
    broker::demolish(&amqp_url(), &world.rabbitmq()).await;
}
