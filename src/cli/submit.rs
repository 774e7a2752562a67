//! `hongbaod submit`: jobs from flags, a file or the standard input, to the broker.

mod report;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::submission::{Destination, SubmissionError, Urgency, submit};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::cli::job_args::JobArgs;
use crate::cli::submit::report::{Audience, Report, Source, Style};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod submit disburse --out-request-no R1 --out-order-no O1 --deduct-out-order-no P1 \\
      --order-title 'Lucky money' --amount 8.88 --payee-user-id 2088102146225135 --label room=42
  hongbaod submit refund --out-request-no R2 --auth-no 2026112210002001950000000001 \\
      --amount 1.12 --remark 'not opened'
  hongbaod submit query --out-order-no O1 --out-request-no R1
  hongbaod submit --file jobs.ndjson      one JSON object a line
  generate-jobs | hongbaod submit --file -
  hongbaod submit --file jobs.ndjson --dry-run

Refused jobs are named with their line and are not sent. A job whose confirm is missing is never
sent twice; submit it again without fear: the same out_request_no is the same job.";

/// The arguments of `submit`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a flag is given or it is not"
)]
#[command(subcommand_value_name = "JOB", subcommand_help_heading = "Jobs")]
pub(crate) struct SubmitArgs {
    /// Send every line of this file as a job; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Send each outcome to this queue too.
    #[arg(long, global = true, value_name = "QUEUE")]
    reply_to: Option<String>,

    /// Let disburse and pay jobs overtake the others of their kind.
    #[arg(long, global = true)]
    urgent: bool,

    /// Check the jobs and send nothing.
    #[arg(long, global = true)]
    dry_run: bool,

    /// Print refusals and the summary as JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    job: Option<JobArgs>,
}

pub(crate) async fn execute(args: SubmitArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let (input, source): (Box<dyn BufRead + Send>, Source) = match (&args.job, &args.file) {
        (Some(job), None) => (Box::new(Cursor::new(job.body())), Source::Flags),
        (None, Some(path)) if path == Path::new("-") => {
            let input = BufReader::new(std::io::stdin());
            (Box::new(input), Source::Stream)
        }
        (None, Some(path)) => open(path)?,
        (None, None) => {
            let hint = "name a job (hongbaod submit disburse …) or a file (--file jobs.ndjson)";
            return Err(Failure::usage(format!(
                "there is nothing to submit; {hint}"
            )));
        }
        (Some(_), Some(_)) => {
            let message = "a job from flags and --file exclude each other";
            return Err(Failure::usage(message));
        }
    };
    if args
        .reply_to
        .as_ref()
        .is_some_and(|queue| queue.len() > 255)
    {
        // Source: AMQP 0-9-1, basic properties, short string.
        return Err(Failure::usage("--reply-to is longer than 255 bytes"));
    }
    let config = configuration::load_without_apps(named)?;
    let destination = if args.dry_run {
        Destination::Nowhere
    } else {
        Destination::Broker {
            reply_to: args.reply_to,
            urgency: if args.urgent {
                Urgency::Urgent
            } else {
                Urgency::Normal
            },
        }
    };
    let style = if args.json { Style::Json } else { Style::Human };
    let audience = if std::io::stderr().is_terminal() {
        Audience::Terminal
    } else {
        Audience::Nobody
    };
    let mut report = Report::new(style, source, &destination, audience);
    let result = submit(&config, input, destination, &mut |step| report.step(step)).await;
    report.finish_bar();
    match result {
        Ok(summary) => {
            report.finish(&summary)?;
            Ok(if summary.is_complete() {
                ExitCode::Done
            } else {
                ExitCode::Failed
            })
        }
        Err(error) => Err(failure(&error)),
    }
}

fn open(path: &Path) -> Result<(Box<dyn BufRead + Send>, Source), Failure> {
    let unreadable = |error| Failure::failed(format!("read {}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    Ok((Box::new(BufReader::new(file)), Source::File { length }))
}

fn failure(error: &SubmissionError) -> Failure {
    match error {
        SubmissionError::Client(error) => Failure::from(error),
        SubmissionError::Read(_) => Failure::failed(with_causes(error)),
    }
}
