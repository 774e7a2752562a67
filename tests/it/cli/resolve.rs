//! `resolve` against a real ledger and broker, and the sandbox as Alipay.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::app::digest::fingerprint;
use hongbaod::app::job_body;
use hongbaod::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, ReturnAddress, Ticket,
};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{Job, MoneyJob};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock as _;
use hongbaod::ports::ledger::{Ledger, Written};
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::checks::{configure, sandbox};
use crate::cli::{Ended, Running, disburse, run};
use crate::servers::redis_url;

/// A sandbox, a daemon and the ledger.
struct Office {
    directory: TempDir,
    _sandbox: Running,
    daemon: Option<Running>,
    watch: Running,
    ledger: RedisLedger,
}

impl Office {
    async fn open() -> Self {
        let directory = TempDir::new().unwrap();
        let (sandbox, section) = sandbox(directory.path(), &["--packet", "P1=10.00"]);
        let prefix = configure(directory.path(), &section);
        let mut daemon = Running::start(directory.path(), &["run"]);
        daemon.await_stderr("hongbaod takes jobs");
        let mut watch = Running::start(directory.path(), &["watch", "--json"]);
        watch.await_stderr("watching");
        let options = RedisLedgerOptions {
            prefix,
            ..RedisLedgerOptions::new(SecretString::from(redis_url()))
        };
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
        let ledger = RedisLedger::connect(options, clock, random).await.unwrap();
        Self {
            directory,
            _sandbox: sandbox,
            daemon: Some(daemon),
            watch,
            ledger,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn submit(&self, body: &str) {
        let file = self.path().join("jobs.ndjson");
        std::fs::write(file, body).unwrap();
        let ended = run(self.path(), &["submit", "--file", "jobs.ndjson"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.watch.stdout_until("{")).unwrap()
    }

    fn resolve(&self, words: &str) -> Ended {
        let words = ["resolve"].into_iter().chain(words.split(' '));
        run(self.path(), &words.collect::<Vec<_>>())
    }

    /// Resolves it, and returns what is told.
    fn resolved(&self, words: &str) -> Value {
        let ended = self.resolve(&format!("{words} --json"));
        assert_eq!(ended.code, Some(0), "{words}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    fn refused(&self, words: &str, why: &[&str]) {
        let ended = self.resolve(words);
        assert_eq!(
            ended.code,
            Some(1),
            "{words}: {}{}",
            ended.stdout,
            ended.stderr
        );
        for why in why {
            assert!(ended.stderr.contains(why), "{words}: {}", ended.stderr);
        }
    }

    /// Puts an unsettled entry where there is one, or none.
    async fn put(&self, entry: Entry) {
        let key = entry.pending().unwrap().job.key();
        let written = match self.ledger.read(&key).await.unwrap() {
            None => self.ledger.insert(&key, &entry).await,
            Some(there) => self.ledger.replace(&key, &there.revision, &entry).await,
        };
        assert!(matches!(written, Ok(Written::Stored(_))), "{written:?}");
    }
}

fn job(body: &str) -> MoneyJob {
    let app = AppName::new("main").unwrap();
    match job_body::decode(body.as_bytes(), Some(&app)) {
        Ok(Job::Money(job)) => job,
        _ => panic!("{body}"),
    }
}

fn pending(job: MoneyJob) -> Pending {
    Pending {
        fingerprint: fingerprint(&job),
        job,
        return_address: ReturnAddress::default(),
        maybe_sent: true,
        digest: None,
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        attempts: 3,
        inconclusive: 3,
        rescues: 4,
        first_seen_at: UnixMillis(1),
        numbers: None,
        unresolved_announced: true,
    }
}

/// As after the last rescue: nobody but a person will do anything about it.
fn given_to_operators(body: &str) -> Entry {
    Entry::Deferred(Deferred {
        ticket: Ticket(9),
        due_at: UnixMillis(1),
        pending: pending(job(body)),
    })
}

fn held_for(body: &str, length: Duration) -> Entry {
    Entry::InFlight(InFlight {
        lease: Lease {
            token: LeaseToken(7),
            expires_at: SystemClock::new().now().plus(length),
        },
        attempt: 9,
        pending: pending(job(body)),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_money_is_never_failed_and_is_told_as_alipay_has_it() {
    let mut office = Office::open().await;
    let body = disburse(1, |_| {});
    office.submit(&body);
    let paid = office.event();
    assert_eq!(paid["data"]["result"], "succeeded");
    assert_eq!(office.daemon.take().unwrap().terminate(), Some(0));
    office.put(given_to_operators(&body)).await;

    let force = "R1 --as failed --force --reason nonsense";
    for words in ["R1 --as failed", force] {
        office.refused(
            words,
            &[
                "money moved under this number",
                "the operation is SUCCESS, 0.01",
            ],
        );
    }
    let told = office.resolved("R1 --as succeeded --by anna");
    assert_eq!(told["settled_by"], "alipay");
    let event = office.event();
    assert_eq!((&event["id"], &event["data"]), (&paid["id"], &paid["data"]));

    let told = office.resolved("R1 --as succeeded");
    assert_eq!(told["settled_by"], "before");
    assert_eq!(
        office.event()["data"],
        paid["data"],
        "what was cut short is told again"
    );
    office.refused("R1 --as failed", &["settled as succeeded already"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_alipay_does_not_know_is_settled_by_force_alone_and_says_so() {
    let mut office = Office::open().await;
    office.refused("R2 --as failed", &["the ledger knows no such job"]);
    let body = disburse(2, |_| {});
    office.put(given_to_operators(&body)).await;
    for words in ["R2 --as failed", "R2 --as succeeded"] {
        office.refused(words, &["does not confirm it", "knows no such operation"]);
    }
    let told = office.resolved("R2 --as failed --force --reason case-4711 --by anna");
    assert_eq!(
        (&told["settled_by"], &told["by"]),
        (&"operator".into(), &"anna".into())
    );
    assert_eq!(told["reason"], "case-4711");
    let event = office.event();
    assert_eq!(
        (&event["id"], &event["id"]),
        (&told["event_id"], &"main/disburse/R2".into())
    );
    assert_eq!(event["data"]["result"], "failed");
    assert_eq!(event["data"]["code"], "OPERATOR");
    assert!(
        !event.to_string().contains("4711"),
        "why is nobody else's affair: {event}"
    );
    // A copy of the job is told the same, by the daemon.
    office.submit(&body);
    let copy = office.event();
    assert_eq!((&copy["id"], &copy["data"]), (&event["id"], &event["data"]));

    let body = disburse(3, |_| {});
    office.put(given_to_operators(&body)).await;
    let told = office.resolved("R3 --as succeeded --force --reason case-4712");
    assert_eq!(told["settled_by"], "operator");
    let event = office.event();
    assert_eq!(event["data"]["status"], "SUCCESS");
    for absent in ["operation_id", "gmt_trans", "auth_no"] {
        assert_eq!(event["data"][absent], Value::Null, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_somebody_holds_is_refused_or_waited_for() {
    let office = Office::open().await;
    let body = disburse(4, |_| {});
    let force = "R4 --as failed --force --reason case-4713";
    office.put(held_for(&body, Duration::from_secs(600))).await;
    office.refused(force, &["a worker is at it until", "--wait"]);
    office.put(held_for(&body, Duration::from_secs(2))).await;
    let told = office.resolved(&format!("{force} --wait"));
    assert_eq!(told["settled_by"], "operator");
}
