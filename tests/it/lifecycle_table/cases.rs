//! States, events and transitions by short names, for tables.

use std::time::Duration;

use hongbaod::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, RequestDigest, ReturnAddress,
    Ticket,
};
use hongbaod::domain::ident::{AppName, Caption, MerchantNo, UserId};
use hongbaod::domain::job::{Extras, Fingerprint, Labels, MoneyJob, MoneyRequest, OrderRef, Payee};
use hongbaod::domain::money::Fen;
use hongbaod::domain::outcome::{Failure, Outcome, Resolution};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{
    Blockage, Doubt, Finding, NotExecuted, Operation, OperationStatus, OperationType, Proof,
    Receipt, Refusal, Verdict,
};
use hongbaod::lifecycle::retry::RetryPolicy;
use hongbaod::lifecycle::{
    Answer, Answered, Arrival, Call, Context, Delivered, Event, Lane, Learnt, LeaseLife, Memory,
    Policy, Transition, Withheld, step,
};

use crate::lifecycle_table::words::describe;

/// The instant of every event.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// The window of an absence.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(20);
const OWN: LeaseToken = LeaseToken(1);
const DIGEST: RequestDigest = RequestDigest([7; 16]);
pub(crate) const JOB: Fingerprint = Fingerprint([1; 16]);
const OTHER: Fingerprint = Fingerprint([2; 16]);

/// What the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    /// In flight, attempt 2, the lease lives.
    Held,
    /// In flight, attempt 2, the lease is over.
    LeaseOver,
    /// As `LeaseOver`, of a claim that only asked whether an expired job was ever sent.
    AskedExpired,
    /// Deferred with ticket 3, certainly never sent.
    Unsent,
    /// Deferred with ticket 3, something may have been sent.
    Sent,
    /// As `Sent`, after the last rescue.
    GivenToOperators,
    Succeeded,
    Failed,
    /// Another job of the same number, deferred.
    OtherJob,
    OtherJobSettled,
}

/// Whether the entry is the answered holder's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Own,
    Whatever,
}

/// What a call brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Succeeded,
    Refused,
    RefusedUnconfirmed,
    InProgress,
    Unknown,
    AlreadyUsed,
    NotExecuted,
    BlockedSigned,
    BlockedUnsigned,
    Found(OperationStatus),
    FoundOtherAmount,
    NotFound,
    QueryUnknown,
    QueryNotExecuted,
    QueryBlocked,
    /// In place of a send: over a cap that begins anew in 35 s, to wait.
    OverBudget,
    /// As that, not wanted any more.
    Unwanted,
    /// In place of a send: nobody counts.
    Uncounted,
    /// In place of a send: an operator has paused it.
    Paused,
}

/// When the cap begins anew.
const UNTIL: UnixMillis = UnixMillis(NOW.0 + 35_000);

/// One event with its circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    what: What,
    arrival: Arrival,
    ticket: Option<u32>,
    lane: Lane,
    memory: Memory,
    expired: bool,
    lease: LeaseLife,
    /// What the answered holder knows.
    held: Held,
    /// By how much less than a window ago the first "not found" came.
    since_later: Duration,
    /// How much later than `NOW` it happens.
    later: Duration,
    jitter_permille: u16,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Delivered,
    Answered(Call, Word, On),
    Learnt(Word),
    Overdue,
}

/// What an answered holder knows from before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) maybe_sent: bool,
    /// "Not found" answers, the first of them a whole window ago.
    pub(crate) absences: u32,
    pub(crate) refused: bool,
    pub(crate) used: bool,
    pub(crate) other_bytes: bool,
}

const CASE: Case = Case {
    what: What::Delivered,
    arrival: Arrival::First,
    ticket: None,
    lane: Lane::Open,
    memory: Memory::Sound,
    expired: false,
    lease: LeaseLife::Alive,
    held: Held {
        maybe_sent: false,
        absences: 0,
        refused: false,
        used: false,
        other_bytes: false,
    },
    since_later: Duration::ZERO,
    later: Duration::ZERO,
    jitter_permille: 0,
};

/// A producer's own message, seen for the first time.
pub(crate) const fn delivered() -> Case {
    CASE
}

/// The rescue task finds the job, a long time later.
pub(crate) const fn overdue() -> Case {
    Case {
        what: What::Overdue,
        later: Duration::from_secs(7 * 24 * 60 * 60),
        ..CASE
    }
}

/// A holder's call brought `word`; the entry is whatever the state says.
pub(crate) const fn answered(call: Call, word: Word) -> Case {
    Case {
        what: What::Answered(call, word, On::Whatever),
        ..CASE
    }
}

/// A query job or a notification told `word`.
pub(crate) const fn learnt(word: Word) -> Case {
    Case {
        what: What::Learnt(word),
        ..CASE
    }
}

impl Case {
    pub(crate) const fn again(self) -> Self {
        let arrival = Arrival::Again;
        Self { arrival, ..self }
    }

    pub(crate) const fn ticket(self, ticket: u32) -> Self {
        let ticket = Some(ticket);
        Self { ticket, ..self }
    }

    pub(crate) const fn lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    pub(crate) const fn doubtful(self) -> Self {
        let memory = Memory::Doubtful;
        Self { memory, ..self }
    }

    pub(crate) const fn expired(self) -> Self {
        Self {
            expired: true,
            ..self
        }
    }

    pub(crate) const fn lease_over(self) -> Self {
        let lease = LeaseLife::Over;
        Self { lease, ..self }
    }

    /// The entry is the holder's own, whatever the state says.
    pub(crate) const fn own(self) -> Self {
        let what = match self.what {
            What::Answered(call, word, _) => What::Answered(call, word, On::Own),
            what => what,
        };
        Self { what, ..self }
    }

    pub(crate) const fn holding(self, held: Held) -> Self {
        Self { held, ..self }
    }

    pub(crate) const fn later(self, later: Duration) -> Self {
        Self { later, ..self }
    }

    pub(crate) const fn jitter(self, jitter_permille: u16) -> Self {
        Self {
            jitter_permille,
            ..self
        }
    }

    /// A first "not found" that came so much less than a window ago.
    pub(crate) const fn earlier(self, late: Duration) -> Self {
        let since_later = late;
        Self {
            since_later,
            ..self
        }
    }

    /// The transition in words, for a job that was rescued so often.
    pub(crate) fn on_rescued(self, rescues: u32) -> String {
        describe(&self.on_changed(State::Sent, |entry| {
            if let Entry::Deferred(entry) = entry {
                entry.pending.rescues = rescues;
            }
        }))
    }

    /// The transition of a lease that is over, with a change to its entry.
    pub(crate) fn on_entry(self, change: impl FnOnce(&mut Entry)) -> Transition {
        self.on_changed(State::LeaseOver, change)
    }

    /// The transition in words.
    pub(crate) fn on(self, state: State) -> String {
        describe(&self.told(state))
    }

    /// The transition.
    pub(crate) fn told(self, state: State) -> Transition {
        self.on_changed(state, |_| ())
    }

    fn on_changed(self, state: State, change: impl FnOnce(&mut Entry)) -> Transition {
        let policy = policy();
        let context = Context {
            now: NOW.plus(self.later),
            jitter_permille: self.jitter_permille,
            memory: self.memory,
            policy: &policy,
        };
        let mut entry = entry(state);
        if let Some(entry) = &mut entry {
            change(entry);
        }
        let entry = entry.as_ref();
        match self.what {
            What::Delivered => self.deliver(entry, &context),
            What::Answered(call, word, on) => {
                let held = self.held();
                let own = Entry::InFlight(held.clone());
                let entry = if on == On::Own { Some(&own) } else { entry };
                let (verdict, finding) = (verdict(word), finding(word));
                let answered = Answered {
                    held: &held,
                    call,
                    answer: match (call, &verdict, &finding) {
                        (Call::Send, Some(verdict), _) => Answer::Sent(verdict),
                        (Call::Send, _, _) => Answer::Withheld(withheld(word)),
                        (_, _, Some(finding)) => Answer::Queried(finding),
                        (call, _, None) => panic!("{call:?} is not answered by {word:?}"),
                    },
                    lease: self.lease,
                    digest: DIGEST,
                };
                step(entry, Event::Answered(&answered), &context)
            }
            What::Learnt(word) => {
                let Some(Finding::Found(operation)) = finding(word) else {
                    panic!("{word:?} tells of no operation")
                };
                let operation = &*operation;
                step(entry, Event::Learnt(&Learnt { operation }), &context)
            }
            What::Overdue => step(entry, Event::Overdue, &context),
        }
    }

    fn deliver(self, entry: Option<&Entry>, context: &Context<'_>) -> Transition {
        let mut job = job();
        if self.expired {
            job.not_after = Some(UnixMillis(NOW.0 - 1));
        }
        let delivered = Delivered {
            job: &job,
            fingerprint: JOB,
            return_address: &ReturnAddress::default(),
            ticket: self.ticket.map(Ticket),
            arrival: self.arrival,
            lane: self.lane,
            lease: Lease {
                token: OWN,
                expires_at: NOW.plus(LEASE),
            },
            digest: DIGEST,
        };
        step(entry, Event::Delivered(&delivered), context)
    }

    /// The entry as the answered holder has it: attempt 2.
    fn held(self) -> InFlight {
        let mut pending = pending(JOB, self.held.maybe_sent);
        pending.absence = Absence {
            count: self.held.absences,
            since: (self.held.absences > 0)
                .then(|| UnixMillis(NOW.0 - 30_000).plus(self.since_later)),
        };
        pending.refusal = self.held.refused.then(refusal);
        pending.number_used = self.held.used;
        if self.held.other_bytes {
            pending.digest = Some(RequestDigest([8; 16]));
        }
        InFlight {
            lease: Lease {
                token: OWN,
                expires_at: NOW.plus(LEASE),
            },
            attempt: 2,
            pending,
        }
    }
}

/// The rules' numbers of every table: two confirmations over 30 s, `unresolved` and rescue after
/// 10 min.
pub(crate) fn policy() -> Policy {
    Policy {
        retry: RetryPolicy::new(Duration::from_millis(500), Duration::from_secs(1020), 2000)
            .unwrap(),
        absence_confirmations: 2,
        absence_window: WINDOW,
        unresolved_after: Duration::from_secs(600),
        rescue_after: Duration::from_secs(600),
    }
}

pub(crate) fn job() -> MoneyJob {
    MoneyJob {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new("R1").unwrap(),
        request: MoneyRequest::Disburse {
            out_order_no: MerchantNo::new("O1").unwrap(),
            deduct: OrderRef::OutOrderNo(MerchantNo::new("P1").unwrap()),
            order_title: Caption::new("packet").unwrap(),
            amount: Fen::new(888).unwrap(),
            payee: Payee::UserId(UserId::new("2088000000000001").unwrap()),
            extras: Extras::default(),
        },
        labels: Labels::default(),
        not_after: None,
    }
}

fn pending(fingerprint: Fingerprint, maybe_sent: bool) -> Pending {
    Pending {
        job: job(),
        fingerprint,
        return_address: ReturnAddress::default(),
        maybe_sent,
        digest: Some(DIGEST),
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        attempts: 1,
        inconclusive: 0,
        rescues: 0,
        first_seen_at: NOW,
        numbers: None,
        unresolved_announced: false,
    }
}

pub(crate) fn entry(state: State) -> Option<Entry> {
    let in_flight = |expires_at, digest| {
        Entry::InFlight(InFlight {
            lease: Lease {
                token: LeaseToken(2),
                expires_at,
            },
            attempt: 2,
            pending: Pending {
                digest,
                ..pending(JOB, false)
            },
        })
    };
    let deferred = |pending| {
        Entry::Deferred(Deferred {
            ticket: Ticket(3),
            due_at: NOW,
            pending,
        })
    };
    let settled = |fingerprint, resolution| {
        Entry::Settled(Outcome {
            kind: job().kind(),
            fingerprint,
            out_order_no: job().out_order_no().cloned(),
            auth_no: None,
            amount: job().amount(),
            resolution,
            attempts: 2,
            settled_at: NOW,
            labels: Labels::default(),
        })
    };
    Some(match state {
        State::Absent => return None,
        State::Held => in_flight(NOW.plus(Duration::from_millis(1)), Some(DIGEST)),
        State::LeaseOver => in_flight(NOW, Some(DIGEST)),
        State::AskedExpired => in_flight(NOW, None),
        State::Unsent => deferred(pending(JOB, false)),
        State::Sent => deferred(pending(JOB, true)),
        State::GivenToOperators => deferred(Pending {
            rescues: 4,
            ..pending(JOB, true)
        }),
        State::Succeeded => settled(JOB, Resolution::of_receipt(&Receipt::default())),
        State::Failed => settled(JOB, Resolution::Failed(Failure::Refused(refusal()))),
        State::OtherJob => deferred(pending(OTHER, false)),
        State::OtherJobSettled => settled(OTHER, Resolution::of_receipt(&Receipt::default())),
    })
}

pub(crate) fn refusal() -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: None,
    }
}

fn blockage(proof: Proof) -> Blockage {
    Blockage {
        code: "40002".to_owned(),
        sub_code: None,
        proof,
    }
}

fn verdict(word: Word) -> Option<Verdict> {
    Some(match word {
        Word::Succeeded => Verdict::Succeeded(Receipt::default()),
        Word::Refused => Verdict::Refused(refusal()),
        Word::RefusedUnconfirmed => Verdict::RefusedUnconfirmed(refusal()),
        Word::InProgress => Verdict::InProgress(None),
        Word::Unknown => Verdict::Unknown(Doubt::TimedOut),
        Word::AlreadyUsed => Verdict::AlreadyUsed,
        Word::NotExecuted => Verdict::NotExecuted(NotExecuted::NotSent),
        Word::BlockedSigned => Verdict::Blocked(blockage(Proof::Signed)),
        Word::BlockedUnsigned => Verdict::Blocked(blockage(Proof::Unsigned)),
        Word::Found(_)
        | Word::FoundOtherAmount
        | Word::NotFound
        | Word::QueryUnknown
        | Word::QueryNotExecuted
        | Word::QueryBlocked
        | Word::Paused
        | Word::OverBudget
        | Word::Unwanted
        | Word::Uncounted => return None,
    })
}

fn withheld(word: Word) -> Withheld {
    match word {
        Word::Paused => Withheld::Paused,
        Word::OverBudget => Withheld::OverBudget { until: UNTIL },
        Word::Unwanted => Withheld::Unwanted { until: UNTIL },
        Word::Uncounted => Withheld::Uncounted,
        other => panic!("a send is not answered by {other:?}"),
    }
}

pub(crate) fn finding(word: Word) -> Option<Finding> {
    Some(match word {
        Word::Found(status) => Finding::Found(Box::new(operation(888, status))),
        Word::FoundOtherAmount => {
            Finding::Found(Box::new(operation(999, OperationStatus::Success)))
        }
        Word::NotFound => Finding::NotFound,
        Word::QueryUnknown => Finding::Unknown(Doubt::TimedOut),
        Word::QueryNotExecuted => Finding::NotExecuted(NotExecuted::Limited),
        Word::QueryBlocked => Finding::Blocked(blockage(Proof::Signed)),
        Word::Paused
        | Word::Succeeded
        | Word::Refused
        | Word::RefusedUnconfirmed
        | Word::InProgress
        | Word::Unknown
        | Word::AlreadyUsed
        | Word::NotExecuted
        | Word::BlockedSigned
        | Word::BlockedUnsigned
        | Word::OverBudget
        | Word::Unwanted
        | Word::Uncounted => return None,
    })
}

/// The operation that the job asks for, with `amount`.
pub(crate) fn operation(amount: u64, status: OperationStatus) -> Operation {
    Operation {
        auth_no: None,
        out_order_no: job().out_order_no().cloned(),
        operation_id: None,
        out_request_no: Some(job().out_request_no),
        amount: Fen::new(amount),
        status,
        operation_type: Some(OperationType::Pay),
        order_title: Some("packet".to_owned()),
        remark: None,
        payer_user_id: None,
        payee_user_id: UserId::new("2088000000000001").ok(),
        gmt_trans: None,
    }
}
