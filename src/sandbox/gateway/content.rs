//! `biz_content`: JSON text to a command or a query.
//!
//! Our reading: text that is no JSON object is `isv.illegal-json`; members of the wrong type, of
//! the wrong length or missing are the business refusal `ILLEGAL_ARGUMENT`; unknown members are
//! ignored; empty ones count as absent.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::domain::ident::PayTimeout;
use crate::domain::money::Fen;
use crate::sandbox::bank::{
    Command, MERCHANT_USER_ID, OperationRef, OrderRef, Payee, Payer, QueryBy, What,
};
use crate::sandbox::gateway::protocol::Method;

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Money(Command),
    Query(QueryBy),
    /// The certificate of this `alipay_cert_sn`.
    Certificate(Arc<str>),
}

/// Why `biz_content` asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentError {
    NotJson,
    Illegal,
}

/// Every member of all methods. Names and lengths: Alipay fund.coupon.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    out_order_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    out_request_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    auth_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    deduct_auth_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    deduct_out_order_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order_title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    remark: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payee_user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payee_logon_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payer_user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pay_timeout: Option<Cow<'a, str>>,
    #[serde(borrow)]
    extra_param: Option<Cow<'a, str>>,
    #[serde(borrow)]
    alipay_cert_sn: Option<Cow<'a, str>>,
    /// A string as a rule; a bare number occurs in Alipay's own examples.
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

/// Reads the content of a call.
pub(super) fn read(method: Method, biz_content: &str) -> Result<Content, ContentError> {
    // A derived reader would take an array of all members too.
    if !biz_content.trim_start().starts_with('{') {
        return Err(ContentError::NotJson);
    }
    let members: Members<'_> =
        serde_json::from_str(biz_content).map_err(|error| match error.classify() {
            Category::Data => ContentError::Illegal,
            Category::Io | Category::Syntax | Category::Eof => ContentError::NotJson,
        })?;
    match method {
        Method::AppPay | Method::PagePay => members.pay_by_person(),
        Method::AgreementPay => members.pay(),
        Method::Disburse => members.disburse(),
        Method::Refund => members.refund(),
        Method::Query => members.query(),
        Method::DownloadCertificate => {
            required(&members.alipay_cert_sn, 64).map(Content::Certificate)
        }
    }
    .ok_or(ContentError::Illegal)
}

impl Members<'_> {
    fn pay(&self) -> Option<Content> {
        let what = What::Pay {
            out_order_no: required(&self.out_order_no, 64)?,
            // The document calls it optional; then the merchant is meant.
            payer: Payer::Agreement(
                text(&self.payer_user_id, 32)?.unwrap_or_else(|| Arc::from(MERCHANT_USER_ID)),
            ),
        };
        self.command(&self.order_title, what)
    }

    fn pay_by_person(&self) -> Option<Content> {
        let what = What::Pay {
            out_order_no: required(&self.out_order_no, 64)?,
            payer: Payer::Person,
        };
        self.command(&self.order_title, what)
    }

    fn disburse(&self) -> Option<Content> {
        let auth_no = text(&self.deduct_auth_no, 64)?.map(OrderRef::AuthNo);
        let out_order_no = text(&self.deduct_out_order_no, 64)?.map(OrderRef::OutOrderNo);
        let user_id = text(&self.payee_user_id, 32)?.map(Payee::UserId);
        let logon_id = text(&self.payee_logon_id, 100)?.map(Payee::LogonId);
        let what = What::Disburse {
            out_order_no: required(&self.out_order_no, 64)?,
            // Source: the Alipay number wins, and so does the user id.
            packet: auth_no.or(out_order_no)?,
            payee: user_id.or(logon_id)?,
        };
        self.command(&self.order_title, what)
    }

    fn refund(&self) -> Option<Content> {
        let auth_no = required(&self.auth_no, 64)?;
        self.command(&self.remark, What::Refund { auth_no })
    }

    fn command(&self, caption: &Option<Cow<'_, str>>, what: What) -> Option<Content> {
        let pay_timeout = text(&self.pay_timeout, 5)?;
        if let Some(pay_timeout) = &pay_timeout {
            PayTimeout::new(pay_timeout).ok()?;
        }
        Some(Content::Money(Command {
            out_request_no: required(&self.out_request_no, 64)?,
            amount: self.amount()?,
            caption: required(caption, 100)?,
            extra_param: text(&self.extra_param, 300)?,
            pay_timeout,
            what,
        }))
    }

    fn query(&self) -> Option<Content> {
        let auth_no = text(&self.auth_no, 64)?.map(OrderRef::AuthNo);
        let out_order_no = text(&self.out_order_no, 64)?.map(OrderRef::OutOrderNo);
        let operation_id = text(&self.operation_id, 64)?.map(OperationRef::OperationId);
        let out_request_no = text(&self.out_request_no, 64)?.map(OperationRef::OutRequestNo);
        Some(Content::Query(QueryBy {
            // Source: Alipay's own numbers win.
            order: auth_no.or(out_order_no)?,
            operation: operation_id.or(out_request_no)?,
        }))
    }

    fn amount(&self) -> Option<Fen> {
        let raw = self.amount?.get();
        let unquoted = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        Fen::parse_answer(unquoted.unwrap_or(raw)).ok()
    }
}

/// A text of at most `length_max` characters: `None` if it is too long, `Some(None)` if it is
/// not there.
#[expect(clippy::option_option, reason = "wrong and absent are two things")]
fn text(member: &Option<Cow<'_, str>>, length_max: usize) -> Option<Option<Arc<str>>> {
    let Some(member) = member.as_deref().filter(|member| !member.is_empty()) else {
        return Some(None);
    };
    if member.len() > length_max && member.chars().count() > length_max {
        return None;
    }
    Some(Some(Arc::from(member)))
}

fn required(member: &Option<Cow<'_, str>>, length_max: usize) -> Option<Arc<str>> {
    text(member, length_max)?
}

#[cfg(test)]
mod tests {
    use super::{Content, ContentError, read};
    use crate::sandbox::bank::{OperationRef, OrderRef, Payee, What};
    use crate::sandbox::gateway::protocol::Method;

    const DISBURSE: &str = r#"{"out_order_no":"O","out_request_no":"R","deduct_out_order_no":"P",
        "order_title":"t","amount":"8.88","payee_logon_id":"138"}"#;

    fn disburse(change: impl Fn(&str) -> String) -> Result<Content, ContentError> {
        read(Method::Disburse, &change(DISBURSE))
    }

    #[test]
    fn alipays_own_numbers_and_user_ids_win() {
        let both = |json: &str| {
            json.replacen(
                '{',
                r#"{"deduct_auth_no":"A","payee_user_id":"2088","new":[1],"#,
                1,
            )
        };
        let Ok(Content::Money(command)) = disburse(both) else {
            panic!("a good disburse");
        };
        let What::Disburse { packet, payee, .. } = command.what else {
            panic!("a disburse");
        };
        assert_eq!(packet, OrderRef::AuthNo("A".into()));
        assert_eq!(payee, Payee::UserId("2088".into()));

        let pairs = r#"{"auth_no":"A","out_order_no":"O","operation_id":"I","out_request_no":"R"}"#;
        let Ok(Content::Query(by)) = read(Method::Query, pairs) else {
            panic!("a good query");
        };
        assert_eq!(by.order, OrderRef::AuthNo("A".into()));
        assert_eq!(by.operation, OperationRef::OperationId("I".into()));
    }

    #[test]
    fn amounts_may_be_bare_numbers() {
        for amount in ["8.88", "\"8.88\""] {
            let Ok(Content::Money(command)) = disburse(|json| json.replace("\"8.88\"", amount))
            else {
                panic!("a good amount: {amount}");
            };
            assert_eq!(command.amount.get(), 888);
        }
    }

    #[test]
    fn bad_content_is_told_apart_from_bad_json() {
        let long = "x".repeat(101);
        let rows = [
            (
                "\"amount\":\"8.88\"",
                "\"amount\":\"8.888\"",
                ContentError::Illegal,
            ),
            (
                "\"amount\":\"8.88\"",
                "\"amount\":\"0.00\"",
                ContentError::Illegal,
            ),
            (
                "\"amount\":\"8.88\"",
                "\"amount\":[1]",
                ContentError::Illegal,
            ),
            ("\"out_order_no\":\"O\",", "", ContentError::Illegal),
            ("\"out_request_no\":\"R\",", "", ContentError::Illegal),
            ("\"deduct_out_order_no\":\"P\",", "", ContentError::Illegal),
            (
                "\"payee_logon_id\":\"138\"",
                "\"payee_logon_id\":\"\"",
                ContentError::Illegal,
            ),
            (
                "\"order_title\":\"t\"",
                "\"order_title\":7",
                ContentError::Illegal,
            ),
            ("\"t\"", &format!("\"{long}\""), ContentError::Illegal),
            (
                "\"t\"",
                "\"t\",\"pay_timeout\":\"9d\"",
                ContentError::Illegal,
            ),
            ("{", "[", ContentError::NotJson),
            ("}", "", ContentError::NotJson),
        ];
        for (from, to, error) in rows {
            let result = disburse(|json| json.replacen(from, to, 1));
            assert_eq!(result, Err(error), "{from} -> {to}");
        }
        assert_eq!(read(Method::Query, ""), Err(ContentError::NotJson));
        assert_eq!(read(Method::Query, "[]"), Err(ContentError::NotJson));
        assert_eq!(read(Method::Query, "{}"), Err(ContentError::Illegal));
        assert_eq!(
            read(Method::Query, r#"{"auth_no":"A"}"#),
            Err(ContentError::Illegal)
        );
    }
}
