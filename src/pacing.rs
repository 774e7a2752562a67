//! Permits: how fast, and how many at a time, an app's jobs may call Alipay.
//!
//! A job takes its permit before it is claimed, so a job that waits holds no lease. A permit is a
//! slot of the app's adaptive concurrency limit and a token of the method's rate; the breaker
//! refuses permits while the app cannot work. What the calls came to is reported back.
//!
//! The rate counts per app and method: over all replicas when they book their calls in one calendar
//! ([`Pacing::shared`]), in this process otherwise ([`Pacing::new`]). The concurrency and the
//! breaker are each replica's own by design.

mod booking;
mod brake;
mod breaker;
mod concurrency;
mod demand;
mod lane;
mod line;
mod pause;
mod rate;
mod share;
mod shared_clock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::time::Monotonic;
use crate::pacing::booking::Booking;
use crate::pacing::lane::{Asked, Lane, Standing, Waiter};
use crate::pacing::rate::Rate;
use crate::ports::clock::Clock;
use crate::ports::rate::{SharedRate, micros};

pub use crate::pacing::breaker::OpenReason;

/// A call that is made so much later after its grant than is usual has missed its place in the rate:
/// what held up one, such as a stall of Redis, held up all beside it, and they must not all be made
/// at once. What is always slow moves everybody alike, and does no harm.
const LATER_MAX: Duration = Duration::from_millis(30);

/// The usual delay between grant and call is the mean of about so many.
const DELAYS: u64 = 16;

/// The limits of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacingOptions {
    /// Calls per second and method. In any second at most a twenty-fifth more (one more at least)
    /// is started: the burst after a pause, or what was booked in the windows at both ends.
    pub requests_per_second: NonZeroU32,
    /// The floor of the calls in flight, where the adaptive limit begins.
    pub concurrency_min: NonZeroU32,
    /// Their ceiling; one below the floor counts as the floor.
    pub concurrency_max: NonZeroU32,
}

/// The methods that Alipay counts each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacedCall {
    /// `alipay.fund.coupon.order.disburse`.
    Disburse,
    /// `alipay.fund.coupon.order.refund`.
    Refund,
    /// `alipay.fund.coupon.order.agreement.pay`.
    Pay,
    /// `alipay.fund.coupon.operation.query`.
    Query,
}

/// Who goes first among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Refunds, queries and what is urgent.
    First,
    /// Everything else.
    Normal,
    /// What was set aside.
    Last,
}

/// Those whose jobs count as one: within a rank all parties get equally much. Jobs that are not
/// told apart are one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Party(pub u64);

/// Who asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// For which call.
    pub call: PacedCall,
    /// With which rank.
    pub rank: Rank,
    /// For whom.
    pub party: Party,
}

/// What came of one call, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A usable answer, whatever it said.
    Answered,
    /// No answer in time, after bytes were written.
    TimedOut,
    /// The gateway is in trouble: 20000, or an answer that nobody can read.
    Overloaded,
    /// 40005: called too often.
    Limited,
    /// The connection failed before a byte was written.
    NotSent,
    /// The connection broke after bytes were written.
    Broken,
    /// Keys, permissions or contract.
    Blocked,
}

/// The answer to a request for a permit.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back"]
pub enum Admission {
    /// Call now.
    Open(Permit),
    /// The app cannot work, is not configured, or an operator has paused the call: put the job off.
    Closed {
        /// When it makes sense to ask again, at the earliest; at most 30 s.
        retry_after: Duration,
    },
}

/// The answer to a request for one more call under a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a paused call must not be made"]
pub enum Further {
    /// Call now.
    Granted,
    /// An operator has paused the call: do not make it.
    Paused,
}

impl PacedCall {
    /// Every call.
    pub const ALL: [Self; 4] = [Self::Disburse, Self::Refund, Self::Pay, Self::Query];

    /// The method's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disburse => "disburse",
            Self::Refund => "refund",
            Self::Pay => "pay",
            Self::Query => "query",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Disburse => 0,
            Self::Refund => 1,
            Self::Pay => 2,
            Self::Query => 3,
        }
    }
}

impl Rank {
    /// Every rank, the highest first.
    const ALL: [Self; 3] = [Self::First, Self::Normal, Self::Last];

    const fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Normal => 1,
            Self::Last => 2,
        }
    }
}

impl From<Kind> for PacedCall {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Disburse => Self::Disburse,
            Kind::Refund => Self::Refund,
            Kind::Query => Self::Query,
            // Orders that people pay are signed and never called.
            Kind::Pay | Kind::AppPay | Kind::PagePay => Self::Pay,
        }
    }
}

/// The lanes of all apps.
pub struct Pacing {
    lanes: BTreeMap<AppName, Arc<SharedLane>>,
}

struct SharedLane {
    lane: Mutex<Lane>,
    app: AppName,
    per_second: NonZeroU32,
    clock: Arc<dyn Clock>,
    /// How long after their grants calls are made of late, in microseconds.
    usual_delay_us: AtomicU64,
    /// The calls that are paused, as the lane has them too: looked at without its lock.
    paused: [AtomicBool; PacedCall::ALL.len()],
    /// Rung when a call is resumed.
    resumed: Notify,
    /// Where calls are booked; `None` when each process counts for itself.
    rate: Option<Arc<dyn SharedRate>>,
}

impl Pacing {
    /// Makes a lane for each of `apps`, all with the same limits. The rate counts in this process.
    #[must_use]
    pub fn new(options: PacingOptions, apps: &[AppName], clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with(options, apps, &clock, None)
    }

    /// Makes a lane for each of `apps`, all with the same limits, whose rate counts over all who
    /// book in `rate`. Permits are asked for within a Tokio runtime: the booking is a task beside
    /// those who wait. While nobody answers there, everybody waits.
    #[must_use]
    pub fn shared(
        options: PacingOptions,
        apps: &[AppName],
        clock: Arc<dyn Clock>,
        rate: Arc<dyn SharedRate>,
    ) -> Arc<Self> {
        Self::with(options, apps, &clock, Some(rate))
    }

    fn with(
        options: PacingOptions,
        apps: &[AppName],
        clock: &Arc<dyn Clock>,
        rate: Option<Arc<dyn SharedRate>>,
    ) -> Arc<Self> {
        let per_second = options.requests_per_second;
        let lanes = apps.iter().map(|app| {
            let lane = Lane::new(&options, || match &rate {
                None => Rate::own(per_second),
                Some(_) => Rate::shared(per_second),
            });
            let lane = SharedLane {
                lane: Mutex::new(lane),
                app: app.clone(),
                per_second,
                usual_delay_us: AtomicU64::new(0),
                paused: PacedCall::ALL.map(|_| AtomicBool::new(false)),
                resumed: Notify::new(),
                clock: Arc::clone(clock),
                rate: rate.clone(),
            };
            (app.clone(), Arc::new(lane))
        });
        Arc::new(Self {
            lanes: lanes.collect(),
        })
    }

    /// Waits for a permit: the highest rank first, then the parties in turns, then first come, first
    /// served; no rank waits for ever. Dropping the future gives up the place, and what was granted.
    ///
    /// It is [`Admission::Closed`] at once for an app that is not configured, for a call that is
    /// paused, and while the breaker is open, but for the probe; and as soon as the breaker opens or
    /// the call is paused for those who wait.
    pub async fn permit(&self, app: &AppName, who: Applicant) -> Admission {
        let Some(lane) = self.lanes.get(app) else {
            return Admission::Closed {
                retry_after: breaker::WAIT_MAX,
            };
        };
        let asked_at = lane.clock.monotonic();
        // Asked in a statement of its own: the lock must not be held while waiting.
        let asked = lane.at(asked_at, |lane, now| lane.ask(who, now));
        let ticket = match asked {
            Asked::Closed { retry_after } => return Admission::Closed { retry_after },
            Asked::Granted(ticket) => {
                return Admission::Open(Permit::new(lane, (ticket, who), (asked_at, asked_at)));
            }
            Asked::Waiting(waiter) => match lane.wait(waiter).await {
                Waited::Granted(ticket) => ticket,
                Waited::Closed { retry_after } => return Admission::Closed { retry_after },
            },
        };
        let granted_at = lane.clock.monotonic();
        Admission::Open(Permit::new(lane, (ticket, who), (asked_at, granted_at)))
    }

    /// A permit as by [`Pacing::permit`], or `None` if it had to be waited for.
    #[must_use]
    pub fn permit_at_once(&self, app: &AppName, who: Applicant) -> Option<Admission> {
        let Some(lane) = self.lanes.get(app) else {
            return Some(Admission::Closed {
                retry_after: breaker::WAIT_MAX,
            });
        };
        let now = lane.clock.monotonic();
        match lane.at(now, |lane, now| lane.ask_at_once(who, now))? {
            Asked::Closed { retry_after } => Some(Admission::Closed { retry_after }),
            Asked::Granted(ticket) => Some(Admission::Open(Permit::new(
                lane,
                (ticket, who),
                (now, now),
            ))),
            Asked::Waiting(_) => None,
        }
    }

    /// The apps that have a lane, in order.
    pub fn apps(&self) -> impl Iterator<Item = &AppName> {
        self.lanes.keys()
    }

    /// Whether the app's breaker is open; `false` for an app that is not configured.
    #[must_use]
    pub fn breaker_open(&self, app: &AppName) -> bool {
        self.blocked_reason(app).is_some()
    }

    /// Why the app's breaker is open; `None` when it is closed, or the app is not configured.
    #[must_use]
    pub fn blocked_reason(&self, app: &AppName) -> Option<OpenReason> {
        self.lanes.get(app)?.lock().open_reason()
    }

    /// How many calls of the app may be in flight now; 0 for an app that is not configured.
    #[must_use]
    pub fn limit(&self, app: &AppName) -> u32 {
        self.lanes.get(app).map_or(0, |lane| lane.lock().limit())
    }

    /// How many permits of the app are out; 0 for an app that is not configured.
    #[must_use]
    pub fn in_flight(&self, app: &AppName) -> u32 {
        self.lanes
            .get(app)
            .map_or(0, |lane| lane.lock().in_flight())
    }

    /// How many calls per second and method the app may start; 0 for an app that is not configured.
    #[must_use]
    pub fn requests_per_second(&self, app: &AppName) -> u32 {
        self.lanes.get(app).map_or(0, |lane| lane.per_second.get())
    }

    /// Whether the last attempt to book calls of the shared rate failed, for one method at least.
    #[must_use]
    pub fn rate_failing(&self, app: &AppName) -> bool {
        self.lanes.get(app).is_some_and(|lane| {
            let mut lane = lane.lock();
            PacedCall::ALL.iter().any(|call| lane.is_failing(*call))
        })
    }

    /// How many jobs of the app wait for a permit, or for a further call under one; 0 for an app
    /// that is not configured.
    #[must_use]
    pub fn waiting(&self, app: &AppName) -> usize {
        self.lanes.get(app).map_or(0, |lane| lane.lock().waiting())
    }
}

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.apps()).finish()
    }
}

/// The right to call Alipay for one job. Its slot is free again when it is dropped.
#[must_use = "a permit that is dropped is given back"]
pub struct Permit {
    lane: Arc<SharedLane>,
    ticket: u64,
    /// What the newest call under it is, as its place in [`PacedCall::ALL`].
    call: AtomicUsize,
    rank: Rank,
    asked_at: Monotonic,
    granted_at: Monotonic,
}

impl Permit {
    fn new(
        lane: &Arc<SharedLane>,
        (ticket, who): (u64, Applicant),
        (asked_at, granted_at): (Monotonic, Monotonic),
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            ticket,
            call: AtomicUsize::new(who.call.index()),
            rank: who.rank,
            asked_at,
            granted_at,
        }
    }

    /// How long the job waited for the permit.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.granted_at.since(self.asked_at)
    }

    /// Whether the call that came with the permit still has its place in the rate. Ask once, right
    /// before the call; when it has not, take another by [`Permit::next_call`].
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let delay_us = micros(self.lane.clock.monotonic().since(self.granted_at));
        let usual_us = self.lane.usual_delay_us.load(Ordering::Relaxed);
        let most_us = usual_us.saturating_add(micros(LATER_MAX));
        // Whatever is later counts as the latest that is fresh, so that one stall changes little.
        let gained = delay_us.min(most_us) / DELAYS;
        let kept = usual_us.saturating_sub(usual_us / DELAYS);
        let store = &self.lane.usual_delay_us;
        store.store(kept.saturating_add(gained), Ordering::Relaxed);
        delay_us <= most_us
    }

    /// Waits until the same job may make another call, `call`, in the same slot. An open breaker
    /// does not stop it: the job is under way, and there are no more of them than slots. A pause does.
    pub async fn next_call(&self, call: PacedCall) -> Further {
        self.call.store(call.index(), Ordering::Relaxed);
        let asked = self.lane.with(|lane, now| lane.ask_further(call, now));
        match asked {
            Asked::Granted(_) => Further::Granted,
            Asked::Closed { .. } => Further::Paused,
            Asked::Waiting(waiter) => match self.lane.wait(waiter).await {
                Waited::Granted(_) => Further::Granted,
                Waited::Closed { .. } => Further::Paused,
            },
        }
    }

    /// Reports what came of the newest call under this permit. Report each call once.
    pub fn report(&self, signal: Signal) {
        let call = PacedCall::ALL[self.call.load(Ordering::Relaxed)];
        self.lane
            .with(|lane, now| lane.report((self.ticket, call), signal, now));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lane
            .with(|lane, now| lane.release(self.ticket, self.rank, now));
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.ticket)
    }
}

enum Waited {
    Granted(u64),
    Closed { retry_after: Duration },
}

impl SharedLane {
    fn lock(&self) -> MutexGuard<'_, Lane> {
        // A panic under the lock is a bug in arithmetic on one job; the others must go on.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Lane, Monotonic) -> T) -> T {
        self.at(self.clock.monotonic(), act)
    }

    /// Does something with the lane at `now`, and books what it needs afterwards.
    fn at<T>(self: &Arc<Self>, now: Monotonic, act: impl FnOnce(&mut Lane, Monotonic) -> T) -> T {
        let mut lane = self.lock();
        let done = act(&mut lane, now);
        let Some(rate) = &self.rate else {
            return done;
        };
        let mut need = lane.need(now);
        drop(lane);
        while let Some((call, calls)) = need {
            Booking::new(Arc::clone(self), call, calls, now).start(rate);
            need = self.lock().need(now);
        }
        done
    }

    async fn wait(self: &Arc<Self>, waiter: Arc<Waiter>) -> Waited {
        let mut place = Place {
            lane: self,
            waiter: &waiter,
            held: Held::Waiting,
        };
        loop {
            let standing = self.with(|lane, now| lane.standing(&waiter, now));
            match standing {
                Standing::Granted => {
                    place.held = Held::Left;
                    return Waited::Granted(waiter.ticket);
                }
                Standing::Closed { retry_after } => {
                    place.held = Held::Left;
                    return Waited::Closed { retry_after };
                }
                Standing::Waits(None) => waiter.bell.notified().await,
                Standing::Waits(Some(length)) => {
                    tokio::select! {
                        biased;
                        () = waiter.bell.notified() => {}
                        () = self.clock.sleep(length) => {}
                    }
                }
            }
        }
    }
}

/// A place in a queue, given up when it is dropped.
struct Place<'a> {
    lane: &'a Arc<SharedLane>,
    waiter: &'a Waiter,
    held: Held,
}

#[derive(PartialEq, Eq)]
enum Held {
    Waiting,
    Left,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.held == Held::Waiting {
            self.lane.with(|lane, now| lane.give_up(self.waiter, now));
        }
    }
}
