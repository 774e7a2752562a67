//! What the bank writes: refusals, receipts, and operations as a query tells them.

use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::job::{MoneyJob, MoneyRequest, Payee};
use hongbaod::domain::verdict::{
    AlipayNumbers, Blockage, Operation, OperationType, Proof, Receipt, Refusal,
};

use super::Record;

pub(super) fn refusal(sub_code: &str) -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some(sub_code.to_owned()),
        display_message: None,
    }
}

pub(super) fn receipt(job: &MoneyJob, number: u64) -> Receipt {
    let auth_no = match &job.request {
        MoneyRequest::Refund { auth_no, .. } => Some(auth_no.clone()),
        MoneyRequest::Disburse { .. } | MoneyRequest::Pay { .. } | MoneyRequest::Order { .. } => {
            AlipayNo::new(&format!("2026A{number}")).ok()
        }
    };
    Receipt {
        auth_no,
        operation_id: AlipayNo::new(&format!("2026B{number}")).ok(),
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    }
}

pub(super) fn blockage(proof: Proof) -> Blockage {
    Blockage {
        code: "40006".to_owned(),
        sub_code: Some("isv.insufficient-isv-permissions".to_owned()),
        proof,
    }
}

/// The numbers that an answer gives while the operation is under way: now and then none, or those of
/// another operation, or of none at all.
pub(super) fn numbers(job: &MoneyJob, number: u64) -> Option<Box<AlipayNumbers>> {
    let said = match number % 8 {
        3 => number + 1,
        5 => return None,
        6 => number.saturating_sub(1),
        _ => number,
    };
    let receipt = receipt(job, said);
    AlipayNumbers::of(receipt.auth_no.as_ref(), receipt.operation_id.as_ref()).map(Box::new)
}

/// The operation as a query tells it.
pub(super) fn operation(record: &Record) -> Operation {
    let job = &record.job;
    let receipt = receipt(job, record.number);
    let (title, remark, payer, payee) = match &job.request {
        MoneyRequest::Disburse {
            order_title, payee, ..
        } => {
            let user = match payee {
                Payee::UserId(user) => Some(user.clone()),
                Payee::LogonId(_) => None,
            };
            (Some(order_title), None, None, user)
        }
        MoneyRequest::Refund { remark, .. } => (None, Some(remark), None, None),
        MoneyRequest::Pay {
            order_title,
            payer_user_id,
            ..
        } => (Some(order_title), None, Some(payer_user_id.clone()), None),
        MoneyRequest::Order { order_title, .. } => (Some(order_title), None, None, None),
    };
    let operation_type = match &job.request {
        MoneyRequest::Refund { .. } => OperationType::Refund,
        MoneyRequest::Disburse { .. } | MoneyRequest::Pay { .. } | MoneyRequest::Order { .. } => {
            OperationType::Pay
        }
    };
    Operation {
        auth_no: receipt.auth_no,
        out_order_no: job.out_order_no().cloned(),
        operation_id: receipt.operation_id,
        out_request_no: MerchantNo::new(job.out_request_no.as_str()).ok(),
        amount: Some(job.amount()),
        status: record.status,
        operation_type: Some(operation_type),
        order_title: title.map(|title| title.as_str().to_owned()),
        remark: remark.map(|remark| remark.as_str().to_owned()),
        payer_user_id: payer,
        payee_user_id: payee,
        gmt_trans: receipt.gmt_trans,
    }
}
