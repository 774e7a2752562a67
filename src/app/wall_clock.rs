//! The time of day for whoever is handed a clock and may not read one.

use crate::adapters::clock::SystemClock;
use crate::domain::time::UnixMillis;
use crate::ports::clock::Clock;

/// Returns the present instant of this machine's wall clock.
#[must_use]
pub fn now() -> UnixMillis {
    SystemClock::new().now()
}

/// Returns the day of an instant in Unix seconds, in UTC: `2026-11-22`.
#[must_use]
pub fn date(unix_seconds: i64) -> String {
    match jiff::Timestamp::from_second(unix_seconds) {
        Ok(instant) => instant.strftime("%Y-%m-%d").to_string(),
        // Beyond the year 9999, which RFC 5280 4.1.2.5 takes for "never".
        Err(_) => "9999-12-31".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_those_of_utc() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_795_312_801), "2026-11-22");
        assert_eq!(date(i64::MAX), "9999-12-31");
    }
}
