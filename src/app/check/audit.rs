//! The audit log's file, where one is configured.

use crate::app::audit;
use crate::app::check::{Row, State};
use crate::app::config::Config;

/// Whether the log could be appended to. A log that is not there yet is not made: nothing is changed here.
pub(super) fn check(config: &Config) -> Option<Row> {
    let looked = audit::look(&config.audit)?;
    let file = config.audit.file.as_deref()?;
    let row = |state, detail: String| Row::new("audit", file.display().to_string(), state, detail);
    Some(match looked {
        Ok(true) => row(State::Ok, "goes on at its last line".to_owned()),
        Ok(false) => row(State::Ok, "begins with the first start".to_owned()),
        Err(error) if error.is_misconfigured() => {
            let remedy =
                "name a file that this user may append to, in a directory that is there".to_owned();
            let problem = config.problem("audit.file", error.with_cause(), remedy);
            row(State::Mistake, problem.to_string())
        }
        Err(error) => row(State::Failed, error.with_cause()),
    })
}
