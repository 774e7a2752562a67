//! Notifications: what the merchants are told of money that moved, and how often.
//!
//! Source: a notification goes to the `notify_url` of the call that it tells of, one of an
//! automatic refund to that of the pay. It is repeated until it is answered with exactly
//! `success`, 4 m, 10 m, 10 m, 1 h, 2 h, 6 h and 15 h after the time before; eight times in all.
//! Our reading: nothing is told of orders that close.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::time::UnixMillis;
use crate::sandbox::bank::Happening;

mod content;
mod post;
mod sender;

pub use crate::sandbox::notices::post::NotifyClientError;
pub(in crate::sandbox) use crate::sandbox::notices::post::Poster;
pub(in crate::sandbox) use crate::sandbox::notices::sender::send_all;

/// How long after each delivery the next one follows.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(4 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(15 * 60 * 60),
];

/// How many notifications are remembered; the oldest ones go first, even undelivered.
const NOTICES_MAX: usize = 10_000;

/// Which addresses notifications may go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyTargets {
    /// This machine alone, so that a `notify_url` of somebody else's is not called by mistake.
    #[default]
    Loopback,
    /// Every address that a call names.
    Anywhere,
}

/// One notification.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Notice {
    /// Alipay's `notify_id`, the same at each delivery; 34 digits as in a real sample.
    pub(in crate::sandbox) id: String,
    pub(in crate::sandbox) url: Arc<str>,
    pub(in crate::sandbox) happening: Arc<Happening>,
    /// What each delivery was answered, oldest first.
    pub(in crate::sandbox) deliveries: Vec<Delivery>,
    pub(in crate::sandbox) stage: Stage,
}

/// One delivery that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Delivery {
    /// When it was sent.
    pub(in crate::sandbox) sent_at: UnixMillis,
    /// What came back, in words for people.
    pub(in crate::sandbox) answer: &'static str,
}

/// What becomes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Stage {
    /// The next delivery comes at this instant.
    Waiting(UnixMillis),
    /// A delivery has not ended yet.
    UnderWay,
    /// Answered `success`.
    Acknowledged,
    /// All deliveries are used up.
    GivenUp,
    /// Its address is not allowed: never sent.
    NotAllowed,
}

impl Stage {
    /// The word for people.
    pub(in crate::sandbox) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::UnderWay => "under_way",
            Self::Acknowledged => "acknowledged",
            Self::GivenUp => "given_up",
            Self::NotAllowed => "address_not_allowed",
        }
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Answered {
    /// HTTP 200 and exactly `success`.
    Success,
    /// Anything else, in words for people.
    Otherwise(&'static str),
}

/// All notifications, and which of them are due.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Board {
    notices: VecDeque<Notice>,
    /// How many were dropped from the front: the number of the first one that is left.
    dropped: u64,
    due: BTreeSet<(UnixMillis, u64)>,
    /// Since when this board is kept, so that no two runs of a sandbox use one `notify_id`.
    since: Option<UnixMillis>,
}

impl Board {
    /// Notes what happened; the first delivery follows `delay` after `now`.
    pub(in crate::sandbox) fn add(
        &mut self,
        happening: Happening,
        allowed: impl Fn(&str) -> bool,
        delay: Duration,
        now: UnixMillis,
    ) {
        let Some(url) = happening.origin.notify_url.clone() else {
            return;
        };
        let since = *self.since.get_or_insert(now);
        let number = self.end();
        let stage = if allowed(&url) {
            let at = now.plus(delay);
            self.due.insert((at, number));
            Stage::Waiting(at)
        } else {
            Stage::NotAllowed
        };
        self.notices.push_back(Notice {
            id: format!("{:021}{number:013}", since.0),
            url,
            happening: Arc::new(happening),
            deliveries: Vec::new(),
            stage,
        });
        if self.notices.len() > NOTICES_MAX {
            self.notices.pop_front();
            self.dropped += 1;
        }
    }

    /// Takes the notifications that are due by `now`, oldest first and at most `max`, with their
    /// numbers.
    pub(in crate::sandbox) fn take_due(
        &mut self,
        max: usize,
        now: UnixMillis,
    ) -> Vec<(u64, Notice)> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(&(at, number)) = self.due.first()
        {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(notice) = self.notice_mut(number) {
                notice.stage = Stage::UnderWay;
                taken.push((number, notice.clone()));
            }
        }
        taken
    }

    /// Records how a delivery that was sent at `sent_at` ended.
    pub(in crate::sandbox) fn record(
        &mut self,
        number: u64,
        sent_at: UnixMillis,
        answered: Answered,
    ) {
        let Some(notice) = self.notice_mut(number) else {
            return;
        };
        let answer = match answered {
            Answered::Success => "success",
            Answered::Otherwise(answer) => answer,
        };
        let made = notice.deliveries.len();
        notice.deliveries.push(Delivery { sent_at, answer });
        notice.stage = match (answered, PAUSES.get(made)) {
            (Answered::Success, _) => Stage::Acknowledged,
            (Answered::Otherwise(_), Some(pause)) => Stage::Waiting(sent_at.plus(*pause)),
            (Answered::Otherwise(_), None) => Stage::GivenUp,
        };
        if let Stage::Waiting(at) = notice.stage {
            self.due.insert((at, number));
        }
    }

    /// The number that the next notification gets.
    pub(in crate::sandbox) fn end(&self) -> u64 {
        self.dropped + u64::try_from(self.notices.len()).unwrap_or(u64::MAX)
    }

    /// Whether a first delivery that is due by `now` has not ended, of those before `end`.
    pub(in crate::sandbox) fn owes_first(&self, end: u64, now: UnixMillis) -> bool {
        let older = usize::try_from(end.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let mut older = self.notices.iter().take(older).rev();
        older.any(|notice| match notice.stage {
            Stage::Waiting(at) => at <= now && notice.deliveries.is_empty(),
            Stage::UnderWay => notice.deliveries.is_empty(),
            Stage::Acknowledged | Stage::GivenUp | Stage::NotAllowed => false,
        })
    }

    /// The newest `newest` notifications, oldest first.
    pub(in crate::sandbox) fn newest(&self, newest: usize) -> Vec<Notice> {
        let skipped = self.notices.len().saturating_sub(newest);
        self.notices.iter().skip(skipped).cloned().collect()
    }

    fn notice_mut(&mut self, number: u64) -> Option<&mut Notice> {
        let index = usize::try_from(number.checked_sub(self.dropped)?).ok()?;
        self.notices.get_mut(index)
    }
}

#[cfg(test)]
mod tests;
