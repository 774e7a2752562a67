//! What is known of one job, fact by fact, for `hongbaod show` and the page for people.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::app::job_body::rfc3339;
use crate::domain::draft::Field;
use crate::domain::entry::{Deferred, Entry, InFlight, Pending};
use crate::domain::ident::{AlipayNo, MerchantNo};
use crate::domain::job::{JobKey, Labels, MoneyJob, MoneyRequest, Payee};
use crate::domain::outcome::{Failure, Outcome, Resolution};
use crate::domain::time::{UnixMillis, format_duration};
use crate::ports::history::PastCall;

/// Every fact by name, in the order in which a person reads them. `read_at` is when the entry was
/// read.
#[must_use]
pub fn facts(key: &JobKey, entry: &Entry, read_at: UnixMillis) -> Vec<(String, Value)> {
    let mut facts = Facts::default();
    facts.put("app", key.app.as_str());
    facts.put("out_request_no", key.out_request_no.as_str());
    match entry {
        Entry::InFlight(in_flight) => facts.in_flight(in_flight, read_at),
        Entry::Deferred(deferred) => facts.deferred(deferred, read_at),
        Entry::Settled(outcome) => facts.outcome(outcome),
    }
    facts.0
}

/// The calls of a job as JSON, in their order.
#[must_use]
pub fn history(calls: &[PastCall]) -> Value {
    let call = |call: &PastCall| {
        json!({
            "number": call.number,
            "at": rfc3339(call.at),
            "call": call.call.as_str(),
            "verdict": call.verdict.as_str(),
            "code": call.code,
            "sub_code": call.sub_code,
            "duration_ms": call.duration_ms,
            "replica": call.replica,
        })
    };
    Value::Array(calls.iter().map(call).collect())
}

/// Facts by name, in the order in which a person reads them.
#[derive(Debug, Default)]
pub struct Facts(pub Vec<(String, Value)>);

impl Facts {
    /// Adds a fact.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds an instant.
    pub fn put_instant(&mut self, name: &str, instant: UnixMillis) {
        self.put(name, rfc3339(instant));
    }

    fn in_flight(&mut self, in_flight: &InFlight, now: UnixMillis) {
        self.put("state", "in flight");
        let over = in_flight.lease.expires_at <= now;
        self.put("lease", if over { "over" } else { "held" });
        self.put_instant("lease_expires_at", in_flight.lease.expires_at);
        self.put("attempt", in_flight.attempt);
        self.put("maybe_sent", in_flight.is_maybe_sent());
        self.pending(&in_flight.pending);
    }

    fn deferred(&mut self, deferred: &Deferred, now: UnixMillis) {
        self.put("state", "deferred");
        self.put_instant("next_try_at", deferred.due_at);
        let wait = deferred.due_at.since(now);
        let next_try = if wait.is_zero() {
            format!("overdue for {}", length(now.since(deferred.due_at)))
        } else {
            format!("in {}", length(wait))
        };
        self.put("next_try", next_try);
        self.put("ticket", deferred.ticket.0);
        self.put("maybe_sent", deferred.pending.maybe_sent);
        self.pending(&deferred.pending);
    }

    fn pending(&mut self, pending: &Pending) {
        self.put("calls", pending.attempts);
        self.put("not_found_answers", pending.absence.count);
        self.put("number_used", pending.number_used);
        self.put("unresolved_announced", pending.unresolved_announced);
        if let Some(refusal) = &pending.refusal {
            let code = refusal.sub_code.as_ref().unwrap_or(&refusal.code);
            self.put("refusal_to_be_confirmed", code.as_str());
        }
        self.put_instant("first_seen_at", pending.first_seen_at);
        if let Some(queue) = &pending.return_address.reply_to {
            self.put("reply_to", queue.as_str());
        }
        if let Some(not_after) = pending.job.not_after {
            self.put_instant("not_after", not_after);
        }
        self.job(&pending.job);
    }

    /// Adds what a job says, persons masked.
    pub fn job(&mut self, job: &MoneyJob) {
        for (field, value) in job.fields() {
            if matches!(
                field,
                Field::App | Field::OutRequestNo | Field::PayeeLogonId
            ) {
                continue;
            }
            self.put(field.as_str(), value.into_owned());
        }
        // A person's phone number or address is shown masked.
        if let MoneyRequest::Disburse {
            payee: Payee::LogonId(logon_id),
            ..
        } = &job.request
        {
            self.put(Field::PayeeLogonId.as_str(), logon_id.to_string());
        }
        self.labels(&job.labels);
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.put("state", "settled");
        self.put("result", outcome.resolution.as_str());
        self.put("kind", outcome.kind.as_str());
        self.put("amount", outcome.amount.to_string());
        let order = outcome.out_order_no.as_ref().map(MerchantNo::as_str);
        self.put("out_order_no", order);
        self.put("auth_no", outcome.auth_no.as_ref().map(AlipayNo::as_str));
        match &outcome.resolution {
            Resolution::Succeeded {
                operation_id,
                gmt_trans,
            } => {
                let operation_id = operation_id.as_ref().map(AlipayNo::as_str);
                self.put("operation_id", operation_id);
                self.put("gmt_trans", gmt_trans.as_deref());
            }
            Resolution::Failed(Failure::Refused(refusal)) => {
                self.put("code", refusal.code.as_str());
                self.put("sub_code", refusal.sub_code.as_deref());
                self.put("display_message", refusal.display_message.as_deref());
            }
            Resolution::Failed(Failure::Closed) => self.put("status", "CLOSED"),
            Resolution::Rejected(rejection) => self.put("reason", rejection.as_str()),
            // Whoever has it can show the order to a payer: it is in the event alone.
            Resolution::Signed(_) => {}
        }
        self.put("calls", outcome.attempts);
        self.put_instant("settled_at", outcome.settled_at);
        self.labels(&outcome.labels);
    }

    /// Adds labels, if there are any.
    pub fn labels(&mut self, labels: &Labels) {
        if labels.0.is_empty() {
            return;
        }
        let pairs = labels.0.iter();
        let pairs = pairs.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        self.put("labels", pairs.collect::<Map<_, _>>());
    }
}

/// A length of time for people: whole seconds, unless it is shorter than one.
fn length(length: Duration) -> String {
    let seconds = Duration::from_secs(length.as_secs());
    format_duration(if seconds.is_zero() { length } else { seconds })
}
