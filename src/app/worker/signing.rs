//! Drives an order that a person pays: signed, settled, told; nothing is called.

use tracing::error;

use crate::domain::entry::Entry;
use crate::domain::outcome::Resolution;
use crate::lifecycle::signing::{self, Signing};
use crate::ports::ledger::Versioned;

use super::Worker;
use super::case::{Case, Halt};
use super::deliver::HAND_BACK_PAUSE;

impl Worker {
    /// Works a delivery of an order to its end.
    pub(super) async fn work_order(&self, case: &Case<'_>) -> Result<(), Halt> {
        let mut state: Option<Versioned> = self.read(case.delivery, &case.key).await?;
        loop {
            let now = self.ports.clock.now();
            let entry: Option<&Entry> = state.as_ref().map(|versioned| &versioned.entry);
            let resolution = match signing::admit(entry, &case.job, case.fingerprint, now) {
                Signing::Sign => {
                    let signed = self.ports.gateway.sign_order(&case.job, &case.prepared);
                    let Some(order) = signed else {
                        // Nothing has happened, so it comes again: after a pause, and not for ever,
                        // for the broker counts.
                        error!(job.id = %case.key, "an order could not be signed; it is handed back");
                        self.wait_or_halt(case.delivery, HAND_BACK_PAUSE).await?;
                        return Err(Halt::HandBack);
                    };
                    Resolution::Signed(order)
                }
                Signing::Reject(rejection) => Resolution::Rejected(rejection),
                Signing::Announce(outcome) => {
                    self.metrics.duplicate(case.job.kind());
                    return self.announce_settled(case, *outcome).await;
                }
                Signing::Conflict => return self.announce_conflict(case).await,
                Signing::Park => {
                    self.park(case, state.as_ref()).await?;
                    return Ok(());
                }
            };
            let outcome = signing::outcome(&case.job, case.fingerprint, resolution, now);
            // Of two signatures the first that is written is the one that everybody tells.
            if self.settle(case, &mut state, outcome).await?.is_some() {
                return Ok(());
            }
        }
    }
}
