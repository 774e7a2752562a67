//! `hongbaod completions`: a script that lets a shell complete the commands and their flags.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod completions bash > /etc/bash_completion.d/hongbaod
  hongbaod completions zsh > \"${fpath[1]}/_hongbaod\"
  hongbaod completions fish > ~/.config/fish/completions/hongbaod.fish";

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for.
    shell: Shell,
}

pub(crate) fn execute(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    // Made in memory first: the generator itself panics when the pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hongbaod", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::Done)
}
