//! `hongbaod schema`: the contracts with producers and subscribers, for machines.

use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand};

use crate::app::contract::{self, Growth};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod schema job > job.schema.json
  hongbaod schema event > event.schema.json
  hongbaod schema event --strict          fails on what a later version may add
  hongbaod schema asyncapi                with the names of your configuration

To check jobs with the daemon's own words: hongbaod submit --file jobs.ndjson --dry-run";

/// The arguments of `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    document: Document,
}

#[derive(Debug, Subcommand)]
enum Document {
    /// The JSON Schema (2020-12) of jobs.
    #[command(after_help = "Examples:\n  hongbaod schema job > job.schema.json")]
    Job,
    /// The JSON Schema (2020-12) of outcome events.
    #[command(after_help = "Examples:\n  hongbaod schema event > event.schema.json")]
    Event {
        /// Refuse keys and words that this version does not write: for tests, not for consumers.
        #[arg(long)]
        strict: bool,
    },
    /// The AsyncAPI 3.0 document of exchanges, queues, headers and messages.
    #[command(after_help = "Examples:\n  hongbaod schema asyncapi > asyncapi.json")]
    Asyncapi,
}

pub(crate) fn execute(args: &SchemaArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let document = match args.document {
        Document::Job => contract::job_schema(),
        Document::Event { strict: false } => contract::event_schema(Growth::Borne),
        Document::Event { strict: true } => contract::event_schema(Growth::Refused),
        Document::Asyncapi => {
            let config = configuration::load_without_apps(named)?;
            contract::asyncapi(&config).map_err(|error| Failure::config(error.to_string()))?
        }
    };
    io::stdout().write_all(document.as_bytes())?;
    Ok(ExitCode::Done)
}
