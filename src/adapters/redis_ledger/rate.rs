//! The calendar of calls in Redis: one script on one key per app and method.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;

use crate::adapters::redis_ledger::RedisLedger;
use crate::adapters::redis_ledger::connection::NoAnswer;
use crate::domain::time::millis;
use crate::ports::ledger::LedgerError;
use crate::ports::rate::{
    HORIZON, RateError, RateWindow, RateWish, Reservation, SPREAD, SharedRate, micros, window_us,
};

/// KEYS, ARGV and the return value are in its head.
static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reserve.lua")));

/// How much longer a calendar is kept than it can be booked ahead.
const LIFE_AFTER: Duration = Duration::from_secs(10);

#[async_trait]
impl SharedRate for RedisLedger {
    async fn reserve(&self, wish: &RateWish) -> Result<Reservation, RateError> {
        let length_us = window_us(wish.per_second);
        let name = self.supervisor.keys.rate(&wish.app, wish.method);
        let mut invocation = RESERVE.key(&name);
        invocation
            .arg(wish.per_second.get())
            .arg(length_us)
            .arg(wish.soon)
            .arg(wish.spread)
            .arg((micros(SPREAD) / length_us).max(1))
            .arg(wish.spread_from_us.div_ceil(length_us))
            .arg((micros(HORIZON) / length_us).max(1))
            .arg(millis(HORIZON.saturating_add(LIFE_AFTER)));
        let answer: Vec<u64> = self
            .evaluate(&name, &RESERVE, &invocation)
            .await
            .map_err(|error| RateError(Box::new(error)))?;
        read(&answer, wish.per_second).ok_or_else(|| {
            RateError(Box::new(LedgerError::Unavailable(Box::new(
                NoAnswer::Senseless,
            ))))
        })
    }
}

/// Reads the script's answer; `None` if it is none.
fn read(answer: &[u64], per_second: NonZeroU32) -> Option<Reservation> {
    let (now_us, windows) = answer.split_first()?;
    let windows = windows.chunks(3).map(|window| {
        let [number, soon, spread] = *window else {
            return None;
        };
        Some(RateWindow {
            starts_us: number.checked_mul(window_us(per_second))?,
            soon: u32::try_from(soon).ok()?,
            spread: u32::try_from(spread).ok()?,
        })
    });
    Some(Reservation {
        now_us: *now_us,
        windows: windows.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::read;
    use crate::ports::rate::{RateWindow, Reservation};

    #[test]
    fn only_whole_windows_after_a_clock_are_an_answer() {
        let rate = NonZeroU32::new(100).unwrap();
        let window = RateWindow {
            starts_us: 70_000,
            soon: 2,
            spread: 1,
        };
        let reservation = |windows| Reservation {
            now_us: 71_234,
            windows,
        };
        for (answer, expected) in [
            (vec![], None),
            (vec![71_234], Some(reservation(vec![]))),
            (vec![71_234, 7], None),
            (vec![71_234, 7, 2], None),
            (vec![71_234, 7, 2, 1], Some(reservation(vec![window]))),
            (vec![71_234, 7, 1 << 32, 1], None),
            (vec![71_234, u64::MAX, 2, 1], None),
        ] {
            assert_eq!(read(&answer, rate), expected, "{answer:?}");
        }
    }
}
