//! What was found to differ.

use std::collections::BTreeMap;

use crate::domain::ident::AppName;
use crate::domain::job::Kind;

/// Most differences that are kept; the rest is only counted.
pub const DIFFERENCES_MAX: usize = 100_000;

/// How two books differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// Alipay's bill has it, the ledger has no such job.
    NotInLedger,
    /// The ledger says that it succeeded, Alipay does not have it.
    NotAtAlipay,
    /// Both have it, with different amounts.
    Amount,
    /// Both have it, with different results.
    Result,
    /// The bill has it more than once.
    PaidTwice,
    /// Alipay's bill has it, the ledger knows the job and has not settled it yet.
    Unsettled,
    /// The ledger has it, and no event told of it.
    EventMissing,
    /// The event says something else than the ledger.
    EventUnequal,
    /// An event tells of it, the ledger has no such job.
    EventNotInLedger,
}

impl DifferenceKind {
    /// The word in the output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotInLedger => "not_in_ledger",
            Self::NotAtAlipay => "not_at_alipay",
            Self::Amount => "amount",
            Self::Result => "result",
            Self::PaidTwice => "paid_twice",
            Self::Unsettled => "unsettled",
            Self::EventMissing => "event_missing",
            Self::EventUnequal => "event_unequal",
            Self::EventNotInLedger => "event_not_in_ledger",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How they differ.
    pub kind: DifferenceKind,
    /// The job's app, where it is known.
    pub app: Option<AppName>,
    /// The job's kind, where it is known.
    pub job_kind: Option<Kind>,
    /// The job's `out_request_no`, or the number that the bill gives.
    pub number: String,
    /// What the ledger says.
    pub ledger: String,
    /// What the other side says.
    pub other: String,
    /// How much it is about, in fen: of different amounts the difference.
    pub fen: u64,
}

/// What a reconciliation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first differences, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many there are of each kind, and how many fen.
    pub sums: BTreeMap<DifferenceKind, (u64, u64)>,
    /// Settled jobs of the window.
    pub held: u64,
    /// Settled jobs near it, which are held as well.
    pub near: u64,
    /// Jobs that are not settled yet, whenever they came.
    pub unsettled: u64,
    /// Jobs that Alipay was asked about and answered.
    pub asked: u64,
    /// Jobs about which Alipay gave no usable answer: nothing is known of them.
    pub unanswered: u64,
    /// Lines of bills.
    pub rows: u64,
    /// Terminal events.
    pub events: u64,
    /// Of them equal copies of others.
    pub copies: u64,
    /// Lines and events of other times, with which nothing was compared.
    pub outside: u64,
}

impl Report {
    /// Whether everything that was compared is equal, and everything could be compared.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.sums.is_empty() && self.unanswered == 0
    }

    pub(super) fn add_all(&mut self, differences: impl IntoIterator<Item = Difference>) {
        differences.into_iter().for_each(|one| self.add(one));
    }

    pub(super) fn add(&mut self, difference: Difference) {
        let (count, fen) = self.sums.entry(difference.kind).or_default();
        *count = count.saturating_add(1);
        *fen = fen.saturating_add(difference.fen);
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}
