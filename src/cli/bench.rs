//! `hongbaod bench`: what a job costs on this machine.

mod report;

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::app::bench::{self, Answers, BenchOptions, Feed, Stage};
use crate::app::client;
use crate::cli::bench::report::Report;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::domain::time::parse_duration;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod bench                        20,000 jobs that wait already, as fast as it goes
  hongbaod bench --rate 300             300 jobs a second: latency
  hongbaod bench --queued 1000000       the cost of a job while a million wait
  hongbaod bench --delay 50ms           an Alipay that takes its time
  hongbaod bench --answers signed-before
  hongbaod bench --replicas 2 --delay 2s

It uses RabbitMQ and Redis of the configuration, under a prefix of its own that it removes at the
end, and a sandbox instead of Alipay; rate limits of the configuration do not count. Daemon and
sandbox are processes of their own. Exit code 1 says that a job was not paid, or told twice.";

/// Longest `--delay`.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// The arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// How many jobs are settled; the first twentieth of them is not measured.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    jobs: u32,

    /// How many jobs wait in the queue at the start, if more than are settled.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=5_000_000), conflicts_with = "rate")]
    queued: u32,

    /// Feed so many jobs a second instead of queueing them all before.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,

    /// How long the sandbox takes for each answer, such as 50ms; at most 10s.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = delay)]
    delay: Duration,

    /// When the sandbox signs its answers.
    #[arg(long, value_enum, default_value_t = AnswersArg::SignedAtOnce)]
    answers: AnswersArg,

    /// How many daemons share the jobs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    replicas: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// When the sandbox signs its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AnswersArg {
    /// When it gives them, as Alipay does.
    SignedAtOnce,
    /// Before the measurement: its signing costs this machine nothing.
    SignedBefore,
}

impl BenchArgs {
    fn options(&self) -> BenchOptions {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        BenchOptions {
            jobs: count(self.jobs),
            feed: match self.rate.and_then(NonZeroU32::new) {
                Some(rate) => Feed::PerSecond(rate),
                None => Feed::Queued(count(self.queued)),
            },
            delay: self.delay,
            answers: match self.answers {
                AnswersArg::SignedAtOnce => Answers::SignedAtOnce,
                AnswersArg::SignedBefore => Answers::SignedBefore,
            },
            replicas: NonZeroU32::new(self.replicas).unwrap_or(NonZeroU32::MIN),
        }
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|delay| *delay <= DELAY_MAX)
        .ok_or_else(|| "write a whole number and ms or s, at most 10s, such as 50ms".to_owned())
}

pub(crate) async fn execute(args: BenchArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    // Its mistakes are told before anything is measured.
    let config = configuration::load_without_apps(named)?;
    client::broker_options(&config, "hongbaod bench").map_err(|error| Failure::from(&error))?;
    let file = configuration::file(named);
    let is_watched = io::stderr().is_terminal();
    let options = args.options();
    let figures = bench::run(options, file.as_deref(), &mut |stage| {
        if is_watched {
            eprintln!("{}", words(stage));
        }
    })
    .await
    .map_err(failure)?;
    let report = Report {
        options,
        figures: &figures,
    };
    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", report.json())?;
    } else {
        writeln!(stdout, "{}", report.table())?;
    }
    stdout.flush()?;
    Ok(if figures.repeated == 0 && figures.unpaid == 0 {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

fn failure(error: anyhow::Error) -> Failure {
    let message = format!("{error:#}");
    let is_unreachable = error.chain().any(client::is_unreachable);
    if is_unreachable {
        Failure::unreachable(message)
    } else {
        Failure::failed(message)
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Pair => "measuring a signature and its verification",
        Stage::Starting => "starting the sandbox, declaring the queues",
        Stage::Signing => "having the answers signed",
        Stage::Queueing => "queueing the jobs",
        Stage::Measuring => "measuring",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::delay;

    #[test]
    fn a_delay_is_at_most_ten_seconds() {
        assert_eq!(delay("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(delay("10s"), Ok(Duration::from_secs(10)));
        assert!(delay("50").is_err() && delay("10001ms").is_err() && delay("1m").is_err());
    }
}
