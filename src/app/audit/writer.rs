//! The thread that writes outcomes to the log, and the queue before it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::app::audit::journal::Journal;
use crate::app::audit::line::{Record, What};
use crate::app::audit::settled;
use crate::app::build_info;
use crate::app::metrics::Metrics;
use crate::app::witness::{Settling, Witness};
use crate::ports::audit::AuditError;
use crate::ports::clock::Clock;

/// How many outcomes wait for the writer at most: half a minute of a burst of 300 a second. One
/// takes about 500 bytes.
pub const QUEUE_MAX: usize = 10_000;

/// How many of them are written together at most.
const BATCH_MAX: usize = 1_000;

/// How long the first of a batch waits for company: together they are one write and one `fsync`.
const GATHER: Duration = Duration::from_millis(50);

/// How long a batch that could not be written waits.
const RETRY: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the last lines.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Takes outcomes and never blocks.
pub struct Writer {
    queue: SyncSender<Note>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    ended: CancellationToken,
}

enum Note {
    Record(Record),
    Close,
}

struct Shared {
    metrics: Arc<Metrics>,
    /// Outcomes that found the queue full and of which the log does not tell yet.
    lost: AtomicU64,
    /// No new attempts after a failed one.
    closing: AtomicBool,
}

impl Writer {
    /// Starts the thread.
    #[must_use]
    pub fn start(journal: Journal, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (queue, notes) = sync_channel(QUEUE_MAX);
        let ended = CancellationToken::new();
        let end = ended.clone();
        let shared = Arc::new(Shared {
            metrics,
            lost: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let work = Work {
            journal,
            notes,
            clock: Arc::clone(&clock),
            shared: Arc::clone(&shared),
            batch: VecDeque::new(),
            standing: Standing::Writing,
        };
        let spawned = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                // Also when the work ends by a panic.
                let _end = end.drop_guard();
                work.run();
            });
        if let Err(error) = spawned {
            // Without a thread every outcome finds the queue's end closed, and counts as lost.
            error!(error = %error, "the audit log has no thread and is not written");
            ended.cancel();
        }
        Self {
            queue,
            shared,
            clock,
            ended,
        }
    }

    /// Writes what is left and ends the thread, within five seconds.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        // A full queue is being written, and its end is seen by the flag.
        drop(self.queue.try_send(Note::Close));
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = self.clock.sleep(CLOSE_MAX) => {
                error!("the last lines of the audit log were not written in time");
            }
        }
    }
}

impl Witness for Writer {
    fn settled(&self, settling: &Settling<'_>) {
        let record = settled::record(settling);
        if self.queue.try_send(Note::Record(record)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::AcqRel);
            self.shared.metrics.audit_lost(1);
        }
    }
}

/// How the last attempt to write went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Writing,
    Failing,
}

/// The thread's own.
struct Work {
    journal: Journal,
    notes: Receiver<Note>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// What is to be written next, the oldest first.
    batch: VecDeque<Record>,
    standing: Standing,
}

/// Whether there may be more to come.
#[derive(PartialEq, Eq)]
enum Gathered {
    More,
    Last,
}

/// Whether the batch is written.
#[derive(PartialEq, Eq)]
enum Flushed {
    All,
    Never,
}

impl Work {
    fn run(mut self) {
        self.own(What::Opened, &json!({"version": build_info::VERSION}));
        // At once, so that a log that cannot be written is told of at the start.
        let mut flushed = self.flush();
        while flushed == Flushed::All {
            let gathered = self.gather();
            flushed = self.flush();
            if gathered == Gathered::Last && flushed == Flushed::All {
                self.own(What::Closed, &json!({}));
                flushed = self.flush();
                break;
            }
        }
        if flushed == Flushed::Never {
            self.give_up();
        }
    }

    /// Waits for a record, then a little for others.
    fn gather(&mut self) -> Gathered {
        let shared = Arc::clone(&self.shared);
        let is_closing = || shared.closing.load(Ordering::Acquire);
        // At the end nothing more comes, and the note of it may have found the queue full.
        if is_closing() {
            return self.take_queued();
        }
        match self.notes.recv() {
            Ok(Note::Record(record)) => self.batch.push_back(record),
            Ok(Note::Close) | Err(_) => return Gathered::Last,
        }
        if !is_closing() {
            thread::sleep(GATHER);
        }
        match self.take_queued() {
            Gathered::Last if is_closing() => Gathered::Last,
            Gathered::Last | Gathered::More => Gathered::More,
        }
    }

    /// Takes what is queued, as much as is written together: [`Gathered::Last`] when that is all.
    fn take_queued(&mut self) -> Gathered {
        while self.batch.len() < BATCH_MAX {
            match self.notes.try_recv() {
                Ok(Note::Record(record)) => self.batch.push_back(record),
                Ok(Note::Close) | Err(TryRecvError::Disconnected | TryRecvError::Empty) => {
                    return Gathered::Last;
                }
            }
        }
        Gathered::More
    }

    /// Writes the batch, however long it takes, unless the process ends.
    fn flush(&mut self) -> Flushed {
        while !self.batch.is_empty() {
            self.write();
            if self.standing == Standing::Writing {
                continue;
            }
            if self.shared.closing.load(Ordering::Acquire) {
                return Flushed::Never;
            }
            thread::sleep(RETRY);
        }
        Flushed::All
    }

    fn own(&mut self, what: What, data: &serde_json::Value) {
        let record = Record::new(self.clock.now(), what, data);
        self.batch.push_back(record);
    }

    /// Tries once. What was lost until now is told of behind what was queued before it.
    fn write(&mut self) {
        let now = self.clock.now();
        let lost = self.shared.lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            let data = json!({"lost": lost, "reason": "queue_full"});
            self.batch.push_back(Record::new(now, What::Gap, &data));
        }
        let before = self.batch.len();
        let done = self.journal.append(now, &mut self.batch);
        let written = before.saturating_sub(self.batch.len());
        if lost > 0 && self.batch.pop_back().is_some() {
            // Told of by the next attempt, together with what is lost until then.
            self.shared.lost.fetch_add(lost, Ordering::AcqRel);
        }
        self.shared.metrics.audit_written(written);
        match (done, self.standing) {
            (Ok(_), Standing::Writing) => {}
            (Ok(_), Standing::Failing) => {
                info!("the audit log is written again");
                self.stand(Standing::Writing);
            }
            // There, but perhaps not on the disk: writing it again would repeat it.
            (Err(AuditError::Sync(error)), _) => {
                warn!(error = %error, "the audit log is written, but not for certain on the disk");
            }
            (Err(error), Standing::Writing) => {
                error!(
                    error = error.with_cause(),
                    waiting = self.batch.len(),
                    "the audit log cannot be written; payments go on, and it is tried again"
                );
                self.stand(Standing::Failing);
            }
            (Err(_), Standing::Failing) => {}
        }
    }

    fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.shared.metrics.set_audit_failing(match standing {
            Standing::Writing => 0,
            Standing::Failing => 1,
        });
    }

    /// The process ends and the log cannot be written.
    fn give_up(self) {
        let queued = self.notes.try_iter();
        let left = queued
            .filter(|note| matches!(note, Note::Record(_)))
            .count();
        let lost = left.saturating_add(self.batch.len());
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        self.shared.metrics.audit_lost(lost);
        error!(lost, "the audit log could not be written to the end");
    }
}

#[cfg(test)]
mod tests;
