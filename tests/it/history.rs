//! The history of jobs: what every one promises, what it costs, and that nobody waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisInspector, RedisLedger, RedisLedgerOptions};
use hongbaod::app::history::{HistoryWriter, SETTLED_LIFE};
use hongbaod::app::metrics::Metrics;
use hongbaod::app::witness::{Attempt, Called, Settling, Witness as _};
use hongbaod::domain::entry::Entry;
use hongbaod::domain::job::{JobKey, Kind};
use hongbaod::domain::outcome::Outcome;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::history::{CALLS_MAX, CallKind, History, HistoryError, PastCall, PastVerdict};
use hongbaod::ports::ledger::{Ledger as _, ScanCursor};
use redis::AsyncCommands;
use tokio::sync::Semaphore;

use crate::ledger_entries::{NOW, deferred, key, settled};
use crate::patience::eventually;
use crate::redis_server::connection;
use crate::servers;

const LIFE: Duration = Duration::from_secs(600);

macro_rules! contract {
    ($($fact:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                crate::history::$fact(std::sync::Arc::new(
                    hongbaod::adapters::memory_history::MemoryHistory::new(),
                ))
                .await;
            })*
        }
        mod redis_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let (history, _prefix) = crate::history::redis_history().await;
                crate::history::$fact(history).await;
            })*
        }
    };
}

contract! {
    calls_are_read_in_the_order_in_which_they_were_noted,
    the_oldest_calls_make_room,
    a_history_is_of_one_job_alone,
    what_was_never_noted_is_empty,
}

async fn redis_history() -> (Arc<RedisLedger>, String) {
    let prefix = servers::unique_prefix("history");
    (connected(&prefix).await, prefix)
}

fn options(prefix: &str) -> RedisLedgerOptions {
    let mut options = RedisLedgerOptions::new(servers::redis_url().into());
    options.prefix = prefix.to_owned();
    options
}

async fn connected(prefix: &str) -> Arc<RedisLedger> {
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let ledger = RedisLedger::connect(options(prefix), clock, random).await;
    Arc::new(ledger.unwrap())
}

fn call(number: u32) -> PastCall {
    PastCall {
        number,
        call: CallKind::Query,
        verdict: PastVerdict::Blocked,
        code: Some("40002".to_owned()),
        sub_code: Some("isv.invalid-signature".to_owned()),
        at: UnixMillis(NOW.0 + u64::from(number)),
        duration_ms: 15_003,
        replica: "hongbaod-6d4f9c7b8d-x2x4p".to_owned(),
    }
}

async fn calls_are_read_in_the_order_in_which_they_were_noted(history: Arc<dyn History>) {
    let plain = PastCall {
        call: CallKind::Send,
        verdict: PastVerdict::Succeeded,
        code: None,
        sub_code: None,
        ..call(2)
    };
    for call in [&call(1), &plain] {
        history.note(&key(1), call, LIFE).await.unwrap();
    }
    history.keep(&key(1), LIFE).await.unwrap();
    assert_eq!(history.calls(&key(1)).await.unwrap(), [call(1), plain]);
}

async fn the_oldest_calls_make_room(history: Arc<dyn History>) {
    for number in 1..=40 {
        history.note(&key(1), &call(number), LIFE).await.unwrap();
    }
    let calls = history.calls(&key(1)).await.unwrap();
    assert_eq!(calls.len(), CALLS_MAX);
    assert_eq!((calls[0].number, calls[CALLS_MAX - 1].number), (9, 40));
}

async fn a_history_is_of_one_job_alone(history: Arc<dyn History>) {
    history.note(&key(1), &call(1), LIFE).await.unwrap();
    assert_eq!(history.calls(&key(2)).await.unwrap(), []);
}

async fn what_was_never_noted_is_empty(history: Arc<dyn History>) {
    history.keep(&key(1), LIFE).await.unwrap();
    assert_eq!(history.calls(&key(1)).await.unwrap(), []);
}

#[tokio::test]
async fn a_history_ends_by_itself_is_small_and_is_no_entry_of_the_ledger() {
    let (history, prefix) = redis_history().await;
    let mut redis = connection(&servers::redis_url()).await;
    let name = format!("{prefix}:history:{{{}}}", key(1));
    for number in 1..=32 {
        history.note(&key(1), &call(number), LIFE).await.unwrap();
    }
    let life_ms: i64 = redis.pttl(&name).await.unwrap();
    assert!((590_000..=600_000).contains(&life_ms), "{life_ms}");
    history.keep(&key(1), SETTLED_LIFE).await.unwrap();
    let life_ms: i64 = redis.pttl(&name).await.unwrap();
    assert!(life_ms > 86_000_000, "{life_ms}");
    // 32 calls with long codes: 59 bytes each, and what Redis adds.
    let usage: u64 = redis::cmd("MEMORY")
        .arg("USAGE")
        .arg(&name)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(usage < 3_000, "{usage}");
    // Neither the scan nor the index takes it for a job.
    let ledger = &history;
    ledger
        .insert(&key(2), &deferred(&key(2), NOW))
        .await
        .unwrap();
    let mut cursor = ScanCursor::START;
    let mut found = Vec::new();
    loop {
        let (keys, next) = ledger.scan(cursor).await.unwrap();
        found.extend(keys);
        if next == ScanCursor::START {
            break;
        }
        cursor = next;
    }
    assert_eq!(found, [key(2)]);
}

#[tokio::test]
async fn what_another_version_noted_is_left_out_and_read_from_outside_as_well() {
    let (history, prefix) = redis_history().await;
    let mut redis = connection(&servers::redis_url()).await;
    let name = format!("{prefix}:history:{{{}}}", key(1));
    let _: u64 = redis.rpush(&name, b"\x7fnew").await.unwrap();
    history.note(&key(1), &call(1), LIFE).await.unwrap();
    assert_eq!(history.calls(&key(1)).await.unwrap(), [call(1)]);
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let inspector = RedisInspector::connect(options(&prefix), clock, random);
    let inspector = inspector.await.unwrap();
    assert_eq!(inspector.calls(&key(1)).await.unwrap(), [call(1)]);
}

// ------------------------------------------------------------------------------------ the writer

fn attempt<'a>(key: &'a JobKey, number: u32, verdict: &'static str) -> Attempt<'a> {
    Attempt {
        key,
        kind: Kind::Disburse,
        number,
        call: Called::Send,
        verdict,
        code: None,
        sub_code: None,
        at: NOW,
        duration: Duration::from_millis(80),
    }
}

fn outcome(attempts: u32) -> Outcome {
    let Entry::Settled(outcome) = settled(&key(1)) else {
        unreachable!("it is settled");
    };
    Outcome {
        attempts,
        ..outcome
    }
}

/// Remembers what was asked of it, and answers only as often as it is let.
struct Slow {
    turns: Semaphore,
    begun: AtomicUsize,
    asked: Mutex<Vec<(JobKey, Option<u32>, Duration)>>,
}

impl Slow {
    fn new(turns: usize) -> Arc<Self> {
        Arc::new(Self {
            turns: Semaphore::new(turns),
            begun: AtomicUsize::new(0),
            asked: Mutex::default(),
        })
    }

    async fn turn(&self, asked: (JobKey, Option<u32>, Duration)) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.turns.acquire().await.unwrap().forget();
        self.asked.lock().unwrap().push(asked);
    }
}

#[async_trait]
impl History for Slow {
    async fn note(
        &self,
        key: &JobKey,
        call: &PastCall,
        life: Duration,
    ) -> Result<(), HistoryError> {
        self.turn((key.clone(), Some(call.number), life)).await;
        Ok(())
    }

    async fn keep(&self, key: &JobKey, life: Duration) -> Result<(), HistoryError> {
        self.turn((key.clone(), None, life)).await;
        Err(HistoryError("away".into()))
    }

    async fn calls(&self, _key: &JobKey) -> Result<Vec<PastCall>, HistoryError> {
        Ok(Vec::new())
    }
}

fn dropped(metrics: &Metrics) -> u64 {
    let text = metrics.encode();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("hongbaod_history_dropped_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_job_that_succeeds_at_its_first_call_costs_nothing_and_others_leave_a_trace() {
    let history = Slow::new(100);
    let metrics = Arc::new(Metrics::new(&[]));
    let asked = Arc::<Slow>::clone(&history);
    let writer = HistoryWriter::start(asked, Arc::clone(&metrics), "one".to_owned(), LIFE);
    let settle = |key: &JobKey, attempts, took| {
        let outcome = outcome(attempts);
        writer.settled(&Settling {
            key,
            outcome: &outcome,
            took,
        });
    };
    let took = Some(Duration::from_millis(90));
    let (easy, hard, signed) = (key(1), key(2), key(3));
    writer.attempted(&attempt(&easy, 1, "succeeded"));
    settle(&easy, 1, took);
    settle(&signed, 0, took);
    writer.attempted(&attempt(&hard, 1, "unknown"));
    writer.attempted(&attempt(&hard, 2, "succeeded"));
    settle(&hard, 2, took);
    // A notification told it: its first call was not final.
    settle(&key(4), 1, None);
    eventually("everything is asked for", || async {
        history.asked.lock().unwrap().len() == 4
    })
    .await;
    let expected = [
        (hard.clone(), Some(1), LIFE),
        (hard.clone(), Some(2), LIFE),
        (hard, None, SETTLED_LIFE),
        (key(4), None, SETTLED_LIFE),
    ];
    assert_eq!(*history.asked.lock().unwrap(), expected);
    // What came to nothing is counted, and nobody heard of it.
    eventually("two are counted", || async { dropped(&metrics) == 2 }).await;
}

#[tokio::test]
async fn nobody_waits_for_a_history_that_does_not_answer_and_what_is_too_much_is_counted() {
    const NOTES: usize = 5_000;
    let history = Slow::new(0);
    let metrics = Arc::new(Metrics::new(&[]));
    let asked = Arc::<Slow>::clone(&history);
    let writer = HistoryWriter::start(asked, Arc::clone(&metrics), "one".to_owned(), LIFE);
    // One is taken out of the queue and waits; then nobody makes room.
    writer.attempted(&attempt(&key(1), 2, "unknown"));
    eventually("the first is taken", || async {
        history.begun.load(Ordering::Relaxed) == 1
    })
    .await;
    for _ in 0..NOTES {
        writer.attempted(&attempt(&key(1), 2, "unknown"));
    }
    assert_eq!(dropped(&metrics), 5_000 - 4_096);
}
