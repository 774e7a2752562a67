//! `hongbaod dead list`.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use clap::Args;
use serde_json::json;

use crate::app::config::Config;
use crate::app::dead_letters::{Letter, Step, look};
use crate::app::job_body::rfc3339;
use crate::cli::dead::{FilterArgs, bar, print_sums, sums, told_broken_off};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::table::{print, table, tame};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::Kind;

pub(super) const EXAMPLES: &str = "\
Examples:
  hongbaod dead list
  hongbaod dead list --reason invalid --older-than 1h
  hongbaod dead list --json | jq -r .out_request_no

Nothing is taken away: what is looked at goes back when the list is done. Until then no one else can
see it. The sums below the table are of all that fit, not of the rows alone.";

/// The arguments of `dead list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// At most so many rows [default: 50; with --json all of them].
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<NonZeroUsize>,

    /// Print one JSON object for each letter, and one with the sums.
    #[arg(long)]
    json: bool,
}

/// The most rows of a table.
const ROWS_MAX: usize = 10_000;

const ROWS_DEFAULT: usize = 50;

fn limit(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().and_then(NonZeroUsize::new);
    let number = number.filter(|number| number.get() <= ROWS_MAX);
    number.ok_or_else(|| format!("must be a number from 1 to {ROWS_MAX}"))
}

pub(super) async fn execute(args: ListArgs, config: &Config) -> Result<ExitCode, Failure> {
    let wanted = args.filter.into();
    let limit = args.limit.map(NonZeroUsize::get);
    let (bar, is_json) = (bar(), args.json);
    let (mut rows, mut told, mut written) = (Vec::new(), 0_usize, Ok(()));
    let report = look(config, &wanted, &mut |step| match step {
        Step::Begun(count) => bar.set_length(count),
        Step::Looked => bar.inc(1),
        Step::Met(letter) => {
            let limit = limit.unwrap_or(if is_json { usize::MAX } else { ROWS_DEFAULT });
            if told >= limit || written.is_err() {
                return;
            }
            told = told.saturating_add(1);
            if is_json {
                written = bar.suspend(|| print_json(letter));
            } else {
                rows.push(row(letter));
            }
        }
        Step::Failed(..) => {}
    })
    .await;
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::from(&error))?;
    written?;
    if is_json {
        let value = json!({"summary": sums(&report.wanted)});
        writeln!(io::stdout(), "{value}")?;
    } else {
        if !rows.is_empty() {
            let mut table = table();
            table.set_header([
                "reason",
                "number",
                "kind",
                "app",
                "amount",
                "buried at",
                "by",
                "detail",
            ]);
            table.add_rows(rows);
            print(&table)?;
        }
        print_sums(&report.wanted, "in all")?;
    }
    Ok(if told_broken_off(&report) {
        ExitCode::Failed
    } else {
        ExitCode::Done
    })
}

fn row(letter: &Letter) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let number = letter.number.as_ref().map(MerchantNo::as_str);
    let app = letter.app.as_ref().map(AppName::as_str);
    [
        letter.reason.clone(),
        or_dash(number.map(str::to_owned)),
        or_dash(letter.kind.map(|kind| kind.as_str().to_owned())),
        or_dash(app.map(str::to_owned)),
        or_dash(letter.amount.map(|amount| amount.to_string())),
        or_dash(letter.at.map(rfc3339)),
        or_dash(letter.by.as_deref().map(tame)),
        or_dash(letter.detail.as_deref().map(tame)),
    ]
}

fn print_json(letter: &Letter) -> io::Result<()> {
    let value = json!({
        "reason": letter.reason,
        "out_request_no": letter.number.as_ref().map(MerchantNo::as_str),
        "kind": letter.kind.map(Kind::as_str),
        "app": letter.app.as_ref().map(AppName::as_str),
        "amount": letter.amount.map(|amount| amount.to_string()),
        "buried_at": letter.at.map(rfc3339),
        "buried_by": letter.by,
        "detail": letter.detail,
    });
    writeln!(io::stdout(), "{value}")
}
