//! RabbitMQ away, closed to us, and with other queues than ours.

use std::net::Ipv4Addr;

use super::{Start, check, set, world};
use crate::daemon::broker;
use crate::proxy::Proxy;
use crate::servers::{amqp_url, amqps_url, management_url, redis_url, tls_path, unique_prefix};

const URLS: &str = "HONGBAOD__RABBITMQ__URLS";
const CA: &str = "HONGBAOD__RABBITMQ__TLS_CA_FILE";

/// The management API, as an administrator.
async fn manage(method: reqwest::Method, path: &str, body: &'static str) {
    let url = format!("{}/api/{path}", management_url());
    let request = reqwest::Client::new().request(method, &url);
    let request = request.basic_auth("guest", Some("guest"));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
}

/// `url` with another path.
fn with_vhost(url: &str, vhost: &str) -> String {
    let (start, _) = url.rsplit_once('/').unwrap();
    format!("{start}/{vhost}")
}

/// `url` with another scheme.
fn with_scheme(url: &str, scheme: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    format!("{scheme}://{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_rabbitmq_is_in_the_page() {
    let mut world = world().await;
    world.set("HONGBAOD__REDIS__URLS", &redis_url());
    let (amqp, amqps) = (amqp_url(), amqps_url());
    let user = unique_prefix("nobody");
    let (account, rights) = (format!("users/{user}"), format!("permissions/%2f/{user}"));
    manage(
        reqwest::Method::PUT,
        &account,
        r#"{"password":"pa55","tags":""}"#,
    )
    .await;
    let none = r#"{"configure":"^$","write":"^$","read":"^$"}"#;
    manage(reqwest::Method::PUT, &rights, none).await;
    let foreign = Proxy::listening_on(Ipv4Addr::new(127, 0, 0, 2), &amqps);
    let queue = format!("{}.jobs.disburse", world.prefix);
    broker::declare_otherwise(&amqp, &queue).await;

    let without_authorities = world.path("empty").display().to_string();
    std::fs::create_dir(&without_authorities).unwrap();

    let login = |login: &str| amqp.replace("guest:guest", login);
    let trusting = |url: &str| vec![set(URLS, url), set(CA, &tls_path("ca.pem"))];
    let long = "p".repeat(32);
    let starts: [Start; 12] = [
        vec![set(URLS, "amqp://guest:guest@127.0.0.1:9/%2f")],
        vec![set(URLS, &login("guest:pa55"))],
        vec![set(URLS, &with_vhost(&amqp, "nowhere"))],
        vec![
            set(URLS, &login(&format!("{user}:pa55"))),
            set("HONGBAOD__RABBITMQ__PREFIX", &long),
        ],
        vec![set(URLS, &amqp)],
        vec![set(URLS, &with_scheme(&amqps, "amqp"))],
        trusting(&with_scheme(&amqp, "amqps")),
        vec![set(URLS, &amqps)],
        trusting(&foreign.url(&amqps)),
        trusting(&amqps),
        vec![
            set(URLS, &amqps),
            set("SSL_CERT_FILE", "/dev/null"),
            set("SSL_CERT_DIR", &without_authorities),
        ],
        vec![set(URLS, "amqp://guest:guest@[::1]:5672/%2f")],
    ];
    check(&world, "about RabbitMQ", &starts).await;
    manage(reqwest::Method::DELETE, &account, "").await;
    world.set(URLS, &amqp);
    broker::demolish(&amqp, &world.rabbitmq()).await;
}
