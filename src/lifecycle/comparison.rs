//! Whether an operation that Alipay knows is the one that a job asks for.

use crate::domain::ident::UserId;
use crate::domain::job::{MoneyJob, MoneyRequest, Payee};
use crate::domain::money::Fen;
use crate::domain::verdict::{Operation, OperationType};

/// Whether `operation` equals `job` in every field that the job names and the query returned.
///
/// A value that the query left out, or masked, does not count against it.
#[must_use]
pub fn is_same(job: &MoneyJob, operation: &Operation) -> bool {
    let same_text =
        |asked: &str, found: &Option<String>| found.as_deref().is_none_or(|found| found == asked);
    let same_user =
        |asked: &UserId, found: &Option<UserId>| found.as_ref().is_none_or(|found| found == asked);
    let same_amount = |asked: Fen| operation.amount.is_none_or(|found| found == asked);
    let same_type = |asked| operation.operation_type.is_none_or(|found| found == asked);
    let same_number = operation
        .out_request_no
        .as_ref()
        .is_none_or(|found| *found == job.out_request_no);
    let same_order = match job.out_order_no() {
        Some(asked) => operation
            .out_order_no
            .as_ref()
            .is_none_or(|found| found == asked),
        None => true,
    };
    let same_request = match &job.request {
        MoneyRequest::Disburse {
            order_title,
            amount,
            payee,
            out_order_no: _,
            deduct: _,
            extras: _,
        } => {
            same_amount(*amount)
                && same_type(OperationType::Pay)
                && same_text(order_title.as_str(), &operation.order_title)
                && match payee {
                    Payee::UserId(user_id) => same_user(user_id, &operation.payee_user_id),
                    // The query returns logon ids masked.
                    Payee::LogonId(_) => true,
                }
        }
        MoneyRequest::Refund {
            auth_no,
            amount,
            remark,
        } => {
            same_amount(*amount)
                && same_type(OperationType::Refund)
                && same_text(remark.as_str(), &operation.remark)
                && operation
                    .auth_no
                    .as_ref()
                    .is_none_or(|found| found == auth_no)
        }
        MoneyRequest::Pay {
            order_title,
            amount,
            payer_user_id,
            ..
        } => {
            same_amount(*amount)
                && same_type(OperationType::Pay)
                && same_text(order_title.as_str(), &operation.order_title)
                && same_user(payer_user_id, &operation.payer_user_id)
        }
        MoneyRequest::Order {
            order_title,
            amount,
            ..
        } => {
            same_amount(*amount)
                && same_type(OperationType::Pay)
                && same_text(order_title.as_str(), &operation.order_title)
        }
    };
    same_number && same_order && same_request
}

/// Whether `operation` has the numbers by which Alipay knows what `job` asks for, whatever else it
/// says: the order's, the operation's, and what it does.
#[must_use]
pub fn is_same_operation(job: &MoneyJob, operation: &Operation) -> bool {
    fn differs<T: PartialEq>(asked: &T, found: Option<&T>) -> bool {
        found.is_some_and(|found| found != asked)
    }
    let (type_asked, other_order) = match &job.request {
        MoneyRequest::Refund { auth_no, .. } => {
            let other = differs(auth_no, operation.auth_no.as_ref());
            (OperationType::Refund, other)
        }
        MoneyRequest::Disburse { out_order_no, .. }
        | MoneyRequest::Pay { out_order_no, .. }
        | MoneyRequest::Order { out_order_no, .. } => {
            let other = differs(out_order_no, operation.out_order_no.as_ref());
            (OperationType::Pay, other)
        }
    };
    let other_number = differs(&job.out_request_no, operation.out_request_no.as_ref());
    let other_type = differs(&type_asked, operation.operation_type.as_ref());
    !(other_order || other_number || other_type)
}
