//! `hongbaod check`: a table of ticks.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::app::check::{Rank, Row, State, check, mistakes};
use crate::app::config::Config;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::table::{print, table};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod check
  hongbaod check --config /etc/hongbaod.toml
  hongbaod check --json | jq 'select(.state != \"ok\")'

Nothing is changed, and no money moves: Alipay is asked for an operation that does not exist. A
queue that is not there yet is no mistake, `hongbaod run` declares it.";

/// The arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object for each thing that was looked at.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn execute(args: CheckArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let file = configuration::file(named);
    let rows = match Config::load(file.as_deref(), Config::environment()) {
        Ok(config) => {
            let subject = file.map_or_else(
                || "defaults and environment".to_owned(),
                |file| file.display().to_string(),
            );
            let apps: Vec<&str> = config.alipay.apps.keys().map(String::as_str).collect();
            let detail = format!("no mistakes; apps: {}", apps.join(", "));
            let mut rows = vec![Row {
                area: "config",
                subject,
                state: State::Ok,
                detail,
                rank: Rank::Main,
            }];
            rows.extend(check(&config).await);
            rows
        }
        Err(problems) => mistakes(&problems),
    };
    if args.json {
        print_json(&rows)?;
    } else {
        print_table(&rows)?;
    }
    Ok(exit_code(&rows))
}

/// What is to be repaired in the configuration comes first, for waiting does not help there.
fn exit_code(rows: &[Row]) -> ExitCode {
    let has = |state| rows.iter().any(|row| row.state == state);
    if has(State::Mistake) {
        ExitCode::Config
    } else if has(State::Unreachable) {
        ExitCode::Unreachable
    } else if has(State::Failed) {
        ExitCode::Failed
    } else {
        ExitCode::Done
    }
}

fn print_json(rows: &[Row]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for row in rows {
        let value = json!({
            "area": row.area,
            "subject": row.subject,
            "state": row.state.as_str(),
            "good": row.state.is_good(),
            "detail": row.detail,
        });
        writeln!(stdout, "{value}")?;
    }
    Ok(())
}

fn print_table(rows: &[Row]) -> io::Result<()> {
    let mut table = table();
    for row in rows {
        if row.rank == Rank::Detail && row.state.is_good() {
            continue;
        }
        table.add_row([tick(row.state), row.area, &row.subject, &row.detail]);
    }
    print(&table)
}

fn tick(state: State) -> &'static str {
    match state {
        State::Ok => "✓",
        State::Note => "!",
        State::Mistake | State::Unreachable | State::Failed => "✗",
    }
}
