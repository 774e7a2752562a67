//! Between the small world and the types that the real lifecycle takes and gives.
//!
//! Time is abstract: "now" is one instant, a lease lives until after it or ended before it, and
//! the window of an absence has always passed when its last answer comes (the search decides
//! whether that answer may come yet).

use std::time::Duration;

use hongbaod::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, RequestDigest, ReturnAddress,
    Ticket,
};
use hongbaod::domain::ident::{AppName, Caption, MerchantNo, UserId};
use hongbaod::domain::job::{Extras, Fingerprint, Labels, MoneyJob, MoneyRequest, OrderRef, Payee};
use hongbaod::domain::money::Fen;
use hongbaod::domain::outcome::{Outcome, Rejection, Resolution};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{
    Doubt, Finding, NotExecuted, Operation, OperationStatus, OperationType, Receipt, Refusal,
    Verdict,
};
use hongbaod::lifecycle::retry::RetryPolicy;
use hongbaod::lifecycle::{Call, Policy};

use crate::lifecycle_search::bank::Difference;
use crate::lifecycle_search::world::{Asked, JobName, Known, Slot, Told, Word};

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const CONFIRMATIONS: u8 = 2;
const NO_DIGEST: u8 = u8::MAX;
const WINDOW: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(20);

/// The two jobs of a scenario and the rules' numbers.
pub(crate) struct Translation {
    a: MoneyJob,
    b: MoneyJob,
    pub(crate) policy: Policy,
    pub(crate) return_address: ReturnAddress,
}

fn job(amount: u64, payee: &str, order: &str) -> MoneyJob {
    MoneyJob {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new("R1").unwrap(),
        request: MoneyRequest::Disburse {
            out_order_no: MerchantNo::new(order).unwrap(),
            deduct: OrderRef::OutOrderNo(MerchantNo::new("P1").unwrap()),
            order_title: Caption::new("packet").unwrap(),
            amount: Fen::new(amount).unwrap(),
            payee: Payee::UserId(UserId::new(payee).unwrap()),
            extras: Extras::default(),
        },
        labels: Labels::default(),
        not_after: Some(UnixMillis(NOW.0 + 1)),
    }
}

impl Translation {
    pub(crate) fn new(difference: Difference) -> Self {
        let payee = "2088000000000001";
        let b = match difference {
            Difference::Amount => job(999, payee, "O1"),
            Difference::Payee => job(888, "2088000000000002", "O1"),
            Difference::Order => job(888, payee, "O2"),
        };
        Self {
            a: job(888, payee, "O1"),
            b,
            policy: Policy {
                retry: RetryPolicy::new(Duration::from_millis(500), Duration::from_secs(2), 2000)
                    .unwrap(),
                absence_confirmations: u32::from(CONFIRMATIONS),
                absence_window: WINDOW,
                unresolved_after: Duration::from_secs(600),
                rescue_after: Duration::ZERO,
            },
            return_address: ReturnAddress::default(),
        }
    }

    pub(crate) fn job(&self, name: JobName, expired: bool) -> MoneyJob {
        let mut job = match name {
            JobName::A => self.a.clone(),
            JobName::B => self.b.clone(),
        };
        if expired {
            job.not_after = Some(UnixMillis(NOW.0 - 1));
        }
        job
    }

    pub(crate) fn pending(&self, known: Known) -> Pending {
        Pending {
            job: self.job(known.job, false),
            fingerprint: fingerprint(known.job),
            return_address: self.return_address.clone(),
            maybe_sent: known.maybe_sent,
            digest: (known.digest != NO_DIGEST).then_some(RequestDigest([known.digest; 16])),
            absence: Absence {
                count: u32::from(known.absences),
                since: (known.absences > 0)
                    .then(|| UnixMillis(NOW.0 - hongbaod::domain::time::millis(WINDOW))),
            },
            refusal: known.refused.then(refusal),
            number_used: known.number_used,
            attempts: 0,
            inconclusive: 0,
            rescues: u32::from(known.rescues),
            first_seen_at: NOW,
            numbers: None,
            unresolved_announced: false,
        }
    }

    /// The entry of a slot; `lives` says whether an in-flight entry's lease does.
    pub(crate) fn entry(&self, slot: Slot, lives: bool) -> Option<Entry> {
        match slot {
            Slot::Absent => None,
            Slot::InFlight { attempt, known, .. } => Some(Entry::InFlight(InFlight {
                lease: Lease {
                    token: token(slot),
                    expires_at: if lives { NOW.plus(LEASE) } else { NOW },
                },
                attempt: u32::from(attempt),
                pending: self.pending(known),
            })),
            Slot::Deferred { ticket, known } => Some(Entry::Deferred(Deferred {
                ticket: Ticket(u32::from(ticket)),
                due_at: NOW,
                pending: self.pending(known),
            })),
            Slot::Settled { job: name, told } => Some(Entry::Settled(self.outcome(name, told))),
        }
    }

    /// The rejection of a job as expired.
    pub(crate) fn rejection(&self, name: JobName) -> Outcome {
        self.outcome(name, Told::Expired)
    }

    fn outcome(&self, name: JobName, told: Told) -> Outcome {
        let job = self.job(name, false);
        Outcome {
            kind: job.kind(),
            fingerprint: fingerprint(name),
            out_order_no: job.out_order_no().cloned(),
            auth_no: None,
            amount: job.amount(),
            resolution: match told {
                Told::Succeeded => Resolution::of_receipt(&Receipt::default()),
                Told::Failed => {
                    Resolution::Failed(hongbaod::domain::outcome::Failure::Refused(refusal()))
                }
                Told::Expired => Resolution::Rejected(Rejection::Expired),
                Told::OverBudget => Resolution::Rejected(Rejection::OverBudget),
                Told::Conflict => unreachable!("a conflict is never settled"),
            },
            attempts: 0,
            settled_at: NOW,
            labels: Labels::default(),
        }
    }

    /// The slot of an outcome; checks that its facts are the job's.
    pub(crate) fn settled(&self, outcome: &Outcome) -> Slot {
        let name = name(outcome.fingerprint);
        let job = self.job(name, false);
        assert_eq!(outcome.amount, job.amount());
        assert_eq!(outcome.out_order_no.as_ref(), job.out_order_no());
        let told = match &outcome.resolution {
            Resolution::Succeeded { .. } => Told::Succeeded,
            Resolution::Failed(_) => Told::Failed,
            Resolution::Rejected(Rejection::Expired) => Told::Expired,
            Resolution::Rejected(Rejection::OverBudget) => Told::OverBudget,
            Resolution::Signed(_) => unreachable!("no job of the search is signed"),
        };
        Slot::Settled { job: name, told }
    }

    /// The operation as a query returns it; masked values are left out.
    pub(crate) fn operation(&self, name: JobName) -> Operation {
        let job = self.job(name, false);
        let payee_user_id = match &job.request {
            MoneyRequest::Disburse {
                payee: Payee::UserId(user_id),
                ..
            } => Some(user_id.clone()),
            MoneyRequest::Disburse { .. }
            | MoneyRequest::Refund { .. }
            | MoneyRequest::Pay { .. }
            | MoneyRequest::Order { .. } => None,
        };
        Operation {
            auth_no: None,
            out_order_no: job.out_order_no().cloned(),
            operation_id: None,
            out_request_no: Some(job.out_request_no.clone()),
            amount: Some(job.amount()),
            status: OperationStatus::Success,
            operation_type: Some(OperationType::Pay),
            order_title: Some("packet".to_owned()),
            remark: None,
            payer_user_id: None,
            payee_user_id,
            gmt_trans: None,
        }
    }

    pub(crate) fn finding(&self, word: Word) -> Finding {
        match word {
            Word::Found(job) => Finding::Found(Box::new(self.operation(job))),
            Word::NotFound => Finding::NotFound,
            Word::NoAnswer => Finding::Unknown(Doubt::TimedOut),
            Word::Succeeded
            | Word::Refused
            | Word::Unknown
            | Word::NotExecuted
            | Word::Withheld
            | Word::AlreadyUsed => unreachable!("{word:?} answers no query"),
        }
    }
}

pub(crate) fn verdict(word: Word) -> Verdict {
    match word {
        Word::Succeeded => Verdict::Succeeded(Receipt::default()),
        Word::Refused => Verdict::Refused(refusal()),
        Word::Unknown => Verdict::Unknown(Doubt::TimedOut),
        Word::NotExecuted => Verdict::NotExecuted(NotExecuted::NotSent),
        Word::AlreadyUsed => Verdict::AlreadyUsed,
        Word::Withheld | Word::Found(_) | Word::NotFound | Word::NoAnswer => {
            unreachable!("{word:?} answers no request")
        }
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: None,
    }
}

pub(crate) fn fingerprint(name: JobName) -> Fingerprint {
    match name {
        JobName::A => Fingerprint([1; 16]),
        JobName::B => Fingerprint([2; 16]),
    }
}

fn name(fingerprint: Fingerprint) -> JobName {
    if fingerprint == self::fingerprint(JobName::A) {
        JobName::A
    } else {
        JobName::B
    }
}

/// One token for one claim: two claims of one worker that differ in anything differ in the token.
fn token(slot: Slot) -> LeaseToken {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    slot.hash(&mut hasher);
    LeaseToken(hasher.finish())
}

/// The lease that a claim takes; its token is replaced by the slot's once it is written.
pub(crate) fn new_lease() -> Lease {
    Lease {
        token: LeaseToken(0),
        expires_at: NOW.plus(LEASE),
    }
}

pub(crate) fn known(pending: &Pending) -> Known {
    Known {
        job: name(pending.fingerprint),
        maybe_sent: pending.maybe_sent,
        absences: small(pending.absence.count).min(CONFIRMATIONS),
        number_used: pending.number_used,
        refused: pending.refusal.is_some(),
        digest: pending.digest.map_or(NO_DIGEST, |digest| digest.0[0]),
        rescues: small(pending.rescues),
    }
}

pub(crate) fn in_flight(entry: &InFlight, holder: u8) -> Slot {
    Slot::InFlight {
        holder,
        attempt: small(entry.attempt),
        known: known(&entry.pending),
    }
}

pub(crate) fn deferred(entry: &Deferred) -> Slot {
    Slot::Deferred {
        ticket: small(entry.ticket.0),
        known: known(&entry.pending),
    }
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap()
}

pub(crate) fn asked(call: Call) -> Asked {
    match call {
        Call::Send => Asked::Send,
        Call::Query => Asked::Query,
        Call::QueryOnce => Asked::QueryOnce,
        Call::QueryExpired => Asked::QueryExpired,
        Call::QueryOverBudget => Asked::QueryOverBudget,
    }
}

pub(crate) fn call(asked: Asked) -> Call {
    match asked {
        Asked::Send => Call::Send,
        Asked::Query => Call::Query,
        Asked::QueryOnce => Call::QueryOnce,
        Asked::QueryExpired => Call::QueryExpired,
        Asked::QueryOverBudget => Call::QueryOverBudget,
    }
}
