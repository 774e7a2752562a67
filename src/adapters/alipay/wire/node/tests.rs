use std::sync::LazyLock;

use super::*;
use crate::adapters::alipay::keys::PrivateKey;
use crate::adapters::alipay::sign::SignType;

static PAIR: LazyLock<(Signer, Verifier)> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    (Signer::new(key, SignType::Rsa2).unwrap(), verifier)
});

fn verify(body: &[u8]) -> Result<(), VerifyError> {
    verify_node(&PAIR.1, &Envelope::parse(body, "x_response").unwrap())
}

fn body(node: &[u8], signed: &[u8]) -> Vec<u8> {
    let sign = PAIR.0.sign(signed).unwrap();
    let tail = format!(r#","sign":"{sign}"}}"#);
    [br#"{"x_response":"#, node, tail.as_bytes()].concat()
}

#[test]
fn the_node_is_named_after_the_method() {
    assert_eq!(
        node_name("alipay.fund.coupon.order.disburse"),
        "alipay_fund_coupon_order_disburse_response"
    );
}

#[test]
fn a_signed_envelope_verifies_over_the_exact_bytes() {
    let nodes = [
        r#"{"code":"10000","msg":"Success","file_id":"CAxAToWB1JsAAAAAAAAAAAAADgSLAQBr"}"#,
        r#"{ "sign" : "inner", "url":"http:\/\/x", "remark":"红包" }"#,
        r#""ILpoMowjIQjfYMR847rnFQ==""#,
    ];
    for node in nodes {
        let body = sign_envelope(&PAIR.0, "x_response", node).unwrap();
        assert!(body.starts_with(&format!(r#"{{"x_response":{node},"sign":""#)));
        assert_eq!(verify(body.as_bytes()), Ok(()), "{node}");
        let node_starts_at = body.find(node).unwrap();
        for at in [1, node.len() / 2] {
            let mut changed = body.clone();
            changed.insert(node_starts_at + at, ' ');
            assert_eq!(
                verify(changed.as_bytes()),
                Err(VerifyError::Mismatch),
                "{changed}"
            );
        }
    }
}

#[test]
fn only_an_escaped_slash_may_differ_from_what_was_signed() {
    // Received, signed, result.
    type Row<'a> = (&'a [u8], &'a [u8], Result<(), VerifyError>);
    let rows: [Row<'_>; 7] = [
        (br#"{"u":"a\/b\/"}"#, br#"{"u":"a/b/"}"#, Ok(())),
        (br#"{"u":"a\\\/b"}"#, br#"{"u":"a\\/b"}"#, Ok(())),
        (br#"{"u":"a\/b"}"#, br#"{"u":"a\/b"}"#, Ok(())),
        // An escaped backslash before a slash is other content than an escaped slash.
        (
            br#"{"u":"a\\/b"}"#,
            br#"{"u":"a\/b"}"#,
            Err(VerifyError::Mismatch),
        ),
        (
            br#"{"u":"a/b"}"#,
            br#"{"u":"a\/b"}"#,
            Err(VerifyError::Mismatch),
        ),
        (
            br#"{"u":"a\"b"}"#,
            br#"{"u":"a"b"}"#,
            Err(VerifyError::Mismatch),
        ),
        // The backslash is the second half of a GBK character here.
        (
            b"{\"u\":\"\x81\x5c/\xba\xec\\/\"}",
            b"{\"u\":\"\x81\x5c/\xba\xec/\"}",
            Ok(()),
        ),
    ];
    for (node, signed, result) in rows {
        assert_eq!(
            verify(&body(node, signed)),
            result,
            "{}",
            String::from_utf8_lossy(node)
        );
    }
}

#[test]
fn an_unsigned_answer_is_told_from_a_forged_one() {
    assert_eq!(verify(br#"{"x_response":{}}"#), Err(VerifyError::Missing));
    assert_eq!(
        verify(br#"{"x_response":{},"sign":""}"#),
        Err(VerifyError::Mismatch)
    );
    assert_eq!(
        verify(br#"{"x_response":{},"sign":"*"}"#),
        Err(VerifyError::Malformed)
    );
}

#[test]
fn a_gbk_answer_is_verified_over_its_bytes_and_decoded_after() {
    let (node, _, _) = GBK.encode(r#"{"code":"20000","sub_msg":"系统繁忙亇"}"#);
    let body = body(&node, &node);
    let envelope = Envelope::parse(&body, "x_response").unwrap();
    assert_eq!(verify_node(&PAIR.1, &envelope), Ok(()));
    assert_eq!(
        decode_node(&envelope),
        r#"{"code":"20000","sub_msg":"系统繁忙亇"}"#
    );

    let body = r#"{"x_response":{"sub_msg":"系统繁忙"}}"#;
    let envelope = Envelope::parse(body.as_bytes(), "x_response").unwrap();
    assert!(matches!(
        decode_node(&envelope),
        Cow::Borrowed(r#"{"sub_msg":"系统繁忙"}"#)
    ));
}
