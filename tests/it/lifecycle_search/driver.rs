//! What can happen next in a world: the outside, the rescue task, notifications, and two workers
//! that do what the real [`lifecycle::step`] tells them.

use hongbaod::domain::entry::{InFlight, LeaseToken, RequestDigest, Ticket};
use hongbaod::domain::verdict::Operation;
use hongbaod::lifecycle::{
    self, Answer, Answered, Arrival, Call, Context, Delivered, Event, Lane, Learnt, LeaseLife,
    Memory, Transition, Withheld,
};

use crate::lifecycle_search::bank::Manners;
use crate::lifecycle_search::search::Step;
use crate::lifecycle_search::translation::{self, NOW, Translation};
use crate::lifecycle_search::world::{
    Asked, Budget, Copy, JobName, Known, Place, Published, Slot, Told, Word, Worker, World,
};

/// A mistake planted on the test's side, to prove that the search would see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A deferred entry forgets that something was sent.
    ForgetsThatItSent,
    /// One "not found" after a possible send is taken for proof.
    BelievesOneNotFound,
    /// Whoever takes over an expired lease sends without asking first.
    SendsAtTakeover,
    /// A copy whose ticket equals the entry's is dropped as old.
    DropsTheNewestCopy,
    /// The lack of an entry always means that nothing was sent.
    IgnoresDoubt,
    /// A negative word is settled whoever holds the job by now.
    SettlesLateNegatives,
    /// A refusal is final even though an earlier attempt may have gone through.
    BelievesARefusalAfterASend,
    /// A timeout counts as a refusal.
    TakesATimeoutForARefusal,
    /// An operation of other content counts as the job's own.
    ComparesNothing,
    /// A resend may have other bytes than the first.
    ResendsOtherBytes,
    /// `not_after` rejects whatever was sent.
    RejectsWhateverIsExpired,
    /// An expired job without an entry is rejected, outside doubt, without asking Alipay.
    RejectsTheForgotten,
    /// A job over its budget that may have been sent is rejected after one "not found", as if it was not.
    RejectsWhateverIsOverBudget,
    /// A job over its budget is rejected, outside doubt, without asking Alipay.
    RejectsOverBudgetUnasked,
    /// A conflict is announced under the number's own event id.
    SharesTheConflictId,
    /// The delivery is acknowledged before the outcome is announced.
    AcksBeforeItAnnounces,
    /// The deferred entry is written before its copy is published.
    DefersBeforeItPublishes,
    /// A dead letter without its ticket is dropped as old.
    DropsWhatOperatorsReplay,
    /// A request is sent although the lease is over.
    SendsWithoutALease,
}

/// One search: the world's manners, what may go wrong and how far to look.
#[derive(Clone, Copy)]
pub(crate) struct Scenario<'a> {
    pub(crate) translation: &'a Translation,
    pub(crate) manners: Manners,
    pub(crate) budget: Budget,
    /// The window assumption: when the last answer of an absence comes, nothing sent before is
    /// still under way or invisible, and no lease granted before lives.
    pub(crate) window: bool,
    /// The second worker is another version, which makes other bytes.
    pub(crate) rolling: bool,
    /// Rescue even though copies wait; the driver does not, but a copy may be overlooked.
    pub(crate) hasty_rescue: bool,
    pub(crate) mistake: Option<Mistake>,
    pub(crate) states_max: usize,
}

/// From this attempt on nothing is hidden any more, which bounds the waiting.
const ATTEMPT_PROMPT: u8 = 5;
const TICKET_RESCUED_MAX: u8 = ATTEMPT_PROMPT + 4;
const COPIES_PUBLISHED_MAX: usize = 7;

impl Scenario<'_> {
    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn context(&self, world: &World) -> Context<'_> {
        let doubtful = world.doubtful && !self.has(Mistake::IgnoresDoubt);
        Context {
            now: NOW,
            jitter_permille: 0,
            memory: if doubtful {
                Memory::Doubtful
            } else {
                Memory::Sound
            },
            policy: &self.translation.policy,
        }
    }

    /// Everything that may happen next.
    pub(crate) fn steps(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        self.outside(world, &mut steps);
        self.notifications(world, &mut steps);
        self.rescue(world, &mut steps);
        for index in [0, 1] {
            match world.workers[index] {
                None => self.receive(world, index, &mut steps),
                Some(worker) => self.work(world, index, worker, &mut steps),
            }
        }
        steps
    }

    fn notifications(&self, world: &World, steps: &mut Vec<Step>) {
        let moved = |job| world.bank.executed.iter().any(|e| e.job == job);
        if let (None, Some(job)) = (world.notifier, world.ledger.job())
            && world.budget.notifications > 0
            && world.ledger.is_unsettled()
            && moved(job)
        {
            let operation: Operation = self.translation.operation(job);
            let entry = self.translation.entry(world.ledger, world.lease);
            let learnt = Learnt {
                operation: &operation,
            };
            let told =
                lifecycle::step(entry.as_ref(), Event::Learnt(&learnt), &self.context(world));
            let Transition::Settle(outcome) = told else {
                unreachable!("a notification of success settles: {told:?}")
            };
            let settled = self.translation.settled(&outcome);
            push(steps, "a notification settles", world, |world| {
                world.write(settled);
                world.notifier = Some(settled);
                world.budget.notifications -= 1;
            });
        }
        if let Some(settled) = world.notifier {
            push(
                steps,
                "the notification's handler announces",
                world,
                |world| {
                    announce(world, settled);
                    world.notifier = None;
                },
            );
            fault(
                steps,
                "the notification's handler crashes",
                world,
                |world| {
                    world.notifier = None;
                },
            );
        }
    }

    fn rescue(&self, world: &World, steps: &mut Vec<Step>) {
        if let Some(rescuer) = world.rescuer {
            push(steps, "rescue writes if nothing changed", world, |world| {
                if world.ledger == rescuer.read && !world.lease {
                    world.write(rescuer.write);
                }
                world.rescuer = None;
            });
            fault(steps, "rescue crashes before it writes", world, |world| {
                world.rescuer = None;
            });
            return;
        }
        let patient = self.hasty_rescue || world.copies.is_empty();
        if world.budget.rescues == 0 || !patient || !world.ledger.is_unsettled() {
            return;
        }
        let entry = self.translation.entry(world.ledger, world.lease);
        let context = self.context(world);
        let (buried, entry) = match lifecycle::step(entry.as_ref(), Event::Overdue, &context) {
            Transition::Rescue(entry) => (false, entry),
            Transition::GiveToOperators(entry) => (true, entry),
            Transition::Refuse(_) => return,
            other => unreachable!("rescue is told {other:?}"),
        };
        let write = translation::deferred(&entry);
        let Slot::Deferred { ticket, known } = write else {
            unreachable!("deferred() makes a deferred slot")
        };
        if ticket > TICKET_RESCUED_MAX || world.copies.len() > COPIES_PUBLISHED_MAX {
            return;
        }
        let copy = Copy {
            job: known.job,
            ticket: Some(ticket),
            redelivered: buried,
        };
        let what = if buried {
            "rescue buries a copy for operators"
        } else {
            "rescue publishes a copy"
        };
        push(steps, what, world, |world| {
            if buried {
                world.dead.push(copy);
            } else {
                world.add_copy(copy);
            }
            world.rescuer = Some(crate::lifecycle_search::world::Rescuer {
                read: world.ledger,
                write,
            });
            world.budget.rescues -= 1;
        });
    }

    fn receive(&self, world: &World, index: usize, steps: &mut Vec<Step>) {
        // The workers are alike: the first takes the first delivery.
        if index == 1 && world.workers[0].is_none() && !self.rolling {
            return;
        }
        let mut seen = None;
        for (at, copy) in world.copies.iter().enumerate() {
            if seen.replace(*copy) == Some(*copy) {
                continue;
            }
            let what = format!("w{index} receives {copy:?}");
            push(steps, what, world, |world| {
                world.copies.remove(at);
                world.workers[index] = Some(Worker {
                    place: Place::Admit,
                    copy: *copy,
                    channel: true,
                    written: Slot::Absent,
                    held: None,
                    lease: false,
                });
            });
        }
    }

    fn work(&self, world: &World, index: usize, worker: Worker, steps: &mut Vec<Step>) {
        let copy = worker.copy;
        let again = |world: &mut World| {
            if worker.channel {
                world.add_copy(Copy {
                    redelivered: true,
                    ..copy
                });
            }
        };
        let what = |text: &str| format!("w{index} {text} at {:?}", worker.place);
        fault(steps, what("CRASHES"), world, |world| {
            again(world);
            world.workers[index] = None;
        });
        if worker.channel {
            fault(steps, what("LOSES ITS CHANNEL"), world, |world| {
                again(world);
                world.workers[index] = Some(Worker {
                    channel: false,
                    ..worker
                });
            });
        }
        let mut hand = Hand {
            scenario: self,
            world,
            index,
            worker,
            steps,
        };
        match worker.place {
            Place::Admit => hand.admit(),
            Place::Call(asked) => hand.call(asked),
            Place::Judge(asked, word) => hand.judge(asked, word),
            Place::Publish(entry) => hand.publish(entry),
            Place::Defer(entry) => hand.defer(entry),
            Place::Announce(settled) => hand.announce(settled),
            Place::Park => hand.park(),
            Place::Conflict => hand.conflict(),
            Place::Ack => push(hand.steps, format!("w{index} acks"), world, |world| {
                world.workers[index] = None;
            }),
        }
    }

    /// What the lifecycle says about a delivery.
    pub(crate) fn decide_delivery(
        &self,
        world: &World,
        index: usize,
        copy: Copy,
        lane: Lane,
    ) -> Transition {
        let doubt = !self.has(Mistake::IgnoresDoubt);
        let mut ticket = copy.ticket;
        if !doubt && world.ledger == Slot::Absent {
            ticket = None;
        }
        if self.has(Mistake::DropsTheNewestCopy) && matches!(world.ledger, Slot::Deferred { .. }) {
            ticket = ticket.and_then(|ticket| ticket.checked_sub(1));
        }
        let state = self.translation.entry(world.ledger, world.lease);
        let arrival = if copy.redelivered && doubt {
            Arrival::Again
        } else {
            Arrival::First
        };
        let context = self.context(world);
        let rejects = self.has(Mistake::RejectsWhateverIsExpired) && !world.ledger.is_settled();
        if rejects && world.expired && !world.lease {
            return Transition::Settle(Box::new(self.translation.rejection(copy.job)));
        }
        let job = self.translation.job(copy.job, world.expired);
        let delivered = Delivered {
            job: &job,
            fingerprint: translation::fingerprint(copy.job),
            return_address: &self.translation.return_address,
            ticket: ticket.map(|ticket| Ticket(u32::from(ticket))),
            arrival,
            lane,
            lease: translation::new_lease(),
            digest: self.digest(index),
        };
        let told = lifecycle::step(state.as_ref(), Event::Delivered(&delivered), &context);
        match told {
            Transition::Claim {
                entry,
                call: Call::Query,
            } if self.has(Mistake::SendsAtTakeover)
                && matches!(world.ledger, Slot::InFlight { .. }) =>
            {
                Transition::Claim {
                    entry,
                    call: Call::Send,
                }
            }
            Transition::Claim { .. }
                if self.has(Mistake::DropsWhatOperatorsReplay)
                    && copy.ticket.is_none()
                    && matches!(world.ledger, Slot::Deferred { .. }) =>
            {
                Transition::Drop
            }
            Transition::Claim {
                call: Call::QueryExpired,
                ..
            } if self.has(Mistake::RejectsTheForgotten) && world.ledger == Slot::Absent => {
                Transition::Settle(Box::new(self.translation.rejection(copy.job)))
            }
            told => told,
        }
    }

    fn digest(&self, index: usize) -> RequestDigest {
        RequestDigest([self.bytes(index); 16])
    }

    pub(crate) fn bytes(&self, index: usize) -> u8 {
        match (self.rolling, index) {
            (true, 1) => 1,
            _ => 0,
        }
    }

    /// What the lifecycle says about an answer, given what the ledger holds.
    pub(crate) fn decide_answer(
        &self,
        world: &World,
        index: usize,
        worker: Worker,
        (asked, word): (Asked, Word),
        ledger: Slot,
    ) -> Transition {
        let Slot::InFlight { attempt, known, .. } = worker.written else {
            unreachable!("only a holder calls")
        };
        let mut known: Known = worker.held.unwrap_or(known);
        let mut asked = asked;
        let mut word = word;
        let mut lease = if worker.lease {
            LeaseLife::Alive
        } else {
            LeaseLife::Over
        };
        let mut ledger = ledger;
        if self.has(Mistake::BelievesOneNotFound) && asked == Asked::Query {
            asked = Asked::QueryOnce;
        }
        if self.has(Mistake::SettlesLateNegatives) {
            lease = LeaseLife::Alive;
            if ledger.is_unsettled() && ledger.job() == Some(known.job) {
                ledger = worker.written;
            }
        }
        if self.has(Mistake::BelievesARefusalAfterASend) && word == Word::Refused {
            known.maybe_sent = false;
        }
        if word == Word::Withheld {
            (asked, word) = self.withheld(world, &mut known, asked);
        }
        if self.has(Mistake::TakesATimeoutForARefusal) && word == Word::Unknown {
            known.maybe_sent = false;
            word = Word::Refused;
        }
        if self.has(Mistake::ComparesNothing)
            && let Word::Found(_) = word
        {
            word = Word::Found(known.job);
        }
        if self.has(Mistake::ResendsOtherBytes) {
            known.digest = self.bytes(index);
        }
        let held = InFlight {
            lease: hongbaod::domain::entry::Lease {
                token: self.token(worker.written),
                expires_at: NOW,
            },
            attempt: u32::from(attempt),
            pending: self.translation.pending(known),
        };
        let state = self.translation.entry(ledger, world.lease);
        let context = self.context(world);
        let ask = |answer| {
            let answered = Answered {
                held: &held,
                call: translation::call(asked),
                answer,
                lease,
                digest: self.digest(index),
            };
            lifecycle::step(state.as_ref(), Event::Answered(&answered), &context)
        };
        if word == Word::Withheld {
            ask(Answer::Withheld(Withheld::Unwanted { until: NOW }))
        } else if asked == Asked::Send {
            ask(Answer::Sent(&translation::verdict(word)))
        } else {
            ask(Answer::Queried(&self.translation.finding(word)))
        }
    }

    /// What a worker makes of a send that the spend guard withheld.
    fn withheld(&self, world: &World, known: &mut Known, asked: Asked) -> (Asked, Word) {
        if self.has(Mistake::RejectsWhateverIsOverBudget) {
            known.maybe_sent = false;
        }
        let unasked = self.has(Mistake::RejectsOverBudgetUnasked);
        if unasked && !known.maybe_sent && !world.doubtful {
            (Asked::QueryOverBudget, Word::NotFound)
        } else {
            (asked, Word::Withheld)
        }
    }

    fn token(&self, slot: Slot) -> LeaseToken {
        match self.translation.entry(slot, true) {
            Some(hongbaod::domain::entry::Entry::InFlight(entry)) => entry.lease.token,
            other => unreachable!("{other:?} has no lease"),
        }
    }

    /// Whether "not found" must wait, because something that it does not see is under way.
    pub(crate) fn must_wait(&self, known: Known, attempt: u8, hidden: bool) -> bool {
        let last = known.absences + 1 >= translation::CONFIRMATIONS;
        hidden && ((last && self.window) || attempt >= ATTEMPT_PROMPT)
    }
}

pub(crate) use crate::lifecycle_search::worker::Hand;

/// A step that needs no fault.
pub(crate) fn push(
    steps: &mut Vec<Step>,
    what: impl Into<String>,
    world: &World,
    change: impl FnOnce(&mut World),
) {
    let mut world = world.clone();
    change(&mut world);
    steps.push(Step {
        what: what.into(),
        fault: false,
        world,
    });
}

/// A step that takes a fault from the budget; none when it is used up.
pub(crate) fn fault(
    steps: &mut Vec<Step>,
    what: impl Into<String>,
    world: &World,
    change: impl FnOnce(&mut World),
) {
    if world.budget.faults == 0 {
        return;
    }
    let mut world = world.clone();
    world.budget.faults -= 1;
    change(&mut world);
    steps.push(Step {
        what: what.into(),
        fault: true,
        world,
    });
}

/// Publishes the outcome that a settled slot records.
pub(crate) fn announce(world: &mut World, settled: Slot) {
    let Slot::Settled { job, told } = settled else {
        unreachable!("{settled:?} is not settled")
    };
    world.publish(Published {
        id: None,
        job,
        told,
    });
}

/// Publishes a conflict under its own id.
pub(crate) fn announce_conflict(world: &mut World, job: JobName, id: Option<JobName>) {
    world.publish(Published {
        id,
        job,
        told: Told::Conflict,
    });
}
