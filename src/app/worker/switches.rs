//! What operators have paused: followed in every replica, and kept to where the calls are made.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::app::witness::Called;
use crate::domain::causes::with_causes;
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::switch::{SwitchKey, Thrown};
use crate::lifecycle::{Call, Lane};
use crate::pacing::{Admission, Applicant, PacedCall};
use crate::ports::ledger::LedgerError;
use crate::ports::switches::Switches;

use super::Worker;
use super::case::{Case, Halt};

/// How often the switches are looked at: one command for each look, and a pause is known everywhere
/// well within a second.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// How long a delivery of a paused kind keeps its place before it is put off. Jobs that are still in
/// their lane go on at once when the pause ends; and a backlog is moved to the retry ladder no faster
/// than one prefetch in so much time, about as fast as it would be worked.
const PLACE_KEPT: Duration = Duration::from_secs(1);

/// What is known of the switches.
#[derive(Default)]
pub(super) struct Panel {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    thrown: Thrown,
    last: Look,
}

/// How the last look ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Look {
    #[default]
    Answered,
    Failed,
}

impl Panel {
    fn locked(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts now, and the pauses that were forgotten: one that vanished was not ended by anybody,
/// for ending it leaves a trace.
fn kept(known: &Thrown, read: Thrown) -> (Thrown, Thrown) {
    let is_forgotten = |key: &SwitchKey| !read.contains_key(key);
    let forgotten: Thrown = known
        .iter()
        .filter(|(key, switch)| switch.is_paused() && is_forgotten(key))
        .map(|(key, switch)| (key.clone(), switch.clone()))
        .collect();
    let mut now = read;
    now.extend(forgotten.clone());
    (now, forgotten)
}

impl Worker {
    /// Learns what is paused before the first job is taken; what is not known yet must not be paid.
    pub(super) async fn learn_switches(&self, shutdown: &CancellationToken) {
        let Some(switches) = &self.ports.switches else {
            return;
        };
        let learn = async {
            while let Err(error) = self.look_at(&**switches).await {
                self.note_failed_look(&error);
                self.ports.clock.sleep(LOOK_PERIOD).await;
            }
        };
        if shutdown.run_until_cancelled(learn).await.is_some() {
            return;
        }
        // Stopped before it knows: what it still gets into its hands must not be paid either.
        for key in self.pacing.apps().flat_map(SwitchKey::of_app) {
            self.pacing.pause(key.app(), PacedCall::from(key.kind()));
        }
    }

    /// Follows the switches; while nobody can be asked, the last known state stays.
    pub(super) async fn follow_switches(&self) {
        let Some(switches) = &self.ports.switches else {
            return;
        };
        loop {
            self.ports.clock.sleep(LOOK_PERIOD).await;
            if let Err(error) = self.look_at(&**switches).await {
                self.note_failed_look(&error);
            }
        }
    }

    async fn look_at(&self, switches: &dyn Switches) -> Result<(), LedgerError> {
        let read = switches.thrown().await?;
        let (now, forgotten) = {
            let mut known = self.panel.locked();
            known.last = Look::Answered;
            let (now, forgotten) = kept(&known.thrown, read);
            known.thrown.clone_from(&now);
            (now, forgotten)
        };
        for app in self.pacing.apps() {
            for key in SwitchKey::of_app(app) {
                self.obey(&key, &now);
            }
        }
        for (key, switch) in &forgotten {
            warn!(app = %key.app(), kind = %key.kind(), "the ledger has forgotten a pause; it stays, and is written down again");
            switches.restore(key, switch).await?;
        }
        Ok(())
    }

    /// Tells pacing where a switch stands, and the log when it moves.
    fn obey(&self, key: &SwitchKey, now: &Thrown) {
        let (app, kind, call) = (key.app(), key.kind(), PacedCall::from(key.kind()));
        let switch = now.get(key);
        let was_paused = self.pacing.is_paused(app, call);
        match switch.filter(|switch| switch.is_paused()) {
            Some(switch) if !was_paused => {
                self.pacing.pause(app, call);
                let reason = switch.reason.as_ref().map(|reason| reason.as_str());
                warn!(%app, %kind, by = switch.by.as_str(), reason, "paused by an operator: no such call is made until it is resumed");
            }
            None if was_paused => {
                self.pacing.resume(app, call);
                let by = switch.map(|switch| switch.by.as_str());
                info!(%app, %kind, by, "resumed by an operator");
            }
            Some(_) | None => {}
        }
    }

    fn note_failed_look(&self, error: &LedgerError) {
        let before = std::mem::replace(&mut self.panel.locked().last, Look::Failed);
        match before {
            Look::Answered => {
                warn!(error = %with_causes(error), "what is paused cannot be read; what was known last stays");
            }
            Look::Failed => debug!(error = %with_causes(error), "what is paused cannot be read"),
        }
    }

    /// Whether an operator has paused the calls that move money for these jobs.
    pub(super) fn is_paused(&self, app: &AppName, kind: Kind) -> bool {
        self.pacing.is_paused(app, PacedCall::from(kind))
    }

    /// Keeps a delivery of a paused kind in its place for a moment, should the pause just end. It
    /// holds no lease and no permit.
    pub(super) async fn wait_out_pause(&self, case: &Case<'_>) -> Result<(), Halt> {
        let (app, call) = (&case.job.app, PacedCall::from(case.job.kind()));
        if !self.pacing.is_paused(app, call) {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.pacing.resumed(app, call) => Ok(()),
            waited = self.wait_or_halt(case.delivery, PLACE_KEPT) => waited,
        }
    }

    /// Asks for a permit for the query that a job of a paused kind needs; what is only put off needs
    /// none, and takes none from those who ask.
    pub(super) async fn lane_for_query(&self, case: &mut Case<'_>) -> Result<Lane, Halt> {
        let applicant = Applicant {
            call: PacedCall::Query,
            ..self.applicant(case)
        };
        match self
            .admission(case.delivery, &case.job.app, applicant)
            .await?
        {
            Admission::Open(permit) => {
                self.keep(case, permit, applicant);
                Ok(self.lane_with_permit(case))
            }
            Admission::Closed { .. } => Ok(Lane::Closed),
        }
    }

    /// The lane of a job that holds a permit.
    pub(super) fn lane_with_permit(&self, case: &Case<'_>) -> Lane {
        if self.is_paused(&case.job.app, case.job.kind()) {
            Lane::Paused
        } else {
            Lane::Open
        }
    }

    /// Whether a call must not be made, although it was about to be: right before its first byte.
    pub(super) fn withholds(&self, case: &Case<'_>, call: Call) -> bool {
        match called(call) {
            Called::Send => self.is_paused(&case.job.app, case.job.kind()),
            Called::Query => false,
        }
    }
}

/// Whether a call moves money or reads.
pub(super) const fn called(call: Call) -> Called {
    match call {
        Call::Send => Called::Send,
        Call::Query | Call::QueryOnce | Call::QueryExpired | Call::QueryOverBudget => Called::Query,
    }
}

#[cfg(test)]
mod tests {
    use super::kept;
    use crate::domain::ident::{AppName, Caption};
    use crate::domain::job::Kind;
    use crate::domain::switch::{Position, Switch, SwitchKey, Thrown};
    use crate::domain::time::UnixMillis;

    fn thrown(switches: &[(Kind, Position)]) -> Thrown {
        let app = AppName::new("main").unwrap();
        let switch = |(kind, position): &(Kind, Position)| {
            let switch = Switch {
                position: *position,
                at: UnixMillis(1),
                by: Caption::new("ops").unwrap(),
                reason: None,
            };
            (SwitchKey::new(app.clone(), *kind).unwrap(), switch)
        };
        switches.iter().map(switch).collect()
    }

    #[test]
    fn a_pause_that_vanished_is_kept_and_one_that_was_ended_is_not() {
        use Position::{Paused, Running};
        let (none, paused) = (thrown(&[]), thrown(&[(Kind::Disburse, Paused)]));
        let running = thrown(&[(Kind::Disburse, Running)]);
        let other = thrown(&[(Kind::Refund, Paused)]);
        let both = thrown(&[(Kind::Disburse, Paused), (Kind::Refund, Paused)]);
        for (known, read, now, forgotten) in [
            (&none, &none, &none, &none),
            (&none, &paused, &paused, &none),
            (&paused, &paused, &paused, &none),
            (&paused, &running, &running, &none),
            (&paused, &none, &paused, &paused),
            (&paused, &other, &both, &paused),
            (&running, &none, &none, &none),
            (&running, &paused, &paused, &none),
        ] {
            let told = kept(known, read.clone());
            assert_eq!(told, (now.clone(), forgotten.clone()), "{known:?} {read:?}");
        }
    }
}
