//! One delivery of a money job while it is worked on.

use crate::domain::entry::{Lease, LeaseToken};
use crate::domain::job::{Fingerprint, JobKey, MoneyJob};
use crate::domain::time::Monotonic;
use crate::lifecycle::{Arrival, LeaseLife};
use crate::pacing::{PacedCall, Party, Permit};
use crate::ports::broker::Delivery;
use crate::ports::gateway::Prepared;

use super::Worker;

/// Everything that is known of a delivery beside the ledger's entry.
pub(super) struct Case<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) job: MoneyJob,
    pub(super) key: JobKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) prepared: Prepared,
    pub(super) received_at: Monotonic,
    pub(super) arrival: Arrival,
    pub(super) party: Party,
    pub(super) permit: Option<Permit>,
    /// The method whose rate token came with the permit and is still unused.
    pub(super) token: Option<PacedCall>,
}

/// Why work on a delivery stops without an acknowledgement.
#[derive(Debug)]
pub(super) enum Halt {
    /// The worker drains, or the delivery's channel is gone: it comes again, here or elsewhere.
    HandBack,
    /// The ledger's value cannot be read by this version: nothing is called, settled or told, and the
    /// delivery waits for a replica that can.
    Unreadable(String),
}

/// A lease by the holder's own clock.
#[derive(Clone, Copy)]
pub(super) struct Grip {
    pub(super) lease: Lease,
    /// When it is over; counted from before the write that granted it.
    pub(super) deadline: Monotonic,
}

impl Worker {
    /// Offers a lease from now on, under a new token.
    pub(super) fn offer(&self) -> Grip {
        self.grip(LeaseToken(self.ports.random.next_u64()))
    }

    /// A lease from now on.
    pub(super) fn grip(&self, token: LeaseToken) -> Grip {
        let clock = &self.ports.clock;
        Grip {
            deadline: clock.monotonic().plus(self.options.lease),
            lease: Lease {
                token,
                expires_at: clock.now().plus(self.options.lease),
            },
        }
    }

    /// Rule 8: whether a negative word may still be spoken.
    pub(super) fn life(&self, grip: &Grip) -> LeaseLife {
        if self.ports.clock.monotonic() < grip.deadline {
            LeaseLife::Alive
        } else {
            LeaseLife::Over
        }
    }

    /// Rule 3: whether the lease outlasts a whole call that starts now.
    pub(super) fn outlasts_call(&self, grip: &Grip) -> bool {
        self.ports.clock.monotonic().plus(self.options.call_timeout) <= grip.deadline
    }
}
