//! Instants and lengths of time as values and as text; nothing here reads a clock.

use std::time::Duration;

/// An instant of the wall clock, in milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The instant `length` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(millis(length)))
    }

    /// How long `self` is after `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// An instant of this process's monotonic clock, as the length of time since its start.
///
/// It is never stored and never compared with another process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The instant `length` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }

    /// How long `self` is after `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A length of time in whole milliseconds; saturates.
#[must_use]
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// The units of a written length of time, in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a length of time such as `30s`: digits and one of the units ms, s, m, h, d.
///
/// `None` for any other spelling, and for a number above `u64::MAX`; what is longer than `u64::MAX`
/// milliseconds counts as that.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits_end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_end);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let count: u64 = digits.parse().ok()?;
    Some(Duration::from_millis(count.saturating_mul(*unit_ms)))
}

/// Writes a length of time as [`parse_duration`] reads it, in the longest unit that is exact. What is
/// below a millisecond is cut off.
#[must_use]
pub fn format_duration(length: Duration) -> String {
    let length_ms = millis(length);
    let exact =
        |(_, unit_ms): &&(&str, u64)| length_ms >= *unit_ms && length_ms.is_multiple_of(*unit_ms);
    let (unit, unit_ms) = UNITS.iter().find(exact).unwrap_or(&("s", 1_000));
    format!("{}{unit}", length_ms.div_euclid(*unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_digits_and_a_unit() {
        for (text, expected_ms) in [
            ("0ms", Some(0)),
            ("1000ms", Some(1_000)),
            ("2s", Some(2_000)),
            ("4m", Some(240_000)),
            ("48h", Some(172_800_000)),
            ("007d", Some(604_800_000)),
            ("18446744073709551615d", Some(u64::MAX)),
            ("18446744073709551616ms", None),
            ("1", None),
            ("h", None),
            ("", None),
            ("+1h", None),
            ("-1h", None),
            ("1.5s", None),
            ("1 s", None),
            ("1S", None),
            ("1w", None),
            ("１s", None),
        ] {
            let expected = expected_ms.map(Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_written_in_the_longest_exact_unit() {
        for (ms, text) in [
            (0, "0s"),
            (1_500, "1500ms"),
            (25_000, "25s"),
            (90_000, "90s"),
            (60_000, "1m"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)));
        }
    }
}
