//! What the ledger remembers of a money job.
//!
//! ```text
//! absent ──claim──▶ InFlight ──defer──▶ Deferred ──claim──▶ InFlight … ──settle──▶ Settled
//! ```

use std::fmt;

use crate::domain::job::{Fingerprint, MoneyJob, QueryTarget};
use crate::domain::outcome::Outcome;
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{AlipayNumbers, Refusal};

/// The state of one job in the ledger; "absent" is the lack of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Somebody holds the right to call. Entered by a claim; left by settling, deferring, or, once
    /// the lease is over, by another's claim.
    InFlight(InFlight),
    /// A confirmed copy waits in the retry ladder. Entered by deferring; left by the claim of
    /// whoever receives that copy.
    Deferred(Deferred),
    /// The final fact. Entered once; never left before the retention ends.
    Settled(Outcome),
}

/// A job that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The right to call.
    pub lease: Lease,
    /// The attempt's number; a retry copy of this attempt bears a greater ticket.
    pub attempt: u32,
    /// What is known so far.
    pub pending: Pending,
}

/// A job that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// The newest confirmed copy's ticket; copies with a lower one may be dropped.
    pub ticket: Ticket,
    /// When that copy is due.
    pub due_at: UnixMillis,
    /// What is known so far.
    pub pending: Pending,
}

/// Everything known of an unsettled job; dropped at settling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three independent facts, each with its own rule"
)]
pub struct Pending {
    /// The job itself.
    pub job: MoneyJob,
    /// Of [`MoneyJob::canonical`].
    pub fingerprint: Fingerprint,
    /// Who waits for the answer.
    pub return_address: ReturnAddress,
    /// The memory of danger: an attempt before the present one may have reached Alipay. An
    /// [`InFlight`] entry with a digest implies the same of its own attempt.
    pub maybe_sent: bool,
    /// Of the first `biz_content`; other bytes are never sent under this number. An [`InFlight`]
    /// entry without one only asks (rule 11): whoever claims in order to send writes it.
    pub digest: Option<RequestDigest>,
    /// "Not found" answers since the last send.
    pub absence: Absence,
    /// A refusal after a possible send, which waits for the query's agreement.
    pub refusal: Option<Refusal>,
    /// Alipay said that the number is used: "not found" never leads to a resend.
    pub number_used: bool,
    /// Alipay's own numbers of the operation, once an answer gave them: it is asked for by these.
    pub numbers: Option<AlipayNumbers>,
    /// How many calls were made, queries included.
    pub attempts: u32,
    /// How many deferrals in a row told us nothing final; drives the backoff.
    pub inconclusive: u32,
    /// How often the rescue task has published a copy since the last verdict.
    pub rescues: u32,
    /// When the job was first claimed.
    pub first_seen_at: UnixMillis,
    /// Whether `unresolved` was announced.
    pub unresolved_announced: bool,
}

/// "Not found" answers since the last send, or since the last takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// How many.
    pub count: u32,
    /// When the first of them came.
    pub since: Option<UnixMillis>,
}

/// The right to call, until an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose right.
    pub token: LeaseToken,
    /// Until when, for everybody else; the holder goes by its own monotonic clock.
    pub expires_at: UnixMillis,
}

/// Random, one for each claim, so that one's own write is known again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub u64);

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseToken({:016x})", self.0)
    }
}

/// The number of a retry copy: of two copies the one with the greater ticket is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u32);

/// The first 16 bytes of the SHA-256 of a `biz_content`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestDigest(pub [u8; 16]);

impl fmt::Debug for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestDigest({})", Fingerprint(self.0))
    }
}

/// Where a job came from and who waits for its answer, as its message said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnAddress {
    /// The queue that gets a copy of the outcome.
    pub reply_to: Option<String>,
    /// Echoed to that queue.
    pub correlation_id: Option<String>,
    /// The message's own id.
    pub message_id: Option<String>,
    /// W3C trace context, carried on.
    pub traceparent: Option<String>,
}

impl InFlight {
    /// Whether the present attempt, or one before it, may have reached Alipay: a claim implies
    /// "about to send" (rule 4), but for one that only asks.
    #[must_use]
    pub const fn is_maybe_sent(&self) -> bool {
        self.pending.maybe_sent || self.pending.digest.is_some()
    }
}

impl Pending {
    /// What the operation is asked for by: Alipay's numbers where they are known, else the job's.
    #[must_use]
    pub fn query_target(&self) -> QueryTarget {
        let numbers = self.numbers.as_ref();
        numbers.map_or_else(|| self.job.query_target(), AlipayNumbers::target)
    }
}

impl Entry {
    /// The fingerprint of the job that the entry is about.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::InFlight(in_flight) => in_flight.pending.fingerprint,
            Self::Deferred(deferred) => deferred.pending.fingerprint,
            Self::Settled(outcome) => outcome.fingerprint,
        }
    }

    /// What is known so far, or `None` when settled.
    #[must_use]
    pub fn pending(&self) -> Option<&Pending> {
        match self {
            Self::InFlight(in_flight) => Some(&in_flight.pending),
            Self::Deferred(deferred) => Some(&deferred.pending),
            Self::Settled(_) => None,
        }
    }
}
