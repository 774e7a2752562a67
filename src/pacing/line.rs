//! Those who wait for a slot and a token: one line per rank and method, fair among the parties of the
//! rank. Pure: nothing here waits or reads a clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::pacing::Party;
use crate::pacing::lane::Waiter;

/// A place in a line. In each round every party that waits has one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    round: u64,
    /// Who came first, among those of one round.
    ticket: u64,
}

/// Those who wait, in the order in which they are served.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Turn, Arc<Waiter>>,
    parties: HashMap<Party, Standing>,
    /// The round that is being served.
    round: u64,
}

/// How a party that waits stands.
#[derive(Debug)]
struct Standing {
    waiting: usize,
    last_round: u64,
}

impl Line {
    /// The place of somebody new: a round behind the last of its own party, or the next round.
    pub(super) fn turn(&mut self, ticket: u64, party: Party) -> Turn {
        let served = self.round;
        let standing = self.parties.entry(party).or_insert(Standing {
            waiting: 0,
            last_round: served,
        });
        standing.waiting = standing.waiting.saturating_add(1);
        standing.last_round = standing.last_round.saturating_add(1);
        Turn {
            round: standing.last_round,
            ticket,
        }
    }

    /// Puts in whoever got `turn` from [`Line::turn`].
    pub(super) fn push(&mut self, turn: Turn, waiter: Arc<Waiter>) {
        self.waiting.insert(turn, waiter);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn first(&self) -> Option<&Arc<Waiter>> {
        self.waiting.first_key_value().map(|(_, waiter)| waiter)
    }

    /// Takes out whoever is first, to be served.
    pub(super) fn pop(&mut self) -> Option<Arc<Waiter>> {
        let (turn, waiter) = self.waiting.pop_first()?;
        self.round = turn.round;
        self.forget(waiter.party());
        Some(waiter)
    }

    /// Takes out whoever gave up.
    pub(super) fn leave(&mut self, turn: Turn) {
        if let Some(waiter) = self.waiting.remove(&turn) {
            self.forget(waiter.party());
        }
    }

    /// Takes out everybody.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Waiter>> + use<> {
        self.parties.clear();
        std::mem::take(&mut self.waiting).into_values()
    }

    fn forget(&mut self, party: Party) {
        if let Some(standing) = self.parties.get_mut(&party) {
            standing.waiting = standing.waiting.saturating_sub(1);
            if standing.waiting == 0 {
                self.parties.remove(&party);
            }
        }
    }
}
