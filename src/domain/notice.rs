//! What a true notification of Alipay says, as a fact that can be told once.

use std::fmt;

use crate::domain::ident::AppName;
use crate::domain::job::{Kind, Labels};
use crate::domain::verdict::{Operation, OperationStatus};

/// One verified notification: where an operation stands, said by Alipay without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    key: NoticeKey,
    kind: Kind,
    operation: Operation,
}

/// Tells one fact from another: two notices with equal keys say the same.
///
/// Source: Alipay's notifications have a `notify_id` too, but these three are what a fact is made
/// of: the order, the operation on it, and the status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeKey {
    /// The app that the notice came to.
    pub app: AppName,
    fact: String,
}

impl fmt::Display for NoticeKey {
    /// Writes `<app>/notification/<auth_no>/<operation_id>/<status>`, the event's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/notification/{}", self.app, self.fact)
    }
}

/// A notice that lacks what a fact is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a notice without {field}")]
pub struct IncompleteNotice {
    /// The first field that is missing.
    pub field: &'static str,
}

impl Notice {
    /// Takes `operation` of `app` as a notice about a job, or the lack of one, of `kind`.
    ///
    /// # Errors
    ///
    /// [`IncompleteNotice`] without `auth_no`, `amount` or `operation_type`, or without any number
    /// of the operation: such a notice could be taken for another.
    pub fn new(app: AppName, kind: Kind, operation: Operation) -> Result<Self, IncompleteNotice> {
        let missing = |field| IncompleteNotice { field };
        let Some(order) = &operation.auth_no else {
            return Err(missing("auth_no"));
        };
        let number = match (&operation.operation_id, &operation.out_request_no) {
            (Some(number), _) => number.as_str(),
            (None, Some(number)) => number.as_str(),
            (None, None) => return Err(missing("operation_id")),
        };
        if operation.amount.is_none() {
            return Err(missing("amount"));
        }
        if operation.operation_type.is_none() {
            return Err(missing("operation_type"));
        }
        let status = match operation.status {
            OperationStatus::Init => "INIT",
            OperationStatus::Success => "SUCCESS",
            OperationStatus::Closed => "CLOSED",
        };
        let fact = format!("{order}/{number}/{status}");
        Ok(Self {
            key: NoticeKey { app, fact },
            kind,
            operation,
        })
    }

    /// Which fact it is.
    #[must_use]
    pub fn key(&self) -> &NoticeKey {
        &self.key
    }

    /// What kind of job could have asked for it: a refund, a disburse (somebody was paid), or a pay.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The operation; its `auth_no`, `amount` and `operation_type` are always there.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }
}

/// A notice as an event of its own, because no job's outcome says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// What Alipay said.
    pub notice: Notice,
    /// `disburse`, `refund` or `pay`.
    pub kind: Kind,
    /// Of the job that signed the order, if one did.
    pub labels: Labels,
}

/// What the ledger remembers of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Somebody set out to settle a job by it; whether its event was confirmed is not known.
    Begun,
    /// Its event was confirmed: nothing is left to be told.
    Told,
}

#[cfg(test)]
mod tests {
    use super::{IncompleteNotice, Notice};
    use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
    use crate::domain::job::Kind;
    use crate::domain::money::Fen;
    use crate::domain::verdict::{Operation, OperationStatus, OperationType};

    fn operation() -> Operation {
        Operation {
            auth_no: AlipayNo::new("A1").ok(),
            out_order_no: None,
            operation_id: AlipayNo::new("B2").ok(),
            out_request_no: MerchantNo::new("R3").ok(),
            amount: Fen::new(888),
            status: OperationStatus::Success,
            operation_type: Some(OperationType::Pay),
            order_title: None,
            remark: None,
            payer_user_id: None,
            payee_user_id: None,
            gmt_trans: None,
        }
    }

    fn notice(change: impl Fn(&mut Operation)) -> Result<Notice, IncompleteNotice> {
        let mut operation = operation();
        change(&mut operation);
        Notice::new(AppName::new("main").unwrap(), Kind::Pay, operation)
    }

    #[test]
    fn a_fact_is_an_order_an_operation_and_a_status() {
        for (change, text) in [
            (None, "main/notification/A1/B2/SUCCESS"),
            (Some("status"), "main/notification/A1/B2/CLOSED"),
            (Some("number"), "main/notification/A1/R3/SUCCESS"),
        ] {
            let notice = notice(|operation| match change {
                Some("status") => operation.status = OperationStatus::Closed,
                Some(_) => operation.operation_id = None,
                None => {}
            });
            assert_eq!(notice.unwrap().key().to_string(), text);
        }
    }

    #[test]
    fn a_notice_that_could_be_taken_for_another_is_refused() {
        let missing = |change: fn(&mut Operation)| notice(change).unwrap_err().field;
        assert_eq!(missing(|o| o.auth_no = None), "auth_no");
        assert_eq!(missing(|o| o.amount = None), "amount");
        assert_eq!(missing(|o| o.operation_type = None), "operation_type");
        let numberless = missing(|o| (o.operation_id, o.out_request_no) = (None, None));
        assert_eq!(numberless, "operation_id");
    }
}
