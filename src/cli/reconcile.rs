//! `hongbaod reconcile`: the ledger against the events and against Alipay.

use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use crate::app::reconcile::bill::{Column, Columns};
use crate::app::reconcile::books::{Difference, Report};
use crate::app::reconcile::window::{Window, parse_instant};
use crate::app::reconcile::{Asked, Progress, ReconcileError, Reconciliation, reconcile};
use crate::app::wall_clock;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::money::Fen;
use crate::domain::time::{UnixMillis, millis};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod reconcile --since 24h --sample 200
  hongbaod reconcile --since 2026-11-22 --until 2026-11-23 --bill fund-20261122.csv
  hongbaod reconcile --since 2026-11-22T20:00:00+08:00 --events outcomes.ndjson --json
  hongbaod reconcile --since 1h --kind disburse --all --rate 20

It reads and changes nothing: what to do about a difference is decided by people. Exit code 1 says
that something differs, or that Alipay gave no answer about a job. docs/reconciliation.md explains
each difference.";

/// The arguments of `reconcile`.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// From when: a length of time ago (24h), a day or an instant in GMT+8, or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: String,

    /// Until when, as --since [default: five minutes ago].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only jobs of this app.
    #[arg(long, value_name = "NAME", value_parser = app)]
    app: Option<AppName>,

    /// Only jobs of this kind.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,

    #[command(flatten)]
    asking: AskingArgs,

    /// Queries per second, over all apps.
    #[arg(long, value_name = "N", default_value = "5")]
    rate: NonZeroU32,

    /// A bill of Alipay's, as CSV in GBK or UTF-8.
    #[arg(long, value_name = "FILE")]
    bill: Vec<PathBuf>,

    /// The heading of a column of the bill: number, operation, amount, income, expense or time.
    #[arg(long, value_name = "COLUMN=HEADING", value_parser = column)]
    bill_column: Vec<(Column, String)>,

    /// Only lines of the bill that have this text in this column.
    #[arg(long, value_name = "HEADING=TEXT", value_parser = pair)]
    bill_only: Option<(String, String)>,

    /// Outcome events, as `hongbaod watch --json` writes them.
    #[arg(long, value_name = "FILE")]
    events: Vec<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How many jobs Alipay is asked about.
#[derive(Debug, Args)]
struct AskingArgs {
    /// Ask Alipay about so many jobs, drawn by chance.
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,

    /// Ask Alipay about every job.
    #[arg(long)]
    all: bool,
}

/// What was settled later may not be in the other books yet.
const UNTIL_AGO: Duration = Duration::from_secs(300);

fn app(text: &str) -> Result<AppName, String> {
    AppName::new(text).map_err(|error| error.to_string())
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| format!("must be one of {}", Kind::words()))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err("must be NAME=VALUE".to_owned()),
    }
}

fn column(text: &str) -> Result<(Column, String), String> {
    let (name, heading) = pair(text)?;
    let column = Column::ALL
        .into_iter()
        .find(|column| column.as_str() == name);
    let words = || Column::ALL.map(Column::as_str).join(", ");
    column
        .map(|column| (column, heading))
        .ok_or_else(|| format!("must be one of {} and a heading", words()))
}

pub(crate) async fn execute(
    args: ReconcileArgs,
    named: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let window = window(&args, wall_clock::now())?;
    let asked = match (args.asking.sample, args.asking.all) {
        (Some(count), _) => Asked::Sample(count),
        (None, true) => Asked::All,
        (None, false) => Asked::Nothing,
    };
    if asked == Asked::Nothing && args.bill.is_empty() && args.events.is_empty() {
        return Err(Failure::usage(
            "nothing to compare the ledger with: give --sample, --all, --bill or --events",
        ));
    }
    let config = match asked {
        Asked::Nothing => configuration::load_without_apps(named)?,
        Asked::Sample(_) | Asked::All => configuration::load(named)?,
    };
    let wanted = Reconciliation {
        window,
        app: args.app,
        kind: args.kind,
        asked,
        rate: args.rate,
        bills: args.bill,
        columns: Columns {
            named: args.bill_column.into_iter().collect(),
            only: args.bill_only,
        },
        events: args.events,
    };
    let bar = ProgressBar::hidden();
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    }
    let report = reconcile(&config, &wanted, &mut |progress| match progress {
        Progress::Held(held) => eprintln!("{held} settled jobs are held in memory"),
        Progress::Asked(done, total) => {
            bar.set_length(total);
            bar.set_position(done);
        }
    })
    .await;
    bar.finish_and_clear();
    let report = report.map_err(|error| failure(&error))?;
    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", as_json(&report))?;
    } else {
        write_report(&mut stdout, &report)?;
    }
    Ok(if report.is_equal() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

fn window(args: &ReconcileArgs, now: UnixMillis) -> Result<Window, Failure> {
    let instant = |name: &str, text: &str| {
        parse_instant(text, now).ok_or_else(|| {
            Failure::usage(format!(
                "{name} is no time: write 24h, 2026-11-22, \"2026-11-22 20:00:00\" or RFC 3339"
            ))
        })
    };
    let window = Window {
        since: instant("--since", &args.since)?,
        until: match &args.until {
            Some(until) => instant("--until", until)?,
            None => UnixMillis(now.0.saturating_sub(millis(UNTIL_AGO))),
        },
    };
    if window.since >= window.until {
        return Err(Failure::usage(
            "--since is not before --until, which is five minutes ago where it is not given",
        ));
    }
    Ok(window)
}

fn failure(error: &ReconcileError) -> Failure {
    let message = with_causes(error);
    match error {
        ReconcileError::Ledger(error) if error.is_unreachable() => Failure::unreachable(message),
        ReconcileError::Ledger(error) if error.is_config() => Failure::config(message),
        ReconcileError::Config(_) | ReconcileError::Alipay(_) => Failure::config(message),
        ReconcileError::Ledger(_)
        | ReconcileError::TooMany(_)
        | ReconcileError::Open { .. }
        | ReconcileError::Bill { .. }
        | ReconcileError::Events { .. } => Failure::failed(message),
    }
}

fn write_report(stdout: &mut impl Write, report: &Report) -> io::Result<()> {
    for one in &report.differences {
        let line = format!(
            "{:<19}  {:<24}  {:>14}  ledger: {}; other: {}",
            one.kind.as_str(),
            one.number,
            yuan(one.fen),
            one.ledger,
            one.other,
        );
        // Texts of other systems must not steer the terminal.
        let visible = |c: char| if c.is_control() { '?' } else { c };
        writeln!(stdout, "{}", line.chars().map(visible).collect::<String>())?;
    }
    for (kind, (count, fen)) in &report.sums {
        writeln!(
            stdout,
            "{}: {count} of {} yuan in all",
            kind.as_str(),
            yuan(*fen)
        )?;
    }
    writeln!(
        stdout,
        "{} settled jobs in the window, {} near it, {} not settled; {} asked and {} without an answer; \
         {} lines of bills; {} events, {} of them copies; {} lines and events of other times",
        report.held,
        report.near,
        report.unsettled,
        report.asked,
        report.unanswered,
        report.rows,
        report.events,
        report.copies,
        report.outside,
    )?;
    let word = match (report.is_equal(), report.held) {
        (true, 0) => {
            "nothing was compared: no job was settled in the window, which ends five minutes ago \
                      unless --until says otherwise"
        }
        (true, _) => "equal",
        (false, _) => "not equal",
    };
    writeln!(stdout, "{word}")
}

/// Fen as yuan, also for nothing and for sums above what one job can have.
fn yuan(fen: u64) -> String {
    Fen::new(fen).map_or_else(
        || format!("{}.{:02}", fen.div_euclid(100), fen.rem_euclid(100)),
        |fen| fen.to_string(),
    )
}

fn as_json(report: &Report) -> Value {
    let sums: serde_json::Map<String, Value> = report
        .sums
        .iter()
        .map(|(kind, (count, fen))| {
            let sum = json!({"count": count, "fen": fen});
            (kind.as_str().to_owned(), sum)
        })
        .collect();
    let differences: Vec<Value> = report.differences.iter().map(difference).collect();
    json!({
        "equal": report.is_equal(),
        "sums": sums,
        "differences": differences,
        "held": report.held,
        "near": report.near,
        "unsettled": report.unsettled,
        "asked": report.asked,
        "unanswered": report.unanswered,
        "rows": report.rows,
        "events": report.events,
        "copies": report.copies,
        "outside": report.outside,
    })
}

fn difference(one: &Difference) -> Value {
    json!({
        "difference": one.kind.as_str(),
        "app": one.app.as_ref().map(AppName::as_str),
        "kind": one.job_kind.map(Kind::as_str),
        "number": one.number,
        "ledger": one.ledger,
        "other": one.other,
        "fen": one.fen,
    })
}
