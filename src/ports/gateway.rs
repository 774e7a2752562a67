//! What the worker needs of Alipay.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::draft::FieldError;
use crate::domain::entry::RequestDigest;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{MoneyJob, QueryTarget};
use crate::domain::money::Fen;
use crate::domain::outcome::SignedOrder;
use crate::domain::verdict::{Finding, Verdict};

/// Calls Alipay for any configured app.
///
/// No call fails: whatever goes wrong on the way is a verdict. Nothing is retried inside.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// The apps that are configured.
    fn apps(&self) -> Vec<AppName>;

    /// What of the job cannot be written in the charset of its app's requests, field by field. A
    /// job with such a field is refused before anything of it is sent.
    fn unwritable(&self, _job: &MoneyJob) -> Vec<FieldError> {
        Vec::new()
    }

    /// Makes the request's `biz_content`: the same bytes for the same job, in every process of
    /// this version and configuration. `None` when the job's app is not configured.
    fn prepare(&self, job: &MoneyJob) -> Option<Prepared>;

    /// Signs an order for a person to pay; nothing is called. `None` when the app is not configured
    /// or the library fails to sign.
    ///
    /// Each signature bears the instant of its making, so no two are equal.
    fn sign_order(&self, job: &MoneyJob, prepared: &Prepared) -> Option<SignedOrder>;

    /// Sends `prepared`; it may move money.
    async fn send(&self, app: &AppName, prepared: &Prepared) -> Verdict;

    /// Reads what became of an operation.
    async fn query(&self, app: &AppName, target: &QueryTarget) -> Finding;
}

/// A request that is ready to be signed and sent, as often as need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Alipay's name of the method, such as `alipay.fund.coupon.order.disburse`.
    pub method: &'static str,
    /// The request's content, byte-equal on every resend.
    pub biz_content: BizContent,
    /// Of `biz_content`.
    pub digest: RequestDigest,
    /// What a successful answer must be about.
    pub expected: Expected,
}

/// The content of a request; `Debug` redacts it, for it names people.
#[derive(Clone, PartialEq, Eq)]
pub struct BizContent(pub String);

impl std::fmt::Debug for BizContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BizContent({} bytes)", self.0.len())
    }
}

/// What a successful answer must be about, where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The operation's number.
    pub out_request_no: MerchantNo,
    /// How much.
    pub amount: Fen,
}

/// Is told of each call when it is over, for the metrics.
pub trait CallObserver: Send + Sync {
    /// One call, whatever came of it.
    fn called(&self, report: &CallReport<'_>);
}

/// What one call was; every text but the app's name is one of a bounded set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallReport<'a> {
    /// The app that called.
    pub app: &'a AppName,
    /// Alipay's name of the method.
    pub method: &'static str,
    /// The word of the verdict or finding.
    pub verdict: &'static str,
    /// The gateway code if it is a known one, else `other`; `none` without a readable answer.
    pub code: &'static str,
    /// The business code if it is a known one, else `other`; `none` when there is none.
    pub sub_code: &'static str,
    /// From before signing to the verdict.
    pub duration: Duration,
}
