//! `submit`, `watch` and `show` against real servers and a running daemon.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::ports::ledger::{Ledger, Written};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::checks::{configure, sandbox};
use crate::cli::{Running, disburse, run};
use crate::ledger_entries::{every_kind, key};
use crate::servers::redis_url;

#[test]
fn what_is_submitted_is_paid_watched_and_shown() {
    const JOBS: usize = 40;
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &["--packet", "P1=10.00"]);
    configure(directory.path(), &section);
    let mut daemon = Running::start(directory.path(), &["run"]);
    daemon.await_stderr("hongbaod takes jobs");
    let count = JOBS.to_string();
    let arguments = [
        "watch",
        "--pattern",
        "disburse.*",
        "--json",
        "--count",
        &count,
    ];
    let mut watch = Running::start(directory.path(), &arguments);
    watch.await_stderr("watching");

    fs::write(directory.path().join("jobs.ndjson"), jobs(JOBS)).unwrap();
    let ended = run(
        directory.path(),
        &["submit", "--file", "jobs.ndjson", "--json"],
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<&Value> = told.iter().map(|told| &told["line"]).collect();
    assert_eq!(numbers, [&json!(4), &json!(10), &Value::Null]);
    assert_eq!(told[2]["summary"]["submitted"], JOBS);
    assert_eq!(told[2]["summary"]["unconfirmed"], 0);

    let mut results = BTreeMap::new();
    for _ in 0..JOBS {
        let event: Value = serde_json::from_str(&watch.stdout_until("{")).unwrap();
        let number = event["data"]["out_request_no"].as_str().unwrap().to_owned();
        let result = event["data"]["result"].as_str().unwrap().to_owned();
        results.insert(number, result);
    }
    assert_eq!(watch.wait(), Some(0));
    let refused = format!("R{JOBS}");
    assert_eq!(results.remove(&refused).as_deref(), Some("failed"));
    assert_eq!(results.len(), JOBS - 1);
    assert!(
        results.values().all(|result| result == "succeeded"),
        "{results:?}"
    );

    the_ledger_shows_them(directory.path(), &refused);

    // A daemon on the configured port is no reason for a cross.
    let ended = run(directory.path(), &["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("runs here already"),
        "{}",
        ended.stdout
    );
    assert_eq!(daemon.terminate(), Some(0));
}

fn the_ledger_shows_them(directory: &Path, refused: &str) {
    let shown = |number: &str| {
        let ended = run(directory, &["show", number, "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    assert_eq!(shown("R1")["result"], "succeeded");
    assert_eq!(shown("R1")["amount"], "0.01");
    assert_eq!(shown(refused)["result"], "failed");
    assert_eq!(shown(refused)["labels"]["room"], "42");
    let ended = run(directory, &["show", "R99"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
}

/// So many jobs and two lines that are none. The last job is refused by Alipay: it is for more
/// than the packet has.
fn jobs(count: usize) -> String {
    let mut lines: Vec<String> = (1..count).map(|number| disburse(number, |_| {})).collect();
    lines.insert(3, "not json".to_owned());
    lines.insert(9, disburse(99, |job| drop(job.remove("amount"))));
    lines.push(disburse(count, |job| {
        job.insert("amount".to_owned(), json!("99.99"));
        job.insert("labels".to_owned(), json!({"room": "42"}));
    }));
    lines.join("\n")
}

#[test]
fn jobs_for_a_broker_that_was_never_declared_are_not_sent() {
    let directory = TempDir::new().unwrap();
    let prefix = configure(directory.path(), "[alipay]\n");
    let arguments = [
        "submit",
        "query",
        "--out-order-no",
        "O1",
        "--out-request-no",
        "R1",
    ];
    for arguments in [&arguments[..], &["watch"]] {
        let ended = run(directory.path(), arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        let exchange = format!("no exchange \"{prefix}.");
        assert!(ended.stderr.contains(&exchange), "{}", ended.stderr);
        assert!(ended.stderr.contains("hongbaod run"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn every_entry_is_shown_and_no_logon_id_is() {
    let directory = TempDir::new().unwrap();
    let prefix = configure(directory.path(), "[alipay]\n");
    let options = RedisLedgerOptions {
        prefix,
        ..RedisLedgerOptions::new(SecretString::from(redis_url()))
    };
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let ledger = RedisLedger::connect(options, clock, random).await.unwrap();
    let mut states = BTreeMap::new();
    for index in 0..every_kind(&key(0)).len() {
        // Each under a number of its own, with the job of that very number.
        let key = key(u64::try_from(index).unwrap());
        let entry = every_kind(&key).swap_remove(index);
        let written = ledger.insert(&key, &entry).await.unwrap();
        assert!(matches!(written, Written::Stored(_)), "{entry:?}");
        let number = key.out_request_no.as_str();
        for arguments in [&["show", number, "--json"][..], &["show", number]] {
            let ended = run(directory.path(), arguments);
            assert_eq!(ended.code, Some(0), "{entry:?}: {}", ended.stderr);
            assert!(!ended.stdout.contains("13800000000"), "{}", ended.stdout);
            if let Ok(value) = serde_json::from_str::<Value>(&ended.stdout) {
                *states.entry(value["state"].to_string()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(states.len(), 3, "{states:?}");
}
