//! The `biz_content` of a request: the same bytes for the same job, whenever and wherever.
//!
//! A resend must be byte-equal, so fields come in a fixed order, none is empty, and nothing
//! depends on the clock, on chance or on the order of a map.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::wire::{Charset, NoSuchCharacter};
use crate::domain::draft::FieldError;
use crate::domain::entry::RequestDigest;
use crate::domain::ident::{Caption, MerchantNo, PayTimeout};
use crate::domain::job::{
    Cashier, Extras, MoneyJob, MoneyRequest, OperationRef, OrderRef, Payee, QueryTarget,
};
use crate::domain::money::Fen;

/// How the time after which a packet refunds itself is spelled inside `extra_param`.
///
/// Alipay's documents contradict each other, and only agreement.pay honours it at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpirySpelling {
    /// `{"merchantExt":"orderExpiredTime=1m"}`, as an article of Alipay's support shows it.
    #[default]
    MerchantExt,
    /// `{"orderExpiredTime":"1m"}`, as the quick start and the query's description imply.
    OwnKey,
}

impl ExpirySpelling {
    const fn key(self) -> &'static str {
        match self {
            Self::MerchantExt => "merchantExt",
            Self::OwnKey => "orderExpiredTime",
        }
    }

    /// The member of `extra_param`; a time is digits and a letter, so nothing needs an escape.
    fn member(self, time: &PayTimeout) -> String {
        match self {
            Self::MerchantExt => format!(r#""merchantExt":"orderExpiredTime={time}""#),
            Self::OwnKey => format!(r#""orderExpiredTime":"{time}""#),
        }
    }
}

/// Returns the interface and the content of the request that `job` makes.
#[must_use]
pub fn of_job(job: &MoneyJob, spelling: ExpirySpelling) -> (Method, String) {
    let out_request_no = job.out_request_no.as_str();
    match &job.request {
        MoneyRequest::Disburse {
            out_order_no,
            deduct,
            order_title,
            amount,
            payee,
            extras,
        } => {
            let (deduct_auth_no, deduct_out_order_no) = order_numbers(deduct);
            let (payee_user_id, payee_logon_id) = payee_names(payee);
            let content = Disburse {
                out_order_no: out_order_no.as_str(),
                out_request_no,
                deduct_auth_no,
                deduct_out_order_no,
                order_title: order_title.as_str(),
                amount: amount.to_string(),
                payee_user_id,
                payee_logon_id,
                pay_timeout: extras.pay_timeout.as_ref().map(PayTimeout::as_str),
                extra_param: extra_param(extras, spelling),
            };
            (Method::Disburse, json(&content))
        }
        MoneyRequest::Refund {
            auth_no,
            amount,
            remark,
        } => {
            let content = Refund {
                auth_no: auth_no.as_str(),
                out_request_no,
                amount: amount.to_string(),
                remark: remark.as_str(),
            };
            (Method::Refund, json(&content))
        }
        MoneyRequest::Pay {
            out_order_no,
            order_title,
            amount,
            payer_user_id,
            extras,
        } => {
            let numbers = (out_order_no, &job.out_request_no);
            let content = Pay {
                payer_user_id: Some(payer_user_id.as_str()),
                ..Pay::new(numbers, order_title, *amount, (extras, spelling))
            };
            (Method::Pay, json(&content))
        }
        MoneyRequest::Order {
            cashier,
            out_order_no,
            order_title,
            amount,
            extras,
        } => {
            let numbers = (out_order_no, &job.out_request_no);
            let content = Pay::new(numbers, order_title, *amount, (extras, spelling));
            let method = match cashier {
                Cashier::App => Method::AppPay,
                Cashier::Page { .. } => Method::PagePay,
            };
            (method, json(&content))
        }
    }
}

/// Returns the content of a query for `target`.
#[must_use]
pub fn of_query(target: &QueryTarget) -> String {
    let (auth_no, out_order_no) = order_numbers(&target.order);
    let (operation_id, out_request_no) = match &target.operation {
        OperationRef::OperationId(number) => (Some(number.as_str()), None),
        OperationRef::OutRequestNo(number) => (None, Some(number.as_str())),
    };
    json(&Query {
        auth_no,
        out_order_no,
        operation_id,
        out_request_no,
    })
}

/// Returns what of `job` has characters that `charset` has not, a mistake for each field.
#[must_use]
pub fn unwritable(job: &MoneyJob, charset: Charset) -> Vec<FieldError> {
    let (order_title, remark, payee, extras) = match &job.request {
        MoneyRequest::Disburse {
            order_title,
            payee,
            extras,
            ..
        } => (Some(order_title.as_str()), None, Some(payee), Some(extras)),
        MoneyRequest::Refund { remark, .. } => (None, Some(remark.as_str()), None, None),
        MoneyRequest::Pay {
            order_title,
            extras,
            ..
        }
        | MoneyRequest::Order {
            order_title,
            extras,
            ..
        } => (Some(order_title.as_str()), None, None, Some(extras)),
    };
    let payee_logon_id = match payee {
        Some(Payee::LogonId(logon_id)) => Some(logon_id.reveal()),
        Some(Payee::UserId(_)) | None => None,
    };
    let extra_param = extras.and_then(|extras| extras.extra_param.as_deref());
    [
        ("order_title", order_title),
        ("remark", remark),
        ("payee_logon_id", payee_logon_id),
        ("extra_param", extra_param),
    ]
    .into_iter()
    .filter_map(|(field, text)| {
        let NoSuchCharacter { character, charset } = charset.encode(text?).err()?;
        let fault = format!(
            "has the character U+{:04X}, which the app's charset {} has not",
            u32::from(character),
            charset.as_str()
        );
        Some(FieldError::new(field, fault))
    })
    .collect()
}

/// Returns the first 16 bytes of the SHA-256 of `biz_content`.
///
/// It is that of the plain text: another charset, another content key or another certificate
/// change the bytes that are sent, but not what they ask for, and Alipay compares the latter.
#[must_use]
pub fn digest(biz_content: &str) -> RequestDigest {
    let whole = Sha256::digest(biz_content.as_bytes());
    let mut first = [0; 16];
    for (byte, digested) in first.iter_mut().zip(whole) {
        *byte = digested;
    }
    RequestDigest(first)
}

#[derive(Serialize)]
struct Disburse<'a> {
    out_order_no: &'a str,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deduct_auth_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deduct_out_order_no: Option<&'a str>,
    order_title: &'a str,
    amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_logon_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_timeout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_param: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Refund<'a> {
    auth_no: &'a str,
    out_request_no: &'a str,
    amount: String,
    remark: &'a str,
}

#[derive(Serialize)]
struct Pay<'a> {
    out_order_no: &'a str,
    out_request_no: &'a str,
    order_title: &'a str,
    amount: String,
    /// Of agreement.pay alone; elsewhere whoever pays is the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_timeout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_param: Option<Cow<'a, str>>,
}

impl<'a> Pay<'a> {
    fn new(
        (out_order_no, out_request_no): (&'a MerchantNo, &'a MerchantNo),
        order_title: &'a Caption,
        amount: Fen,
        (extras, spelling): (&'a Extras, ExpirySpelling),
    ) -> Self {
        Self {
            out_order_no: out_order_no.as_str(),
            out_request_no: out_request_no.as_str(),
            order_title: order_title.as_str(),
            amount: amount.to_string(),
            payer_user_id: None,
            pay_timeout: extras.pay_timeout.as_ref().map(PayTimeout::as_str),
            extra_param: extra_param(extras, spelling),
        }
    }
}

#[derive(Serialize)]
struct Query<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_order_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_request_no: Option<&'a str>,
}

#[expect(
    clippy::expect_used,
    reason = "structs of texts have no map keys and no writer that could fail"
)]
fn json<T: Serialize>(content: &T) -> String {
    serde_json::to_string(content).expect("texts can be written as JSON")
}

fn order_numbers(order: &OrderRef) -> (Option<&str>, Option<&str>) {
    match order {
        OrderRef::AuthNo(number) => (Some(number.as_str()), None),
        OrderRef::OutOrderNo(number) => (None, Some(number.as_str())),
    }
}

fn payee_names(payee: &Payee) -> (Option<&str>, Option<&str>) {
    match payee {
        Payee::UserId(user_id) => (Some(user_id.as_str()), None),
        Payee::LogonId(logon_id) => (None, Some(logon_id.reveal())),
    }
}

/// Returns the value of `extra_param`, or `None` when there is none to send.
///
/// With both, the expiry becomes the first member of the given object. What was given stays
/// byte for byte, and wins: an object that has the expiry's member already, or a text that is no
/// object, goes out as it is.
fn extra_param(extras: &Extras, spelling: ExpirySpelling) -> Option<Cow<'_, str>> {
    let given = extras.extra_param.as_deref();
    let Some(time) = &extras.order_expired_time else {
        return given.map(Cow::Borrowed);
    };
    let member = spelling.member(time);
    let Some(given) = given else {
        return Some(Cow::Owned(format!("{{{member}}}")));
    };
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(given) else {
        return Some(Cow::Borrowed(given));
    };
    let rest = given.trim_start().strip_prefix('{');
    match rest {
        Some(rest) if !members.contains_key(spelling.key()) => {
            let comma = if members.is_empty() { "" } else { "," };
            Some(Cow::Owned(format!("{{{member}{comma}{rest}")))
        }
        Some(_) | None => Some(Cow::Borrowed(given)),
    }
}

#[cfg(test)]
mod tests;
