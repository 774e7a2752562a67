//! Answers that come late or never, and connections that are lost again and again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::ports::clock::Clock;
use hongbaod::ports::ledger::{Ledger, LedgerError};
use tokio::time::timeout;

use super::{options, settle};
use crate::alone::{Holdings, is_alone};
use crate::clocks::{HastyClock, LeastChance, ScaledClock, elapsed};
use crate::ledger_contract::stored;
use crate::ledger_entries::{in_flight, key};
use crate::patience::{eventually, pause};
use crate::proxy::{Mode, Proxy};
use crate::redis_health::{is_down, is_up, until};
use crate::redis_server::RedisServer;

/// Far more than an answer takes.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Looks at the canary only when something broke.
fn quiet_options(url: String) -> RedisLedgerOptions {
    RedisLedgerOptions {
        check_interval: Duration::from_secs(3_600),
        ..options(url)
    }
}

async fn connect_by(clock: Arc<dyn Clock>, options: RedisLedgerOptions) -> RedisLedger {
    let connecting = RedisLedger::connect(options, clock, Arc::new(LeastChance));
    connecting.await.unwrap()
}

#[tokio::test]
async fn a_command_without_an_answer_is_a_maybe_and_its_late_answer_is_nobody_elses() {
    const KEYS: u64 = 50;
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(&server.url());
    let clock = ScaledClock::new(1_000);
    let options = RedisLedgerOptions {
        response_timeout: RESPONSE_TIMEOUT,
        ..quiet_options(proxy.url(&server.url()))
    };
    let ledger = connect_by(clock, options).await;
    for number in 1..=KEYS {
        stored(&ledger, &key(number), &in_flight(&key(number), number)).await;
    }
    let before = ledger.health();

    proxy.set(Mode::Mute);
    let took = elapsed(async {
        let claim = in_flight(&key(0), 0);
        let written = ledger.insert(&key(0), &claim).await.map(drop);
        let read = ledger.read(&key(1)).await.map(drop);
        for error in [written.unwrap_err(), read.unwrap_err()] {
            let LedgerError::Unavailable(source) = error else {
                panic!("{error:?}");
            };
            assert_eq!(source.to_string(), "no answer from Redis within 1s");
        }
    })
    .await;
    assert!(
        took >= RESPONSE_TIMEOUT * 2 && took < RESPONSE_TIMEOUT * 10,
        "{took:?}"
    );

    // Both answers come now, before those to the next commands.
    proxy.set(Mode::Pass);
    // The maybe was a yes: 0 is among them.
    join_all((0..=KEYS).map(|number| expect_own(&ledger, number))).await;

    // Whoever no longer waits for his answer does not leave it to the next one.
    let mut left_alone = 0;
    for number in 0..=KEYS {
        for other in 0..=KEYS {
            left_alone += u64::from(ledger.read(&key(other)).now_or_never().is_none());
        }
        expect_own(&ledger, number).await;
    }
    assert_eq!(left_alone, (KEYS + 1) * (KEYS + 1));
    assert_eq!(ledger.health(), before);
    assert_eq!(proxy.accepted(), 1, "all of it on one connection");
}

/// Each entry holds its number as the token of its lease.
async fn expect_own(ledger: &RedisLedger, number: u64) {
    let read = ledger.read(&key(number)).await.unwrap().unwrap();
    assert_eq!(read.entry, in_flight(&key(number), number));
}

#[tokio::test]
async fn a_server_that_is_away_or_flaps_meets_no_storm_of_connections() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(&server.url());
    let clock = ScaledClock::new(1_000);
    let ledger = connect_by(clock, quiet_options(proxy.url(&server.url()))).await;
    assert_eq!(proxy.accepted(), 1);

    // Waits of 0.05, 0.1, 0.2, 0.4, 0.8 and 1.6 s are the shortest that can be drawn.
    let window = Duration::from_secs(3);
    proxy.set(Mode::Refuse);
    proxy.cut().await;
    pause(window).await;
    let attempts = proxy.accepted() - 1;
    assert!((4..=6).contains(&attempts), "{attempts} while away");
    proxy.set(Mode::Pass);
    until(&ledger, is_up).await;

    // Each connection comes to stand, and is cut at once.
    let before = proxy.accepted();
    let flapping = async {
        loop {
            until(&ledger, is_up).await;
            proxy.cut().await;
            until(&ledger, is_down).await;
        }
    };
    assert!(timeout(window * 2, flapping).await.is_err());
    let attempts = proxy.accepted() - before;
    assert!(attempts <= 4, "{attempts} while it flaps");
    until(&ledger, is_up).await;
    settle(&ledger, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reconnects_to_redis_leave_nothing_behind() {
    const NAME: &str =
        "redis_ledger::lifetimes::a_thousand_reconnects_to_redis_leave_nothing_behind";
    const CUTS: u64 = 1_000;
    if !is_alone(NAME).await {
        return;
    }
    let server = RedisServer::start(&[]);
    let proxy = Proxy::before(&server.url());
    let clock = Arc::new(HastyClock::default());
    let ledger = connect_by(clock, options(proxy.url(&server.url()))).await;
    let losses = ledger.health().memory_losses;
    let nobody = key(0);
    let mut early = None;
    let took = elapsed(async {
        for cut in 1..=CUTS {
            settle(&ledger, cut).await;
            // This has a connection of its own.
            let replicated = ledger
                .replicated(&key(1), 1, Duration::from_millis(1))
                .await;
            assert!(!replicated.unwrap());
            let before = proxy.accepted();
            let answered = tokio::join!(ledger.read(&nobody), proxy.cut()).0;
            assert!(
                matches!(answered, Ok(None) | Err(LedgerError::Unavailable(_))),
                "{answered:?}"
            );
            eventually("a new connection", async || {
                proxy.accepted() > before && is_up(&ledger.health())
            })
            .await;
            if cut == CUTS / 5 {
                early = Some(Holdings::now());
            }
        }
    })
    .await;
    let (early, late) = (early.unwrap(), Holdings::now());
    let connections = proxy.accepted();
    eprintln!("{connections} connections in {took:?}: {early:?}, then {late:?}");
    assert!(connections >= 2 * CUTS, "{connections}");
    Holdings::become_no_more_than(&early).await;
    assert_eq!(ledger.health().memory_losses, losses);
    drop(ledger);
    eventually("no connection", async || proxy.open() == 0).await;
}
