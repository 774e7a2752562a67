use proptest::prelude::*;

use serde_json::Value;

use super::{decode, encode, instant};
use crate::domain::ident::AppName;
use crate::domain::job::{Job, Kind};
use crate::domain::time::UnixMillis;

const DISBURSE: &str = r#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1",
    "order_title":"恭喜发财","amount":"8.88","payee_user_id":"2088000000000001","labels":{"room":"42"},
    "not_after":"2026-11-22T10:00:00+08:00"}"#;
const REFUND: &str = r#"{"kind":"refund","out_request_no":"R2","auth_no":"2026112210002001950000000001","amount":"0.01","remark":"rest"}"#;
const PAY: &str = r#"{"kind":"pay","out_request_no":"R3","out_order_no":"O3","order_title":"t","amount":"100.00","payer_user_id":"2088000000000009","order_expired_time":"1h"}"#;
const QUERY: &str = r#"{"kind":"query","out_order_no":"O1","out_request_no":"R1"}"#;

fn main_app() -> AppName {
    AppName::new("main").unwrap()
}

fn faults(body: &[u8]) -> String {
    decode(body, Some(&main_app())).unwrap_err().summary()
}

#[test]
fn each_kind_is_read_and_written_back_as_the_same_job() {
    for (body, kind) in [
        (DISBURSE, Kind::Disburse),
        (REFUND, Kind::Refund),
        (PAY, Kind::Pay),
    ] {
        let job = decode(body.as_bytes(), Some(&main_app())).unwrap();
        assert_eq!(job.kind(), kind);
        let Job::Money(money) = &job else {
            panic!("a money job")
        };
        assert_eq!(decode(&encode(money), None).unwrap(), job);
    }
    assert_eq!(
        decode(QUERY.as_bytes(), Some(&main_app())).unwrap().kind(),
        Kind::Query
    );
}

/// A disburse with one member replaced (by its start) or added.
fn with(start: &str, replacement: &str) -> Vec<u8> {
    let text = DISBURSE.replacen(start, replacement, 1);
    assert_ne!(text, DISBURSE, "{start}");
    text.into_bytes()
}

/// Bodies and what is wrong with them; `tests/contracts` asks the schema about the same ones.
const BAD_JOBS: &str = include_str!("../../../tests/contracts/bad_jobs.json");

/// The bytes of a body in the list: text, or hexadecimal, or text with blanks behind it.
fn bytes(job: &Value) -> Vec<u8> {
    if let Some(hex) = job["hex"].as_str() {
        let places = (0..hex.len()).step_by(2);
        return places
            .map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap())
            .collect();
    }
    let mut body = job["body"].as_str().unwrap().as_bytes().to_vec();
    if let Some(length) = job["blanks_to"].as_u64() {
        body.resize(usize::try_from(length).unwrap(), b' ');
    }
    body
}

#[test]
fn every_mistake_is_named_with_its_field() {
    let list: Value = serde_json::from_str(BAD_JOBS).unwrap();
    let jobs = list["jobs"].as_array().unwrap();
    assert!(jobs.len() > 90, "{}", jobs.len());
    for job in jobs {
        let said = faults(&bytes(job));
        assert_eq!(said, job["error"].as_str().unwrap(), "{job}");
    }
}

#[test]
fn instants_are_taken_as_rfc_3339_spells_them() {
    for (text, millis) in [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01t08:00:01.5+08:00", 1_500),
        ("1970-01-01T00:00:00.123456789z", 123),
        ("1970-01-01T00:00:01-00:00", 1_000),
        ("1969-12-31T23:59:59Z", 0),
        ("0000-01-01T00:00:00+23:59", 0),
        ("9999-12-30T22:00:00Z", 253_402_207_200_000),
    ] {
        assert_eq!(instant(text), Some(UnixMillis(millis)), "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let body = br#"{"kind":"refund","out_request_no":"","amount":"1","remark":"","x":1}"#;
    let text = faults(body);
    for field in [
        "x: ",
        "out_request_no: ",
        "auth_no: ",
        "amount: ",
        "remark: ",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
}

#[test]
fn a_logon_id_never_reaches_an_error() {
    let body = with(
        "\"payee_user_id\":\"2088000000000001\"",
        "\"payee_logon_id\":\"a person@example.com\"",
    );
    assert!(!faults(&body).contains("person"), "{}", faults(&body));
}

#[test]
fn a_readable_number_survives_other_mistakes() {
    let bad = decode(&with("8.88", "x"), Some(&main_app())).unwrap_err();
    assert_eq!(bad.readable.unwrap().out_request_no.as_str(), "R1");
    assert_eq!(
        decode(&with("\"R1\"", "\"\""), Some(&main_app()))
            .unwrap_err()
            .readable,
        None
    );
}

#[test]
fn thousands_of_mistakes_make_no_long_text() {
    let fields: Vec<String> = (0..3_000).map(|n| format!("\"f{n}\":1")).collect();
    let labels: Vec<String> = (0..3_000).map(|n| format!("\"f{n}\":1")).collect();
    let twice = ",\"remark\":\"a\"".repeat(1_000);
    for bad in [
        format!("{{\"kind\":\"refund\",{}}}", fields.join(",")),
        format!(
            "{{\"kind\":\"refund\",\"labels\":{{{}}}}}",
            labels.join(",")
        ),
        format!("{{\"kind\":\"refund\"{twice}}}"),
    ] {
        let summary = decode(bad.as_bytes(), Some(&main_app()))
            .unwrap_err()
            .summary();
        assert!(summary.len() < 3_000, "{} bytes", summary.len());
    }
}

#[test]
fn without_a_default_app_the_job_must_name_one() {
    let error = decode(REFUND.as_bytes(), None).unwrap_err().summary();
    assert_eq!(
        error,
        "app: is missing, and no default app is configured (alipay.default_app)"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_by_an_error(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        // Whatever it is, it is a job or a list of mistakes.
        if let Err(bad) = decode(&body, None) {
            prop_assert!(!bad.errors.is_empty());
        }
    }

    #[test]
    fn cutting_a_body_short_is_always_noticed(length in 0..DISBURSE.len()) {
        let short = DISBURSE.as_bytes().get(..length).unwrap_or_default();
        prop_assert!(decode(short, Some(&main_app())).is_err());
    }
}
