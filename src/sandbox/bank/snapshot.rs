//! What the bank shows of itself: its books, packets and operations.

use std::collections::HashMap;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::journal::Account;
use crate::sandbox::bank::{Bank, Operation, OperationKind, Role, Status, What};

/// The books at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankBooks {
    /// Every account with its balance, in the order of their names.
    pub accounts: Vec<AccountBalance>,
    /// The sum of all balances in fen: zero, or money was made or lost.
    pub sum_fen: i128,
    /// Paid into packets, in fen.
    pub paid_fen: u64,
    /// Disbursed from packets, in fen.
    pub disbursed_fen: u64,
    /// Refunded from packets, in fen.
    pub refunded_fen: u64,
    /// How often money moved, by kind.
    pub movements: Vec<(OperationKind, u64)>,
    /// How often at most money moved for one of Alipay's own keys: (`out_order_no` or
    /// `auth_no`, `out_request_no`). One, or the bank is wrong.
    pub movements_per_number_max: u64,
    /// How often at most money moved for one kind and `out_request_no`, whatever the order.
    /// More than one means that a client paid one job under two orders.
    pub movements_per_out_request_no_max: u64,
    /// Operations whose money has yet to move.
    pub pending: u64,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// `outside`, `merchant`, `person:USER_ID` or `packet:OUT_ORDER_NO`.
    pub name: String,
    /// Its balance in fen; below zero only for `outside`.
    pub fen: i128,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketView {
    /// The pay order's number at the merchant.
    pub out_order_no: String,
    /// The pay order's number at Alipay.
    pub auth_no: String,
    /// What was, or is to be, paid.
    pub amount: Fen,
    /// Whether it is paid.
    pub status: Status,
    /// Its title.
    pub title: String,
    /// Who paid it, or is to pay it by agreement; `None` while it waits for a person.
    pub payer_user_id: Option<String>,
    /// Whether a person can pay it now.
    pub waits_for_person: bool,
    /// When it closes, should nobody have paid it.
    pub pay_until: UnixMillis,
    /// Disbursed so far, in fen.
    pub disbursed_fen: u64,
    /// Refunded so far, in fen.
    pub refunded_fen: u64,
    /// What is left, in fen.
    pub left_fen: u64,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// Its kind.
    pub kind: OperationKind,
    /// The order's number at the merchant: of a disburse its own, of a refund the packet's.
    pub out_order_no: String,
    /// The operation's number at the merchant.
    pub out_request_no: String,
    /// The order's number at Alipay.
    pub auth_no: String,
    /// The operation's number at Alipay.
    pub operation_id: String,
    /// How much.
    pub amount: Fen,
    /// Whether the money has moved.
    pub status: Status,
    /// Who got it, of a disburse: the user id.
    pub payee_user_id: Option<String>,
    /// The packet's `out_order_no`.
    pub packet: String,
    /// When it was accepted.
    pub created_at: UnixMillis,
}

impl Bank {
    /// The books as of `now`.
    pub fn books(&mut self, now: UnixMillis) -> BankBooks {
        self.advance(now);
        let mut accounts: Vec<_> = self.journal.balances().collect();
        accounts.sort_unstable();
        let sum_fen = accounts.iter().map(|(_, fen)| fen).sum();
        let accounts = accounts
            .into_iter()
            .map(|(account, fen)| AccountBalance {
                name: name(account),
                fen,
            })
            .collect();
        let (mut paid_fen, mut disbursed_fen, mut refunded_fen) = (0, 0, 0);
        for order in &self.orders {
            if let Role::Packet(packet) = &order.role {
                paid_fen += packet.paid_fen;
                disbursed_fen += packet.disbursed_fen;
                refunded_fen += packet.refunded_fen;
            }
        }
        let pending = self.due.len();
        let mut books = BankBooks {
            accounts,
            sum_fen,
            paid_fen,
            disbursed_fen,
            refunded_fen,
            movements: Vec::new(),
            movements_per_number_max: 0,
            movements_per_out_request_no_max: 0,
            pending: u64::try_from(pending).unwrap_or(u64::MAX),
        };
        self.count_movements(&mut books);
        books
    }

    /// Counts from the journal alone, so that it would show a bank that posts twice.
    fn count_movements(&self, books: &mut BankBooks) {
        let mut by_kind: HashMap<OperationKind, u64> = HashMap::new();
        let mut by_number: HashMap<(usize, &str), u64> = HashMap::new();
        let mut by_out_request_no: HashMap<(OperationKind, &str), u64> = HashMap::new();
        let moved = self.journal.movements();
        for op in moved.iter().filter_map(|&at| self.operations.get(at)) {
            let (kind, number) = (op.command.kind(), &*op.command.out_request_no);
            *by_kind.entry(kind).or_default() += 1;
            *by_number.entry((op.order, number)).or_default() += 1;
            *by_out_request_no.entry((kind, number)).or_default() += 1;
        }
        let max = |counts: &mut dyn Iterator<Item = u64>| counts.max().unwrap_or_default();
        books.movements_per_number_max = max(&mut by_number.into_values());
        books.movements_per_out_request_no_max = max(&mut by_out_request_no.into_values());
        books.movements = by_kind.into_iter().collect();
        books.movements.sort_unstable();
    }

    /// Every packet, oldest first.
    pub fn packets(&mut self, now: UnixMillis) -> Vec<PacketView> {
        self.advance(now);
        let packets = self.orders.iter().filter_map(|order| match &order.role {
            Role::Packet(packet) => Some(PacketView {
                out_order_no: order.out_order_no.as_ref().to_owned(),
                auth_no: order.auth_no.as_ref().to_owned(),
                amount: packet.amount,
                status: packet.status,
                title: packet.title.as_ref().to_owned(),
                payer_user_id: packet.payer.as_deref().map(str::to_owned),
                waits_for_person: packet.status == Status::Init && packet.payer.is_none(),
                pay_until: packet.pay_until,
                disbursed_fen: packet.disbursed_fen,
                refunded_fen: packet.refunded_fen,
                left_fen: packet.left_fen(),
            }),
            Role::Share => None,
        });
        packets.collect()
    }

    /// Every operation, oldest first; at most the newest `newest`.
    pub fn operations(&mut self, newest: usize, now: UnixMillis) -> Vec<OperationView> {
        self.advance(now);
        let skipped = self.operations.len().saturating_sub(newest);
        let shown = self.operations.iter().skip(skipped);
        shown.map(|op| self.view(op)).collect()
    }

    fn view(&self, op: &Operation) -> OperationView {
        let order = &self.orders[op.order];
        let payee = match &op.command.what {
            What::Disburse { payee, .. } => Some(payee.user_id().as_ref().to_owned()),
            What::Pay { .. } | What::Refund { .. } => None,
        };
        OperationView {
            kind: op.command.kind(),
            out_order_no: order.out_order_no.as_ref().to_owned(),
            out_request_no: op.command.out_request_no.as_ref().to_owned(),
            auth_no: order.auth_no.as_ref().to_owned(),
            operation_id: op.operation_id.as_ref().to_owned(),
            amount: op.command.amount,
            status: op.status,
            payee_user_id: payee,
            packet: self
                .packet_order(op.packet)
                .out_order_no
                .as_ref()
                .to_owned(),
            created_at: op.created_at,
        }
    }
}

fn name(account: &Account) -> String {
    match account {
        Account::Outside => "outside".to_owned(),
        Account::Merchant => "merchant".to_owned(),
        Account::Person(user_id) => format!("person:{user_id}"),
        Account::Packet(out_order_no) => format!("packet:{out_order_no}"),
    }
}
