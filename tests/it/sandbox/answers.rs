//! The forms of requests and answers: charsets, escapes, blanks; and who may call, how often.

use hongbaod::adapters::alipay::sign::{SignType, canonical_bytes};
use hongbaod::adapters::alipay::wire::{Envelope, form_encode_bytes, node_name};
use hongbaod::sandbox::faults::{
    AnswerKnobs, ErrorCharset, Faults, InnerSign, Permission, Slashes, Whitespace,
};
use serde_json::{Value, json};

use crate::sandbox::client::{DISBURSE, Lab, PAY, Params, QUERY, Signature, disburse, pay, query};

/// What came back: the raw bytes, their node, how it is signed, and what they are called.
struct Answer {
    body: Vec<u8>,
    node: Value,
    signature: Signature,
    content_type: String,
}

async fn answer(lab: &Lab, method: &str, response: reqwest::Response) -> Answer {
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.bytes().await.unwrap().to_vec();
    let (node, signature) = lab.read(&body, method);
    Answer {
        body,
        node,
        signature,
        content_type,
    }
}

async fn call(lab: &Lab, method: &str, content: &Value) -> Answer {
    let params = lab.sign(lab.params(method, &content.to_string()));
    let response = lab.post(&params).await.unwrap();
    answer(lab, method, response).await
}

/// Makes a call in GBK: signed over GBK bytes, written in them, all in the query string.
async fn call_in_gbk(lab: &Lab, method: &str, content: &Value, charset: Option<&str>) -> Answer {
    let mut params = lab.params(method, &content.to_string());
    params.retain(|(name, _)| name != "charset");
    params.extend(charset.map(|charset| ("charset".to_owned(), charset.to_owned())));
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let mut encoded: Vec<_> = params.iter().map(|(k, v)| (gbk(k), gbk(v))).collect();
    let message = canonical_bytes(encoded.iter().map(|(k, v)| (&**k, &**v)));
    let sign = lab.signer.sign(&message).unwrap();
    encoded.push((b"sign".to_vec(), sign.into_bytes()));
    let url = lab.url(&format!("/gateway.do?{}", form_encode_bytes(encoded)));
    let response = lab.http.post(url).send().await.unwrap();
    answer(lab, method, response).await
}

fn answers(answers: AnswerKnobs) -> Faults {
    Faults {
        answers,
        ..Faults::default()
    }
}

#[tokio::test]
async fn a_call_in_gbk_or_without_charset_is_understood_and_answered_in_gbk() {
    for (sign_type, charset) in [
        (SignType::Rsa2, Some("gbk")),
        (SignType::Rsa, Some("GBK")),
        (SignType::Rsa2, None),
    ] {
        let lab = Lab::start_signing(Faults::default(), sign_type).await;
        let title = "恭喜发财，大吉大利";
        let mut content = disburse("1", "1.00");
        content["order_title"] = json!(title);
        let done = call_in_gbk(&lab, DISBURSE, &content, charset).await;
        assert_eq!(
            (&done.node["code"], done.signature),
            (&json!("10000"), Signature::Good)
        );
        assert_eq!(done.content_type, "text/html;charset=GBK");
        let found = call_in_gbk(&lab, QUERY, &query("O1", "R1"), charset).await;
        assert_eq!(found.node["order_title"], title);
        assert_eq!(found.signature, Signature::Good);
        assert!(std::str::from_utf8(&found.body).is_err());
        // A call in UTF-8 about the same order is answered in UTF-8.
        let found = call(&lab, QUERY, &query("O1", "R1")).await;
        assert_eq!(found.node["order_title"], title);
        assert!(std::str::from_utf8(&found.body).is_ok());
    }
}

#[tokio::test]
async fn a_body_in_utf8_without_charset_in_the_query_string_is_misread() {
    let lab = Lab::start(Faults::default()).await;
    let params = lab.sign(lab.params(DISBURSE, &disburse("1", "1.00").to_string()));
    let response = lab.post_parts(&Params::new(), &params).await.unwrap();
    let turned_away = answer(&lab, DISBURSE, response).await;
    assert_eq!(turned_away.node["sub_code"], "isv.invalid-signature");
    assert_eq!(lab.movements(), 0);
}

#[tokio::test]
async fn errors_may_come_in_gbk_to_calls_in_utf8() {
    let lab = Lab::start(answers(AnswerKnobs {
        errors: ErrorCharset::Gbk,
        ..AnswerKnobs::default()
    }))
    .await;
    let good = call(&lab, DISBURSE, &disburse("1", "1.00")).await;
    assert_eq!(good.content_type, "text/html;charset=utf-8");
    let refused = call(&lab, DISBURSE, &disburse("2", "99.00")).await;
    assert_eq!(refused.node["sub_code"], "MONEY_NOT_ENOUGH");
    assert_eq!(refused.node["sub_msg"], "本次操作的金额超过剩余可用金额");
    assert_eq!(refused.signature, Signature::Good);
    assert_eq!(refused.content_type, "text/html;charset=GBK");
    assert!(std::str::from_utf8(&refused.body).is_err());
    let mut params = lab.params(DISBURSE, "{}");
    params.retain(|(name, _)| name != "app_id");
    let response = lab.post(&params).await.unwrap();
    let unsigned = answer(&lab, DISBURSE, response).await;
    assert_eq!(
        (unsigned.signature, unsigned.content_type.as_str()),
        (Signature::None, "text/html;charset=GBK")
    );
}

#[tokio::test]
async fn every_form_of_an_answer_verifies_and_says_the_same() {
    let slashed = "和/气 \"}\" 生财";
    let mut content = disburse("1", "1.00");
    content["order_title"] = json!(slashed);
    for slashes in [
        Slashes::Plain,
        Slashes::Escaped,
        Slashes::EscapedAfterSigning,
    ] {
        for whitespace in [Whitespace::Compact, Whitespace::Pretty] {
            for inner_sign in [InnerSign::Absent, InnerSign::Present] {
                let knobs = AnswerKnobs {
                    slashes,
                    whitespace,
                    inner_sign,
                    ..AnswerKnobs::default()
                };
                let lab = Lab::start(answers(knobs)).await;
                call(&lab, DISBURSE, &content).await;
                let found = call(&lab, QUERY, &query("O1", "R1")).await;
                assert_eq!(found.signature, Signature::Good, "{knobs:?}");
                assert_eq!(found.node["order_title"], slashed, "{knobs:?}");
                let text = String::from_utf8(found.body).unwrap();
                assert_eq!(text.contains(r"\/"), slashes != Slashes::Plain);
                assert_eq!(text.contains("\n"), whitespace == Whitespace::Pretty);
                let has_inner = found.node.get("sign").is_some();
                assert_eq!(has_inner, inner_sign == InnerSign::Present);
            }
        }
    }
}

#[tokio::test]
async fn tokens_are_valid_expired_invalid_or_without_the_interface() {
    let lab = Lab::start(Faults::default()).await;
    let rows = [
        ("202611BB0123456789abcdef", "10000", None),
        ("expired-1", "20001", Some("aop.app-auth-token-time-out")),
        (
            "noapi-1",
            "20001",
            Some("aop.invalid-app-auth-token-no-api"),
        ),
        ("invalid-1", "20001", Some("aop.invalid-app-auth-token")),
    ];
    for (token, code, sub_code) in rows {
        let mut params = lab.params(DISBURSE, &disburse("1", "1.00").to_string());
        params.push(("app_auth_token".to_owned(), token.to_owned()));
        let response = lab.post(&lab.sign(params)).await.unwrap();
        let told = answer(&lab, DISBURSE, response).await;
        assert_eq!(told.node["code"], code, "{token}");
        assert_eq!(told.node.get("sub_code").and_then(Value::as_str), sub_code);
        assert_eq!(told.signature, Signature::Good);
    }
    assert_eq!(lab.movements(), 1);
}

#[tokio::test]
async fn token_permission_limit_and_content_are_checked_in_this_order() {
    let faults = Faults {
        permission: Permission::Refused,
        limit_per_second: Some(0),
        ..Faults::default()
    };
    let lab = Lab::start(faults.clone()).await;
    let mut params = lab.params(DISBURSE, "[");
    params.push(("app_auth_token".to_owned(), "expired".to_owned()));
    let response = lab.post(&lab.sign(params)).await.unwrap();
    let told = answer(&lab, DISBURSE, response).await;
    assert_eq!(told.node["code"], "20001");
    assert_eq!(call(&lab, DISBURSE, &json!([])).await.node["code"], "40006");
    let permitted = Faults {
        permission: Permission::Granted,
        ..faults
    };
    lab.sandbox.set_faults(permitted).unwrap();
    assert_eq!(call(&lab, DISBURSE, &json!([])).await.node["code"], "40005");
    lab.sandbox.set_faults(Faults::default()).unwrap();
    let told = call(&lab, DISBURSE, &json!([])).await;
    assert_eq!(told.node["sub_code"], "isv.illegal-json");
}

#[tokio::test]
async fn the_hundred_and_first_disburse_of_a_second_is_limited_and_not_executed() {
    let lab = Lab::start(Faults {
        limit_per_second: Some(100),
        ..Faults::default()
    })
    .await;
    for number in 0..100_u32 {
        let done = call(&lab, DISBURSE, &disburse(&number.to_string(), "0.01")).await;
        assert_eq!(done.node["code"], "10000");
    }
    let over = call(&lab, DISBURSE, &disburse("100", "0.01")).await;
    assert_eq!(over.node["sub_code"], "isv.method-call-limited");
    assert_eq!(lab.movements(), 100);
    // Another interface has its own count, and so has the next second.
    assert_eq!(
        call(&lab, PAY, &pay("N", "1.00")).await.node["code"],
        "10000"
    );
    lab.advance_ms(1_000);
    let later = call(&lab, DISBURSE, &disburse("100", "0.01")).await;
    assert_eq!(later.node["code"], "10000");
}

#[tokio::test]
async fn timestamps_are_of_gmt8_and_within_a_quarter_of_an_hour() {
    let lab = Lab::start(Faults::default()).await;
    for (timestamp, good) in [
        ("2026-11-22 10:15:01", true),
        ("2026-11-22 09:45:02", true),
        ("2026-11-22 10:15:02", false),
        ("2026-11-22 09:45:00", false),
        ("2026-11-22 02:00:01", false),
    ] {
        let mut params = lab.params(QUERY, &query("P", "P").to_string());
        params.retain(|(name, _)| name != "timestamp");
        params.push(("timestamp".to_owned(), timestamp.to_owned()));
        let response = lab.post(&lab.sign(params)).await.unwrap();
        let told = answer(&lab, QUERY, response).await;
        let sub_code = told.node.get("sub_code").and_then(Value::as_str);
        let expected = (!good).then_some("isv.invalid-timestamp");
        assert_eq!(sub_code, expected, "{timestamp}");
    }
}

#[tokio::test]
async fn an_answer_names_no_certificate_outside_certificate_mode() {
    let lab = Lab::start(Faults::default()).await;
    let done = call(&lab, DISBURSE, &disburse("1", "1.00")).await;
    let envelope = Envelope::parse(&done.body, &node_name(DISBURSE)).unwrap();
    assert_eq!(envelope.alipay_cert_sn, None);
}
