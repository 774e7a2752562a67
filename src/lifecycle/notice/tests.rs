use std::time::Duration;

use super::{Heard, hear};
use crate::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, ReturnAddress, Ticket,
};
use crate::domain::ident::{AlipayNo, AppName, Caption, MerchantNo, UserId};
use crate::domain::job::{
    Extras, Fingerprint, Kind, Labels, MoneyJob, MoneyRequest, OrderRef, Payee,
};
use crate::domain::money::Fen;
use crate::domain::notice::Notice;
use crate::domain::outcome::{Failure, Outcome, Resolution, SignedOrder};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Operation, OperationStatus, OperationType};
use crate::lifecycle::retry::RetryPolicy;
use crate::lifecycle::{Context, Memory, Policy};

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

fn number(text: &str) -> MerchantNo {
    MerchantNo::new(text).unwrap()
}

fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        retry: RetryPolicy::new(seconds(1), seconds(100), 2000).unwrap(),
        absence_confirmations: 2,
        absence_window: seconds(30),
        unresolved_after: seconds(600),
        rescue_after: seconds(600),
    }
}

fn job() -> MoneyJob {
    MoneyJob {
        app: AppName::new("main").unwrap(),
        out_request_no: number("R1"),
        request: MoneyRequest::Disburse {
            out_order_no: number("O1"),
            deduct: OrderRef::OutOrderNo(number("P1")),
            order_title: Caption::new("t").unwrap(),
            amount: Fen::new(888).unwrap(),
            payee: Payee::UserId(UserId::new("2088102146225135").unwrap()),
            extras: Extras::default(),
        },
        not_after: None,
        labels: Labels::default(),
    }
}

fn pending() -> Pending {
    Pending {
        job: job(),
        fingerprint: Fingerprint([7; 16]),
        return_address: ReturnAddress::default(),
        maybe_sent: true,
        digest: None,
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        attempts: 1,
        inconclusive: 0,
        rescues: 0,
        first_seen_at: NOW,
        numbers: None,
        unresolved_announced: false,
    }
}

fn in_flight() -> Entry {
    Entry::InFlight(InFlight {
        lease: Lease {
            token: LeaseToken(1),
            expires_at: NOW,
        },
        attempt: 1,
        pending: pending(),
    })
}

fn deferred() -> Entry {
    Entry::Deferred(Deferred {
        ticket: Ticket(2),
        due_at: NOW,
        pending: pending(),
    })
}

fn outcome(kind: Kind, resolution: Resolution) -> Outcome {
    Outcome {
        kind,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: Some(number("O1")),
        auth_no: AlipayNo::new("A1").ok(),
        amount: Fen::new(888).unwrap(),
        resolution,
        attempts: 1,
        settled_at: NOW,
        labels: Labels::default(),
    }
}

fn paid() -> Resolution {
    Resolution::Succeeded {
        operation_id: AlipayNo::new("B1").ok(),
        gmt_trans: None,
    }
}

fn settled(resolution: Resolution) -> Entry {
    Entry::Settled(outcome(Kind::Disburse, resolution))
}

fn closed() -> Resolution {
    Resolution::Failed(Failure::Closed)
}

fn operation() -> Operation {
    Operation {
        auth_no: AlipayNo::new("A1").ok(),
        out_order_no: Some(number("O1")),
        operation_id: AlipayNo::new("B1").ok(),
        out_request_no: Some(number("R1")),
        amount: Fen::new(888),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: UserId::new("2088102146225135").ok(),
        gmt_trans: None,
    }
}

/// The word for what is done about the operation after `change`.
fn heard(
    state: Option<Entry>,
    change: impl FnOnce(&mut Operation),
    memory: Memory,
) -> &'static str {
    let mut operation = operation();
    change(&mut operation);
    let app = AppName::new("main").unwrap();
    let notice = Notice::new(app, Kind::Disburse, operation).unwrap();
    let policy = policy();
    let context = Context {
        now: NOW,
        jitter_permille: 0,
        memory,
        policy: &policy,
    };
    match hear(state.as_ref(), &notice, &context) {
        Heard::Settle(outcome) => {
            assert!(outcome.resolution.is_success());
            "settle"
        }
        Heard::Known(_) => "known",
        Heard::Contradict { evidence, .. } => evidence,
        Heard::Tell {
            telling,
            against: None,
        } => {
            assert_eq!(telling.notice, notice);
            telling.kind.as_str()
        }
        Heard::Tell {
            against: Some(against),
            ..
        } => against,
        Heard::Nothing => "nothing",
        Heard::Repeat => "repeat",
    }
}

type Change = fn(&mut Operation);

const SAME: Change = |_| {};
const INIT: Change = |o| o.status = OperationStatus::Init;
const CLOSED: Change = |o| o.status = OperationStatus::Closed;
const OTHER_ORDER: Change = |o| o.out_order_no = MerchantNo::new("O2").ok();
const OTHER_AMOUNT: Change = |o| o.amount = Fen::new(889);
const OTHER_PAYEE: Change = |o| o.payee_user_id = UserId::new("2088000000000000").ok();
const OTHER_TITLE: Change = |o| o.order_title = Some("?".to_owned());
const OTHER_OPERATION: Change = |o| o.operation_id = AlipayNo::new("B2").ok();
const REFUND: Change = |o| o.operation_type = Some(OperationType::Refund);

const PAID: &str = "alipay reports the operation as succeeded";
const ENDED: &str = "alipay reports the operation as closed";
const OTHER: &str = "alipay reports the number with other content";

/// A notice, and what is done about it where the job is absent, unsettled, succeeded and failed.
const ROWS: [(Change, [&str; 4]); 9] = [
    (SAME, ["disburse", "settle", "known", PAID]),
    (INIT, ["nothing", "nothing", "known", "known"]),
    (CLOSED, ["disburse", "nothing", ENDED, "known"]),
    (
        OTHER_ORDER,
        ["disburse", "disburse", "disburse", "disburse"],
    ),
    (OTHER_AMOUNT, ["disburse", "repeat", OTHER, "disburse"]),
    (OTHER_PAYEE, ["disburse", "repeat", "known", PAID]),
    (OTHER_TITLE, ["disburse", "repeat", "known", PAID]),
    (OTHER_OPERATION, ["disburse", "settle", "disburse", PAID]),
    (REFUND, ["disburse", "disburse", "disburse", "disburse"]),
];

#[test]
fn rule_16_each_state_hears_each_notice() {
    for (index, (change, [absent, unsettled, succeeded, failed])) in ROWS.into_iter().enumerate() {
        for (state, expected) in [
            (None, absent),
            (Some(in_flight()), unsettled),
            (Some(deferred()), unsettled),
            (Some(settled(paid())), succeeded),
            (Some(settled(closed())), failed),
        ] {
            let name = format!("row {index}, {state:?}");
            assert_eq!(heard(state, change, Memory::Sound), expected, "{name}");
        }
    }
}

#[test]
fn rule_05_a_ledger_that_may_have_forgotten_tells_nothing_as_nobodys() {
    let doubtful = |state, change| heard(state, change, Memory::Doubtful);
    assert_eq!(doubtful(None, SAME), "repeat");
    assert_eq!(doubtful(None, CLOSED), "repeat");
    assert_eq!(doubtful(None, INIT), "nothing");
    assert_eq!(doubtful(Some(deferred()), SAME), "settle");
    assert_eq!(doubtful(Some(deferred()), OTHER_ORDER), "repeat");
    assert_eq!(doubtful(Some(in_flight()), OTHER_AMOUNT), "repeat");
    assert_eq!(doubtful(Some(settled(paid())), REFUND), "disburse");
}

#[test]
fn a_signed_order_is_told_to_be_paid_as_often_as_alipay_says_another_thing_of_it() {
    let order = SignedOrder("app_id=…".to_owned());
    let mut signed = outcome(Kind::AppPay, Resolution::Signed(order));
    signed.auth_no = None;
    signed.labels = Labels([("room".to_owned(), "42".to_owned())].into());
    for (change, expected) in [
        (SAME, "pay"),
        (OTHER_PAYEE, "pay"),
        (OTHER_OPERATION, "pay"),
        (CLOSED, "pay"),
        (INIT, "nothing"),
        (
            OTHER_AMOUNT,
            "alipay reports another amount than the signed order has",
        ),
        (OTHER_ORDER, "disburse"),
        (REFUND, "disburse"),
    ] {
        let state = Some(Entry::Settled(signed.clone()));
        assert_eq!(heard(state, change, Memory::Sound), expected);
    }
    let app = AppName::new("main").unwrap();
    let notice = Notice::new(app, Kind::Pay, operation()).unwrap();
    let policy = policy();
    let context = Context {
        now: NOW,
        jitter_permille: 0,
        memory: Memory::Doubtful,
        policy: &policy,
    };
    let labels = signed.labels.clone();
    let state = Entry::Settled(signed);
    let Heard::Tell { telling, .. } = hear(Some(&state), &notice, &context) else {
        panic!("a paid order is told");
    };
    assert_eq!(telling.labels, labels, "the job's own");
}

#[test]
fn an_automatic_refund_under_the_numbers_of_its_pay_is_not_the_pay() {
    let pay = Entry::Settled(outcome(Kind::Pay, paid()));
    assert_eq!(heard(Some(pay.clone()), REFUND, Memory::Sound), "disburse");
    assert_eq!(heard(Some(pay), SAME, Memory::Sound), "known");
    let refund = Entry::Settled(outcome(Kind::Refund, paid()));
    assert_eq!(heard(Some(refund), REFUND, Memory::Sound), "known");
}
