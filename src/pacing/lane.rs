//! The state of one app's lane: its slots, its tokens and those who wait for them. Pure: nothing
//! here waits or reads a clock.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::time::Monotonic;
use crate::pacing::breaker::{Breaker, Change, OpenReason, Passage, WAIT_MAX};
use crate::pacing::concurrency::Limit;
use crate::pacing::line::{Line, Turn};
use crate::pacing::rate::{Rate, Token};
use crate::pacing::share::{Need, Share};
use crate::pacing::{Applicant, PacedCall, PacingOptions, Party, Rank, Signal};

/// A rank that was passed over so often by higher ones, although it could have gone, goes next.
pub(super) const PASSES_MAX: u32 = 8;

/// Below this limit no slot is kept free for anybody.
const RESERVE_LIMIT_MIN: u32 = 4;

/// The part of the limit that a rank leaves free for those above it, one slot at least.
const RESERVE_PARTS: u32 = 8;

/// The most slots that it leaves free. Slots of calls that take long become free often enough when
/// there are many of them.
const RESERVE_MAX: u32 = 8;

/// The answer to whoever asks for a paused call; nobody knows for how long.
const PAUSED: Asked = Asked::Closed {
    retry_after: WAIT_MAX,
};

/// The slots, tokens and queues of one app.
///
/// A call needs a token of its method; the first call of a job needs a slot too, and gets both at
/// once or neither: tokens that were hoarded while waiting for slots would be used all at once
/// later, and slots that were held while waiting for tokens would keep out the other methods.
/// Jobs that hold a slot already come before those that want one, for only they can free it. Among
/// the jobs whose method has a token, the highest rank gets the next slot, but a lower one that was
/// passed over [`PASSES_MAX`] times goes first once; within a rank the parties take turns, and within
/// a party the one that came first. A rank never fills all slots: an eighth of them, one to eight,
/// stays free for each rank above it, so that calls that take long delay no refund.
///
/// Whoever is first in a queue and lacks only a token keeps the time for it: no task of our own
/// is needed.
#[derive(Debug)]
pub(super) struct Lane {
    methods: [Method; PacedCall::ALL.len()],
    limit: Limit,
    breaker: Breaker,
    /// The methods that an operator has paused.
    paused: [bool; PacedCall::ALL.len()],
    /// By rank.
    in_flight: [u32; Rank::ALL.len()],
    /// How often a rank could have gone since it last went, and a higher one did.
    passed: [u32; Rank::ALL.len()],
    tickets: u64,
}

#[derive(Debug)]
struct Method {
    rate: Rate,
    /// Jobs that hold a slot, for a further call.
    further: VecDeque<Arc<Waiter>>,
    /// Jobs that want a slot, by rank.
    fresh: [Line; Rank::ALL.len()],
    /// The ticket of the waiter that was told to keep the time.
    timekeeper: Option<u64>,
}

/// Somebody who waits. Tickets of those who hold a slot are in ascending order.
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
    SlotAndToken(Rank, Party, Turn),
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
    /// The breaker opened, or the call was paused.
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
                fresh: Rank::ALL.map(|_| Line::default()),
                timekeeper: None,
            }),
            limit: Limit::new(options.concurrency_min, options.concurrency_max),
            breaker: Breaker::new(),
            paused: [false; PacedCall::ALL.len()],
            in_flight: [0; Rank::ALL.len()],
            passed: [0; Rank::ALL.len()],
            tickets: 0,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.get()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.iter().sum()
    }

    pub(super) fn open_reason(&self) -> Option<OpenReason> {
        self.breaker.reason()
    }

    /// Asks for a slot and a token.
    pub(super) fn ask(&mut self, who: Applicant, now: Monotonic) -> Asked {
        // Before the breaker, which takes whoever passes it for its probe.
        if self.paused[who.call.index()] {
            return PAUSED;
        }
        let ticket = self.next_ticket();
        if let Passage::Refused { retry_after } = self.breaker.ask(ticket, now) {
            return Asked::Closed { retry_after };
        }
        if self.takes(who, now) {
            return Asked::Granted(ticket);
        }
        let line = &mut self.methods[who.call.index()].fresh[who.rank.index()];
        let turn = line.turn(ticket, who.party);
        let want = Want::SlotAndToken(who.rank, who.party, turn);
        let waiter = Waiter::new(ticket, who.call, want);
        line.push(turn, Arc::clone(&waiter));
        Asked::Waiting(waiter)
    }

    /// Asks for a slot and a token, but would not wait for them: `None` if it had to.
    pub(super) fn ask_at_once(&mut self, who: Applicant, now: Monotonic) -> Option<Asked> {
        if self.paused[who.call.index()] {
            return Some(PAUSED);
        }
        let ticket = self.next_ticket();
        if let Passage::Refused { retry_after } = self.breaker.ask(ticket, now) {
            return Some(Asked::Closed { retry_after });
        }
        if self.takes(who, now) {
            return Some(Asked::Granted(ticket));
        }
        self.breaker.gone(ticket);
        None
    }

    /// Takes a slot and a token, if both are there when all who wait have got what they can.
    fn takes(&mut self, who: Applicant, now: Monotonic) -> bool {
        // Those who came before, and whose token has come since, go first. Whoever still waits
        // lacks a token that the newcomer lacks too, or has a rank without a slot.
        self.advance(now);
        let has_slot = self.has_slot(who.rank);
        let method = &mut self.methods[who.call.index()];
        let goes = has_slot && method.further.is_empty() && method.rate.take(now).is_some();
        if goes {
            self.count_in(who.rank);
        }
        goes
    }

    /// Asks for a token, for a job that holds a slot.
    pub(super) fn ask_further(&mut self, call: PacedCall, now: Monotonic) -> Asked {
        if self.paused[call.index()] {
            return PAUSED;
        }
        let ticket = self.next_ticket();
        let method = &mut self.methods[call.index()];
        if method.further.is_empty() && method.rate.take(now).is_some() {
            return Asked::Granted(ticket);
        }
        let waiter = Waiter::new(ticket, call, Want::Token);
        method.further.push_back(Arc::clone(&waiter));
        Asked::Waiting(waiter)
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
                if let Want::SlotAndToken(rank, ..) = waiter.want {
                    self.count_out(rank);
                }
            }
            Some(Decision::Closed { .. }) => {}
            None => method.leave(waiter),
        }
        self.advance(now);
    }

    /// The permit of `ticket` is gone: its slot goes to the next.
    pub(super) fn release(&mut self, ticket: u64, rank: Rank, now: Monotonic) {
        self.breaker.gone(ticket);
        self.count_out(rank);
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
            Signal::Answered => self.limit.answered(self.in_flight()),
            Signal::TimedOut | Signal::Overloaded | Signal::Limited => self.limit.overloaded(now),
            Signal::NotSent | Signal::Broken | Signal::Blocked => {}
        }
        match self.breaker.report(ticket, signal, now) {
            Change::Nothing => {}
            Change::Opened { retry_after } => {
                for method in &mut self.methods {
                    for waiter in method.fresh.iter_mut().flat_map(Line::drain) {
                        waiter.decide(Decision::Closed { retry_after });
                    }
                }
            }
        }
        self.advance(now);
    }

    /// From now on nobody gets anything for `call`; those who wait for it are sent away.
    pub(super) fn pause(&mut self, call: PacedCall, now: Monotonic) {
        self.paused[call.index()] = true;
        let method = &mut self.methods[call.index()];
        let further = method.further.drain(..);
        let fresh = method.fresh.iter_mut().flat_map(Line::drain);
        for waiter in further.chain(fresh) {
            // It may have been the breaker's probe, and will not report.
            self.breaker.gone(waiter.ticket);
            waiter.decide(Decision::Closed {
                retry_after: WAIT_MAX,
            });
        }
        // Whoever kept the time for them is gone.
        self.advance(now);
    }

    /// `call` is paced again like any other.
    pub(super) fn resume(&mut self, call: PacedCall) {
        self.paused[call.index()] = false;
    }

    /// What is to be booked in the shared calendar now, for the first method that needs it. Whoever
    /// is told must book it and answer by [`Lane::booked`].
    pub(super) fn need(&mut self, now: Monotonic) -> Option<(PacedCall, Need)> {
        let has_slot = Rank::ALL.map(|rank| self.has_slot(rank));
        PacedCall::ALL.into_iter().find_map(|call| {
            let method = &mut self.methods[call.index()];
            let lines = method.fresh.iter().zip(has_slot);
            let fresh: usize = lines
                .filter(|(_, has_slot)| *has_slot)
                .map(|(line, _)| line.len())
                .sum();
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
            .map(|method| {
                let fresh: usize = method.fresh.iter().map(Line::len).sum();
                method.further.len().saturating_add(fresh)
            })
            .sum()
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets = self.tickets.saturating_add(1);
        self.tickets
    }

    fn count_in(&mut self, rank: Rank) {
        let count = &mut self.in_flight[rank.index()];
        *count = count.saturating_add(1);
    }

    fn count_out(&mut self, rank: Rank) {
        let count = &mut self.in_flight[rank.index()];
        *count = count.saturating_sub(1);
    }

    /// Whether one more of `rank` may be in flight.
    fn has_slot(&self, rank: Rank) -> bool {
        let limit = self.limit.get();
        let reserve = if limit < RESERVE_LIMIT_MIN {
            0
        } else {
            (limit / RESERVE_PARTS).clamp(1, RESERVE_MAX)
        };
        let [first, normal, last] = self.in_flight;
        let lower = normal.saturating_add(last);
        let lower_max = limit.saturating_sub(reserve);
        let is_free = first.saturating_add(lower) < limit;
        is_free
            && match rank {
                Rank::First => true,
                Rank::Normal => lower < lower_max,
                Rank::Last => lower < lower_max && last < lower_max.saturating_sub(reserve),
            }
    }

    /// The method in which one of `rank` can go now: that of whoever came first.
    fn ready(&self, rank: Rank, now: Monotonic) -> Option<usize> {
        if !self.has_slot(rank) {
            return None;
        }
        let fronts = self
            .methods
            .iter()
            .enumerate()
            .filter_map(|(index, method)| {
                let ticket = method.fresh[rank.index()].first()?.ticket;
                method.rate.wait(now).is_zero().then_some((ticket, index))
            });
        fronts.min().map(|(_, index)| index)
    }

    /// Grants the next who can go; `false` when nobody can.
    fn grant_next(&mut self, now: Monotonic) -> bool {
        let ready = Rank::ALL.map(|rank| self.ready(rank, now));
        let overdue =
            |rank: &Rank| ready[rank.index()].is_some() && self.passed[rank.index()] >= PASSES_MAX;
        let chosen = Rank::ALL.into_iter().rev().find(overdue).or_else(|| {
            Rank::ALL
                .into_iter()
                .find(|rank| ready[rank.index()].is_some())
        });
        let Some(rank) = chosen else {
            return false;
        };
        let Some(method) = ready[rank.index()].and_then(|index| self.methods.get_mut(index)) else {
            return false;
        };
        if !method.grant_fresh(rank, now) {
            return false;
        }
        self.count_in(rank);
        self.passed[rank.index()] = 0;
        for lower in Rank::ALL.into_iter().filter(|lower| *lower > rank) {
            if ready[lower.index()].is_some() {
                let passed = &mut self.passed[lower.index()];
                *passed = passed.saturating_add(1);
            }
        }
        true
    }

    /// Grants all that can be granted, and tells who has to keep the time.
    fn advance(&mut self, now: Monotonic) {
        for method in &mut self.methods {
            while method.grant_further(now) {}
        }
        while self.grant_next(now) {}
        let has_slot = Rank::ALL.map(|rank| self.has_slot(rank));
        for method in &mut self.methods {
            let mut lines = method.fresh.iter().zip(has_slot);
            let fresh = lines.find_map(|(line, has_slot)| line.first().filter(|_| has_slot));
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
    /// Gives a token to the first who holds a slot; `false` when there is none, or nobody.
    fn grant_further(&mut self, now: Monotonic) -> bool {
        if self.further.is_empty() {
            return false;
        }
        let Some(token) = self.rate.take(now) else {
            return false;
        };
        if let Some(waiter) = self.further.pop_front() {
            waiter.decide(Decision::Granted(token));
        }
        true
    }

    /// Gives a token to the first of `rank` who wants a slot; `false` when there is none, or nobody.
    fn grant_fresh(&mut self, rank: Rank, now: Monotonic) -> bool {
        let Some(token) = self.rate.take(now) else {
            return false;
        };
        if let Some(waiter) = self.fresh[rank.index()].pop() {
            waiter.decide(Decision::Granted(token));
            return true;
        }
        self.rate.give_back(token);
        false
    }

    fn leave(&mut self, waiter: &Waiter) {
        match waiter.want {
            Want::SlotAndToken(rank, _, turn) => self.fresh[rank.index()].leave(turn),
            Want::Token => {
                let place = |other: &Arc<Waiter>| other.ticket;
                if let Ok(position) = self.further.binary_search_by_key(&waiter.ticket, place) {
                    self.further.remove(position);
                }
            }
        }
    }
}

impl Waiter {
    fn new(ticket: u64, call: PacedCall, want: Want) -> Arc<Self> {
        Arc::new(Self {
            ticket,
            bell: Notify::new(),
            decision: OnceLock::new(),
            call,
            want,
        })
    }

    #[cfg(test)]
    pub(super) fn is_granted(&self) -> bool {
        matches!(self.decision.get(), Some(Decision::Granted(_)))
    }

    /// Whose jobs it counts among.
    pub(super) fn party(&self) -> Party {
        match self.want {
            Want::SlotAndToken(_, party, _) => party,
            Want::Token => Party::default(),
        }
    }

    fn decide(&self, decision: Decision) {
        // A waiter leaves its line when it is decided, so the first decision is the only one.
        self.decision.get_or_init(|| decision);
        self.bell.notify_one();
    }
}
