//! The words for operators: arguments, help texts, output, exit codes. What the commands do is in
//! [`crate::app`] and [`crate::sandbox`].

mod audit;
mod audited;
mod bench;
mod check;
mod codes;
mod completions;
mod configuration;
mod dead;
mod demo;
mod exit_code;
mod failure;
mod filters;
mod health;
mod job_args;
mod list;
mod man;
mod pause;
mod reconcile;
mod resolve;
mod run;
mod sandbox;
mod schema;
mod show;
mod sign;
mod submit;
mod table;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::process;

use clap::{Parser, Subcommand};

use crate::app::build_info::VERSION_AND_COMMIT;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  hongbaod check                       look at configuration, keys and servers
  hongbaod run                         take jobs and pay them
  hongbaod submit --file jobs.ndjson   send many jobs
  hongbaod watch                       see what becomes of them
  hongbaod list --unsettled            see which jobs wait for their last word
  hongbaod dead list                   see which messages need somebody, and why

Exit codes:
   0  done
   1  failed, or not all of it is done
  64  the arguments make no sense
  69  a server cannot be reached
  78  the configuration has mistakes

Each key of the configuration can be set by a variable too: HONGBAOD__REDIS__URLS for redis.urls.";

/// Pays Alipay cash red packets: never twice, never lost, never falsely failed.
#[derive(Debug, Parser)]
#[command(name = "hongbaod", version = VERSION_AND_COMMIT, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// The configuration file [default: hongbaod.toml, if it is there].
    #[arg(long, global = true, value_name = "PATH", env = "HONGBAOD_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order in which one meets them.
#[derive(Debug, Subcommand)]
enum Command {
    /// Take jobs from RabbitMQ and pay them, until SIGTERM.
    #[command(after_help = run::EXAMPLES)]
    Run,
    /// See packets being paid: everything in one process, no servers.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Run a simulated Alipay on this machine.
    #[command(after_help = sandbox::EXAMPLES)]
    Sandbox(sandbox::SandboxArgs),
    /// Look at configuration, keys, servers and queues; change nothing.
    #[command(after_help = check::EXAMPLES)]
    Check(check::CheckArgs),
    /// Ask the running daemon how it is; for container engines.
    #[command(after_help = health::EXAMPLES)]
    Health(health::HealthArgs),
    /// Send one job from flags, or many from a file.
    #[command(after_help = submit::EXAMPLES)]
    Submit(Box<submit::SubmitArgs>),
    /// Print outcome events as they come.
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::WatchArgs),
    /// Show what the ledger remembers of one job.
    #[command(after_help = show::EXAMPLES)]
    Show(show::ShowArgs),
    /// Stop an app's money, in all replicas at once; without an app, list what is paused.
    #[command(after_help = pause::PAUSE_EXAMPLES)]
    Pause(pause::PauseArgs),
    /// Let an app's money move again.
    #[command(after_help = pause::RESUME_EXAMPLES)]
    Resume(pause::ResumeArgs),
    /// Settle a job by hand, once Alipay was asked, and publish its outcome.
    #[command(after_help = resolve::EXAMPLES)]
    Resolve(resolve::ResolveArgs),
    /// List the jobs that wait for their last word.
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Look at the dead letters, publish them again, or throw them away.
    #[command(after_help = dead::EXAMPLES)]
    Dead(dead::DeadArgs),
    /// Verify the audit log, or show what it says of one job.
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::AuditArgs),
    /// Compare the ledger with the events and with Alipay; change nothing.
    #[command(after_help = reconcile::EXAMPLES)]
    Reconcile(Box<reconcile::ReconcileArgs>),
    /// Sign an order that a person pays in Alipay's app or on its page.
    #[command(after_help = sign::EXAMPLES)]
    Sign(Box<sign::SignArgs>),
    /// Explain Alipay's codes: the meaning, what is done, what to do.
    #[command(after_help = codes::EXAMPLES)]
    Codes(codes::CodesArgs),
    /// Print the schemas of jobs and events, and the AsyncAPI document.
    #[command(after_help = schema::EXAMPLES)]
    Schema(schema::SchemaArgs),
    /// Measure what a job costs on this machine.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command.
    #[command(after_help = man::EXAMPLES)]
    Man(man::ManArgs),
}

/// Reads the arguments of this process, does what they say, and returns the exit code.
#[must_use]
pub fn main() -> process::ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => match execute(cli) {
            Ok(code) => code,
            Err(failure) => {
                if let Some(message) = failure.message {
                    eprintln!("hongbaod: {message}");
                }
                failure.exit_code
            }
        },
        Err(error) => {
            // Help and version go to the standard output and are no mistakes.
            let code = if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
            // A closed pipe is all that can go wrong here, and then nobody reads about it.
            drop(error.print());
            code
        }
    };
    code.into()
}

fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    let named = cli.config.as_deref();
    match cli.command {
        Command::Run => block_on_one_thread(run::execute(named)),
        Command::Demo(args) => block_on(demo::execute(args)),
        Command::Sandbox(args) => block_on(sandbox::execute(args)),
        Command::Check(args) => block_on(check::execute(args, named)),
        Command::Health(args) => block_on_one_thread(health::execute(args, named)),
        Command::Submit(args) => block_on(submit::execute(*args, named)),
        Command::Watch(args) => block_on(watch::execute(args, named)),
        Command::Show(args) => block_on(show::execute(args, named)),
        Command::Pause(args) => block_on(pause::execute_pause(args, named)),
        Command::Resume(args) => block_on(pause::execute_resume(args, named)),
        Command::Resolve(args) => block_on(resolve::execute(args, named)),
        Command::List(args) => block_on(list::execute(args, named)),
        Command::Dead(args) => block_on(dead::execute(args, named)),
        Command::Audit(args) => audit::execute(&args, named),
        Command::Reconcile(args) => block_on(reconcile::execute(*args, named)),
        Command::Sign(args) => sign::execute(&args, named),
        Command::Codes(args) => codes::execute(&args, named),
        Command::Schema(args) => schema::execute(&args, named),
        Command::Bench(args) => block_on(bench::execute(args, named)),
        Command::Completions(args) => completions::execute(&args),
        Command::Man(args) => man::execute(&args),
    }
}

/// Runs a command to its end on a runtime of its own.
fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    run_on(&mut tokio::runtime::Builder::new_multi_thread(), command)
}

/// As [`block_on`], with one thread for all I/O.
///
/// With several, each event of a single job wakes a thread that finds nothing to do: at 300 jobs a
/// second this costs the daemon a fifth of its processor time. What fills more than one core at
/// many jobs is signing, and that has threads of its own.
fn block_on_one_thread(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    run_on(
        tokio::runtime::Builder::new_multi_thread().worker_threads(1),
        command,
    )
}

fn run_on(
    builder: &mut tokio::runtime::Builder,
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("start the runtime: {error}")))?;
    runtime.block_on(command)
}
