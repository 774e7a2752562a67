//! TLS to RabbitMQ and Redis where something is not as it must be; and Redis of every mode on
//! servers that have no port without TLS, so that nothing can have gone without.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hongbaod::adapters::rabbitmq::{ConnectError, RabbitmqOptions, check_topology};
use hongbaod::adapters::redis_ledger::{RedisLedgerOptions, RedisMode};
use hongbaod::domain::causes::with_causes;
use hongbaod::ports::ledger::Ledger as _;
use tempfile::TempDir;

use super::certificates::{Issued, OldTlsServer, TlsServer};
use crate::patience::eventually;
use crate::ports::free_port;
use crate::redis_health::{is_up, try_connect};
use crate::redis_server::RedisServer;
use crate::servers::{amqp_url, redis_url, tls_file, tls_path, unique_prefix};

const MASTER_NAME: &str = "mymaster";

fn redis(mode: RedisMode, port: u16) -> RedisLedgerOptions {
    let url = format!("rediss://127.0.0.1:{port}");
    let mut options = RedisLedgerOptions::new(url.into());
    options.mode = mode;
    options.prefix = unique_prefix("tls");
    // A handshake of an unoptimised build takes its time beside other tests.
    options.connect_timeout = Duration::from_secs(10);
    options.tls.ca = Some(tls_file("ca.pem"));
    options.tls.identity = Some((tls_file("client.pem"), tls_file("client.key").into()));
    options
}

/// The words of a server that has TLS alone, and asks who its clients are.
fn tls_alone(issued: &Issued, port: u16) -> Vec<String> {
    let file = |name| issued.path(name).display().to_string();
    let words = [
        ("--port", "0".to_owned()),
        ("--tls-port", port.to_string()),
        ("--tls-auth-clients", "yes".to_owned()),
        ("--tls-ca-cert-file", tls_path("ca.pem")),
        ("--tls-cert-file", file("server.pem")),
        ("--tls-key-file", file("server.key")),
        ("--tls-replication", "yes".to_owned()),
    ];
    words.map(|(name, value)| [name.to_owned(), value]).concat()
}

fn start(issued: &Issued, port: u16, more: &[&str]) -> RedisServer {
    let mut words = tls_alone(issued, port);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    RedisServer::start(&words)
}

/// Asks a server by `redis-cli` with the tests' own certificate.
fn ask(port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--tls"])
        .args(["--cacert", &tls_path("ca.pem")])
        .args(["--cert", &tls_path("client.pem")])
        .args(["--key", &tls_path("client.key")])
        .args(words)
        .output()
        .expect("redis-cli is installed: tests/run does it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_certificate_has_ended_is_out_of_reach() {
    let port = free_port();
    let _server = start(&Issued::new("IP:127.0.0.1", "-1"), port, &[]);
    let error = try_connect(redis(RedisMode::Standalone, port)).await;
    let error = with_causes(&error.unwrap_err());
    assert!(error.contains("Expired"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_tls_1_1_is_out_of_reach_and_one_of_tls_1_2_is_not() {
    let issued = Issued::new("IP:127.0.0.1", "30");
    let port = free_port();
    let _server = start(&issued, port, &["--tls-protocols", "TLSv1.2"]);
    let ledger = try_connect(redis(RedisMode::Standalone, port)).await;
    assert!(is_up(&ledger.unwrap().health()));

    let old = OldTlsServer::start(Issued::new("IP:127.0.0.1", "30"));
    eventually("a server of TLS 1.1", async || old.lets_its_peers_in()).await;
    let error = try_connect(redis(RedisMode::Standalone, old.port)).await;
    let error = with_causes(&error.unwrap_err());
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_tls_never_goes_without() {
    // A port without TLS hears a handshake, and nothing else.
    let plain = redis_url().replace("redis://", "rediss://");
    let mut options = redis(RedisMode::Standalone, 1);
    options.urls = vec![plain.into()];
    options.connect_timeout = Duration::from_secs(2);
    try_connect(options).await.unwrap_err();

    let mut options = RabbitmqOptions::new("tls");
    options.urls = vec![amqp_url().replace("amqp://", "amqps://").into()];
    options.tls.ca = Some(tls_file("ca.pem"));
    let error = check_topology(&options).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );

    // What turns the check of certificates off in other programs does not here.
    let port = free_port();
    let _server = start(&Issued::new("DNS:elsewhere.test", "30"), port, &[]);
    for end in ["#insecure", "/0#insecure", "?insecure=true"] {
        let mut options = redis(RedisMode::Standalone, port);
        options.urls = vec![format!("rediss://127.0.0.1:{port}{end}").into()];
        try_connect(options).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rabbitmq_whose_certificate_has_ended_or_is_anothers_hears_nothing() {
    for (name, days, words) in [
        ("IP:127.0.0.1", "-1", "Expired"),
        ("DNS:elsewhere.test", "30", "not valid for name"),
    ] {
        let server = TlsServer::start(&Issued::new(name, days), "AMQP\0\0\u{9}\u{1}");
        let mut options = RabbitmqOptions::new("tls");
        options.urls = vec![format!("amqps://u:pa55@{}/%2f", server.address).into()];
        options.tls.ca = Some(tls_file("ca.pem"));
        let error = with_causes(&check_topology(&options).await.unwrap_err());
        let has_words = error.to_lowercase().contains(&words.to_lowercase());
        assert!(has_words && !error.contains("pa55"), "{error}");
        assert_eq!(server.heard(), "");
    }
    let old = OldTlsServer::start(Issued::new("IP:127.0.0.1", "30"));
    eventually("a server of TLS 1.1", async || old.lets_its_peers_in()).await;
    let mut options = RabbitmqOptions::new("tls");
    options.urls = vec![format!("amqps://127.0.0.1:{}/%2f", old.port).into()];
    options.tls.ca = Some(tls_file("ca.pem"));
    let error = with_causes(&check_topology(&options).await.unwrap_err());
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_are_reached_by_tls_alone() {
    let issued = Issued::new("IP:127.0.0.1", "30");
    let (port, bus) = (free_port(), free_port().to_string());
    let words = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let words = [&words[..], &["--cluster-port", &bus]].concat();
    let _node = start(&issued, port, &words);
    // One node that has every slot; it announces its address and the port of TLS.
    assert_eq!(
        ask(port, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).trim(),
        "OK"
    );
    eventually("a cluster of one", async || {
        ask(port, &["CLUSTER", "INFO"]).contains("cluster_state:ok")
    })
    .await;
    let ledger = try_connect(redis(RedisMode::Cluster, port)).await;
    assert!(is_up(&ledger.unwrap().health()));
}

/// A sentinel with TLS alone, of the master at `master`.
fn sentinel(directory: &Path, issued: &Issued, port: u16, master: u16) -> RedisSentinel {
    let words = tls_alone(issued, port);
    let mut text: String = words
        .chunks(2)
        .map(|pair| format!("{} {}\n", pair[0].trim_start_matches("--"), pair[1]))
        .collect();
    text.push_str(&format!(
        "bind 127.0.0.1\ndir {}\nsentinel monitor {MASTER_NAME} 127.0.0.1 {master} 1\n",
        directory.display()
    ));
    let config = directory.join("sentinel.conf");
    std::fs::write(&config, text).unwrap();
    let process = Command::new("redis-server")
        .arg(&config)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("redis-server is installed: tests/run does it");
    RedisSentinel(process)
}

struct RedisSentinel(std::process::Child);

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        // A test that failed may have none left to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_the_master_that_they_name_are_reached_by_tls_alone() {
    let issued = Issued::new("IP:127.0.0.1", "30");
    let (port, master) = (free_port(), free_port());
    let _master = start(&issued, master, &[]);
    let directory = TempDir::new().unwrap();
    let _sentinel = sentinel(directory.path(), &issued, port, master);
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
    eventually("a sentinel that answers", async || {
        ask(port, &question).contains(&master.to_string())
    })
    .await;
    let mode = RedisMode::Sentinel {
        master: MASTER_NAME.to_owned(),
        password: None,
    };
    let ledger = try_connect(redis(mode.clone(), port)).await;
    assert!(is_up(&ledger.unwrap().health()));
    // Whom the sentinels do not know gets nowhere.
    let mut nobody = redis(mode, port);
    nobody.tls.identity = None;
    try_connect(nobody).await.unwrap_err();
}
