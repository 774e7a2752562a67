//! `hongbaod dead show`: all that a dead letter says.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value};

use crate::app::config::Config;
use crate::app::dead_letters::{Content, Letter, Step, Wanted, look};
use crate::app::job_facts::Facts;
use crate::cli::dead::{bar, told_broken_off};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::filters;
use crate::cli::show::human;
use crate::cli::table::tame;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::Job;

pub(super) const EXAMPLES: &str = "\
Examples:
  hongbaod dead show R202611220001
  hongbaod dead show R202611220001 --app second --json

A job can have several dead letters; each is shown. Exit code 1 says that there is none.";

/// The most letters of one job that are shown.
const SHOWN_MAX: usize = 100;

/// The arguments of `dead show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The job's `out_request_no`.
    #[arg(value_name = "NUMBER", value_parser = filters::number)]
    number: MerchantNo,

    /// Only the job of this app.
    #[arg(long, value_name = "NAME", value_parser = filters::app)]
    app: Option<AppName>,

    /// Print one JSON object for each letter.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: ShowArgs, config: &Config) -> Result<ExitCode, Failure> {
    let wanted = Wanted {
        app: args.app,
        number: Some(args.number.clone()),
        ..Wanted::default()
    };
    let (bar, mut shown) = (bar(), Vec::new());
    let report = look(config, &wanted, &mut |step| match step {
        Step::Begun(count) => bar.set_length(count),
        Step::Looked => bar.inc(1),
        Step::Met(letter) if shown.len() < SHOWN_MAX => shown.push(facts(letter)),
        Step::Met(_) | Step::Failed(..) => {}
    })
    .await;
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::from(&error))?;
    let mut stdout = io::stdout().lock();
    for (place, facts) in shown.iter().enumerate() {
        if args.json {
            let object: Map<String, Value> = facts.0.iter().cloned().collect();
            writeln!(stdout, "{}", Value::Object(object))?;
        } else {
            if place > 0 {
                writeln!(stdout)?;
            }
            stdout.write_all(human(&facts.0).as_bytes())?;
        }
    }
    if told_broken_off(&report) {
        return Ok(ExitCode::Failed);
    }
    if shown.is_empty() {
        return Err(Failure::failed(format!(
            "no dead letter is of a job {}",
            args.number
        )));
    }
    Ok(ExitCode::Done)
}

/// In the order in which a person reads them: why, what, and how it came.
fn facts(letter: &Letter) -> Facts {
    let mut facts = Facts::default();
    facts.put("reason", letter.reason.as_str());
    facts.put("detail", letter.detail.as_deref().map(tame));
    match letter.at {
        Some(at) => facts.put_instant("buried_at", at),
        None => facts.put("buried_at", Value::Null),
    }
    facts.put("buried_by", letter.by.as_deref().map(tame));
    facts.put("app", letter.app.as_ref().map(AppName::as_str));
    facts.put(
        "out_request_no",
        letter.number.as_ref().map(MerchantNo::as_str),
    );
    match &letter.content {
        Content::Job(job) => match job.as_ref() {
            Job::Money(job) => facts.job(job),
            Job::Query(job) => {
                facts.put("kind", "query");
                facts.put("target", job.target.to_string());
                facts.labels(&job.labels);
            }
        },
        Content::Invalid {
            errors,
            length,
            fields,
        } => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            facts.put("body", format!("{length} bytes, no valid job"));
            facts.put("mistakes", tame(&errors.join("; ")));
            for (field, value) in fields {
                facts.put(&format!("body.{field}"), tame(value));
            }
        }
    }
    facts.put("routing_key", tame(letter.routing_key()));
    for (name, value) in letter.properties() {
        facts.put(&tame(&name), tame(&value));
    }
    facts
}
