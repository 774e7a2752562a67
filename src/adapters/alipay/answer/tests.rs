use super::*;

use std::sync::LazyLock;

use encoding_rs::GBK;
use proptest::prelude::*;

use crate::adapters::alipay::codes::CodeRow;
use crate::adapters::alipay::keys::PrivateKey;
use crate::adapters::alipay::sign::{SignType, Signer};
use crate::adapters::alipay::wire::sign_envelope;

static ALIPAY: LazyLock<(Signer, [Arc<Verifier>; 1])> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    let signer = Signer::new(key, SignType::Rsa2).unwrap();
    (signer, [Arc::new(verifier)])
});

static CODES: LazyLock<Codes> = LazyLock::new(Codes::default);

const SUCCESS: &str = r#"{"code":"10000","msg":"Success","amount":"8.88","auth_no":"2026112210002001950287006752","gmt_trans":"2026-11-22 10:00:01","operation_id":"20261122312616259502","out_order_no":"O1","out_request_no":"R1","status":"SUCCESS"}"#;

fn judge(method: Method) -> Judge<'static> {
    Judge {
        method,
        verifiers: &ALIPAY.1,
        charset: Charset::Utf8,
        content_key: None,
        codes: &CODES,
    }
}

fn expected() -> Expected {
    Expected {
        out_request_no: MerchantNo::new("R1").unwrap(),
        amount: Fen::new(888).unwrap(),
    }
}

fn target() -> QueryTarget {
    QueryTarget {
        order: OrderRef::OutOrderNo(MerchantNo::new("O1").unwrap()),
        operation: OperationRef::OutRequestNo(MerchantNo::new("R1").unwrap()),
    }
}

fn signed(method: Method, node: &str) -> String {
    sign_envelope(&ALIPAY.0, method.node_name(), node).unwrap()
}

fn unsigned(method: Method, node: &str) -> String {
    format!(r#"{{"{}":{node}}}"#, method.node_name())
}

fn sent(body: &str) -> Verdict {
    judge(Method::Disburse)
        .verdict(body.as_bytes(), &expected())
        .0
}

fn queried(body: &str) -> Finding {
    judge(Method::Query).finding(body.as_bytes(), &target()).0
}

fn sent_node(node: &str) -> Verdict {
    sent(&signed(Method::Disburse, node))
}

fn queried_node(node: &str) -> Finding {
    queried(&signed(Method::Query, node))
}

/// A failure's node with the row's codes, or an example of them.
fn failure(row: &CodeRow) -> (String, String) {
    let sub_code = row.sub_code.replace('*', "SOMETHING_NEW");
    let node = format!(
        r#"{{"code":"{}","msg":"m","sub_code":"{sub_code}","sub_msg":"没有","out_request_no":"R1"}}"#,
        row.code
    );
    (node, sub_code)
}

#[test]
fn every_row_of_the_table_becomes_its_verdict() {
    for row in codes::rows().filter(|row| row.code != "10000") {
        let (node, sub_code) = failure(row);
        let code = row.code.to_owned();
        let sub_code = Some(sub_code);
        let refusal = Refusal {
            code: code.clone(),
            sub_code: sub_code.clone(),
            display_message: Some("没有".to_owned()),
        };
        let blockage = Blockage {
            code: code.clone(),
            sub_code: sub_code.clone(),
            proof: Proof::Signed,
        };
        let doubt = Doubt::Answered { code, sub_code };
        let verdict = match row.send {
            CodeClass::Final => Verdict::Refused(refusal),
            CodeClass::FinalUnlessDone => Verdict::RefusedUnconfirmed(refusal),
            CodeClass::Processing => Verdict::InProgress(None),
            CodeClass::AlreadyUsed => Verdict::AlreadyUsed,
            CodeClass::Limited => Verdict::NotExecuted(NotExecuted::Limited),
            CodeClass::Blocked => Verdict::Blocked(blockage.clone()),
            CodeClass::Unknown => Verdict::Unknown(doubt.clone()),
            CodeClass::Success | CodeClass::NotFound => panic!("not an answer to a send: {row:?}"),
        };
        assert_eq!(sent_node(&node), verdict, "{row:?}");
        let finding = match row.query {
            CodeClass::NotFound => Finding::NotFound,
            CodeClass::Limited => Finding::NotExecuted(NotExecuted::Limited),
            CodeClass::Blocked => Finding::Blocked(blockage),
            CodeClass::Unknown => Finding::Unknown(doubt),
            CodeClass::Final
            | CodeClass::FinalUnlessDone
            | CodeClass::Processing
            | CodeClass::AlreadyUsed
            | CodeClass::Success => panic!("not an answer to a query: {row:?}"),
        };
        assert_eq!(queried_node(&node), finding, "{row:?}");
    }
}

#[test]
fn an_unsigned_answer_proves_nothing_whatever_it_says() {
    for row in codes::rows() {
        let (node, sub_code) = failure(row);
        let blockage = Blockage {
            code: row.code.to_owned(),
            sub_code: Some(sub_code),
            proof: Proof::Unsigned,
        };
        let (verdict, finding) = match (row.send, row.query) {
            (CodeClass::Blocked, CodeClass::Blocked) => (
                Verdict::Blocked(blockage.clone()),
                Finding::Blocked(blockage),
            ),
            _ => (
                Verdict::Unknown(Doubt::Unverified),
                Finding::Unknown(Doubt::Unverified),
            ),
        };
        assert_eq!(sent(&unsigned(Method::Disburse, &node)), verdict, "{row:?}");
        assert_eq!(queried(&unsigned(Method::Query, &node)), finding, "{row:?}");
    }
    let success = unsigned(Method::Disburse, SUCCESS);
    assert_eq!(sent(&success), Verdict::Unknown(Doubt::Unverified));
}

#[test]
fn a_signature_that_does_not_verify_makes_every_answer_a_rumour() {
    for row in codes::rows() {
        let (node, _) = failure(row);
        for method in [Method::Disburse, Method::Query] {
            let body = signed(method, &node).replace("\"msg\":\"m\"", "\"msg\":\"M\"");
            assert_eq!(sent_or_queried(method, &body), Doubt::Unverified, "{row:?}");
        }
    }
    let other = Signer::new(PrivateKey::generate().unwrap(), SignType::Rsa2).unwrap();
    let forged = sign_envelope(&other, Method::Disburse.node_name(), SUCCESS).unwrap();
    assert_eq!(sent(&forged), Verdict::Unknown(Doubt::Unverified));
    let garbage = forged.replace("\"sign\":\"", "\"sign\":\"!");
    assert_eq!(sent(&garbage), Verdict::Unknown(Doubt::Unverified));
}

fn sent_or_queried(method: Method, body: &str) -> Doubt {
    if method == Method::Query {
        let Finding::Unknown(doubt) = queried(body) else {
            panic!("not a doubt: {body}");
        };
        return doubt;
    }
    let Verdict::Unknown(doubt) = sent(body) else {
        panic!("not a doubt: {body}");
    };
    doubt
}

#[test]
fn a_success_is_one_only_with_its_status_and_about_what_was_asked() {
    let succeeded = Verdict::Succeeded(Receipt {
        auth_no: Some(AlipayNo::new("2026112210002001950287006752").unwrap()),
        operation_id: Some(AlipayNo::new("20261122312616259502").unwrap()),
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    });
    let bare = Verdict::Succeeded(Receipt::default());
    let in_progress = Verdict::InProgress(Some(Box::new(AlipayNumbers {
        auth_no: AlipayNo::new("2026112210002001950287006752").unwrap(),
        operation_id: AlipayNo::new("20261122312616259502").unwrap(),
    })));
    let unreadable = Verdict::Unknown(Doubt::Unreadable);
    let foreign = Verdict::Unknown(Doubt::Foreign);
    for (node, verdict) in [
        (SUCCESS.to_owned(), &succeeded),
        (SUCCESS.replace("\"10000\"", "10000"), &succeeded),
        (SUCCESS.replace("\"8.88\"", "8.88"), &succeeded),
        (SUCCESS.replace("\"O1\"", "null"), &succeeded),
        (
            SUCCESS.replace("\"msg\"", r#""x":[{"code":"1"}],"msg""#),
            &succeeded,
        ),
        (SUCCESS.replace("SUCCESS", "INIT"), &in_progress),
        (SUCCESS.replace("SUCCESS", "CLOSED"), &in_progress),
        (SUCCESS.replace("SUCCESS", "null"), &unreadable),
        (SUCCESS.replace("SUCCESS", "success"), &unreadable),
        (SUCCESS.replace("\"status\"", "\"state\""), &unreadable),
        (SUCCESS.replace("8.88", "8.89"), &foreign),
        (SUCCESS.replace("8.88", "8.888"), &unreadable),
        (SUCCESS.replace("8.88", "-8.88"), &unreadable),
        (SUCCESS.replace("\"8.88\"", "8.88e0"), &unreadable),
        (SUCCESS.replace("\"R1\"", "\"R2\""), &foreign),
        (SUCCESS.replace("\"R1\"", "1"), &foreign),
        (
            SUCCESS.replace("\"msg\"", r#""code":"10000","msg""#),
            &unreadable,
        ),
        (SUCCESS.replace("\"code\"", "\"c\""), &unreadable),
        (r#"{"code":"10000","status":"SUCCESS"}"#.to_owned(), &bare),
        (
            r#"{"code":"10000","status":"SUCCESS","auth_no":"a b","gmt_trans":"soon"}"#.to_owned(),
            &bare,
        ),
    ] {
        assert_eq!(sent_node(&node), *verdict, "{node}");
    }
}

#[test]
fn a_refusal_of_another_request_is_not_ours() {
    let node = r#"{"code":"40004","sub_code":"PAYEE_NOT_EXIST","out_request_no":"R2"}"#;
    assert_eq!(sent_node(node), Verdict::Unknown(Doubt::Foreign));
    let node = r#"{"code":"40004","sub_code":"AUTH_ORDER_NOT_EXIST","out_order_no":"O2"}"#;
    assert_eq!(queried_node(node), Finding::Unknown(Doubt::Foreign));
}

#[test]
fn what_is_not_an_answer_is_unreadable() {
    let success = signed(Method::Disburse, SUCCESS);
    let twice = success.replace("\"sign\":", "\"alipay_x_response\":{},\"sign\":");
    let refund = signed(Method::Refund, SUCCESS);
    let node = sign_envelope(&ALIPAY.0, "error_response", SUCCESS).unwrap();
    let encrypted = signed(Method::Disburse, "\"aGVsbG8=\"");
    for body in [
        "",
        "{}",
        "[]",
        "<html><body>502 Bad Gateway</body></html>",
        success.get(..success.len() / 2).unwrap(),
        success.get(..success.len() - 1).unwrap(),
        &twice,
        &refund,
        &node,
        &encrypted,
        &format!("{success} "),
    ] {
        let verdict = sent(body);
        if body.ends_with("} ") {
            // Blanks around JSON are JSON.
            assert!(matches!(verdict, Verdict::Succeeded(_)), "{body}");
        } else {
            assert_eq!(verdict, Verdict::Unknown(Doubt::Unreadable), "{body}");
        }
    }
}

#[test]
fn an_error_node_may_block_and_may_be_in_gbk() {
    let node = r#"{"code":"40002","sub_code":"isv.invalid-app-id","sub_msg":"无效"}"#;
    let body = format!(r#"{{"error_response":{node}}}"#);
    let blocked = Verdict::Blocked(Blockage {
        code: "40002".to_owned(),
        sub_code: Some("isv.invalid-app-id".to_owned()),
        proof: Proof::Unsigned,
    });
    assert_eq!(sent(&body), blocked);
    let (gbk, _, _) = GBK.encode(&body);
    let read = judge(Method::Disburse).verdict(&gbk, &expected());
    assert_eq!(read, (blocked, ("40002", "isv.invalid-app-id")));
}

#[test]
fn messages_are_for_people_and_codes_are_clean() {
    let node = r#"{"code":"40004","sub_code":"ACQ.PAYEE_NOT_EXIST","sub_msg":"账户\n13800000000 不存在 &lt;a&gt;"}"#;
    let refused = Verdict::Refused(Refusal {
        code: "40004".to_owned(),
        sub_code: Some("ACQ.PAYEE_NOT_EXIST".to_owned()),
        display_message: Some("账户138****0000 不存在".to_owned()),
    });
    assert_eq!(sent_node(node), refused);
}

const FOUND: &str = r#"{"code":"10000","msg":"Success","auth_no":"2026112210002001950287006752","out_order_no":"O1","operation_id":"20261122312616259502","out_request_no":"R1","amount":"8.8","status":"SUCCESS","operation_type":"PAY","order_title":"红包","remark":"null","gmt_create":"2026-11-22 10:00:00","gmt_trans":"2026-11-22 10:00:01","payer_user_id":"2088102146225135","payer_logon_id":"138****0000","payee_user_id":"2088***********6","extra_param":"{}","total_pay_refund_amount":"0.00"}"#;

fn found() -> Operation {
    Operation {
        auth_no: Some(AlipayNo::new("2026112210002001950287006752").unwrap()),
        out_order_no: Some(MerchantNo::new("O1").unwrap()),
        operation_id: Some(AlipayNo::new("20261122312616259502").unwrap()),
        out_request_no: Some(MerchantNo::new("R1").unwrap()),
        amount: Fen::new(880),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: Some("红包".to_owned()),
        remark: None,
        payer_user_id: Some(UserId::new("2088102146225135").unwrap()),
        payee_user_id: None,
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    }
}

#[test]
fn a_query_finds_the_operation_without_masked_and_null_values() {
    let finding = |operation| Finding::Found(Box::new(operation));
    let unreadable = || Finding::Unknown(Doubt::Unreadable);
    let foreign = || Finding::Unknown(Doubt::Foreign);
    for (node, expected) in [
        (FOUND.to_owned(), finding(found())),
        (
            FOUND.replace("\"SUCCESS\"", "\"CLOSED\""),
            finding(Operation {
                status: OperationStatus::Closed,
                ..found()
            }),
        ),
        (
            FOUND.replace("\"PAY\"", "\"REFUND\""),
            finding(Operation {
                operation_type: Some(OperationType::Refund),
                ..found()
            }),
        ),
        (
            FOUND.replace("\"PAY\"", "\"SOMETHING_NEW\""),
            finding(Operation {
                operation_type: None,
                ..found()
            }),
        ),
        (FOUND.replace("\"SUCCESS\"", "\"PAID\""), unreadable()),
        (FOUND.replace("\"status\"", "\"state\""), unreadable()),
        (FOUND.replace("8.8", "8.8.8"), unreadable()),
        (
            FOUND.replace("2088102146225135", "not a user"),
            unreadable(),
        ),
        (FOUND.replace("\"R1\"", "\"R2\""), foreign()),
        (FOUND.replace("\"O1\"", "\"O2\""), foreign()),
    ] {
        assert_eq!(queried_node(&node), expected, "{node}");
    }
}

#[test]
fn a_query_by_alipays_numbers_is_compared_with_them() {
    let target = |auth_no: &str, operation_id: &str| QueryTarget {
        order: OrderRef::AuthNo(AlipayNo::new(auth_no).unwrap()),
        operation: OperationRef::OperationId(AlipayNo::new(operation_id).unwrap()),
    };
    let body = signed(Method::Query, FOUND);
    for (auth_no, operation_id, ours) in [
        ("2026112210002001950287006752", "20261122312616259502", true),
        (
            "2026112210002001950287006752",
            "20261122312616259503",
            false,
        ),
        (
            "2026112210002001950287006753",
            "20261122312616259502",
            false,
        ),
    ] {
        let target = target(auth_no, operation_id);
        let (finding, labels) = judge(Method::Query).finding(body.as_bytes(), &target);
        assert_eq!(matches!(finding, Finding::Found(_)), ours);
        assert_eq!(labels, ("10000", "none"));
    }
}

/// Bodies that get past the first parser: an envelope with anything inside, signed.
fn any_node() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[1e99]".to_owned()),
        Just("\"10000\"".to_owned()),
        Just("\"40004\"".to_owned()),
        Just("\"SUCCESS\"".to_owned()),
        "[0-9]{1,30}",
        "\"[^\"\\\\\\x00-\\x1f]{0,20}\"",
    ];
    let name = prop_oneof![
        Just("code"),
        Just("sub_code"),
        Just("sub_msg"),
        Just("status"),
        Just("amount"),
        Just("out_request_no"),
        Just("gmt_trans"),
        Just("payee_user_id"),
        Just("other"),
    ];
    prop::collection::vec((name, value), 0..8).prop_map(|members| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn no_bytes_make_a_judge_panic_or_find_proof(
        body in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let (verdict, _) = judge(Method::Disburse).verdict(&body, &expected());
        prop_assert!(matches!(verdict, Verdict::Unknown(_)));
        let (finding, _) = judge(Method::Query).finding(&body, &target());
        prop_assert!(matches!(finding, Finding::Unknown(_)));
    }

    #[test]
    fn without_signature_no_node_is_more_than_a_hint(node in any_node()) {
        let verdict = sent(&unsigned(Method::Disburse, &node));
        let harmless = matches!(
            &verdict,
            Verdict::Unknown(_) | Verdict::Blocked(Blockage { proof: Proof::Unsigned, .. })
        );
        prop_assert!(harmless, "{verdict:?}");
    }

    #[test]
    fn a_signed_node_succeeds_only_if_it_says_so(node in any_node()) {
        let verdict = sent_node(&node);
        if matches!(verdict, Verdict::Succeeded(_)) {
            prop_assert!(node.contains("10000") && node.contains("\"SUCCESS\""), "{node}");
        }
        queried_node(&node);
    }

    #[test]
    fn a_changed_byte_never_gives_another_proof(at in 0_usize..400, to in any::<u8>()) {
        let body = signed(Method::Disburse, SUCCESS);
        let untouched = sent(&body);
        let mut bytes = body.into_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        let (verdict, _) = judge(Method::Disburse).verdict(&bytes, &expected());
        prop_assert!(verdict == untouched || matches!(verdict, Verdict::Unknown(_)));
    }
}
