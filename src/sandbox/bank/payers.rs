//! The people who can pay, and how a person pays an order that waits for it.

use std::sync::Arc;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::journal::{Account, Journal, Posting};
use crate::sandbox::bank::{Bank, Details, Effect, OrderRef, Origin, Receipt, Status};

/// The user who pays for packets that were opened through the console; never short of money.
pub const PERSON_USER_ID: &str = "2088101000000001";

/// An account that can pay on the phone and at the cashier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestPayer {
    /// Alipay's number of the user.
    pub user_id: &'static str,
    /// The logon id, which is shown masked.
    pub logon_id: &'static str,
    /// What the user owns at the start, in fen; `None`: whatever is needed.
    pub fen: Option<u64>,
}

/// The accounts that can pay on the phone and at the cashier.
pub const TEST_PAYERS: [TestPayer; 3] = [
    TestPayer {
        user_id: PERSON_USER_ID,
        logon_id: "13800000001",
        fen: None,
    },
    TestPayer {
        user_id: "2088101000000002",
        logon_id: "13800000002",
        fen: Some(10_000),
    },
    TestPayer {
        user_id: "2088101000000003",
        logon_id: "broke@example.com",
        fen: Some(1),
    },
];

/// An order as the cashier shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its pay operation.
    pub details: Details,
    /// Whether a person can pay it now.
    pub waits_for_person: bool,
    /// When it closes unpaid.
    pub pay_until: UnixMillis,
    /// The call that opened it.
    pub origin: Option<Arc<Origin>>,
}

/// Why a person cannot pay an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// No such order, or not one that waits for a person.
    #[error("there is no such order to be paid")]
    NoOrder,
    /// It is paid.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// It is closed.
    #[error("the order is closed")]
    Closed,
    /// Not one of the test accounts.
    #[error("there is no such payer")]
    NoPayer,
    /// The payer owns less.
    #[error("the payer's balance is too low")]
    BalanceTooLow,
}

/// Gives the payers what they own at the start.
pub(super) fn funded(mut journal: Journal) -> Journal {
    for payer in TEST_PAYERS {
        if let Some(amount) = payer.fen.and_then(Fen::new) {
            journal.post(Posting {
                from: Account::Outside,
                to: Account::Person(Arc::from(payer.user_id)),
                amount,
                operation: None,
            });
        }
    }
    journal
}

/// Whose money a payer's is; everybody else is taken for the merchant.
pub(super) fn account_of(payer: &str) -> Account {
    if TEST_PAYERS.iter().any(|known| known.user_id == payer) {
        Account::Person(Arc::from(payer))
    } else {
        Account::Merchant
    }
}

impl Bank {
    /// Lets a person pay an order that waits for one; with [`Effect::At`] the money moves then,
    /// unless the order closes before.
    ///
    /// # Errors
    ///
    /// [`PayError`]; then nothing moved.
    pub fn pay_order(
        &mut self,
        order: &OrderRef,
        payer: &str,
        effect: Effect,
        now: UnixMillis,
    ) -> Result<Receipt, PayError> {
        self.advance(now);
        let (packet, operation) = self.waiting_order(order)?;
        let known = TEST_PAYERS.iter().find(|known| known.user_id == payer);
        let known = known.ok_or(PayError::NoPayer)?;
        let balance = self.journal.fen(&account_of(payer));
        if known.fen.is_some() && balance < i128::from(self.packet(packet).amount.get()) {
            return Err(PayError::BalanceTooLow);
        }
        match effect {
            Effect::At(instant) if instant > now => {
                self.packet_mut(packet).payer = Some(Arc::from(payer));
                self.due.insert((instant, operation));
            }
            Effect::At(_) | Effect::Now => self.fill(operation, payer, now),
        }
        Ok(self.receipt(operation))
    }

    /// Closes an order that waits for a person.
    ///
    /// # Errors
    ///
    /// [`PayError`] when it does not wait.
    pub fn close_order(&mut self, order: &OrderRef, now: UnixMillis) -> Result<(), PayError> {
        self.advance(now);
        let (_, operation) = self.waiting_order(order)?;
        self.close(operation);
        Ok(())
    }

    /// An order for the cashier; `None` if there is no such pay order.
    pub fn checkout(&mut self, order: &OrderRef, now: UnixMillis) -> Option<Checkout> {
        self.advance(now);
        let packet = self.packet_of(order).ok()?;
        let operation = self.orders[packet].first;
        Some(Checkout {
            details: self.details(operation),
            waits_for_person: self.waiting_order(order).is_ok(),
            pay_until: self.packet(packet).pay_until,
            origin: self.operations[operation].origin.clone(),
        })
    }

    /// What a payer owns, in fen.
    #[must_use]
    pub fn payer_fen(&self, payer: &str) -> i128 {
        self.journal.fen(&account_of(payer))
    }

    /// Lets `payer`, who has enough, fill the packet.
    pub(super) fn fill(&mut self, operation: usize, payer: &str, now: UnixMillis) {
        let packet = self.operations[operation].packet;
        self.packet_mut(packet).payer = Some(Arc::from(payer));
        self.complete(operation, now);
    }

    /// The packet and the pay operation of an order that waits for a person.
    fn waiting_order(&self, order: &OrderRef) -> Result<(usize, usize), PayError> {
        let packet = self.packet_of(order).map_err(|_other| PayError::NoOrder)?;
        let operation = self.orders[packet].first;
        let awaits_person = self.operations[operation].command.awaits_person();
        let packet_state = self.packet(packet);
        match packet_state.status {
            _ if !awaits_person => Err(PayError::NoOrder),
            Status::Init if packet_state.payer.is_some() => Err(PayError::AlreadyPaid),
            Status::Init => Ok((packet, operation)),
            Status::Success => Err(PayError::AlreadyPaid),
            Status::Closed => Err(PayError::Closed),
        }
    }
}
