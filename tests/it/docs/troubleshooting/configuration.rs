//! Mistakes of the configuration, and addresses that cannot be listened on.

use std::net::TcpListener;

use super::{Start, check, set, world};
use crate::servers::{redis_url, tls_path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_about_the_configuration_is_in_the_page() {
    let world = world().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (amqp, ca) = (
        "HONGBAOD__RABBITMQ__URLS",
        "HONGBAOD__RABBITMQ__TLS_CA_FILE",
    );
    let (cert, key) = (
        "HONGBAOD__RABBITMQ__TLS_CERT_FILE",
        "HONGBAOD__RABBITMQ__TLS_KEY_FILE",
    );
    let tls = |name: &'static str, file: &str| set(name, &tls_path(file));
    let secure = set(amqp, "amqps://127.0.0.1:9/%2f");
    let starts: [Start; 19] = [
        vec![set("HONGBAOD__ADMIN__LISTEN", &taken)],
        vec![set("HONGBAOD__NOTIFY__LISTEN", &taken)],
        // Of the documents' networks: no machine has it.
        vec![set("HONGBAOD__ADMIN__LISTEN", "192.0.2.1:9464")],
        vec![set("HONGBAOD__NOTIFY__LISTEN", "192.0.2.1:8080")],
        vec![set("HONGBAOD__ALIPAY__GATEWEY", "x")],
        vec![set("HONGBAOD__RETRY__DELAY_MIN", "250")],
        vec![set("HONGBAOD__LEDGER__LEASE", "1s")],
        vec![set("HONGBAOD__PACING__REQUESTS_PER_SECOND", "0")],
        vec![set("HONGBAOD__ADMIN__LISTEN", "localhost")],
        vec![set("HONGBAOD__ALIPAY__APPS__MAIN__APP_ID", "main")],
        vec![
            set("HONGBAOD_CONFIG", "x"),
            set("HONGBAOD__LOG__LEVEL", "loud"),
        ],
        vec![set(amqp, "http://127.0.0.1:5672")],
        vec![set(amqp, "amqp://guest:pa55/@127.0.0.1:5672/%2f")],
        vec![set(amqp, "amqp://127.0.0.1:9/%2f")],
        vec![set(
            "HONGBAOD__REDIS__URLS",
            &format!("{0},{0}", redis_url()),
        )],
        vec![
            set(amqp, "amqp://127.0.0.1:9/%2f"),
            set("HONGBAOD__REDIS__URLS", &redis_url()),
            tls(ca, "ca.pem"),
        ],
        vec![
            set("HONGBAOD__REDIS__URLS", &redis_url()),
            set(amqp, "amqp://127.0.0.1:9/%2f"),
            tls("HONGBAOD__REDIS__TLS_CA_FILE", "ca.pem"),
        ],
        vec![
            secure.clone(),
            set("HONGBAOD__REDIS__URLS", &redis_url()),
            tls(cert, "client.pem"),
        ],
        vec![
            secure,
            set("HONGBAOD__REDIS__URLS", &redis_url()),
            tls(cert, "client.pem"),
            tls(key, "server.key"),
        ],
    ];
    check(&world, "about the configuration", &starts).await;
}
