//! `bench` that cannot begin: what it has made by then is gone again.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::program;
use crate::redis_server::connection;
use crate::servers::redis_url;

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

/// Runs a small benchmark on these servers, with its own directory inside of `directory`, and returns
/// its exit code and what it said.
fn bench(directory: &Path, amqp: &str, redis: &str) -> (Option<i32>, String) {
    let text = format!("[rabbitmq]\nurls = [\"{amqp}\"]\n[redis]\nurls = [\"{redis}\"]\n");
    fs::write(directory.join("hongbaod.toml"), text).unwrap();
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

#[tokio::test]
async fn a_benchmark_whose_daemon_cannot_start_leaves_logs_and_no_keys() {
    let directory = TempDir::new().unwrap();
    let amqp = format!("amqp://guest:guest@{NOBODY}/%2f");
    let (code, told) = bench(directory.path(), &amqp, &redis_url());
    assert_eq!(code, Some(1), "{told}");
    let left = left_in(directory.path()).expect("the logs");
    assert!(told.contains(&left.display().to_string()), "{told}");
    let log = fs::read_to_string(left.join("worker.log")).unwrap();
    assert!(log.contains(NOBODY), "{log}");

    let number = left.display().to_string();
    let (_, number) = number.rsplit_once('-').unwrap();
    let mut redis = connection(&redis_url()).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("hongbao-bench-{number}:*"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(keys, [""; 0]);
}

#[test]
fn a_benchmark_without_redis_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let redis = format!("redis://{NOBODY}/0");
    let (code, told) = bench(directory.path(), &crate::servers::amqp_url(), &redis);
    assert_eq!(code, Some(69), "{told}");
    assert_eq!(left_in(directory.path()), None, "{told}");
}
