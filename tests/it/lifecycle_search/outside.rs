//! What happens around the daemon: producers, Redis, leases, Alipay's late effects, operators.

use crate::lifecycle_search::driver::{Scenario, fault, push};
use crate::lifecycle_search::search::Step;
use crate::lifecycle_search::world::{Copy, JobName, Place, Replica, Slot, Told, Worker, World};

impl Scenario<'_> {
    pub(crate) fn outside(&self, world: &World, steps: &mut Vec<Step>) {
        self.producers(world, steps);
        self.redis(world, steps);
        self.operators(world, steps);
        self.alipay(world, steps);
        self.leases(world, steps);
    }

    fn producers(&self, world: &World, steps: &mut Vec<Step>) {
        let first = |job| Copy {
            job,
            ticket: None,
            redelivered: false,
        };
        if world.budget.duplicates > 0 {
            push(steps, "the producer submits A again", world, |world| {
                world.budget.duplicates -= 1;
                world.add_copy(first(JobName::A));
            });
        }
        if world.budget.conflicts > 0 {
            push(steps, "the producer submits B", world, |world| {
                world.budget.conflicts -= 1;
                world.add_copy(first(JobName::B));
            });
        }
        if world.budget.expiries > 0 {
            push(steps, "not_after passes", world, |world| {
                world.budget.expiries -= 1;
                world.expired = true;
            });
        }
    }

    fn redis(&self, world: &World, steps: &mut Vec<Step>) {
        if world.budget.flushes > 0 && world.ledger != Slot::Absent {
            always(steps, "REDIS IS FLUSHED".to_owned(), world, |world| {
                world.forgotten |= tells_no(world);
                world.budget.flushes -= 1;
                world.write(Slot::Absent);
                world.doubtful = true;
            });
        }
        // So much later that nobody works, and that whatever was sent is visible.
        let quiet = world.workers.iter().all(Option::is_none)
            && world.rescuer.is_none()
            && world.notifier.is_none()
            && world.bank.pending.is_empty()
            && world.bank.visible;
        if world.budget.oblivions > 0 && world.ledger != Slot::Absent && quiet {
            let what = "THE LEDGER FORGETS, and the time of doubt is over".to_owned();
            always(steps, what, world, |world| {
                world.forgotten |= tells_no(world);
                world.budget.oblivions -= 1;
                world.write(Slot::Absent);
            });
        }
        if world.budget.failovers > 0 {
            match world.replica {
                Replica::Following => {
                    always(
                        steps,
                        "(the replica stops here)".to_owned(),
                        world,
                        |world| {
                            world.replica = Replica::StoppedAt(world.ledger);
                        },
                    );
                }
                Replica::StoppedAt(old) if old != world.ledger => {
                    let what = format!("REDIS FAILS OVER: the entry is again {old:?}");
                    always(steps, what, world, |world| {
                        world.write(old);
                        world.lease = false;
                        world.doubtful = true;
                        world.budget.failovers -= 1;
                        world.replica = Replica::Gone;
                    });
                }
                Replica::StoppedAt(_) | Replica::Gone => {}
            }
        }
    }

    fn operators(&self, world: &World, steps: &mut Vec<Step>) {
        // What somebody holds, and what an operator has just replayed, is not purged here: what is
        // settled but not announced, and what was given to operators, only a copy brings back.
        let idle = world.workers.iter().all(Option::is_none) && world.ledger.is_unsettled();
        let fresh = world.copies.iter().all(|copy| !copy.redelivered);
        if world.budget.purges > 0 && !world.copies.is_empty() && idle && fresh {
            always(
                steps,
                "SOMEBODY PURGES THE QUEUES".to_owned(),
                world,
                |world| {
                    world.budget.purges -= 1;
                    world.copies.clear();
                },
            );
        }
        for (at, copy) in world.dead.iter().enumerate() {
            // A dead letter keeps its ticket. One that lost it is safe only once the rescue task
            // has written that the job was given to operators.
            let stripped = world.rescuer.is_none().then_some(None);
            for ticket in [Some(copy.ticket), stripped].into_iter().flatten() {
                push(steps, "an operator replays a dead letter", world, |world| {
                    world.dead.remove(at);
                    world.add_copy(Copy {
                        ticket,
                        redelivered: true,
                        ..*copy
                    });
                });
            }
        }
    }

    fn alipay(&self, world: &World, steps: &mut Vec<Step>) {
        for request in &world.bank.pending {
            push(steps, "Alipay: a late effect lands", world, |world| {
                world.bank = self.manners.land(&world.bank, *request);
            });
        }
        if !world.bank.executed.is_empty() && !world.bank.visible {
            push(steps, "Alipay: becomes visible", world, |world| {
                world.bank.visible = true;
            });
        }
    }

    fn leases(&self, world: &World, steps: &mut Vec<Step>) {
        let holds =
            |worker: &Option<Worker>| worker.is_some_and(|worker| worker.written == world.ledger);
        if world.lease {
            if world.workers.iter().any(holds) {
                fault(
                    steps,
                    "THE LEASE ENDS, its holder goes on",
                    world,
                    |world| {
                        world.lease = false;
                        let ledger = world.ledger;
                        for worker in world.workers.iter_mut().flatten() {
                            worker.lease &= worker.written != ledger;
                        }
                    },
                );
            } else {
                push(
                    steps,
                    "the lease ends, its holder is gone",
                    world,
                    |world| {
                        world.lease = false;
                    },
                );
            }
        }
        for (index, worker) in world.workers.iter().enumerate() {
            if let Some(worker) = worker
                && worker.lease
                && worker.written != world.ledger
            {
                let what = format!("w{index}: its lease ends by its own clock");
                push(steps, what, world, |world| {
                    world.workers[index] = Some(Worker {
                        lease: false,
                        ..*worker
                    });
                });
            }
        }
    }
}

/// A fault with a budget of its own.
fn always(steps: &mut Vec<Step>, what: String, world: &World, change: impl FnOnce(&mut World)) {
    let mut world = world.clone();
    change(&mut world);
    steps.push(Step {
        what,
        fault: true,
        world,
    });
}

/// Whether a negative outcome was published, or is settled and about to be.
fn tells_no(world: &World) -> bool {
    let settled = matches!(
        world.ledger,
        Slot::Settled {
            told: Told::Failed | Told::Expired | Told::OverBudget,
            ..
        }
    );
    let conflict = |worker: &Worker| worker.place == Place::Conflict;
    settled
        || world.published.iter().any(|e| e.told != Told::Succeeded)
        || world.workers.iter().flatten().any(conflict)
}
