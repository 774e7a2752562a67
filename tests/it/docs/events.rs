//! `docs/events.md`: every example is what the encoder writes for the page's own story, which uses
//! the examples of `docs/jobs.md`.

use std::collections::BTreeSet;

use hongbaod::app::digest::{digest, fingerprint};
use hongbaod::app::outcome_event::{CONTENT_TYPE, encode};
use hongbaod::domain::budget::{Counter, Scope, ScopeDigest, Window};
use hongbaod::domain::draft::FieldError;
use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::job::{Job, Kind, Labels, MoneyJob};
use hongbaod::domain::money::Fen;
use hongbaod::domain::notice::{Notice, Telling};
use hongbaod::domain::outcome::{
    Announcement, BudgetWarning, Failure, Invalid, Outcome, QueryAnswer, Rejection, Resolution,
    SignedOrder,
};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{Operation, OperationStatus, OperationType, Refusal};
use hongbaod::lifecycle::resolving::OPERATOR_CODE;
use hongbaod::lifecycle::signing;
use serde_json::Value;

use super::jobs::example_job;
use super::{code, json, json_blocks, rows};

const PAGE: &str = include_str!("../../../docs/events.md");

/// 2026-11-22T10:00:01.234+08:00.
const AT: UnixMillis = UnixMillis(1_795_312_801_234);
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn alipay_no(text: &str) -> Option<AlipayNo> {
    AlipayNo::new(text).ok()
}

fn money(kind: Kind) -> MoneyJob {
    match example_job(kind) {
        Job::Money(job) => job,
        Job::Query(_) => panic!("a query moves nothing"),
    }
}

fn outcome(job: &MoneyJob, resolution: Resolution, auth_no: Option<AlipayNo>) -> Outcome {
    Outcome {
        kind: job.kind(),
        fingerprint: fingerprint(job),
        out_order_no: job.out_order_no().cloned(),
        auth_no,
        amount: job.amount(),
        resolution,
        attempts: 1,
        settled_at: AT,
        labels: job.labels.clone(),
    }
}

fn settled(job: &MoneyJob, resolution: Resolution, auth_no: Option<AlipayNo>) -> Announcement {
    Announcement::Settled {
        key: job.key(),
        outcome: outcome(job, resolution, auth_no),
    }
}

fn refusal() -> Resolution {
    Resolution::Failed(Failure::Refused(Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: Some("收款账号不存在".to_owned()),
    }))
}

/// What is recorded where an operator's word is all there is.
fn of_operator() -> Resolution {
    Resolution::Failed(Failure::Refused(Refusal {
        code: OPERATOR_CODE.to_owned(),
        sub_code: None,
        display_message: None,
    }))
}

fn succeeded(operation_id: &str) -> Resolution {
    Resolution::Succeeded {
        operation_id: alipay_no(operation_id),
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    }
}

fn answered(answer: QueryAnswer, attempts: u32) -> Announcement {
    let Job::Query(job) = example_job(Kind::Query) else {
        panic!("a query")
    };
    Announcement::Answered {
        job: Box::new(job),
        message_id: Some("q-17".to_owned()),
        answer,
        attempts,
        at: AT,
    }
}

/// The operation of the disburse example, as a query finds it.
fn operation() -> Operation {
    let job = money(Kind::Disburse);
    Operation {
        auth_no: alipay_no("2026112210002001000000000002"),
        out_order_no: job.out_order_no().cloned(),
        operation_id: alipay_no("20261122000000000002"),
        out_request_no: Some(job.out_request_no.clone()),
        amount: Some(job.amount()),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    }
}

/// What was left of the packet goes back by itself.
fn automatic_refund() -> Notice {
    let operation = Operation {
        auth_no: alipay_no("2026112210002001000000000001"),
        out_order_no: MerchantNo::new("P202611220001").ok(),
        operation_id: alipay_no("20261124000000000009"),
        out_request_no: MerchantNo::new("20261124000000000009").ok(),
        amount: Fen::new(49_000),
        operation_type: Some(OperationType::Refund),
        gmt_trans: Some("2026-11-24 10:00:00".to_owned()),
        ..operation()
    };
    let app = money(Kind::Pay).app;
    Notice::new(app, Kind::Refund, operation).unwrap()
}

/// An operation that no job asked for.
fn told(notice: Notice) -> Box<Telling> {
    Box::new(Telling {
        kind: notice.kind(),
        labels: Labels::default(),
        notice,
    })
}

/// A payee who got much.
fn warning() -> BudgetWarning {
    BudgetWarning {
        app: money(Kind::Disburse).app,
        counter: Counter {
            scope: Scope::Payee,
            value: Some(ScopeDigest([7; 16])),
            window: Window::Day,
            starts_at: Window::Day.start(AT),
        },
        value: Some("2088****0001".to_owned()),
        cap: Fen::new(100_000).unwrap(),
        spent_fen: 80_540,
        at: AT,
    }
}

/// The page's examples in their order.
fn story() -> Vec<Announcement> {
    let (disburse, refund, pay) = (money(Kind::Disburse), money(Kind::Refund), money(Kind::Pay));
    let signed = |kind, order: &str| {
        let order = SignedOrder(order.to_owned());
        let job = money(kind);
        let outcome = signing::outcome(&job, fingerprint(&job), Resolution::Signed(order), AT);
        let key = job.key();
        Announcement::Settled { key, outcome }
    };
    let order_string = "app_id=2021000000000000&biz_content=%7B%7D&sign=c2lnbg%3D%3D";
    let page_url =
        "https://openapi.alipay.com/gateway.do?app_id=2021000000000000&sign=c2lnbg%3D%3D";
    let packet = alipay_no("2026112210002001000000000001");
    let own_order = alipay_no("2026112210002001000000000002");
    let invalid = Invalid {
        app: disburse.app.clone(),
        kind: Kind::Disburse,
        out_request_no: disburse.out_request_no.clone(),
        body_digest: digest(b"a body"),
        errors: vec![FieldError::new(
            "amount",
            "is not an amount in yuan with two decimals, such as \"8.88\"",
        )],
        at: AT,
    };
    let failed = outcome(&disburse, refusal(), None);
    vec![
        settled(&disburse, succeeded("20261122000000000002"), own_order),
        settled(&refund, succeeded("20261122000000000003"), packet.clone()),
        settled(&pay, succeeded("20261122000000000001"), packet),
        signed(Kind::AppPay, order_string),
        signed(Kind::PagePay, page_url),
        settled(&disburse, refusal(), None),
        settled(&disburse, Resolution::Failed(Failure::Closed), None),
        settled(&disburse, of_operator(), None),
        settled(&disburse, Resolution::Rejected(Rejection::Expired), None),
        settled(&disburse, Resolution::Rejected(Rejection::OverBudget), None),
        Announcement::Conflict {
            fingerprint: fingerprint(&disburse),
            job: Box::new(disburse.clone()),
            at: AT,
        },
        Announcement::Invalid(Box::new(invalid)),
        Announcement::Unresolved {
            job: Box::new(disburse.clone()),
            attempts: 12,
            at: AT,
        },
        Announcement::Contradicted {
            key: disburse.key(),
            outcome: failed,
            evidence: "alipay reports the operation as succeeded",
            at: AT,
        },
        Announcement::Notified {
            told: told(automatic_refund()),
            at: AT,
        },
        Announcement::BudgetWarned(Box::new(warning())),
        answered(QueryAnswer::Found(Box::new(operation())), 1),
        answered(QueryAnswer::NotFound, 1),
        answered(QueryAnswer::Unresolved, 10),
        answered(QueryAnswer::Expired, 1),
    ]
}

/// The first event of the story carries a trace, the others none.
fn encoded() -> Vec<(String, Value)> {
    let mut traceparent = Some(TRACEPARENT);
    let events = story();
    let events = events.iter().map(|said| {
        let event = encode(said, traceparent.take());
        let body = String::from_utf8(event.body.to_vec()).unwrap();
        (event.routing_key, json(&body))
    });
    events.collect()
}

#[test]
fn every_example_of_an_event_is_what_the_encoder_writes() {
    let examples: Vec<Value> = json_blocks(PAGE).into_iter().map(json).collect();
    let encoded: Vec<Value> = encoded().into_iter().map(|(_, body)| body).collect();
    for (example, body) in examples.iter().zip(&encoded) {
        assert_eq!(example, body, "\nthe encoder writes:\n{body}");
    }
    assert_eq!(examples.len(), encoded.len());
}

#[test]
fn the_table_of_data_names_exactly_the_keys_that_the_encoder_writes() {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let column = |first| -> BTreeSet<String> {
        let rows = rows(PAGE, first).into_iter();
        rows.map(|row| code(row[0]).to_owned()).collect()
    };
    let encoded = encoded();
    for (routing_key, body) in &encoded {
        let mut named = column("key of `data`");
        // Each of these is there only where it says something.
        if body["data"].get("origin").is_none() {
            named.remove("origin");
        }
        for (key, of) in [
            ("order_string", "app_pay.signed"),
            ("page_url", "page_pay.signed"),
            ("budget", "budget.warned"),
        ] {
            if of != routing_key {
                named.remove(key);
            }
        }
        assert_eq!(named, keys(&body["data"]), "{routing_key}");
    }
    let origins = encoded.iter().map(|(_, body)| body["data"].get("origin"));
    assert_eq!(origins.flatten().count(), 1);
    assert_eq!(column("attribute"), keys(&encoded[0].1));
    assert!(PAGE.contains(CONTENT_TYPE));
}

#[test]
fn the_table_of_events_names_every_routing_key() {
    let named: BTreeSet<String> = rows(PAGE, "routing key")
        .iter()
        .map(|row| code(row[0]).to_owned())
        .collect();
    let told: BTreeSet<String> = encoded()
        .into_iter()
        .map(|(routing_key, _)| match routing_key.split_once('.') {
            Some(("query" | "budget", _)) | None => routing_key,
            Some((_, result)) => format!("<kind>.{result}"),
        })
        .collect();
    assert_eq!(named, told);
}
