//! A notification: from the bytes that were posted to what they prove. Pure, and total over any
//! bytes.
//!
//! The order matters: the form is decoded once, into bytes; the signature is checked over those
//! bytes; only then are they taken for text. `notify_type` is an open set and decides nothing.
//! Source: Alipay, asynchronous notifications ("V1"): the params without `sign` and `sign_type`,
//! sorted, raw, in the notice's own charset.

use std::borrow::{Borrow, Cow};

use encoding_rs::GBK;

use crate::adapters::alipay::sign::{Verifier, VerifyError, canonical_bytes};
use crate::adapters::alipay::wire::{RawParam, form_decode_bytes};
use crate::domain::ident::{AlipayNo, AppName, IdentError, MerchantNo, UserId};
use crate::domain::job::Kind;
use crate::domain::money::Fen;
use crate::domain::notice::Notice;
use crate::domain::verdict::{Operation, OperationStatus, OperationType};
use crate::ports::notifications::NotificationError;

/// The most params that a notice may have; Alipay's have about 25.
const PARAMS_MAX: usize = 100;

/// What is read of a notice, and nothing else. Source: Alipay fund.coupon, notifications.
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

/// Not part of what is signed. `alipay_cert_sn` only tells which certificate to verify with.
const UNSIGNED: [&[u8]; 3] = [b"sign", b"sign_type", b"alipay_cert_sn"];

/// Whom a notice must be to.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// Our name for the app.
    pub app: &'a AppName,
    /// Alipay's id of it.
    pub app_id: &'a str,
}

/// Reads the body of a notification.
///
/// `verifiers` are Alipay's keys for the app, more than one while they are changed, or the one of
/// the certificate whose serial number (`alipay_cert_sn`) the notice names.
///
/// # Errors
///
/// [`NotificationError`]; it holds nothing of the body.
pub fn read<V: Borrow<Verifier>>(
    body: &[u8],
    addressee: Addressee<'_>,
    verifiers: impl FnOnce(Option<&str>) -> Vec<V>,
) -> Result<Notice, NotificationError> {
    let params = params(body)?;
    let serial = value_of(&params, "alipay_cert_sn").and_then(|sn| std::str::from_utf8(sn).ok());
    verify(&params, &verifiers(serial))?;
    let texts = Texts::decode(&params)?;
    if texts.get("app_id") != Some(addressee.app_id) {
        return Err(NotificationError::Foreign);
    }
    let operation = operation(&texts)?;
    let paid_out = texts.get("payee_user_id").is_some() || texts.is_given("payee_logon_id");
    let kind = match operation.operation_type {
        Some(OperationType::Refund) => Kind::Refund,
        Some(OperationType::Pay) | None if paid_out => Kind::Disburse,
        Some(OperationType::Pay) | None => Kind::Pay,
    };
    Notice::new(addressee.app.clone(), kind, operation).map_err(|missing| unreadable(missing.field))
}

/// Decodes the form, once, and refuses what two readers could read differently.
fn params(body: &[u8]) -> Result<Vec<RawParam>, NotificationError> {
    // A form of one-byte params would cost more memory than it has bytes.
    if body.iter().filter(|&&byte| byte == b'&').count() >= PARAMS_MAX {
        return Err(NotificationError::NotAForm);
    }
    let mut params = form_decode_bytes(body).map_err(|_malformed| NotificationError::NotAForm)?;
    if params.is_empty() {
        return Err(NotificationError::NotAForm);
    }
    params.sort_unstable();
    if params.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(NotificationError::Duplicate);
    }
    // The string to sign is joined from raw names and values, so `remark = "x&status=SUCCESS"` and
    // two params give the same one. A text that somebody else wrote must not become our fields.
    let plain = |name: &[u8]| {
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        !name.is_empty() && name.iter().all(is_plain)
    };
    let is_ambiguous = |(name, value): &RawParam| !plain(name) || holds_field(value);
    if params.iter().any(is_ambiguous) {
        return Err(NotificationError::Ambiguous);
    }
    Ok(params)
}

/// Whether a value holds what would be one of our fields if it were split at its `&`.
fn holds_field(value: &[u8]) -> bool {
    let mut pieces = value.split(|&byte| byte == b'&').skip(1);
    pieces.any(|piece| {
        let name = piece.split(|&byte| byte == b'=').next().unwrap_or_default();
        FIELDS.iter().any(|field| field.as_bytes() == name)
    })
}

fn verify<V: Borrow<Verifier>>(
    params: &[RawParam],
    verifiers: &[V],
) -> Result<(), NotificationError> {
    let sign = value_of(params, "sign").filter(|sign| !sign.is_empty());
    let sign = sign.ok_or(NotificationError::Unsigned)?;
    let sign = std::str::from_utf8(sign).map_err(|_binary| NotificationError::Forged)?;
    let signed = params
        .iter()
        .filter(|(name, _)| !UNSIGNED.contains(&name.as_slice()));
    let message = canonical_bytes(signed.map(|(name, value)| (name.as_slice(), value.as_slice())));
    for verifier in verifiers {
        match verifier.borrow().verify(&message, sign) {
            Ok(()) => return Ok(()),
            Err(VerifyError::Missing | VerifyError::Malformed | VerifyError::Mismatch) => {}
        }
    }
    Err(NotificationError::Forged)
}

fn value_of<'a>(params: &'a [RawParam], name: &str) -> Option<&'a [u8]> {
    let mut found = params.iter().filter(|(other, _)| other == name.as_bytes());
    found.next().map(|(_, value)| value.as_slice())
}

/// The fields of a verified notice, as text.
struct Texts<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Texts<'a> {
    /// Takes the values for text in the charset that the notice names. Without a name it is UTF-8
    /// if all of it is, else GBK, as Alipay's own older services send.
    fn decode(params: &'a [RawParam]) -> Result<Self, NotificationError> {
        let named = value_of(params, "charset").filter(|name| !name.is_empty());
        let is_utf8 = params
            .iter()
            .all(|(_, value)| std::str::from_utf8(value).is_ok());
        let utf8 = match named.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None => is_utf8,
            Some(b"utf-8" | b"utf8") if is_utf8 => true,
            Some(b"gbk" | b"gb2312" | b"gb18030") => false,
            Some(_) => return Err(NotificationError::Charset),
        };
        let mut texts = Vec::with_capacity(FIELDS.len());
        for (name, value) in params {
            let text = if utf8 {
                String::from_utf8_lossy(value)
            } else {
                GBK.decode_without_bom_handling_and_without_replacement(value)
                    .ok_or(NotificationError::Charset)?
            };
            let mut fields = FIELDS.iter().filter(|field| field.as_bytes() == name);
            if let Some(field) = fields.next() {
                texts.push((*field, text));
            }
        }
        Ok(Self(texts))
    }

    /// What a field says; `None` for nothing, the literal text `null`, and masked values.
    fn get(&self, name: &str) -> Option<&str> {
        let text = self.given(name)?;
        (!text.contains('*')).then_some(text)
    }

    /// Whether a field says anything, be it masked.
    fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    fn given(&self, name: &str) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(field, _)| *field == name)?;
        (!text.is_empty() && text != "null").then_some(text.as_ref())
    }

    /// A number that decides: absent is `None`, and what is no such number is an error.
    fn number<T>(
        &self,
        field: &'static str,
        make: fn(&str) -> Result<T, IdentError>,
    ) -> Result<Option<T>, NotificationError> {
        let text = self.get(field).map(make).transpose();
        text.map_err(|_other| unreadable(field))
    }

    fn text(&self, field: &str) -> Option<String> {
        self.get(field).map(str::to_owned)
    }
}

fn unreadable(field: &'static str) -> NotificationError {
    NotificationError::Unreadable { field }
}

fn operation(texts: &Texts<'_>) -> Result<Operation, NotificationError> {
    let amount = texts.get("amount").map(Fen::parse_answer).transpose();
    // Numbers that no job of ours can have: the operation was asked for elsewhere.
    let merchant_no = |field| texts.get(field).and_then(|text| MerchantNo::new(text).ok());
    Ok(Operation {
        auth_no: texts.number("auth_no", AlipayNo::new)?,
        out_order_no: merchant_no("out_order_no"),
        operation_id: texts.number("operation_id", AlipayNo::new)?,
        out_request_no: merchant_no("out_request_no"),
        amount: amount.map_err(|_other| unreadable("amount"))?,
        status: match texts.get("status") {
            Some("INIT") => OperationStatus::Init,
            Some("SUCCESS") => OperationStatus::Success,
            Some("CLOSED") => OperationStatus::Closed,
            Some(_) | None => return Err(unreadable("status")),
        },
        operation_type: match texts.get("operation_type") {
            Some("PAY") => Some(OperationType::Pay),
            Some("REFUND") => Some(OperationType::Refund),
            Some(_) | None => return Err(unreadable("operation_type")),
        },
        order_title: texts.text("order_title"),
        remark: texts.text("remark"),
        payer_user_id: texts.number("payer_user_id", UserId::new)?,
        payee_user_id: texts.number("payee_user_id", UserId::new)?,
        gmt_trans: texts
            .get("gmt_trans")
            .and_then(crate::adapters::alipay::answer::timestamp),
    })
}

#[cfg(test)]
mod tests;
