//! The rungs of the retry ladder: how long a copy may wait, and in which queue.

use std::time::Duration;

use crate::domain::time::millis;

/// Most rungs that come from the multiplier: a multiplier hardly above 1 must not make a thousand
/// queues.
const GROWING_RUNGS_MAX: usize = 40;

/// Above the growing rungs: for what waits on people.
const LONG_RUNGS: [Duration; 2] = [
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// One rung: a queue in which every message waits equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// How long a message waits, in whole milliseconds.
    pub delay: Duration,
    /// `500ms`, `64s`, `17m`, `1h`, `1d`: the last part of the queue's name.
    pub name: String,
}

/// The rungs, shortest first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// Makes the ladder from `delay_min`, growing by `multiplier_permille` (2000 doubles) up to
    /// `delay_max`, which is the last of these; then an hour and a day.
    ///
    /// Delays are whole milliseconds, at least one; a multiplier that does not grow gives
    /// `delay_min` and `delay_max` alone.
    #[must_use]
    pub fn new(delay_min: Duration, delay_max: Duration, multiplier_permille: u32) -> Self {
        let last = millis(delay_max).max(1);
        let mut next = millis(delay_min).clamp(1, last);
        let mut delays = Vec::new();
        while next < last && delays.len() < GROWING_RUNGS_MAX {
            delays.push(next);
            let grown = next.saturating_mul(u64::from(multiplier_permille)) / 1000;
            next = if grown > next { grown.min(last) } else { last };
        }
        delays.push(last);
        delays.extend(LONG_RUNGS.map(millis));
        delays.sort_unstable();
        delays.dedup();
        let rungs = delays
            .into_iter()
            .map(|delay_ms| Rung {
                delay: Duration::from_millis(delay_ms),
                name: name(delay_ms),
            })
            .collect();
        Self { rungs }
    }

    /// Every rung, shortest first.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// The index of the shortest rung that waits at least `delay`; of the longest when none does.
    #[must_use]
    pub fn rung_for(&self, delay: Duration) -> usize {
        self.rungs
            .partition_point(|rung| rung.delay < delay)
            .min(self.rungs.len().saturating_sub(1))
    }
}

/// Writes a delay in the largest unit that divides it.
fn name(delay_ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    UNITS
        .iter()
        .find(|(length, _)| delay_ms.is_multiple_of(*length))
        .map_or_else(
            || format!("{delay_ms}ms"),
            |(length, unit)| format!("{}{unit}", delay_ms / length),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(delay_min_ms: u64, delay_max_ms: u64, multiplier_permille: u32) -> Vec<String> {
        let ladder = Ladder::new(
            Duration::from_millis(delay_min_ms),
            Duration::from_millis(delay_max_ms),
            multiplier_permille,
        );
        ladder
            .rungs()
            .iter()
            .map(|rung| rung.name.clone())
            .collect()
    }

    #[test]
    fn the_default_ladder_doubles_up_to_17_minutes() {
        let expected = [
            "500ms", "1s", "2s", "4s", "8s", "16s", "32s", "64s", "128s", "256s", "512s", "17m",
            "1h", "1d",
        ];
        assert_eq!(names(500, 17 * 60_000, 2_000), expected);
    }

    #[test]
    fn every_ladder_ends_and_holds_its_bounds() {
        let table: [(u64, u64, u32, &[&str]); 5] = [
            (1_000, 4_000, 3_000, &["1s", "3s", "4s", "1h", "1d"]),
            (500, 500, 2_000, &["500ms", "1h", "1d"]),
            (500, 2_000, 1_000, &["500ms", "2s", "1h", "1d"]),
            (0, 0, 0, &["1ms", "1h", "1d"]),
            (3_600_000, 172_800_000, 10_000, &["1h", "10h", "1d", "2d"]),
        ];
        for (min, max, permille, expected) in table {
            assert_eq!(
                names(min, max, permille),
                expected,
                "{min} {max} {permille}"
            );
        }
        assert!(names(1, 1_000_000, 1_001).len() <= GROWING_RUNGS_MAX + 3);
    }

    #[test]
    fn a_delay_takes_the_shortest_rung_that_is_long_enough() {
        let ladder = Ladder::new(
            Duration::from_millis(500),
            Duration::from_secs(1_020),
            2_000,
        );
        for (delay_ms, expected) in [
            (0, "500ms"),
            (500, "500ms"),
            (501, "1s"),
            (1_000, "1s"),
            (513_000, "17m"),
            (1_020_001, "1h"),
            (3_600_001, "1d"),
            (999_999_999, "1d"),
        ] {
            let rung = ladder.rung_for(Duration::from_millis(delay_ms));
            assert_eq!(ladder.rungs()[rung].name, expected, "{delay_ms} ms");
        }
    }
}
