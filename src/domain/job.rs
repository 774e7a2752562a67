//! What a producer asks: a job that moves money, or a query that reads.

mod canonical;

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::ident::{
    AlipayNo, AppName, Caption, LogonId, MerchantNo, PayTimeout, ReturnUrl, UserId,
};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// The kinds of jobs; the word is the routing key, the queue's suffix and the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Pays out a share of a packet to one payee.
    Disburse,
    /// Gives back what was not paid out.
    Refund,
    /// Reads what became of an operation.
    Query,
    /// Funds a packet from the merchant's own account by agreement.
    Pay,
    /// Signs an order that a person pays in Alipay's app.
    AppPay,
    /// Signs an order that a person pays on Alipay's cashier page.
    PagePay,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Disburse,
        Self::Refund,
        Self::Query,
        Self::Pay,
        Self::AppPay,
        Self::PagePay,
    ];

    /// The kind's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disburse => "disburse",
            Self::Refund => "refund",
            Self::Query => "query",
            Self::Pay => "pay",
            Self::AppPay => "app_pay",
            Self::PagePay => "page_pay",
        }
    }

    /// The place in [`Kind::ALL`], for tables of all kinds.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Disburse => 0,
            Self::Refund => 1,
            Self::Query => 2,
            Self::Pay => 3,
            Self::AppPay => 4,
            Self::PagePay => 5,
        }
    }

    /// Every kind's word, for sentences: `disburse, refund, ...`.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The kind of a word, or `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A job as a producer asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Moves money; the ledger remembers it.
    Money(MoneyJob),
    /// Reads; it takes no ledger entry.
    Query(QueryJob),
}

impl Job {
    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Money(job) => job.kind(),
            Self::Query(_) => Kind::Query,
        }
    }

    /// The app that the job names, or that was filled in for it.
    #[must_use]
    pub fn app(&self) -> &AppName {
        match self {
            Self::Money(job) => &job.app,
            Self::Query(job) => &job.app,
        }
    }

    /// The labels to echo in the outcome.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Money(job) => &job.labels,
            Self::Query(job) => &job.labels,
        }
    }
}

/// Free data of the producer, echoed in the outcome event: at most 8 pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, String>);

/// What names a money job everywhere: one app and one `out_request_no`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The app.
    pub app: AppName,
    /// The number that deduplicates.
    pub out_request_no: MerchantNo,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.app, self.out_request_no)
    }
}

/// The first 16 bytes of the SHA-256 of [`MoneyJob::canonical`].
///
/// Two jobs of one number are the same job exactly when their fingerprints are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A job that moves money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyJob {
    /// The Alipay application that asks.
    pub app: AppName,
    /// The number that deduplicates, at Alipay as here.
    pub out_request_no: MerchantNo,
    /// What is to move.
    pub request: MoneyRequest,
    /// Echoed in the outcome; part of the fingerprint.
    pub labels: Labels,
    /// A job that was certainly never sent is not sent after this instant.
    pub not_after: Option<UnixMillis>,
}

/// What is to move, by kind. Names and lengths: Alipay fund.coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoneyRequest {
    /// alipay.fund.coupon.order.disburse
    Disburse {
        /// The disburse order's own number, which differs from the pay order's.
        out_order_no: MerchantNo,
        /// The packet that pays.
        deduct: OrderRef,
        /// What the payee reads.
        order_title: Caption,
        /// How much.
        amount: Fen,
        /// Who gets it.
        payee: Payee,
        /// Optional parameters.
        extras: Extras,
    },
    /// alipay.fund.coupon.order.refund
    Refund {
        /// The pay order that is refunded.
        auth_no: AlipayNo,
        /// How much.
        amount: Fen,
        /// What the payer reads.
        remark: Caption,
    },
    /// alipay.fund.coupon.order.agreement.pay
    Pay {
        /// The pay order's number.
        out_order_no: MerchantNo,
        /// What the payer reads.
        order_title: Caption,
        /// How much.
        amount: Fen,
        /// Who pays: the merchant's own account.
        payer_user_id: UserId,
        /// Optional parameters.
        extras: Extras,
    },
    /// alipay.fund.coupon.order.app.pay or page.pay: signed for a person to pay; nothing is called.
    Order {
        /// Where it is paid.
        cashier: Cashier,
        /// The pay order's number.
        out_order_no: MerchantNo,
        /// What the payer reads.
        order_title: Caption,
        /// How much.
        amount: Fen,
        /// Optional parameters.
        extras: Extras,
    },
}

/// Where a person pays an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cashier {
    /// In Alipay's app, which the merchant's app hands the order string to.
    App,
    /// On Alipay's page in a browser.
    Page {
        /// Where the browser is sent back to.
        return_url: Option<ReturnUrl>,
    },
}

/// Optional parameters of disburse and of all that pays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// How long the payer may take.
    pub pay_timeout: Option<PayTimeout>,
    /// JSON text of at most 300 characters, handed through.
    pub extra_param: Option<String>,
    /// After how long the packet is refunded by itself; honoured by agreement.pay alone.
    pub order_expired_time: Option<PayTimeout>,
}

/// An order by Alipay's number or by the merchant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// Alipay's number.
    AuthNo(AlipayNo),
    /// The merchant's number.
    OutOrderNo(MerchantNo),
}

/// An operation of an order by Alipay's number or by the merchant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationRef {
    /// Alipay's number.
    OperationId(AlipayNo),
    /// The merchant's number.
    OutRequestNo(MerchantNo),
}

/// Who gets the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payee {
    /// By user id, which is never ambiguous.
    UserId(UserId),
    /// By logon id, which fails when it matches more than one account.
    LogonId(LogonId),
}

/// What an operation is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryTarget {
    /// The order.
    pub order: OrderRef,
    /// The operation of that order.
    pub operation: OperationRef,
}

impl fmt::Display for QueryTarget {
    /// Writes `<order number>:<operation number>`, the target's part of a query's event id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.order {
            OrderRef::AuthNo(number) => write!(f, "{number}:")?,
            OrderRef::OutOrderNo(number) => write!(f, "{number}:")?,
        }
        match &self.operation {
            OperationRef::OperationId(number) => write!(f, "{number}"),
            OperationRef::OutRequestNo(number) => write!(f, "{number}"),
        }
    }
}

/// A job that reads what became of an operation; it moves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryJob {
    /// The Alipay application that asks.
    pub app: AppName,
    /// The operation that is asked for.
    pub target: QueryTarget,
    /// Echoed in the outcome.
    pub labels: Labels,
    /// The query is not asked after this instant.
    pub not_after: Option<UnixMillis>,
}

impl MoneyJob {
    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.request {
            MoneyRequest::Disburse { .. } => Kind::Disburse,
            MoneyRequest::Refund { .. } => Kind::Refund,
            MoneyRequest::Pay { .. } => Kind::Pay,
            MoneyRequest::Order {
                cashier: Cashier::App,
                ..
            } => Kind::AppPay,
            MoneyRequest::Order {
                cashier: Cashier::Page { .. },
                ..
            } => Kind::PagePay,
        }
    }

    /// The job's key in the ledger.
    #[must_use]
    pub fn key(&self) -> JobKey {
        JobKey {
            app: self.app.clone(),
            out_request_no: self.out_request_no.clone(),
        }
    }

    /// How much is to move.
    #[must_use]
    pub fn amount(&self) -> Fen {
        match self.request {
            MoneyRequest::Disburse { amount, .. }
            | MoneyRequest::Refund { amount, .. }
            | MoneyRequest::Pay { amount, .. }
            | MoneyRequest::Order { amount, .. } => amount,
        }
    }

    /// Whether `not_after` has passed at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.not_after.is_some_and(|not_after| now > not_after)
    }

    /// The order number that the merchant gave, where the kind has one.
    #[must_use]
    pub fn out_order_no(&self) -> Option<&MerchantNo> {
        match &self.request {
            MoneyRequest::Disburse { out_order_no, .. }
            | MoneyRequest::Pay { out_order_no, .. }
            | MoneyRequest::Order { out_order_no, .. } => Some(out_order_no),
            MoneyRequest::Refund { .. } => None,
        }
    }

    /// What finds this job's operation at Alipay, whatever became of it.
    ///
    /// Source: Alipay fund.coupon.operation.query: a disburse or pay by its own order number, a
    /// refund by the pay order's `auth_no`, each with the operation's `out_request_no`.
    #[must_use]
    pub fn query_target(&self) -> QueryTarget {
        let order = match &self.request {
            MoneyRequest::Disburse { out_order_no, .. }
            | MoneyRequest::Pay { out_order_no, .. }
            | MoneyRequest::Order { out_order_no, .. } => {
                OrderRef::OutOrderNo(out_order_no.clone())
            }
            MoneyRequest::Refund { auth_no, .. } => OrderRef::AuthNo(auth_no.clone()),
        };
        QueryTarget {
            order,
            operation: OperationRef::OutRequestNo(self.out_request_no.clone()),
        }
    }
}
