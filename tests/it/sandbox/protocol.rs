//! The protocol: the order of the checks, the shapes of answers, idempotency.

use hongbaod::adapters::alipay::sign::SignType;
use hongbaod::sandbox::faults::{Faults, IdempotencyKnob, Permission};
use serde_json::json;

use crate::sandbox::client::{
    DISBURSE, Lab, PAY, Params, QUERY, REFUND, Signature, disburse, query,
};

/// What a row does to a good call before it is signed.
type Change = fn(&mut Params);

fn set(params: &mut Params, name: &str, value: &str) {
    params.retain(|(known, _)| known != name);
    if !value.is_empty() {
        params.push((name.to_owned(), value.to_owned()));
    }
}

/// Each row breaks its own check and every later one that it can, so the order shows.
const CHECKS: [(&str, &str, Signature, Change); 16] = [
    ("40001", "isv.missing-app-id", Signature::None, |p| {
        set(p, "app_id", "")
    }),
    ("40002", "isv.invalid-app-id", Signature::None, |p| {
        set(p, "app_id", "2021");
        set(p, "method", "");
    }),
    ("40001", "isv.missing-method", Signature::Good, |p| {
        set(p, "method", "");
        set(p, "charset", "latin1");
    }),
    ("40002", "isv.invalid-method", Signature::Good, |p| {
        set(p, "method", "alipay.fund.trans.uni.transfer");
        set(p, "charset", "latin1");
    }),
    ("40002", "isv.invalid-charset", Signature::Good, |p| {
        set(p, "charset", "latin1");
        set(p, "format", "XML");
    }),
    ("40002", "isv.invalid-format", Signature::Good, |p| {
        set(p, "format", "XML");
        set(p, "version", "");
    }),
    ("40001", "isv.missing-version", Signature::Good, |p| {
        set(p, "version", "");
        set(p, "timestamp", "");
    }),
    ("40002", "isv.invalid-parameter", Signature::Good, |p| {
        set(p, "version", "2.0")
    }),
    ("40001", "isv.missing-timestamp", Signature::Good, |p| {
        set(p, "timestamp", "");
        set(p, "sign_type", "");
    }),
    ("40002", "isv.invalid-timestamp", Signature::Good, |p| {
        // A client in UTC is eight hours off.
        set(p, "timestamp", "2026-11-22 02:00:01");
        set(p, "sign_type", "");
    }),
    ("40002", "isv.invalid-timestamp", Signature::Good, |p| {
        set(p, "timestamp", "2026-11-22T10:00:01");
    }),
    ("40002", "isv.invalid-encrypt-type", Signature::Good, |p| {
        set(p, "encrypt_type", "DES");
    }),
    (
        "40001",
        "isv.missing-signature-type",
        Signature::Good,
        |p| {
            set(p, "sign_type", "");
            set(p, "app_auth_token", "expired");
        },
    ),
    (
        "40002",
        "isv.invalid-signature-type",
        Signature::Good,
        |p| {
            set(p, "sign_type", "SM2");
        },
    ),
    (
        "20001",
        "aop.app-auth-token-time-out",
        Signature::Good,
        |p| {
            set(p, "app_auth_token", "expired");
            set(p, "biz_content", "[");
        },
    ),
    ("40002", "isv.illegal-json", Signature::Good, |p| {
        set(p, "biz_content", "[")
    }),
];

#[tokio::test]
async fn each_check_answers_its_own_code_in_its_own_order() {
    let lab = Lab::start(Faults::default()).await;
    for (code, sub_code, signature, change) in CHECKS {
        let mut params = lab.params(DISBURSE, &disburse("1", "1.00").to_string());
        change(&mut params);
        let response = lab.post(&lab.sign(params)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/html;charset=utf-8"
        );
        let body = response.bytes().await.unwrap();
        let (node, found) = lab.read(&body, DISBURSE);
        assert_eq!(node["code"], code, "{sub_code}");
        assert_eq!(node["sub_code"], sub_code);
        assert_eq!(found, signature, "{sub_code}");
    }
    assert_eq!(lab.movements(), 0);
}

#[tokio::test]
async fn a_signature_is_needed_and_covers_every_param() {
    let lab = Lab::start(Faults::default()).await;
    let good = lab.sign(lab.params(DISBURSE, &disburse("1", "1.00").to_string()));
    let changes: [(&str, Change); 4] = [
        ("isv.missing-signature", |p| set(p, "sign", "")),
        ("isv.invalid-signature", |p| set(p, "sign", "bm8=")),
        ("isv.invalid-signature", |p| {
            set(p, "notify_url", "http://x.example")
        }),
        ("isv.invalid-signature", |p| {
            let other = disburse("1", "9.00").to_string();
            set(p, "biz_content", &other);
        }),
    ];
    for (sub_code, change) in changes {
        let mut params = good.clone();
        change(&mut params);
        let body = lab.post(&params).await.unwrap().bytes().await.unwrap();
        let (node, signature) = lab.read(&body, DISBURSE);
        assert_eq!(node["sub_code"], sub_code);
        assert_eq!(signature, Signature::Good);
    }
    assert_eq!(lab.movements(), 0);
}

#[tokio::test]
async fn params_may_be_in_the_query_or_in_the_body_or_in_both() {
    let lab = Lab::start(Faults::default()).await;
    let none = Params::new();
    for number in ["1", "2", "3"] {
        let mut content = disburse(number, "1.00");
        // Without a charset in the query string the body is read as GBK.
        content["order_title"] = json!("plain");
        let params = lab.sign(lab.params(DISBURSE, &content.to_string()));
        let response = match number {
            "1" => lab.post_parts(&params, &none).await,
            "2" => lab.post_parts(&none, &params).await,
            _ => lab.post_parts(&params, &params).await,
        };
        let body = response.unwrap().bytes().await.unwrap();
        let (node, signature) = lab.read(&body, DISBURSE);
        assert_eq!(node["code"], "10000", "{node}");
        assert_eq!(signature, Signature::Good);
    }
    assert_eq!(lab.movements(), 3);
}

#[tokio::test]
async fn the_older_sign_type_is_answered_in_kind() {
    let lab = Lab::start_signing(Faults::default(), SignType::Rsa).await;
    assert_eq!(
        lab.call(DISBURSE, &disburse("1", "1.00")).await["code"],
        "10000"
    );
}

#[tokio::test]
async fn money_answers_have_their_documented_fields() {
    let lab = Lab::start(Faults::default()).await;
    let share = lab.call(DISBURSE, &disburse("1", "2.50")).await;
    assert_eq!(
        share,
        json!({
            "code": "10000", "msg": "Success", "amount": "2.50", "status": "SUCCESS",
            "auth_no": "2026112210002001000000000002",
            "operation_id": "20261122000000000002",
            "out_order_no": "O1", "out_request_no": "R1",
            "gmt_trans": "2026-11-22 10:00:01",
        })
    );
    let packet = lab.packet_auth_no();
    let refund = json!({
        "auth_no": packet, "out_request_no": "F1", "amount": "1.00", "remark": "too late",
    });
    let back = lab.call(REFUND, &refund).await;
    assert_eq!(back["auth_no"], packet.as_str());
    assert_eq!(back["status"], "SUCCESS");
    assert_eq!(back.get("out_order_no"), None);
    let pay = json!({
        "out_order_no": "N", "out_request_no": "N", "order_title": "t", "amount": "5.00",
        "payer_user_id": "2088101000000009",
    });
    assert_eq!(lab.call(PAY, &pay).await["status"], "SUCCESS");

    let found = lab.call(QUERY, &query("O1", "R1")).await;
    assert_eq!(found["operation_type"], "PAY");
    assert_eq!(found["order_title"], "恭喜发财 & \"more\"");
    assert_eq!(found["payee_user_id"], "2088202000000007");
    assert_eq!(found["gmt_create"], "2026-11-22 10:00:01");
    let found = lab
        .call(QUERY, &json!({"auth_no": packet, "out_request_no": "F1"}))
        .await;
    assert_eq!(found["operation_type"], "REFUND");
    assert_eq!(found["remark"], "too late");
    assert_eq!(found["total_pay_refund_amount"], "1.00");
}

#[tokio::test]
async fn a_repeat_replays_or_is_a_violation_and_other_content_always_is() {
    for (idempotency, same) in [
        (IdempotencyKnob::Replay, "10000"),
        (IdempotencyKnob::AlreadyUsed, "40004"),
    ] {
        let faults = Faults {
            idempotency,
            ..Faults::default()
        };
        let lab = Lab::start(faults).await;
        let first = lab.call(DISBURSE, &disburse("1", "1.00")).await;
        let repeat = lab.call(DISBURSE, &disburse("1", "1.00")).await;
        assert_eq!(repeat["code"], same);
        if idempotency == IdempotencyKnob::Replay {
            assert_eq!(repeat, first);
        } else {
            assert_eq!(repeat["sub_code"], "UNIQUE_VIOLATION");
        }
        let other = lab.call(DISBURSE, &disburse("1", "2.00")).await;
        assert_eq!(other["sub_code"], "UNIQUE_VIOLATION");
        assert_eq!(other["out_request_no"], "R1");
        assert_eq!(lab.movements(), 1);
    }
}

#[tokio::test]
async fn racing_calls_never_take_more_than_the_packet_holds() {
    let lab = Lab::start(Faults::default()).await;
    let calls = (0..30).map(|number: u32| {
        let number = (number % 15).to_string();
        let lab = &lab;
        async move { lab.call(DISBURSE, &disburse(&number, "1.00")).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let succeeded = answers
        .iter()
        .filter(|node| node["code"] == "10000")
        .count();
    assert_eq!(lab.movements(), 10);
    assert!((10..=20).contains(&succeeded), "{succeeded}");
    let last = lab.call(DISBURSE, &disburse("99", "1.00")).await;
    assert_eq!(last["sub_code"], "ORDER_ALREADY_FINISH");
}

#[tokio::test]
async fn a_rate_limit_and_a_missing_permission_execute_nothing() {
    let limited = Faults {
        limit_per_second: Some(2),
        ..Faults::default()
    };
    let lab = Lab::start(limited).await;
    for number in ["1", "2"] {
        assert_eq!(
            lab.call(DISBURSE, &disburse(number, "1.00")).await["code"],
            "10000"
        );
    }
    let over = lab.call(DISBURSE, &disburse("3", "1.00")).await;
    assert_eq!(
        (&over["code"], &over["sub_code"]),
        (&json!("40005"), &json!("isv.method-call-limited"))
    );
    assert_eq!(lab.call(QUERY, &query("O1", "R1")).await["code"], "10000");
    lab.advance_ms(1_000);
    assert_eq!(
        lab.call(DISBURSE, &disburse("3", "1.00")).await["code"],
        "10000"
    );
    assert_eq!(lab.movements(), 3);

    let refused = Faults {
        permission: Permission::Refused,
        ..Faults::default()
    };
    lab.sandbox.set_faults(refused).unwrap();
    let over = lab.call(DISBURSE, &disburse("4", "1.00")).await;
    assert_eq!(over["code"], "40006");
    assert_eq!(lab.call(QUERY, &query("O1", "R1")).await["code"], "10000");
    assert_eq!(lab.movements(), 3);
}

#[tokio::test]
async fn bodies_over_the_limit_and_other_http_methods_than_get_and_post_are_refused() {
    let lab = Lab::start(Faults::default()).await;
    let url = lab.url("/gateway.do");
    // One byte over: of a longer one some would be unread when the sandbox closes, which resets the
    // connection and may lose the answer.
    let big = "x".repeat(128 * 1024 + 1);
    let big = lab.http.post(&url).body(big).send().await;
    assert_eq!(big.unwrap().status(), 413);
    assert_eq!(lab.http.put(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn health_checks_are_answered_beside_the_gateway() {
    let lab = Lab::start(Faults {
        hang_before_effect_permille: 1000,
        ..Faults::default()
    })
    .await;
    let answer = lab.http.get(lab.url("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "ok\n");
}
