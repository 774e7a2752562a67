//! Notifications: bytes that anybody may post.

use std::sync::LazyLock;

use encoding_rs::GBK;
use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::notification::{Addressee, read};
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier};
use hongbaod::adapters::alipay::wire::form_encode_bytes;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::notice::Notice;
use hongbaod::ports::notifications::NotificationError;

const APP_ID: &str = "2021000000000000";

/// What a notice is read by.
const FIELDS: [&str; 15] = [
    "app_id",
    "auth_no",
    "out_order_no",
    "operation_id",
    "out_request_no",
    "operation_type",
    "amount",
    "status",
    "gmt_trans",
    "order_title",
    "remark",
    "payer_user_id",
    "payee_user_id",
    "payee_logon_id",
    "charset",
];

static ALIPAY: LazyLock<(Signer, Verifier)> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    (Signer::new(key, SignType::Rsa2).unwrap(), verifier)
});

type Param = (Vec<u8>, Vec<u8>);

fn read_body(body: &[u8]) -> Result<Notice, NotificationError> {
    let addressee = Addressee {
        app: &AppName::new("main").unwrap(),
        app_id: APP_ID,
    };
    read(body, addressee, |_| vec![&ALIPAY.1])
}

/// Checks bytes as a whole body, and as params between zero bytes that Alipay itself sends, over
/// or beside those of a good notice.
pub fn check(bytes: &[u8]) {
    assert!(read_body(bytes).is_err(), "nobody signed it");
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let mut params = good();
    for pair in parts.chunks(2) {
        let value = pair.get(1).unwrap_or(&&b""[..]).to_vec();
        if pair[0].is_empty() && value.is_empty() {
            continue;
        }
        let same = params.iter().position(|(name, _)| name == pair[0]);
        match same {
            Some(place) => params[place].1 = value,
            None => params.push((pair[0].to_vec(), value)),
        }
    }
    signed(&params);
}

fn good() -> Vec<Param> {
    let params = [
        ("app_id", APP_ID),
        ("auth_no", "2026112210002001000000000002"),
        ("charset", "utf-8"),
        ("operation_id", "20261122000000000002"),
        ("out_request_no", "R1"),
        ("operation_type", "PAY"),
        ("amount", "8.88"),
        ("status", "SUCCESS"),
    ];
    params
        .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
        .into()
}

/// Checks params that Alipay's own key signed: what is read is what they say, and one byte less of
/// any of them is not read at all.
fn signed(params: &[Param]) {
    let mut signed: Vec<Param> = params.to_vec();
    let ours = ["sign", "sign_type", "alipay_cert_sn"];
    signed.retain(|(name, _)| !ours.iter().any(|other| other.as_bytes() == name));
    let sign = ALIPAY.0.sign(&string_to_sign(&signed)).unwrap();
    signed.push((b"sign".to_vec(), sign.into_bytes()));
    let body = form_encode_bytes(signed.iter().map(|(n, v)| (n, v)));
    let read = read_body(body.as_bytes());
    match expected(&signed) {
        None => assert!(read.is_err(), "{read:?}"),
        Some(key) => {
            let notice = read.expect("a good notice is read");
            assert_eq!(notice.key().to_string(), key);
            forged(&signed);
        }
    }
}

/// Any signed value that is changed takes the proof away.
fn forged(signed: &[Param]) {
    for index in 0..signed.len() {
        let mut changed = signed.to_vec();
        let (name, value) = &mut changed[index];
        if name == b"sign" || value.is_empty() {
            continue;
        }
        value.pop();
        let body = form_encode_bytes(changed.iter().map(|(n, v)| (n, v)));
        assert!(
            read_body(body.as_bytes()).is_err(),
            "{index} may be changed"
        );
    }
}

/// Source: Alipay, asynchronous notifications: without `sign` and `sign_type`, without empty
/// values, sorted, joined raw.
fn string_to_sign(params: &[Param]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut sorted: Vec<&Param> = params
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    sorted.sort();
    for (name, value) in sorted {
        lines.push([name.as_slice(), b"=", value].concat());
    }
    lines.join(&b'&')
}

/// The key of the notice that the params make, read a second time from the documents; `None` where
/// they must be refused.
fn expected(params: &[Param]) -> Option<String> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    let is_plain = |name: &[u8]| !name.is_empty() && name.iter().all(plain);
    if params.len() > 100 || !params.iter().all(|(name, _)| is_plain(name)) {
        return None;
    }
    for (_, value) in params {
        let text = String::from_utf8_lossy(value);
        // Half a character before it does not hide an ASCII name.
        let mut pieces = text.split('&').skip(1);
        if pieces.any(|piece| FIELDS.contains(&piece.split('=').next().unwrap_or(piece))) {
            return None;
        }
    }
    let utf8 = is_read_as_utf8(params)?;
    let text = |name: &str| {
        let value = value(params, name)?;
        let text = if utf8 {
            String::from_utf8_lossy(value)
        } else {
            GBK.decode_without_bom_handling(value).0
        };
        (text != "null" && !text.contains('*')).then(|| text.into_owned())
    };
    let number = |text: &str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let user = |text: &str| {
        (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let fits = |name: &str, fits: &dyn Fn(&str) -> bool| text(name).is_none_or(|text| fits(&text));
    let users = fits("payer_user_id", &user) && fits("payee_user_id", &user);
    if text("app_id").as_deref() != Some(APP_ID) || !users || !fits("operation_id", &number) {
        return None;
    }
    let status =
        text("status").filter(|word| ["INIT", "SUCCESS", "CLOSED"].contains(&word.as_str()))?;
    text("operation_type").filter(|word| ["PAY", "REFUND"].contains(&word.as_str()))?;
    text("amount").filter(|amount| is_amount(amount))?;
    let order = text("auth_no").filter(|order| number(order))?;
    let asked = text("out_request_no").filter(|asked| number(asked));
    let operation = text("operation_id").or(asked)?;
    Some(format!("main/notification/{order}/{operation}/{status}"))
}

fn value<'a>(params: &'a [Param], name: &str) -> Option<&'a [u8]> {
    let mut found = params.iter().filter(|(other, _)| other == name.as_bytes());
    let value = found.next().map(|(_, value)| value.as_slice());
    value.filter(|value| !value.is_empty())
}

/// Whether the params are read as UTF-8 or as GBK; `None` if they cannot be read.
fn is_read_as_utf8(params: &[Param]) -> Option<bool> {
    let values = || params.iter().map(|(_, value)| value);
    let is_utf8 = values().all(|value| std::str::from_utf8(value).is_ok());
    let is_gbk = || values().all(|value| !GBK.decode_without_bom_handling(value).1);
    let named = value(params, "charset").map(<[u8]>::to_ascii_lowercase);
    match named.as_deref() {
        Some(b"utf-8" | b"utf8") => is_utf8.then_some(true),
        Some(b"gbk" | b"gb2312" | b"gb18030") => is_gbk().then_some(false),
        Some(_) => None,
        None if is_utf8 => Some(true),
        None => is_gbk().then_some(false),
    }
}

/// 0.01 to 100000000.00, with two decimals at most.
fn is_amount(text: &str) -> bool {
    let (yuan, decimals) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(yuan) || !digits(decimals) || decimals.len() > 2 {
        return false;
    }
    let cents = format!("{decimals:0<2}");
    let fen = format!("{yuan}{cents}").trim_start_matches('0').to_owned();
    let most = "10000000000";
    !fen.is_empty() && (fen.len() < most.len() || (fen.len() == most.len() && fen.as_str() <= most))
}
