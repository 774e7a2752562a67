//! The worker against the lifecycle's promises that only a driver can keep: what is done in which
//! order, and what happens when a reply is lost, a server is away, or the worker must stop.

mod budget;
mod fakes;
mod jobs;
mod lanes;
mod notices;
mod numbers;
mod orders;
mod pausing;
mod rules;
mod trouble;
mod versions;
mod world;

use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::money::Fen;
use hongbaod::domain::verdict::{
    Doubt, Finding, Operation, OperationStatus, OperationType, Receipt, Refusal, Verdict,
};

use fakes::Scripted;

const JOB: &str = r#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1","order_title":"t","amount":"8.88","payee_user_id":"2088000000000001"}"#;
const OTHER: &str = r#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1","order_title":"t","amount":"9.99","payee_user_id":"2088000000000001"}"#;
const QUERY: &str = r#"{"kind":"query","out_order_no":"O1","out_request_no":"R1"}"#;

fn success() -> Scripted {
    let receipt = Receipt {
        operation_id: AlipayNo::new("20261122000000000001").ok(),
        ..Receipt::default()
    };
    Scripted::Sent(Verdict::Succeeded(receipt))
}

fn unknown() -> Scripted {
    Scripted::Sent(Verdict::Unknown(Doubt::TimedOut))
}

fn not_found() -> Scripted {
    Scripted::Queried(Finding::NotFound)
}

fn refused() -> Scripted {
    let sub_code = Some("PAYEE_NOT_EXIST".to_owned());
    Scripted::Sent(Verdict::Refused(Refusal {
        code: "40004".to_owned(),
        sub_code,
        display_message: None,
    }))
}

fn found(status: OperationStatus) -> Scripted {
    found_amount(status, 888)
}

fn found_amount(status: OperationStatus, fen: u64) -> Scripted {
    Scripted::Queried(Finding::Found(Box::new(Operation {
        auth_no: None,
        out_order_no: MerchantNo::new("O1").ok(),
        operation_id: AlipayNo::new("20261122000000000001").ok(),
        out_request_no: MerchantNo::new("R1").ok(),
        amount: Fen::new(fen),
        status,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    })))
}
