//! The rate that replicas share: what every calendar promises, on the one in Redis and on the model
//! of it, and what replicas make of it on virtual time.

mod calendar;
mod limits;
mod replicas;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions};
use hongbaod::domain::ident::AppName;
use hongbaod::ports::rate::{
    HORIZON, RateWish, Reservation, SPREAD, SharedRate, micros, window_us,
};
use redis::AsyncCommands;
use tokio::task::JoinSet;

use crate::redis_server::connection;
use crate::servers;
use calendar::{Calendar, Calendars};

macro_rules! contract {
    ($($fact:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let rate = std::sync::Arc::new(crate::rate::Calendars::new());
                crate::rate::$fact(rate).await;
            })*
        }
        mod redis_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let (ledger, _prefix) = crate::rate::redis_rate().await;
                crate::rate::$fact(ledger).await;
            })*
        }
    };
}

contract! {
    the_first_call_after_a_pause_has_the_present_window,
    calls_are_booked_one_window_after_the_other_each_with_its_part_of_a_second,
    no_more_is_booked_than_the_horizon_holds,
    a_spread_is_even_takes_half_at_most_and_begins_where_it_is_told,
    each_app_and_method_has_a_calendar_of_its_own,
    what_many_book_at_once_never_meets,
    a_changed_rate_begins_where_the_bookings_of_the_old_one_end,
}

/// A calendar of one test's own in the tests' Redis, and the prefix of its keys.
async fn redis_rate() -> (Arc<RedisLedger>, String) {
    let mut options = RedisLedgerOptions::new(servers::redis_url().into());
    let prefix = servers::unique_prefix("rate");
    options.prefix.clone_from(&prefix);
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let ledger = RedisLedger::connect(options, clock, random).await.unwrap();
    (Arc::new(ledger), prefix)
}

fn wish(rate: u32, soon: u32) -> RateWish {
    RateWish {
        app: AppName::new("main").unwrap(),
        method: "disburse",
        per_second: NonZeroU32::new(rate).unwrap(),
        soon,
        spread: 0,
        spread_from_us: 0,
    }
}

fn length_us(rate: u32) -> u64 {
    window_us(NonZeroU32::new(rate).unwrap())
}

/// Window number and calls of each window.
fn calls(reservation: &Reservation, rate: u32) -> Vec<(u64, u32)> {
    let windows = reservation.windows.iter();
    windows
        .map(|window| {
            assert_eq!(window.starts_us % length_us(rate), 0);
            (
                window.starts_us / length_us(rate),
                window.soon + window.spread,
            )
        })
        .collect()
}

fn total(reservation: &Reservation) -> u32 {
    let windows = reservation.windows.iter();
    windows.map(|window| window.soon + window.spread).sum()
}

/// What fits into one window of a rate, at least and at most.
fn room(rate: u32) -> std::ops::RangeInclusive<u32> {
    if rate < 100 {
        1..=1
    } else {
        rate / 100..=rate.div_ceil(100)
    }
}

async fn the_first_call_after_a_pause_has_the_present_window(calendar: Arc<dyn SharedRate>) {
    for rate in [1, 7, 100, 5_000] {
        let wish = RateWish {
            app: AppName::new(&format!("app{rate}")).unwrap(),
            ..wish(rate, 1)
        };
        let reservation = calendar.reserve(&wish).await.unwrap();
        let here = reservation.now_us / length_us(rate);
        assert_eq!(calls(&reservation, rate), [(here, 1)], "{rate}");
    }
}

async fn calls_are_booked_one_window_after_the_other_each_with_its_part_of_a_second(
    calendar: Arc<dyn SharedRate>,
) {
    for rate in [1, 3, 99, 100, 101, 333, 20_000] {
        let wish = RateWish {
            app: AppName::new(&format!("app{rate}")).unwrap(),
            ..wish(rate, rate.div_ceil(2))
        };
        let mut booked: BTreeMap<u64, u32> = BTreeMap::new();
        let mut begins = None;
        for _ in 0..2 {
            let reservation = calendar.reserve(&wish).await.unwrap();
            begins.get_or_insert_with(|| reservation.now_us / length_us(rate));
            assert_eq!(total(&reservation), wish.soon, "{rate}");
            for (window, calls) in calls(&reservation, rate) {
                *booked.entry(window).or_default() += calls;
            }
        }
        let windows: Vec<u64> = booked.keys().copied().collect();
        let first = *windows.first().unwrap();
        assert_eq!(Some(first), begins);
        // A second call of the clock may find the next window, but never leaves one out in between.
        let followed = (first..).take(windows.len()).collect::<Vec<_>>();
        assert_eq!(windows, followed, "{rate}");
        let full = &windows[..windows.len() - 1];
        for window in full {
            assert!(room(rate).contains(&booked[window]), "{rate}: {booked:?}");
        }
        let second = usize::try_from(1_000_000 / length_us(rate)).unwrap();
        let in_first_second: u32 = booked.values().take(second).sum();
        assert!(in_first_second <= rate, "{rate}: {in_first_second}");
    }
}

async fn no_more_is_booked_than_the_horizon_holds(calendar: Arc<dyn SharedRate>) {
    let reservation = calendar.reserve(&wish(1_000, 100_000)).await.unwrap();
    // The windows of three seconds, and the present one.
    assert_eq!(total(&reservation), 3_010);
    let last = reservation.windows.last().unwrap();
    assert!(last.starts_us <= reservation.now_us + micros(HORIZON));
    let reservation = calendar.reserve(&wish(1_000, 1)).await.unwrap();
    let waited_windows = total(&reservation);
    assert!(waited_windows <= 1, "{reservation:?}");
}

async fn a_spread_is_even_takes_half_at_most_and_begins_where_it_is_told(
    calendar: Arc<dyn SharedRate>,
) {
    let spread = |rate, calls| RateWish {
        spread: calls,
        ..wish(rate, 0)
    };
    let reservation = calendar.reserve(&spread(2_000, 60)).await.unwrap();
    let windows = calls(&reservation, 2_000);
    assert_eq!(windows.len(), 20);
    assert!(windows.iter().all(|(_, calls)| *calls == 3), "{windows:?}");
    assert_eq!(windows[0].0, reservation.now_us / 10_000);

    // Half of the room is 10; 3 of it are taken.
    let reservation = calendar.reserve(&spread(2_000, 1_000)).await.unwrap();
    let windows = calls(&reservation, 2_000);
    assert!(
        windows[..17].iter().all(|(_, calls)| *calls == 7),
        "{windows:?}"
    );

    // The other half is there for whoever waits.
    let reservation = calendar.reserve(&wish(2_000, 20)).await.unwrap();
    let first = reservation.windows[0];
    assert!(first.soon == 10 || first.soon == 20, "{reservation:?}");

    let later = RateWish {
        method: "query",
        spread_from_us: reservation.now_us + micros(SPREAD) / 2,
        ..spread(2_000, 60)
    };
    let reservation = calendar.reserve(&later).await.unwrap();
    assert!(reservation.windows[0].starts_us >= later.spread_from_us);

    // Where there is one call in a window longer than the shortest, nothing is spread.
    let slow = RateWish {
        method: "refund",
        ..spread(99, 60)
    };
    let reservation = calendar.reserve(&slow).await.unwrap();
    assert_eq!(total(&reservation), 0);
}

async fn each_app_and_method_has_a_calendar_of_its_own(calendar: Arc<dyn SharedRate>) {
    for app in ["main", "other"] {
        for method in ["disburse", "refund"] {
            let wish = RateWish {
                app: AppName::new(app).unwrap(),
                method,
                ..wish(1, 1)
            };
            let reservation = calendar.reserve(&wish).await.unwrap();
            let here = reservation.now_us / 1_000_000;
            assert_eq!(calls(&reservation, 1), [(here, 1)], "{app} {method}");
        }
    }
}

async fn what_many_book_at_once_never_meets(calendar: Arc<dyn SharedRate>) {
    let mut tasks = JoinSet::new();
    for number in 1..=50 {
        let calendar = Arc::clone(&calendar);
        tasks.spawn(async move {
            let wish = RateWish {
                spread: number % 7,
                ..wish(333, number % 11)
            };
            calls(&calendar.reserve(&wish).await.unwrap(), 333)
        });
    }
    let mut booked: BTreeMap<u64, u32> = BTreeMap::new();
    while let Some(calls) = tasks.join_next().await {
        for (window, calls) in calls.unwrap() {
            *booked.entry(window).or_default() += calls;
        }
    }
    assert!(booked.len() > 50, "{booked:?}");
    assert!(booked.values().all(|calls| *calls <= 4), "{booked:?}");
}

async fn a_changed_rate_begins_where_the_bookings_of_the_old_one_end(
    calendar: Arc<dyn SharedRate>,
) {
    // Each row: two rates, and the calls booked at the first.
    for (method, before, booked, after) in [
        ("disburse", 10, 10, 100),
        ("refund", 100, 100, 10),
        ("query", 7, 3, 9),
    ] {
        let old = RateWish {
            method,
            ..wish(before, booked)
        };
        let reservation = calendar.reserve(&old).await.unwrap();
        let ends = reservation.windows.last().unwrap().starts_us + length_us(before);
        let new = RateWish {
            method,
            ..wish(after, 1)
        };
        let reservation = calendar.reserve(&new).await.unwrap();
        let begins = reservation.windows[0].starts_us;
        assert!(begins >= ends, "{method}: {begins} {ends}");
        assert!(begins < ends + length_us(after), "{method}");
    }
}

/// The script against the model: the same wishes at the same instants, and every window equal.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_books_exactly_as_the_model_does() {
    let (ledger, _prefix) = redis_rate().await;
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(state % below).unwrap()
    };
    for (round, rate) in [1, 3, 40, 99, 100, 150, 999, 100_000, u32::MAX]
        .into_iter()
        .enumerate()
    {
        let mut model = Calendar::default();
        let mut spread_from_us = 0;
        for step in 0..60 {
            let wish = RateWish {
                app: AppName::new(&format!("app{round}")).unwrap(),
                // Each batch is at most a tenth of a second long: the calendar gets full.
                soon: random(u64::from(rate) / 10 + 2),
                spread: random(3) * (rate / 300),
                spread_from_us,
                ..wish(rate, 0)
            };
            let booked = ledger.reserve(&wish).await.unwrap();
            let expected = model.reserve(&wish, booked.now_us);
            assert_eq!(booked, expected, "rate {rate}, step {step}: {wish:?}");
            if step % 3 == 0 {
                spread_from_us = booked.now_us + 60_000;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_one_small_key_that_expires() {
    let (ledger, prefix) = redis_rate().await;
    let mut redis = connection(&servers::redis_url()).await;
    let key = format!("{prefix}:rate:{{main:disburse}}");
    // Nothing booked, nothing written.
    ledger.reserve(&wish(100, 0)).await.unwrap();
    let exists: bool = redis.exists(&key).await.unwrap();
    assert!(!exists);
    for _ in 0..40 {
        ledger.reserve(&wish(100, 10)).await.unwrap();
    }
    let life_ms: i64 = redis.pttl(&key).await.unwrap();
    assert!((3_000..=13_000).contains(&life_ms), "{life_ms}");
    let bytes: usize = redis.strlen(&key).await.unwrap();
    assert!(bytes <= 32, "{bytes}");
}

/// A server whose clock was set back, or another one after a failover, must not stop all calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_from_the_future_is_begun_anew() {
    let (ledger, prefix) = redis_rate().await;
    let mut redis = connection(&servers::redis_url()).await;
    let key = format!("{prefix}:rate:{{main:disburse}}");
    let now_us = ledger.reserve(&wish(100, 1)).await.unwrap().now_us;
    for (ahead, begins_now) in [
        (Duration::from_secs(2), false),
        (Duration::from_secs(3_600), true),
    ] {
        let first = (now_us + micros(ahead)) / 10_000;
        let plant = redis::Script::new(
            "return redis.call('SET', KEYS[1], cmsgpack.pack({10000, tonumber(ARGV[1]), 1}))",
        );
        let mut planted = plant.key(&key);
        let () = planted.arg(first).invoke_async(&mut redis).await.unwrap();
        let reservation = ledger.reserve(&wish(100, 1)).await.unwrap();
        let here = reservation.now_us / 10_000;
        let begins = if begins_now { here } else { first + 1 };
        assert_eq!(calls(&reservation, 100), [(begins, 1)], "{ahead:?}");
    }
}
