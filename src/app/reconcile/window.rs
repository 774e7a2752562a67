//! The time that is reconciled.

use std::time::Duration;

use crate::adapters::alipay::wire::parse_timestamp_gmt8;
use crate::domain::outcome::{Outcome, Resolution};
use crate::domain::time::{UnixMillis, millis, parse_duration};

/// How far from the window a job may lie and still be found in another book: what Alipay did just
/// before the window's end may be settled just after it.
const MARGIN: Duration = Duration::from_secs(3_600);

/// From an instant up to another, which is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant.
    pub since: UnixMillis,
    /// The first instant after it.
    pub until: UnixMillis,
}

impl Window {
    pub(super) fn has(&self, at: UnixMillis) -> bool {
        self.since <= at && at < self.until
    }

    pub(super) fn is_near(&self, at: UnixMillis) -> bool {
        self.since.0 <= at.0.saturating_add(millis(MARGIN)) && at < self.until.plus(MARGIN)
    }
}

/// When the operation happened: by Alipay's word, which a bill goes by, or else when it was
/// settled.
pub(super) fn happened_at(outcome: &Outcome) -> UnixMillis {
    let said = match &outcome.resolution {
        Resolution::Succeeded { gmt_trans, .. } => gmt_trans.as_deref(),
        Resolution::Failed(_) | Resolution::Rejected(_) | Resolution::Signed(_) => None,
    };
    said.and_then(alipay_time).unwrap_or(outcome.settled_at)
}

/// Reads Alipay's spelling, `2026-11-22 10:00:01`, in GMT+8.
pub(super) fn alipay_time(text: &str) -> Option<UnixMillis> {
    parse_timestamp_gmt8(text).ok().map(UnixMillis)
}

/// Reads an instant as people write it: RFC 3339, a day in GMT+8 (`2026-11-22`), Alipay's
/// spelling, or a length of time before `now` (`24h`). `None` for anything else.
#[must_use]
pub fn parse_instant(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    if let Some(ago) = parse_duration(text) {
        return Some(UnixMillis(now.0.saturating_sub(millis(ago))));
    }
    if let Some(at) = alipay_time(text).or_else(|| alipay_time(&format!("{text} 00:00:00"))) {
        return Some(at);
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_millisecond())
        .ok()
        .map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::{Window, parse_instant};
    use crate::domain::time::UnixMillis;

    #[test]
    fn instants_are_written_in_several_ways() {
        let now = UnixMillis(1_795_312_801_000);
        for (text, expected) in [
            ("2026-11-22T10:00:01+08:00", Some(1_795_312_801_000)),
            ("2026-11-22T02:00:01Z", Some(1_795_312_801_000)),
            ("2026-11-22 10:00:01", Some(1_795_312_801_000)),
            ("2026-11-22", Some(1_795_276_800_000)),
            ("1h", Some(1_795_309_201_000)),
            ("yesterday", None),
            ("2026-13-01", None),
            ("", None),
        ] {
            assert_eq!(parse_instant(text, now), expected.map(UnixMillis), "{text}");
        }
    }

    #[test]
    fn the_end_is_no_part_of_a_window() {
        let window = Window {
            since: UnixMillis(10_000_000),
            until: UnixMillis(20_000_000),
        };
        for (at, within, near) in [
            (9_999_999, false, true),
            (10_000_000, true, true),
            (19_999_999, true, true),
            (20_000_000, false, true),
            (6_399_999, false, false),
            (23_600_000, false, false),
        ] {
            let at = UnixMillis(at);
            assert_eq!(
                (window.has(at), window.is_near(at)),
                (within, near),
                "{at:?}"
            );
        }
    }
}
