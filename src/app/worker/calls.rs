//! Permits, and the calls to Alipay that they allow.

use tracing::Instrument as _;

use crate::app::trace;
use crate::app::witness::{Attempt, Called, Witness as _};
use crate::domain::entry::InFlight;
use crate::domain::job::Kind;
use crate::domain::lane::Tier;
use crate::domain::verdict::{Blockage, Doubt, Finding, NotExecuted, Verdict};
use crate::lifecycle::{Arrival, Call, Lane, Memory, Withheld};
use crate::pacing::{Admission, Applicant, Further, PacedCall, Permit, Rank, Signal};

use super::Worker;
use super::case::{Case, Halt};
use super::fairness::{Place, Stance};
use super::switches::called;

/// An answer that came back from Alipay, or what kept us from asking for one.
pub(super) enum Came {
    Sent(Verdict),
    Queried(Finding),
    Withheld(Withheld),
}

impl Worker {
    /// Whether calls may be made: holds a permit afterwards, unless the lane is closed or paused.
    pub(super) async fn lane(&self, case: &mut Case<'_>) -> Result<Lane, Halt> {
        if case.permit.is_some() {
            return Ok(self.lane_with_permit(case));
        }
        self.wait_out_pause(case).await?;
        if self.is_paused(&case.job.app, case.job.kind()) {
            return Ok(Lane::Paused);
        }
        let applicant = self.applicant(case);
        let admission = self.admission(case.delivery, &case.job.app, applicant);
        match admission.await? {
            Admission::Open(permit) => {
                self.keep(case, permit, applicant);
                Ok(self.lane_with_permit(case))
            }
            // The pause began while it stood in the line.
            Admission::Closed { .. } if self.is_paused(&case.job.app, case.job.kind()) => {
                Ok(Lane::Paused)
            }
            Admission::Closed { .. } => Ok(Lane::Closed),
        }
    }

    /// Whether a delivery makes room for others, before anything is claimed: it is one too many of
    /// its party, and there is no permit for it now. Holds the permit otherwise, if there was one.
    pub(super) fn steps_aside(&self, case: &mut Case<'_>, place: &Place<'_>) -> bool {
        match place.stance() {
            Stance::Wait => false,
            Stance::Leave => true,
            // It is put off, which makes room as well.
            Stance::TakeOrLeave if self.is_paused(&case.job.app, case.job.kind()) => false,
            Stance::TakeOrLeave => {
                let applicant = self.applicant(case);
                match self.pacing.permit_at_once(&case.job.app, applicant) {
                    Some(Admission::Open(permit)) => {
                        self.keep(case, permit, applicant);
                        false
                    }
                    // The same.
                    Some(Admission::Closed { .. }) => false,
                    None => true,
                }
            }
        }
    }

    pub(super) fn keep(&self, case: &mut Case<'_>, permit: Permit, applicant: Applicant) {
        self.metrics.paced(permit.waited());
        case.permit = Some(permit);
        case.token = Some(applicant.call);
    }

    /// What a job asks for first.
    pub(super) fn applicant(&self, case: &Case<'_>) -> Applicant {
        // What has been seen before, or may have been, is asked about before it is sent; what is
        // expired is asked about alone.
        let is_new = case.arrival == Arrival::First && case.delivery.ticket.is_none();
        let context = self.context();
        let is_sent = is_new && !case.job.is_expired(context.now);
        let call = if is_sent && context.memory == Memory::Sound {
            PacedCall::from(case.job.kind())
        } else {
            PacedCall::Query
        };
        Applicant {
            call,
            rank: rank(case.job.kind(), case.delivery.tier),
            party: case.party,
        }
    }

    /// The permit brought a rate token of one method; any other call of the job takes another, and
    /// so does the first when the claim took too long.
    pub(super) async fn take_token(&self, case: &mut Case<'_>, call: Call) -> Further {
        let kind = match called(call) {
            Called::Send => PacedCall::from(case.job.kind()),
            Called::Query => PacedCall::Query,
        };
        let Some(permit) = &case.permit else {
            return Further::Granted;
        };
        if case.token == Some(kind) {
            case.token = None;
            if permit.is_fresh() {
                return Further::Granted;
            }
        }
        permit.next_call(kind).await
    }

    pub(super) async fn call(&self, case: &Case<'_>, held: &InFlight, call: Call) -> Came {
        let (gateway, clock) = (&self.ports.gateway, &self.ports.clock);
        let (at, began) = (clock.now(), clock.monotonic());
        let called = called(call);
        let span = trace::of_call(called.as_str());
        let calling = async {
            match called {
                Called::Send => Came::Sent(gateway.send(&case.key.app, &case.prepared).await),
                Called::Query => {
                    let target = held.pending.query_target();
                    Came::Queried(gateway.query(&case.key.app, &target).await)
                }
            }
        };
        let came = calling.instrument(span.clone()).await;
        span.record("verdict", came.as_str());
        if let Some((permit, signal)) = case.permit.as_ref().zip(came.signal()) {
            permit.report(signal);
        }
        let (code, sub_code) = came.codes();
        self.witnesses.attempted(&Attempt {
            key: &case.key,
            kind: case.job.kind(),
            number: held.pending.attempts.saturating_add(1),
            call: called,
            verdict: came.as_str(),
            code,
            sub_code,
            at,
            duration: clock.monotonic().since(began),
        });
        came
    }
}

/// Who goes first: what gives money back, what only reads, and what wants to overtake.
pub(super) const fn rank(kind: Kind, tier: Tier) -> Rank {
    match (kind, tier) {
        (Kind::Refund | Kind::Query, _) | (_, Tier::Urgent) => Rank::First,
        (Kind::Disburse | Kind::Pay | Kind::AppPay | Kind::PagePay, Tier::Shard(_)) => Rank::Normal,
        (Kind::Disburse | Kind::Pay | Kind::AppPay | Kind::PagePay, Tier::Bulk) => Rank::Last,
    }
}

impl Came {
    /// The answer's word, for logs.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Sent(verdict) => verdict.as_str(),
            Self::Queried(finding) => finding.as_str(),
            Self::Withheld(_) => "withheld",
        }
    }

    /// The codes of an answer that did not simply succeed.
    fn codes(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Sent(verdict) => match verdict {
                Verdict::Refused(refusal) | Verdict::RefusedUnconfirmed(refusal) => {
                    (Some(&refusal.code), refusal.sub_code.as_deref())
                }
                Verdict::Unknown(doubt) => codes_of_doubt(doubt),
                Verdict::Blocked(blockage) => codes_of_blockage(blockage),
                Verdict::Succeeded(_)
                | Verdict::InProgress(_)
                | Verdict::AlreadyUsed
                | Verdict::NotExecuted(_) => (None, None),
            },
            Self::Queried(finding) => match finding {
                Finding::Unknown(doubt) => codes_of_doubt(doubt),
                Finding::Blocked(blockage) => codes_of_blockage(blockage),
                Finding::Found(_) | Finding::NotFound | Finding::NotExecuted(_) => (None, None),
            },
            Self::Withheld(_) => (None, None),
        }
    }

    /// Whether the answer to the very call that moves money was a success.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Sent(Verdict::Succeeded(_)))
    }

    /// What pacing learns from an answer.
    fn signal(&self) -> Option<Signal> {
        let signal = match self {
            Self::Withheld(_) => return None,
            Self::Sent(verdict) => match verdict {
                Verdict::Succeeded(_)
                | Verdict::Refused(_)
                | Verdict::RefusedUnconfirmed(_)
                | Verdict::InProgress(_)
                | Verdict::AlreadyUsed => Signal::Answered,
                Verdict::Unknown(doubt) => signal_of_doubt(doubt),
                Verdict::NotExecuted(cause) => signal_of_not_executed(*cause),
                Verdict::Blocked(_) => Signal::Blocked,
            },
            Self::Queried(finding) => signal_of_finding(finding),
        };
        Some(signal)
    }
}

fn codes_of_doubt(doubt: &Doubt) -> (Option<&str>, Option<&str>) {
    match doubt {
        Doubt::Answered { code, sub_code } => (Some(code), sub_code.as_deref()),
        Doubt::TimedOut
        | Doubt::Broken
        | Doubt::HttpStatus(_)
        | Doubt::Unreadable
        | Doubt::Unverified
        | Doubt::Foreign => (None, None),
    }
}

fn codes_of_blockage(blockage: &Blockage) -> (Option<&str>, Option<&str>) {
    (Some(&blockage.code), blockage.sub_code.as_deref())
}

pub(in crate::app) fn signal_of_finding(finding: &Finding) -> Signal {
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
