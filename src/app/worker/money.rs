//! Drives a money job through the lifecycle.

use tracing::{debug, error};

use crate::app::digest::fingerprint;
use crate::domain::entry::{Entry, InFlight};
use crate::domain::job::{MoneyJob, MoneyRequest};
use crate::domain::time::Monotonic;
use crate::lifecycle::{
    Answer, Answered, Arrival, Call, Context, Delivered, Event, Lane, Memory, Transition, Withheld,
    step,
};
use crate::pacing::Further;
use crate::ports::broker::Delivery;
use crate::ports::ledger::Versioned;

use super::Worker;
use super::calls::Came;
use super::case::{Case, Grip, Halt};
use super::ledger_access::Write;

/// What came of one look at a job.
pub(super) enum Turn {
    /// Acknowledged.
    Done,
    /// Look again; the delivery now counts as redelivered.
    StartOver,
}

impl Worker {
    pub(super) async fn work_money(
        &self,
        delivery: &Delivery,
        job: MoneyJob,
        received_at: Monotonic,
    ) -> Result<(), Halt> {
        let Some(prepared) = self.ports.gateway.prepare(&job) else {
            return Err(Halt::Unreadable(format!(
                "app {} is not configured",
                job.app
            )));
        };
        let party = self.fairness.party(&job);
        // Held until the work is over.
        let place = self.fairness.enter(delivery.lane(), party);
        let mut case = Case {
            delivery,
            key: job.key(),
            fingerprint: fingerprint(&job),
            prepared,
            job,
            received_at,
            arrival: if delivery.redelivered {
                Arrival::Again
            } else {
                Arrival::First
            },
            party,
            permit: None,
            token: None,
        };
        if let MoneyRequest::Order { .. } = case.job.request {
            return self.work_order(&case).await;
        }
        let leaves = place
            .as_ref()
            .is_some_and(|place| self.steps_aside(&mut case, place));
        if leaves {
            // Whoever is on the way out takes no room from those who stay.
            drop(place);
            return self.set_aside(&case).await;
        }
        loop {
            match self.turn(&mut case).await? {
                Turn::Done => return Ok(()),
                Turn::StartOver => {
                    case.arrival = Arrival::Again;
                    // It queues again before it claims again: a job that waits holds no lease.
                    case.permit = None;
                }
            }
        }
    }

    /// One look: what the delivery finds, and what is done with it.
    async fn turn(&self, case: &mut Case<'_>) -> Result<Turn, Halt> {
        // The permit comes before the claim: a job that waits holds no lease.
        let mut lane = self.lane(case).await?;
        let mut state: Option<Versioned> = None;
        let mut looked = false;
        loop {
            let grip = self.offer();
            let context = self.context();
            let transition = self.admit(case, state.as_ref(), (lane, &grip), &context);
            match transition {
                // Of a paused kind: what is there tells whether it is yet to be asked about.
                _ if !looked && case.permit.is_none() => {
                    state = self.read(case.delivery, &case.key).await?
                }
                Transition::Claim { .. } if case.permit.is_none() => {
                    lane = self.lane_for_query(case).await?;
                    continue;
                }
                Transition::Claim { entry, call } => {
                    match self
                        .write(
                            case.delivery,
                            &case.key,
                            state.as_ref(),
                            Entry::InFlight(*entry),
                        )
                        .await?
                    {
                        // Rule 5: the memory may have been lost between the look and the write.
                        Write::Stored(_)
                            if context.memory == Memory::Sound
                                && self.context().memory == Memory::Doubtful =>
                        {
                            return Ok(Turn::StartOver);
                        }
                        Write::Stored(stored) => return self.hold(case, stored, grip, call).await,
                        // Rule 5: what was there a moment ago may have been sent, although nothing
                        // tells of it any more.
                        Write::Other(None) if state.is_some() => return Ok(Turn::StartOver),
                        Write::Other(other) => state = other,
                    }
                }
                // Only a claim may be written blindly, because it takes nothing that is there;
                // everything else is decided on what the ledger holds.
                _ if !looked && state.is_none() => {
                    state = self.read(case.delivery, &case.key).await?
                }
                Transition::Announce(outcome) => {
                    self.metrics.duplicate(case.job.kind());
                    self.announce_settled(case, *outcome).await?;
                    return Ok(Turn::Done);
                }
                Transition::Defer(deferral) => {
                    return Box::pin(self.defer(case, state, *deferral)).await;
                }
                Transition::Park => return self.park(case, state.as_ref()).await,
                Transition::Drop => {
                    self.metrics.duplicate(case.job.kind());
                    self.acknowledge(case.delivery).await;
                    return Ok(Turn::Done);
                }
                Transition::Conflict(_) => {
                    self.announce_conflict(case).await?;
                    return Ok(Turn::Done);
                }
                other @ (Transition::Call { .. }
                | Transition::Settle(_)
                | Transition::Contradict { .. }
                | Transition::StartOver
                | Transition::Rescue(_)
                | Transition::GiveToOperators(_)
                | Transition::Refuse(_)) => return Ok(self.impossible(case, &other)),
            }
            looked = true;
        }
    }

    fn admit(
        &self,
        case: &Case<'_>,
        state: Option<&Versioned>,
        (lane, grip): (Lane, &Grip),
        context: &Context<'_>,
    ) -> Transition {
        let delivered = Delivered {
            job: &case.job,
            fingerprint: case.fingerprint,
            return_address: &case.delivery.return_address,
            ticket: case.delivery.ticket,
            arrival: case.arrival,
            lane,
            lease: grip.lease,
            digest: case.prepared.digest,
        };
        let entry = state.map(|versioned| &versioned.entry);
        step(entry, Event::Delivered(&delivered), context)
    }

    /// Calls Alipay under the lease until there is a word, and does what it means.
    async fn hold(
        &self,
        case: &mut Case<'_>,
        stored: Versioned,
        mut grip: Grip,
        mut call: Call,
    ) -> Result<Turn, Halt> {
        let Entry::InFlight(mut held) = stored.entry.clone() else {
            return Ok(Turn::StartOver);
        };
        let mut state = Some(stored);
        loop {
            let Some(came) = self
                .attempt(case, &mut state, &mut held, (&mut grip, call))
                .await?
            else {
                return Ok(Turn::StartOver);
            };
            loop {
                let transition = self.judge(case, state.as_ref(), (&held, call, &came), &grip);
                match transition {
                    Transition::Call {
                        held: learnt,
                        call: next,
                    } => {
                        held = *learnt;
                        call = next;
                        break;
                    }
                    Transition::Settle(outcome) => {
                        if let Some(turn) = self.settle(case, &mut state, *outcome).await? {
                            return Ok(turn);
                        }
                    }
                    Transition::Defer(deferral) => {
                        return Box::pin(self.defer(case, state, *deferral)).await;
                    }
                    Transition::Conflict(vacate) => {
                        return self.conflict(case, state.as_ref(), vacate).await;
                    }
                    Transition::Announce(outcome) => {
                        self.announce_settled(case, *outcome).await?;
                        return Ok(Turn::Done);
                    }
                    Transition::Contradict { outcome, evidence } => {
                        self.contradict(case, *outcome, evidence).await?;
                        return Ok(Turn::Done);
                    }
                    Transition::StartOver => {
                        self.note_unheard(case, &came);
                        return Ok(Turn::StartOver);
                    }
                    other @ (Transition::Claim { .. }
                    | Transition::Park
                    | Transition::Drop
                    | Transition::Rescue(_)
                    | Transition::GiveToOperators(_)
                    | Transition::Refuse(_)) => return Ok(self.impossible(case, &other)),
                }
            }
        }
    }

    /// Makes one call, unless it must not be made; `None` when the lease is over.
    async fn attempt(
        &self,
        case: &mut Case<'_>,
        state: &mut Option<Versioned>,
        held: &mut InFlight,
        (grip, call): (&mut Grip, Call),
    ) -> Result<Option<Came>, Halt> {
        if let Some(withheld) = self.withhold(case, call).await {
            return Ok(Some(Came::Withheld(withheld)));
        }
        let token = self.take_token(case, call).await;
        // Rule 3: right before the first byte.
        if !self.outlasts_call(grip) && !self.renew(case, state, held, grip).await? {
            return Ok(None);
        }
        // Last of all, and without a wait in between: an operator may have just said stop.
        if token == Further::Paused || self.withholds(case, call) {
            return Ok(Some(Came::Withheld(Withheld::Paused)));
        }
        let came = self.call(case, held, call).await;
        debug!(job.id = %case.key, ?call, answer = came.as_str(), attempt = held.attempt, "alipay answered");
        Ok(Some(came))
    }

    fn judge(
        &self,
        case: &Case<'_>,
        state: Option<&Versioned>,
        (held, call, came): (&InFlight, Call, &Came),
        grip: &Grip,
    ) -> Transition {
        let answer = match came {
            Came::Sent(verdict) => Answer::Sent(verdict),
            Came::Queried(finding) => Answer::Queried(finding),
            Came::Withheld(withheld) => Answer::Withheld(*withheld),
        };
        let answered = Answered {
            held,
            call,
            answer,
            lease: self.life(grip),
            digest: case.prepared.digest,
        };
        step(
            state.map(|versioned| &versioned.entry),
            Event::Answered(&answered),
            &self.context(),
        )
    }

    /// Rule 3: renews the lease while it still lives; `false` when it is over or somebody else's.
    async fn renew(
        &self,
        case: &Case<'_>,
        state: &mut Option<Versioned>,
        held: &mut InFlight,
        grip: &mut Grip,
    ) -> Result<bool, Halt> {
        if self.ports.clock.monotonic() >= grip.deadline {
            return Ok(false);
        }
        let longer = self.grip(grip.lease.token);
        let mut renewed = held.clone();
        renewed.lease = longer.lease;
        match self
            .write(
                case.delivery,
                &case.key,
                state.as_ref(),
                Entry::InFlight(renewed.clone()),
            )
            .await?
        {
            Write::Stored(stored) => {
                *state = Some(stored);
                *held = renewed;
                *grip = longer;
                // The write itself may have taken the lease's time.
                Ok(self.outlasts_call(grip))
            }
            Write::Other(_) => Ok(false),
        }
    }

    /// A proven success that could not be settled: by now the number belongs to another job, which
    /// takes a ledger that forgot. A person must look.
    fn note_unheard(&self, case: &Case<'_>, came: &Came) {
        if came.is_success() {
            error!(job.id = %case.key, "money moved for a job whose number the ledger has given to another one");
            self.metrics.contradicted();
        }
    }

    /// `step` never answers an event with this; should it, the job is looked at afresh.
    fn impossible(&self, case: &Case<'_>, transition: &Transition) -> Turn {
        error!(job.id = %case.key, ?transition, "the lifecycle gave a transition that does not belong to the event");
        Turn::StartOver
    }
}
