use proptest::prelude::*;

use super::{BODY_BYTES_MAX, decode, encode};
use crate::domain::ident::AppName;
use crate::domain::job::{Job, Kind};

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

#[test]
#[expect(clippy::too_many_lines, reason = "a table of bodies and their faults")]
fn every_mistake_is_named_with_its_field() {
    let table: Vec<(Vec<u8>, &str)> = vec![
        (
            b"hello".to_vec(),
            "body: is not a JSON object: line 1, column 1",
        ),
        (
            b"[]".to_vec(),
            "body: is not a JSON object: line 1, column 0",
        ),
        (
            b"{\"kind\":\"\xff\"}".to_vec(),
            "body: is not UTF-8: byte 9 is wrong",
        ),
        (
            vec![b' '; BODY_BYTES_MAX + 1],
            "body: is 65537 bytes long; at most 65536 are read",
        ),
        (
            b"{}".to_vec(),
            "kind: is missing; one of disburse, refund, query, pay, app_pay, page_pay",
        ),
        (
            with("\"disburse\"", "\"donate\""),
            "kind: must be one of disburse, refund, query, pay, app_pay, page_pay",
        ),
        (
            with("\"amount\"", "\"ammount\""),
            "ammount: is not a field of a job; free data goes under labels; amount: is missing; a disburse job needs it",
        ),
        (
            with("\"amount\":\"8.88\",", ""),
            "amount: is missing; a disburse job needs it",
        ),
        (
            with("\"8.88\"", "8.88"),
            "amount: must be a text in quotes, such as \"8.88\", not a number: numbers lose fen",
        ),
        (
            with("8.88", "8.888"),
            "amount: is not an amount in yuan with two decimals, such as \"8.88\"",
        ),
        (
            with("8.88", "0.00"),
            "amount: is outside 0.01 to 100000000.00 yuan",
        ),
        (
            with("8.88", "-8.88"),
            "amount: is not an amount in yuan with two decimals, such as \"8.88\"",
        ),
        (
            with("8.88", "100000000.01"),
            "amount: is outside 0.01 to 100000000.00 yuan",
        ),
        (
            with(
                "\"payee_user_id\"",
                "\"payee_logon_id\":\"13800000000\",\"payee_user_id\"",
            ),
            "payee_user_id or payee_logon_id: only one of the two may be given",
        ),
        (
            with("\"payee_user_id\":\"2088000000000001\",", ""),
            "payee_user_id or payee_logon_id: one of the two must be given",
        ),
        (
            with("\"R1\"", "\"R 1\""),
            "out_request_no: must be 1 to 64 of A-Z, a-z, 0-9, _ and -",
        ),
        (
            with("\"R1\"", "null"),
            "out_request_no: is missing; a disburse job needs it",
        ),
        (
            with("\"R1\"", "7"),
            "out_request_no: must be a text, not a number",
        ),
        (
            with("\"O1\"", "\"P1\""),
            "out_order_no: must differ from deduct_out_order_no: a disburse is an order of its own",
        ),
        (
            with("\"kind\"", "\"app\":\"A!\",\"kind\""),
            "app: must be 1 to 32 of a-z, 0-9, _ and -",
        ),
        (
            with("\"kind\"", "\"remark\":\"x\",\"kind\""),
            "remark: a disburse job does not have this field",
        ),
        (
            with("\"amount\"", "\"amount\":\"8.88\",\"amount\""),
            "amount: is given twice",
        ),
        (
            with("2026-11-22T10:00:00+08:00", "tomorrow"),
            "not_after: must be an RFC 3339 instant with an offset, such as \"2026-11-22T10:00:00+08:00\"",
        ),
        (
            with("{\"room\":\"42\"}", "{\"room\":42}"),
            "labels.room: must be a text, not a number",
        ),
        (
            with("{\"room\":\"42\"}", "[]"),
            "labels: must be an object of texts, not a list",
        ),
        (
            with("\"room\"", "\"ro om\""),
            "labels: a label's key must be 1 to 64 of A-Z, a-z, 0-9, _, - and .",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(
            faults(&body),
            expected,
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
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
