//! Whoever is told what the worker does with jobs, beside the metrics: what people see, and what is
//! written down for them.
//!
//! A witness decides nothing and holds nothing up: it must neither block nor fail, and losing one
//! of its notes loses no money.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::job::{JobKey, Kind};
use crate::domain::outcome::Outcome;
use crate::domain::time::UnixMillis;

/// Is told of each call that came back and of each outcome that was written.
pub trait Witness: Send + Sync {
    /// A call about a job came back; what it means is not decided yet.
    fn attempted(&self, _attempt: &Attempt<'_>) {}

    /// An outcome was written to the ledger; announcing it again is not told.
    fn settled(&self, _settling: &Settling<'_>) {}
}

/// One call to Alipay about one job.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The job.
    pub key: &'a JobKey,
    /// Its kind.
    pub kind: Kind,
    /// The call's number: 1 is the first of the job.
    pub number: u32,
    /// What was called.
    pub call: Called,
    /// The word of the verdict or finding.
    pub verdict: &'static str,
    /// The gateway code, where the answer gave one and did not simply succeed.
    pub code: Option<&'a str>,
    /// The business code, likewise.
    pub sub_code: Option<&'a str>,
    /// When the call began.
    pub at: UnixMillis,
    /// From before signing to the verdict.
    pub duration: Duration,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// The call that moves money.
    Send,
    /// The query that reads what became of it.
    Query,
}

impl Called {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Query => "query",
        }
    }
}

/// An outcome that was written.
#[derive(Clone, Copy, Debug)]
pub struct Settling<'a> {
    /// Whose.
    pub key: &'a JobKey,
    /// The outcome.
    pub outcome: &'a Outcome,
    /// From the delivery to the writing; `None` where no delivery of the job led to it: a query
    /// job, a notification or a person told what became of it.
    pub took: Option<Duration>,
}

/// All witnesses of a process.
#[derive(Clone, Default)]
pub struct Witnesses(pub Vec<Arc<dyn Witness>>);

impl Witness for Witnesses {
    fn attempted(&self, attempt: &Attempt<'_>) {
        for witness in &self.0 {
            witness.attempted(attempt);
        }
    }

    fn settled(&self, settling: &Settling<'_>) {
        for witness in &self.0 {
            witness.settled(settling);
        }
    }
}
