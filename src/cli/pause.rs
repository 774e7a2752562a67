//! `hongbaod pause` and `hongbaod resume`: no money moves until an operator says so.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::app::audit::Action;
use crate::app::config::Config;
use crate::app::job_body::rfc3339;
use crate::app::switches::{Change, Standing, Stranger, SwitchError, Wish, pause, paused, resume};
use crate::cli::audited::{audited, result};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::cli::table;
use crate::domain::ident::{AppName, Caption};
use crate::domain::job::Kind;
use crate::domain::switch::{Switch, SwitchKey};

pub(crate) const PAUSE_EXAMPLES: &str = "\
Examples:
  hongbaod pause main --reason 'wrong amounts, ticket 17'
  hongbaod pause main disburse --reason 'wrong amounts, ticket 17'
  hongbaod pause                       what is paused, since when, by whom and why

In every replica, in under a second, no call starts any more that moves money: disburse, refund and
pay. What may have been sent is still asked about and settled, query jobs are answered, and orders
are signed. Jobs wait in the retry ladder and lose nothing; `hongbaod resume` lets them go on.";

pub(crate) const RESUME_EXAMPLES: &str = "\
Examples:
  hongbaod resume main
  hongbaod resume main disburse

Jobs that are still in their queue go on at once, those in the retry ladder within 35 seconds.";

/// The arguments of `pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The app whose money stays where it is; without one, what is paused is listed.
    #[arg(value_name = "APP", value_parser = app, requires = "reason")]
    app: Option<AppName>,

    /// disburse, refund or pay [default: all three].
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,

    /// Why: whoever finds it paused reads this.
    #[arg(long, value_name = "TEXT", value_parser = caption, requires = "app")]
    reason: Option<Caption>,

    /// List what is paused.
    #[arg(long, conflicts_with = "app")]
    list: bool,

    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The app whose money may move again.
    #[arg(value_name = "APP", value_parser = app)]
    app: AppName,

    /// disburse, refund or pay [default: all three].
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,

    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = caption)]
    reason: Option<Caption>,

    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct WhoArgs {
    /// Who says so.
    #[arg(long, value_name = "NAME", value_parser = caption, env = "USER", hide_env_values = true, default_value = "unknown")]
    by: Caption,

    /// Also for an app that this configuration does not have.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Print one JSON object for each switch.
    #[arg(long)]
    json: bool,
}

fn app(text: &str) -> Result<AppName, String> {
    AppName::new(text).map_err(|error| error.to_string())
}

fn kind(text: &str) -> Result<Kind, String> {
    let words = || SwitchKey::KINDS.map(Kind::as_str).join(", ");
    Kind::parse(text).ok_or_else(|| format!("must be one of {}", words()))
}

fn caption(text: &str) -> Result<Caption, String> {
    Caption::new(text).map_err(|error| error.to_string())
}

impl WhoArgs {
    fn wish(&self, app: AppName, kind: Option<Kind>, reason: Option<Caption>) -> Wish {
        Wish {
            app,
            kind,
            by: self.by.clone(),
            reason,
            stranger: if self.force {
                Stranger::Allow
            } else {
                Stranger::Refuse
            },
        }
    }
}

pub(crate) async fn execute_pause(
    args: PauseArgs,
    named: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let config = configuration::load_without_apps(named)?;
    let Some(app) = args.app else {
        let paused = paused(&config).await.map_err(|error| failure(&error))?;
        let rows = paused.into_iter().collect::<Vec<_>>();
        return print_list(&rows, &args.output);
    };
    let wish = args.who.wish(app, args.kind, args.reason);
    let doing = pause(&config, &wish);
    let standings = written(&config, "pause", &wish, doing).await?;
    print(&standings, &args.output)
}

pub(crate) async fn execute_resume(
    args: ResumeArgs,
    named: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let config = configuration::load_without_apps(named)?;
    let wish = args.who.wish(args.app, args.kind, args.reason);
    let doing = resume(&config, &wish);
    let standings = written(&config, "resume", &wish, doing).await?;
    print(&standings, &args.output)
}

/// Throws switches between the two lines of the audit log.
async fn written(
    config: &Config,
    command: &str,
    wish: &Wish,
    doing: impl Future<Output = Result<Vec<Standing>, SwitchError>>,
) -> Result<Vec<Standing>, Failure> {
    let arguments = [
        ("app", wish.app.as_str()),
        ("kind", wish.kind.map_or("all", Kind::as_str)),
        ("by", wish.by.as_str()),
    ];
    let action = Action {
        command,
        out_request_no: None,
        arguments: &arguments,
        reason: wish.reason.as_ref().map(Caption::as_str),
    };
    let done = audited(config, &action, doing, result).await?;
    done.map_err(|error| failure(&error))
}

fn failure(error: &SwitchError) -> Failure {
    let message = with_causes(error);
    match error {
        SwitchError::NotPausable(_) | SwitchError::UnknownApp { .. } => Failure::usage(message),
        SwitchError::Ledger(ledger) if ledger.is_unreachable() => Failure::unreachable(message),
        SwitchError::Ledger(ledger) if ledger.is_config() => Failure::config(message),
        SwitchError::Ledger(_) => Failure::failed(message),
    }
}

/// Says of each switch how it stands now, and whether the command moved it.
fn print(standings: &[Standing], output: &OutputArgs) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    for standing in standings {
        if output.json {
            let mut object = as_json(&standing.key, standing.switch.as_ref());
            object["changed"] = json!(standing.change == Change::Thrown);
            writeln!(stdout, "{object}")?;
        } else {
            let (app, kind) = (standing.key.app(), standing.key.kind());
            writeln!(stdout, "{app} {:<8}  {}", kind.as_str(), words(standing))?;
        }
    }
    Ok(ExitCode::Done)
}

fn words(standing: &Standing) -> String {
    match (&standing.switch, standing.change) {
        (Some(switch), Change::Thrown) if switch.is_paused() => format!("paused {}", facts(switch)),
        (Some(switch), Change::Thrown) => format!("resumed {}", facts(switch)),
        (Some(switch), Change::AsBefore) if switch.is_paused() => {
            format!("was paused before, {}", facts(switch))
        }
        (Some(switch), Change::AsBefore) => format!("is not paused, resumed {}", facts(switch)),
        (None, _) => "is not paused".to_owned(),
    }
}

/// When, by whom and why.
fn facts(switch: &Switch) -> String {
    let told = format!("{} by {}", rfc3339(switch.at), switch.by.as_str());
    match &switch.reason {
        Some(reason) => format!("{told}: {}", reason.as_str()),
        None => told,
    }
}

fn print_list(rows: &[(SwitchKey, Switch)], output: &OutputArgs) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    if output.json {
        for (key, switch) in rows {
            writeln!(stdout, "{}", as_json(key, Some(switch)))?;
        }
        return Ok(ExitCode::Done);
    }
    if rows.is_empty() {
        writeln!(stdout, "nothing is paused")?;
        return Ok(ExitCode::Done);
    }
    let mut table = table::table();
    table.add_row(["APP", "KIND", "SINCE", "BY", "REASON"]);
    for (key, switch) in rows {
        let reason = switch.reason.as_ref().map_or("-", |reason| reason.as_str());
        let since = rfc3339(switch.at);
        let row = [key.app().as_str(), key.kind().as_str(), &since];
        table.add_row(row.into_iter().chain([switch.by.as_str(), reason]));
    }
    table::print(&table)?;
    Ok(ExitCode::Done)
}

fn as_json(key: &SwitchKey, switch: Option<&Switch>) -> Value {
    let reason = switch.and_then(|switch| switch.reason.as_ref());
    json!({
        "app": key.app().as_str(),
        "kind": key.kind().as_str(),
        "paused": switch.is_some_and(Switch::is_paused),
        "at": switch.map(|switch| rfc3339(switch.at)),
        "by": switch.map(|switch| switch.by.as_str()),
        "reason": reason.map(|reason| reason.as_str()),
    })
}
