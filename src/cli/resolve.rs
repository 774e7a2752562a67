//! `hongbaod resolve`: settle by hand what only a person can decide.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::app::audit::Action;
use crate::app::resolve::{
    Patience, Request, ResolveError, Resolved, Settling, Weight, Word, resolve, said,
};
use crate::cli::audited::audited;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::domain::ident::{AppName, Caption, MerchantNo};
use crate::domain::job::JobKey;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod resolve R202611220001 --as succeeded
  hongbaod resolve R202611220001 --as failed --app second --wait
  hongbaod resolve R202611220001 --as failed --force --reason 'Alipay support, case 4711'

Alipay is asked first. If it says the same, the job is settled and its event published. If not, what
it said is shown and nothing is changed, unless --force is given. No force makes a job failed of
which Alipay says that money moved, or that it is under way, nor one succeeded that it calls closed.

The same command again is safe: it publishes the same event once more.";

/// The arguments of `resolve`.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// The job's `out_request_no`.
    #[arg(value_name = "NUMBER", value_parser = number)]
    number: MerchantNo,

    /// What became of it.
    #[arg(long = "as", value_name = "RESULT")]
    result: ResultArg,

    /// The app that the job belongs to [default: the default app].
    #[arg(long, value_name = "NAME", value_parser = app)]
    app: Option<AppName>,

    #[command(flatten)]
    weight: WeightArgs,

    #[command(flatten)]
    patience: PatienceArgs,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResultArg {
    /// The money moved.
    Succeeded,
    /// Nothing moved, and nothing will.
    Failed,
}

#[derive(Debug, Args)]
struct WeightArgs {
    /// Settle it although Alipay does not confirm it.
    #[arg(long, requires = "reason")]
    force: bool,

    /// How you know.
    #[arg(long, value_name = "TEXT", value_parser = caption)]
    reason: Option<Caption>,

    /// Who says so.
    #[arg(long, value_name = "NAME", value_parser = caption, env = "USER", hide_env_values = true, default_value = "unknown")]
    by: Caption,
}

#[derive(Debug, Args)]
struct PatienceArgs {
    /// Wait while a worker is at it, for two minutes at most.
    #[arg(long)]
    wait: bool,
}

fn number(text: &str) -> Result<MerchantNo, String> {
    MerchantNo::new(text).map_err(|error| error.to_string())
}

fn app(text: &str) -> Result<AppName, String> {
    AppName::new(text).map_err(|error| error.to_string())
}

fn caption(text: &str) -> Result<Caption, String> {
    Caption::new(text).map_err(|error| error.to_string())
}

pub(crate) async fn execute(args: ResolveArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = configuration::load(named)?;
    let app = match args.app {
        Some(app) => app,
        None => app(&config.alipay.default_app).map_err(Failure::config)?,
    };
    let request = Request {
        key: JobKey {
            app,
            out_request_no: args.number,
        },
        word: match args.result {
            ResultArg::Succeeded => Word::Succeeded,
            ResultArg::Failed => Word::Failed,
        },
        weight: if args.weight.force {
            Weight::Forced
        } else {
            Weight::Confirmed
        },
        patience: if args.patience.wait {
            Patience::UntilFree
        } else {
            Patience::None
        },
        by: args.weight.by,
        reason: args.weight.reason,
    };
    let doing = resolve(&config, &request);
    let resolved = audited(
        &config,
        &action(&request, &arguments(&request)),
        doing,
        told,
    )
    .await?;
    let resolved = resolved.map_err(|error| failure(&request.key, &error))?;
    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", as_json(&request, &resolved))?;
    } else {
        stdout.write_all(words(&request, &resolved).as_bytes())?;
    }
    Ok(ExitCode::Done)
}

/// The arguments as the audit log has them.
fn arguments(request: &Request) -> [(&'static str, &str); 4] {
    let word = match request.word {
        Word::Succeeded => "succeeded",
        Word::Failed => "failed",
    };
    let weight = match request.weight {
        Weight::Confirmed => "no",
        Weight::Forced => "yes",
    };
    [
        ("app", request.key.app.as_str()),
        ("as", word),
        ("force", weight),
        ("by", request.by.as_str()),
    ]
}

fn action<'a>(request: &'a Request, arguments: &'a [(&'a str, &'a str)]) -> Action<'a> {
    Action {
        command: "resolve",
        out_request_no: Some(request.key.out_request_no.as_str()),
        arguments,
        reason: request.reason.as_ref().map(Caption::as_str),
    }
}

/// What came of it, for the audit log.
fn told(resolved: &Result<Resolved, ResolveError>) -> String {
    match resolved {
        Ok(resolved) => resolved.outcome.resolution.as_str().to_owned(),
        Err(error) => with_causes(error),
    }
}

/// What was done, a line for each fact.
fn words(request: &Request, resolved: &Resolved) -> String {
    let JobKey {
        app,
        out_request_no,
    } = &request.key;
    let result = resolved.outcome.resolution.as_str();
    let (what, alipay) = match &resolved.settling {
        Settling::Before => ("was settled before as", None),
        Settling::ByAlipay(finding) => ("is settled, as Alipay says too, as", Some(finding)),
        Settling::ByOperator(finding) => ("is settled by your word alone as", Some(finding)),
    };
    let mut lines = format!("{out_request_no} of app {app} {what} {result}\n");
    if let Some(finding) = alipay {
        lines = format!("{lines}alipay said: {}\n", said(finding));
    }
    format!("{lines}published: event {}\n", resolved.event_id)
}

fn as_json(request: &Request, resolved: &Resolved) -> Value {
    let (settled_by, finding) = match &resolved.settling {
        Settling::Before => ("before", None),
        Settling::ByAlipay(finding) => ("alipay", Some(finding)),
        Settling::ByOperator(finding) => ("operator", Some(finding)),
    };
    json!({
        "app": request.key.app.as_str(),
        "out_request_no": request.key.out_request_no.as_str(),
        "result": resolved.outcome.resolution.as_str(),
        "settled_by": settled_by,
        "alipay_said": finding.map(said),
        "by": request.by.as_str(),
        "reason": request.reason.as_ref().map(|reason| reason.as_str()),
        "event_id": resolved.event_id,
    })
}

fn failure(key: &JobKey, error: &ResolveError) -> Failure {
    let mut message = format!(
        "{} of app {}: {}",
        key.out_request_no,
        key.app,
        with_causes(error)
    );
    match error {
        ResolveError::Refused { finding, .. } => {
            message = format!("{message}\nalipay said: {}", said(finding));
            Failure::failed(message)
        }
        ResolveError::Unknown
        | ResolveError::SettledOtherwise(_)
        | ResolveError::Held { .. }
        | ResolveError::Busy
        | ResolveError::Unreplicated => Failure::failed(message),
        ResolveError::UnknownApp { .. } => Failure::usage(message),
        ResolveError::Config(_) => Failure::config(message),
        ResolveError::Ledger(ledger) if ledger.is_unreachable() => Failure::unreachable(message),
        ResolveError::Ledger(ledger) if ledger.is_config() => Failure::config(message),
        ResolveError::Broker(broker) if broker.is_unreachable() => Failure::unreachable(message),
        ResolveError::Broker(broker) if broker.is_config() => Failure::config(message),
        ResolveError::Ledger(_) | ResolveError::Broker(_) => Failure::failed(message),
        ResolveError::Unwritten(_) | ResolveError::Unannounced(_) => Failure::unreachable(message),
    }
}
