//! A ledger in Redis in a test's hands: made with the system's clock, and waited for by its health.

use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{ConnectError, RedisLedger, RedisLedgerOptions};
use hongbaod::ports::ledger::{Connection, Ledger, LedgerHealth};

use crate::patience::PATIENCE;

pub(crate) async fn try_connect(options: RedisLedgerOptions) -> Result<RedisLedger, ConnectError> {
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    RedisLedger::connect(options, clock, random).await
}

/// Waits until the ledger's health is as `wanted`.
pub(crate) async fn until(
    ledger: &RedisLedger,
    wanted: impl Fn(&LedgerHealth) -> bool,
) -> LedgerHealth {
    let waiting = async {
        let mut health = ledger.health();
        while !wanted(&health) {
            health = ledger.changed(health).await;
        }
        health
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

pub(crate) fn is_up(health: &LedgerHealth) -> bool {
    health.connection == Connection::Up
}

pub(crate) fn is_down(health: &LedgerHealth) -> bool {
    health.connection == Connection::Down
}
