//! What this replica booked in the shared calendar and has not used yet.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::time::Monotonic;
use crate::pacing::demand::Demand;
use crate::pacing::rate::Token;
use crate::pacing::shared_clock::{Learned, SharedClock, until};
use crate::ports::rate::{Reservation, SPREAD, WINDOW_MIN, micros, window_us};

/// How long after the beginning of a window its calls may start. One short window more than its own:
/// enough for a busy machine, and 2 % more calls in the worst second. A longer window is its own
/// grace.
const LATE_MAX: Duration = Duration::from_millis(20);

/// With less than this before the last call that is booked, more are asked for: longer than Redis
/// takes to answer, shorter than what is booked at once.
const LOW_WATER: Duration = Duration::from_millis(50);

/// The wait after the first failure, doubled for each in a row up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The wait after the calendar was full to its end.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// Whoever waits looks again after so long, whatever else happens.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One method's bookings.
///
/// More are asked for when there are fewer than jobs that wait, and shortly before they run out.
/// While jobs come one by one, calls are booked ahead by how many came lately, so that none of them
/// has to ask.
#[derive(Debug)]
pub(super) struct Share {
    window_us: u64,
    /// How long after the beginning of a window its calls may start.
    life_us: u64,
    clock: SharedClock,
    windows: VecDeque<Window>,
    demand: Demand,
    /// Up to where calls were spread, in the calendar's microseconds.
    spread_until_us: u64,
    asking: Asking,
    failures: u32,
    not_before: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    starts_us: u64,
    soon: u32,
    spread: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    No,
    Yes,
}

/// What is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) soon: u32,
    pub(super) spread: u32,
    pub(super) spread_from_us: u64,
}

impl Share {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let window_us = window_us(per_second);
        let life_us = window_us.max(micros(LATE_MAX));
        Self {
            window_us,
            life_us,
            clock: SharedClock::new(),
            windows: VecDeque::new(),
            demand: Demand::new(per_second),
            spread_until_us: 0,
            asking: Asking::No,
            failures: 0,
            not_before: Monotonic(Duration::ZERO),
        }
    }

    /// Takes a call of the earliest window that is not over, if it has begun.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<Token> {
        let shared_now = self.clock.at(now);
        self.drop_late(shared_now);
        let window = self.windows.front_mut()?;
        if window.starts_us > shared_now {
            return None;
        }
        let stamp = window.starts_us;
        if window.soon > 0 {
            window.soon = window.soon.saturating_sub(1);
        } else {
            window.spread = window.spread.saturating_sub(1);
        }
        if window.calls() == 0 {
            self.windows.pop_front();
        }
        self.demand.took(now);
        Some(Token { stamp })
    }

    /// How long until there is a call to take, as far as is known; zero when there is one.
    pub(super) fn wait(&self, now: Monotonic) -> Duration {
        let shared_now = self.clock.at(now);
        let in_time = |window: &&Window| self.is_in_time(window, shared_now);
        if let Some(window) = self.windows.iter().find(in_time) {
            return until(window.starts_us, shared_now);
        }
        let pause = self.not_before.since(now);
        if self.asking == Asking::No && !pause.is_zero() {
            pause
        } else {
            LOOK_AGAIN
        }
    }

    /// Gives back a call that was not made. It is worth something until its window is over.
    pub(super) fn give_back(&mut self, token: Token) {
        self.demand.gave_back();
        self.add(Window {
            starts_us: token.stamp,
            soon: 1,
            spread: 0,
        });
    }

    /// What is to be asked for now while `waiting` jobs could go on if they had a call. Whoever is
    /// told must answer by [`Share::filled`] or [`Share::failed`]; until then nothing is needed.
    pub(super) fn need(&mut self, waiting: u32, now: Monotonic) -> Option<Need> {
        if self.asking == Asking::Yes || !self.not_before.since(now).is_zero() {
            return None;
        }
        let shared_now = self.clock.at(now);
        let lacking = self.lacking(waiting, shared_now);
        let soon = if self.runs_low(shared_now) {
            self.demand.batch(lacking)
        } else {
            0
        };
        // Whoever has more waiting than one batch uses up what it gets, and expects nothing more.
        let spread = if soon == lacking {
            self.expected(shared_now, now)
        } else {
            0
        };
        if soon == 0 && (spread == 0 || self.demand.is_idle()) {
            return None;
        }
        self.demand.asked();
        self.asking = Asking::Yes;
        Some(Need {
            soon,
            spread,
            spread_from_us: self.spread_until_us,
        })
    }

    /// Learns what was booked for `need`, asked for at `asked_at`.
    pub(super) fn filled(
        &mut self,
        need: Need,
        reservation: &Reservation,
        asked_at: Monotonic,
        now: Monotonic,
    ) {
        self.asking = Asking::No;
        self.failures = 0;
        let now_us = reservation.now_us;
        match self.clock.learn(now_us, asked_at, now) {
            Learned::Fits => {}
            Learned::Jumped => self.windows.clear(),
        }
        if need.spread > 0 {
            let here = now_us.checked_div(self.window_us).unwrap_or(0);
            let ends = here.saturating_mul(self.window_us);
            self.spread_until_us = ends.saturating_add(micros(SPREAD));
        }
        for window in &reservation.windows {
            self.add(Window {
                starts_us: window.starts_us,
                soon: window.soon,
                spread: window.spread,
            });
        }
        let booked_soon = reservation.windows.iter().any(|window| window.soon > 0);
        if need.soon > 0 && !booked_soon {
            // The calendar is full to its end.
            self.not_before = now.plus(FULL_PAUSE);
        }
    }

    /// Learns that nothing was booked, as far as we know. What was booked before is given up too:
    /// whoever answers next may have forgotten it.
    pub(super) fn failed(&mut self, now: Monotonic) {
        self.asking = Asking::No;
        self.windows.clear();
        self.spread_until_us = 0;
        let doublings = self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        let pause = PAUSE_MIN.saturating_mul(1_u32 << doublings);
        self.not_before = now.plus(pause.min(PAUSE_MAX));
    }

    /// Whether the last attempt to book failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How many of those who wait have no call promised.
    fn lacking(&mut self, waiting: u32, shared_now: u64) -> u32 {
        if waiting == 0 {
            return 0;
        }
        self.drop_late(shared_now);
        waiting.saturating_sub(self.promised(shared_now))
    }

    /// How many calls to spread over the time to come, 0 while that is done already.
    fn expected(&mut self, shared_now: u64, now: Monotonic) -> u32 {
        let soon_over = shared_now.saturating_add(micros(LOW_WATER));
        if self.window_us > micros(WINDOW_MIN) || self.spread_until_us > soon_over {
            return 0;
        }
        self.demand.expected(now)
    }

    fn is_in_time(&self, window: &Window, shared_now: u64) -> bool {
        shared_now < window.starts_us.saturating_add(self.life_us)
    }

    fn drop_late(&mut self, shared_now: u64) {
        while let Some(window) = self.windows.front().copied()
            && !self.is_in_time(&window, shared_now)
        {
            self.demand.lost(window.soon);
            self.windows.pop_front();
        }
    }

    /// Calls that whoever waits now will get: all that can be taken at once, and those to come that
    /// were booked for somebody who waits.
    fn promised(&self, shared_now: u64) -> u32 {
        let calls = self.windows.iter().map(|window| {
            if window.starts_us <= shared_now {
                window.calls()
            } else {
                window.soon
            }
        });
        calls.fold(0, u32::saturating_add)
    }

    /// Whether the last call that was booked for somebody who waits is near.
    fn runs_low(&self, shared_now: u64) -> bool {
        let last = self.windows.iter().rev().find(|window| window.soon > 0);
        last.is_none_or(|last| last.starts_us <= shared_now.saturating_add(micros(LOW_WATER)))
    }

    fn add(&mut self, new: Window) {
        let place = self
            .windows
            .partition_point(|window| window.starts_us < new.starts_us);
        match self.windows.get_mut(place) {
            Some(window) if window.starts_us == new.starts_us => {
                window.soon = window.soon.saturating_add(new.soon);
                window.spread = window.spread.saturating_add(new.spread);
            }
            Some(_) | None => self.windows.insert(place, new),
        }
    }
}

impl Window {
    fn calls(&self) -> u32 {
        self.soon.saturating_add(self.spread)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Need, Share};
    use crate::domain::time::Monotonic;
    use crate::ports::rate::{RateWindow, Reservation};

    /// What the calendar's clock shows when ours shows nothing.
    const SHARED_US: u64 = 1_700_000_000_000_000;

    fn share(rate: u32) -> Share {
        Share::new(NonZeroU32::new(rate).unwrap())
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    /// Books `windows` (when each begins, and its calls) for `waiting` jobs, at once.
    fn book(share: &mut Share, waiting: u32, millis: u64, windows: &[(u64, u32)]) -> Need {
        let need = share.need(waiting, at(millis)).unwrap();
        assert_eq!(
            share.need(waiting, at(millis)),
            None,
            "one question at a time"
        );
        let windows = windows.iter().map(|(begins, calls)| RateWindow {
            starts_us: SHARED_US + begins * 1_000,
            soon: *calls,
            spread: 0,
        });
        let reservation = Reservation {
            now_us: SHARED_US + millis * 1_000,
            windows: windows.collect(),
        };
        share.filled(need, &reservation, at(millis), at(millis));
        need
    }

    #[test]
    fn a_call_is_there_from_its_window_on_and_not_for_long() {
        // Each row: rate, and how long after the beginning of its window a call may start.
        for (rate, life_ms) in [(100, 20), (51, 20), (50, 20), (10, 100), (1, 1_000)] {
            for (now, taken) in [
                (999, false),
                (1_001, true),
                (998 + life_ms, true),
                (1_001 + life_ms, false),
            ] {
                let mut share = share(rate);
                book(&mut share, 1, 990, &[(1_000, 1)]);
                let waits = !share.wait(at(now)).is_zero();
                assert_eq!(waits, !taken, "rate {rate}, at {now} ms");
                assert_eq!(
                    share.take(at(now)).is_some(),
                    taken,
                    "rate {rate}, at {now} ms"
                );
                assert!(share.take(at(now)).is_none());
            }
        }
    }

    #[test]
    fn a_call_given_back_is_there_until_its_window_is_over() {
        let mut share = share(100);
        book(&mut share, 1, 1_000, &[(1_000, 1)]);
        let token = share.take(at(1_001)).unwrap();
        share.give_back(token);
        let token = share.take(at(1_015)).unwrap();
        share.give_back(token);
        assert!(share.take(at(1_040)).is_none());
    }

    #[test]
    fn a_batch_doubles_while_it_is_used_and_shrinks_to_what_was_used() {
        let mut share = share(400);
        let mut now = 1_000;
        for expected in [4, 8, 16, 32, 40, 40] {
            let need = book(&mut share, 500, now, &[(now, expected)]);
            assert_eq!(need.soon, expected);
            for _ in 0..expected {
                assert!(share.take(at(now + 1)).is_some());
            }
            now += 100;
        }
        book(&mut share, 500, now, &[(now, 40)]);
        for _ in 0..7 {
            assert!(share.take(at(now + 1)).is_some());
        }
        assert_eq!(share.need(500, at(now + 100)).unwrap().soon, 7);
    }

    #[test]
    fn whoever_waits_is_not_counted_twice() {
        let mut share = share(1_000);
        book(&mut share, 10, 1_000, &[(1_000, 4), (1_030, 6)]);
        assert_eq!(share.need(10, at(1_001)), None);
        // The last call is near, and one more waits than calls are left.
        assert_eq!(share.need(11, at(1_001)).unwrap().soon, 1);
    }

    #[test]
    fn after_a_failure_nothing_is_left_and_nobody_asks_for_a_while() {
        let mut share = share(100);
        book(&mut share, 20, 1_000, &[(1_000, 1), (1_010, 1)]);
        assert!(share.take(at(1_001)).is_some());
        let mut now = 1_001;
        for pause in [100, 200, 400, 800, 1_000, 1_000] {
            assert!(share.need(20, at(now)).is_some());
            share.failed(at(now));
            assert!(share.is_failing());
            assert!(share.take(at(now + 10)).is_none());
            assert_eq!(share.need(20, at(now + pause - 1)), None);
            assert_eq!(share.wait(at(now)), Duration::from_millis(pause));
            now += pause;
        }
        book(&mut share, 20, now, &[(now, 4)]);
        assert!(!share.is_failing());
        assert!(share.take(at(now + 1)).is_some());
    }

    #[test]
    fn a_calendar_whose_clock_jumped_makes_what_was_booked_worthless() {
        let mut share = share(100);
        book(&mut share, 20, 1_000, &[(1_000, 1), (1_010, 1)]);
        let need = share.need(20, at(1_005)).unwrap();
        let later = SHARED_US + 3_600_000_000;
        let reservation = Reservation {
            now_us: later,
            windows: vec![],
        };
        share.filled(need, &reservation, at(1_005), at(1_006));
        assert!(share.take(at(1_010)).is_none());
    }

    #[test]
    fn a_full_calendar_is_asked_again_after_a_while() {
        let mut share = share(100);
        book(&mut share, 20, 1_000, &[]);
        assert_eq!(share.need(20, at(1_099)), None);
        assert!(share.need(20, at(1_100)).is_some());
    }
}
