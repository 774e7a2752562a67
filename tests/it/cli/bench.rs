//! `bench`: its figures, and that nothing of it stays behind, also when it cannot begin.

use std::fs;
use std::path::{Path, PathBuf};

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::cli::program;
use crate::redis_server::connection;
use crate::servers::{amqp_url, redis_url};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

fn configure(directory: &Path, amqp: &str, redis: &str) {
    let text = format!("[rabbitmq]\nurls = [\"{amqp}\"]\n[redis]\nurls = [\"{redis}\"]\n");
    fs::write(directory.join("hongbaod.toml"), text).unwrap();
}

/// Runs a small benchmark on these servers, with its own directory inside of `directory`, and returns
/// its exit code and what it said.
fn bench(directory: &Path, amqp: &str, redis: &str) -> (Option<i32>, String) {
    configure(directory, amqp, redis);
    let mut command = program(directory, &["bench", "--jobs", "100"]);
    let output = command.env("TMPDIR", directory).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

/// The directory that a benchmark has left behind.
fn left_in(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.is_dir())
}

async fn keys_of(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{prefix}:*"));
    keys.query_async(redis).await.unwrap()
}

#[tokio::test]
async fn a_benchmark_counts_every_job_once_and_cleans_up() {
    let directory = TempDir::new().unwrap();
    let mut redis = connection(&redis_url()).await;
    let table = [
        (["--replicas", "2"].as_slice(), json!(2), Value::Null),
        (&["--rate", "200"], json!(1), json!(200)),
    ];
    for (more, replicas, rate) in table {
        let path = directory.path().to_owned();
        let urls = (amqp_url(), redis_url());
        let arguments = [["--jobs", "200", "--json"].as_slice(), more].concat();
        let running = spawn_blocking(move || figures(&path, &urls, &arguments));
        let (figures, number) = running.await.unwrap();
        let settled = ["jobs", "repeated", "unpaid", "replicas", "rate"].map(|name| &figures[name]);
        assert_eq!(
            settled,
            [&json!(190), &json!(0), &json!(0), &replicas, &rate]
        );
        let costs = [
            "/worker_cpu/user_us",
            "/sandbox_cpu/user_us",
            "/pair_ns/alone",
            "/pairs_permille/alone",
            "/worker_resident_kib/peak",
            "/redis/commands",
            "/latency_us/p50",
        ];
        for cost in costs {
            let figure = figures.pointer(cost).and_then(Value::as_u64);
            assert!(figure.is_some_and(|figure| figure > 0), "{cost}: {figures}");
        }
        assert_eq!(left_in(directory.path()), None);
        let own = format!("hongbao-bench-{number}");
        assert_eq!(keys_of(&mut redis, &own).await, [""; 0]);
    }
}

/// Runs a benchmark to its good end; its figures, and the number of its process.
fn figures(directory: &Path, (amqp, redis): &(String, String), arguments: &[&str]) -> (Value, u32) {
    configure(directory, amqp, redis);
    let mut command = program(directory, &[["bench"].as_slice(), arguments].concat());
    let child = command.env("TMPDIR", directory).spawn().unwrap();
    let number = child.id();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    (serde_json::from_slice(&output.stdout).unwrap(), number)
}

#[tokio::test]
async fn a_benchmark_whose_daemon_cannot_start_leaves_logs_and_no_keys() {
    let directory = TempDir::new().unwrap();
    let amqp = format!("amqp://guest:guest@{NOBODY}/%2f");
    let (code, told) = bench(directory.path(), &amqp, &redis_url());
    assert_eq!(code, Some(1), "{told}");
    let left = left_in(directory.path()).expect("the logs");
    assert!(told.contains(&left.display().to_string()), "{told}");
    let log = fs::read_to_string(left.join("worker-0.log")).unwrap();
    assert!(log.contains(NOBODY), "{log}");

    let number = left.display().to_string();
    let (_, number) = number.rsplit_once('-').unwrap();
    let mut redis = connection(&redis_url()).await;
    let keys = keys_of(&mut redis, &format!("hongbao-bench-{number}")).await;
    assert_eq!(keys, [""; 0]);
}

#[test]
fn a_benchmark_without_redis_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let redis = format!("redis://{NOBODY}/0");
    let (code, told) = bench(directory.path(), &amqp_url(), &redis);
    assert_eq!(code, Some(69), "{told}");
    assert_eq!(left_in(directory.path()), None, "{told}");
}
