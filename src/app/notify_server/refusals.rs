//! Log lines about what is refused: the first of a kind at once, the rest summed up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::app::metrics::NotificationResult;
use crate::domain::ident::AppName;
use crate::domain::time::Monotonic;

/// How often one app's refusals of one kind are logged at most: a flood must not fill the logs.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// How many refusals were not logged since the last that was. Bounded: words of a closed list, and
/// configured apps.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(Option<AppName>, &'static str), Silence>>);

#[derive(Debug)]
struct Silence {
    logged_at: Monotonic,
    unlogged: u64,
}

impl Refusals {
    /// Logs what became of a request, unless it was logged just now. Only words: nothing that came
    /// with the request.
    pub(super) fn log(&self, app: Option<&AppName>, result: NotificationResult, now: Monotonic) {
        if let NotificationResult::Noted(_) = result {
            return;
        }
        let reason = result.as_str();
        if let Some(unlogged) = self.due(app, reason, now) {
            let app = app.map_or("(none)", AppName::as_str);
            tracing::warn!(app, reason, unlogged, "a notification is not taken");
        }
    }

    /// How many were not logged before, if this one is to be.
    fn due(&self, app: Option<&AppName>, reason: &'static str, now: Monotonic) -> Option<u64> {
        // No code panics while it holds the lock, so a poisoned map is whole.
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = refusals.get_mut(&(app.cloned(), reason));
        let Some(silence) = silence else {
            let silence = Silence {
                logged_at: now,
                unlogged: 0,
            };
            refusals.insert((app.cloned(), reason), silence);
            return Some(0);
        };
        if now.since(silence.logged_at) < LOG_PERIOD {
            silence.unlogged = silence.unlogged.saturating_add(1);
            return None;
        }
        silence.logged_at = now;
        Some(std::mem::take(&mut silence.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;
    use crate::domain::ident::AppName;
    use crate::domain::time::Monotonic;
    use std::time::Duration;

    #[test]
    fn the_first_of_a_kind_is_logged_at_once_and_the_rest_once_a_minute() {
        let refusals = Refusals::default();
        let app = AppName::new("main").unwrap();
        for (second, app, reason, due) in [
            (0, Some(&app), "forged", Some(0)),
            (0, Some(&app), "unsigned", Some(0)),
            (0, None, "forged", Some(0)),
            (1, Some(&app), "forged", None),
            (59, Some(&app), "forged", None),
            (60, Some(&app), "forged", Some(2)),
            (61, Some(&app), "forged", None),
            (61, Some(&app), "unsigned", Some(0)),
        ] {
            let now = Monotonic(Duration::from_secs(second));
            assert_eq!(refusals.due(app, reason, now), due, "{second} s, {reason}");
        }
    }
}
