//! Which codes that no list has were logged already.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most codes that are remembered; what a flood of made-up ones brings is counted only.
const CODES_MAX: usize = 256;

/// Codes that were logged, for as long as the process lives.
#[derive(Default)]
pub(super) struct LoggedCodes(Mutex<BTreeSet<String>>);

impl LoggedCodes {
    /// Tells whether this pair is to be logged: at its first time, while there is room.
    pub(super) fn is_first(&self, code: &str, sub_code: &str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < CODES_MAX && logged.insert(format!("{code} {sub_code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES_MAX, LoggedCodes};

    #[test]
    fn each_code_is_logged_once_and_a_flood_is_not() {
        let logged = LoggedCodes::default();
        assert!(logged.is_first("40004", "NEW"));
        assert!(!logged.is_first("40004", "NEW"));
        assert!(logged.is_first("40002", "NEW"));
        let flood = (0..1_000).filter(|n| logged.is_first("40004", &format!("N{n}")));
        assert_eq!(flood.count(), CODES_MAX - 2);
        assert!(!logged.is_first("40004", "ONE_MORE"));
    }
}
