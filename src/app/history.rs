//! Writes down the calls of jobs that needed more than one good call, beside the worker.
//!
//! A job that succeeds at its first call costs nothing here: neither a command nor a byte. Nobody
//! waits for a note; when they come faster than they can be written, or there is nobody to write
//! them, they are dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;

use crate::app::metrics::Metrics;
use crate::app::witness::{Attempt, Called, Settling, Witness};
use crate::domain::job::JobKey;
use crate::domain::time::millis;
use crate::ports::history::{CallKind, History, HistoryError, PastCall, PastVerdict};

/// So many notes wait at most; each has a few hundred bytes.
const WAITING_MAX: usize = 4_096;

/// How long the calls of a settled job are kept: long enough to look into what went wrong at night.
pub const SETTLED_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes notes for the history. When the last one of them is dropped, the task behind it ends.
pub struct HistoryWriter {
    notes: mpsc::Sender<Note>,
    metrics: Arc<Metrics>,
    replica: String,
}

enum Note {
    Called(JobKey, PastCall),
    Settled(JobKey),
}

impl HistoryWriter {
    /// Starts the task that writes to `history`; calls of an unsettled job are kept for
    /// `unsettled_life` after the newest. `replica` is the name of this process.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn start(
        history: Arc<dyn History>,
        metrics: Arc<Metrics>,
        replica: String,
        unsettled_life: Duration,
    ) -> Arc<Self> {
        let (notes, mut waiting) = mpsc::channel(WAITING_MAX);
        let counted = Arc::clone(&metrics);
        tokio::spawn(async move {
            while let Some(note) = waiting.recv().await {
                let written = write(&*history, &note, unsettled_life).await;
                if let Err(error) = written {
                    let error: &dyn std::error::Error = &error;
                    debug!(error, "a note of a job's history was lost");
                    counted.history_dropped();
                }
            }
        });
        Arc::new(Self {
            notes,
            metrics,
            replica,
        })
    }

    fn take(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.metrics.history_dropped();
        }
    }
}

async fn write(
    history: &dyn History,
    note: &Note,
    unsettled_life: Duration,
) -> Result<(), HistoryError> {
    match note {
        Note::Called(key, call) => history.note(key, call, unsettled_life).await,
        Note::Settled(key) => history.keep(key, SETTLED_LIFE).await,
    }
}

impl Witness for HistoryWriter {
    fn attempted(&self, attempt: &Attempt<'_>) {
        let Some(verdict) = PastVerdict::of_word(attempt.verdict) else {
            return;
        };
        if attempt.number <= 1 && verdict == PastVerdict::Succeeded {
            return;
        }
        let call = PastCall {
            number: attempt.number,
            call: match attempt.call {
                Called::Send => CallKind::Send,
                Called::Query => CallKind::Query,
            },
            verdict,
            code: attempt.code.map(str::to_owned),
            sub_code: attempt.sub_code.map(str::to_owned),
            at: attempt.at,
            duration_ms: millis(attempt.duration),
            replica: self.replica.clone(),
        };
        self.take(Note::Called(attempt.key.clone(), call));
    }

    fn settled(&self, settling: &Settling<'_>) {
        let outcome = settling.outcome;
        // Nothing was noted of it, so that nothing has to be shortened.
        let at_once =
            outcome.attempts == 1 && outcome.resolution.is_success() && settling.took.is_some();
        if outcome.attempts > 0 && !at_once {
            self.take(Note::Settled(settling.key.clone()));
        }
    }
}
