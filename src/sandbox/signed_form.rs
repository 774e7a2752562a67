//! Params that Alipay signs: notifications, and what the cashier gives a browser to take along.

use crate::adapters::alipay::sign::{SignType, canonical_bytes};
use crate::adapters::alipay::wire::{Charset, form_encode_bytes, timestamp_gmt8};
use crate::sandbox::bank::{ActedFor, Details, Origin};
use crate::sandbox::gateway::params::{charset_name, encode};
use crate::sandbox::state::State;

/// The app of the merchants for whom an app acts; the sandbox knows one such merchant.
const MERCHANT_APP_ID: &str = "2021000000000099";

/// Params in the order in which they are sent; all are signed.
pub(in crate::sandbox) type Fields = Vec<(&'static str, String)>;

/// Signs `fields`, appends the signature, and writes the form, all in `charset`.
///
/// Source: the rule for notifications ("V1"): sorted, without `sign` and without `sign_type`,
/// empty values left out, over the bytes in the notification's charset. Unsigned in the
/// unheard-of case that the library fails to sign.
pub(in crate::sandbox) fn signed_form(
    state: &State,
    fields: &Fields,
    sign_type: SignType,
    charset: Charset,
) -> String {
    let encoded: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), encode(value, charset)))
        .collect();
    let message = canonical_bytes(encoded.iter().map(|(name, value)| (*name, &**value)));
    let mut form = form_encode_bytes(encoded.iter().map(|(name, value)| (*name, &**value)));
    if let Ok(sign) = state.identities.present().signer(sign_type).sign(&message) {
        let signature = [("sign_type", sign_type.as_str()), ("sign", &sign)];
        form.push('&');
        form.push_str(&form_encode_bytes(signature));
    }
    form
}

/// For whom the call was made that is told of.
pub(in crate::sandbox) fn auth_app_id(state: &State, origin: &Origin) -> String {
    match origin.merchant {
        ActedFor::Itself => state.app_id.clone(),
        ActedFor::Merchant => MERCHANT_APP_ID.to_owned(),
    }
}

/// Where the cashier sends the browser after payment: the `return_url` with signed params.
///
/// Our reading: which params they are, and that their charset is the call's.
pub(in crate::sandbox) fn return_address(
    state: &State,
    details: &Details,
    origin: &Origin,
) -> Option<String> {
    let return_url = origin.return_url.as_deref()?;
    let receipt = &details.receipt;
    let fields: Fields = vec![
        ("charset", charset_name(origin.charset).to_owned()),
        ("out_order_no", receipt.out_order_no.as_ref().to_owned()),
        (
            "method",
            "alipay.fund.coupon.order.page.pay.return".to_owned(),
        ),
        ("out_request_no", receipt.out_request_no.as_ref().to_owned()),
        ("auth_no", receipt.auth_no.as_ref().to_owned()),
        ("operation_id", receipt.operation_id.as_ref().to_owned()),
        ("amount", receipt.amount.to_string()),
        ("status", receipt.status.as_str().to_owned()),
        ("version", "1.0".to_owned()),
        ("app_id", state.app_id.clone()),
        ("auth_app_id", auth_app_id(state, origin)),
        ("timestamp", timestamp_gmt8(state.now().0)),
    ];
    let form = signed_form(state, &fields, origin.sign_type, origin.charset);
    let joint = if return_url.contains('?') { '&' } else { '?' };
    Some(format!("{return_url}{joint}{form}"))
}
