//! Jobs and configurations with mistakes: every one is told, with its place.

use std::fs;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::cli::{disburse, run, run_with_input};

/// A line, what its refusal names, and a part of the fault.
type BadLine = (Vec<u8>, &'static str, &'static str);

fn with(field: &'static str, value: Value) -> impl FnOnce(&mut Map<String, Value>) {
    move |job| drop(job.insert(field.to_owned(), value))
}

fn without(field: &'static str) -> impl FnOnce(&mut Map<String, Value>) {
    move |job| drop(job.remove(field))
}

fn bad(
    change: impl FnOnce(&mut Map<String, Value>),
    field: &'static str,
    fault: &'static str,
) -> BadLine {
    (disburse(1, change).into_bytes(), field, fault)
}

fn whole(line: &[u8], fault: &'static str) -> BadLine {
    (line.to_vec(), "body", fault)
}

/// More than fifty lines: every sort of bad job.
fn bad_lines() -> Vec<BadLine> {
    [
        unreadable(),
        wrong_fields(),
        wrong_amounts(),
        wrong_pairs(),
        wrong_texts(),
        wrong_for_their_kind(),
    ]
    .concat()
}

fn unreadable() -> Vec<BadLine> {
    let mut not_utf8 = disburse(1, |_| {}).into_bytes();
    not_utf8[40] = 0xff;
    let title = with("order_title", json!("x".repeat(70_000)));
    vec![
        whole(b"not json", "is not a JSON object"),
        whole(b"{", "is not a JSON object"),
        whole(b"[]", "is not a JSON object"),
        whole(b"\"text\"", "is not a JSON object"),
        whole(b"null", "is not a JSON object"),
        whole(b"{} {}", "is not a JSON object"),
        whole(&not_utf8, "is not UTF-8"),
        bad(title, "body", "bytes long"),
    ]
}

fn wrong_fields() -> Vec<BadLine> {
    let twice = disburse(1, |_| {}).replace("\"kind\"", "\"amount\":\"1.00\",\"kind\"");
    let unknown = "is not a field of a job";
    let missing = "is missing";
    let null = with("out_request_no", Value::Null);
    vec![
        bad(with("ammount", json!("1.00")), "ammount", unknown),
        bad(with("Amount", json!("1.00")), "Amount", unknown),
        (twice.into_bytes(), "amount", "is given twice"),
        bad(without("amount"), "amount", missing),
        bad(without("out_request_no"), "out_request_no", missing),
        bad(without("out_order_no"), "out_order_no", missing),
        bad(without("order_title"), "order_title", missing),
        bad(without("kind"), "kind", missing),
        bad(null, "out_request_no", missing),
    ]
}

fn wrong_amounts() -> Vec<BadLine> {
    let table = [
        (json!(8.88), "not a number"),
        (json!(8), "not a number"),
        (json!(["1.00"]), "must be a text"),
        (json!("8.888"), "amount in yuan"),
        (json!("8.8"), "amount in yuan"),
        (json!("8"), "amount in yuan"),
        (json!("1e3"), "amount in yuan"),
        (json!(""), "amount in yuan"),
        (json!("-8.88"), "amount in yuan"),
        (json!("０.01"), "amount in yuan"),
        (json!("0.00"), "0.01"),
        (json!("100000000.01"), "100000000.00"),
        (json!("99999999999999999999.00"), "100000000.00"),
    ];
    table
        .into_iter()
        .map(|(amount, fault)| bad(with("amount", amount), "amount", fault))
        .collect()
}

fn wrong_pairs() -> Vec<BadLine> {
    let payee = "payee_user_id or payee_logon_id";
    let packet = "deduct_auth_no or deduct_out_order_no";
    let (only_one, one) = ("only one", "one of the two");
    vec![
        bad(
            with("payee_logon_id", json!("13800138000")),
            payee,
            only_one,
        ),
        bad(without("payee_user_id"), payee, one),
        bad(with("deduct_auth_no", json!("1")), packet, only_one),
        bad(without("deduct_out_order_no"), packet, one),
    ]
}

fn wrong_texts() -> Vec<BadLine> {
    let long = |length| json!("x".repeat(length));
    let labels: Map<String, Value> = (0..9).map(|n| (format!("k{n}"), json!("v"))).collect();
    let expired = json!("2020-01-01T00:00:00Z");
    let donate = with("kind", json!("donate"));
    let table = [
        ("payee_user_id", json!("20 88"), "must be"),
        ("out_request_no", json!("R 1"), "must be"),
        ("out_request_no", json!("红包"), "must be"),
        ("out_request_no", long(65), "must be"),
        ("out_order_no", json!("O/1"), "must be"),
        ("out_order_no", json!("P1"), "must differ"),
        ("order_title", long(101), "must be"),
        ("app", json!("other"), "is not configured"),
        ("not_after", expired, "has passed"),
        ("not_after", json!("tomorrow"), "RFC 3339"),
        ("labels", json!(labels), "at most 8"),
    ];
    table
        .into_iter()
        .map(|(field, value, fault)| bad(with(field, value), field, fault))
        .chain([bad(donate, "kind", "must be one of")])
        .collect()
}

fn wrong_for_their_kind() -> Vec<BadLine> {
    let refund = br#"{"kind":"refund","out_request_no":"R1","auth_no":"20261122","amount":"1.00"}"#;
    let query = br#"{"kind":"query","out_order_no":"O1","auth_no":"1","out_request_no":"R1"}"#;
    let half = br#"{"kind":"query","out_order_no":"O1"}"#;
    let pay = br#"{"kind":"pay","out_request_no":"R1","out_order_no":"O1","order_title":"t","amount":"1.00"}"#;
    let remark = with("remark", json!("r"));
    vec![
        bad(remark, "remark", "does not have this field"),
        (refund.to_vec(), "remark", "is missing"),
        (query.to_vec(), "auth_no or out_order_no", "only one"),
        (
            half.to_vec(),
            "operation_id or out_request_no",
            "one of the two",
        ),
        (pay.to_vec(), "payer_user_id", "is missing"),
    ]
}

#[test]
fn every_bad_line_is_told_with_its_number_field_and_fault() {
    let directory = TempDir::new().unwrap();
    configure(&directory, "");
    let lines = bad_lines();
    assert!(lines.len() >= 50, "{}", lines.len());
    let mut file = disburse(0, |_| {}).into_bytes();
    for (line, ..) in &lines {
        file.push(b'\n');
        file.extend_from_slice(line);
    }
    fs::write(directory.path().join("jobs.ndjson"), &file).unwrap();

    let ended = run(
        directory.path(),
        &["submit", "--file", "jobs.ndjson", "--dry-run"],
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(told.len(), lines.len(), "{}", ended.stderr);
    for (index, ((_, field, fault), told)) in lines.iter().zip(&told).enumerate() {
        let start = format!("line {}: {field}: ", index + 2);
        assert!(told.starts_with(&start), "{start:?} is wanted: {told}");
        assert!(told.contains(fault), "{fault:?} is wanted: {told}");
    }
    let summary = format!("valid 1, refused {},", lines.len());
    assert!(ended.stdout.starts_with(&summary), "{}", ended.stdout);

    // The same from the standard input, for programs.
    let arguments = ["submit", "--file", "-", "--dry-run", "--json"];
    let ended = run_with_input(directory.path(), &arguments, &file);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let mut told: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = told.pop().unwrap();
    assert_eq!(summary["summary"]["refused"], lines.len());
    assert_eq!(summary["summary"]["valid"], 1);
    for (index, ((_, field, _), told)) in lines.iter().zip(&told).enumerate() {
        assert_eq!(told["line"], index + 2);
        assert_eq!(told["errors"][0]["field"], *field, "{told}");
    }
}

#[test]
fn all_mistakes_of_a_line_are_told_together_and_no_persons_value_is_repeated() {
    let directory = TempDir::new().unwrap();
    configure(&directory, "");
    let line = disburse(1, |job| {
        job.insert("amount".to_owned(), json!(8.88));
        job.remove("payee_user_id");
        job.insert(
            "payee_logon_id".to_owned(),
            json!("13800138000 13800138000"),
        );
        job.remove("order_title");
    });
    let arguments = ["submit", "--file", "-", "--dry-run"];
    let ended = run_with_input(directory.path(), &arguments, line.as_bytes());
    for field in ["amount: ", "payee_logon_id: ", "order_title: "] {
        assert!(ended.stderr.contains(field), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("13800138"), "{}", ended.stderr);
}

#[test]
fn a_configuration_with_many_mistakes_tells_them_all_and_exits_78() {
    let directory = TempDir::new().unwrap();
    let text = "[rabbitmq]\nprefix = \"HONGBAO\"\nurl = \"amqp://x\"\n[ledger]\nlease = 20\n\
        retention = \"1d\"\n[retry]\nmultiplier = 0.5\n[alipay.apps.main]\napp_id = \"1\"\n\
        private_key_file = \"nowhere.pem\"\nalipay_public_key = \"k\"\n";
    fs::write(directory.path().join("hongbaod.toml"), text).unwrap();
    let keys = [
        "rabbitmq.prefix",
        "rabbitmq.url",
        "ledger.lease",
        "ledger.retention",
        "retry.multiplier",
        "alipay.apps.main.app_id",
        "alipay.apps.main.private_key_file",
    ];
    for command in ["run", "check"] {
        let ended = run(directory.path(), &[command]);
        assert_eq!(ended.code, Some(78), "{command}");
        let told = ended.stdout + &ended.stderr;
        for key in keys {
            assert!(told.contains(key), "{command}: {key} is missing in\n{told}");
        }
    }
    // Whoever only sends jobs needs no keys, but the rest must be right.
    let arguments = ["submit", "--file", "-", "--dry-run"];
    let ended = run_with_input(directory.path(), &arguments, b"");
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("ledger.lease") && !ended.stderr.contains("apps.main"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        ["check", "--config", "x.toml"],
        ["run", "--config", "x.toml"],
    ] {
        let ended = run(directory.path(), &arguments);
        assert_eq!(ended.code, Some(78), "{arguments:?}");
        assert!((ended.stdout + &ended.stderr).contains("x.toml"));
    }
    let ended = run(
        directory.path(),
        &["submit", "--file", "gone.ndjson", "--dry-run"],
    );
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("gone.ndjson"), "{}", ended.stderr);
}

/// Writes a configuration with one app whose keys nobody looks at.
fn configure(directory: &TempDir, more: &str) {
    let text = format!(
        "{more}[alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"k\"\n\
         alipay_public_key = \"k\"\n"
    );
    fs::write(directory.path().join("hongbaod.toml"), text).unwrap();
}
