//! Each fault as a client sees it, and what became of the money.

use std::time::Duration;

use hongbaod::adapters::alipay::wire::{Envelope, EnvelopeError, form_encode, node_name};
use hongbaod::sandbox::faults::{Fault, Faults};
use serde_json::json;

use crate::sandbox::client::{DISBURSE, Lab, QUERY, Signature, disburse, query};

/// What a client saw of one call.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Answer { code: String, signature: Signature },
    Status(u16),
    Envelope(EnvelopeError),
    Broken,
    Timeout,
}

fn only(fault: Fault) -> Faults {
    let knobs = format!(
        r#"{{"{}_permille":1000,"faults_per_number_max":1}}"#,
        fault.as_str()
    );
    Faults::from_json(knobs.as_bytes()).unwrap()
}

async fn see(lab: &Lab, number: &str, timeout: Duration) -> Seen {
    let params = lab.sign(lab.params(DISBURSE, &disburse(number, "1.00").to_string()));
    let response = tokio::time::timeout(timeout, lab.post(&params)).await;
    let Ok(response) = response else {
        return Seen::Timeout;
    };
    let Ok(response) = response else {
        return Seen::Broken;
    };
    if response.status() != 200 {
        return Seen::Status(response.status().as_u16());
    }
    let body = response.bytes().await.unwrap();
    if let Err(error) = Envelope::parse(&body, &node_name(DISBURSE)) {
        return Seen::Envelope(error);
    }
    let (node, signature) = lab.read(&body, DISBURSE);
    let code = node["code"].as_str().unwrap().to_owned();
    Seen::Answer { code, signature }
}

const PATIENT: Duration = Duration::from_secs(20);

fn answer(code: &str, signature: Signature) -> Seen {
    Seen::Answer {
        code: code.to_owned(),
        signature,
    }
}

#[tokio::test]
async fn every_plain_fault_shows_its_answer_and_its_effect() {
    let rows = [
        (Fault::InProgressDone, answer("10003", Signature::Good), 1),
        (Fault::InProgressNever, answer("10003", Signature::Good), 0),
        (
            Fault::UnknownWithEffect,
            answer("20000", Signature::Good),
            1,
        ),
        (
            Fault::UnknownWithoutEffect,
            answer("20000", Signature::Good),
            0,
        ),
        (Fault::ResetAfterEffect, Seen::Broken, 1),
        (Fault::ResetBeforeEffect, Seen::Broken, 0),
        (
            Fault::TruncatedAnswer,
            Seen::Envelope(EnvelopeError::Json),
            1,
        ),
        (Fault::Limited, answer("40005", Signature::Good), 0),
    ];
    for (fault, seen, movements) in rows {
        let lab = Lab::start(only(fault)).await;
        assert_eq!(see(&lab, "1", PATIENT).await, seen, "{fault:?}");
        assert_eq!(lab.movements(), movements, "{fault:?}");
        // One fault is all that this number suffers; the second call is told the truth.
        let second = see(&lab, "1", PATIENT).await;
        assert_eq!(second, answer("10000", Signature::Good), "{fault:?}");
        assert_eq!(lab.movements(), 1, "{fault:?}");
        let injected = lab.sandbox.books().faults_injected;
        assert_eq!(injected.get(fault.as_str()), Some(&1));
    }
}

#[tokio::test]
async fn faults_with_two_sides_show_both() {
    let lie = |signature| (answer("40004", signature), answer("10000", signature));
    let page = || (Seen::Status(502), Seen::Status(502));
    let twice = || {
        let seen = || Seen::Envelope(EnvelopeError::Duplicate);
        (seen(), seen())
    };
    let rows = [
        (Fault::HtmlErrorPage, page()),
        (Fault::ForgedSignature, lie(Signature::Bad)),
        (Fault::MissingSignature, lie(Signature::None)),
        (Fault::DuplicateNode, twice()),
    ];
    for (fault, (after_effect, without_effect)) in rows {
        let lab = Lab::start(only(fault)).await;
        let (mut done, mut forgotten) = (0, 0);
        for number in 0..10_u32 {
            let before = lab.movements();
            let seen = see(&lab, &number.to_string(), PATIENT).await;
            if lab.movements() > before {
                assert_eq!(seen, after_effect, "{fault:?}");
                done += 1;
            } else {
                assert_eq!(seen, without_effect, "{fault:?}");
                forgotten += 1;
            }
        }
        assert!(done > 0 && forgotten > 0, "{fault:?}: {done} of 10 done");
    }
}

#[tokio::test]
async fn a_hanging_call_answers_nothing_in_time() {
    for (fault, movements) in [(Fault::HangAfterEffect, 1), (Fault::HangBeforeEffect, 0)] {
        let lab = Lab::start(only(fault)).await;
        let seen = see(&lab, "1", Duration::from_millis(200)).await;
        assert_eq!(seen, Seen::Timeout);
        assert_eq!(lab.movements(), movements, "{fault:?}");
    }
}

#[tokio::test]
async fn stopping_resets_what_hangs_instead_of_waiting_for_it() {
    let lab = Lab::start(only(Fault::HangAfterEffect)).await;
    let params = lab.sign(lab.params(DISBURSE, &disburse("1", "1.00").to_string()));
    let request = lab.http.post(lab.url("/gateway.do?charset=utf-8"));
    let hanging = tokio::spawn(request.body(form_encode(params)).send());
    while lab.sandbox.books().faults_injected.is_empty() {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::time::timeout(PATIENT, lab.sandbox.stop());
    assert!(stopped.await.is_ok());
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn a_short_hang_ends_in_the_truth_or_in_a_reset() {
    let rows = [
        (Fault::HangAfterEffect, answer("10000", Signature::Good), 1),
        (Fault::HangBeforeEffect, Seen::Broken, 0),
    ];
    for (fault, seen, movements) in rows {
        let faults = Faults {
            hang_ms: 50,
            ..only(fault)
        };
        let lab = Lab::start(faults).await;
        assert_eq!(see(&lab, "1", PATIENT).await, seen, "{fault:?}");
        assert_eq!(lab.movements(), movements);
    }
}

#[tokio::test]
async fn every_answer_is_held_back_by_the_delay_after_its_effect() {
    let faults = Faults {
        delay_ms: 5_000,
        ..Faults::default()
    };
    let lab = Lab::start(faults).await;
    assert_eq!(
        see(&lab, "1", Duration::from_millis(200)).await,
        Seen::Timeout
    );
    assert_eq!(lab.movements(), 1);
}

#[tokio::test]
async fn money_in_progress_moves_when_its_delay_is_over() {
    let faults = Faults {
        effect_delay_ms: 3_000,
        ..only(Fault::InProgressDone)
    };
    let lab = Lab::start(faults).await;
    let seen = see(&lab, "1", PATIENT).await;
    assert_eq!(seen, answer("10003", Signature::Good));
    let ask = query("O1", "R1");
    let found = lab.call(QUERY, &ask).await;
    assert_eq!(
        (&found["status"], found.get("gmt_trans")),
        (&json!("INIT"), None)
    );
    assert_eq!(lab.movements(), 0);
    lab.advance_ms(3_000);
    let found = lab.call(QUERY, &ask).await;
    assert_eq!(found["status"], "SUCCESS");
    assert_eq!(found["gmt_trans"], "2026-11-22 10:00:04");
    assert_eq!(lab.movements(), 1);
}

#[tokio::test]
async fn a_query_may_be_unanswered_or_too_early() {
    let faults = Faults {
        query_lag_ms: 2_000,
        ..only(Fault::QueryUnknown)
    };
    let lab = Lab::start(faults).await;
    assert_eq!(
        lab.call(DISBURSE, &disburse("1", "1.00")).await["code"],
        "10000"
    );
    let ask = query("O1", "R1");
    assert_eq!(lab.call(QUERY, &ask).await["code"], "20000");
    let early = lab.call(QUERY, &ask).await;
    assert_eq!(early["sub_code"], "AUTH_ORDER_NOT_EXIST");
    lab.advance_ms(2_000);
    assert_eq!(lab.call(QUERY, &ask).await["status"], "SUCCESS");
}
