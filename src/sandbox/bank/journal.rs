//! The double-entry journal: every posting takes from one account what it gives to another.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::money::Fen;

/// Whose money it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Account {
    /// The world outside the bank; the only account that may be overdrawn.
    Outside,
    /// The merchant's own balance, which `agreement.pay` takes from.
    Merchant,
    /// A person, by user id.
    Person(Arc<str>),
    /// The middle account of a packet, by its `out_order_no`.
    Packet(Arc<str>),
}

/// One movement of money.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    pub(super) from: Account,
    pub(super) to: Account,
    pub(super) amount: Fen,
    /// The operation that it belongs to; `None` for money that enters the bank.
    pub(super) operation: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Journal {
    balances: HashMap<Account, i128>,
    /// The operation of each posting that has one, in order.
    movements: Vec<usize>,
}

impl Journal {
    pub(super) fn new(merchant_fen: u64) -> Self {
        let merchant_fen = i128::from(merchant_fen);
        let balances = [
            (Account::Outside, -merchant_fen),
            (Account::Merchant, merchant_fen),
        ];
        Self {
            balances: HashMap::from(balances),
            movements: Vec::new(),
        }
    }

    /// The balance of an account in fen.
    pub(super) fn fen(&self, account: &Account) -> i128 {
        self.balances.get(account).copied().unwrap_or_default()
    }

    /// Takes from one account and gives to the other.
    pub(super) fn post(&mut self, posting: Posting) {
        let fen = i128::from(posting.amount.get());
        assert_ne!(posting.from, posting.to, "a posting within one account");
        let overdrawn = self.fen(&posting.from) < fen && posting.from != Account::Outside;
        assert!(!overdrawn, "a posting would overdraw an account");
        *self.balances.entry(posting.from).or_default() -= fen;
        *self.balances.entry(posting.to).or_default() += fen;
        self.movements.extend(posting.operation);
    }

    pub(super) fn balances(&self) -> impl Iterator<Item = (&Account, i128)> {
        self.balances.iter().map(|(account, fen)| (account, *fen))
    }

    /// The operation of each movement, one entry for each time that money moved.
    pub(super) fn movements(&self) -> &[usize] {
        &self.movements
    }
}
