//! Drives a money job through the lifecycle.

use tracing::{debug, error};

use crate::app::digest::fingerprint;
use crate::domain::entry::{Entry, InFlight, Ticket};
use crate::domain::job::MoneyJob;
use crate::domain::outcome::{Announcement, Outcome};
use crate::domain::time::Monotonic;
use crate::domain::verdict::{Doubt, Finding, NotExecuted, Verdict};
use crate::lifecycle::admission::PARK_DELAY;
use crate::lifecycle::{
    Answer, Answered, Arrival, Call, Context, Deferral, Delivered, Event, Lane, Memory, Transition,
    Unresolved, Vacate, step,
};
use crate::pacing::{Admission, PacedCall, Signal};
use crate::ports::broker::Delivery;
use crate::ports::ledger::{Removed, Versioned};

use super::Worker;
use super::case::{Case, Grip, Halt, Token};
use super::deliver::copy_of;
use super::ledger_access::Write;

/// What came of one look at a job.
enum Turn {
    /// Acknowledged.
    Done,
    /// Look again; the delivery now counts as redelivered.
    StartOver,
}

/// An answer that came back from Alipay.
enum Came {
    Sent(Verdict),
    Queried(Finding),
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
            permit: None,
            token: Token::Unused,
        };
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
        let lane = self.lane(case).await?;
        let mut state: Option<Versioned> = None;
        let mut looked = false;
        loop {
            let grip = self.offer();
            let context = self.context();
            let transition = self.admit(case, state.as_ref(), (lane, &grip), &context);
            match transition {
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
                Transition::Settle(outcome) => {
                    let was_there = state.is_some();
                    if let Some(turn) = self.settle(case, &mut state, *outcome).await? {
                        return Ok(turn);
                    }
                    if was_there && state.is_none() {
                        return Ok(Turn::StartOver);
                    }
                }
                Transition::Announce(outcome) => {
                    self.metrics.duplicate(case.job.kind());
                    self.announce_settled(case, *outcome).await?;
                    return Ok(Turn::Done);
                }
                Transition::Defer(deferral) => return self.defer(case, state, *deferral).await,
                Transition::Park => return self.park(case).await,
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
            self.take_token(case, call).await?;
            // Rule 3: right before the first byte.
            if !self.outlasts_call(&grip)
                && !self.renew(case, &mut state, &mut held, &mut grip).await?
            {
                return Ok(Turn::StartOver);
            }
            let came = self.call(case, call).await;
            debug!(job.id = %case.key, ?call, answer = came.as_str(), attempt = held.attempt, "alipay answered");
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
                    Transition::Defer(deferral) => return self.defer(case, state, *deferral).await,
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
                    Transition::StartOver => return Ok(Turn::StartOver),
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

    /// Rule 7: ledger, then event, then ack. `None` when the ledger holds something else, which is
    /// then in `state`.
    async fn settle(
        &self,
        case: &Case<'_>,
        state: &mut Option<Versioned>,
        outcome: Outcome,
    ) -> Result<Option<Turn>, Halt> {
        match self
            .write(
                case.delivery,
                &case.key,
                state.as_ref(),
                Entry::Settled(outcome.clone()),
            )
            .await?
        {
            Write::Stored(_) => {
                let took = self.ports.clock.monotonic().since(case.received_at);
                let result = outcome.resolution.as_str();
                debug!(job.id = %case.key, job.kind = %outcome.kind, result, attempts = outcome.attempts, "settled");
                self.metrics.settled(
                    &case.key.app,
                    outcome.kind,
                    &outcome.resolution,
                    outcome.amount,
                );
                let kind = outcome.kind;
                self.announce_settled(case, outcome).await?;
                self.metrics.announced(kind, took);
                Ok(Some(Turn::Done))
            }
            Write::Other(other) => {
                *state = other;
                Ok(None)
            }
        }
    }

    /// The number belongs to another job: frees it where that is ours to do, and says so.
    async fn conflict(
        &self,
        case: &Case<'_>,
        state: Option<&Versioned>,
        vacate: Vacate,
    ) -> Result<Turn, Halt> {
        if let (Vacate::RemoveEntry, Some(state)) = (vacate, state)
            && self.remove(case.delivery, &case.key, state).await? == Removed::Changed
        {
            // Rule 8: whoever holds this very job by now has the word.
            let there = self.read(case.delivery, &case.key).await?;
            if there.is_some_and(|there| there.entry.fingerprint() == case.fingerprint) {
                return Ok(Turn::StartOver);
            }
        }
        self.announce_conflict(case).await?;
        Ok(Turn::Done)
    }

    /// Rule 6: the copy is confirmed, then the entry says so, then the delivery is acknowledged.
    async fn defer(
        &self,
        case: &Case<'_>,
        mut state: Option<Versioned>,
        deferral: Deferral,
    ) -> Result<Turn, Halt> {
        let Deferral {
            entry,
            delay,
            reason,
            unresolved,
        } = deferral;
        if unresolved == Unresolved::Announce {
            self.announce_unresolved(case, entry.pending.attempts)
                .await?;
        }
        let mut copy = copy_of(case.delivery);
        copy.kind = case.job.kind();
        copy.ticket = Some(entry.ticket);
        let broker = &self.ports.broker;
        self.until_published(case.delivery, || broker.publish_later(&copy, delay))
            .await?;
        let attempts = entry.pending.attempts;
        loop {
            let wanted = Entry::Deferred(entry.clone());
            match self
                .write(case.delivery, &case.key, state.as_ref(), wanted)
                .await?
            {
                Write::Stored(_) => break,
                // It vanished, or the write came to nothing: again.
                Write::Other(None) => state = None,
                Write::Other(Some(found))
                    if state
                        .as_ref()
                        .is_some_and(|old| old.revision == found.revision) => {}
                // Somebody else's by now: the copy exists, and whoever receives it finds the truth.
                Write::Other(Some(_)) => break,
            }
        }
        debug!(job.id = %case.key, reason = reason.as_str(), delay_ms = delay.as_millis(), attempts, "deferred");
        self.metrics.deferred(case.job.kind(), reason);
        self.acknowledge(case.delivery).await;
        Ok(Turn::Done)
    }

    async fn announce_unresolved(&self, case: &Case<'_>, attempts: u32) -> Result<(), Halt> {
        let job = Box::new(case.job.clone());
        let said = Announcement::Unresolved {
            job,
            attempts,
            at: self.ports.clock.now(),
        };
        self.announce(case.delivery, &said).await
    }

    /// Rule 2: somebody else holds the job; the delivery waits in the ladder, not here.
    async fn park(&self, case: &Case<'_>) -> Result<Turn, Halt> {
        let mut copy = copy_of(case.delivery);
        copy.kind = case.job.kind();
        copy.ticket = Some(copy.ticket.unwrap_or(Ticket(0)));
        let broker = &self.ports.broker;
        self.until_published(case.delivery, || broker.publish_later(&copy, PARK_DELAY))
            .await?;
        self.metrics.parked(case.job.kind());
        self.acknowledge(case.delivery).await;
        Ok(Turn::Done)
    }

    async fn lane(&self, case: &mut Case<'_>) -> Result<Lane, Halt> {
        if case.permit.is_some() {
            return Ok(Lane::Open);
        }
        let call = PacedCall::from(case.job.kind());
        let admission = self.admission(case.delivery, &case.job.app, call).await?;
        match admission {
            Admission::Open(permit) => {
                self.metrics.paced(permit.waited());
                case.permit = Some(permit);
                case.token = Token::Unused;
                Ok(Lane::Open)
            }
            Admission::Closed { .. } => Ok(Lane::Closed),
        }
    }

    /// The permit brought one rate token; each further call of the job takes another.
    async fn take_token(&self, case: &mut Case<'_>, call: Call) -> Result<(), Halt> {
        let kind = match call {
            Call::Send => PacedCall::from(case.job.kind()),
            Call::Query | Call::QueryOnce => PacedCall::Query,
        };
        if case.token == Token::Unused {
            case.token = Token::Used;
        } else if let Some(permit) = &case.permit {
            permit.next_call(kind).await;
        }
        Ok(())
    }

    async fn call(&self, case: &Case<'_>, call: Call) -> Came {
        let gateway = &self.ports.gateway;
        let came = match call {
            Call::Send => Came::Sent(gateway.send(&case.key.app, &case.prepared).await),
            Call::Query | Call::QueryOnce => {
                Came::Queried(gateway.query(&case.key.app, &case.job.query_target()).await)
            }
        };
        if let Some(permit) = &case.permit {
            permit.report(came.signal());
        }
        came
    }

    /// `step` never answers an event with this; should it, the job is looked at afresh.
    fn impossible(&self, case: &Case<'_>, transition: &Transition) -> Turn {
        error!(job.id = %case.key, ?transition, "the lifecycle gave a transition that does not belong to the event");
        Turn::StartOver
    }
}

impl Came {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Sent(verdict) => verdict.as_str(),
            Self::Queried(finding) => finding.as_str(),
        }
    }

    /// What pacing learns from an answer.
    fn signal(&self) -> Signal {
        match self {
            Self::Sent(verdict) => match verdict {
                Verdict::Succeeded(_)
                | Verdict::Refused(_)
                | Verdict::RefusedUnconfirmed(_)
                | Verdict::InProgress
                | Verdict::AlreadyUsed => Signal::Answered,
                Verdict::Unknown(doubt) => signal_of_doubt(doubt),
                Verdict::NotExecuted(cause) => signal_of_not_executed(*cause),
                Verdict::Blocked(_) => Signal::Blocked,
            },
            Self::Queried(finding) => signal_of_finding(finding),
        }
    }
}

pub(super) fn signal_of_finding(finding: &Finding) -> Signal {
    match finding {
        Finding::Found(_) | Finding::NotFound => Signal::Answered,
        Finding::Unknown(doubt) => signal_of_doubt(doubt),
        Finding::NotExecuted(cause) => signal_of_not_executed(*cause),
        Finding::Blocked(_) => Signal::Blocked,
    }
}

fn signal_of_doubt(doubt: &Doubt) -> Signal {
    match doubt {
        Doubt::Answered { .. } | Doubt::HttpStatus(_) => Signal::Overloaded,
        Doubt::TimedOut => Signal::TimedOut,
        Doubt::Broken => Signal::Broken,
        Doubt::Unreadable | Doubt::Unverified | Doubt::Foreign => Signal::Answered,
    }
}

fn signal_of_not_executed(cause: NotExecuted) -> Signal {
    match cause {
        NotExecuted::NotSent => Signal::NotSent,
        NotExecuted::Limited => Signal::Limited,
    }
}
