//! What a notification says.

use crate::adapters::alipay::wire::{Charset, timestamp_gmt8};
use crate::sandbox::bank::OperationKind;
use crate::sandbox::faults::{NoticeCharset, NoticeKnobs, Nulls};
use crate::sandbox::gateway::params::charset_name;
use crate::sandbox::notices::Notice;
use crate::sandbox::signed_form::{Fields, auth_app_id, signed_form};
use crate::sandbox::state::State;

/// The charset of a notification.
pub(super) fn charset(notice: &Notice, knobs: &NoticeKnobs) -> Charset {
    match knobs.charset {
        NoticeCharset::AsRequested => notice.happening.origin.charset,
        NoticeCharset::Gbk | NoticeCharset::GbkUnsaid => Charset::Gbk,
    }
}

/// The signed form that is sent now.
///
/// Source: the members, as Alipay's articles on this product list them; payers are named to
/// payers and in refunds, payees in disburses. Our reading: their order, and that empty members
/// are left out unless the knob wants them as the text `null`, which was seen.
pub(super) fn form(state: &State, notice: &Notice, knobs: &NoticeKnobs) -> String {
    let charset = charset(notice, knobs);
    let details = &notice.happening.details;
    let origin = &notice.happening.origin;
    let receipt = &details.receipt;
    let is_disburse = receipt.kind == OperationKind::Disburse;
    let owned = |text: &str| Some(text.to_owned());
    let said = match knobs.charset {
        NoticeCharset::AsRequested | NoticeCharset::Gbk => owned(charset_name(charset)),
        NoticeCharset::GbkUnsaid => None,
    };
    let payer = |value: Option<String>| value.filter(|_| !is_disburse);
    let payer_user_id = details.payer_user_id.as_deref().map(str::to_owned);
    let payee_user_id = details.payee_user_id.as_deref().map(str::to_owned);
    let members = [
        ("notify_type", owned(notify_type(receipt.kind))),
        ("notify_id", owned(&notice.id)),
        ("notify_time", Some(timestamp_gmt8(state.now().0))),
        ("app_id", owned(&state.app_id)),
        ("auth_app_id", Some(auth_app_id(state, origin))),
        ("charset", said),
        ("version", owned("1.0")),
        ("auth_no", owned(&receipt.auth_no)),
        ("out_order_no", owned(&receipt.out_order_no)),
        ("operation_id", owned(&receipt.operation_id)),
        ("out_request_no", owned(&receipt.out_request_no)),
        ("operation_type", owned(receipt.kind.operation_type())),
        ("order_title", owned(&details.order_title)),
        ("remark", details.remark.as_deref().map(str::to_owned)),
        ("amount", Some(receipt.amount.to_string())),
        ("status", owned(receipt.status.as_str())),
        ("gmt_create", Some(timestamp_gmt8(details.created_at.0))),
        ("gmt_trans", receipt.done_at.map(|at| timestamp_gmt8(at.0))),
        ("payer_user_id", payer(payer_user_id)),
        ("payer_logon_id", payer(details.payer_logon_id.clone())),
        ("payee_user_id", payee_user_id),
        ("payee_logon_id", details.payee_logon_id.clone()),
    ];
    let fields: Fields = members
        .into_iter()
        .filter_map(|(name, value)| match (value, knobs.nulls) {
            (Some(value), _) => Some((name, value)),
            // The charset is said or not said; it is never null.
            (None, Nulls::Literal) if name != "charset" => Some((name, "null".to_owned())),
            (None, Nulls::Literal | Nulls::Absent) => None,
        })
        .collect();
    signed_form(state, &fields, origin.sign_type, charset)
}

/// Source: the refund's. Our reading: the other two, whose names are not documented.
fn notify_type(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Pay => "fund_stdtrustee_order_create_pay.success",
        OperationKind::Disburse => "fund_stdtrustee_order_disburse.success",
        OperationKind::Refund => "fund_stdtrustee_refund.success",
    }
}
