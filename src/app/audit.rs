//! The audit log: every outcome and every operator's action as a line in a file that is only ever
//! appended to, each chained to the one before by its hash (`docs/audit.md`).
//!
//! A payment never waits for it and never fails by it: what is told of goes into a bounded queue,
//! and a thread of its own writes. What cannot be written is counted, and once something can be
//! written again the log says how much is missing. An operator's action is the other way round: it
//! is refused unless the log holds it.

pub mod chain;
pub mod files;
pub mod journal;
pub mod line;
#[cfg(test)]
mod memory;
pub mod operator;
mod settled;
mod who;
pub mod writer;

use std::sync::Arc;

use crate::adapters::audit_file::{AuditFile, AuditFileOptions, Sync};
use crate::app::audit::journal::Journal;
use crate::app::audit::writer::Writer;
use crate::app::config::{AuditConfig, AuditSync, Config};
use crate::app::metrics::Metrics;
use crate::ports::audit::AuditError;
use crate::ports::clock::Clock;

pub use crate::app::audit::operator::{Action, Begun, operator};

/// The log's file as the configuration says; `None` where it names none.
#[must_use]
pub fn file(config: &AuditConfig) -> Option<AuditFile> {
    let path = config.file.clone()?;
    let options = AuditFileOptions {
        path,
        keep: config.keep,
        sync: match config.sync {
            AuditSync::Batch => Sync::Batch,
            AuditSync::Never => Sync::Never,
        },
    };
    Some(AuditFile::new(options))
}

/// Whether the configured log could be appended to now, and is one, without making or changing
/// anything; `None` where none is configured, and within it whether the file is there.
pub fn look(config: &AuditConfig) -> Option<Result<bool, AuditError>> {
    let file = file(config)?;
    let looked = file.tail(journal::END_BYTES).and_then(|tail| match tail {
        Some((length, last)) => journal::judge(&last, length).map(|()| true),
        None => Ok(false),
    });
    Some(looked)
}

/// A journal over the configured file; `None` where none is configured.
fn journal(config: &AuditConfig) -> Option<Journal> {
    let file = file(config)?;
    let rotate_bytes = u64::from(config.rotate_bytes);
    Some(Journal::new(Box::new(file), who::replica(), rotate_bytes))
}

/// Starts writing outcomes to the configured log; `None` where none is configured. A disk that is
/// full is no reason not to start.
///
/// # Errors
///
/// [`AuditError`] when the file cannot be opened for appending, or is something else.
pub fn start(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Writer>>, AuditError> {
    let Some(mut journal) = journal(&config.audit) else {
        return Ok(None);
    };
    match journal.look() {
        Err(error) if error.is_misconfigured() => return Err(error),
        // The writer's thread tries again, and tells of it.
        Err(_) | Ok(()) => {}
    }
    let writer = Writer::start(journal, Arc::clone(clock), Arc::clone(metrics));
    Ok(Some(Arc::new(writer)))
}
