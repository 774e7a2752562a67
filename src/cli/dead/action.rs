//! `hongbaod dead requeue` and `hongbaod dead drop`.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use crate::app::audit::Action;
use crate::app::client::ClientError;
use crate::app::config::Config;
use crate::app::dead_letters::{
    ActError, Letter, Observer, Report, Step, Wanted, drop as drop_letters, look, requeue,
};
use crate::cli::audited::audited;
use crate::cli::configuration;
use crate::cli::dead::{FilterArgs, bar, print_sums, sentence, sums, told_broken_off};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::domain::ident::MerchantNo;
use crate::domain::job::Kind;

pub(super) const REQUEUE_EXAMPLES: &str = "\
Examples:
  hongbaod dead requeue --number R202611220001            tells what it would do
  hongbaod dead requeue --number R202611220001 --yes
  hongbaod dead requeue --all --kind refund --yes

A letter leaves the dead ones only once RabbitMQ has confirmed that the queue of its kind has the
job. Exit code 1 says that some are still there, or that nothing was done for want of --yes.";

pub(super) const DROP_EXAMPLES: &str = "\
Examples:
  hongbaod dead drop --reason invalid                     tells what it would do
  hongbaod dead drop --reason invalid --older-than 7d --yes

The ledger keeps what it knows. A letter with the reason rescued_too_often is the last message of a
job that is not settled: without it nobody follows the job any more, and `hongbaod list --unsettled`
alone still shows it. Exit code 1 says that some are still there, or that nothing was done for want
of --yes.";

/// Failures that are told one by one to a person; programs hear of all.
const TOLD_MAX: u64 = 20;

/// The reason of letters whose jobs nobody else follows.
const LAST_COPY: &str = "rescued_too_often";

/// The arguments of `dead requeue` and `dead drop`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a flag is given or it is not"
)]
pub(super) struct ActionArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// Every dead letter; without it something has to be said of which.
    #[arg(long)]
    all: bool,

    /// Do it.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,

    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Print failures and the summary as JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Requeue,
    Drop,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Drop => "drop",
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Requeue => "dead requeue",
            Self::Drop => "dead drop",
        }
    }

    const fn past(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Drop => "dropped",
        }
    }

    async fn act(
        self,
        config: &Config,
        wanted: &Wanted,
        observe: &mut Observer<'_>,
    ) -> Result<Report, ClientError> {
        match self {
            Self::Requeue => requeue(config, wanted, observe).await,
            Self::Drop => drop_letters(config, wanted, observe).await,
        }
    }
}

/// Whether it is done or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Done,
    Asked,
    Told,
}

pub(super) async fn execute(
    verb: Verb,
    args: ActionArgs,
    named: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let wanted = Wanted::from(args.filter);
    if wanted.is_everything() && !args.all {
        return Err(Failure::usage(format!(
            "say which dead letters to {}: --reason, --kind, --app, --older-than, --number, or --all",
            verb.as_str()
        )));
    }
    let config = configuration::load_without_apps(named)?;
    let mood = match (args.yes, args.dry_run) {
        (true, _) => Mood::Done,
        (false, true) => Mood::Told,
        (false, false) => Mood::Asked,
    };
    let bar = bar();
    let mut voice = Voice {
        bar: &bar,
        is_json: args.json,
        failures: 0,
    };
    let mut observe = |step: Step<'_>| voice.step(step);
    let report = match mood {
        Mood::Done => {
            let given = wanted.words();
            let arguments: Vec<(&str, &str)> = given
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let action = Action {
                command: verb.command(),
                out_request_no: wanted.number.as_ref().map(MerchantNo::as_str),
                arguments: &arguments,
                reason: None,
            };
            let doing = verb.act(&config, &wanted, &mut observe);
            audited(&config, &action, doing, told).await?
        }
        Mood::Asked | Mood::Told => look(&config, &wanted, &mut observe).await,
    };
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::from(&error))?;
    if args.json {
        print_json(verb, mood, &report)?;
    } else {
        print_report(verb, mood, &report)?;
    }
    warn_of_last_copies(verb, mood, &report);
    let is_whole = !told_broken_off(&report) && report.is_complete();
    Ok(match mood {
        Mood::Done | Mood::Told if is_whole => ExitCode::Done,
        Mood::Done | Mood::Told | Mood::Asked => ExitCode::Failed,
    })
}

/// What came of it, for the audit log.
fn told(report: &Result<Report, ClientError>) -> String {
    match report {
        Ok(report) => format!("{} done, {} failed", report.done.all.letters, report.failed),
        Err(error) => with_causes(error),
    }
}

/// Tells failures as they come.
struct Voice<'a> {
    bar: &'a ProgressBar,
    is_json: bool,
    failures: u64,
}

impl Voice<'_> {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Begun(count) => self.bar.set_length(count),
            Step::Looked => self.bar.inc(1),
            Step::Met(_) => {}
            Step::Failed(letter, error) => self.failed(letter, &error),
        }
    }

    fn failed(&mut self, letter: &Letter, error: &ActError) {
        self.failures = self.failures.saturating_add(1);
        let number = letter.number.as_ref().map(MerchantNo::as_str);
        let fault = with_causes(error);
        // An output that nobody reads must not stop the letters that follow.
        self.bar.suspend(|| {
            if self.is_json {
                let value = json!({
                    "out_request_no": number,
                    "kind": letter.kind.map(Kind::as_str),
                    "reason": letter.reason,
                    "state": "failed",
                    "fault": fault,
                });
                drop(writeln!(io::stdout(), "{value}"));
            } else if self.failures <= TOLD_MAX {
                let number = number.unwrap_or("without a number");
                drop(writeln!(io::stderr(), "{number}: {fault}"));
            } else if self.failures == TOLD_MAX.saturating_add(1) {
                let line = "more failures are counted, and told one by one with --json";
                drop(writeln!(io::stderr(), "{line}"));
            }
        });
    }
}

fn print_report(verb: Verb, mood: Mood, report: &Report) -> io::Result<()> {
    match mood {
        Mood::Done => {
            print_sums(&report.done, verb.past())?;
            let failed = report.failed;
            if failed > 0 {
                writeln!(io::stdout(), "failed: {failed}, which stay dead letters")?;
            }
            Ok(())
        }
        Mood::Asked | Mood::Told => {
            print_sums(&report.wanted, &format!("would {}", verb.as_str()))?;
            if mood == Mood::Asked {
                eprintln!("hongbaod: nothing was done; say it again with --yes");
            }
            Ok(())
        }
    }
}

fn print_json(verb: Verb, mood: Mood, report: &Report) -> io::Result<()> {
    let value = json!({"summary": {
        "action": verb.as_str(),
        "wanted": sums(&report.wanted),
        "done": sums(&report.done),
        "failed": report.failed,
        "is_done": mood == Mood::Done,
        "is_whole": report.is_complete(),
    }});
    writeln!(io::stdout(), "{value}")
}

/// A job that is still unsettled loses its last message: nothing is paid twice or told wrongly by
/// that, and nobody looks after it any more.
fn warn_of_last_copies(verb: Verb, mood: Mood, report: &Report) {
    let tally = match mood {
        Mood::Done => &report.done,
        Mood::Asked | Mood::Told => &report.wanted,
    };
    let Some(share) = tally
        .by_reason
        .get(LAST_COPY)
        .filter(|_| verb == Verb::Drop)
    else {
        return;
    };
    eprintln!(
        "hongbaod: {} of them are the last messages of jobs that may be unsettled: \
         hongbaod list --unsettled --reason given_to_operators",
        sentence(share)
    );
}
