//! `hongbaod audit`: is the audit log whole, and what does it say of a job.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::audit::chain::Report;
use crate::app::audit::files::{Anchors, ReadError, show, verify};
use crate::app::audit::line::Hash;
use crate::app::config::Config;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::domain::ident::MerchantNo;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod audit verify
  hongbaod audit verify /backup/audit.jsonl*
  hongbaod audit verify --expect-hash \"$(cat last-week.hash)\"
  hongbaod audit show R202611220001

Without FILE, the log of audit.file is read, with everything that was put aside of it.";

/// The arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Look whether every line is there, unchanged and in order.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Print the lines about one job.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  hongbaod audit verify
  hongbaod audit verify --json | jq -r .last_hash > last.hash    to be kept elsewhere
  hongbaod audit verify --expect-hash \"$(cat last.hash)\"

Exit code 1 says that something is wrong; each fault is printed with its file and line. Lines that
were cut off at the end leave no trace in what is left: they are found by a hash that was noted
before.";

const SHOW_EXAMPLES: &str = "\
Examples:
  hongbaod audit show R202611220001
  hongbaod audit show R202611220001 audit.jsonl.000007 | jq .data

Exit code 1 says that no line is about this number.";

/// The arguments of `audit verify`.
#[derive(Debug, Args)]
struct VerifyArgs {
    /// Files of one log, in any order [default: the configured log].
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Some line must have this hash.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    expect_hash: Option<Hash>,

    /// The last line must have this hash.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    last: Option<Hash>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit show`.
#[derive(Debug, Args)]
struct ShowArgs {
    /// The job's `out_request_no`.
    #[arg(value_name = "NUMBER", value_parser = number)]
    number: MerchantNo,

    /// Files of one log [default: the configured log].
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn hash(text: &str) -> Result<Hash, String> {
    let hash = Hash::parse(text.trim().as_bytes());
    hash.ok_or_else(|| "must be 64 hexadecimal digits in lower case".to_owned())
}

fn number(text: &str) -> Result<MerchantNo, String> {
    MerchantNo::new(text).map_err(|error| error.to_string())
}

pub(crate) fn execute(args: &AuditArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let files = match &args.command {
        AuditCommand::Verify(args) => &args.files,
        AuditCommand::Show(args) => &args.files,
    };
    // Whoever names files need not have the daemon's configuration.
    let config = if files.is_empty() {
        configuration::load_without_apps(named)?
    } else {
        Config::default()
    };
    match &args.command {
        AuditCommand::Verify(args) => execute_verify(args, &config),
        AuditCommand::Show(args) => execute_show(args, &config),
    }
}

fn execute_verify(args: &VerifyArgs, config: &Config) -> Result<ExitCode, Failure> {
    let anchors = Anchors {
        expected: args.expect_hash,
        last: args.last,
    };
    let report = verify(config, &args.files, anchors).map_err(failure)?;
    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", as_json(&report))?;
    } else {
        write_report(&mut stdout, &report)?;
    }
    Ok(if report.faults == 0 {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

fn execute_show(args: &ShowArgs, config: &Config) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match show(config, &args.files, &args.number, &mut stdout) {
        Ok(0) => Err(Failure::failed(format!(
            "no line of the audit log is about {}",
            args.number
        ))),
        Ok(_) => Ok(ExitCode::Done),
        Err(error) => Err(failure(error)),
    }
}

fn failure(error: ReadError) -> Failure {
    match error {
        ReadError::NotConfigured => Failure::config(with_causes(&error)),
        ReadError::Log(_) | ReadError::File { .. } => Failure::failed(with_causes(&error)),
        ReadError::Output(error) => Failure::from(error),
    }
}

fn write_report(stdout: &mut impl Write, report: &Report) -> io::Result<()> {
    for finding in &report.findings {
        writeln!(
            stdout,
            "{}:{}: {}",
            finding.file, finding.line, finding.fault
        )?;
    }
    let (last, hash) = report.last.clone().unwrap_or_default();
    writeln!(
        stdout,
        "{} lines in {} files, numbers {} to {last}; {} faults; {} lines lost and {} torn by its own account",
        report.lines,
        report.files,
        report.first.unwrap_or(0),
        report.faults,
        report.lost,
        report.torn,
    )?;
    if !hash.is_empty() {
        writeln!(stdout, "last hash {hash}")?;
    }
    Ok(())
}

fn as_json(report: &Report) -> serde_json::Value {
    let findings: Vec<serde_json::Value> = report
        .findings
        .iter()
        .map(|finding| json!({"file": finding.file, "line": finding.line, "fault": finding.fault}))
        .collect();
    json!({
        "lines": report.lines,
        "files": report.files,
        "first": report.first,
        "last": report.last.as_ref().map(|(seq, _)| seq),
        "last_hash": report.last.as_ref().map(|(_, hash)| hash),
        "lost": report.lost,
        "torn": report.torn,
        "faults": report.faults,
        "findings": findings,
    })
}
