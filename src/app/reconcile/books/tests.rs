//! Each way in which books can differ, as a table.

use serde_json::Value;

use super::{BillRow, Books, DifferenceKind, Report, SeenEvent, Sources, data_digest};
use crate::app::outcome_event;
use crate::app::reconcile::events;
use crate::app::reconcile::window::Window;
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::{Fingerprint, JobKey, Kind, Labels};
use crate::domain::money::Fen;
use crate::domain::outcome::{Announcement, Failure, Outcome, Rejection, Resolution};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Doubt, Finding, Operation, OperationStatus};

/// 2026-11-22 10:00:01 in GMT+8.
const AT: UnixMillis = UnixMillis(1_795_312_801_000);

const WINDOW: Window = Window {
    since: UnixMillis(1_795_276_800_000),
    until: UnixMillis(1_795_363_200_000),
};

fn key(number: &str) -> JobKey {
    JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new(number).unwrap(),
    }
}

fn outcome(number: &str, resolution: Resolution) -> Outcome {
    Outcome {
        kind: Kind::Disburse,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: Some(MerchantNo::new(&format!("O{number}")).unwrap()),
        auth_no: Some(AlipayNo::new(&format!("A{number}")).unwrap()),
        amount: Fen::new(888).unwrap(),
        resolution,
        attempts: 1,
        settled_at: AT,
        labels: Labels::default(),
    }
}

fn succeeded(number: &str) -> Outcome {
    let operation_id = AlipayNo::new(&format!("P{number}")).ok();
    let gmt_trans = Some("2026-11-22 10:00:01".to_owned());
    outcome(
        number,
        Resolution::Succeeded {
            operation_id,
            gmt_trans,
        },
    )
}

fn failed(number: &str) -> Outcome {
    outcome(number, Resolution::Failed(Failure::Closed))
}

fn row(number: &str, operation: &str, fen: u64) -> BillRow {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    BillRow {
        number: text(number),
        operation: text(operation),
        amount: Fen::new(fen).unwrap(),
        at: AT,
        line: 7,
    }
}

fn event(key: &JobKey, outcome: &Outcome) -> SeenEvent {
    let settled = Announcement::Settled {
        key: key.clone(),
        outcome: outcome.clone(),
    };
    let body = outcome_event::encode(
        &settled,
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )
    .body;
    let mut seen = None;
    events::read(&*body, |event| seen = Some(event)).unwrap();
    seen.unwrap()
}

fn found(status: OperationStatus, fen: u64) -> Finding {
    Finding::Found(Box::new(Operation {
        auth_no: None,
        out_order_no: None,
        operation_id: None,
        out_request_no: None,
        amount: Fen::new(fen),
        status,
        operation_type: None,
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    }))
}

/// The words of the differences with their fen.
fn told(report: &Report) -> Vec<(&'static str, u64)> {
    let one = |(kind, (_, fen)): (&DifferenceKind, &(u64, u64))| (kind.as_str(), *fen);
    report.sums.iter().map(one).collect()
}

#[test]
fn a_bill_is_compared_line_by_line() {
    let bills = Sources {
        events: 0,
        bills: 1,
    };
    let same = || row("R1", "PR1", 888);
    for (outcome, rows, expected) in [
        (succeeded("R1"), vec![same()], vec![]),
        // By either number, and by the number of the order.
        (succeeded("R1"), vec![row("", "PR1", 888)], vec![]),
        (succeeded("R1"), vec![row("R1", "", 888)], vec![]),
        (succeeded("R1"), vec![row("OR1", "other", 888)], vec![]),
        (succeeded("R1"), vec![], vec![("not_at_alipay", 888)]),
        (
            succeeded("R1"),
            vec![row("R1", "PR1", 880)],
            vec![("amount", 8)],
        ),
        (
            succeeded("R1"),
            vec![same(), row("R1", "PX", 888)],
            vec![("paid_twice", 888)],
        ),
        (
            succeeded("R1"),
            vec![same(), row("R9", "P9", 5)],
            vec![("not_in_ledger", 5)],
        ),
        (failed("R1"), vec![], vec![]),
        (failed("R1"), vec![same()], vec![("result", 888)]),
        (
            outcome("R1", Resolution::Rejected(Rejection::Expired)),
            vec![same()],
            vec![("result", 888)],
        ),
    ] {
        let mut books = Books::new(WINDOW);
        books.enter(&key("R1"), &outcome).unwrap();
        rows.iter().for_each(|row| books.billed(row));
        let report = books.finish(bills);
        assert_eq!(told(&report), expected, "{outcome:?} {rows:?}");
        assert_eq!(report.is_equal(), expected.is_empty());
    }
}

#[test]
fn a_line_of_a_bill_without_any_number_is_named_by_its_place() {
    let mut books = Books::new(WINDOW);
    books.billed(&row("", "", 88));
    let report = books.finish(Sources {
        events: 0,
        bills: 1,
    });
    assert_eq!(report.differences[0].number, "line 7 of a bill");
}

#[test]
fn nothing_is_missed_in_a_bill_that_was_not_read_or_that_ends_before() {
    let mut books = Books::new(WINDOW);
    books.enter(&key("R1"), &succeeded("R1")).unwrap();
    assert!(books.finish(Sources::default()).is_equal());

    // Just outside: it is found when the bill has it, and not missed when it has not.
    let mut near = succeeded("R2");
    near.resolution = Resolution::Succeeded {
        operation_id: None,
        gmt_trans: Some("2026-11-23 00:00:30".to_owned()),
    };
    let mut far = near.clone();
    far.resolution = Resolution::Succeeded {
        operation_id: None,
        gmt_trans: Some("2026-11-25 00:00:30".to_owned()),
    };
    let mut books = Books::new(WINDOW);
    books.enter(&key("R2"), &near).unwrap();
    books.enter(&key("R3"), &far).unwrap();
    books.billed(&row("R2", "", 888));
    let mut later = row("R4", "", 888);
    later.at = UnixMillis(WINDOW.until.0 + 5);
    books.billed(&later);
    let report = books.finish(Sources {
        events: 1,
        bills: 1,
    });
    assert_eq!(told(&report), []);
    assert_eq!((report.held, report.near, report.outside), (0, 1, 1));
}

#[test]
fn events_are_compared_by_all_of_their_data() {
    let events = Sources {
        events: 1,
        bills: 0,
    };
    let outcome = succeeded("R1");
    let same = event(&key("R1"), &outcome);
    let mut other = outcome.clone();
    other.amount = Fen::new(880).unwrap();
    let other = event(&key("R1"), &other);
    let stranger = event(&key("R9"), &succeeded("R9"));
    for (seen, expected, copies) in [
        (vec![&same], vec![], 0),
        // Delivered at least once.
        (vec![&same, &same], vec![], 1),
        (vec![], vec![("event_missing", 888)], 0),
        (vec![&other], vec![("event_unequal", 888)], 0),
        (vec![&same, &other], vec![("event_unequal", 888)], 1),
        (
            vec![&same, &stranger],
            vec![("event_not_in_ledger", 888)],
            0,
        ),
    ] {
        let mut books = Books::new(WINDOW);
        books.enter(&key("R1"), &outcome).unwrap();
        seen.iter().for_each(|event| books.told(event));
        let report = books.finish(events);
        assert_eq!(told(&report), expected, "{seen:?}");
        assert_eq!(report.copies, copies, "{seen:?}");
    }
    let reordered: Value = serde_json::from_str("{\"b\":1,\"a\":{\"d\":1,\"c\":2}}").unwrap();
    let ordered: Value = serde_json::from_str("{\"a\":{\"c\":2,\"d\":1},\"b\":1}").unwrap();
    assert_eq!(data_digest(&reordered), data_digest(&ordered));
}

#[test]
fn a_query_is_compared_with_the_outcome() {
    use OperationStatus::{Closed, Init, Success};
    for (outcome, finding, expected) in [
        (succeeded("R1"), found(Success, 888), vec![]),
        (succeeded("R1"), found(Success, 900), vec![("amount", 12)]),
        (succeeded("R1"), found(Closed, 888), vec![("result", 888)]),
        (succeeded("R1"), found(Init, 888), vec![("result", 888)]),
        (
            succeeded("R1"),
            Finding::NotFound,
            vec![("not_at_alipay", 888)],
        ),
        (failed("R1"), Finding::NotFound, vec![]),
        (failed("R1"), found(Closed, 888), vec![]),
        (failed("R1"), found(Success, 900), vec![("result", 900)]),
    ] {
        let mut books = Books::new(WINDOW);
        books.enter(&key("R1"), &outcome).unwrap();
        assert_eq!(books.askable().len(), 1);
        books.answered(&key("R1"), &finding);
        let report = books.finish(Sources::default());
        assert_eq!(told(&report), expected, "{outcome:?} {finding:?}");
        assert_eq!((report.asked, report.unanswered), (1, 0));
    }
}

#[test]
fn no_answer_is_neither_equal_nor_a_difference() {
    let mut books = Books::new(WINDOW);
    books.enter(&key("R1"), &succeeded("R1")).unwrap();
    books.answered(&key("R1"), &Finding::Unknown(Doubt::TimedOut));
    let report = books.finish(Sources::default());
    assert_eq!(told(&report), []);
    assert_eq!((report.asked, report.unanswered), (0, 1));
    assert!(!report.is_equal());
}

#[test]
fn what_is_asked_for_goes_by_alipays_numbers_or_else_by_the_merchants() {
    let mut books = Books::new(WINDOW);
    books.enter(&key("R1"), &succeeded("R1")).unwrap();
    books.enter(&key("R2"), &failed("R2")).unwrap();
    let mut refund = failed("R3");
    refund.kind = Kind::Refund;
    refund.out_order_no = None;
    books.enter(&key("R3"), &refund).unwrap();
    let mut signed = failed("R4");
    signed.kind = Kind::AppPay;
    books.enter(&key("R4"), &signed).unwrap();
    let targets: Vec<String> = books
        .askable()
        .iter()
        .map(|(_, target)| target.to_string())
        .collect();
    assert_eq!(targets, ["AR1:PR1", "OR2:R2", "AR3:R3"]);
}
