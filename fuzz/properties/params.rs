//! Params of requests: the string to sign, and the forms that carry them.

use std::sync::LazyLock;

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::method::Method;
use hongbaod::adapters::alipay::request::{Encryption, PublicParams, Seal, Template};
use hongbaod::adapters::alipay::sign::{
    SignType, Signer, Verifier, canonical_bytes, canonical_string,
};
use hongbaod::adapters::alipay::wire::{
    Charset, FormError, RawParam, form_decode, form_decode_bytes, form_encode, form_encode_bytes,
};
use hongbaod::domain::time::UnixMillis;

static APP: LazyLock<(Signer, Verifier)> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    (Signer::new(key, SignType::Rsa2).unwrap(), verifier)
});

/// Checks bytes as a form, and as names and values between zero bytes.
pub fn check(bytes: &[u8]) {
    form(bytes);
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let params: Vec<RawParam> = parts
        .chunks(2)
        .map(|pair| (pair[0].to_vec(), pair.get(1).unwrap_or(&&b""[..]).to_vec()))
        .collect();
    canonical(&params);
}

/// Checks that a form is read once, and written as it was read.
fn form(bytes: &[u8]) {
    let decoded = form_decode_bytes(bytes);
    assert_eq!(decoded.as_ref().ok(), form_by_the_standard(bytes).as_ref());
    let Ok(params) = decoded else {
        assert_eq!(form_decode(bytes), Err(FormError::Percent));
        return;
    };
    let written = form_encode_bytes(params.iter().map(|(name, value)| (name, value)));
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(form_decode_bytes(written.as_bytes()), Ok(params.clone()));
    let texts: Option<Vec<(String, String)>> = params
        .into_iter()
        .map(|(name, value)| {
            Some((
                String::from_utf8(name).ok()?,
                String::from_utf8(value).ok()?,
            ))
        })
        .collect();
    assert_eq!(form_decode(bytes).ok(), texts);
    if let Some(texts) = texts {
        assert_eq!(form_encode(texts.iter().map(|(n, v)| (n, v))), written);
    }
}

/// Reads a form by WHATWG URL 5.1, except that a broken percent sequence is refused.
fn form_by_the_standard(bytes: &[u8]) -> Option<Vec<RawParam>> {
    let mut params = Vec::new();
    for part in bytes.split(|byte| *byte == b'&') {
        if part.is_empty() {
            continue;
        }
        let mut sides = part.splitn(2, |byte| *byte == b'=');
        let name = plain(sides.next().unwrap_or_default())?;
        params.push((name, plain(sides.next().unwrap_or_default())?));
    }
    Some(params)
}

fn plain(mut encoded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while let Some((first, rest)) = encoded.split_first() {
        encoded = rest;
        match first {
            b'+' => plain.push(b' '),
            b'%' => {
                let (digits, rest) = encoded.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                // The standard library would take a sign before a digit.
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                plain.push(u8::from_str_radix(digits, 16).ok()?);
                encoded = rest;
            }
            other => plain.push(*other),
        }
    }
    Some(plain)
}

/// Checks the string to sign: sorted, without `sign` and empty values, raw.
pub fn canonical(params: &[RawParam]) {
    let pairs = || params.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
    let signed = canonical_bytes(pairs());
    assert_eq!(signed, canonical_by_the_documents(params));
    assert_eq!(canonical_bytes(pairs().rev()), signed, "the order matters");
    let rotated = pairs().skip(1).chain(pairs().take(1));
    assert_eq!(canonical_bytes(rotated), signed, "the order matters");
    let more: [(&[u8], &[u8]); 2] = [(b"sign", b"x"), (b"empty", b"")];
    assert_eq!(canonical_bytes(pairs().chain(more)), signed);
    let texts: Option<Vec<(&str, &str)>> = pairs()
        .map(|(n, v)| Some((std::str::from_utf8(n).ok()?, std::str::from_utf8(v).ok()?)))
        .collect();
    if let Some(texts) = texts {
        let text = canonical_string(texts.iter().copied());
        assert_eq!(text.as_bytes(), signed);
    }
}

/// Source: Alipay open platform, "signature" (common/057k53). Only `sign` is left out of a
/// request: its `sign_type` is signed.
fn canonical_by_the_documents(params: &[RawParam]) -> Vec<u8> {
    let mut lines: Vec<(&[u8], &[u8])> = Vec::new();
    for (name, value) in params {
        if name == b"sign" || value.is_empty() {
            continue;
        }
        // An insertion sort: nothing here is shared with the product.
        let place = lines
            .iter()
            .position(|line| *line > (name.as_slice(), value.as_slice()));
        lines.insert(place.unwrap_or(lines.len()), (name, value));
    }
    let lines: Vec<Vec<u8>> = lines
        .into_iter()
        .map(|(name, value)| [name, b"=", value].concat())
        .collect();
    lines.join(&b'&')
}

/// Checks that what is sent is what is signed: the gateway merges query and form, puts the string
/// together by the documents, and the signature is one of exactly that string.
pub fn request(biz_content: &str, notify_url: &str, now: UnixMillis) {
    for method in Method::ALL {
        let params = PublicParams {
            return_url: None,
            gateway_url: "http://127.0.0.1:1/gateway.do",
            app_id: "2021000000000000",
            sign_type: "RSA2",
            charset: Charset::Utf8,
            certificate_numbers: None,
            encryption: Encryption::None,
            app_auth_token: None,
            notify_url: Some(notify_url),
        };
        let seal = Seal {
            signer: &APP.0,
            content_key: None,
        };
        let signed = Template::new(&params, method)
            .sign(seal, biz_content, now)
            .unwrap();
        let (_, query) = signed.url.split_once('?').expect("there is a query");
        let mut sent = form_decode_bytes(query.as_bytes()).expect("a query is a form");
        sent.extend(form_decode_bytes(signed.body.as_bytes()).expect("the body is a form"));
        let value = |name: &str| {
            let mut found = sent.iter().filter(|(other, _)| other == name.as_bytes());
            let first = found.next().map(|(_, value)| value.as_slice());
            assert!(found.next().is_none(), "{name} is sent twice");
            first
        };
        assert_eq!(value("biz_content"), Some(biz_content.as_bytes()));
        assert_eq!(value("charset"), Some(&b"utf-8"[..]));
        let sign = std::str::from_utf8(value("sign").expect("a request is signed"));
        let message = canonical_by_the_documents(&sent);
        let verified = APP.1.verify(&message, sign.expect("base64 is ASCII"));
        assert_eq!(verified, Ok(()), "signed is another string than sent");
    }
}
