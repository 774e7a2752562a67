//! `hongbaod dead`: the dead letters, looked at, published again, or thrown away.

mod action;
mod listing;
mod whole;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::app::dead_letters::{Report, Share, Tally, Wanted};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::cli::filters;
use crate::cli::table::{print, table};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::Kind;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod dead list
  hongbaod dead show R202611220001
  hongbaod dead requeue --reason rescued_too_often --dry-run
  hongbaod dead requeue --reason rescued_too_often --yes
  hongbaod dead drop --reason invalid --older-than 7d --yes

A job that is published again is asked about at Alipay before anything is sent. What was paid is not
paid again; its event is told again.";

/// The arguments of `dead`.
#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// List the dead letters and sum them up by reason.
    #[command(after_help = listing::EXAMPLES)]
    List(listing::ListArgs),
    /// Show all that a job's dead letter says; a payee's logon id is masked.
    #[command(after_help = whole::EXAMPLES)]
    Show(whole::ShowArgs),
    /// Publish dead letters as jobs again.
    #[command(after_help = action::REQUEUE_EXAMPLES)]
    Requeue(action::ActionArgs),
    /// Throw dead letters away.
    #[command(after_help = action::DROP_EXAMPLES)]
    Drop(action::ActionArgs),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Only with this reason, such as `invalid`; may be given more than once.
    #[arg(long, value_name = "WORD", value_parser = filters::reason)]
    reason: Vec<String>,

    /// Only jobs of this kind.
    #[arg(long, value_name = "KIND", value_parser = filters::kind)]
    kind: Option<Kind>,

    /// Only jobs of this app.
    #[arg(long, value_name = "NAME", value_parser = filters::app)]
    app: Option<AppName>,

    /// Only what has been here for at least so long, such as 30m.
    #[arg(long, value_name = "TIME", value_parser = filters::length)]
    older_than: Option<Duration>,

    /// Only the job with this `out_request_no`.
    #[arg(long, value_name = "NUMBER", value_parser = filters::number)]
    number: Option<MerchantNo>,
}

impl From<FilterArgs> for Wanted {
    fn from(args: FilterArgs) -> Self {
        Self {
            reasons: args.reason,
            kind: args.kind,
            app: args.app,
            older_than: args.older_than,
            number: args.number,
        }
    }
}

pub(crate) async fn execute(args: DeadArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    match args.command {
        DeadCommand::List(args) => {
            let config = configuration::load_without_apps(named)?;
            listing::execute(args, &config).await
        }
        DeadCommand::Show(args) => {
            let config = configuration::load_without_apps(named)?;
            whole::execute(args, &config).await
        }
        DeadCommand::Requeue(args) => action::execute(action::Verb::Requeue, args, named).await,
        DeadCommand::Drop(args) => action::execute(action::Verb::Drop, args, named).await,
    }
}

/// A bar on the standard error, where somebody watches it.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_draw_target(if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// The sums as a table, and what they say.
fn print_sums(tally: &Tally, noun: &str) -> io::Result<()> {
    if tally.by_reason.len() > 1 {
        let mut table = table();
        table.set_header(["reason", "letters", "yuan", "of unknown amount"]);
        for (reason, share) in &tally.by_reason {
            table.add_row([
                reason,
                &share.letters.to_string(),
                &share.amount.to_string(),
                &share.without_amount.to_string(),
            ]);
        }
        print(&table)?;
    }
    writeln!(io::stdout(), "{noun}: {}", sentence(&tally.all))
}

/// `12 dead letters, 88.00 yuan`, and how many amounts are missing from it.
fn sentence(share: &Share) -> String {
    let unknown = match share.without_amount {
        0 => String::new(),
        count => format!(", and {count} without an amount that can be read"),
    };
    let noun = if share.letters == 1 {
        "dead letter"
    } else {
        "dead letters"
    };
    format!("{} {noun}, {} yuan{unknown}", share.letters, share.amount)
}

fn sums(tally: &Tally) -> Value {
    let of = |share: &Share| {
        json!({
            "letters": share.letters,
            "amount": share.amount.to_string(),
            "without_amount": share.without_amount,
        })
    };
    let parts = tally.by_reason.iter();
    let parts: serde_json::Map<String, Value> = parts
        .map(|(reason, share)| (reason.clone(), of(share)))
        .collect();
    let mut value = of(&tally.all);
    value["by_reason"] = parts.into();
    value
}

/// Why the queue was not read to its end, told on the standard error; `true` if it was not.
fn told_broken_off(report: &Report) -> bool {
    let Some(error) = &report.broken_off else {
        return false;
    };
    let why = with_causes(error);
    eprintln!("hongbaod: not all dead letters were looked at: {why}");
    true
}
