//! What every memory of switches promises, on the one in Redis and on the embedded one.

use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::domain::ident::{AppName, Caption};
use hongbaod::domain::job::Kind;
use hongbaod::domain::switch::{Position, Switch, SwitchKey, Thrown};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::switches::Switches;
use redis::AsyncCommands;

use crate::redis_server::connection;
use crate::servers;

macro_rules! contract {
    ($($fact:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let ledger = hongbaod::adapters::memory_ledger::MemoryLedger::new();
                crate::switches::$fact(std::sync::Arc::new(ledger)).await;
            })*
        }
        mod redis_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let (ledger, _prefix) = crate::switches::redis_switches().await;
                crate::switches::$fact(ledger).await;
            })*
        }
    };
}

contract! {
    what_was_thrown_is_read_back_by_whoever_asks,
    a_switch_is_thrown_over_what_was_there_and_leaves_the_others,
    a_switch_is_restored_only_where_there_is_none,
}

/// Switches of one test's own in the tests' Redis, and the prefix of their key.
async fn redis_switches() -> (Arc<RedisLedger>, String) {
    let mut options = RedisLedgerOptions::new(servers::redis_url().into());
    let prefix = servers::unique_prefix("switches");
    options.prefix.clone_from(&prefix);
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let ledger = RedisLedger::connect(options, clock, random).await.unwrap();
    (Arc::new(ledger), prefix)
}

fn key(app: &str, kind: Kind) -> SwitchKey {
    SwitchKey::new(AppName::new(app).unwrap(), kind).unwrap()
}

fn switch(position: Position, at: u64) -> Switch {
    Switch {
        position,
        at: UnixMillis(at),
        by: Caption::new("anna").unwrap(),
        reason: Caption::new("wrong amounts: ticket 17").ok(),
    }
}

async fn what_was_thrown_is_read_back_by_whoever_asks(switches: Arc<dyn Switches>) {
    assert_eq!(switches.thrown().await.unwrap(), Thrown::new());
    switches.throw(&Thrown::new()).await.unwrap();
    let thrown = Thrown::from([
        (key("main", Kind::Disburse), switch(Position::Paused, 1)),
        (key("main", Kind::Pay), switch(Position::Running, 2)),
        (key("second", Kind::Disburse), switch(Position::Paused, 3)),
    ]);
    switches.throw(&thrown).await.unwrap();
    assert_eq!(switches.thrown().await.unwrap(), thrown);
}

async fn a_switch_is_thrown_over_what_was_there_and_leaves_the_others(switches: Arc<dyn Switches>) {
    let (disburse, refund) = (key("main", Kind::Disburse), key("main", Kind::Refund));
    let paused = switch(Position::Paused, 1);
    let both = [&disburse, &refund].map(|key| (key.clone(), paused.clone()));
    switches.throw(&Thrown::from(both)).await.unwrap();
    let running = switch(Position::Running, 2);
    let one = Thrown::from([(disburse.clone(), running.clone())]);
    switches.throw(&one).await.unwrap();
    let expected = Thrown::from([(disburse, running), (refund, paused)]);
    assert_eq!(switches.thrown().await.unwrap(), expected);
}

async fn a_switch_is_restored_only_where_there_is_none(switches: Arc<dyn Switches>) {
    let pay = key("main", Kind::Pay);
    let (first, second) = (switch(Position::Paused, 1), switch(Position::Paused, 2));
    switches.restore(&pay, &first).await.unwrap();
    switches.restore(&pay, &second).await.unwrap();
    let expected = Thrown::from([(pay, first)]);
    assert_eq!(switches.thrown().await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_one_key_of_redis_that_never_expires_and_what_is_no_switch_in_it_is_passed_over()
{
    let (ledger, prefix) = redis_switches().await;
    let thrown = Thrown::from([(key("main", Kind::Pay), switch(Position::Paused, 1))]);
    ledger.throw(&thrown).await.unwrap();
    let mut redis = connection(&servers::redis_url()).await;
    let name = format!("{prefix}:paused");
    let life: i64 = redis.pttl(&name).await.unwrap();
    assert_eq!(life, -1);
    // By hand, in a hurry: it was meant to stop something.
    let _: () = redis.hset(&name, "main:refund", "stop!").await.unwrap();
    let _: () = redis.hset(&name, "main:query", "stop!").await.unwrap();
    let read = ledger.thrown().await.unwrap();
    assert_eq!(read.len(), 2, "{read:?}");
    assert!(read[&key("main", Kind::Refund)].is_paused());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_forgets_forgets_its_switches_too() {
    let ledger = MemoryLedger::new();
    ledger
        .throw(&Thrown::from([(
            key("main", Kind::Pay),
            switch(Position::Paused, 1),
        )]))
        .await
        .unwrap();
    ledger.forget_everything(UnixMillis(2));
    assert_eq!(ledger.thrown().await.unwrap(), Thrown::new());
}
