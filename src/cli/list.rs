//! `hongbaod list`: the jobs that wait for their last word.

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use crate::app::job_body::rfc3339;
use crate::app::unsettled::{
    Fact, PAGE_MAX, Page, Place, Reach, Row, Unsettled, Wanted, unsettled,
};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::filters;
use crate::cli::table::{coarse, print, table};
use crate::domain::entry::{Entry, Pending};
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::time::UnixMillis;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod list --unsettled
  hongbaod list --unsettled --kind disburse --older-than 30m --reason maybe_sent
  hongbaod list --unsettled --reason given_to_operators --json
  hongbaod list --unsettled --scan

What --reason can say: in_flight, deferred, overdue, never_sent, maybe_sent, not_found,
refusal_awaited, number_used, rescued, given_to_operators, unresolved.

Nothing is changed. The oldest come first. The sum below the table is of all jobs that fit, not of
this page alone.";

/// The arguments of `list`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a flag is given or it is not"
)]
pub(crate) struct ListArgs {
    /// The unsettled ones. There is no other list yet, so this has to be said.
    #[arg(long, required = true)]
    unsettled: bool,

    /// Only jobs of this kind.
    #[arg(long, value_name = "KIND", value_parser = filters::kind)]
    kind: Option<Kind>,

    /// Only jobs of this app.
    #[arg(long, value_name = "NAME", value_parser = filters::app)]
    app: Option<AppName>,

    /// Only what was first seen at least so long ago, such as 30m.
    #[arg(long, value_name = "TIME", value_parser = filters::length)]
    older_than: Option<Duration>,

    /// Only jobs of which this is known; given more than once, all of it.
    #[arg(long, value_name = "WORD", value_parser = filters::fact)]
    reason: Vec<Fact>,

    /// At most so many rows.
    #[arg(long, value_name = "N", default_value = "50", value_parser = limit)]
    limit: NonZeroUsize,

    /// Go on where a page ended: the word that stands below it.
    #[arg(long, value_name = "PLACE", value_parser = place)]
    page: Option<Place>,

    /// Look at every key too: slow, and finds what the index misses.
    #[arg(long)]
    scan: bool,

    /// Print one JSON object for each job, and one with the sums.
    #[arg(long)]
    json: bool,
}

fn limit(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().and_then(NonZeroUsize::new);
    let number = number.filter(|number| number.get() <= PAGE_MAX);
    number.ok_or_else(|| format!("must be a number from 1 to {PAGE_MAX}"))
}

fn place(text: &str) -> Result<Place, String> {
    text.parse().map_err(str::to_owned)
}

pub(crate) async fn execute(args: ListArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = configuration::load_without_apps(named)?;
    let wanted = Wanted {
        kind: args.kind,
        app: args.app,
        older_than: args.older_than,
        facts: args.reason,
    };
    let page = Page {
        after: args.page,
        limit: args.limit,
    };
    let reach = if args.scan {
        Reach::Everything
    } else {
        Reach::Index
    };
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    });
    let found = unsettled(&config, wanted, page, reach, &mut |looked| {
        bar.set_message(format!("{looked} jobs looked at"));
        bar.tick();
    })
    .await;
    bar.finish_and_clear();
    let found = found.map_err(|error| Failure::from(&error))?;
    if args.json {
        print_json(&found, reach)?;
    } else {
        print_table(&found, reach)?;
    }
    for (key, reason) in &found.unreadable {
        eprintln!("hongbaod: {key}: {reason}");
    }
    Ok(if found.unreadable.is_empty() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// What every row tells, whatever its form.
struct Cells<'a> {
    pending: &'a Pending,
    state: &'static str,
    due_at: UnixMillis,
    /// What is known but for the state.
    known: Vec<&'static str>,
}

impl<'a> Cells<'a> {
    fn of(row: &'a Row) -> Option<Self> {
        let (due_at, state) = match &row.entry {
            Entry::InFlight(held) => (held.lease.expires_at, Fact::InFlight),
            Entry::Deferred(waits) => (waits.due_at, Fact::Deferred),
            Entry::Settled(_) => return None,
        };
        let known = row.facts.iter().filter(|fact| !fact.is_state());
        Some(Self {
            pending: row.entry.pending()?,
            state: state.as_str(),
            due_at,
            known: known.map(|fact| fact.as_str()).collect(),
        })
    }
}

fn print_table(found: &Unsettled, reach: Reach) -> io::Result<()> {
    if !found.rows.is_empty() {
        let mut table = table();
        table.set_header([
            "app", "number", "kind", "amount", "state", "due", "age", "calls", "rescues", "known",
        ]);
        for row in &found.rows {
            let Some(cells) = Cells::of(row) else {
                continue;
            };
            let job = &cells.pending.job;
            let age = found.read_at.since(cells.pending.first_seen_at);
            table.add_row([
                row.key.app.as_str(),
                row.key.out_request_no.as_str(),
                job.kind().as_str(),
                &job.amount().to_string(),
                cells.state,
                &due(cells.due_at, found.read_at),
                &coarse(age),
                &cells.pending.attempts.to_string(),
                &cells.pending.rescues.to_string(),
                &cells.known.join(" "),
            ]);
        }
        print(&table)?;
    }
    let mut stdout = io::stdout().lock();
    let total = found.total;
    writeln!(
        stdout,
        "{} unsettled, {} yuan; {} of them may have been sent, {} yuan",
        total.jobs, total.amount, total.maybe_sent, total.amount_maybe_sent
    )?;
    if reach == Reach::Everything {
        let missed = found.missed_by_index;
        writeln!(stdout, "{missed} of them are not in the index")?;
    }
    if let Some(next) = &found.next {
        writeln!(stdout, "there are more: --page {next}")?;
    }
    Ok(())
}

/// When something is due, as seen from `now`.
fn due(due_at: UnixMillis, now: UnixMillis) -> String {
    let wait = due_at.since(now);
    if wait.is_zero() {
        format!("{} ago", coarse(now.since(due_at)))
    } else {
        format!("in {}", coarse(wait))
    }
}

fn print_json(found: &Unsettled, reach: Reach) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for row in &found.rows {
        let Some(cells) = Cells::of(row) else {
            continue;
        };
        let (pending, job) = (cells.pending, &cells.pending.job);
        let value = json!({
            "app": row.key.app.as_str(),
            "out_request_no": row.key.out_request_no.as_str(),
            "kind": job.kind().as_str(),
            "amount": job.amount().to_string(),
            "state": cells.state,
            "due_at": rfc3339(cells.due_at),
            "first_seen_at": rfc3339(pending.first_seen_at),
            "age_seconds": found.read_at.since(pending.first_seen_at).as_secs(),
            "calls": pending.attempts,
            "rescues": pending.rescues,
            "known": cells.known,
        });
        writeln!(stdout, "{value}")?;
    }
    let total = found.total;
    let missed = match reach {
        Reach::Index => Value::Null,
        Reach::Everything => found.missed_by_index.into(),
    };
    let value = json!({"summary": {
        "jobs": total.jobs,
        "amount": total.amount.to_string(),
        "maybe_sent": total.maybe_sent,
        "amount_maybe_sent": total.amount_maybe_sent.to_string(),
        "not_in_index": missed,
        "unreadable": found.unreadable.len(),
        "next_page": found.next.as_ref().map(ToString::to_string),
    }});
    writeln!(stdout, "{value}")
}
