//! `dead` against a real broker: what is shown, what is refused, and what becomes of the letters.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::rabbitmq::{RabbitmqBroker, RabbitmqOptions};
use hongbaod::adapters::random::SystemRandom;
use hongbaod::domain::entry::{ReturnAddress, Ticket};
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::Tier;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{Broker, Epitaph, JobCopy};
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::checks::{configure, sandbox};
use crate::cli::{Ended, Running, disburse, run};
use crate::patience::eventually;
use crate::servers::amqp_url;

/// A configuration, and its declared queues whose jobs nobody takes.
struct Place {
    directory: TempDir,
    prefix: String,
    options: RabbitmqOptions,
    _connection: Connection,
    channel: Channel,
}

impl Place {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let prefix = configure(directory.path(), "[alipay]\n");
        let options = RabbitmqOptions {
            urls: vec![SecretString::from(amqp_url())],
            delivery_limit: NonZeroU32::MIN,
            connection_name: "worker-1".to_owned(),
            ..RabbitmqOptions::new(&prefix)
        };
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&amqp_url(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let place = Self {
            directory,
            prefix,
            options,
            _connection: connection,
            channel,
        };
        // It declares everything.
        place.bury(&[]).await;
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Buries jobs, each with its reason and when.
    async fn bury(&self, letters: &[(JobCopy, &'static str, UnixMillis)]) {
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
        let broker = RabbitmqBroker::connect(self.options.clone(), clock, random)
            .await
            .unwrap();
        eventually("the broker is up", async || {
            broker.connection() == hongbaod::ports::ledger::Connection::Up
        })
        .await;
        let bury = letters.iter().map(|(copy, reason, at)| {
            let epitaph = Epitaph {
                reason,
                detail: format!("because of {reason}"),
                at: *at,
            };
            let broker = &broker;
            async move { broker.bury(copy, &epitaph).await }
        });
        let buried = join_all(bury).await;
        assert!(buried.iter().all(Result::is_ok), "{buried:?}");
        broker.close().await;
    }

    /// Lets RabbitMQ itself give a job up.
    async fn give_up(&self, body: &str) {
        let exchange = format!("{}.jobs", self.prefix);
        self.channel
            .basic_publish(
                exchange.into(),
                "disburse".into(),
                lapin::options::BasicPublishOptions::default(),
                body.as_bytes(),
                lapin::BasicProperties::default(),
            )
            .await
            .unwrap();
        eventually("RabbitMQ gives it up", async || {
            if let Some(message) = self.get("jobs.disburse").await {
                let options = BasicNackOptions {
                    requeue: true,
                    ..BasicNackOptions::default()
                };
                message.nack(options).await.unwrap();
            }
            self.waiting("dead").await > 0
        })
        .await;
    }

    async fn get(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let queue = format!("{}.{queue}", self.prefix);
        let got = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .unwrap();
        got.map(|message| message.delivery)
    }

    /// The bodies of all messages in a queue, which is empty then.
    async fn take_all(&self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Some(message) = self.get(queue).await {
            message.ack(BasicAckOptions::default()).await.unwrap();
            bodies.push(String::from_utf8(message.data.clone()).unwrap());
        }
        bodies
    }

    async fn waiting(&self, queue: &str) -> u32 {
        let queue = format!("{}.{queue}", self.prefix);
        let options = QueueDeclareOptions::durable().passive();
        let none = FieldTable::default();
        let queue = self.channel.queue_declare(queue.into(), options, none);
        queue.await.unwrap().message_count()
    }

    fn dead(&self, arguments: &[&str]) -> Ended {
        let arguments: Vec<&str> = ["dead"].iter().chain(arguments).copied().collect();
        run(self.path(), &arguments)
    }

    /// The numbers that `dead list --json` tells with these filters, and its summary.
    fn listed(&self, filters: &[&str]) -> (BTreeSet<String>, Value) {
        let arguments: Vec<&str> = ["list", "--json"].iter().chain(filters).copied().collect();
        let ended = self.dead(&arguments);
        assert_eq!(ended.code, Some(0), "{filters:?}: {}", ended.stderr);
        let mut lines = values(&ended);
        let summary = lines.pop().unwrap()["summary"].clone();
        assert_eq!(summary["letters"], lines.len(), "{filters:?}");
        let number = |line: &Value| line["out_request_no"].as_str().map(str::to_owned);
        (lines.iter().filter_map(number).collect(), summary)
    }
}

fn values(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn copy(kind: Kind, body: &str) -> JobCopy {
    JobCopy {
        kind,
        tier: Tier::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ticket: Some(Ticket(4)),
        return_address: ReturnAddress::default(),
        published_at: None,
        attempts: 0,
    }
}

fn refund(number: &str) -> String {
    json!({"kind": "refund", "out_request_no": number, "amount": "2.50", "remark": "rest",
        "auth_no": "2026112210002001950000000001", "app": "second"})
    .to_string()
}

const OLD: UnixMillis = UnixMillis(1);

/// Not before the end of all tests.
const YOUNG: UnixMillis = UnixMillis(u64::MAX / 4);

async fn assorted() -> Place {
    let place = Place::new().await;
    place.give_up(&disburse(9, |_| {})).await;
    let with_payee = disburse(1, |job| {
        job.remove("payee_user_id");
        job.insert("payee_logon_id".to_owned(), json!("13800138000"));
    });
    let wrong = disburse(2, |job| {
        job.insert("payee_logon_id".to_owned(), json!("13800138000 x"));
        job.insert("phone".to_owned(), json!("13900139000"));
    });
    place
        .bury(&[
            (copy(Kind::Disburse, &with_payee), "rescued_too_often", OLD),
            (copy(Kind::Disburse, &wrong), "invalid", YOUNG),
            (
                copy(Kind::Refund, &refund("R3")),
                "rescued_too_often",
                YOUNG,
            ),
            (copy(Kind::Refund, "not json"), "invalid", OLD),
        ])
        .await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_lists_what_it_says_and_looking_changes_nothing() {
    let place = assorted().await;
    let table: [(&[&str], &[&str], u64); 9] = [
        (&[], &["R1", "R2", "R3", "R9"], 5),
        (&["--reason", "delivery_limit"], &["R9"], 1),
        (&["--reason", "invalid"], &["R2"], 2),
        (
            &["--reason", "invalid", "--reason", "delivery_limit"],
            &["R2", "R9"],
            3,
        ),
        (&["--kind", "refund"], &["R3"], 2),
        (&["--app", "second"], &["R3"], 1),
        (&["--older-than", "1d"], &["R1"], 2),
        (&["--number", "R2"], &["R2"], 1),
        (&["--number", "R2", "--kind", "refund"], &[], 0),
    ];
    for (filters, expected, letters) in table {
        let (numbers, summary) = place.listed(filters);
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(numbers, expected, "{filters:?}");
        assert_eq!(summary["letters"], letters, "{filters:?}");
    }
    let (_, summary) = place.listed(&[]);
    assert_eq!(summary["amount"], "2.52");
    assert_eq!(summary["without_amount"], 2);
    assert_eq!(summary["by_reason"]["rescued_too_often"]["amount"], "2.51");

    let ended = place.dead(&["list", "--limit", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The head of the table, two letters, the head of the sums, three reasons, and all.
    assert_eq!(ended.stdout.lines().count(), 8, "{}", ended.stdout);
    let all = "in all: 5 dead letters, 2.52 yuan, and 2 without an amount that can be read";
    assert!(ended.stdout.contains(all), "{}", ended.stdout);
    assert!(!ended.stdout.contains("13800138000"), "{}", ended.stdout);
    assert_eq!(place.waiting("dead").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_whole_but_for_whom_it_names() {
    let place = assorted().await;
    for (number, words) in [
        (
            "R1",
            &[
                "rescued_too_often",
                "138****8000",
                "x-hongbao-ticket",
                "worker-1",
            ][..],
        ),
        (
            "R2",
            &["invalid", "phone: is not a field", "body.amount", "0.01"],
        ),
        ("R9", &["delivery_limit", "RabbitMQ", "jobs.disburse"]),
    ] {
        for json in [&[][..], &["--json"]] {
            let arguments: Vec<&str> = ["show", number].iter().chain(json).copied().collect();
            let ended = place.dead(&arguments);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            for word in words {
                assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
            }
            for secret in ["13800138000", "13900139000"] {
                assert!(!ended.stdout.contains(secret), "{}", ended.stdout);
            }
        }
    }
    let ended = place.dead(&["show", "R4"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_yes_nothing_happens_and_the_exit_code_says_so() {
    let place = assorted().await;
    for action in ["requeue", "drop"] {
        let asked = place.dead(&[action, "--reason", "rescued_too_often"]);
        assert_eq!(asked.code, Some(1), "{}", asked.stdout);
        let told = format!("would {action}: 2 dead letters, 2.51 yuan");
        assert!(asked.stdout.contains(&told), "{}", asked.stdout);
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        let warned = asked.stderr.contains("given_to_operators");
        assert_eq!(warned, action == "drop", "{}", asked.stderr);
        let told = place.dead(&[action, "--all", "--dry-run", "--json"]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let summary = &values(&told)[0]["summary"];
        assert_eq!(summary["wanted"]["letters"], 5);
        assert_eq!(summary["done"]["letters"], 0);
        assert_eq!(summary["is_done"], false);
    }
    assert_eq!(place.waiting("dead").await, 5);
    assert_eq!(place.waiting("jobs.refund").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_wanted_is_dropped_or_requeued_and_the_rest_stays() {
    let place = assorted().await;
    let dropped = place.dead(&["drop", "--reason", "invalid", "--yes"]);
    assert_eq!(dropped.code, Some(0), "{}", dropped.stderr);
    let told = "dropped: 2 dead letters, 0.00 yuan";
    assert!(dropped.stdout.contains(told), "{}", dropped.stdout);
    assert_eq!(place.waiting("jobs.disburse").await, 0);
    let requeued = place.dead(&["requeue", "--kind", "refund", "--yes", "--json"]);
    assert_eq!(requeued.code, Some(0), "{}", requeued.stderr);
    let summary = &values(&requeued)[0]["summary"];
    assert_eq!(summary["done"]["letters"], 1);
    assert_eq!(summary["done"]["amount"], "2.50");
    assert_eq!(place.take_all("jobs.refund").await, [refund("R3")]);
    let (left, _) = place.listed(&[]);
    assert_eq!(left, BTreeSet::from(["R1".to_owned(), "R9".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_is_told_and_the_others_go_on() {
    let place = assorted().await;
    let queue = format!("{}.jobs.disburse", place.prefix);
    let options = lapin::options::QueueDeleteOptions::default();
    place
        .channel
        .queue_delete(queue.into(), options)
        .await
        .unwrap();
    let ended = place.dead(&["requeue", "--all", "--yes"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("requeued: 2 dead"),
        "{}",
        ended.stdout
    );
    let told = "failed: 3, which stay dead letters";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);
    for number in ["R1", "R2", "R9"] {
        let line = format!("{number}: publish the job again: no queue takes");
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
    assert_eq!(place.waiting("dead").await, 3);
}

/// Whatever moment it is: each job is still among the dead letters, or in its queue already.
#[tokio::test(flavor = "multi_thread")]
async fn a_requeue_that_is_killed_loses_no_job() {
    const JOBS: usize = 3_000;
    let place = Place::new().await;
    let letters: Vec<_> = (0..JOBS)
        .map(|number| {
            (
                copy(Kind::Disburse, &disburse(number, |_| {})),
                "invalid",
                OLD,
            )
        })
        .collect();
    place.bury(&letters).await;
    let requeue = Running::start(place.path(), &["dead", "requeue", "--all", "--yes"]);
    eventually("some are requeued", async || {
        place.waiting("jobs.disburse").await > 100
    })
    .await;
    // It kills it.
    drop(requeue);
    eventually("what it held is back", async || {
        let there = place.waiting("dead").await + place.waiting("jobs.disburse").await;
        usize::try_from(there).unwrap() >= JOBS
    })
    .await;
    let mut bodies = place.take_all("jobs.disburse").await;
    let requeued = bodies.len();
    bodies.extend(place.take_all("dead").await);
    assert!(requeued < JOBS, "it was killed too late");
    let numbers: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!(numbers.len(), JOBS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_that_was_paid_is_told_again_and_moves_no_money() {
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &["--packet", "P1=10.00"]);
    let address = section.split("http://").nth(1).unwrap();
    let address = address.split('/').next().unwrap().to_owned();
    let prefix = configure(directory.path(), &section);
    let mut daemon = Running::start(directory.path(), &["run"]);
    daemon.await_stderr("hongbaod takes jobs");
    let mut watch = Running::start(directory.path(), &["watch", "--json", "--count", "2"]);
    watch.await_stderr("watching");
    std::fs::write(directory.path().join("j"), disburse(1, |_| {})).unwrap();
    let submitted = run(directory.path(), &["submit", "--file", "j"]);
    assert_eq!(submitted.code, Some(0), "{}", submitted.stderr);
    let first: Value = serde_json::from_str(&watch.stdout_until("{")).unwrap();
    assert_eq!(first["data"]["result"], "succeeded");
    let paid = operations(&address).await;

    // The same job, as a worker buried it that had given it up.
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&amqp_url(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut headers = FieldTable::default();
    let reason = lapin::types::AMQPValue::LongString("rescued_too_often".into());
    headers.insert("x-hongbao-reason".into(), reason);
    headers.insert(
        "x-hongbao-ticket".into(),
        lapin::types::AMQPValue::LongInt(3),
    );
    let properties = lapin::BasicProperties::default().with_headers(headers);
    channel
        .basic_publish(
            format!("{prefix}.dead").into(),
            "disburse".into(),
            lapin::options::BasicPublishOptions::default(),
            disburse(1, |_| {}).as_bytes(),
            properties,
        )
        .await
        .unwrap();
    eventually("it is a dead letter", async || {
        run(directory.path(), &["dead", "show", "R1"]).code == Some(0)
    })
    .await;

    let requeued = run(
        directory.path(),
        &["dead", "requeue", "--number", "R1", "--yes"],
    );
    assert_eq!(requeued.code, Some(0), "{}", requeued.stderr);
    let second: Value = serde_json::from_str(&watch.stdout_until("{")).unwrap();
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["data"], first["data"]);
    assert_eq!(operations(&address).await, paid);
    let gone = run(directory.path(), &["dead", "show", "R1"]);
    assert_eq!(gone.code, Some(1), "{}", gone.stdout);
    assert_eq!(daemon.terminate(), Some(0));
}

/// The books of the sandbox at a host and port.
async fn operations(address: &str) -> Value {
    let url = format!("http://{address}/_sandbox/operations");
    let answer = reqwest::get(url).await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[test]
fn a_broker_that_was_never_declared_has_no_dead_letters() {
    let directory = TempDir::new().unwrap();
    configure(directory.path(), "[alipay]\n");
    for arguments in [
        &["dead", "list"][..],
        &["dead", "show", "R1"],
        &["dead", "requeue", "--all", "--yes"],
        &["dead", "drop", "--all", "--yes"],
    ] {
        let ended = run(directory.path(), arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(ended.stderr.contains("hongbaod run"), "{}", ended.stderr);
    }
}
