//! Outcome events: CloudEvents 1.0 in structured JSON, rebuilt from facts so that every copy of a
//! terminal outcome has the same id and the same data.

mod specimen;

use bytes::Bytes;
use serde::Serialize;

use crate::app::job_body::rfc3339;
use crate::domain::draft::FieldError;
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::{
    Fingerprint, JobKey, Kind, Labels, MoneyJob, MoneyRequest, OperationRef, OrderRef, QueryJob,
};
use crate::domain::notice::Telling;
use crate::domain::outcome::{
    Announcement, BudgetWarning, Failure, Invalid, Outcome, QueryAnswer, Resolution, SignedOrder,
};
use crate::domain::time::UnixMillis;
use crate::domain::trace::TraceContext;
use crate::domain::verdict::{OperationStatus, OperationType};
use crate::ports::broker::EventMessage;

pub(crate) use crate::app::outcome_event::specimen::{everything_given, nothing_given};

/// The content type of an event. Source: CloudEvents 1.0, JSON event format.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Writes the event that an announcement is published as. What is no `traceparent` is left out.
#[must_use]
pub fn encode(announcement: &Announcement, traceparent: Option<&str>) -> EventMessage {
    let traceparent = traceparent.filter(|text| TraceContext::parse(text).is_some());
    match announcement {
        Announcement::Settled { key, outcome } => settled(key, outcome, traceparent),
        Announcement::Contradicted {
            key,
            outcome,
            evidence,
            at,
        } => contradicted((key, outcome), evidence, *at, traceparent),
        Announcement::Conflict {
            job,
            fingerprint,
            at,
        } => conflict(job, *fingerprint, *at, traceparent),
        Announcement::Unresolved { job, attempts, at } => {
            unresolved(job, *attempts, *at, traceparent)
        }
        Announcement::Invalid(invalid) => self::invalid(invalid, traceparent),
        Announcement::Notified { told, at } => notified(told, *at),
        Announcement::BudgetWarned(warning) => budget_warned(warning),
        Announcement::Answered {
            job,
            message_id,
            answer,
            attempts,
            at,
        } => {
            let head = Head {
                attempts: *attempts,
                at: *at,
                traceparent,
            };
            answered(job, message_id.as_deref().unwrap_or("none"), answer, &head)
        }
    }
}

/// The type of an event: its routing key, and the version of the contract.
pub(crate) fn event_type(routing_key: &str) -> String {
    format!("hongbao.{routing_key}.v1")
}

/// The result of an event against a settled outcome.
pub(crate) const CONTRADICTED: &str = "contradicted";
/// The result of an event of a job of which nobody knows yet.
pub(crate) const UNRESOLVED: &str = "unresolved";
/// The kind of an event of the spend guard, which is about no job.
pub(crate) const BUDGET: &str = "budget";
/// The result of an event of the spend guard.
pub(crate) const WARNED: &str = "warned";
/// The reason of a job whose number belongs to another one.
pub(crate) const CONFLICT: &str = "conflict";
/// The reason of a body that is no valid job.
pub(crate) const INVALID: &str = "invalid";
/// The origin of what only a notification told.
pub(crate) const NOTIFICATION: &str = "notification";

/// The CloudEvents envelope; attributes of the specification, then our two extensions.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: Data<'a>,
}

/// The event's data: every key is always there, but for what a signed order or a notification
/// alone has.
#[derive(Serialize)]
struct Data<'a> {
    kind: &'static str,
    result: &'static str,
    app: &'a str,
    out_request_no: Option<&'a str>,
    out_order_no: Option<&'a str>,
    auth_no: Option<&'a str>,
    operation_id: Option<&'a str>,
    amount: Option<String>,
    status: Option<&'static str>,
    gmt_trans: Option<&'a str>,
    code: Option<&'a str>,
    sub_code: Option<&'a str>,
    display_message: Option<&'a str>,
    reason: Option<&'static str>,
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_string: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_url: Option<&'a str>,
    labels: &'a Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetData<'a>>,
    /// Absent of jobs, so that what was told of them stays word by word the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
}

/// Of a warning of the spend guard alone: the sum and its cap.
#[derive(Serialize)]
struct BudgetData<'a> {
    scope: &'static str,
    value: Option<&'a str>,
    window: &'static str,
    starts_at: String,
    ends_at: String,
    cap: String,
    spent: String,
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

/// What an envelope has beside its id and data.
struct Head<'a> {
    attempts: u32,
    at: UnixMillis,
    traceparent: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn new(kind: Kind, result: &'static str, app: &'a AppName, labels: &'a Labels) -> Self {
        Self {
            kind: kind.as_str(),
            result,
            app: app.as_str(),
            out_request_no: None,
            out_order_no: None,
            auth_no: None,
            operation_id: None,
            amount: None,
            status: None,
            gmt_trans: None,
            code: None,
            sub_code: None,
            display_message: None,
            reason: None,
            detail: None,
            order_string: None,
            page_url: None,
            labels,
            budget: None,
            origin: None,
        }
    }

    fn of_job(job: &'a MoneyJob, result: &'static str) -> Self {
        let mut data = Self::new(job.kind(), result, &job.app, &job.labels);
        data.out_request_no = Some(job.out_request_no.as_str());
        data.out_order_no = job.out_order_no().map(MerchantNo::as_str);
        data.amount = Some(job.amount().to_string());
        data.auth_no = match &job.request {
            MoneyRequest::Refund { auth_no, .. } => Some(auth_no.as_str()),
            MoneyRequest::Disburse { .. }
            | MoneyRequest::Pay { .. }
            | MoneyRequest::Order { .. } => None,
        };
        data
    }

    fn of_outcome(key: &'a JobKey, outcome: &'a Outcome, result: &'static str) -> Self {
        let mut data = Self::new(outcome.kind, result, &key.app, &outcome.labels);
        data.out_request_no = Some(key.out_request_no.as_str());
        data.out_order_no = outcome.out_order_no.as_ref().map(MerchantNo::as_str);
        data.auth_no = outcome.auth_no.as_ref().map(AlipayNo::as_str);
        data.amount = Some(outcome.amount.to_string());
        match &outcome.resolution {
            Resolution::Succeeded {
                operation_id,
                gmt_trans,
            } => {
                data.operation_id = operation_id.as_ref().map(AlipayNo::as_str);
                data.gmt_trans = gmt_trans.as_deref();
                data.status = Some("SUCCESS");
                data.code = Some("10000");
            }
            Resolution::Failed(Failure::Refused(refusal)) => {
                data.code = Some(&refusal.code);
                data.sub_code = refusal.sub_code.as_deref();
                data.display_message = refusal.display_message.as_deref();
            }
            Resolution::Failed(Failure::Closed) => data.status = Some("CLOSED"),
            Resolution::Rejected(rejection) => data.reason = Some(rejection.as_str()),
            Resolution::Signed(SignedOrder(order)) => match outcome.kind {
                Kind::PagePay => data.page_url = Some(order),
                Kind::AppPay | Kind::Disburse | Kind::Refund | Kind::Query | Kind::Pay => {
                    data.order_string = Some(order);
                }
            },
        }
        data
    }
}

/// Closes an envelope around `data`.
fn event(id: &str, subject: &str, head: &Head<'_>, data: Data<'_>) -> EventMessage {
    let routing_key = format!("{}.{}", data.kind, data.result);
    let envelope = Envelope {
        specversion: "1.0",
        id,
        source: format!("/hongbaod/{}", data.app),
        event_type: event_type(&routing_key),
        subject,
        time: rfc3339(head.at),
        datacontenttype: "application/json",
        attempts: head.attempts,
        traceparent: head.traceparent,
        data,
    };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    EventMessage {
        routing_key,
        id: id.to_owned(),
        body: Bytes::from(body),
    }
}

fn event_id(key: &JobKey, kind: Kind) -> String {
    format!("{}/{}/{}", key.app, kind, key.out_request_no)
}

fn settled(key: &JobKey, outcome: &Outcome, traceparent: Option<&str>) -> EventMessage {
    let data = Data::of_outcome(key, outcome, outcome.resolution.as_str());
    let head = Head {
        attempts: outcome.attempts,
        at: outcome.settled_at,
        traceparent,
    };
    event(
        &event_id(key, outcome.kind),
        key.out_request_no.as_str(),
        &head,
        data,
    )
}

fn contradicted(
    (key, outcome): (&JobKey, &Outcome),
    evidence: &'static str,
    at: UnixMillis,
    traceparent: Option<&str>,
) -> EventMessage {
    let mut data = Data::of_outcome(key, outcome, CONTRADICTED);
    data.reason = Some(outcome.resolution.as_str());
    data.detail = Some(evidence.to_owned());
    let head = Head {
        attempts: outcome.attempts,
        at,
        traceparent,
    };
    let id = format!("{}/contradicted", event_id(key, outcome.kind));
    event(&id, key.out_request_no.as_str(), &head, data)
}

fn conflict(
    job: &MoneyJob,
    fingerprint: Fingerprint,
    at: UnixMillis,
    traceparent: Option<&str>,
) -> EventMessage {
    let mut data = Data::of_job(job, "rejected");
    data.reason = Some(CONFLICT);
    data.detail = Some("the out_request_no belongs to another job with other content".to_owned());
    let head = Head {
        attempts: 0,
        at,
        traceparent,
    };
    let id = format!(
        "{}/conflict/{fingerprint}",
        event_id(&job.key(), job.kind())
    );
    event(&id, job.out_request_no.as_str(), &head, data)
}

fn unresolved(
    job: &MoneyJob,
    attempts: u32,
    at: UnixMillis,
    traceparent: Option<&str>,
) -> EventMessage {
    let data = Data::of_job(job, UNRESOLVED);
    let id = format!("{}/unresolved", event_id(&job.key(), job.kind()));
    event(
        &id,
        job.out_request_no.as_str(),
        &Head {
            attempts,
            at,
            traceparent,
        },
        data,
    )
}

fn invalid(invalid: &Invalid, traceparent: Option<&str>) -> EventMessage {
    let no_labels = Labels::default();
    let mut data = Data::new(invalid.kind, "rejected", &invalid.app, &no_labels);
    data.out_request_no = Some(invalid.out_request_no.as_str());
    data.reason = Some(INVALID);
    let faults: Vec<String> = invalid.errors.iter().map(FieldError::to_string).collect();
    data.detail = Some(faults.join("; "));
    let key = JobKey {
        app: invalid.app.clone(),
        out_request_no: invalid.out_request_no.clone(),
    };
    let id = format!(
        "{}/invalid/{}",
        event_id(&key, invalid.kind),
        invalid.body_digest
    );
    let head = Head {
        attempts: 0,
        at: invalid.at,
        traceparent,
    };
    event(&id, invalid.out_request_no.as_str(), &head, data)
}

fn answered(
    job: &QueryJob,
    message_id: &str,
    answer: &QueryAnswer,
    head: &Head<'_>,
) -> EventMessage {
    let mut data = Data::new(Kind::Query, answer.as_str(), &job.app, &job.labels);
    match &job.target.order {
        OrderRef::AuthNo(number) => data.auth_no = Some(number.as_str()),
        OrderRef::OutOrderNo(number) => data.out_order_no = Some(number.as_str()),
    }
    match &job.target.operation {
        OperationRef::OperationId(number) => data.operation_id = Some(number.as_str()),
        OperationRef::OutRequestNo(number) => data.out_request_no = Some(number.as_str()),
    }
    match answer {
        QueryAnswer::Found(operation) => {
            data.out_order_no = operation
                .out_order_no
                .as_ref()
                .map(MerchantNo::as_str)
                .or(data.out_order_no);
            data.out_request_no = operation
                .out_request_no
                .as_ref()
                .map(MerchantNo::as_str)
                .or(data.out_request_no);
            data.auth_no = operation
                .auth_no
                .as_ref()
                .map(AlipayNo::as_str)
                .or(data.auth_no);
            data.operation_id = operation
                .operation_id
                .as_ref()
                .map(AlipayNo::as_str)
                .or(data.operation_id);
            data.amount = operation.amount.map(|amount| amount.to_string());
            data.gmt_trans = operation.gmt_trans.as_deref();
            data.code = Some("10000");
            data.status = Some(status_word(operation.status));
            data.detail = operation
                .operation_type
                .map(|operation_type| match operation_type {
                    OperationType::Pay => "PAY".to_owned(),
                    OperationType::Refund => "REFUND".to_owned(),
                });
        }
        QueryAnswer::Expired => data.reason = Some("expired"),
        QueryAnswer::NotFound | QueryAnswer::Unresolved => {}
    }
    let target = job.target.to_string();
    let id = format!(
        "{}/query/{target}/{message_id}/{}",
        job.app,
        answer.as_str()
    );
    event(&id, &target, head, data)
}

/// No job's event: `kind` says so, and every key of jobs is empty.
fn budget_warned(warning: &BudgetWarning) -> EventMessage {
    let BudgetWarning {
        app,
        counter,
        value,
        cap,
        spent_fen,
        at,
    } = warning;
    let no_labels = Labels::default();
    // The kind whose payments are counted, until the next line says what it is about.
    let mut data = Data::new(Kind::Disburse, WARNED, app, &no_labels);
    data.kind = BUDGET;
    let (scope, window) = (counter.scope.as_str(), counter.window.as_str());
    let starts_at = rfc3339(counter.starts_at);
    let mut id = format!("{app}/budget/{scope}/{window}/{starts_at}");
    if let Some(digest) = counter.value {
        id = format!("{id}/{digest}");
    }
    data.budget = Some(BudgetData {
        scope,
        value: value.as_deref(),
        window,
        starts_at,
        ends_at: rfc3339(counter.ends_at()),
        cap: cap.to_string(),
        spent: yuan(*spent_fen),
    });
    let head = Head {
        attempts: 0,
        at: *at,
        traceparent: None,
    };
    event(&id, app.as_str(), &head, data)
}

/// A sum in yuan with two decimals; unlike an amount it may be 0, or above what one job can pay.
fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

fn notified(told: &Telling, at: UnixMillis) -> EventMessage {
    let (key, operation) = (told.notice.key(), told.notice.operation());
    let result = match operation.status {
        OperationStatus::Success => "succeeded",
        OperationStatus::Closed => "failed",
        // Never told: it is no end.
        OperationStatus::Init => UNRESOLVED,
    };
    let mut data = Data::new(told.kind, result, &key.app, &told.labels);
    data.out_request_no = operation.out_request_no.as_ref().map(MerchantNo::as_str);
    data.out_order_no = operation.out_order_no.as_ref().map(MerchantNo::as_str);
    data.auth_no = operation.auth_no.as_ref().map(AlipayNo::as_str);
    data.operation_id = operation.operation_id.as_ref().map(AlipayNo::as_str);
    data.amount = operation.amount.map(|amount| amount.to_string());
    data.gmt_trans = operation.gmt_trans.as_deref();
    data.status = Some(status_word(operation.status));
    data.origin = Some(NOTIFICATION);
    let subject = data
        .out_request_no
        .or(data.operation_id)
        .unwrap_or_default();
    let head = Head {
        attempts: 0,
        at,
        traceparent: None,
    };
    event(&key.to_string(), subject, &head, data)
}

/// Alipay's word for what became of an operation.
pub(crate) fn status_word(status: OperationStatus) -> &'static str {
    match status {
        OperationStatus::Init => "INIT",
        OperationStatus::Success => "SUCCESS",
        OperationStatus::Closed => "CLOSED",
    }
}

#[cfg(test)]
mod tests;
