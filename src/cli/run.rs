//! `hongbaod run`: the daemon.

use std::path::Path;

use crate::app::admin_server::AdminServerError;
use crate::app::assembly::StartError;
use crate::app::client::{is_misconfigured, is_unreachable};
use crate::app::notify_server::NotifyServerError;
use crate::app::trace::Spans;
use crate::app::{daemon, logging, remedy};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod run
  hongbaod run --config /etc/hongbaod.toml
  HONGBAOD__LOG__FORMAT=text hongbaod run

SIGTERM or Ctrl-C stops taking jobs, finishes what is in flight within shutdown.grace, and ends
with exit code 0; a second signal ends at once. `hongbaod check` tells beforehand what is wrong.";

pub(crate) async fn execute(named: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = configuration::load(named)?;
    let spans = Spans::new(&config.trace).map_err(|error| Failure::config(with_causes(&error)))?;
    logging::init(config.log, spans.layer())
        .map_err(|error| Failure::failed(with_causes(&error)))?;
    let ended = daemon::run(config).await;
    spans.close().await;
    match ended {
        Ok(()) => Ok(ExitCode::Done),
        Err(error) => Err(failure(&error)),
    }
}

/// Sorts why the daemon did not start: what to repair, what to wait for, and the rest.
fn failure(error: &anyhow::Error) -> Failure {
    let mut message = with_causes(&**error);
    if let Some(remedy) = error.chain().find_map(remedy::of) {
        message = format!("{message}; {remedy}");
    }
    if error.is::<AdminServerError>() || error.is::<NotifyServerError>() {
        return Failure::config(message);
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::Config(problems)) => Failure::from(problems.clone()),
        Some(StartError::Server { source, .. }) if is_unreachable(source.as_ref()) => {
            Failure::unreachable(message)
        }
        Some(StartError::Server { source, .. }) if is_misconfigured(source.as_ref()) => {
            Failure::config(message)
        }
        Some(StartError::Server { .. }) | None => Failure::failed(message),
    }
}
