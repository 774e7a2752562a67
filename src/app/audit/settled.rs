//! What a line says of an outcome. Labels are left out, for they are the producers' own, and so is
//! what Alipay says to people.

use serde::Serialize;

use crate::app::audit::line::{Record, What, printable};
use crate::app::witness::Settling;
use crate::domain::ident::{AlipayNo, MerchantNo};
use crate::domain::outcome::{Failure, Resolution};
use crate::domain::time::millis;

/// The object `data` of a `settled` line.
#[derive(Serialize)]
struct Settled<'a> {
    app: &'a str,
    kind: &'static str,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_order_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<&'a str>,
    amount: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    calls: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
}

/// The record of an outcome that was written to the ledger.
pub(super) fn record(settling: &Settling<'_>) -> Record {
    let outcome = settling.outcome;
    let (code, sub_code, reason) = match &outcome.resolution {
        Resolution::Succeeded { .. } => (Some("10000".to_owned()), None, None),
        Resolution::Failed(Failure::Refused(refusal)) => (
            Some(printable(&refusal.code)),
            refusal.sub_code.as_deref().map(printable),
            None,
        ),
        Resolution::Failed(Failure::Closed) => (None, None, Some("closed")),
        Resolution::Rejected(rejection) => (None, None, Some(rejection.as_str())),
        Resolution::Signed(_) => (None, None, None),
    };
    let data = Settled {
        app: settling.key.app.as_str(),
        kind: outcome.kind.as_str(),
        out_request_no: settling.key.out_request_no.as_str(),
        out_order_no: outcome.out_order_no.as_ref().map(MerchantNo::as_str),
        auth_no: outcome.auth_no.as_ref().map(AlipayNo::as_str),
        operation_id: outcome.resolution.operation_id().map(AlipayNo::as_str),
        amount: outcome.amount.to_string(),
        result: outcome.resolution.as_str(),
        code,
        sub_code,
        reason,
        calls: outcome.attempts,
        took_ms: settling.took.map(millis),
    };
    Record::new(outcome.settled_at, What::Settled, &data)
}
