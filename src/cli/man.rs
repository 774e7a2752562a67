//! `hongbaod man`: manual pages, made of the same definitions as the help.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod man | man -l -
  hongbaod man --dir /usr/local/share/man/man1";

/// The arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory: hongbaod.1, hongbaod-run.1, …
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn execute(args: &ManArgs) -> Result<ExitCode, Failure> {
    match &args.dir {
        None => {
            // Made in memory first: whoever closes the pipe is no mistake.
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            io::stdout().write_all(&page)?;
        }
        Some(directory) => {
            let written = fs::create_dir_all(directory);
            let written =
                written.and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
            written.map_err(|error| {
                Failure::failed(format!("write into {}: {error}", directory.display()))
            })?;
        }
    }
    Ok(ExitCode::Done)
}
