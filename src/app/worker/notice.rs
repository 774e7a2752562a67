//! What a verified notification leads to: ledger, then event with confirm, then `success` to Alipay
//! (rule 16).
//!
//! Nothing is waited for here: where a server gives no answer the notice is given up, and Alipay
//! repeats it. What was begun by then is marked, so that the repetition finishes it.

mod turns;

use std::time::Duration;

use tracing::{debug, error};

use crate::app::outcome_event;
use crate::domain::causes::with_causes;
use crate::domain::entry::{Entry, ReturnAddress};
use crate::domain::job::JobKey;
use crate::domain::notice::{Mark, Notice};
use crate::domain::outcome::{Announcement, Outcome};
use crate::lifecycle::notice::{Heard, hear};
use crate::ports::broker::PublishError;
use crate::ports::ledger::{LedgerError, Versioned, Written};

pub(super) use self::turns::Turns;
use super::Worker;

/// How long a notice may take in all. Alipay's own limit is not known; its answer is due "at once".
const NOTICE_TIME_MAX: Duration = Duration::from_secs(8);

/// How often the entry may change under a notice; each change is another step of one job.
const LOOKS_MAX: u32 = 8;

/// What became of a notice that is dealt with for good: Alipay may forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noted {
    /// It settled a job, whose event was confirmed.
    Settled,
    /// No job asked for it; its own event was confirmed.
    Told,
    /// It was told before, or the job itself tells it.
    Known,
    /// It contradicts a settled outcome; that was said.
    Contradicted,
    /// It is not final, or a job's own query has the word on it.
    NothingToTell,
}

/// Why a notice is not dealt with: Alipay shall repeat it.
#[derive(Debug, thiserror::Error)]
pub enum Unnoted {
    /// Whose it is will be known later: the ledger may have forgotten the job that asked for it, or
    /// an unsettled job has its numbers and other content.
    #[error("it is not known yet whose it is")]
    Doubtful,
    /// The ledger gave no answer.
    #[error("write it down")]
    Ledger(#[source] LedgerError),
    /// Its event was not confirmed.
    #[error("tell it")]
    Broker(#[source] PublishError),
    /// It took too long, or the daemon stops.
    #[error("it took too long")]
    TimedOut,
}

impl Worker {
    /// Does what a notice means, within a bounded time. `Ok` only once everything is durable.
    ///
    /// # Errors
    ///
    /// [`Unnoted`]; nothing is lost, for the same notice may come again.
    pub async fn note(&self, notice: &Notice) -> Result<Noted, Unnoted> {
        let work = async {
            // Two copies at once would both find that nothing is told yet.
            let _turn = self.notices.turn(notice.key()).await;
            self.note_alone(notice).await
        };
        let noted = tokio::select! {
            biased;
            noted = work => noted,
            () = self.ports.clock.sleep(NOTICE_TIME_MAX) => Err(Unnoted::TimedOut),
            () = self.aborted.cancelled() => Err(Unnoted::TimedOut),
        };
        match &noted {
            Ok(noted) => debug!(notice.id = %notice.key(), ?noted, "a notification is dealt with"),
            // An unreadable value is for a person; the others pass.
            Err(Unnoted::Ledger(error @ LedgerError::Unreadable { .. })) => {
                error!(notice.id = %notice.key(), error = %with_causes(error), "a notification meets a ledger's value that cannot be read");
            }
            Err(error) => {
                debug!(notice.id = %notice.key(), error = %with_causes(error), "a notification must be repeated");
            }
        }
        noted
    }

    async fn note_alone(&self, notice: &Notice) -> Result<Noted, Unnoted> {
        let ledger = &self.ports.ledger;
        let mark = ledger.mark(notice.key()).await.map_err(Unnoted::Ledger)?;
        if mark == Some(Mark::Told) {
            return Ok(Noted::Known);
        }
        let number = notice.operation().out_request_no.clone();
        let key = number.map(|out_request_no| JobKey {
            app: notice.key().app.clone(),
            out_request_no,
        });
        let mut state = match &key {
            Some(key) => ledger.read(key).await.map_err(Unnoted::Ledger)?,
            None => None,
        };
        for _ in 0..LOOKS_MAX {
            let entry = state.as_ref().map(|versioned| &versioned.entry);
            let heard = hear(entry, notice, &self.context());
            let outcome = match (heard, &key) {
                (Heard::Settle(outcome), Some(key)) => {
                    let settling = self.settle_by(notice, key, state.as_ref(), *outcome);
                    let Some(changed) = settling.await? else {
                        return Ok(Noted::Settled);
                    };
                    state = Some(changed);
                    continue;
                }
                (Heard::Known(outcome), Some(key)) => {
                    // Whoever began it may have ended before the event: nobody else need tell it.
                    if mark == Some(Mark::Begun) {
                        let said = settled(key, *outcome);
                        self.tell(notice, &said, &ReturnAddress::default()).await?;
                    }
                    return Ok(Noted::Known);
                }
                (Heard::Contradict { outcome, evidence }, Some(key)) => {
                    self.contradict_by(notice, key, *outcome, evidence).await?;
                    return Ok(Noted::Contradicted);
                }
                (Heard::Tell { telling, against }, _) => {
                    if let Some(evidence) = against {
                        error!(notice.id = %notice.key(), evidence, "an order is contradicted; a person must look");
                        self.metrics.contradicted();
                    }
                    let said = Announcement::Notified {
                        told: telling,
                        at: self.ports.clock.now(),
                    };
                    self.tell(notice, &said, &ReturnAddress::default()).await?;
                    Ok(Noted::Told)
                }
                (Heard::Repeat, _) => Err(Unnoted::Doubtful),
                // Without a number there is no entry, and so nothing of a job to settle.
                (Heard::Nothing, _)
                | (Heard::Settle(_) | Heard::Known(_) | Heard::Contradict { .. }, None) => {
                    Ok(Noted::NothingToTell)
                }
            };
            return outcome;
        }
        Err(Unnoted::TimedOut)
    }

    /// Settles the job by the notice. `Some` with what is there when the entry has changed.
    async fn settle_by(
        &self,
        notice: &Notice,
        key: &JobKey,
        state: Option<&Versioned>,
        outcome: Outcome,
    ) -> Result<Option<Versioned>, Unnoted> {
        let old = state.ok_or(Unnoted::Doubtful)?;
        let ledger = &self.ports.ledger;
        // Marked before it is settled: a crash in between leaves a mark without a settling, which
        // repeats an event at worst; the other way round nobody would know that it is to be told.
        let begun = ledger.set_mark(notice.key(), Mark::Begun).await;
        begun.map_err(Unnoted::Ledger)?;
        let new = Entry::Settled(outcome.clone());
        let written = ledger.replace(key, &old.revision, &new).await;
        match written.map_err(Unnoted::Ledger)? {
            Written::Stored(_) => {}
            Written::Found(found) => return Ok(Some(*found)),
            // What vanished may have been forgotten, by a ledger that has not noticed it yet.
            Written::Vanished => return Err(Unnoted::Doubtful),
        }
        self.note_settled(key, &outcome, None);
        let pending = old.entry.pending();
        let owner = pending.map(|pending| pending.return_address.clone());
        let said = settled(key, outcome);
        self.tell(notice, &said, &owner.unwrap_or_default()).await?;
        Ok(None)
    }

    /// Rule 9: the outcome stands, and what speaks against it is said.
    async fn contradict_by(
        &self,
        notice: &Notice,
        key: &JobKey,
        outcome: Outcome,
        evidence: &'static str,
    ) -> Result<(), Unnoted> {
        let standing = outcome.resolution.as_str();
        error!(job.id = %key, evidence, settled = standing, "an outcome is contradicted; a person must look");
        self.metrics.contradicted();
        let said = Announcement::Contradicted {
            key: key.clone(),
            outcome,
            evidence,
            at: self.ports.clock.now(),
        };
        self.tell(notice, &said, &ReturnAddress::default()).await
    }

    /// Publishes the event, once, and then remembers that it was confirmed.
    async fn tell(
        &self,
        notice: &Notice,
        said: &Announcement,
        address: &ReturnAddress,
    ) -> Result<(), Unnoted> {
        let broker = &self.ports.broker;
        let event = outcome_event::encode(said, address.traceparent.as_deref());
        broker
            .publish_event(&event)
            .await
            .map_err(Unnoted::Broker)?;
        if address.reply_to.is_some() {
            match broker.publish_reply(&event, address).await {
                // Nobody waits any more, or nobody reads.
                Ok(()) | Err(PublishError::Unroutable { .. } | PublishError::Refused) => {}
                Err(error @ PublishError::Unavailable(_)) => return Err(Unnoted::Broker(error)),
            }
        }
        let told = self.ports.ledger.set_mark(notice.key(), Mark::Told).await;
        told.map_err(Unnoted::Ledger)
    }
}

fn settled(key: &JobKey, outcome: Outcome) -> Announcement {
    Announcement::Settled {
        key: key.clone(),
        outcome,
    }
}
