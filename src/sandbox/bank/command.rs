//! What is asked of the bank and what it answers.

use std::sync::Arc;

use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::Charset;
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// A request that moves money. Two are the same exactly when they are equal in every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The operation's number, given by the merchant.
    pub out_request_no: Arc<str>,
    /// How much.
    pub amount: Fen,
    /// `order_title` of pay and disburse, `remark` of refund.
    pub caption: Arc<str>,
    /// `extra_param`, as sent.
    pub extra_param: Option<Arc<str>>,
    /// `pay_timeout`, as sent.
    pub pay_timeout: Option<Arc<str>>,
    /// What is to move.
    pub what: What,
}

/// What is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// alipay.fund.coupon.order.agreement.pay, app.pay, page.pay
    Pay {
        /// The pay order's number.
        out_order_no: Arc<str>,
        /// Who pays.
        payer: Payer,
    },
    /// alipay.fund.coupon.order.disburse
    Disburse {
        /// The disburse order's own number.
        out_order_no: Arc<str>,
        /// The packet that pays.
        packet: OrderRef,
        /// Who gets it.
        payee: Payee,
    },
    /// alipay.fund.coupon.order.refund
    Refund {
        /// The pay order's number.
        auth_no: Arc<str>,
    },
}

/// Who fills a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// This user, by agreement: at once, without being asked.
    Agreement(Arc<str>),
    /// Whoever pays on the phone or at the cashier, before the order's time is up.
    Person,
}

/// An order by Alipay's number or by the merchant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// `auth_no`, given by Alipay.
    AuthNo(Arc<str>),
    /// `out_order_no`, given by the merchant.
    OutOrderNo(Arc<str>),
}

/// Who gets a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payee {
    /// An Alipay user id.
    UserId(Arc<str>),
    /// An e-mail address or telephone number.
    LogonId(Arc<str>),
}

impl Payee {
    /// The account's user id; one is made up, always the same, for a logon id.
    #[must_use]
    pub fn user_id(&self) -> Arc<str> {
        match self {
            Self::UserId(user_id) => Arc::clone(user_id),
            Self::LogonId(logon_id) => {
                let digits = logon_id.bytes().fold(7_u64, |sum, byte| {
                    (sum * 131 + u64::from(byte)) % 1_000_000_000
                });
                Arc::from(format!("2088202{digits:09}"))
            }
        }
    }

    /// The logon id as Alipay shows it: masked.
    #[must_use]
    pub fn masked_logon_id(&self) -> String {
        match self {
            Self::UserId(user_id) => masked(user_id),
            Self::LogonId(logon_id) => masked(logon_id),
        }
    }
}

/// Our reading: three characters, six stars, four characters.
pub(crate) fn masked(text: &str) -> String {
    let count = text.chars().count();
    if count < 10 {
        return "******".to_owned();
    }
    let head: String = text.chars().take(3).collect();
    let tail: String = text.chars().skip(count - 4).collect();
    format!("{head}******{tail}")
}

impl Command {
    /// The pay operation of a packet that the console opens.
    pub(crate) fn opening(out_order_no: &str, amount: Fen) -> Self {
        let out_order_no: Arc<str> = Arc::from(out_order_no);
        Self {
            out_request_no: Arc::clone(&out_order_no),
            amount,
            caption: Arc::from("sandbox packet"),
            extra_param: None,
            pay_timeout: None,
            what: What::Pay {
                out_order_no,
                payer: Payer::Person,
            },
        }
    }

    /// The operation's kind.
    #[must_use]
    pub fn kind(&self) -> OperationKind {
        match self.what {
            What::Pay { .. } => OperationKind::Pay,
            What::Disburse { .. } => OperationKind::Disburse,
            What::Refund { .. } => OperationKind::Refund,
        }
    }

    /// Whether a person is to pay, on the phone or at the cashier.
    pub(crate) fn awaits_person(&self) -> bool {
        match &self.what {
            What::Pay { payer, .. } => *payer == Payer::Person,
            What::Disburse { .. } | What::Refund { .. } => false,
        }
    }
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// A payer fills a packet.
    Pay,
    /// A share leaves a packet for a payee.
    Disburse,
    /// Money goes back to the payer.
    Refund,
}

impl OperationKind {
    /// The word for people: `pay`, `disburse` or `refund`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Disburse => "disburse",
            Self::Refund => "refund",
        }
    }

    /// Alipay's `operation_type`: `PAY` for pay and disburse, `REFUND` for refund.
    #[must_use]
    pub fn operation_type(self) -> &'static str {
        match self {
            Self::Pay | Self::Disburse => "PAY",
            Self::Refund => "REFUND",
        }
    }
}

/// Alipay's `status` of an order or operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Accepted; no money has moved yet.
    Init,
    /// The money has moved.
    Success,
    /// It has not moved and never will.
    Closed,
}

impl Status {
    /// Alipay's word: `INIT`, `SUCCESS` or `CLOSED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Success => "SUCCESS",
            Self::Closed => "CLOSED",
        }
    }
}

/// How a command is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When its money moves.
    pub effect: Effect,
    /// What a used number answers.
    pub idempotency: Idempotency,
    /// Which call it came with; `None` for what the console does.
    pub origin: Option<Arc<Origin>>,
}

/// What a call said beside its content. The bank only keeps it, for the notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where the notification goes to.
    pub notify_url: Option<Arc<str>>,
    /// Where the cashier sends the browser to after payment.
    pub return_url: Option<Arc<str>>,
    /// The call's sign type, which Alipay signs with too.
    pub sign_type: SignType,
    /// The call's charset.
    pub charset: Charset,
    /// For whom the app acted.
    pub merchant: ActedFor,
}

/// For whom an app calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActedFor {
    /// For itself.
    Itself,
    /// For a merchant who gave it an `app_auth_token`.
    Merchant,
}

/// When the money of a command moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Before the answer.
    Now,
    /// At an instant; until then the operation's status is INIT. If the packet is empty by
    /// then, the operation is closed.
    At(UnixMillis),
}

/// What a number that was used already answers. The sources about Alipay contradict each
/// other, so both behaviours are to be had. Other content is `UNIQUE_VIOLATION` in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idempotency {
    /// The same content again gets the same result again.
    #[default]
    Replay,
    /// Every use but the first is a `UNIQUE_VIOLATION`.
    AlreadyUsed,
}

/// What the bank recorded for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The operation's kind.
    pub kind: OperationKind,
    /// The order's number at Alipay: the share's own for a disburse, the packet's for a refund.
    pub auth_no: Arc<str>,
    /// The same order's number at the merchant.
    pub out_order_no: Arc<str>,
    /// The operation's number at Alipay.
    pub operation_id: Arc<str>,
    /// The operation's number at the merchant.
    pub out_request_no: Arc<str>,
    /// How much.
    pub amount: Fen,
    /// Whether the money has moved.
    pub status: Status,
    /// When it moved.
    pub done_at: Option<UnixMillis>,
}
