//! What one call to Alipay told us, and nothing more than it told us.

use crate::domain::ident::{AlipayNo, MerchantNo, UserId};
use crate::domain::job::{OperationRef, OrderRef, QueryTarget};
use crate::domain::money::Fen;

/// The verdict of one call that may move money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 10000 and `status` SUCCESS, signature verified: the money has moved.
    Succeeded(Receipt),
    /// A signed final word: this operation moved nothing.
    Refused(Refusal),
    /// A signed word that is final only if a query finds no success: the state that it speaks of
    /// may have been changed by this very operation (`MONEY_NOT_ENOUGH`, `ILLEGAL_STATUS`).
    RefusedUnconfirmed(Refusal),
    /// 10003, or `status` INIT: it may or may not come to something. With Alipay's own numbers, where
    /// the answer gave them.
    InProgress(Option<Box<AlipayNumbers>>),
    /// Anything may have happened.
    Unknown(Doubt),
    /// Alipay knows the number already (`UNIQUE_VIOLATION`), with equal content or with other.
    AlreadyUsed,
    /// Certainly nothing happened: no byte was written, or the gateway turned it away by limit.
    NotExecuted(NotExecuted),
    /// Keys, permissions or contract: nothing of this app can work until a person acts.
    Blocked(Blockage),
}

/// What one query found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The operation as Alipay has it.
    Found(Box<Operation>),
    /// A signed "no such order or operation": not visible now, which is no proof of absence.
    NotFound,
    /// The query itself got no usable answer.
    Unknown(Doubt),
    /// The query was not executed.
    NotExecuted(NotExecuted),
    /// As [`Verdict::Blocked`].
    Blocked(Blockage),
}

/// The pair of Alipay's own numbers, by which an operation is asked for most cheaply.
///
/// Source: the product's quick start, operation.query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlipayNumbers {
    /// Alipay's number of the order.
    pub auth_no: AlipayNo,
    /// Alipay's number of the operation.
    pub operation_id: AlipayNo,
}

impl AlipayNumbers {
    /// Both numbers, or `None`.
    #[must_use]
    pub fn of(auth_no: Option<&AlipayNo>, operation_id: Option<&AlipayNo>) -> Option<Self> {
        Some(Self {
            auth_no: auth_no?.clone(),
            operation_id: operation_id?.clone(),
        })
    }

    /// What finds the operation.
    #[must_use]
    pub fn target(&self) -> QueryTarget {
        QueryTarget {
            order: OrderRef::AuthNo(self.auth_no.clone()),
            operation: OperationRef::OperationId(self.operation_id.clone()),
        }
    }
}

/// What a successful answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Alipay's number of the order.
    pub auth_no: Option<AlipayNo>,
    /// Alipay's number of the operation.
    pub operation_id: Option<AlipayNo>,
    /// When the money moved, as Alipay spells it: `YYYY-MM-DD HH:MM:SS`, GMT+8.
    pub gmt_trans: Option<String>,
}

/// Alipay's own final "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gateway code, `40004` as a rule.
    pub code: String,
    /// The business code, such as `PAYEE_NOT_EXIST`.
    pub sub_code: Option<String>,
    /// Alipay's text for people, at most [`Refusal::MESSAGE_CHARS_MAX`] characters.
    pub display_message: Option<String>,
}

impl Refusal {
    /// Longer messages are cut here; the ledger keeps them for the whole retention.
    pub const MESSAGE_CHARS_MAX: usize = 120;
}

/// Why nobody knows what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// 20000, `SYSTEM_ERROR`, or a code that is not listed.
    Answered {
        /// The gateway code.
        code: String,
        /// The business code.
        sub_code: Option<String>,
    },
    /// No answer in time, after bytes were written.
    TimedOut,
    /// The connection broke after bytes were written.
    Broken,
    /// An HTTP status other than 200.
    HttpStatus(u16),
    /// The body is not an answer: HTML, truncated, duplicate members, over the limit.
    Unreadable,
    /// The signature is missing where it must be, or does not verify.
    Unverified,
    /// The answer is about other numbers or another amount than were asked.
    Foreign,
}

impl Doubt {
    /// A word for logs and labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::HttpStatus(_) => "http_status",
            Self::Unreadable => "unreadable",
            Self::Unverified => "unverified",
            Self::Foreign => "foreign",
        }
    }
}

/// Why certainly nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExecuted {
    /// The connection failed before a byte of the request was written.
    NotSent,
    /// 40005, signed: turned away by a rate limit.
    Limited,
}

/// Why nothing of this app can work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blockage {
    /// The gateway code: 20001, 40001, 40002, 40003 or 40006.
    pub code: String,
    /// The gateway's sub code, such as `isv.invalid-app-id`.
    pub sub_code: Option<String>,
    /// Whether the answer was signed, so that it is certain that nothing was executed.
    pub proof: Proof,
}

/// Whether an answer proves where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The signature verified.
    Signed,
    /// There was none; Alipay itself does not sign `isv.invalid-app-id`.
    Unsigned,
}

/// Where an operation stands at Alipay. Source: Alipay fund.coupon.operation.query, `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// Not yet decided.
    Init,
    /// The money has moved.
    Success,
    /// Ended without moving money.
    Closed,
}

impl OperationStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Init, Self::Success, Self::Closed];
}

/// What an operation did. Source: Alipay fund.coupon.operation.query, `operation_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationType {
    /// Paid, or paid out.
    Pay,
    /// Paid back.
    Refund,
}

/// An operation as a query returns it; masked values are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Alipay's number of the order.
    pub auth_no: Option<AlipayNo>,
    /// The merchant's number of the order.
    pub out_order_no: Option<MerchantNo>,
    /// Alipay's number of the operation.
    pub operation_id: Option<AlipayNo>,
    /// The merchant's number of the operation.
    pub out_request_no: Option<MerchantNo>,
    /// How much.
    pub amount: Option<Fen>,
    /// Where it stands.
    pub status: OperationStatus,
    /// What it did.
    pub operation_type: Option<OperationType>,
    /// The title of the order.
    pub order_title: Option<String>,
    /// The remark of the operation.
    pub remark: Option<String>,
    /// Who paid.
    pub payer_user_id: Option<UserId>,
    /// Who got it.
    pub payee_user_id: Option<UserId>,
    /// When it happened, GMT+8.
    pub gmt_trans: Option<String>,
}

impl Verdict {
    /// The verdict's word, for the metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Refused(_) | Self::RefusedUnconfirmed(_) => "refused",
            Self::InProgress(_) => "in_progress",
            Self::Unknown(_) => "unknown",
            Self::AlreadyUsed => "already_used",
            Self::NotExecuted(_) => "not_executed",
            Self::Blocked(_) => "blocked",
        }
    }
}

impl Finding {
    /// The finding's word, for the metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Found(operation) => match operation.status {
                OperationStatus::Success => "succeeded",
                OperationStatus::Closed => "refused",
                OperationStatus::Init => "in_progress",
            },
            Self::NotFound => "not_found",
            Self::Unknown(_) => "unknown",
            Self::NotExecuted(_) => "not_executed",
            Self::Blocked(_) => "blocked",
        }
    }
}
