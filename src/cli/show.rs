//! `hongbaod show`: what the ledger remembers of one job.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use crate::app::job_body::rfc3339;
use crate::app::remedy::told;
use crate::app::show::{Remembered, show};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::filters::{app, number};
use crate::domain::draft::Field;
use crate::domain::entry::{Deferred, Entry, InFlight, Pending};
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::{JobKey, Labels, MoneyJob, MoneyRequest, Payee};
use crate::domain::outcome::{Failure as Refused, Outcome, Resolution};
use crate::domain::time::{UnixMillis, format_duration};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod show R202611220001
  hongbaod show R202611220001 --app second --json

Exit code 1 says that the ledger knows no such job: it never came, or it was settled longer ago
than ledger.retention.";

/// The arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The job's `out_request_no`.
    #[arg(value_name = "NUMBER", value_parser = number)]
    number: MerchantNo,

    /// The app that the job belongs to [default: the default app].
    #[arg(long, value_name = "NAME", value_parser = app)]
    app: Option<AppName>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn execute(args: ShowArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = configuration::load_without_apps(named)?;
    let app = match args.app {
        Some(app) => app,
        None => app(&config.alipay.default_app).map_err(Failure::config)?,
    };
    let key = JobKey {
        app,
        out_request_no: args.number,
    };
    let remembered = show(&config, &key).await;
    let remembered = remembered.map_err(|error| Failure::from(&error))?;
    let Some(facts) = facts(&key, &remembered) else {
        return Err(Failure::failed(format!(
            "the ledger knows no job {} of app {}",
            key.out_request_no, key.app
        )));
    };
    if args.json {
        let object: Map<String, Value> = facts.into_iter().collect();
        writeln!(io::stdout(), "{}", Value::Object(object))?;
    } else {
        io::stdout().write_all(human(&facts).as_bytes())?;
    }
    Ok(ExitCode::Done)
}

/// One fact a line, the names in a column.
pub(crate) fn human(facts: &[(String, Value)]) -> String {
    let width = facts
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    let line = |(name, value): &(String, Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Null => "-".to_owned(),
            Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        format!("{name:<width$}  {value}\n")
    };
    facts.iter().map(line).collect()
}

/// Every fact by name, or `None` when there is no entry.
fn facts(key: &JobKey, remembered: &Remembered) -> Option<Vec<(String, Value)>> {
    let mut facts = Facts(Vec::new());
    facts.put("app", key.app.as_str());
    facts.put("out_request_no", key.out_request_no.as_str());
    match remembered.entry.as_ref()? {
        Entry::InFlight(in_flight) => facts.in_flight(in_flight, remembered.read_at),
        Entry::Deferred(deferred) => facts.deferred(deferred, remembered.read_at),
        Entry::Settled(outcome) => facts.outcome(outcome),
    }
    Some(facts.0)
}

/// In the order in which a person reads them.
pub(crate) struct Facts(pub(crate) Vec<(String, Value)>);

impl Facts {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub(crate) fn put_instant(&mut self, name: &str, instant: UnixMillis) {
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

    pub(crate) fn job(&mut self, job: &MoneyJob) {
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
            Resolution::Failed(Refused::Refused(refusal)) => {
                self.put("code", refusal.code.as_str());
                self.put("sub_code", refusal.sub_code.as_deref());
                self.put("display_message", refusal.display_message.as_deref());
            }
            Resolution::Failed(Refused::Closed) => self.put("status", "CLOSED"),
            Resolution::Rejected(rejection) => self.put("reason", rejection.as_str()),
            // Whoever has it can show the order to a payer: it is in the event alone.
            Resolution::Signed(_) => {}
        }
        self.put("calls", outcome.attempts);
        self.put_instant("settled_at", outcome.settled_at);
        self.labels(&outcome.labels);
    }

    pub(crate) fn labels(&mut self, labels: &Labels) {
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
