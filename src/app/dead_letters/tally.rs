//! How many letters, and how much money, by reason.

use std::collections::BTreeMap;

use crate::app::dead_letters::letter::Letter;
use crate::domain::money::Sum;

/// The most reasons that are counted apart; there are about ten.
const REASONS_MAX: usize = 64;

/// Where the others are counted.
const OTHERS: &str = "others";

/// Letters and their money, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The parts, in the order of their reasons' names.
    pub by_reason: BTreeMap<String, Share>,
    /// All of them.
    pub all: Share,
}

/// Some letters and their money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub letters: u64,
    /// What those are to move whose amount can be read.
    pub amount: Sum,
    /// Of how many it cannot be read, or there is none: queries, and what is no valid job.
    pub without_amount: u64,
}

impl Tally {
    pub(super) fn add(&mut self, letter: &Letter) {
        self.all.add(letter);
        let is_known = self.by_reason.contains_key(&letter.reason);
        let reason = if is_known || self.by_reason.len() < REASONS_MAX {
            letter.reason.as_str()
        } else {
            OTHERS
        };
        self.by_reason
            .entry(reason.to_owned())
            .or_default()
            .add(letter);
    }
}

impl Share {
    fn add(&mut self, letter: &Letter) {
        self.letters = self.letters.saturating_add(1);
        match letter.amount {
            Some(amount) => self.amount.add(amount),
            None => self.without_amount = self.without_amount.saturating_add(1),
        }
    }
}
