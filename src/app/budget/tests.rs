//! Which sums a job counts in.

use std::collections::BTreeMap;

use super::{BudgetOptions, Caps, WhenOver};
use crate::app::digest::fingerprint;
use crate::app::job_body;
use crate::domain::budget::{Counter, Scope, Window};
use crate::domain::ident::LogonId;
use crate::domain::job::{Job, MoneyJob, MoneyRequest, Payee};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::ports::budget::{Mode, Spending};

/// 2026-11-22T10:00:01.234+08:00.
const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

const DISBURSE: &str = r#"{"kind":"disburse","app":"main","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1","order_title":"t","amount":"8.88","payee_user_id":"2088000000000001","labels":{"room":"42"}}"#;
const REFUND: &str = r#"{"kind":"refund","app":"main","out_request_no":"F1","auth_no":"2026112210002001000000000001","amount":"8.88","remark":"r"}"#;
const PAY: &str = r#"{"kind":"pay","app":"main","out_request_no":"P1","out_order_no":"P1","order_title":"t","amount":"8.88","payer_user_id":"2088000000000002"}"#;

fn job(body: &str) -> MoneyJob {
    match job_body::decode(body.as_bytes(), None).unwrap() {
        Job::Money(job) => job,
        Job::Query(_) => panic!("a query moves nothing"),
    }
}

fn paid_to(payee: Payee) -> MoneyJob {
    let mut job = job(DISBURSE);
    if let MoneyRequest::Disburse { payee: old, .. } = &mut job.request {
        *old = payee;
    }
    job
}

fn fen(fen: u64) -> Option<Fen> {
    Fen::new(fen)
}

fn options() -> BudgetOptions {
    BudgetOptions {
        per_app: Caps {
            day: fen(1_000_000),
            ..Caps::default()
        },
        per_payee: Caps {
            minute: fen(999),
            ..Caps::default()
        },
        per_label: Caps {
            hour: fen(50_001),
            ..Caps::default()
        },
        label: Some("room".to_owned()),
        warn_percent: 80,
        salt: "hongbao".to_owned(),
        ..BudgetOptions::default()
    }
}

fn spending(options: &BudgetOptions, job: &MoneyJob) -> Option<Spending> {
    options.spending(job, fingerprint(job), NOW)
}

/// The counter of a scope.
fn counter(options: &BudgetOptions, job: &MoneyJob, scope: Scope) -> Option<Counter> {
    let spending = spending(options, job).unwrap();
    let mut counters = spending.limits.iter().map(|limit| limit.counter);
    counters.find(|counter| counter.scope == scope)
}

#[test]
fn a_disburse_counts_where_there_is_a_cap_and_nothing_else_counts() {
    let spending = spending(&options(), &job(DISBURSE)).unwrap();
    let limits: Vec<_> = spending
        .limits
        .iter()
        .map(|limit| {
            let Counter { scope, window, .. } = limit.counter;
            (scope, window, limit.cap.get(), limit.warn_at_fen)
        })
        .collect();
    let expected = [
        (Scope::App, Window::Day, 1_000_000, 800_000),
        // Rounded up: 799 of 999 is not 80 %.
        (Scope::Payee, Window::Minute, 999, 800),
        (Scope::Label, Window::Hour, 50_001, 40_001),
    ];
    assert_eq!(limits, expected);
    assert_eq!((spending.amount.get(), spending.mode), (888, Mode::Enforce));
    for body in [REFUND, PAY] {
        assert_eq!(super::tests::spending(&options(), &job(body)), None);
    }
    let uncapped = BudgetOptions {
        salt: "hongbao".to_owned(),
        ..BudgetOptions::default()
    };
    assert_eq!(super::tests::spending(&uncapped, &job(DISBURSE)), None);
}

#[test]
fn a_job_without_the_label_counts_in_no_labels_sum() {
    let mut plain = job(DISBURSE);
    plain.labels.0 = BTreeMap::from([("round".to_owned(), "42".to_owned())]);
    assert_eq!(counter(&options(), &plain, Scope::Label), None);
    assert!(counter(&options(), &plain, Scope::Payee).is_some());
}

#[test]
fn payees_are_told_apart_by_digests_that_do_not_tell_them() {
    let logon = |text: &str| paid_to(Payee::LogonId(LogonId::new(text).unwrap()));
    let payee = |options: &BudgetOptions, job: &MoneyJob| {
        let counter = counter(options, job, Scope::Payee).unwrap();
        let spelled = counter.to_string();
        for part in ["2088", "13800000000", "someone"] {
            assert!(!spelled.contains(part), "{spelled}");
        }
        counter.value.unwrap()
    };
    let by_id = payee(&options(), &job(DISBURSE));
    let by_phone = payee(&options(), &logon("13800000000"));
    assert_ne!(by_id, by_phone);
    // An address is the same whatever its letters.
    assert_eq!(
        payee(&options(), &logon("Someone@Example.com")),
        payee(&options(), &logon("someone@example.com"))
    );
    let elsewhere = BudgetOptions {
        salt: "other".to_owned(),
        ..options()
    };
    assert_ne!(by_id, payee(&elsewhere, &job(DISBURSE)));
    let mut other_app = job(DISBURSE);
    other_app.app = crate::domain::ident::AppName::new("other").unwrap();
    assert_ne!(by_id, payee(&options(), &other_app));
}

#[test]
fn values_are_told_to_people_with_payees_masked() {
    let options = options();
    let masked = |job: &MoneyJob| options.value_of(Scope::Payee, job).unwrap();
    assert_eq!(masked(&job(DISBURSE)), "2088****0001");
    let by_phone = Payee::LogonId(LogonId::new("13800000000").unwrap());
    assert_eq!(masked(&paid_to(by_phone)), "138****0000");
    let room = options.value_of(Scope::Label, &job(DISBURSE));
    assert_eq!(room.as_deref(), Some("42"));
    assert_eq!(options.value_of(Scope::App, &job(DISBURSE)), None);
}

#[test]
fn only_counting_and_telling_is_a_mode_of_its_own() {
    let telling = BudgetOptions {
        over: WhenOver::Tell,
        ..options()
    };
    let mode = |options: &BudgetOptions| spending(options, &job(DISBURSE)).unwrap().mode;
    assert_eq!(mode(&telling), Mode::Tell);
    assert_eq!(mode(&options()), Mode::Enforce);
    let caps: Vec<_> = telling.all().collect();
    assert_eq!(caps.len(), 3);
}
