//! What an entry tells of an unsettled job, as words that operators filter by.

use crate::domain::entry::{Entry, Pending};
use crate::domain::time::UnixMillis;
use crate::lifecycle::rescue::RESCUES_MAX;

/// One thing that is true of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Somebody holds the right to call, or held it when a worker ended.
    InFlight,
    /// A copy waits in the retry ladder, or is a dead letter.
    Deferred,
    /// The lease is over, or the copy was due before now.
    Overdue,
    /// Nothing has reached Alipay.
    NeverSent,
    /// A request may have reached Alipay.
    MaybeSent,
    /// Alipay said at least once that it knows no such operation.
    NotFound,
    /// Alipay refused after a possible send; a query has to agree.
    RefusalAwaited,
    /// Alipay said that the number is used.
    NumberUsed,
    /// Copies were published since the last verdict, because the job was overdue.
    Rescued,
    /// The copies brought nothing: the newest one is a dead letter.
    GivenToOperators,
    /// The event `unresolved` was announced.
    Unresolved,
}

impl Fact {
    /// Every fact, in the order in which they are told.
    pub const ALL: [Self; 11] = [
        Self::InFlight,
        Self::Deferred,
        Self::Overdue,
        Self::NeverSent,
        Self::MaybeSent,
        Self::NotFound,
        Self::RefusalAwaited,
        Self::NumberUsed,
        Self::Rescued,
        Self::GivenToOperators,
        Self::Unresolved,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Deferred => "deferred",
            Self::Overdue => "overdue",
            Self::NeverSent => "never_sent",
            Self::MaybeSent => "maybe_sent",
            Self::NotFound => "not_found",
            Self::RefusalAwaited => "refusal_awaited",
            Self::NumberUsed => "number_used",
            Self::Rescued => "rescued",
            Self::GivenToOperators => "given_to_operators",
            Self::Unresolved => "unresolved",
        }
    }

    /// The fact of a word, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.as_str() == word)
    }

    /// Whether it is the job's state, of which each has exactly one.
    #[must_use]
    pub const fn is_state(self) -> bool {
        match self {
            Self::InFlight | Self::Deferred => true,
            Self::Overdue
            | Self::NeverSent
            | Self::MaybeSent
            | Self::NotFound
            | Self::RefusalAwaited
            | Self::NumberUsed
            | Self::Rescued
            | Self::GivenToOperators
            | Self::Unresolved => false,
        }
    }

    /// Everything that is true of an entry at `now`; nothing of a settled one.
    #[must_use]
    pub fn all_of(entry: &Entry, now: UnixMillis) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|fact| fact.holds(entry, now))
            .collect()
    }

    fn holds(self, entry: &Entry, now: UnixMillis) -> bool {
        let (maybe_sent, due_at, pending) = match entry {
            Entry::InFlight(held) => (held.is_maybe_sent(), held.lease.expires_at, &held.pending),
            Entry::Deferred(waits) => (waits.pending.maybe_sent, waits.due_at, &waits.pending),
            Entry::Settled(_) => return false,
        };
        match self {
            Self::InFlight => matches!(entry, Entry::InFlight(_)),
            Self::Deferred => matches!(entry, Entry::Deferred(_)),
            Self::Overdue => due_at < now,
            Self::NeverSent => !maybe_sent,
            Self::MaybeSent => maybe_sent,
            Self::NotFound
            | Self::RefusalAwaited
            | Self::NumberUsed
            | Self::Rescued
            | Self::GivenToOperators
            | Self::Unresolved => self.is_known(pending),
        }
    }

    fn is_known(self, pending: &Pending) -> bool {
        match self {
            Self::NotFound => pending.absence.count > 0,
            Self::RefusalAwaited => pending.refusal.is_some(),
            Self::NumberUsed => pending.number_used,
            Self::Rescued => pending.rescues > 0,
            Self::GivenToOperators => pending.rescues > RESCUES_MAX,
            Self::Unresolved => pending.unresolved_announced,
            Self::InFlight | Self::Deferred | Self::Overdue | Self::NeverSent | Self::MaybeSent => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fact;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for fact in Fact::ALL {
            assert_eq!(Fact::parse(fact.as_str()), Some(fact));
        }
        assert_eq!(Fact::parse("settled"), None);
    }
}
