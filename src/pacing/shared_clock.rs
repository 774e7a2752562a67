//! What time it is on the clock of the shared calendar, by what its answers said.

use std::time::Duration;

use crate::domain::time::Monotonic;
use crate::ports::rate::micros;

/// The two clocks may drift apart by one part in so many: 200 ppm, far more than clocks of computers
/// do that are kept at all.
const DRIFT_PARTS: u64 = 5_000;

/// The distance between our monotonic clock and the calendar's, as closely as it is known.
///
/// The calendar's clock was read between the asking and the answer, so each exchange bounds the
/// distance from both sides. The bounds of all exchanges together are as close as the quickest of
/// them; a slow one does no harm.
#[derive(Debug)]
pub(super) struct SharedClock {
    bounds: Option<Bounds>,
}

/// Calendar minus our own, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    known_at: Monotonic,
}

/// Whether an exchange fits what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// It does.
    Fits,
    /// The calendar's clock jumped, or it is another one: what was booked by it means nothing.
    Jumped,
}

impl SharedClock {
    pub(super) const fn new() -> Self {
        Self { bounds: None }
    }

    /// Learns that the calendar's clock was at `shared_us` at some instant between the two.
    pub(super) fn learn(
        &mut self,
        shared_us: u64,
        asked_at: Monotonic,
        answered_at: Monotonic,
    ) -> Learned {
        // A microsecond more on each side: both clocks were cut to whole ones.
        let seen = Bounds {
            low: difference(shared_us, answered_at).saturating_sub(1),
            high: difference(shared_us, asked_at).saturating_add(1),
            known_at: answered_at,
        };
        let Some(known) = self.bounds else {
            self.bounds = Some(seen);
            return Learned::Fits;
        };
        let elapsed = answered_at.since(known.known_at);
        let drift = i64::try_from(micros(elapsed) / DRIFT_PARTS).unwrap_or(i64::MAX);
        let low = seen.low.max(known.low.saturating_sub(drift));
        let high = seen.high.min(known.high.saturating_add(drift));
        if low > high {
            self.bounds = Some(seen);
            return Learned::Jumped;
        }
        self.bounds = Some(Bounds {
            low,
            high,
            known_at: answered_at,
        });
        Learned::Fits
    }

    /// The calendar's clock at `now`, in microseconds; 0 while nothing is known of it.
    pub(super) fn at(&self, now: Monotonic) -> u64 {
        let Some(bounds) = self.bounds else {
            return 0;
        };
        let distance = bounds.low.midpoint(bounds.high);
        micros(now.0).saturating_add_signed(distance)
    }
}

/// How long until the calendar's clock shows `shared_us`, when it shows `shared_now_us`.
pub(super) fn until(shared_us: u64, shared_now_us: u64) -> Duration {
    Duration::from_micros(shared_us.saturating_sub(shared_now_us))
}

fn difference(shared_us: u64, own: Monotonic) -> i64 {
    let [shared, own] = [shared_us, micros(own.0)].map(|at| i64::try_from(at).unwrap_or(i64::MAX));
    shared.saturating_sub(own)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Learned, SharedClock};
    use crate::domain::time::Monotonic;

    const SHARED: u64 = 1_700_000_000_000_000;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    /// What the calendar's clock shows when ours shows `millis`.
    fn shared(millis: u64) -> u64 {
        SHARED + millis * 1_000
    }

    #[test]
    fn the_quickest_exchange_counts_and_a_slow_one_does_no_harm() {
        let mut clock = SharedClock::new();
        // Each row: asked, read, answered; how far off the clock may be afterwards, in µs.
        for (asked, read, answered, off) in [
            (1_000, 1_030, 1_030, 15_000),
            (1_100, 1_101, 1_102, 1_000),
            (1_200, 1_200, 1_900, 1_000),
            (2_000, 2_700, 2_700, 1_000),
        ] {
            let learned = clock.learn(shared(read), at(asked), at(answered));
            assert_eq!(learned, Learned::Fits);
            let difference = clock.at(at(3_000)).abs_diff(shared(3_000));
            assert!(difference <= off, "{difference}");
        }
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        for jump in [3_600_000_000, 50_000] {
            let mut clock = SharedClock::new();
            let later = shared(1_001) + jump;
            assert_eq!(clock.learn(later, at(1_000), at(1_002)), Learned::Fits);
            let learned = clock.learn(shared(2_001), at(2_000), at(2_002));
            assert_eq!(learned, Learned::Jumped);
            assert!(clock.at(at(3_000)).abs_diff(shared(3_000)) <= 1_001);
        }
    }

    #[test]
    fn a_slow_drift_is_no_jump() {
        let mut clock = SharedClock::new();
        for second in 0..10_000 {
            let own = at(second * 1_000);
            // 100 ppm fast.
            let read = shared(second * 1_000) + second * 100;
            assert_eq!(clock.learn(read, own, own), Learned::Fits, "{second}");
            assert!(clock.at(own).abs_diff(read) <= 300, "{second}");
        }
    }
}
