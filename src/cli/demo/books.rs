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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::time::Duration;

    use serde_json::json;

    use super::Verdict;
    use crate::cli::demo::tally::Told;
    use crate::domain::money::Fen;
    use crate::domain::time::UnixMillis;
    use crate::sandbox::Books;
    use crate::sandbox::bank::{BankBooks, OperationKind, OperationView, Status};

    fn kept() -> Verdict {
        let bank = BankBooks {
            accounts: Vec::new(),
            sum_fen: 0,
            paid_fen: 0,
            disbursed_fen: 888,
            refunded_fen: 12,
            movements: Vec::new(),
            movements_per_number_max: 1,
            movements_per_out_request_no_max: 1,
            pending: 0,
        };
        Verdict {
            paid_twice: 0,
            lost: 0,
            falsely_failed: 0,
            falsely_succeeded: 0,
            unequal: 0,
            left_over: 0,
            not_buried: 0,
            imbalance_fen: 0,
            told_disbursed_fen: 888,
            told_refunded_fen: 12,
            books: Books {
                bank,
                faults_injected: BTreeMap::new(),
                calls: BTreeMap::new(),
            },
        }
    }

    #[test]
    fn each_broken_promise_breaks_the_verdict() {
        assert!(kept().is_kept());
        let breaks: [fn(&mut Verdict); 10] = [
            |verdict| verdict.paid_twice = 1,
            |verdict| verdict.lost = 1,
            |verdict| verdict.falsely_failed = 1,
            |verdict| verdict.falsely_succeeded = 1,
            |verdict| verdict.unequal = 1,
            |verdict| verdict.left_over = 1,
            |verdict| verdict.not_buried = 1,
            |verdict| verdict.imbalance_fen = -1,
            |verdict| verdict.told_disbursed_fen = 887,
            |verdict| verdict.told_refunded_fen = 13,
        ];
        for (number, break_it) in breaks.iter().enumerate() {
            let mut verdict = kept();
            break_it(&mut verdict);
            assert!(!verdict.is_kept(), "break {number}");
        }
    }

    /// What the comparison makes of one event, where 8.88 moved for R1: falsely failed, falsely
    /// succeeded.
    fn held_against(id: &str, number: &str, result: &str, amount: &str) -> (u64, u64) {
        let operation = OperationView {
            kind: OperationKind::Disburse,
            out_order_no: "O1".to_owned(),
            out_request_no: "R1".to_owned(),
            auth_no: String::new(),
            operation_id: String::new(),
            amount: Fen::new(888).unwrap(),
            status: Status::Success,
            payee_user_id: None,
            packet: "P1".to_owned(),
            created_at: UnixMillis(0),
        };
        let moved = HashMap::from([((OperationKind::Disburse, "R1"), vec![&operation])]);
        let told = Told {
            data: json!({"kind": "disburse", "result": result, "out_request_no": number, "amount": amount}),
            copies: 1,
            took: Duration::ZERO,
        };
        let mut verdict = kept();
        verdict.hold_against(id, &told, &moved);
        (verdict.falsely_failed, verdict.falsely_succeeded)
    }

    #[test]
    fn an_event_that_the_books_gainsay_is_found() {
        let own = "main/disburse/R1";
        assert_eq!(held_against(own, "R1", "succeeded", "8.88"), (0, 0));
        assert_eq!(held_against(own, "R1", "succeeded", "8.87"), (0, 1));
        assert_eq!(
            held_against("main/disburse/R2", "R2", "succeeded", "8.88"),
            (0, 1)
        );
        assert_eq!(held_against(own, "R1", "failed", "8.88"), (1, 0));
        assert_eq!(held_against(own, "R1", "rejected", "8.88"), (1, 0));
        // A conflict's number belongs to the other job.
        assert_eq!(
            held_against("main/disburse/R1/conflict/", "R1", "rejected", "9.99"),
            (0, 0)
        );
    }
}
