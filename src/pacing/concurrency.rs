//! How many calls may be in flight: additive increase, multiplicative decrease.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::time::Monotonic;

/// The limit is halved at most this often. Calls that were already on their way when the gateway
/// began to choke fail together; they are one piece of news.
const DECREASE_INTERVAL: Duration = Duration::from_secs(1);

/// An adaptive limit of the calls in flight.
///
/// It begins at the floor. Each answer raises it by one until the first sign of overload, which
/// doubles it every round trip; from then on `limit` answers raise it by one, which is one every
/// round trip. A sign of overload halves it. An answer counts only while at least half of the
/// limit is in use, so that a quiet hour proves nothing.
#[derive(Debug)]
pub(super) struct Limit {
    floor: u32,
    ceiling: u32,
    limit: u32,
    /// Answers since the last increase.
    answers: u32,
    decreased_at: Option<Monotonic>,
}

impl Limit {
    /// Makes a limit between `floor` and `ceiling`; a ceiling below the floor counts as the floor.
    pub(super) fn new(floor: NonZeroU32, ceiling: NonZeroU32) -> Self {
        Self {
            floor: floor.get(),
            ceiling: ceiling.get().max(floor.get()),
            limit: floor.get(),
            answers: 0,
            decreased_at: None,
        }
    }

    /// The limit, from the floor to the ceiling.
    pub(super) fn get(&self) -> u32 {
        self.limit
    }

    /// Learns that a call was answered while `in_flight` calls, itself included, were in flight.
    pub(super) fn answered(&mut self, in_flight: u32) {
        if in_flight.saturating_mul(2) < self.limit {
            return;
        }
        self.answers = self.answers.saturating_add(1);
        if self.decreased_at.is_none() || self.answers >= self.limit {
            self.limit = self.limit.saturating_add(1).min(self.ceiling);
            self.answers = 0;
        }
    }

    /// Learns of a timeout or of an answer that says "too much".
    pub(super) fn overloaded(&mut self, now: Monotonic) {
        let decreased_lately = self
            .decreased_at
            .is_some_and(|at| now.since(at) < DECREASE_INTERVAL);
        if decreased_lately {
            return;
        }
        self.decreased_at = Some(now);
        self.answers = 0;
        self.limit = (self.limit / 2).max(self.floor);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::{prop, proptest};
    use proptest::{prop_assert, prop_assert_eq};

    use super::Limit;
    use crate::domain::time::Monotonic;

    fn limit(floor: u32, ceiling: u32) -> Limit {
        Limit::new(
            NonZeroU32::new(floor).unwrap(),
            NonZeroU32::new(ceiling).unwrap(),
        )
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn it_doubles_every_round_trip_until_the_first_overload_then_adds_one() {
        let mut limit = limit(4, 256);
        for expected in [8, 16, 32, 64] {
            for _ in 0..limit.get() {
                limit.answered(limit.get());
            }
            assert_eq!(limit.get(), expected);
        }
        limit.overloaded(at(10));
        assert_eq!(limit.get(), 32);
        for expected in [33, 34, 35] {
            for _ in 0..limit.get() {
                limit.answered(limit.get());
            }
            assert_eq!(limit.get(), expected);
        }
    }

    #[test]
    fn signs_of_overload_within_one_second_halve_it_once() {
        let mut limit = limit(4, 256);
        for _ in 0..252 {
            limit.answered(limit.get());
        }
        for (now, expected) in [
            (0, 128),
            (1, 128),
            (999, 128),
            (1_000, 64),
            (1_999, 64),
            (2_000, 32),
        ] {
            limit.overloaded(at(now));
            assert_eq!(limit.get(), expected, "at {now} ms");
        }
    }

    #[test]
    fn answers_of_a_lane_in_less_than_half_use_do_not_raise_it() {
        let mut limit = limit(4, 256);
        for _ in 0..100 {
            limit.answered(1);
        }
        assert_eq!(limit.get(), 4);
        limit.answered(2);
        assert_eq!(limit.get(), 5);
    }

    #[test]
    fn a_ceiling_below_the_floor_counts_as_the_floor() {
        let mut limit = limit(8, 2);
        limit.answered(8);
        assert_eq!(limit.get(), 8);
    }

    proptest! {
        #[test]
        fn the_floor_and_the_ceiling_are_kept(
            floor in 1_u32..50,
            room in 0_u32..50,
            news in prop::collection::vec((0_u64..2_000, 0_u8..4), 0..500),
        ) {
            let mut limit = limit(floor, floor + room);
            let mut now = 0;
            for (step_ms, which) in news {
                now += step_ms;
                let before = limit.get();
                if which == 0 {
                    limit.overloaded(at(now));
                    prop_assert!(limit.get() >= (before / 2).max(floor));
                } else {
                    limit.answered(limit.get());
                    prop_assert!(limit.get() == before || limit.get() == before + 1);
                }
                prop_assert!((floor..=floor + room).contains(&limit.get()));
            }
            for _ in 0..(floor + room) * (room + 1) {
                limit.answered(limit.get());
            }
            prop_assert_eq!(limit.get(), floor + room);
        }
    }
}
