//! What an operator changes is written into the audit log, before it is done and again with its
//! result.

use std::future::Future;
use std::io::{self, Write as _};

use crate::app::audit::{Action, operator};
use crate::app::config::Config;
use crate::cli::failure::{Failure, with_causes};

/// Does `doing` once the log holds `action`; `told` says in words what came of it.
///
/// Where no log is configured it is just done.
///
/// # Errors
///
/// The log cannot be written: then nothing was done. That its result cannot be written any more is
/// said on the standard error alone, since it is done.
pub(crate) async fn audited<T>(
    config: &Config,
    action: &Action<'_>,
    doing: impl Future<Output = T>,
    told: impl FnOnce(&T) -> String,
) -> Result<T, Failure> {
    let begun = operator(config, action).map_err(|error| {
        let cause = with_causes(&error);
        Failure::failed(format!(
            "nothing was done, because the audit log cannot be written: {cause}"
        ))
    })?;
    let done = doing.await;
    if let Err(error) = begun.ended(&told(&done)) {
        let cause = with_causes(&error);
        writeln!(
            io::stderr(),
            "hongbaod: it is done, but the audit log does not say what came of it: {cause}"
        )?;
    }
    Ok(done)
}

/// The words for a result: `done`, or what went wrong.
pub(crate) fn result<T, E: std::error::Error>(done: &Result<T, E>) -> String {
    match done {
        Ok(_) => "done".to_owned(),
        Err(error) => with_causes(error),
    }
}
