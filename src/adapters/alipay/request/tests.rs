use std::borrow::Cow;
use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::keys::PrivateKey;
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::request::{
    CertificateNumbers, Encryption, PublicParams, RequestError, Seal, SignedRequest, Template,
};
use crate::adapters::alipay::sign::{SignType, Signer, Verifier, canonical_bytes};
use crate::adapters::alipay::wire::{Charset, RawParam, form_decode_bytes};
use crate::domain::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);
const CONTENT: &str = r#"{"order_title":"红 包&=+%"}"#;

fn params() -> PublicParams<'static> {
    PublicParams {
        gateway_url: "https://gateway.test/gateway.do",
        app_id: "2021",
        sign_type: "RSA2",
        charset: Charset::Utf8,
        certificate_numbers: None,
        encryption: Encryption::None,
        app_auth_token: None,
        notify_url: None,
        return_url: None,
    }
}

/// Every param as bytes, as the gateway merges query and body; the body's names come first.
fn merged(request: &SignedRequest) -> (Vec<RawParam>, Vec<String>) {
    let (address, query) = request.url.split_once('?').unwrap();
    assert_eq!(address, "https://gateway.test/gateway.do");
    let mut all = form_decode_bytes(request.body.as_bytes()).unwrap();
    let in_body = all
        .iter()
        .map(|(name, _)| String::from_utf8(name.clone()).unwrap())
        .collect();
    all.extend(form_decode_bytes(query.as_bytes()).unwrap());
    (all, in_body)
}

/// Signs a request, and returns the string that `sign` covers, which is checked.
fn check(params: &PublicParams<'_>, method: Method, key: Option<&ContentKey>) -> Vec<u8> {
    let private_key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(private_key.public_key(), SignType::Rsa2).unwrap();
    let signer = Signer::new(private_key, SignType::Rsa2).unwrap();
    let seal = Seal {
        signer: &signer,
        content_key: key,
    };
    let request = Template::new(params, method)
        .sign(seal, CONTENT, NOW)
        .unwrap();
    let (all, in_body) = merged(&request);
    let all = || all.iter().map(|(name, value)| (&**name, &**value));
    let sign = all().find(|(name, _)| *name == b"sign").unwrap().1;
    let canonical = canonical_bytes(all());
    let sign = std::str::from_utf8(sign).unwrap();
    verifier.verify(&canonical, sign).unwrap();
    assert_eq!(in_body.first().map(String::as_str), Some("biz_content"));
    let charset = params.charset.as_str();
    assert!(request.url.contains(&format!("charset={charset}")));
    let content_type = format!("application/x-www-form-urlencoded;charset={charset}");
    assert_eq!(request.charset.form_content_type(), content_type);
    canonical
}

fn check_text(params: &PublicParams<'_>, method: Method) -> String {
    String::from_utf8(check(params, method, None)).unwrap()
}

#[test]
fn the_string_that_is_signed_is_the_canonical_one() {
    assert_eq!(
        check_text(&params(), Method::Disburse),
        format!(
            "app_id=2021&biz_content={CONTENT}&charset=utf-8&format=json\
             &method=alipay.fund.coupon.order.disburse&sign_type=RSA2\
             &timestamp=2026-11-22 10:00:01&version=1.0"
        )
    );
    let token = SecretString::from("T+0".to_owned());
    let params = PublicParams {
        app_auth_token: Some(&token),
        notify_url: Some("https://me.test/n?a=1&b=2"),
        ..params()
    };
    assert_eq!(
        check_text(&params, Method::Pay),
        format!(
            "app_auth_token=T+0&app_id=2021&biz_content={CONTENT}&charset=utf-8&format=json\
             &method=alipay.fund.coupon.order.agreement.pay&notify_url=https://me.test/n?a=1&b=2\
             &sign_type=RSA2&timestamp=2026-11-22 10:00:01&version=1.0"
        )
    );
}

#[test]
fn certificate_mode_signs_both_numbers() {
    let token = SecretString::from("T0".to_owned());
    let params = PublicParams {
        app_auth_token: Some(&token),
        certificate_numbers: Some(CertificateNumbers {
            app: "0aa0",
            root: "0bb0_0cc0",
        }),
        ..params()
    };
    assert_eq!(
        check_text(&params, Method::Refund),
        format!(
            "alipay_root_cert_sn=0bb0_0cc0&app_auth_token=T0&app_cert_sn=0aa0&app_id=2021\
             &biz_content={CONTENT}&charset=utf-8&format=json\
             &method=alipay.fund.coupon.order.refund&sign_type=RSA2\
             &timestamp=2026-11-22 10:00:01&version=1.0"
        )
    );
}

#[test]
fn gbk_is_signed_and_sent_as_gbk() {
    let params = PublicParams {
        charset: Charset::Gbk,
        ..params()
    };
    let expected = [
        &b"app_id=2021&biz_content={\"order_title\":\"\xba\xec \xb0\xfc&=+%\"}&charset=gbk"[..],
        b"&format=json&method=alipay.fund.coupon.order.disburse&sign_type=RSA2",
        b"&timestamp=2026-11-22 10:00:01&version=1.0",
    ]
    .concat();
    assert_eq!(check(&params, Method::Disburse, None), expected);
}

#[test]
fn what_the_charset_has_not_is_never_sent() {
    let signer = Signer::new(PrivateKey::generate().unwrap(), SignType::Rsa2).unwrap();
    let params = PublicParams {
        charset: Charset::Gbk,
        ..params()
    };
    let seal = Seal {
        signer: &signer,
        content_key: None,
    };
    let signed =
        Template::new(&params, Method::Disburse).sign(seal, r#"{"order_title":"🧧"}"#, NOW);
    assert!(matches!(signed, Err(RequestError::Charset(_))));
}

#[test]
fn encrypted_content_is_signed_as_it_is_sent() {
    let key = ContentKey::parse("aa4BtZ4tspm2wnXLb1ThQA==").unwrap();
    for charset in [Charset::Utf8, Charset::Gbk] {
        let params = PublicParams {
            charset,
            encryption: Encryption::Aes,
            ..params()
        };
        let canonical = String::from_utf8(check(&params, Method::Disburse, Some(&key))).unwrap();
        let params: BTreeMap<&str, &str> = canonical
            .split('&')
            .map(|param| param.split_once('=').unwrap())
            .collect();
        assert_eq!(params["encrypt_type"], "AES");
        let content = key.decrypt(params["biz_content"]).unwrap();
        assert_eq!(charset.decode(&content), Some(Cow::Borrowed(CONTENT)));
    }
}

#[test]
fn a_query_is_not_notified_of() {
    let params = PublicParams {
        notify_url: Some("https://me.test/n"),
        ..params()
    };
    let canonical = check_text(&params, Method::Query);
    assert!(!canonical.contains("notify_url"), "{canonical}");
}
