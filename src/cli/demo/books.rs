//! The events held against the bank's own books, number by number: were the promises kept?

use std::collections::HashMap;

use crate::cli::demo::tally::{Tally, Told};
use crate::sandbox::bank::{OperationKind, OperationView, Status};
use crate::sandbox::{Books, RunningSandbox};

/// What the comparison found. Every number but the last ones must be zero.
pub(super) struct Verdict {
    /// Numbers for which money moved more than once.
    pub(super) paid_twice: u64,
    /// Jobs without a terminal event.
    pub(super) lost: u64,
    /// "Failed" or "rejected" events of a number whose money moved.
    pub(super) falsely_failed: u64,
    /// "Succeeded" events whose money did not move, or another amount.
    pub(super) falsely_succeeded: u64,
    /// Events of one id with different data.
    pub(super) unequal: u64,
    /// Messages left in the queues of jobs.
    pub(super) left_over: u64,
    /// Jobs that are no jobs and are not in the dead letters, or the other way round.
    pub(super) not_buried: u64,
    /// What the bank's balances add up to; anything but zero is money made or lost.
    pub(super) imbalance_fen: i128,
    /// Paid out by the events, in fen.
    pub(super) told_disbursed_fen: u64,
    /// Refunded by the events, in fen.
    pub(super) told_refunded_fen: u64,
    /// The bank's own books.
    pub(super) books: Books,
}

impl Verdict {
    /// Whether every promise was kept.
    pub(super) fn is_kept(&self) -> bool {
        let broken = [
            self.paid_twice,
            self.lost,
            self.falsely_failed,
            self.falsely_succeeded,
            self.unequal,
            self.left_over,
            self.not_buried,
        ];
        broken.iter().all(|count| *count == 0)
            && self.imbalance_fen == 0
            && self.told_disbursed_fen == self.books.bank.disbursed_fen
            && self.told_refunded_fen == self.books.bank.refunded_fen
    }
}

/// Compares.
pub(super) fn compare(
    tally: &Tally,
    sandbox: &RunningSandbox,
    left_over: u64,
    buried: usize,
) -> Verdict {
    let books = sandbox.books();
    let operations = sandbox.operations();
    let mut moved: HashMap<(OperationKind, &str), Vec<&OperationView>> = HashMap::new();
    for operation in operations
        .iter()
        .filter(|operation| operation.status == Status::Success)
    {
        moved
            .entry((operation.kind, operation.out_request_no.as_str()))
            .or_default()
            .push(operation);
    }
    let paid_twice = moved
        .values()
        .filter(|operations| operations.len() > 1)
        .count();
    let wanted_buried = tally.roles.invalid + tally.roles.garbage;
    let mut verdict = Verdict {
        paid_twice: count(paid_twice) + u64::from(books.bank.movements_per_out_request_no_max > 1),
        lost: count(tally.open()),
        falsely_failed: 0,
        falsely_succeeded: 0,
        unequal: count(tally.unequal.len()),
        left_over,
        not_buried: wanted_buried.abs_diff(count(buried)),
        imbalance_fen: books.bank.sum_fen,
        told_disbursed_fen: 0,
        told_refunded_fen: 0,
        books,
    };
    for (id, told) in &tally.told {
        verdict.hold_against(id, told, &moved);
    }
    verdict
}

impl Verdict {
    fn hold_against(
        &mut self,
        id: &str,
        told: &Told,
        moved: &HashMap<(OperationKind, &str), Vec<&OperationView>>,
    ) {
        let kind = match told.text("kind") {
            "disburse" => OperationKind::Disburse,
            "refund" => OperationKind::Refund,
            // Queries move nothing; pay jobs are not in the plan.
            _ => return,
        };
        let operation = moved
            .get(&(kind, told.text("out_request_no")))
            .and_then(|operations| operations.first());
        match told.text("result") {
            "succeeded" => {
                if operation.is_none_or(|operation| operation.amount.get() != told.fen()) {
                    self.falsely_succeeded += 1;
                }
                match kind {
                    OperationKind::Disburse => self.told_disbursed_fen += told.fen(),
                    OperationKind::Refund => self.told_refunded_fen += told.fen(),
                    OperationKind::Pay => {}
                }
            }
            // A conflict's and an invalid job's number may well belong to another job's payment.
            _ if id.ends_with('/') => {}
            _ if operation.is_some() => self.falsely_failed += 1,
            _ => {}
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
