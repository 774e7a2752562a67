//! Alipay's timestamps: `yyyy-MM-dd HH:mm:ss`, GMT+8 whatever the server's own zone is.
//!
//! Source: Alipay open platform, public request parameters; the Java SDK sets the zone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, offset};

/// China Standard Time, which has no summer time.
const GMT8: Offset = offset(8);

const PATTERN: &str = "%Y-%m-%d %H:%M:%S";

/// A text that is no Alipay timestamp of 1970 or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp of the form yyyy-MM-dd HH:mm:ss")]
pub struct TimestampError;

/// Returns the second that `unix_millis` (milliseconds since 1970, UTC) lies in, in GMT+8.
///
/// Instants beyond the year 9999 become its last representable second.
#[must_use]
pub fn timestamp_gmt8(unix_millis: u64) -> String {
    let instant = i64::try_from(unix_millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX);
    GMT8.to_datetime(instant).strftime(PATTERN).to_string()
}

/// Returns the milliseconds since 1970, UTC, of a timestamp in GMT+8; always whole seconds.
///
/// # Errors
///
/// Returns [`TimestampError`] for any other spelling, for dates that do not exist and for
/// instants before 1970.
pub fn parse_timestamp_gmt8(text: &str) -> Result<u64, TimestampError> {
    let local = DateTime::strptime(PATTERN, text).map_err(|_reason| TimestampError)?;
    // The parser takes liberties, with missing zeros for example.
    if local.strftime(PATTERN).to_string() != text {
        return Err(TimestampError);
    }
    let instant = GMT8.to_timestamp(local).map_err(|_range| TimestampError)?;
    u64::try_from(instant.as_millisecond()).map_err(|_negative| TimestampError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps_are_in_gmt8() {
        let rows = [
            (0, "1970-01-01 08:00:00"),
            (999, "1970-01-01 08:00:00"),
            (57_600_000, "1970-01-02 00:00:00"),
            (1_709_136_000_000, "2024-02-29 00:00:00"),
            (1_795_312_801_234, "2026-11-22 10:00:01"),
        ];
        for (unix_millis, text) in rows {
            assert_eq!(timestamp_gmt8(unix_millis), text);
            let seconds = unix_millis / 1000 * 1000;
            assert_eq!(parse_timestamp_gmt8(text), Ok(seconds));
        }
        assert_eq!(timestamp_gmt8(u64::MAX), "9999-12-31 06:00:00");
    }

    #[test]
    fn other_spellings_are_refused() {
        let rows = [
            "",
            "2026-11-22",
            "2026-11-22T10:00:01",
            "2026-1-2 3:4:5",
            "2026-02-29 00:00:00",
            "2026-11-22 24:00:00",
            "2026-11-22 10:00:60",
            "2026-11-22 10:00:01.5",
            " 2026-11-22 10:00:01",
            "2026-11-22 10:00:01 ",
            "1970-01-01 07:59:59",
            "-2026-11-22 10:00:01",
        ];
        for text in rows {
            assert_eq!(parse_timestamp_gmt8(text), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_seconds_survive(seconds in 0_u64..253_402_000_000) {
            let text = timestamp_gmt8(seconds * 1000);
            prop_assert_eq!(text.len(), 19);
            prop_assert_eq!(parse_timestamp_gmt8(&text), Ok(seconds * 1000));
        }
    }
}
