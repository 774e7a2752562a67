//! The shared calendar in memory: the rules of `ports/rate.rs` in plain Rust.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::ports::rate::{
    HORIZON, RateError, RateWindow, RateWish, Reservation, SPREAD, SharedRate, micros, window_us,
};

/// When the tests' calendar begins, in microseconds since 1970.
const BEGINNING_US: u64 = 1_700_000_000_123_456;

/// Calendars on the runtime's clock, virtual or not.
pub(crate) struct Calendars {
    start: tokio::time::Instant,
    calendars: Mutex<HashMap<String, Calendar>>,
}

impl Calendars {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the tests, on the runtime's time"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            calendars: Mutex::default(),
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        BEGINNING_US + micros(self.start.elapsed())
    }
}

#[async_trait]
impl SharedRate for Calendars {
    async fn reserve(&self, wish: &RateWish) -> Result<Reservation, RateError> {
        let name = format!("{}:{}", wish.app, wish.method);
        let mut calendars = self.calendars.lock().unwrap();
        let calendar = calendars.entry(name).or_default();
        Ok(calendar.reserve(wish, self.now_us()))
    }
}

/// One calendar, told what time it is.
#[derive(Default)]
pub(crate) struct Calendar {
    /// The windows' length and the first that may be booked.
    ruled: Option<(u64, u64)>,
    booked: BTreeMap<u64, u64>,
}

impl Calendar {
    pub(crate) fn reserve(&mut self, wish: &RateWish, now_us: u64) -> Reservation {
        let length_us = window_us(wish.per_second);
        let here = now_us / length_us;
        let ahead = |length: Duration| (micros(length) / length_us).max(1);
        let last = here + ahead(HORIZON);
        self.rule(length_us, here, last);
        let first = self.ruled.unwrap().1.max(here);
        let mut windows: BTreeMap<u64, RateWindow> = BTreeMap::new();
        let mut note = |window: u64, soon: u64, spread: u64| {
            let entry = windows.entry(window).or_insert(RateWindow {
                starts_us: window * length_us,
                soon: 0,
                spread: 0,
            });
            entry.soon += u32::try_from(soon).unwrap();
            entry.spread += u32::try_from(spread).unwrap();
        };
        let mut soon = u64::from(wish.soon);
        for window in first..=last {
            let booked = self.booked.entry(window).or_default();
            let calls = soon.min(room(wish, window) - *booked);
            if calls > 0 {
                *booked += calls;
                soon -= calls;
                note(window, calls, 0);
            }
        }
        if length_us == 10_000 {
            let over = ahead(SPREAD);
            let from = wish.spread_from_us.div_ceil(length_us).max(first);
            for window in from..here + over {
                let booked = self.booked.entry(window).or_default();
                let half = part(window, wish.per_second.get(), 200).saturating_sub(*booked);
                let calls = part(window, wish.spread, over).min(half);
                if calls > 0 {
                    *booked += calls;
                    note(window, 0, calls);
                }
            }
        }
        Reservation {
            now_us,
            windows: windows.into_values().collect(),
        }
    }

    /// Makes sure that the calendar is one of windows of `length_us`.
    fn rule(&mut self, length_us: u64, here: u64, last: u64) {
        let first = match self.ruled {
            None => here,
            Some((old, first)) if old == length_us => first,
            Some((old, first)) => {
                let booked = self.booked.iter().filter(|(_, calls)| **calls > 0);
                let ends = booked.map(|(window, _)| window + 1).max().unwrap_or(first);
                self.booked.clear();
                (ends * old).div_ceil(length_us).max(here)
            }
        };
        assert!(first <= last + 1, "the tests' clock is never set back");
        self.ruled = Some((length_us, first));
    }
}

fn room(wish: &RateWish, window: u64) -> u64 {
    if window_us(wish.per_second) > 10_000 {
        1
    } else {
        part(window, wish.per_second.get(), 100)
    }
}

fn part(window: u64, calls: u32, windows: u64) -> u64 {
    let place = window % windows;
    (place + 1) * u64::from(calls) / windows - place * u64::from(calls) / windows
}
