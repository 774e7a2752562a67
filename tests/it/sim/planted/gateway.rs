//! A gateway adapter that misreads answers, or writes other bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{MoneyJob, OperationRef, QueryTarget};
use hongbaod::domain::outcome::SignedOrder;
use hongbaod::domain::verdict::{
    Doubt, Finding, NotExecuted, Operation, OperationStatus, Refusal, Verdict,
};
use hongbaod::ports::gateway::{Gateway, Prepared};

use super::Bug;

pub(crate) struct BadGateway {
    bug: Bug,
    inner: Arc<dyn Gateway>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    prepared: u64,
    refused: BTreeSet<String>,
}

impl BadGateway {
    pub(crate) fn new(bug: Bug, inner: Arc<dyn Gateway>) -> Self {
        Self {
            bug,
            inner,
            memory: Mutex::default(),
        }
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some("TIMEOUT".to_owned()),
        display_message: None,
    }
}

fn closed() -> Operation {
    Operation {
        auth_no: None,
        out_order_no: None,
        operation_id: None,
        out_request_no: None,
        amount: None,
        status: OperationStatus::Closed,
        operation_type: None,
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    }
}

#[async_trait]
impl Gateway for BadGateway {
    fn apps(&self) -> Vec<AppName> {
        self.inner.apps()
    }

    fn prepare(&self, job: &MoneyJob) -> Option<Prepared> {
        let mut prepared = self.inner.prepare(job)?;
        if self.bug == Bug::OtherBytes {
            let mut memory = self.memory.lock().unwrap();
            memory.prepared += 1;
            prepared
                .biz_content
                .0
                .push_str(&format!("#{}", memory.prepared));
        }
        Some(prepared)
    }

    fn sign_order(&self, job: &MoneyJob, prepared: &Prepared) -> Option<SignedOrder> {
        self.inner.sign_order(job, prepared)
    }

    async fn send(&self, app: &AppName, prepared: &Prepared) -> Verdict {
        let verdict = self.inner.send(app, prepared).await;
        let number = prepared.expected.out_request_no.as_str().to_owned();
        let mut memory = self.memory.lock().unwrap();
        match (self.bug, verdict) {
            (Bug::TimeoutIsFailed, Verdict::Unknown(Doubt::TimedOut)) => {
                Verdict::Refused(refusal())
            }
            (Bug::UnknownIsNotSent, Verdict::Unknown(_)) => {
                Verdict::NotExecuted(NotExecuted::NotSent)
            }
            (Bug::RefusalBelieved, verdict) => {
                if matches!(
                    verdict,
                    Verdict::Refused(_) | Verdict::RefusedUnconfirmed(_)
                ) {
                    memory.refused.insert(number);
                }
                verdict
            }
            (_, verdict) => verdict,
        }
    }

    async fn query(&self, app: &AppName, target: &QueryTarget) -> Finding {
        let finding = self.inner.query(app, target).await;
        let OperationRef::OutRequestNo(number) = &target.operation else {
            return finding;
        };
        let refused = self
            .memory
            .lock()
            .unwrap()
            .refused
            .contains(number.as_str());
        if refused && finding == Finding::NotFound {
            return Finding::Found(Box::new(closed()));
        }
        finding
    }
}
