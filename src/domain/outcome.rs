//! The final fact of a job, and everything else that we tell the world.

use std::fmt;

use crate::domain::budget::Counter;
use crate::domain::draft::FieldError;
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::{Fingerprint, JobKey, Kind, Labels, MoneyJob, QueryJob};
use crate::domain::money::Fen;
use crate::domain::notice::Telling;
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Operation, Receipt, Refusal};

/// The final fact of a money job, as the ledger keeps it: enough to tell it again, word by word.
///
/// It is made by [`crate::lifecycle`] alone, and never changes once settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The job's kind.
    pub kind: Kind,
    /// The job that it is the outcome of.
    pub fingerprint: Fingerprint,
    /// The order number that the merchant gave, where the kind has one.
    pub out_order_no: Option<MerchantNo>,
    /// Alipay's number of the order, where it is known.
    pub auth_no: Option<AlipayNo>,
    /// How much moved, or was to move.
    pub amount: Fen,
    /// What became of it.
    pub resolution: Resolution,
    /// How many calls it took, queries included.
    pub attempts: u32,
    /// When it was settled.
    pub settled_at: UnixMillis,
    /// The job's labels.
    pub labels: Labels,
}

/// What became of a money job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The money moved.
    Succeeded {
        /// Alipay's number of the operation.
        operation_id: Option<AlipayNo>,
        /// When, as Alipay spells it.
        gmt_trans: Option<String>,
    },
    /// Alipay refused: nothing moved.
    Failed(Failure),
    /// It was never sent.
    Rejected(Rejection),
    /// An order was signed, for a person to pay; no money has moved by it.
    Signed(SignedOrder),
}

/// What a person pays with: the order string for Alipay's app, or the address of the cashier page.
///
/// `Debug` redacts it: who has it can show the order to a payer.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedOrder(pub String);

impl fmt::Debug for SignedOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedOrder({} bytes)", self.0.len())
    }
}

/// How Alipay said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A signed final answer.
    Refused(Refusal),
    /// A query found the operation CLOSED.
    Closed,
}

/// Why a job was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// `not_after` had passed before the job was sent.
    Expired,
    /// It would have exceeded a cap of the spend guard.
    OverBudget,
}

impl Rejection {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Expired, Self::OverBudget];

    /// The word in the event's `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::OverBudget => "over_budget",
        }
    }
}

impl Resolution {
    /// The event's `result` word, also the metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed(_) => "failed",
            Self::Rejected(_) => "rejected",
            Self::Signed(_) => "signed",
        }
    }

    /// Whether the money moved; everything else is a negative outcome.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Succeeded { .. } => true,
            Self::Failed(_) | Self::Rejected(_) | Self::Signed(_) => false,
        }
    }

    /// Alipay's number of the operation that moved the money, where it is known.
    #[must_use]
    pub const fn operation_id(&self) -> Option<&AlipayNo> {
        match self {
            Self::Succeeded { operation_id, .. } => operation_id.as_ref(),
            Self::Failed(_) | Self::Rejected(_) | Self::Signed(_) => None,
        }
    }

    /// The resolution of a receipt.
    #[must_use]
    pub fn of_receipt(receipt: &Receipt) -> Self {
        Self::Succeeded {
            operation_id: receipt.operation_id.clone(),
            gmt_trans: receipt.gmt_trans.clone(),
        }
    }
}

/// Everything that is published, each with an event id of its own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// The terminal outcome that the ledger recorded; id `<app>/<kind>/<number>`.
    Settled {
        /// Whose outcome.
        key: JobKey,
        /// The outcome.
        outcome: Outcome,
    },
    /// The number belongs to another job; terminal for this one.
    Conflict {
        /// The job that is refused.
        job: Box<MoneyJob>,
        /// Its fingerprint, part of the event id.
        fingerprint: Fingerprint,
        /// When it was found.
        at: UnixMillis,
    },
    /// A body that is no valid job but whose kind and number can be read; terminal.
    Invalid(Box<Invalid>),
    /// Nobody knows yet; not terminal.
    Unresolved {
        /// The job.
        job: Box<MoneyJob>,
        /// How many calls so far.
        attempts: u32,
        /// When it was said.
        at: UnixMillis,
    },
    /// Evidence against a settled outcome; not terminal, a person must look.
    Contradicted {
        /// Whose outcome.
        key: JobKey,
        /// The outcome that stands.
        outcome: Outcome,
        /// What speaks against it.
        evidence: &'static str,
        /// When it was found.
        at: UnixMillis,
    },
    /// What Alipay said of an operation that no job asked for, or that a person paid for a signed
    /// order; id `<app>/notification/…`.
    Notified {
        /// What it said.
        told: Box<Telling>,
        /// When it was told.
        at: UnixMillis,
    },
    /// The spend guard's sum is near its cap; about no job, and not terminal.
    BudgetWarned(Box<BudgetWarning>),
    /// The answer to a query job; terminal for it.
    Answered {
        /// The query.
        job: Box<QueryJob>,
        /// Tells copies of one query apart from other queries of the same target.
        message_id: Option<String>,
        /// What was found.
        answer: QueryAnswer,
        /// How many calls it took.
        attempts: u32,
        /// When it was answered.
        at: UnixMillis,
    },
}

/// A sum of the spend guard that is near its cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetWarning {
    /// Whose payments are summed up.
    pub app: AppName,
    /// The sum, its cap's window included; part of the event id.
    pub counter: Counter,
    /// Which payee, masked, or which value of the label.
    pub value: Option<String>,
    /// The cap.
    pub cap: Fen,
    /// The sum when it was told.
    pub spent_fen: u64,
    /// When it was told.
    pub at: UnixMillis,
}

/// A body that is no valid job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The app that it names, or the default app.
    pub app: AppName,
    /// Its kind.
    pub kind: Kind,
    /// Its number.
    pub out_request_no: MerchantNo,
    /// The digest of the body, part of the event id.
    pub body_digest: Fingerprint,
    /// What is wrong with it.
    pub errors: Vec<FieldError>,
    /// When it was read.
    pub at: UnixMillis,
}

/// The answer to a query job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// The operation as Alipay has it.
    Found(Box<Operation>),
    /// Not visible then.
    NotFound,
    /// No usable answer within `retry.query_attempts`.
    Unresolved,
    /// `not_after` had passed before it was asked.
    Expired,
}

impl QueryAnswer {
    /// The event's `result` word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::NotFound => "not_found",
            Self::Unresolved => "unresolved",
            Self::Expired => "rejected",
        }
    }
}
