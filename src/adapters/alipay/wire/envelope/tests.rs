use encoding_rs::GBK;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const NODE: &str = "x_response";

#[test]
fn the_node_is_found_byte_for_byte() {
    let nodes = [
        "{}",
        r#"{"code":"10000","msg":"Success","file_id":"CAxAToWB1JsAAAAAAAAAAAAADgSLAQBr"}"#,
        r#"{"a":"}","b":"{\"","c":"\\","d":"\\\"}"}"#,
        r#"{"sign":"inner","x_response":{"error_response":{}},"alipay_cert_sn":"inner"}"#,
        "{ \"a\" : [ 1.50 , 1e5 ,\n\tnull ] }",
        r#"{"url":"http:\/\/x","u":"\u7ea2\ud83d\ude00"}"#,
        r#"{"dup":1,"dup":2}"#,
        r#"{"remark":"红包 } \" {"}"#,
    ];
    for node in nodes {
        let bodies = [
            format!(r#"{{"x_response":{node},"sign":"S/+="}}"#),
            format!(r#"{{"sign":"S\/+=","x_response":{node}}}"#),
            format!("\r\n {{ \"x_response\" :\n {node} \t, \"sign\" : \"S/+=\" }} \n"),
            format!(r#"{{"x_response":{node},"alipay_cert_sn":"ab12","sign":"S/+="}}"#),
            format!(r#"{{"\u0078_response":{node},"\u0073ign":"S/+=","trace":[{{}}]}}"#),
        ];
        for body in bodies {
            let envelope = Envelope::parse(body.as_bytes(), NODE).unwrap();
            assert_eq!(envelope.raw_node, node.as_bytes(), "{body}");
            assert_eq!(envelope.sign.as_deref(), Some("S/+="), "{body}");
            assert_eq!(envelope.node_kind, NodeKind::Object);
            assert_eq!(envelope.charset, Charset::Utf8);
            assert!(!envelope.is_error_node);
            let cert_sn = body.contains("ab12").then_some("ab12");
            assert_eq!(envelope.alipay_cert_sn.as_deref(), cert_sn, "{body}");
        }
    }
}

#[test]
fn an_encrypted_node_keeps_its_quotes() {
    let body = br#"{"x_response":"aa4B\/tspm==","sign":"S"}"#;
    let envelope = Envelope::parse(body, NODE).unwrap();
    assert_eq!(envelope.raw_node, br#""aa4B\/tspm==""#);
    assert_eq!(envelope.node_kind, NodeKind::Encrypted);
}

#[test]
fn an_error_node_and_a_missing_sign_are_told() {
    let body = br#"{"error_response":{"code":"40002"}}"#;
    let envelope = Envelope::parse(body, NODE).unwrap();
    assert!(envelope.is_error_node);
    assert_eq!(envelope.sign, None);
    assert_eq!(envelope.raw_node, br#"{"code":"40002"}"#);
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let many: String = (0..20).map(|n| format!(r#""m{n}":0,"#)).collect();
    let many = format!(r#"{{{many}"x_response":{{}}}}"#);
    let rows = [
        (
            r#"{"x_response":{},"x_response":{},"sign":"S"}"#,
            EnvelopeError::Duplicate,
        ),
        (
            r#"{"x_response":{},"x\u005fresponse":{},"sign":"S"}"#,
            EnvelopeError::Duplicate,
        ),
        (
            r#"{"x_response":{},"sign":"S","sign":"S"}"#,
            EnvelopeError::Duplicate,
        ),
        (
            r#"{"x_response":{},"sign":"S","other":1,"other":1}"#,
            EnvelopeError::Duplicate,
        ),
        (
            r#"{"x_response":{},"error_response":{}}"#,
            EnvelopeError::SecondNode,
        ),
        (
            r#"{"y_response":{},"x_response":{}}"#,
            EnvelopeError::SecondNode,
        ),
        (r#"{"y_response":{},"sign":"S"}"#, EnvelopeError::NoNode),
        (r#"{"sign":"S"}"#, EnvelopeError::NoNode),
        ("{}", EnvelopeError::NoNode),
        (r#"{"x_response":null}"#, EnvelopeError::NodeShape),
        (r#"{"x_response":[{}]}"#, EnvelopeError::NodeShape),
        (r#"{"x_response":10000}"#, EnvelopeError::NodeShape),
        (r#"{"x_response":{},"sign":null}"#, EnvelopeError::SignShape),
        (
            r#"{"x_response":{},"sign":["S"]}"#,
            EnvelopeError::SignShape,
        ),
        (
            r#"{"x_response":{},"alipay_cert_sn":1}"#,
            EnvelopeError::SignShape,
        ),
        (many.as_str(), EnvelopeError::TooMany),
        ("", EnvelopeError::Json),
        ("[]", EnvelopeError::Json),
        ("null", EnvelopeError::Json),
        ("<html>502 Bad Gateway</html>", EnvelopeError::Json),
        (r#"{"x_response":{"a":1"#, EnvelopeError::Json),
        (r#"{"x_response":{},"sign":"S"}{}"#, EnvelopeError::Json),
        (r#"{"x_response":{},"sign":"S"} x"#, EnvelopeError::Json),
        (r#"{"x_response":{"a":},"sign":"S"}"#, EnvelopeError::Json),
    ];
    for (body, error) in rows {
        assert_eq!(
            Envelope::parse(body.as_bytes(), NODE).err(),
            Some(error),
            "{body}"
        );
    }
}

#[test]
fn a_gbk_node_is_found_although_its_characters_hold_structure() {
    // The second bytes of these are `\`, `}`, `{` and `|` in GBK.
    let texts = [
        "系统繁忙",
        "乗",
        "亇",
        "亄",
        "乗\"亇",
        "€",
        "\u{1f9e7}",
        "a亇}",
    ];
    for text in texts {
        let json = serde_json::to_string(text).unwrap();
        let (node, _, unmappable) = GBK.encode(&json);
        // GBK cannot spell everything: what it cannot is written in the four-byte form.
        let node = if unmappable {
            encoding_rs::GB18030.encode(&json).0
        } else {
            node
        };
        let node = [b"{\"sub_msg\":", node.as_ref(), b"}"].concat();
        let body = [b"{\"x_response\":", node.as_slice(), b",\"sign\":\"S\"}"].concat();
        let envelope = Envelope::parse(&body, NODE).unwrap();
        assert_eq!(envelope.raw_node, node, "{text}");
        assert_eq!(envelope.sign.as_deref(), Some("S"));
        assert_eq!(envelope.charset, Charset::Gbk);
    }
}

#[test]
fn bytes_that_are_neither_utf8_nor_gbk_are_refused() {
    let rows: [&[u8]; 3] = [
        b"{\"x_response\":{\"a\":\"\xff\"}}",
        b"{\"x_response\":{\"a\":\"\x81\"}}",
        b"{\"x_response\":{\"a\":\"\xc0\xaf\x81\"}}",
    ];
    for body in rows {
        assert_eq!(
            Envelope::parse(body, NODE).err(),
            Some(EnvelopeError::Charset)
        );
    }
}

#[test]
fn debug_shows_neither_node_nor_sign() {
    let body = br#"{"x_response":{"payee_logon_id":"secret"},"sign":"secret"}"#;
    let shown = format!("{:?}", Envelope::parse(body, NODE).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

/// Any JSON object, written with blanks and escapes of many kinds.
fn object() -> impl Strategy<Value = String> {
    let text = any::<String>().prop_map(|text| Value::from(text).to_string());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,3}\\.[0-9]{1,30}([eE][+-]?[0-9]{1,2})?",
        text.clone(),
        r#""(\\[nrtbf"/]|\\\\|\\u00[0-9a-fA-F]{2}|[{}\[\]:,a-z])*""#,
    ];
    let blank = "[ \t\r\n]{0,2}";
    let value = leaf.prop_recursive(3, 24, 4, move |inner| {
        let member =
            (text.clone(), blank, inner.clone()).prop_map(|(k, b, v)| format!("{k}:{b}{v}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), blank)
                .prop_map(|(items, b)| format!("[{b}{}]", items.join(&format!(",{b}")))),
            (prop::collection::vec(member, 0..4), blank)
                .prop_map(|(members, b)| format!("{{{b}{}}}", members.join(&format!("{b},")))),
        ]
    });
    (any::<String>(), value, blank)
        .prop_map(|(key, value, b)| format!("{{{b}{}:{value}{b}}}", Value::from(key)))
}

proptest! {
    #[test]
    fn any_object_survives_byte_for_byte(node in object(), blank in "[ \t\r\n]{0,3}") {
        let body = format!(r#"{{"x_response":{blank}{node}{blank},"sign":"S"}}"#);
        let envelope = Envelope::parse(body.as_bytes(), NODE).unwrap();
        prop_assert_eq!(envelope.raw_node, node.as_bytes());
    }

    #[test]
    fn any_object_survives_in_gbk(node in object()) {
        let (gbk, _, _) = encoding_rs::GB18030.encode(&node);
        let body = [b"{\"x_response\":", gbk.as_ref(), b",\"pad\":\"\xba\xec\"}"].concat();
        let envelope = Envelope::parse(&body, NODE).unwrap();
        prop_assert_eq!(envelope.raw_node, gbk.as_ref());
        prop_assert_eq!(envelope.charset, Charset::Gbk);
    }

    #[test]
    fn no_body_makes_the_parser_panic(
        before in any::<Vec<u8>>(), after in any::<Vec<u8>>(), cut in 0_usize..200
    ) {
        let mut body = [b"{\"x_response\":{\"a\":\"", before.as_slice(), b"\"},\"", &after].concat();
        body.truncate(cut);
        if let Ok(envelope) = Envelope::parse(&body, NODE) {
            prop_assert!(envelope.raw_node.len() <= body.len());
        }
    }
}
