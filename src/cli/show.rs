//! `hongbaod show`: what the ledger remembers of one job.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use crate::app::job_body::rfc3339;
use crate::app::job_facts::{facts, history};
use crate::app::show::{Remembered, show};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::filters::{app, number};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::JobKey;
use crate::domain::time::format_duration;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod show R202611220001
  hongbaod show R202611220001 --app second --json

Below the facts are the calls that were made, if the first one did not simply succeed: of a job
without an outcome for as long as it has none, of a settled one for a day.

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
    let Some(entry) = &remembered.entry else {
        return Err(Failure::failed(format!(
            "the ledger knows no job {} of app {}",
            key.out_request_no, key.app
        )));
    };
    let facts = facts(&key, entry, remembered.read_at);
    if args.json {
        let mut object: Map<String, Value> = facts.into_iter().collect();
        object.insert("history".to_owned(), history(&remembered.calls));
        writeln!(io::stdout(), "{}", Value::Object(object))?;
    } else {
        let mut text = human(&facts);
        text.push_str(&timeline(&remembered));
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(ExitCode::Done)
}

/// One call a line, below the facts; nothing where no call was noted.
fn timeline(remembered: &Remembered) -> String {
    if remembered.calls.is_empty() {
        return String::new();
    }
    let calls = remembered.calls.iter().map(|call| {
        let codes = [&call.code, &call.sub_code].into_iter().flatten();
        let codes = codes.cloned().collect::<Vec<String>>().join(" ");
        let verdict = call.verdict.as_str().replace('_', " ");
        let took = match call.duration_ms {
            0 => "<1ms".to_owned(),
            some => format_duration(Duration::from_millis(some)),
        };
        let line = format!(
            "  {:>3}  {}  {:<5}  {verdict:<12}  {took:>7}  {}  {codes}",
            call.number,
            rfc3339(call.at),
            call.call.as_str(),
            call.replica,
        );
        format!("{}\n", line.trim_end())
    });
    format!("\nhistory\n{}", calls.collect::<String>())
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
