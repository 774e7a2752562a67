//! What every ledger promises: one suite of facts, run on each implementation.

use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::JobKey;
use hongbaod::domain::notice::Mark;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::ledger::{
    Connection, Ledger, Removed, Revision, ScanCursor, Versioned, Written,
};
use tokio::task::JoinSet;

use crate::ledger_entries::{NOW, deferred, every_kind, in_flight, key, notice, settled};
use crate::servers;

macro_rules! contract {
    ($($fact:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                crate::ledger_contract::$fact(std::sync::Arc::new(
                    hongbaod::adapters::memory_ledger::MemoryLedger::new(),
                ))
                .await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                crate::ledger_contract::$fact(crate::ledger_contract::redis_ledger().await).await;
            })*
        }
        mod redis_over_tls {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let ledger = crate::ledger_contract::redis_ledger_over_tls().await;
                crate::ledger_contract::$fact(ledger).await;
            })*
        }

        /// Tries every fact, one after the other, each on a ledger of its own: for servers that take
        /// their time to start.
        pub(crate) async fn every_fact(ledger: impl AsyncFn() -> Arc<dyn Ledger>) {
            $(
                eprintln!("fact: {}", stringify!($fact));
                $fact(ledger().await).await;
            )*
        }
    };
}

contract! {
    an_entry_is_inserted_only_where_there_is_none,
    an_entry_is_replaced_only_by_whoever_read_it_last,
    an_entry_is_removed_only_by_whoever_read_it_last,
    every_kind_of_entry_reads_back_as_it_was_written,
    a_number_belongs_to_its_app,
    deferred_jobs_are_listed_from_when_they_are_due_until_they_are_over,
    the_scan_meets_every_unsettled_job_and_no_settled_one,
    of_fifty_claims_exactly_one_is_stored,
    of_fifty_replacements_exactly_one_is_stored,
    without_replicas_to_wait_for_everything_is_replicated,
    what_is_remembered_of_a_notice_is_of_that_notice_alone,
    a_connected_ledger_is_up,
}

/// A ledger of one test's own in the tests' Redis.
pub(crate) async fn redis_ledger() -> Arc<dyn Ledger> {
    let mut options = RedisLedgerOptions::new(servers::redis_url().into());
    options.prefix = servers::unique_prefix("ledger");
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Arc::new(RedisLedger::connect(options, clock, random).await.unwrap())
}

/// A ledger of one test's own in the tests' Redis, which is reached by TLS.
pub(crate) async fn redis_ledger_over_tls() -> Arc<dyn Ledger> {
    let mut options = RedisLedgerOptions::new(servers::rediss_url().into());
    options.tls.ca = Some(servers::tls_file("ca.pem"));
    options.prefix = servers::unique_prefix("ledger-tls");
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Arc::new(RedisLedger::connect(options, clock, random).await.unwrap())
}

/// Stores `entry` under `key` and returns its revision.
pub(crate) async fn stored(ledger: &dyn Ledger, key: &JobKey, entry: &Entry) -> Revision {
    revision_of(ledger.insert(key, entry).await.unwrap())
}

/// The revision that was stored.
pub(crate) fn revision_of(written: Written) -> Revision {
    match written {
        Written::Stored(revision) => revision,
        Written::Found(found) => panic!("found {found:?}"),
        Written::Vanished => panic!("vanished"),
    }
}

fn found(entry: &Entry, revision: &Revision) -> Written {
    Written::Found(Box::new(Versioned {
        entry: entry.clone(),
        revision: revision.clone(),
    }))
}

async fn an_entry_is_inserted_only_where_there_is_none(ledger: Arc<dyn Ledger>) {
    let key = key(1);
    assert_eq!(ledger.read(&key).await.unwrap(), None);
    let first = in_flight(&key, 1);
    let revision = stored(&*ledger, &key, &first).await;
    for second in [in_flight(&key, 2), settled(&key), first.clone()] {
        let written = ledger.insert(&key, &second).await.unwrap();
        assert_eq!(written, found(&first, &revision));
    }
    let read = ledger.read(&key).await.unwrap().unwrap();
    assert_eq!((read.entry, read.revision), (first, revision));
}

async fn an_entry_is_replaced_only_by_whoever_read_it_last(ledger: Arc<dyn Ledger>) {
    let key = key(1);
    let claim = in_flight(&key, 1);
    let first = stored(&*ledger, &key, &claim).await;
    let wait = deferred(&key, NOW);
    let second = revision_of(ledger.replace(&key, &first, &wait).await.unwrap());

    let late = ledger.replace(&key, &first, &settled(&key)).await.unwrap();
    assert_eq!(late, found(&wait, &second));

    let outcome = settled(&key);
    let third = revision_of(ledger.replace(&key, &second, &outcome).await.unwrap());
    let read = ledger.read(&key).await.unwrap().unwrap();
    assert_eq!((read.entry, read.revision), (outcome, third.clone()));

    assert_eq!(ledger.remove(&key, &third).await.unwrap(), Removed::Gone);
    let vanished = ledger.replace(&key, &third, &claim).await.unwrap();
    assert_eq!(vanished, Written::Vanished);
    assert_eq!(ledger.read(&key).await.unwrap(), None);
}

async fn an_entry_is_removed_only_by_whoever_read_it_last(ledger: Arc<dyn Ledger>) {
    let key = key(1);
    let first = stored(&*ledger, &key, &in_flight(&key, 1)).await;
    let renewed = in_flight(&key, 2);
    let second = revision_of(ledger.replace(&key, &first, &renewed).await.unwrap());
    assert_eq!(ledger.remove(&key, &first).await.unwrap(), Removed::Changed);
    assert_eq!(
        ledger.read(&key).await.unwrap().map(|read| read.entry),
        Some(renewed)
    );
    for _ in 0..2 {
        assert_eq!(ledger.remove(&key, &second).await.unwrap(), Removed::Gone);
        assert_eq!(ledger.read(&key).await.unwrap(), None);
    }
}

async fn every_kind_of_entry_reads_back_as_it_was_written(ledger: Arc<dyn Ledger>) {
    let replaced = key(0);
    let mut revision = stored(&*ledger, &replaced, &in_flight(&replaced, 1)).await;
    for (number, entry) in (1..).zip(every_kind(&replaced)) {
        revision = revision_of(ledger.replace(&replaced, &revision, &entry).await.unwrap());
        let read = ledger.read(&replaced).await.unwrap().unwrap();
        assert_eq!((read.entry, &read.revision), (entry, &revision));

        let inserted = key(number);
        let Some(entry) = every_kind(&inserted).into_iter().nth(number_of(number)) else {
            panic!("as many entries for every key");
        };
        stored(&*ledger, &inserted, &entry).await;
        let read = ledger.read(&inserted).await.unwrap().unwrap();
        assert_eq!(read.entry, entry);
    }
}

fn number_of(number: u64) -> usize {
    usize::try_from(number - 1).unwrap()
}

async fn a_number_belongs_to_its_app(ledger: Arc<dyn Ledger>) {
    let ours = key(1);
    let theirs = JobKey {
        app: AppName::new("other").unwrap(),
        ..ours.clone()
    };
    stored(&*ledger, &ours, &in_flight(&ours, 1)).await;
    stored(&*ledger, &theirs, &settled(&theirs)).await;
    let read = ledger.read(&ours).await.unwrap().unwrap();
    assert_eq!(read.entry, in_flight(&ours, 1));
}

async fn deferred_jobs_are_listed_from_when_they_are_due_until_they_are_over(
    ledger: Arc<dyn Ledger>,
) {
    let at = |number: u64| UnixMillis(NOW.0 + number);
    let mut revisions = Vec::new();
    for number in [3, 1, 2, 4] {
        let key = key(number);
        let claim = stored(&*ledger, &key, &in_flight(&key, 1)).await;
        let wait = deferred(&key, at(number));
        let revision = revision_of(ledger.replace(&key, &claim, &wait).await.unwrap());
        revisions.push((key, revision));
    }
    let listed = async |before: u64, limit: usize| {
        let listed = ledger.unsettled(at(before), limit).await.unwrap();
        listed.into_iter().collect::<Vec<JobKey>>()
    };
    assert_eq!(listed(0, 10).await, []);
    assert_eq!(listed(3, 10).await, [key(1), key(2)]);
    assert_eq!(listed(9, 10).await, [key(1), key(2), key(3), key(4)]);
    assert_eq!(listed(9, 3).await, [key(1), key(2), key(3)]);

    // 3 is claimed again, 1 is claimed and settled, 2 is removed, 4 is deferred anew.
    let (three, revision) = &revisions[0];
    let claim = in_flight(three, 2);
    let _claimed = revision_of(ledger.replace(three, revision, &claim).await.unwrap());
    let (one, revision) = &revisions[1];
    let claim = in_flight(one, 2);
    let claimed = revision_of(ledger.replace(one, revision, &claim).await.unwrap());
    let _settled = revision_of(ledger.replace(one, &claimed, &settled(one)).await.unwrap());
    let (two, revision) = &revisions[2];
    assert_eq!(ledger.remove(two, revision).await.unwrap(), Removed::Gone);
    let (four, revision) = &revisions[3];
    let wait = deferred(four, at(2));
    let _deferred = revision_of(ledger.replace(four, revision, &wait).await.unwrap());
    assert_eq!(listed(9, 10).await, [key(4), key(3)]);
}

async fn the_scan_meets_every_unsettled_job_and_no_settled_one(ledger: Arc<dyn Ledger>) {
    let mut expected = Vec::new();
    for number in 0..1_500 {
        let key = key(number);
        let entry = match number % 3 {
            0 => in_flight(&key, number),
            1 => deferred(&key, NOW),
            _ => settled(&key),
        };
        stored(&*ledger, &key, &entry).await;
        if entry.pending().is_some() {
            expected.push(key);
        }
    }
    let mut met = Vec::new();
    let mut cursor = ScanCursor::START;
    // A scan of so few keys is over long before this.
    for _ in 0..10_000 {
        let (keys, next) = ledger.scan(cursor).await.unwrap();
        met.extend(keys);
        cursor = next;
        if cursor == ScanCursor::START {
            break;
        }
    }
    assert_eq!(cursor, ScanCursor::START);
    met.sort();
    met.dedup();
    assert_eq!(met, expected);
}

async fn of_fifty_claims_exactly_one_is_stored(ledger: Arc<dyn Ledger>) {
    let mut tasks = JoinSet::new();
    for token in 0..50 {
        let ledger = Arc::clone(&ledger);
        tasks.spawn(async move {
            let key = key(1);
            ledger.insert(&key, &in_flight(&key, token)).await.unwrap()
        });
    }
    exactly_one_is_stored(&*ledger, tasks.join_all().await).await;
}

async fn of_fifty_replacements_exactly_one_is_stored(ledger: Arc<dyn Ledger>) {
    let old = stored(&*ledger, &key(1), &deferred(&key(1), NOW)).await;
    let mut tasks = JoinSet::new();
    for token in 0..50 {
        let (ledger, old) = (Arc::clone(&ledger), old.clone());
        tasks.spawn(async move {
            let key = key(1);
            let claim = in_flight(&key, token);
            ledger.replace(&key, &old, &claim).await.unwrap()
        });
    }
    exactly_one_is_stored(&*ledger, tasks.join_all().await).await;
}

async fn exactly_one_is_stored(ledger: &dyn Ledger, answers: Vec<Written>) {
    let there = ledger.read(&key(1)).await.unwrap().unwrap();
    let mut stored = 0;
    for answer in answers {
        match answer {
            Written::Stored(revision) => {
                stored += 1;
                assert_eq!(revision, there.revision);
            }
            Written::Found(found) => assert_eq!(*found, there),
            Written::Vanished => panic!("vanished"),
        }
    }
    assert_eq!(stored, 1);
}

async fn without_replicas_to_wait_for_everything_is_replicated(ledger: Arc<dyn Ledger>) {
    let timeout = std::time::Duration::from_millis(20);
    assert!(ledger.replicated(&key(1), 0, timeout).await.unwrap());
    // More than any server here has.
    assert!(!ledger.replicated(&key(1), 9, timeout).await.unwrap());
}

async fn what_is_remembered_of_a_notice_is_of_that_notice_alone(ledger: Arc<dyn Ledger>) {
    let (first, second) = (notice("B1"), notice("B2"));
    assert_eq!(ledger.mark(&first).await.unwrap(), None);
    for mark in [Mark::Begun, Mark::Told, Mark::Told, Mark::Begun] {
        ledger.set_mark(&first, mark).await.unwrap();
        assert_eq!(ledger.mark(&first).await.unwrap(), Some(mark));
    }
    assert_eq!(ledger.mark(&second).await.unwrap(), None);
    let (unsettled, _) = ledger.scan(ScanCursor::START).await.unwrap();
    assert_eq!(unsettled, [], "a mark is no job");
}

async fn a_connected_ledger_is_up(ledger: Arc<dyn Ledger>) {
    let health = ledger.health();
    assert_eq!(health.connection, Connection::Up);
    let mut other = health;
    other.memory_losses += 1;
    assert_eq!(ledger.changed(other).await, health);
}

#[tokio::test]
async fn a_memory_ledger_that_forgets_notices_it() {
    let ledger = MemoryLedger::new();
    let before = ledger.health();
    assert_eq!((before.memory_lost_at, before.memory_losses), (None, 0));
    stored(&ledger, &key(1), &settled(&key(1))).await;
    let changed = ledger.changed(before);
    let forget = async { ledger.forget_everything(NOW) };
    let (after, ()) = tokio::join!(changed, forget);
    assert_eq!((after.memory_lost_at, after.memory_losses), (Some(NOW), 1));
    assert_eq!(ledger.read(&key(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_memory_ledger_expires_what_was_settled_before() {
    let ledger = MemoryLedger::new();
    stored(&ledger, &key(1), &settled(&key(1))).await;
    stored(&ledger, &key(2), &in_flight(&key(2), 1)).await;
    ledger.expire(NOW);
    assert!(ledger.read(&key(1)).await.unwrap().is_some());
    ledger.expire(UnixMillis(NOW.0 + 1));
    assert_eq!(ledger.read(&key(1)).await.unwrap(), None);
    assert!(ledger.read(&key(2)).await.unwrap().is_some());
}
