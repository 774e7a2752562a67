//! The state of one app's lane: its slots, its tokens and those who wait for them. Pure: nothing
//! here waits or reads a clock.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::time::Monotonic;
use crate::pacing::breaker::{Breaker, Change, OpenReason, Passage};
use crate::pacing::concurrency::Limit;
use crate::pacing::rate::{Rate, Token};
use crate::pacing::share::{Need, Share};
use crate::pacing::{PacedCall, PacingOptions, Signal};

/// The slots, tokens and queues of one app.
///
/// A call needs a token of its method; the first call of a job needs a slot too, and gets both at
/// once or neither: tokens that were hoarded while waiting for slots would be used all at once
/// later, and slots that were held while waiting for tokens would keep out the other methods.
/// Among the jobs whose method has a token, the one that came first gets the next slot. Jobs that
/// hold a slot already come before those that want one, for only they can free it.
///
/// Whoever is first in a queue and lacks only a token keeps the time for it: no task of our own
/// is needed.
#[derive(Debug)]
pub(super) struct Lane {
    methods: [Method; PacedCall::ALL.len()],
    limit: Limit,
    breaker: Breaker,
    in_flight: u32,
    tickets: u64,
}

#[derive(Debug)]
struct Method {
    rate: Rate,
    /// Jobs that hold a slot, for a further call.
    further: VecDeque<Arc<Waiter>>,
    /// Jobs that want a slot.
    fresh: VecDeque<Arc<Waiter>>,
    /// The ticket of the waiter that was told to keep the time.
    timekeeper: Option<u64>,
}

/// Somebody who waits. Tickets in a queue are in ascending order.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The lane's number of this wait.
    pub(super) ticket: u64,
    /// Rung when the decision was made, or when the waiter has to keep the time.
    pub(super) bell: Notify,
    /// What it came to; written once, under the lane's lock.
    decision: OnceLock<Decision>,
    call: PacedCall,
    want: Want,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    SlotAndToken,
    Token,
}

#[derive(Clone, Copy, Debug)]
enum Decision {
    Granted(Token),
    Closed { retry_after: Duration },
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is granted under this ticket.
    Granted(u64),
    /// It has to wait.
    Waiting(Arc<Waiter>),
    /// It is refused.
    Closed { retry_after: Duration },
}

/// How a waiter stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It has what it wants.
    Granted,
    /// The breaker opened.
    Closed { retry_after: Duration },
    /// Wait for the bell, and at most so long if it is `Some`.
    Waits(Option<Duration>),
}

impl Lane {
    /// Makes a lane whose methods each have what `rate` makes.
    pub(super) fn new(options: &PacingOptions, rate: impl Fn() -> Rate) -> Self {
        Self {
            methods: PacedCall::ALL.map(|_| Method {
                rate: rate(),
                further: VecDeque::new(),
                fresh: VecDeque::new(),
                timekeeper: None,
            }),
            limit: Limit::new(options.concurrency_min, options.concurrency_max),
            breaker: Breaker::new(),
            in_flight: 0,
            tickets: 0,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.get()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn open_reason(&self) -> Option<OpenReason> {
        self.breaker.reason()
    }

    /// Asks for a slot and a token.
    pub(super) fn ask(&mut self, call: PacedCall, now: Monotonic) -> Asked {
        let ticket = self.next_ticket();
        if let Passage::Refused { retry_after } = self.breaker.ask(ticket, now) {
            return Asked::Closed { retry_after };
        }
        // Those who came before, and whose token has come since, go first.
        self.advance(now);
        let has_slot = self.in_flight < self.limit.get();
        let method = &mut self.methods[call.index()];
        let is_first = method.further.is_empty() && method.fresh.is_empty();
        if is_first && has_slot && method.rate.take(now).is_some() {
            self.in_flight = self.in_flight.saturating_add(1);
            return Asked::Granted(ticket);
        }
        Asked::Waiting(self.queue(ticket, call, Want::SlotAndToken))
    }

    /// Asks for a token, for a job that holds a slot.
    pub(super) fn ask_further(&mut self, call: PacedCall, now: Monotonic) -> Asked {
        let ticket = self.next_ticket();
        let method = &mut self.methods[call.index()];
        if method.further.is_empty() && method.rate.take(now).is_some() {
            return Asked::Granted(ticket);
        }
        Asked::Waiting(self.queue(ticket, call, Want::Token))
    }

    /// How `waiter` stands. Who is told a length must ask again after it.
    pub(super) fn standing(&mut self, waiter: &Waiter, now: Monotonic) -> Standing {
        self.advance(now);
        match waiter.decision.get() {
            Some(Decision::Granted(_)) => Standing::Granted,
            Some(Decision::Closed { retry_after }) => Standing::Closed {
                retry_after: *retry_after,
            },
            None => {
                let method = &self.methods[waiter.call.index()];
                let keeps_time = method.timekeeper == Some(waiter.ticket);
                Standing::Waits(keeps_time.then(|| method.rate.wait(now)))
            }
        }
    }

    /// `waiter` gives up; what it was granted in the meantime goes to the next.
    pub(super) fn give_up(&mut self, waiter: &Waiter, now: Monotonic) {
        self.breaker.gone(waiter.ticket);
        let method = &mut self.methods[waiter.call.index()];
        match waiter.decision.get() {
            Some(Decision::Granted(token)) => {
                method.rate.give_back(*token);
                if waiter.want == Want::SlotAndToken {
                    self.in_flight = self.in_flight.saturating_sub(1);
                }
            }
            Some(Decision::Closed { .. }) => {}
            None => method.leave(waiter),
        }
        self.advance(now);
    }

    /// The permit of `ticket` is gone: its slot goes to the next.
    pub(super) fn release(&mut self, ticket: u64, now: Monotonic) {
        self.breaker.gone(ticket);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.advance(now);
    }

    /// Learns what came of the call that `ticket` made.
    pub(super) fn report(
        &mut self,
        (ticket, call): (u64, PacedCall),
        signal: Signal,
        now: Monotonic,
    ) {
        self.methods[call.index()].rate.report(signal, now);
        match signal {
            Signal::Answered => self.limit.answered(self.in_flight),
            Signal::TimedOut | Signal::Overloaded | Signal::Limited => self.limit.overloaded(now),
            Signal::NotSent | Signal::Broken | Signal::Blocked => {}
        }
        match self.breaker.report(ticket, signal, now) {
            Change::Nothing => {}
            Change::Opened { retry_after } => {
                for method in &mut self.methods {
                    for waiter in method.fresh.drain(..) {
                        waiter.decide(Decision::Closed { retry_after });
                    }
                }
            }
        }
        self.advance(now);
    }

    /// What is to be booked in the shared calendar now, for the first method that needs it. Whoever
    /// is told must book it and answer by [`Lane::booked`].
    pub(super) fn need(&mut self, now: Monotonic) -> Option<(PacedCall, Need)> {
        let has_slot = self.in_flight < self.limit.get();
        PacedCall::ALL.into_iter().find_map(|call| {
            let method = &mut self.methods[call.index()];
            let fresh = if has_slot { method.fresh.len() } else { 0 };
            let waiting = method.further.len().saturating_add(fresh);
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            let need = method.rate.need(waiting, now)?;
            Some((call, need))
        })
    }

    /// Learns by `learn` what was booked for `call`, and grants what can be granted with it.
    pub(super) fn booked(
        &mut self,
        call: PacedCall,
        now: Monotonic,
        learn: impl FnOnce(&mut Share),
    ) {
        let method = &mut self.methods[call.index()];
        method.rate.share().map(learn);
        // Whoever keeps the time keeps another now.
        method.timekeeper = None;
        self.advance(now);
    }

    /// Whether the last attempt to book calls failed.
    pub(super) fn is_failing(&mut self, call: PacedCall) -> bool {
        let share = self.methods[call.index()].rate.share();
        share.is_some_and(|share| share.is_failing())
    }

    /// How many jobs wait for a slot or a token.
    pub(super) fn waiting(&self) -> usize {
        let methods = self.methods.iter();
        methods
            .map(|method| method.further.len().saturating_add(method.fresh.len()))
            .sum()
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets = self.tickets.saturating_add(1);
        self.tickets
    }

    fn queue(&mut self, ticket: u64, call: PacedCall, want: Want) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            ticket,
            bell: Notify::new(),
            decision: OnceLock::new(),
            call,
            want,
        });
        let method = &mut self.methods[call.index()];
        method.line(want).push_back(Arc::clone(&waiter));
        waiter
    }

    /// Grants all that can be granted, and tells who has to keep the time.
    fn advance(&mut self, now: Monotonic) {
        for method in &mut self.methods {
            while !method.further.is_empty() && method.grant_first(Want::Token, now) {}
        }
        while self.in_flight < self.limit.get() {
            let ready = self.methods.iter_mut().filter_map(|method| {
                let ticket = method.fresh.front()?.ticket;
                method.rate.wait(now).is_zero().then_some((ticket, method))
            });
            let Some((_, method)) = ready.min_by_key(|(ticket, _)| *ticket) else {
                break;
            };
            if !method.grant_first(Want::SlotAndToken, now) {
                break;
            }
            self.in_flight = self.in_flight.saturating_add(1);
        }
        let has_slot = self.in_flight < self.limit.get();
        for method in &mut self.methods {
            let fresh = method.fresh.front().filter(|_| has_slot);
            let first = method.further.front().or(fresh);
            let timekeeper = first.map(|waiter| waiter.ticket);
            if let Some(first) = first
                && method.timekeeper != timekeeper
            {
                first.bell.notify_one();
            }
            method.timekeeper = timekeeper;
        }
    }
}

impl Method {
    fn line(&mut self, want: Want) -> &mut VecDeque<Arc<Waiter>> {
        match want {
            Want::SlotAndToken => &mut self.fresh,
            Want::Token => &mut self.further,
        }
    }

    /// Gives a token to the first in line; `false` when there is none, or nobody.
    fn grant_first(&mut self, want: Want, now: Monotonic) -> bool {
        let Some(token) = self.rate.take(now) else {
            return false;
        };
        match self.line(want).pop_front() {
            Some(waiter) => {
                waiter.decide(Decision::Granted(token));
                true
            }
            None => {
                self.rate.give_back(token);
                false
            }
        }
    }

    fn leave(&mut self, waiter: &Waiter) {
        let line = self.line(waiter.want);
        if let Ok(position) = line.binary_search_by_key(&waiter.ticket, |other| other.ticket) {
            line.remove(position);
        }
    }
}

impl Waiter {
    fn decide(&self, decision: Decision) {
        // A waiter leaves its line when it is decided, so the first decision is the only one.
        self.decision.get_or_init(|| decision);
        self.bell.notify_one();
    }
}
