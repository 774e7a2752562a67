//! The checks before any business, in the gateway's order.
//!
//! Source: app id errors come unsigned and before the signature check, as recorded live answers
//! show. Our reading: the order of the rest (method, charset, format, version, timestamp, sign
//! type, signature, token), the timestamp's window, which member wins when the query string and
//! the body have the same one (the query string's), and that unknown members are signed but
//! otherwise ignored.

use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::{Charset, ERROR_NODE_NAME, parse_timestamp_gmt8};
use crate::domain::time::UnixMillis;
use crate::sandbox::ContentMode;
use crate::sandbox::bank::ActedFor;
use crate::sandbox::gateway::node::Code;
use crate::sandbox::gateway::params::Params;
use crate::sandbox::state::State;

/// How far a timestamp may be from the sandbox's clock, in milliseconds, either way.
///
/// Our reading: Alipay names no figure.
const TIMESTAMP_WINDOW_MS: u64 = 15 * 60 * 1000;

/// The methods that the sandbox knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Made for the phone; as a call it fails.
    AppPay,
    /// Made for a browser.
    PagePay,
    AgreementPay,
    Disburse,
    Refund,
    Query,
    /// Hands out Alipay's certificate of a number.
    DownloadCertificate,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::AppPay,
        Self::PagePay,
        Self::AgreementPay,
        Self::Disburse,
        Self::Refund,
        Self::Query,
        Self::DownloadCertificate,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AppPay => "alipay.fund.coupon.order.app.pay",
            Self::PagePay => "alipay.fund.coupon.order.page.pay",
            Self::AgreementPay => "alipay.fund.coupon.order.agreement.pay",
            Self::Disburse => "alipay.fund.coupon.order.disburse",
            Self::Refund => "alipay.fund.coupon.order.refund",
            Self::Query => "alipay.fund.coupon.operation.query",
            Self::DownloadCertificate => "alipay.open.app.alipaycert.download",
        }
    }

    /// The name of the node that answers it.
    pub(super) fn node_name(self) -> &'static str {
        match self {
            Self::AppPay => "alipay_fund_coupon_order_app_pay_response",
            Self::PagePay => "alipay_fund_coupon_order_page_pay_response",
            Self::AgreementPay => "alipay_fund_coupon_order_agreement_pay_response",
            Self::Disburse => "alipay_fund_coupon_order_disburse_response",
            Self::Refund => "alipay_fund_coupon_order_refund_response",
            Self::Query => "alipay_fund_coupon_operation_query_response",
            Self::DownloadCertificate => "alipay_open_app_alipaycert_download_response",
        }
    }
}

/// A call that passed every check but the business ones.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) sign_type: SignType,
    pub(super) charset: Charset,
    pub(super) merchant: ActedFor,
    pub(super) content_mode: ContentMode,
    pub(super) params: &'a Params,
}

impl<'a> Call<'a> {
    pub(super) fn biz_content(&self) -> &'a str {
        self.params.get("biz_content").unwrap_or_default()
    }
}

/// A call that the gateway turns away before any business.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) code: Code,
    pub(super) sub_code: &'static str,
    pub(super) node_name: &'static str,
    pub(super) signing: Signing,
}

/// Whether, and how, a rejection is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    Signed(SignType),
    Unsigned,
}

impl Rejection {
    /// Before the method is known: in the legacy node.
    pub(super) fn early(sub_code: &'static str) -> Self {
        Self {
            code: Code::of_protocol(sub_code),
            sub_code,
            node_name: ERROR_NODE_NAME,
            signing: Signing::Signed(SignType::Rsa2),
        }
    }

    fn unsigned(sub_code: &'static str) -> Self {
        Self {
            signing: Signing::Unsigned,
            ..Self::early(sub_code)
        }
    }
}

/// Checks a call from its app id to its token.
pub(super) fn check<'a>(state: &State, params: &'a Params) -> Result<Call<'a>, Rejection> {
    let app_id = params.get("app_id");
    let app_id = app_id.ok_or_else(|| Rejection::unsigned("isv.missing-app-id"))?;
    if app_id != state.app_id {
        return Err(Rejection::unsigned("isv.invalid-app-id"));
    }
    let method = params.get("method");
    let method = method.ok_or_else(|| Rejection::early("isv.missing-method"))?;
    let method = Method::ALL
        .into_iter()
        .find(|known| known.as_str() == method)
        .ok_or_else(|| Rejection::early("isv.invalid-method"))?;
    let reject = |sign_type| {
        move |sub_code| Rejection {
            node_name: method.node_name(),
            signing: Signing::Signed(sign_type),
            ..Rejection::early(sub_code)
        }
    };
    let (charset, content_mode) =
        check_form(params, state.wall_now()).map_err(reject(SignType::Rsa2))?;
    let sign_type = check_sign_type(params).map_err(reject(SignType::Rsa2))?;
    check_certificates(state, params).map_err(reject(sign_type))?;
    check_signature(state, params, sign_type).map_err(reject(sign_type))?;
    let merchant = check_token(params).map_err(reject(sign_type))?;
    Ok(Call {
        method,
        sign_type,
        charset,
        merchant,
        content_mode,
        params,
    })
}

/// The timestamp is held against the wall clock, even where the sandbox's own clock runs ahead.
fn check_form(params: &Params, now: UnixMillis) -> Result<(Charset, ContentMode), &'static str> {
    let charset = params.charset().ok_or("isv.invalid-charset")?;
    let format = params.get("format").unwrap_or("JSON");
    if !format.eq_ignore_ascii_case("json") {
        return Err("isv.invalid-format");
    }
    match params.get("version") {
        None => return Err("isv.missing-version"),
        Some("1.0") => {}
        Some(_) => return Err("isv.invalid-parameter"),
    }
    let timestamp = params.get("timestamp").ok_or("isv.missing-timestamp")?;
    let sent_at = parse_timestamp_gmt8(timestamp).map_err(|_spelling| "isv.invalid-timestamp")?;
    if sent_at.abs_diff(now.0) > TIMESTAMP_WINDOW_MS {
        return Err("isv.invalid-timestamp");
    }
    match params.get("encrypt_type") {
        None => Ok((charset, ContentMode::Plain)),
        Some("AES") => Ok((charset, ContentMode::Encrypted)),
        Some(_) => Err("isv.invalid-encrypt-type"),
    }
}

fn check_sign_type(params: &Params) -> Result<SignType, &'static str> {
    let sign_type = params
        .get("sign_type")
        .ok_or("isv.missing-signature-type")?;
    sign_type
        .parse()
        .map_err(|_unknown| "isv.invalid-signature-type")
}

/// Source: the sub codes. Our reading: the order, the one for a root that is not Alipay's, and
/// that an app's certificate ends by the sandbox's own clock.
fn check_certificates(state: &State, params: &Params) -> Result<(), &'static str> {
    let Some(certified) = state.identities.certified() else {
        return Ok(());
    };
    let app_cert_sn = params.get("app_cert_sn");
    let app_cert_sn = app_cert_sn.ok_or("isv.missing-app-cert-sn")?;
    let root_cert_sn = params.get("alipay_root_cert_sn");
    let root_cert_sn = root_cert_sn.ok_or("isv.missing-alipay-root-cert-sn")?;
    let app = &certified.app.certificate;
    if app_cert_sn != app.serial_number() {
        return Err("isv.app-cert-not-exist");
    }
    let unix_seconds = i64::try_from(state.now().0 / 1000).unwrap_or(i64::MAX);
    if !app.is_valid_at(unix_seconds) {
        return Err("isv.app-cert-expired");
    }
    if root_cert_sn != certified.root_cert_sn() {
        return Err("isv.invalid-parameter");
    }
    Ok(())
}

fn check_signature(
    state: &State,
    params: &Params,
    sign_type: SignType,
) -> Result<(), &'static str> {
    let sign = params.get("sign").ok_or("isv.missing-signature")?;
    let verifier = state.verifier(sign_type);
    verifier
        .verify(&params.canonical(), sign)
        .map_err(|_mismatch| "isv.invalid-signature")
}

/// Our reading: the sandbox takes any token but those that begin with `expired`, `noapi` and
/// `invalid`, so that each error can be had.
fn check_token(params: &Params) -> Result<ActedFor, &'static str> {
    let Some(token) = params.get("app_auth_token") else {
        return Ok(ActedFor::Itself);
    };
    if token.starts_with("expired") {
        return Err("aop.app-auth-token-time-out");
    }
    if token.starts_with("noapi") {
        return Err("aop.invalid-app-auth-token-no-api");
    }
    if token.starts_with("invalid") {
        return Err("aop.invalid-app-auth-token");
    }
    Ok(ActedFor::Merchant)
}

#[cfg(test)]
mod tests {
    use super::Method;
    use crate::adapters::alipay::wire::node_name;

    #[test]
    fn every_method_is_answered_in_its_own_node() {
        for method in Method::ALL {
            assert_eq!(method.node_name(), node_name(method.as_str()));
        }
    }
}
