//! The world around one job number, small enough to be searched: message copies, two workers, the
//! ledger's entry, Alipay's bank, what was published, and how many faults may still happen.

use hongbaod::lifecycle::rescue::RESCUES_MAX;

/// One of the two jobs that may bear the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum JobName {
    A,
    B,
}

/// What is known of an unsettled job, without instants and counters that grow without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Known {
    pub(crate) job: JobName,
    pub(crate) maybe_sent: bool,
    pub(crate) absences: u8,
    pub(crate) number_used: bool,
    pub(crate) refused: bool,
    pub(crate) digest: u8,
    pub(crate) rescues: u8,
}

/// A settled result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Told {
    Succeeded,
    Failed,
    Expired,
    OverBudget,
    Conflict,
}

/// The ledger's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Absent,
    InFlight {
        holder: u8,
        attempt: u8,
        known: Known,
    },
    Deferred {
        ticket: u8,
        known: Known,
    },
    Settled {
        job: JobName,
        told: Told,
    },
}

impl Slot {
    pub(crate) fn is_unsettled(self) -> bool {
        self.job().is_some() && !self.is_settled()
    }

    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Self::Settled { .. })
    }

    pub(crate) fn job(self) -> Option<JobName> {
        match self {
            Self::Absent => None,
            Self::InFlight { known, .. } | Self::Deferred { known, .. } => Some(known.job),
            Self::Settled { job, .. } => Some(job),
        }
    }
}

/// A copy of a job's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Copy {
    pub(crate) job: JobName,
    pub(crate) ticket: Option<u8>,
    pub(crate) redelivered: bool,
}

/// What the last call of a worker brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    Succeeded,
    Refused,
    Unknown,
    NotExecuted,
    /// The spend guard let nothing be sent.
    Withheld,
    AlreadyUsed,
    Found(JobName),
    NotFound,
    NoAnswer,
}

/// A call as the lifecycle names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Send,
    Query,
    QueryOnce,
    QueryExpired,
    QueryOverBudget,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Reads the ledger and decides about its delivery.
    Admit,
    /// Is about to call.
    Call(Asked),
    /// Has an answer and is about to write what it means.
    Judge(Asked, Word),
    /// Is about to publish the retry copy of this entry.
    Publish(Slot),
    /// Is about to write this deferred entry.
    Defer(Slot),
    /// Is about to announce this settled entry.
    Announce(Slot),
    /// Is about to publish the parked copy.
    Park,
    /// Is about to announce a conflict.
    Conflict,
    /// Is about to acknowledge.
    Ack,
}

/// A worker with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) place: Place,
    pub(crate) copy: Copy,
    /// Whether its channel lives, so that its delivery comes again only after a crash.
    pub(crate) channel: bool,
    /// The entry as it last read or wrote it.
    pub(crate) written: Slot,
    /// What it has learnt since.
    pub(crate) held: Option<Known>,
    /// Whether its lease lives by its own clock.
    pub(crate) lease: bool,
}

/// One request as it arrives at Alipay: the job and the bytes it was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    pub(crate) job: JobName,
    pub(crate) bytes: u8,
}

/// Alipay's books.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bank {
    pub(crate) executed: Vec<Request>,
    pub(crate) pending: Vec<Request>,
    pub(crate) visible: bool,
}

/// A published terminal event: its id (the number's own, or one of the conflict's own), its job
/// and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Published {
    pub(crate) id: Option<JobName>,
    pub(crate) job: JobName,
    pub(crate) told: Told,
}

/// The rescue task between its publish and its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rescuer {
    pub(crate) read: Slot,
    pub(crate) write: Slot,
}

/// Where an old replica of the ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Replica {
    Following,
    StoppedAt(Slot),
    Gone,
}

/// How often things outside may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Crash, cut channel, lost reply, lost confirm, no answer, lease that ends under its holder.
    pub(crate) faults: u8,
    /// The producer submits the job again.
    pub(crate) duplicates: u8,
    /// The other job of the same number is submitted.
    pub(crate) conflicts: u8,
    /// The ledger forgets everything.
    pub(crate) flushes: u8,
    /// The ledger forgets everything, and nobody doubts any more: its retention, or a loss long ago.
    pub(crate) oblivions: u8,
    /// The ledger is set back to what a replica has.
    pub(crate) failovers: u8,
    pub(crate) rescues: u8,
    pub(crate) notifications: u8,
    /// `not_after` passes.
    pub(crate) expiries: u8,
    /// A delivery finds the breaker open.
    pub(crate) closures: u8,
    /// Somebody purges the queues.
    pub(crate) purges: u8,
    /// A send would exceed a cap, and the job is not wanted any more.
    pub(crate) caps: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) copies: Vec<Copy>,
    /// Dead letters.
    pub(crate) dead: Vec<Copy>,
    pub(crate) workers: [Option<Worker>; 2],
    pub(crate) ledger: Slot,
    /// Whether the lease of an in-flight entry lives by the wall clock.
    pub(crate) lease: bool,
    /// Whether a loss of memory was noticed.
    pub(crate) doubtful: bool,
    /// Whether a settled negative outcome was forgotten: the documented exception of P3 and P4.
    pub(crate) forgotten: bool,
    pub(crate) replica: Replica,
    pub(crate) expired: bool,
    pub(crate) bank: Bank,
    pub(crate) published: Vec<Published>,
    pub(crate) rescuer: Option<Rescuer>,
    /// A notification's handler between its settling and its announcing.
    pub(crate) notifier: Option<Slot>,
    pub(crate) budget: Budget,
}

impl World {
    /// One job submitted, nothing done yet.
    pub(crate) fn start(budget: Budget) -> Self {
        Self {
            copies: vec![Copy {
                job: JobName::A,
                ticket: None,
                redelivered: false,
            }],
            dead: Vec::new(),
            workers: [None, None],
            ledger: Slot::Absent,
            lease: false,
            doubtful: false,
            forgotten: false,
            replica: Replica::Following,
            expired: false,
            bank: Bank {
                executed: Vec::new(),
                pending: Vec::new(),
                visible: true,
            },
            published: Vec::new(),
            rescuer: None,
            notifier: None,
            budget,
        }
    }

    pub(crate) fn add_copy(&mut self, copy: Copy) {
        self.copies.push(copy);
        self.copies.sort_unstable();
    }

    pub(crate) fn publish(&mut self, event: Published) {
        if !self.published.contains(&event) {
            self.published.push(event);
            self.published.sort_unstable();
        }
    }

    /// Writes an entry; a claim starts a lease, everything else ends it.
    pub(crate) fn write(&mut self, slot: Slot) {
        self.ledger = slot;
        self.lease = matches!(slot, Slot::InFlight { .. });
    }

    /// The copies that a worker holds and that come again if it goes.
    fn held(&self) -> impl Iterator<Item = JobName> {
        self.workers
            .iter()
            .flatten()
            .filter(|worker| worker.channel)
            .map(|worker| worker.copy.job)
    }

    /// The promises that this world breaks.
    pub(crate) fn broken(&self, copies_max: usize) -> Vec<&'static str> {
        let mut broken = Vec::new();
        let moved = |job| self.bank.executed.iter().any(|request| request.job == job);
        if self.bank.executed.len() > 1 {
            broken.push("P1 money moved twice");
        }
        for event in &self.published {
            if event.told != Told::Succeeded && moved(event.job) {
                broken.push("P3 a negative outcome published, but money moved");
            }
            if event.told == Told::Succeeded && !moved(event.job) {
                broken.push("P5 success published of a job whose money did not move");
            }
        }
        for (first, second) in pairs(&self.published) {
            if first.id == second.id && first.job != second.job {
                broken.push("P4 one event id for two jobs");
            }
            if first.job == second.job {
                broken.push("P4 two outcomes of one job");
            }
        }
        if self.is_lost(JobName::A) || (self.was_submitted_b() && self.is_lost(JobName::B)) {
            broken.push("P2 a job is lost: no event, no copy, no entry");
        }
        if self.copies.len() > copies_max {
            broken.push("P6 copies grow");
        }
        if self.forgotten {
            broken.retain(|promise| !promise.starts_with("P3") && !promise.starts_with("P4"));
        }
        broken
    }

    fn was_submitted_b(&self) -> bool {
        let is_b = |copy: &Copy| copy.job == JobName::B;
        self.copies.iter().any(is_b)
            || self.ledger.job() == Some(JobName::B)
            || self.published.iter().any(|event| event.job == JobName::B)
            || self.workers.iter().flatten().any(|w| is_b(&w.copy))
    }

    fn is_lost(&self, job: JobName) -> bool {
        let announced = self.published.iter().any(|event| event.job == job);
        let queued = self
            .copies
            .iter()
            .chain(&self.dead)
            .any(|copy| copy.job == job);
        let held = self.held().any(|held| held == job);
        // What was given to operators is left alone by the rescue task.
        let given_up = matches!(self.ledger, Slot::Deferred { known, .. }
            if u32::from(known.rescues) > RESCUES_MAX);
        let remembered = self.ledger.is_unsettled() && self.ledger.job() == Some(job) && !given_up;
        let notified = self.notifier.is_some_and(|slot| slot.job() == Some(job));
        !(announced || queued || held || remembered || notified)
    }

    /// Whether everything is over: nobody works, nothing waits, something was announced.
    pub(crate) fn is_quiet(&self) -> bool {
        self.copies.is_empty()
            && self.dead.is_empty()
            && self.workers.iter().all(Option::is_none)
            && !self.published.is_empty()
    }
}

fn pairs<T>(items: &[T]) -> impl Iterator<Item = (&T, &T)> {
    items
        .iter()
        .enumerate()
        .flat_map(|(at, first)| items.iter().skip(at + 1).map(move |second| (first, second)))
}
