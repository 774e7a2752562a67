//! `hongbaod health`: whether the daemon of this configuration is well, for container engines.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::app::config::Config;
use crate::app::health::{Health, Question, ask, reachable};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod health                          is the process alive? It asks /healthz
  hongbaod health --ready                  can it pay just now? It asks /readyz
  hongbaod health --ready --json
  hongbaod health --at 127.0.0.1:8089      is the sandbox there?

It asks the daemon at admin.listen of the configuration, on loopback if that is 0.0.0.0, and waits
two seconds at most. Nothing else of the configuration counts: no secret has to be readable, and no
server is called. Exit code 0: yes. 1: the daemon says no. 69: nobody answers.";

/// The arguments of `health`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a flag is given or it is not"
)]
pub(crate) struct HealthArgs {
    /// Ask here instead of at admin.listen, for example a sandbox; no configuration is read.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<SocketAddr>,

    /// Ask whether it is ready: connected, and no app blocked.
    #[arg(long)]
    ready: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn execute(args: HealthArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let listen = match args.at {
        Some(address) => address,
        None => {
            let file = configuration::file(named);
            Config::load_admin_listen(file.as_deref(), Config::environment())?
        }
    };
    let address = reachable(listen);
    let question = if args.ready {
        Question::Ready
    } else {
        Question::Healthy
    };
    let word = question.as_str();
    let (code, told, detail) = match ask(address, question).await {
        Health::Good => (ExitCode::Done, word.to_owned(), String::new()),
        Health::Bad(detail) => (ExitCode::Failed, format!("not {word}: {detail}"), detail),
        Health::Unreachable(detail) => {
            let told = format!("unreachable: {address}: {detail}");
            (ExitCode::Unreachable, told, detail)
        }
    };
    let mut stdout = io::stdout().lock();
    if args.json {
        let state = match code {
            ExitCode::Done => "good",
            ExitCode::Unreachable => "unreachable",
            ExitCode::Failed | ExitCode::Usage | ExitCode::Config => "bad",
        };
        let value = json!({
            "question": word,
            "state": state,
            "address": address.to_string(),
            "detail": detail,
        });
        writeln!(stdout, "{value}")?;
    } else {
        writeln!(stdout, "{told}")?;
    }
    Ok(code)
}
