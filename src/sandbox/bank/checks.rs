//! Whether the bank would do what a command asks. Nothing here changes anything.

use crate::domain::money::Fen;
use crate::sandbox::bank::payers::account_of;
use crate::sandbox::bank::{
    Bank, Command, OrderRef, PERSON_USER_ID, Payee, Payer, Refusal, Role, Status, What,
};

impl Bank {
    /// Returns the new order and its packet, which are one.
    pub(super) fn check_pay(&self, command: &Command) -> Result<(usize, usize), Refusal> {
        if let What::Pay {
            payer: Payer::Agreement(payer),
            ..
        } = &command.what
        {
            if payer.starts_with("20880000") {
                return Err(Refusal::PayerNotExist);
            }
            if payer.starts_with("20889999") {
                return Err(Refusal::PayerUserStatusLimit);
            }
            let balance = self.journal.fen(&account_of(payer));
            if &**payer != PERSON_USER_ID && balance < i128::from(command.amount.get()) {
                return Err(Refusal::MoneyNotEnough);
            }
        }
        let order = self.orders.len();
        Ok((order, order))
    }

    /// Returns the new order and the packet that pays.
    pub(super) fn check_disburse(&self, command: &Command) -> Result<(usize, usize), Refusal> {
        let What::Disburse { packet, payee, .. } = &command.what else {
            return Err(Refusal::IllegalArgument);
        };
        let packet = self.packet_of(packet)?;
        match payee {
            Payee::UserId(user_id) if user_id.starts_with("20880000") => {
                return Err(Refusal::PayeeNotExist);
            }
            Payee::UserId(user_id) if user_id.starts_with("20889999") => {
                return Err(Refusal::PayeeUserStatusLimit);
            }
            Payee::LogonId(logon_id) if logon_id.starts_with("unknown") => {
                return Err(Refusal::PayeeNotExist);
            }
            Payee::UserId(_) | Payee::LogonId(_) => {}
        }
        if self.packet(packet).payer.as_deref() == Some(&*payee.user_id()) {
            return Err(Refusal::PayerPayeeEqual);
        }
        self.check_packet(packet, command.amount)?;
        Ok((self.orders.len(), packet))
    }

    /// Finds a packet; a disburse order is none.
    pub(super) fn packet_of(&self, order: &OrderRef) -> Result<usize, Refusal> {
        let (found, missing) = match order {
            OrderRef::AuthNo(number) => (self.by_auth_no.get(number), Refusal::AuthOrderNotExist),
            OrderRef::OutOrderNo(number) => {
                (self.by_out_order_no.get(number), Refusal::OrderNotExist)
            }
        };
        let found = found.copied().ok_or(missing)?;
        match self.orders.get(found).map(|order| &order.role) {
            Some(Role::Packet(_)) => Ok(found),
            Some(Role::Share) | None => Err(missing),
        }
    }

    /// Our reading: nothing left at all is `ORDER_ALREADY_FINISH`, too little left is
    /// `MONEY_NOT_ENOUGH`.
    pub(super) fn check_packet(&self, packet: usize, amount: Fen) -> Result<(), Refusal> {
        let packet = self.packet(packet);
        match packet.status {
            Status::Init => Err(Refusal::IllegalStatus),
            Status::Closed => Err(Refusal::OrderAlreadyClosed),
            Status::Success if packet.left_fen() == 0 => Err(Refusal::OrderAlreadyFinish),
            Status::Success if packet.left_fen() < amount.get() => Err(Refusal::MoneyNotEnough),
            Status::Success => Ok(()),
        }
    }
}
