//! Chance, but the same for the same seed.
//!
//! Which call goes wrong does not depend on the order of arrival: each draw is made from the
//! seed, the number that the call is about, and how often that number was called. So one seed
//! gives the same faults for the same jobs, however many workers race.

use std::collections::{BTreeMap, HashMap};

use crate::sandbox::faults::{Fault, Faults};

/// A call that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mishap {
    pub(crate) fault: Fault,
    /// Which of a fault's two forms, where it has two.
    pub(crate) side: Side,
}

/// Whether a two-formed fault comes after the money has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    WithEffect,
    WithoutEffect,
}

/// Whether a call moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Money,
    Query,
}

/// Draws the faults and counts them.
#[derive(Debug)]
pub(crate) struct FaultDice {
    seed: u64,
    faults: Faults,
    histories: HashMap<u64, History>,
    injected: BTreeMap<Fault, u64>,
}

#[derive(Debug, Default)]
struct History {
    calls: u64,
    faults: u32,
}

impl FaultDice {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            seed,
            faults,
            histories: HashMap::new(),
            injected: BTreeMap::new(),
        }
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn set(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// How often each fault was injected.
    pub(crate) fn injected(&self) -> &BTreeMap<Fault, u64> {
        &self.injected
    }

    /// Draws for one call; `number` is all that names the operation, method included.
    pub(crate) fn draw(&mut self, kind: CallKind, number: &[&str]) -> Option<Mishap> {
        let mine = |fault: &Fault| match kind {
            CallKind::Money => *fault != Fault::QueryUnknown,
            CallKind::Query => *fault == Fault::QueryUnknown,
        };
        let candidates = || Fault::ALL.into_iter().filter(mine);
        if candidates().all(|fault| self.faults.permille(fault) == 0) {
            return None;
        }
        let key = fnv(number);
        let history = self.histories.entry(key).or_default();
        let draw = xorshift(self.seed ^ key, history.calls);
        history.calls += 1;
        if history.faults >= self.faults.faults_per_number_max {
            return None;
        }
        let mut left = draw % 1000;
        for fault in candidates() {
            let share = u64::from(self.faults.permille(fault));
            if left < share {
                history.faults += 1;
                *self.injected.entry(fault).or_default() += 1;
                let side = if draw >> 63 == 0 {
                    Side::WithEffect
                } else {
                    Side::WithoutEffect
                };
                return Some(Mishap { fault, side });
            }
            left -= share;
        }
        None
    }
}

/// FNV-1a over the parts and their boundaries.
fn fnv(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The `nth` draw of a generator: xorshift64*, three rounds, so that near seeds part.
fn xorshift(seed: u64, nth: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (seed ^ nth.wrapping_add(1).wrapping_mul(GOLDEN)).max(1);
    for _ in 0..3 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::{CallKind, Fault, FaultDice, Faults};

    fn draws(seed: u64, faults: &Faults, numbers: u32) -> Vec<Option<Fault>> {
        let mut dice = FaultDice::new(seed, faults.clone());
        let numbers = (0..numbers).map(|number| number.to_string());
        numbers
            .map(|number| dice.draw(CallKind::Money, &["disburse", &number]))
            .map(|mishap| mishap.map(|mishap| mishap.fault))
            .collect()
    }

    #[test]
    fn one_seed_gives_the_same_faults_and_another_gives_others() {
        let faults = Faults {
            limited_permille: 300,
            unknown_with_effect_permille: 300,
            ..Faults::default()
        };
        assert_eq!(draws(7, &faults, 200), draws(7, &faults, 200));
        assert_ne!(draws(7, &faults, 200), draws(8, &faults, 200));
    }

    #[test]
    fn shares_come_out_about_as_asked() {
        let faults = Faults {
            limited_permille: 100,
            html_error_page_permille: 300,
            ..Faults::default()
        };
        let draws = draws(1, &faults, 10_000);
        let count = |wanted| draws.iter().filter(|draw| **draw == wanted).count();
        assert!((800..1_200).contains(&count(Some(Fault::Limited))));
        assert!((2_700..3_300).contains(&count(Some(Fault::HtmlErrorPage))));
        assert!((5_600..6_400).contains(&count(None)));
    }

    #[test]
    fn a_number_suffers_no_more_faults_than_allowed_and_queries_none_of_money_calls() {
        let faults = Faults {
            limited_permille: 1000,
            ..Faults::default()
        };
        let mut dice = FaultDice::new(1, faults);
        let suffered = (0..10).filter_map(|_| dice.draw(CallKind::Money, &["1"]));
        assert_eq!(suffered.count(), 3);
        assert_eq!(dice.draw(CallKind::Query, &["2"]), None);
        assert_eq!(dice.injected().get(&Fault::Limited), Some(&3));
    }
}
