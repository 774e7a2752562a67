//! The bank behind the simulated Alipay: orders, operations and a double-entry journal.
//!
//! Pure: the time is passed in, numbers come from counters, and nothing is drawn by chance.
//! Money goes from a payer to a packet's own account, and from there to payees or back to the
//! payer. So Σ disbursed + Σ refunded ≤ paid holds because no account but the outside world may
//! be overdrawn; it is asserted after each posting all the same.
//!
//! What the official document does not say is marked `Our reading:`.
//!
//! Special people, so that every refusal can be had on purpose:
//! - user ids that begin with `20880000` do not exist (`PAYEE_NOT_EXIST`, `PAYER_NOT_EXIST`),
//!   nor do logon ids that begin with `unknown`
//! - user ids that begin with `20889999` are restricted (`PAYEE_USER_STATUS_LIMIT`,
//!   `PAYER_USER_STATUS_LIMIT`)
//! - a title or remark that contains `forbidden` is refused (`EXIST_FORBIDDEN_WORD`)
//! - the users of [`TEST_PAYERS`] pay with their own money, by agreement too
//! - any other payer of `agreement.pay` is taken for the merchant's own account

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::deadlines::Deadline;
use crate::sandbox::bank::journal::{Account, Journal, Posting};
use crate::sandbox::bank::numbers::Numbers;
use crate::sandbox::bank::payers::account_of;

mod checks;
mod command;
mod deadlines;
mod journal;
mod numbers;
mod payers;
mod query;
mod refusal;
mod snapshot;

pub use crate::sandbox::bank::command::{
    ActedFor, Command, Effect, Idempotency, OperationKind, OrderRef, Origin, Payee, Payer, Receipt,
    Status, Terms, What,
};
pub use crate::sandbox::bank::payers::{
    Checkout, PERSON_USER_ID, PayError, TEST_PAYERS, TestPayer,
};
pub(crate) use crate::sandbox::bank::query::yuan;
pub use crate::sandbox::bank::query::{Details, Happening, OperationRef, QueryBy};
pub use crate::sandbox::bank::refusal::Refusal;
pub use crate::sandbox::bank::snapshot::{AccountBalance, BankBooks, OperationView, PacketView};

/// The user id of the merchant's own account; any other payer of `agreement.pay` that is not
/// special is taken for it too.
pub const MERCHANT_USER_ID: &str = "2088101000000009";

/// The state of a packet that the console opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Waiting for its payer, an hour at most: disburse and refund answer `ILLEGAL_STATUS`.
    Unpaid,
    /// Paid.
    Paid,
    /// Closed, never paid: disburse and refund answer `ORDER_ALREADY_CLOSED`.
    Closed,
}

/// The console asked for a packet under a number that is taken by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the out_order_no is taken by another order")]
pub struct OpenError;

/// The bank.
#[derive(Debug)]
pub struct Bank {
    orders: Vec<Order>,
    operations: Vec<Operation>,
    by_auth_no: HashMap<Arc<str>, usize>,
    by_out_order_no: HashMap<Arc<str>, usize>,
    by_number: HashMap<(usize, Arc<str>), usize>,
    by_operation_id: HashMap<Arc<str>, usize>,
    /// Operations that were accepted and whose money moves later.
    due: BTreeSet<(UnixMillis, usize)>,
    /// What happens to packets by themselves.
    deadlines: BTreeSet<(UnixMillis, Deadline)>,
    /// Operations with a `notify_url` whose money has moved, and nobody was told yet.
    happened: Vec<usize>,
    journal: Journal,
    numbers: Numbers,
}

/// A packet's pay order, or one disburse order. A refund is an operation on the former.
#[derive(Debug)]
struct Order {
    auth_no: Arc<str>,
    out_order_no: Arc<str>,
    /// Its pay or disburse operation.
    first: usize,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Packet(Packet),
    Share,
}

#[derive(Debug)]
struct Packet {
    status: Status,
    /// `None` until a person pays.
    payer: Option<Arc<str>>,
    title: Arc<str>,
    amount: Fen,
    /// When it closes unpaid.
    pay_until: UnixMillis,
    /// How long after payment the remainder goes back.
    refund_after: Duration,
    paid_fen: u64,
    disbursed_fen: u64,
    refunded_fen: u64,
}

impl Packet {
    fn left_fen(&self) -> u64 {
        self.paid_fen
            .saturating_sub(self.disbursed_fen)
            .saturating_sub(self.refunded_fen)
    }
}

#[derive(Debug)]
struct Operation {
    order: usize,
    packet: usize,
    command: Command,
    operation_id: Arc<str>,
    origin: Option<Arc<Origin>>,
    status: Status,
    created_at: UnixMillis,
    done_at: Option<UnixMillis>,
}

impl Bank {
    /// A bank whose merchant owns `merchant_fen`, which `agreement.pay` takes from.
    #[must_use]
    pub fn new(merchant_fen: u64) -> Self {
        Self {
            orders: Vec::new(),
            operations: Vec::new(),
            by_auth_no: HashMap::new(),
            by_out_order_no: HashMap::new(),
            by_number: HashMap::new(),
            by_operation_id: HashMap::new(),
            due: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            happened: Vec::new(),
            journal: payers::funded(Journal::new(merchant_fen)),
            numbers: Numbers::default(),
        }
    }

    /// Does what `command` asks, at most once for its number, and returns what is recorded.
    ///
    /// Source: the key is (`out_order_no`, `out_request_no`) for pay and disburse and
    /// (`auth_no`, `out_request_no`) for refund.
    ///
    /// Our reading: a refused command leaves no trace, its number stays free; and a second
    /// `out_request_no` under an `out_order_no` that is taken is a `UNIQUE_VIOLATION`, since an
    /// order number is unique at its merchant.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] when nothing moved and nothing will.
    ///
    /// A pay order that a person is to pay is INIT until [`Bank::pay_order`], whatever the terms.
    pub fn execute(
        &mut self,
        command: Command,
        terms: Terms,
        now: UnixMillis,
    ) -> Result<Receipt, Refusal> {
        self.advance(now);
        if let Some(known) = self.known(&command) {
            let earlier = self.operations.get(known);
            return match terms.idempotency {
                Idempotency::Replay if earlier.is_some_and(|op| op.command == command) => {
                    Ok(self.receipt(known))
                }
                Idempotency::Replay | Idempotency::AlreadyUsed => Err(Refusal::UniqueViolation),
            };
        }
        if command.caption.contains("forbidden") {
            return Err(Refusal::ExistForbiddenWord);
        }
        let (order, packet) = match &command.what {
            What::Pay { .. } => self.check_pay(&command)?,
            What::Disburse { .. } => self.check_disburse(&command)?,
            What::Refund { auth_no } => {
                let packet = self.packet_of(&OrderRef::AuthNo(auth_no.clone()))?;
                self.check_packet(packet, command.amount)?;
                (packet, packet)
            }
        };
        let awaits_person = command.awaits_person();
        let accepted = self.accept((order, packet), command, terms.origin, now);
        match terms.effect {
            Effect::Now | Effect::At(_) if awaits_person => {}
            Effect::Now => self.complete(accepted, now),
            Effect::At(instant) if instant <= now => self.complete(accepted, now),
            Effect::At(instant) => {
                self.due.insert((instant, accepted));
            }
        }
        Ok(self.receipt(accepted))
    }

    /// Opens a packet of a person's, outside the protocol; or pays, or closes, an unpaid one.
    ///
    /// Opening the same packet again changes nothing. Its pay operation's `out_request_no` is
    /// its `out_order_no`.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] when the number belongs to another order, or to a packet of
    /// another amount or state.
    pub fn open_packet(
        &mut self,
        out_order_no: &str,
        amount: Fen,
        opening: Opening,
        now: UnixMillis,
    ) -> Result<(), OpenError> {
        self.advance(now);
        let status = match opening {
            Opening::Unpaid => Status::Init,
            Opening::Paid => Status::Success,
            Opening::Closed => Status::Closed,
        };
        let command = Command::opening(out_order_no, amount);
        let operation = match self.by_out_order_no.get(out_order_no) {
            None => {
                let order = self.orders.len();
                self.accept((order, order), command, None, now)
            }
            Some(&order) => {
                let key = (order, Arc::clone(&command.out_request_no));
                let known = self.by_number.get(&key).copied().ok_or(OpenError)?;
                let earlier = self.operations.get(known).ok_or(OpenError)?;
                if earlier.command != command {
                    return Err(OpenError);
                }
                if earlier.status == status {
                    return Ok(());
                }
                if earlier.status != Status::Init {
                    return Err(OpenError);
                }
                known
            }
        };
        match opening {
            Opening::Unpaid => {}
            Opening::Paid => self.fill(operation, PERSON_USER_ID, now),
            Opening::Closed => self.close(operation),
        }
        Ok(())
    }

    /// The operation that already bears the command's number, whatever its content.
    fn known(&self, command: &Command) -> Option<usize> {
        match &command.what {
            What::Pay { out_order_no, .. } | What::Disburse { out_order_no, .. } => {
                let order = *self.by_out_order_no.get(out_order_no)?;
                let key = (order, Arc::clone(&command.out_request_no));
                let taken = || self.orders.get(order).map(|order| order.first);
                self.by_number.get(&key).copied().or_else(taken)
            }
            What::Refund { auth_no } => {
                let order = *self.by_auth_no.get(auth_no)?;
                let key = (order, Arc::clone(&command.out_request_no));
                self.by_number.get(&key).copied()
            }
        }
    }

    /// Records the command under its number, with its order if that is new; nothing moves yet.
    fn accept(
        &mut self,
        (order, packet): (usize, usize),
        command: Command,
        origin: Option<Arc<Origin>>,
        now: UnixMillis,
    ) -> usize {
        if order == self.orders.len() {
            self.add_order(&command, now);
        }
        let operation_id = self.numbers.operation_id(now);
        let operation = self.operations.len();
        let number = (order, Arc::clone(&command.out_request_no));
        self.by_number.insert(number, operation);
        self.by_operation_id
            .insert(Arc::clone(&operation_id), operation);
        self.operations.push(Operation {
            order,
            packet,
            command,
            operation_id,
            origin,
            status: Status::Init,
            created_at: now,
            done_at: None,
        });
        operation
    }

    fn add_order(&mut self, command: &Command, now: UnixMillis) {
        let (out_order_no, role) = match &command.what {
            What::Pay {
                out_order_no,
                payer,
            } => {
                let pay_until = now.plus(deadlines::pay_timeout(command));
                let order = self.orders.len();
                self.deadlines.insert((pay_until, Deadline::Close(order)));
                let packet = Packet {
                    status: Status::Init,
                    payer: match payer {
                        Payer::Agreement(user_id) => Some(Arc::clone(user_id)),
                        Payer::Person => None,
                    },
                    title: Arc::clone(&command.caption),
                    amount: command.amount,
                    pay_until,
                    refund_after: deadlines::refund_after(command),
                    paid_fen: 0,
                    disbursed_fen: 0,
                    refunded_fen: 0,
                };
                (out_order_no, Role::Packet(packet))
            }
            What::Disburse { out_order_no, .. } => (out_order_no, Role::Share),
            // A refund is no order; `execute` never asks for one.
            What::Refund { auth_no } => (auth_no, Role::Share),
        };
        let auth_no = self.numbers.auth_no(now);
        let order = self.orders.len();
        self.by_auth_no.insert(Arc::clone(&auth_no), order);
        self.by_out_order_no.insert(Arc::clone(out_order_no), order);
        self.orders.push(Order {
            auth_no,
            out_order_no: Arc::clone(out_order_no),
            first: self.operations.len(),
            role,
        });
    }

    /// Moves the money of an accepted operation, or closes it when there is no longer enough.
    fn complete(&mut self, operation: usize, now: UnixMillis) {
        let Some(op) = self.operations.get(operation) else {
            return;
        };
        if op.status != Status::Init {
            return;
        }
        let (packet, amount) = (op.packet, op.command.amount);
        let middle = Account::Packet(Arc::clone(&self.packet_order(packet).out_order_no));
        let payer = self.payer_account(packet);
        let kind = op.command.kind();
        let (from, to) = match &op.command.what {
            What::Pay { .. } => (payer.clone(), middle),
            What::Disburse { payee, .. } => (middle, Account::Person(payee.user_id())),
            What::Refund { .. } => (middle, payer.clone()),
        };
        if kind == OperationKind::Pay && payer == Account::Person(Arc::from(PERSON_USER_ID)) {
            // This person's money comes from outside the bank as it is needed.
            self.journal.post(Posting {
                from: Account::Outside,
                to: payer,
                amount,
                operation: None,
            });
        }
        if self.journal.fen(&from) < i128::from(amount.get()) {
            self.close(operation);
            return;
        }
        self.journal.post(Posting {
            from,
            to,
            amount,
            operation: Some(operation),
        });
        self.count_movement(packet, kind, amount);
        if kind == OperationKind::Pay {
            self.await_refund(packet, now);
        }
        if let Some(op) = self.operations.get_mut(operation) {
            op.status = Status::Success;
            op.done_at = Some(now);
            let origin = op.origin.as_deref();
            if origin.is_some_and(|origin| origin.notify_url.is_some()) {
                self.happened.push(operation);
            }
        }
    }

    fn count_movement(&mut self, packet: usize, kind: OperationKind, amount: Fen) {
        let fen = amount.get();
        let account = Account::Packet(Arc::clone(&self.packet_order(packet).out_order_no));
        let packet = self.packet_mut(packet);
        match kind {
            OperationKind::Pay => {
                packet.paid_fen += fen;
                packet.status = Status::Success;
            }
            OperationKind::Disburse => packet.disbursed_fen += fen,
            OperationKind::Refund => packet.refunded_fen += fen,
        }
        let left = packet.left_fen();
        assert!(
            packet.disbursed_fen + packet.refunded_fen <= packet.paid_fen,
            "more left a packet than was paid into it"
        );
        assert_eq!(
            self.journal.fen(&account),
            i128::from(left),
            "a packet's account is not what its operations say"
        );
    }

    fn close(&mut self, operation: usize) {
        let Some(op) = self.operations.get_mut(operation) else {
            return;
        };
        op.status = Status::Closed;
        if op.command.kind() == OperationKind::Pay {
            let packet = op.packet;
            self.packet_mut(packet).status = Status::Closed;
        }
    }

    fn payer_account(&self, packet: usize) -> Account {
        match &self.packet(packet).payer {
            Some(payer) => account_of(payer),
            // Nothing moves on a packet that nobody paid.
            None => Account::Outside,
        }
    }

    fn receipt(&self, operation: usize) -> Receipt {
        let op = &self.operations[operation];
        let order = &self.orders[op.order];
        Receipt {
            kind: op.command.kind(),
            auth_no: Arc::clone(&order.auth_no),
            out_order_no: Arc::clone(&order.out_order_no),
            operation_id: Arc::clone(&op.operation_id),
            out_request_no: Arc::clone(&op.command.out_request_no),
            amount: op.command.amount,
            status: op.status,
            done_at: op.done_at,
        }
    }

    fn packet_order(&self, packet: usize) -> &Order {
        &self.orders[packet]
    }

    fn packet(&self, packet: usize) -> &Packet {
        match &self.orders[packet].role {
            Role::Packet(packet) => packet,
            Role::Share => unreachable!("only packets are recorded as packets"),
        }
    }

    fn packet_mut(&mut self, packet: usize) -> &mut Packet {
        match &mut self.orders[packet].role {
            Role::Packet(packet) => packet,
            Role::Share => unreachable!("only packets are recorded as packets"),
        }
    }
}

/// Whether something that came to be at `created_at` can be seen yet.
fn visible(created_at: UnixMillis, lag: Duration, now: UnixMillis) -> bool {
    created_at.plus(lag) <= now
}

#[cfg(test)]
mod tests;
