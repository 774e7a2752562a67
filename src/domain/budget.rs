//! What the spend guard counts: amounts paid out, by scope and by window of the calendar.

use std::fmt;
use std::time::Duration;

use crate::domain::time::{UnixMillis, millis};

/// Whose payments a cap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All of an app.
    App,
    /// Those of an app to one payee.
    Payee,
    /// Those of an app whose jobs have one value of a label.
    Label,
}

/// For how long a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// From a full minute to the next.
    Minute,
    /// From a full hour to the next.
    Hour,
    /// From midnight to midnight, GMT+8.
    Day,
}

/// One value of a scope, as 16 bytes that do not tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopeDigest(pub [u8; 16]);

/// What one counter of an app counts: one value of a scope in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// Whose payments.
    pub scope: Scope,
    /// Which payee or which label value; `None` for the app itself.
    pub value: Option<ScopeDigest>,
    /// How long the window is.
    pub window: Window,
    /// When it begins.
    pub starts_at: UnixMillis,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::App, Self::Payee, Self::Label];

    /// The scope's word: of keys, event ids and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Payee => "payee",
            Self::Label => "label",
        }
    }
}

/// GMT+8 is the whole calendar: China has no summer time.
const GMT8: Duration = Duration::from_secs(8 * 3_600);

impl Window {
    /// Every window, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The window's word: of keys, event ids and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(24 * 3_600),
        }
    }

    /// When the window begins that `now` is in.
    #[must_use]
    pub fn start(self, now: UnixMillis) -> UnixMillis {
        let local = now.0.saturating_add(millis(GMT8));
        let into = local.checked_rem(millis(self.length())).unwrap_or(0);
        UnixMillis(now.0.saturating_sub(into))
    }
}

impl Counter {
    /// When the window ends, which is when the next one begins.
    #[must_use]
    pub fn ends_at(&self) -> UnixMillis {
        self.starts_at.plus(self.window.length())
    }
}

impl fmt::Display for ScopeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Counter {
    /// Writes `app:day:1795276800`, with the digest in between where there is one; the number is the
    /// start in Unix seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, window) = (self.scope.as_str(), self.window.as_str());
        let seconds = self.starts_at.0 / 1_000;
        match self.value {
            None => write!(f, "{scope}:{window}:{seconds}"),
            Some(value) => write!(f, "{scope}:{value}:{window}:{seconds}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Scope, ScopeDigest, Window};
    use crate::domain::time::UnixMillis;

    /// 2026-11-22T10:00:01.234+08:00.
    const NOW: UnixMillis = UnixMillis(1_795_312_801_234);
    /// 2026-11-22T00:00:00+08:00.
    const MIDNIGHT: u64 = 1_795_276_800_000;

    #[test]
    fn windows_are_those_of_the_calendar_in_gmt_8() {
        for (window, now, start) in [
            (Window::Minute, NOW.0, 1_795_312_800_000),
            (Window::Hour, NOW.0, 1_795_312_800_000),
            (Window::Day, NOW.0, MIDNIGHT),
            (Window::Day, MIDNIGHT, MIDNIGHT),
            (Window::Day, MIDNIGHT - 1, MIDNIGHT - 86_400_000),
            (Window::Hour, MIDNIGHT - 1, MIDNIGHT - 3_600_000),
            (Window::Minute, MIDNIGHT + 59_999, MIDNIGHT),
            (Window::Minute, MIDNIGHT + 60_000, MIDNIGHT + 60_000),
            (Window::Day, 0, 0),
        ] {
            assert_eq!(window.start(UnixMillis(now)).0, start, "{window:?} {now}");
        }
    }

    #[test]
    fn a_counter_is_spelled_by_scope_digest_window_and_start() {
        let mut counter = Counter {
            scope: Scope::App,
            value: None,
            window: Window::Day,
            starts_at: UnixMillis(MIDNIGHT),
        };
        assert_eq!(counter.to_string(), "app:day:1795276800");
        assert_eq!(counter.ends_at().0, MIDNIGHT + 86_400_000);
        counter.scope = Scope::Payee;
        counter.value = Some(ScopeDigest([0xab; 16]));
        let digest = "ab".repeat(16);
        assert_eq!(
            counter.to_string(),
            format!("payee:{digest}:day:1795276800")
        );
    }
}
