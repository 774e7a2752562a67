//! The sums in a real Redis: what its keys say, and when they are gone.

use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::domain::budget::{Scope, Window};
use hongbaod::domain::time::{UnixMillis, millis};
use hongbaod::ports::budget::{Budget, Grant, LIFE_AFTER};
use redis::AsyncCommands;

use super::{NOW, limit, spending};
use crate::redis_server::connection;
use crate::servers;

async fn connected(prefix: &str) -> Arc<dyn Budget> {
    let mut options = RedisLedgerOptions::new(servers::redis_url().into());
    prefix.clone_into(&mut options.prefix);
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Arc::new(RedisLedger::connect(options, clock, random).await.unwrap())
}

/// Sums of one test's own.
pub(super) async fn one() -> Arc<dyn Budget> {
    connected(&servers::unique_prefix("budget")).await
}

/// So many connections to the same sums.
pub(super) async fn several(replicas: usize) -> Vec<Arc<dyn Budget>> {
    let prefix = servers::unique_prefix("budget");
    let mut several = Vec::new();
    for _ in 0..replicas {
        several.push(connected(&prefix).await);
    }
    several
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sum_is_a_key_that_people_can_read_and_ends_a_little_after_its_window() {
    let prefix = servers::unique_prefix("budget");
    let budget = connected(&prefix).await;
    let limits = [
        limit(Scope::App, Window::Minute, 1_000),
        limit(Scope::Payee, Window::Day, 1_000),
    ];
    let told = budget.draw(&spending("R1", 888, &limits)).await.unwrap();
    assert_eq!(told.grant, Grant::Granted);
    let mut redis = connection(&servers::redis_url()).await;
    let minute = format!("{prefix}:budget:{{main}}:app:minute:1795312800");
    let payee = format!(
        "{prefix}:budget:{{main}}:payee:{}:day:1795276800",
        "07".repeat(16)
    );
    let job = format!("{prefix}:budget:{{main}}:job:R1");
    let lasts = |ends_at: UnixMillis| ends_at.since(NOW).saturating_add(LIFE_AFTER);
    let day = lasts(limits[1].counter.ends_at());
    for (key, life) in [
        (&minute, lasts(limits[0].counter.ends_at())),
        (&payee, day),
        (&job, day),
    ] {
        let left: i64 = redis.pttl(key).await.unwrap();
        let left = Duration::from_millis(u64::try_from(left).unwrap());
        let spent = life.checked_sub(left);
        assert!(
            spent.is_some_and(|spent| spent < Duration::from_secs(60)),
            "{key} lives for {left:?} of {} ms",
            millis(life)
        );
    }
    let fen: u64 = redis.hget(&minute, "fen").await.unwrap();
    assert_eq!(fen, 888);
    let pattern = format!("{prefix}:budget:*");
    let keys: Vec<String> = redis.keys(pattern).await.unwrap();
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &keys {
        let bytes: u64 = redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(key)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!(bytes <= 220, "{key} takes {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_alone_leaves_no_key_without_an_end() {
    let prefix = servers::unique_prefix("budget");
    let budget = connected(&prefix).await;
    let limits = [limit(Scope::App, Window::Hour, 100)];
    let told = budget.draw(&spending("R1", 101, &limits)).await.unwrap();
    assert_eq!(told.grant, Grant::Refused);
    let mut redis = connection(&servers::redis_url()).await;
    let keys: Vec<String> = redis.keys(format!("{prefix}:budget:*")).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let left: i64 = redis.pttl(&keys[0]).await.unwrap();
    assert!(left > 0, "{left}");
}
