//! The response nodes. Texts and fields: Alipay fund.coupon; absent fields are left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::adapters::alipay::wire::timestamp_gmt8;
use crate::sandbox::bank::{Details, OperationKind, Receipt, Refusal, yuan};

/// Alipay's `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Success,
    InProgress,
    ServiceUnavailable,
    InsufficientToken,
    MissingArguments,
    InvalidArguments,
    BusinessFailed,
    CallLimited,
    InsufficientPermissions,
}

impl Code {
    /// The code of a protocol error. Source: Alipay's list of common errors.
    pub(super) fn of_protocol(sub_code: &str) -> Self {
        if sub_code.starts_with("aop.") {
            Self::InsufficientToken
        } else if sub_code.starts_with("isv.missing-")
            || sub_code == "isv.decryption-error-missing-encrypt-type"
        {
            Self::MissingArguments
        } else {
            Self::InvalidArguments
        }
    }

    fn number(self) -> &'static str {
        self.texts().0
    }

    fn msg(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Success => ("10000", "Success"),
            // Our reading: the text; Alipay's differs from product to product.
            Self::InProgress => ("10003", "Business Processing"),
            Self::ServiceUnavailable => ("20000", "Service Currently Unavailable"),
            Self::InsufficientToken => ("20001", "Insufficient Token Permissions"),
            Self::MissingArguments => ("40001", "Missing Required Arguments"),
            Self::InvalidArguments => ("40002", "Invalid Arguments"),
            Self::BusinessFailed => ("40004", "Business Failed"),
            Self::CallLimited => ("40005", "Call Limited"),
            Self::InsufficientPermissions => ("40006", "Insufficient Permissions"),
        }
    }

    /// What usually comes with a code that a fault answers; empty: no `sub_code`.
    pub(super) fn usual_sub_code(self) -> &'static str {
        match self {
            Self::ServiceUnavailable => "isp.unknow-error",
            Self::CallLimited => "isv.method-call-limited",
            Self::InsufficientPermissions => "isv.insufficient-isv-permissions",
            Self::Success
            | Self::InProgress
            | Self::InsufficientToken
            | Self::MissingArguments
            | Self::InvalidArguments
            | Self::BusinessFailed => "",
        }
    }
}

/// One response node, as JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node(String);

#[derive(Default, Serialize)]
struct Members<'a> {
    code: &'a str,
    msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alipay_cert_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gmt_create: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gmt_trans: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_order_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_request_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_logon_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_logon_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_pay_refund_amount: Option<String>,
}

impl Members<'_> {
    #[expect(
        clippy::expect_used,
        reason = "texts and absent texts always have a JSON form"
    )]
    fn node(&self) -> Node {
        Node(serde_json::to_string(self).expect("texts have a JSON form"))
    }
}

impl Node {
    /// An answer without business fields; an empty `sub_code` is left out.
    pub(super) fn error(code: Code, sub_code: &str) -> Self {
        Members {
            code: code.number(),
            msg: code.msg(),
            sub_code: (!sub_code.is_empty()).then_some(sub_code),
            sub_msg: sub_msg(sub_code),
            ..Members::default()
        }
        .node()
    }

    /// A business refusal. Source: real answers echo the `out_request_no`.
    pub(super) fn refusal(refusal: Refusal, out_request_no: Option<&str>) -> Self {
        Members {
            code: Code::BusinessFailed.number(),
            msg: Code::BusinessFailed.msg(),
            sub_code: Some(refusal.sub_code()),
            sub_msg: Some(refusal.sub_msg()),
            out_request_no,
            ..Members::default()
        }
        .node()
    }

    /// What is recorded for a command. Source: real refund answers lack `out_order_no`.
    pub(super) fn receipt(receipt: &Receipt) -> Self {
        let mut members = receipt_members(receipt);
        if receipt.kind == OperationKind::Refund {
            members.out_order_no = None;
        }
        members.node()
    }

    /// A certificate's PEM text, in base64.
    pub(super) fn certificate(pem: &str) -> Self {
        Members {
            code: Code::Success.number(),
            msg: Code::Success.msg(),
            alipay_cert_content: Some(STANDARD.encode(pem)),
            ..Members::default()
        }
        .node()
    }

    /// What a query finds.
    pub(super) fn details(details: &Details) -> Self {
        Members {
            extra_param: details.extra_param.as_deref(),
            gmt_create: Some(timestamp_gmt8(details.created_at.0)),
            operation_type: Some(details.receipt.kind.operation_type()),
            order_title: Some(&details.order_title),
            payee_logon_id: details.payee_logon_id.as_deref(),
            payee_user_id: details.payee_user_id.as_deref(),
            payer_logon_id: details.payer_logon_id.as_deref(),
            payer_user_id: details.payer_user_id.as_deref(),
            remark: details.remark.as_deref(),
            total_pay_refund_amount: Some(yuan(details.refunded_fen)),
            ..receipt_members(&details.receipt)
        }
        .node()
    }

    pub(super) fn is_success(&self) -> bool {
        self.0.starts_with(r#"{"code":"10000""#)
    }

    pub(super) fn json(&self) -> &str {
        &self.0
    }
}

fn receipt_members(receipt: &Receipt) -> Members<'_> {
    Members {
        code: Code::Success.number(),
        msg: Code::Success.msg(),
        amount: Some(receipt.amount.to_string()),
        auth_no: Some(&receipt.auth_no),
        gmt_trans: receipt.done_at.map(|done_at| timestamp_gmt8(done_at.0)),
        operation_id: Some(&receipt.operation_id),
        out_order_no: Some(&receipt.out_order_no),
        out_request_no: Some(&receipt.out_request_no),
        status: Some(receipt.status.as_str()),
        ..Members::default()
    }
}

/// Our reading: short texts in the manner of real ones, for people and logs.
fn sub_msg(sub_code: &str) -> Option<&'static str> {
    Some(match sub_code {
        "" => return None,
        "isv.invalid-app-id" => "无效的AppID参数",
        "isv.invalid-signature" => "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配",
        "isv.invalid-timestamp" => "时间戳参数无效",
        "isv.method-call-limited" => "接口调用次数超限",
        "isv.insufficient-isv-permissions" => {
            "ISV权限不足，建议在开发者中心检查对应功能是否已经添加"
        }
        "isp.unknow-error" => "系统繁忙",
        _ => "请求参数有误",
    })
}
