//! One worker at each of its places, as the driver of the lifecycle does it: ledger, then publish
//! with confirm, then acknowledge.

use hongbaod::lifecycle::{Lane, Transition, Vacate};

use crate::lifecycle_search::driver::{
    Mistake, Scenario, announce, announce_conflict, fault, push,
};
use crate::lifecycle_search::search::Step;
use crate::lifecycle_search::translation;
use crate::lifecycle_search::world::{
    Asked, Copy, Known, Place, Replica, Request, Slot, Told, Word, Worker, World,
};

const COPIES_PUBLISHED_MAX: usize = 7;

/// One worker's next steps.
pub(crate) struct Hand<'a> {
    pub(crate) scenario: &'a Scenario<'a>,
    pub(crate) world: &'a World,
    pub(crate) index: usize,
    pub(crate) worker: Worker,
    pub(crate) steps: &'a mut Vec<Step>,
}

impl Hand<'_> {
    fn step(&mut self, what: &str, worker: Worker, change: impl FnOnce(&mut World)) {
        let index = self.index;
        push(
            self.steps,
            format!("w{index} {what}"),
            self.world,
            |world| {
                world.workers[index] = Some(worker);
                change(world);
            },
        );
    }

    fn fault(&mut self, what: &str, worker: Worker, change: impl FnOnce(&mut World)) {
        let index = self.index;
        fault(
            self.steps,
            format!("w{index} {what}"),
            self.world,
            |world| {
                world.workers[index] = Some(worker);
                change(world);
            },
        );
    }

    /// The worker at `place`, with nothing in hand.
    fn at(&self, place: Place) -> Worker {
        Worker {
            place,
            written: Slot::Absent,
            held: None,
            lease: false,
            ..self.worker
        }
    }

    /// The worker before the ledger again, its delivery taken as redelivered.
    fn over_again(&self) -> Worker {
        let mut worker = self.at(Place::Admit);
        worker.copy.redelivered = true;
        worker
    }

    fn announcing(&self, settled: Slot) -> Worker {
        let mut worker = self.at(Place::Announce(settled));
        if self.scenario.has(Mistake::AcksBeforeItAnnounces) {
            worker.channel = false;
        }
        worker
    }

    pub(crate) fn admit(&mut self) {
        self.admit_in(Lane::Open);
        if self.world.budget.closures > 0 {
            self.admit_in(Lane::Closed);
        }
    }

    fn admit_in(&mut self, lane: Lane) {
        let scenario = self.scenario;
        let read = self.world.ledger;
        let used = u8::from(lane == Lane::Closed);
        let told = scenario.decide_delivery(self.world, self.index, self.worker.copy, lane);
        match told {
            Transition::Claim { entry, call } => {
                let index = u8::try_from(self.index).unwrap();
                let slot = translation::in_flight(&entry, index);
                let asked = translation::asked(call);
                let worker = Worker {
                    written: slot,
                    lease: true,
                    ..self.at(Place::Call(asked))
                };
                self.step(&format!("claims, will {asked:?}"), worker, |world| {
                    world.write(slot);
                });
            }
            Transition::Settle(outcome) => {
                let settled = scenario.translation.settled(&outcome);
                let worker = self.announcing(settled);
                self.step("settles without a call", worker, |world| {
                    world.write(settled);
                    world.budget.closures -= used;
                });
            }
            Transition::Announce(outcome) => {
                let worker = self.announcing(scenario.translation.settled(&outcome));
                self.step("finds it settled", worker, |_| ());
            }
            Transition::Defer(deferral) => {
                let entry = translation::deferred(&deferral.entry);
                let worker = Worker {
                    written: read,
                    ..self.at(self.deferring(entry))
                };
                self.step("finds the lane closed", worker, |world| {
                    world.budget.closures -= used;
                });
            }
            Transition::Park => {
                let worker = self.at(Place::Park);
                self.step("parks", worker, |world| world.budget.closures -= used);
            }
            Transition::Drop => self.step("drops an old copy", self.at(Place::Ack), |_| ()),
            Transition::Conflict(Vacate::KeepEntry) => {
                self.step("finds other content", self.at(Place::Conflict), |_| ());
            }
            told => unreachable!("a delivery is told {told:?}"),
        }
    }

    /// Where a deferral starts: the copy is published before the entry is written.
    fn deferring(&self, entry: Slot) -> Place {
        if self.scenario.has(Mistake::DefersBeforeItPublishes) {
            Place::Defer(entry)
        } else {
            Place::Publish(entry)
        }
    }

    pub(crate) fn call(&mut self, asked: Asked) {
        let Slot::InFlight { attempt, known, .. } = self.worker.written else {
            unreachable!("only a holder calls")
        };
        let known = self.worker.held.unwrap_or(known);
        if asked == Asked::Send {
            self.send(known);
        } else {
            self.query(asked, known, attempt);
        }
    }

    fn send(&mut self, known: Known) {
        // Rule 3: no byte is written without a living lease.
        if !self.worker.lease && !self.scenario.has(Mistake::SendsWithoutALease) {
            let worker = self.over_again();
            return self.step("does not send, its lease is over", worker, |_| ());
        }
        if self.world.budget.caps > 0 {
            let worker = self.told(Asked::Send, Word::Withheld);
            self.step("would exceed a cap", worker, |world| {
                world.budget.caps -= 1;
            });
        }
        let request = Request {
            job: known.job,
            bytes: self.scenario.bytes(self.index),
        };
        for effect in self.scenario.manners.send(&self.world.bank, request) {
            let worker = self.told(Asked::Send, effect.word);
            let moves = effect.bank.executed.len() > self.world.bank.executed.len();
            let later = effect.bank.pending.len() > self.world.bank.pending.len();
            let what = format!(
                "sends: {:?}{}{}",
                effect.word,
                if moves { ", money moves" } else { "" },
                if later { ", effect comes later" } else { "" },
            );
            let bank = effect.bank;
            if effect.fault {
                self.fault(&what, worker, |world| world.bank = bank);
            } else {
                self.step(&what, worker, |world| world.bank = bank);
            }
        }
    }

    fn query(&mut self, asked: Asked, known: Known, attempt: u8) {
        let worker = self.told(asked, Word::NoAnswer);
        self.fault("queries: no answer", worker, |_| ());
        let (found, mut hidden) = self.scenario.manners.query(&self.world.bank, known.job);
        // The window outlasts any lease that was granted before it.
        let other = self.world.workers[1 - self.index];
        hidden |= other.is_some_and(|other| {
            other.lease
                && other.copy.job == known.job
                && matches!(other.place, Place::Call(_))
                && !self.scenario.has(Mistake::SendsWithoutALease)
        });
        if let Some(found) = found {
            let worker = self.told(asked, Word::Found(found));
            self.step("queries: found", worker, |_| ());
        } else if !self.scenario.must_wait(known, attempt, hidden) {
            let worker = self.told(asked, Word::NotFound);
            self.step("queries: not found", worker, |_| ());
        }
    }

    /// The worker once it has an answer. What needs no write is decided at once; what does is
    /// decided again when it is written.
    fn told(&self, asked: Asked, word: Word) -> Worker {
        let told = self.scenario.decide_answer(
            self.world,
            self.index,
            self.worker,
            (asked, word),
            self.worker.written,
        );
        match told {
            Transition::Call { held, call } => Worker {
                place: Place::Call(translation::asked(call)),
                held: Some(translation::known(&held.pending)),
                ..self.worker
            },
            Transition::Defer(deferral) => {
                let mut entry = translation::deferred(&deferral.entry);
                if self.scenario.has(Mistake::ForgetsThatItSent)
                    && let Slot::Deferred { known, .. } = &mut entry
                {
                    known.maybe_sent = false;
                }
                Worker {
                    place: self.deferring(entry),
                    lease: false,
                    held: None,
                    ..self.worker
                }
            }
            Transition::Settle(_) | Transition::Conflict(_) | Transition::StartOver => Worker {
                place: Place::Judge(asked, word),
                ..self.worker
            },
            told => unreachable!("a holder is told {told:?}"),
        }
    }

    pub(crate) fn judge(&mut self, asked: Asked, word: Word) {
        let ledger = self.world.ledger;
        let told =
            self.scenario
                .decide_answer(self.world, self.index, self.worker, (asked, word), ledger);
        match told {
            Transition::Settle(outcome) => {
                let settled = self.scenario.translation.settled(&outcome);
                let worker = self.announcing(settled);
                let what = format!("settles {word:?}");
                self.step(&what, worker, |world| world.write(settled));
                let worker = self.over_again();
                self.fault("settles, REPLY LOST", worker, |world| world.write(settled));
            }
            Transition::Announce(outcome) | Transition::Contradict { outcome, .. } => {
                let worker = self.announcing(self.scenario.translation.settled(&outcome));
                self.step("finds it settled", worker, |_| ());
            }
            Transition::Conflict(vacate) => {
                let own = self.worker.written == ledger;
                let worker = self.at(Place::Conflict);
                self.step("finds other content at Alipay", worker, |world| {
                    if own && vacate == Vacate::RemoveEntry {
                        world.write(Slot::Absent);
                    }
                });
            }
            Transition::StartOver => {
                self.step("comes too late, starts over", self.over_again(), |_| ());
            }
            Transition::Defer(deferral) => {
                let worker = Worker {
                    place: self.deferring(translation::deferred(&deferral.entry)),
                    lease: false,
                    held: None,
                    ..self.worker
                };
                self.step("notices that it may be forgotten", worker, |_| ());
            }
            told => unreachable!("a holder that writes is told {told:?}"),
        }
    }

    pub(crate) fn publish(&mut self, entry: Slot) {
        let Slot::Deferred { ticket, known } = entry else {
            unreachable!("{entry:?} is not deferred")
        };
        if self.world.copies.len() > COPIES_PUBLISHED_MAX {
            return;
        }
        let copy = Copy {
            job: known.job,
            ticket: Some(ticket),
            redelivered: false,
        };
        let next = if self.scenario.has(Mistake::DefersBeforeItPublishes) {
            self.at(Place::Ack)
        } else {
            Worker {
                place: Place::Defer(entry),
                ..self.worker
            }
        };
        let what = format!("publishes the copy with ticket {ticket}");
        self.step(&what, next, |world| world.add_copy(copy));
        let same = self.worker;
        self.fault("publishes, CONFIRM LOST", same, |world| {
            world.add_copy(copy)
        });
    }

    pub(crate) fn defer(&mut self, entry: Slot) {
        let ledger = self.world.ledger;
        let own = ledger == self.worker.written || ledger == Slot::Absent;
        let next = if self.scenario.has(Mistake::DefersBeforeItPublishes) && own {
            Worker {
                place: Place::Publish(entry),
                ..self.worker
            }
        } else {
            self.at(Place::Ack)
        };
        if own {
            self.step("writes that it is deferred", next, |world| {
                world.write(entry)
            });
            let worker = self.over_again();
            self.fault("defers, REPLY LOST", worker, |world| world.write(entry));
        } else {
            self.step("cannot defer: changed, the copy exists", next, |_| ());
        }
    }

    pub(crate) fn announce(&mut self, settled: Slot) {
        let negative = !matches!(
            settled,
            Slot::Settled {
                told: Told::Succeeded,
                ..
            }
        );
        // Rule 8: a negative outcome is on a replica before anybody hears it.
        if negative && self.world.replica == Replica::Gone && self.world.ledger != settled {
            let worker = self.over_again();
            return self.step("is not replicated, starts over", worker, |_| ());
        }
        self.step("announces", self.at(Place::Ack), |world| {
            if negative && matches!(world.replica, Replica::StoppedAt(_)) {
                world.replica = Replica::StoppedAt(settled);
            }
            announce(world, settled);
        });
    }

    pub(crate) fn park(&mut self) {
        if self.world.copies.len() > COPIES_PUBLISHED_MAX {
            return;
        }
        let copy = Copy {
            ticket: Some(self.worker.copy.ticket.unwrap_or(0)),
            redelivered: false,
            ..self.worker.copy
        };
        let next = self.at(Place::Ack);
        self.step("publishes the parked copy", next, |world| {
            world.add_copy(copy)
        });
        let same = self.worker;
        self.fault("parks, CONFIRM LOST", same, |world| world.add_copy(copy));
    }

    pub(crate) fn conflict(&mut self) {
        let job = self.worker.copy.job;
        let id = (!self.scenario.has(Mistake::SharesTheConflictId)).then_some(job);
        self.step("announces a conflict", self.at(Place::Ack), |world| {
            announce_conflict(world, job, id);
        });
    }
}
