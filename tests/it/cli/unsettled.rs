//! `list --unsettled` over real entries in a real Redis.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::domain::entry::{Entry, Pending};
use hongbaod::domain::job::JobKey;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::ledger::{Ledger, Written};
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::checks::configure;
use crate::cli::run;
use crate::ledger_entries::{NOW, deferred, every_kind, in_flight, key, settled};
use crate::redis_server::connection;
use crate::servers::redis_url;

/// A directory with a configuration, its ledger, and its prefix.
async fn place() -> (TempDir, RedisLedger, String) {
    let directory = TempDir::new().unwrap();
    let prefix = configure(directory.path(), "[alipay]\n");
    let options = RedisLedgerOptions {
        prefix: prefix.clone(),
        ..RedisLedgerOptions::new(SecretString::from(redis_url()))
    };
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let ledger = RedisLedger::connect(options, clock, random).await.unwrap();
    (directory, ledger, prefix)
}

async fn insert(ledger: &RedisLedger, key: &JobKey, entry: &Entry) {
    let written = ledger.insert(key, entry).await.unwrap();
    assert!(matches!(written, Written::Stored(_)), "{entry:?}");
}

/// The job of `number`, deferred and first seen at an instant, with one change.
fn waiting(number: u64, first_seen_at: UnixMillis, change: impl FnOnce(&mut Pending)) -> Entry {
    let mut entry = deferred(&key(number), UnixMillis(1));
    let Entry::Deferred(waits) = &mut entry else {
        unreachable!("deferred() makes a deferred entry");
    };
    waits.pending.first_seen_at = first_seen_at;
    change(&mut waits.pending);
    entry
}

/// The rows and the summary.
fn listed(directory: &Path, more: &[&str]) -> (Vec<Value>, Value) {
    let mut arguments = vec!["list", "--unsettled", "--json"];
    arguments.extend(more);
    let ended = run(directory, &arguments);
    assert_eq!(ended.code, Some(0), "{more:?}: {}", ended.stderr);
    let mut lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap()["summary"].clone();
    (lines, summary)
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    let number = |row: &Value| {
        let text = row["out_request_no"].as_str().unwrap();
        text.trim_start_matches('R').parse().unwrap()
    };
    rows.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_each_job_once_though_others_settle_meanwhile() {
    let (directory, ledger, _) = place().await;
    // Inserted in another order than they were first seen in.
    for number in [4, 1, 6, 2, 7, 3, 5] {
        let entry = waiting(number, UnixMillis(NOW.0 + number), |_| {});
        insert(&ledger, &key(number), &entry).await;
    }
    let (rows, summary) = listed(directory.path(), &["--limit", "3"]);
    assert_eq!(numbers(&rows), [1, 2, 3]);
    assert_eq!(summary["jobs"], 7);
    let mut page = summary["next_page"].as_str().unwrap().to_owned();

    // One of the first page settles, and the one that the page ended with.
    for number in [1, 3] {
        let read = ledger.read(&key(number)).await.unwrap().unwrap();
        let outcome = settled(&key(number));
        let written = ledger.replace(&key(number), &read.revision, &outcome).await;
        assert!(matches!(written.unwrap(), Written::Stored(_)));
    }
    let mut seen = Vec::new();
    loop {
        let (rows, summary) = listed(directory.path(), &["--limit", "3", "--page", &page]);
        seen.extend(numbers(&rows));
        assert_eq!(summary["jobs"], 5);
        match summary["next_page"].as_str() {
            Some(next) => page = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, [4, 5, 6, 7]);

    let ended = run(directory.path(), &["list", "--unsettled", "--limit", "2"]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + 2 + 2, "{}", ended.stdout);
    assert!(lines[1].contains("R000000000000002"), "{}", lines[1]);
    assert!(lines[3].starts_with("5 unsettled, 44.40 yuan; 0 of them"));
    let place = lines[4].strip_prefix("there are more: --page ").unwrap();
    let (rows, _) = listed(directory.path(), &["--page", place]);
    assert_eq!(numbers(&rows), [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_leaves_what_it_says() {
    let (directory, ledger, _) = place().await;
    let old = UnixMillis(0);
    let young = UnixMillis(u64::MAX / 2);
    let mut other = key(9);
    other.app = hongbaod::domain::ident::AppName::new("second").unwrap();
    insert(&ledger, &key(1), &waiting(1, old, |_| {})).await;
    insert(
        &ledger,
        &key(2),
        &waiting(2, young, |job| job.maybe_sent = true),
    )
    .await;
    insert(
        &ledger,
        &key(3),
        &waiting(3, old, |job| {
            job.maybe_sent = true;
            job.rescues = 4;
            job.unresolved_announced = true;
        }),
    )
    .await;
    insert(&ledger, &key(4), &waiting(4, young, |job| job.rescues = 1)).await;
    // A refund, with everything that can be known, though not given to operators.
    let refund = every_kind(&key(5)).swap_remove(3);
    insert(&ledger, &key(5), &refund).await;
    insert(&ledger, &other, &deferred(&other, UnixMillis(u64::MAX / 2))).await;

    let table: [(&[&str], &[u64]); 14] = [
        (&[], &[1, 2, 3, 4, 5, 9]),
        (&["--kind", "refund"], &[5]),
        (&["--kind", "pay"], &[]),
        (&["--app", "second"], &[9]),
        (&["--older-than", "2000d"], &[1, 3]),
        (&["--reason", "maybe_sent"], &[2, 3, 5]),
        (&["--reason", "never_sent"], &[1, 4, 9]),
        (&["--reason", "overdue", "--reason", "never_sent"], &[1, 4]),
        (&["--reason", "rescued"], &[3, 4, 5]),
        (&["--reason", "given_to_operators"], &[3]),
        (&["--reason", "unresolved"], &[3, 5]),
        (&["--reason", "refusal_awaited"], &[5]),
        (&["--reason", "number_used", "--reason", "not_found"], &[5]),
        (&["--reason", "in_flight"], &[]),
    ];
    for (arguments, expected) in table {
        let (rows, summary) = listed(directory.path(), arguments);
        let found: BTreeSet<u64> = numbers(&rows).into_iter().collect();
        assert_eq!(found, expected.iter().copied().collect(), "{arguments:?}");
        assert_eq!(summary["jobs"], expected.len(), "{arguments:?}");
    }
    let (rows, summary) = listed(directory.path(), &["--reason", "given_to_operators"]);
    let known = [
        "overdue",
        "maybe_sent",
        "rescued",
        "given_to_operators",
        "unresolved",
    ];
    assert_eq!(rows[0]["known"], serde_json::json!(known));
    assert_eq!(rows[0]["state"], "deferred");
    assert_eq!(rows[0]["rescues"], 4);
    assert_eq!(summary["maybe_sent"], 1);
    assert_eq!(summary["amount_maybe_sent"], "8.88");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_what_the_index_misses_and_counts_nothing_twice() {
    let (directory, ledger, _) = place().await;
    insert(&ledger, &key(1), &in_flight(&key(1), 1)).await;
    insert(&ledger, &key(2), &deferred(&key(2), NOW)).await;
    insert(&ledger, &key(3), &settled(&key(3))).await;
    let (rows, summary) = listed(directory.path(), &[]);
    assert_eq!(numbers(&rows), [2]);
    assert_eq!(summary["not_in_index"], Value::Null);
    let (rows, summary) = listed(directory.path(), &["--scan"]);
    assert_eq!(numbers(&rows), [1, 2]);
    assert_eq!(rows[0]["state"], "in_flight");
    assert_eq!(summary["jobs"], 2);
    assert_eq!(summary["not_in_index"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_named_and_hides_no_other() {
    let (directory, ledger, prefix) = place().await;
    insert(&ledger, &key(1), &deferred(&key(1), NOW)).await;
    insert(&ledger, &key(2), &deferred(&key(2), NOW)).await;
    let mut redis = connection(&redis_url()).await;
    let _: () = redis::cmd("SET")
        .arg(format!("{prefix}:{{{}}}", key(1)))
        .arg("\u{1}not an entry")
        .query_async(&mut redis)
        .await
        .unwrap();
    let ended = run(directory.path(), &["list", "--unsettled"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 unsettled"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains(&key(1).to_string()),
        "{}",
        ended.stderr
    );
}
