//! Bugs that are planted on purpose, to prove that the oracle sees them.
//!
//! The worker's code is the real one: a bug is a port that lies, or numbers that the configuration
//! would refuse.

mod broker;
mod gateway;
mod hasty;
mod ledger;
mod time;

use std::sync::Arc;
use std::time::Duration;

use hongbaod::app::worker::{Ports, WorkerOptions};

use self::broker::BadBroker;
use self::gateway::BadGateway;
use self::ledger::BadLedger;
use self::time::SlowClock;

macro_rules! bugs {
    ($($name:ident breaks $promise:literal in $seed:literal: $words:literal),+ $(,)?) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($name),+
        }

        impl Bug {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The bug in words.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $words),+
                }
            }

            /// A seed that caught it last: where to look first. Another one is found, but slowly, when
            /// a change of the worker has moved them all; `tests/simulate --bugs` prints them.
            pub(crate) const fn seed(self) -> u64 {
                match self {
                    $(Self::$name => $seed),+
                }
            }

            /// What the oracle's word about it begins with.
            pub(crate) const fn breaks(self) -> &'static str {
                match self {
                    $(Self::$name => $promise),+
                }
            }
        }
    };
}

bugs! {
    AckBeforeLedger breaks "P2" in 0: "acknowledges before the ledger is written",
    EventBeforeLedger breaks "rule 7" in 0: "publishes the outcome before the ledger has it",
    CopyAfterLedger breaks "P2" in 5: "writes that a job is deferred before its copy is published",
    TimeoutIsFailed breaks "P3" in 12: "takes a time-out for a refusal",
    UnknownIsNotSent breaks "P1" in 1: "takes an unknown answer for one that was not sent",
    FlushUnnoticed breaks "P1" in 17: "resends without a query after a flush",
    OtherBytes breaks "P1: sent again with other" in 5: "resends with a changed body",
    LeaseNotChecked breaks "P1" in 605: "does not check the lease before the first byte",
    EndedLeaseRenewed breaks "P1" in 536: "renews a lease that is over, whoever holds the job by then",
    LateRefusalSettles breaks "P4" in 179: "settles a late refusal over another holder",
    MaybeSentForgotten breaks "P1" in 1: "does not keep `maybe_sent`",
    DoubtIgnored breaks "P1" in 17: "takes a lack of an entry for proof, whatever the signs",
    RefusalBelieved breaks "P3" in 213: "believes a refusal after an unknown answer at once",
    TicketsIgnored breaks "P6" in 35: "works old copies as if they were the newest",
    SetNotCompared breaks "P1" in 0: "sets where it should compare and set",
    ConfirmIgnored breaks "P2" in 12: "takes a message for published without its confirm",
    ExpiresWhatWasSent breaks "P3" in 65: "lets a job expire that may have been sent",
    QuerySwallowed breaks "P2" in 1: "takes a query for a duplicate of the payment",
    AbsenceAtOnce breaks "P1" in 1: "takes one \"not found\" for an absence",
    RescueForgotten breaks "liveness" in 210: "never rescues",
}

/// The ports and numbers of a worker that has the bug.
pub(crate) fn mutate(
    bug: Option<Bug>,
    mut ports: Ports,
    mut options: WorkerOptions,
) -> (Ports, WorkerOptions) {
    let Some(bug) = bug else {
        return (ports, options);
    };
    match bug {
        Bug::DoubtIgnored => {
            ports.broker = Arc::new(BadBroker::new(bug, ports.broker));
            ports.ledger = Arc::new(BadLedger::new(bug, ports.ledger, ports.clock.clone()));
        }
        Bug::LeaseNotChecked => ports.clock = slow(&ports, 1_000),
        Bug::AbsenceAtOnce => {
            options.policy.absence_confirmations = 1;
            options.policy.absence_window = Duration::ZERO;
        }
        Bug::RescueForgotten => options.policy.rescue_after = Duration::MAX,
        Bug::EndedLeaseRenewed => {
            ports.clock = slow(&ports, 10);
            ports.ledger = Arc::new(BadLedger::new(bug, ports.ledger, ports.clock.clone()));
        }
        Bug::TimeoutIsFailed | Bug::UnknownIsNotSent | Bug::OtherBytes | Bug::RefusalBelieved => {
            ports.gateway = Arc::new(BadGateway::new(bug, ports.gateway));
        }
        Bug::AckBeforeLedger | Bug::ConfirmIgnored | Bug::QuerySwallowed => {
            ports.broker = Arc::new(BadBroker::new(bug, ports.broker))
        }
        Bug::FlushUnnoticed
        | Bug::LateRefusalSettles
        | Bug::MaybeSentForgotten
        | Bug::TicketsIgnored
        | Bug::SetNotCompared
        | Bug::ExpiresWhatWasSent => {
            ports.ledger = Arc::new(BadLedger::new(bug, ports.ledger, ports.clock.clone()));
        }
        Bug::EventBeforeLedger | Bug::CopyAfterLedger => {
            let both = hasty::Hasty::new(bug, &ports);
            ports.ledger = both.clone();
            ports.broker = both;
        }
    }
    (ports, options)
}

fn slow(ports: &Ports, slowness: u32) -> Arc<SlowClock> {
    Arc::new(SlowClock {
        inner: Arc::clone(&ports.clock),
        slowness,
    })
}
