//! How many calls a replica asks the shared calendar for.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::time::Monotonic;
use crate::ports::rate::SPREAD;

/// At most so much of a second's calls is booked at once.
const BATCH_PARTS: u32 = 10;

/// How long one span of [`Usage`] is.
const SPAN: Duration = Duration::from_millis(100);

/// With fewer calls than this in a span, every job asks by itself: expecting jobs that rarely come
/// would waste what others need.
const EXPECTED_MIN: u32 = 8;

/// What became of the calls that were booked, and how many to book next.
#[derive(Debug)]
pub(super) struct Demand {
    batch: Batch,
    usage: Usage,
}

impl Demand {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            batch: Batch::new(per_second),
            usage: Usage::default(),
        }
    }

    /// A call was taken.
    pub(super) fn took(&mut self, now: Monotonic) {
        self.usage.count(now);
        self.batch.used = self.batch.used.saturating_add(1);
    }

    /// It was not made.
    pub(super) fn gave_back(&mut self) {
        self.usage.uncount();
        self.batch.used = self.batch.used.saturating_sub(1);
    }

    /// Nobody took these, which were booked for somebody who waited.
    pub(super) fn lost(&mut self, calls: u32) {
        self.batch.lost = self.batch.lost.saturating_add(calls);
    }

    /// How many to ask for at once when so many who wait have no call promised.
    pub(super) fn batch(&mut self, lacking: u32) -> u32 {
        self.batch.next(lacking)
    }

    /// How many calls to book over [`SPREAD`] for jobs that are still to come.
    pub(super) fn expected(&mut self, now: Monotonic) -> u32 {
        self.usage.expected(now)
    }

    /// Whether nothing was taken since more was asked for.
    pub(super) fn is_idle(&self) -> bool {
        self.batch.used == 0
    }

    /// More is asked for.
    pub(super) fn asked(&mut self) {
        self.batch.used = 0;
    }
}

/// How many calls are booked at once for jobs that wait: doubled while all of them are used, and as
/// many as were used once some were lost, because the jobs lacked slots or went away.
#[derive(Debug)]
struct Batch {
    size: u32,
    max: u32,
    used: u32,
    lost: u32,
    /// What was asked for last.
    last: u32,
}

impl Batch {
    fn new(per_second: NonZeroU32) -> Self {
        let max = (per_second.get() / BATCH_PARTS).max(1);
        Self {
            size: (per_second.get() / 100).clamp(4, u32::MAX).min(max),
            max,
            used: 0,
            lost: 0,
            last: 0,
        }
    }

    /// How many to ask for when so many are lacking.
    fn next(&mut self, lacking: u32) -> u32 {
        if lacking == 0 {
            return 0;
        }
        if self.lost > 0 {
            self.size = self.used.clamp(1, self.max);
        } else if self.last == self.size {
            self.size = self.size.saturating_mul(2).min(self.max);
        }
        self.lost = 0;
        self.last = lacking.min(self.size);
        self.last
    }
}

/// How many calls are made in a [`SPAN`]: the most of late.
#[derive(Debug, Default)]
struct Usage {
    span: u128,
    calls: u32,
    peak: u32,
}

impl Usage {
    fn count(&mut self, now: Monotonic) {
        self.turn(now);
        self.calls = self.calls.saturating_add(1);
    }

    fn uncount(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// How many calls to book over [`SPREAD`], 0 when there are too few to expect any: what came,
    /// and twice its root more, since jobs come by chance.
    fn expected(&mut self, now: Monotonic) -> u32 {
        self.turn(now);
        let peak = self.peak.max(self.calls);
        if peak < EXPECTED_MIN {
            return 0;
        }
        let spans = u32::try_from(SPREAD.as_millis() / SPAN.as_millis()).unwrap_or(1);
        let margin = peak.isqrt().saturating_mul(2);
        peak.saturating_add(margin).saturating_mul(spans)
    }

    /// Goes on to the span of `now`; the peak loses a quarter in each that passes.
    fn turn(&mut self, now: Monotonic) {
        let span = now.0.as_millis() / SPAN.as_millis();
        while self.span < span {
            if self.peak == 0 && self.calls == 0 {
                self.span = span;
                return;
            }
            self.peak = self.calls.max(self.peak.saturating_mul(3) / 4);
            self.calls = 0;
            self.span = self.span.saturating_add(1);
        }
    }
}
