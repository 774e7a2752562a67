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
    ($($name:ident => $words:literal),+ $(,)?) => {
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
        }
    };
}

bugs! {
    AckBeforeLedger => "acknowledges before the ledger is written",
    EventBeforeLedger => "publishes the outcome before the ledger has it",
    CopyAfterLedger => "writes that a job is deferred before its copy is published",
    TimeoutIsFailed => "takes a timeout for a refusal",
    UnknownIsNotSent => "takes an unknown answer for one that was not sent",
    FlushUnnoticed => "resends without a query after a flush",
    OtherBytes => "resends with other bytes",
    LeaseNotChecked => "does not check the lease before the first byte",
    EndedLeaseRenewed => "renews a lease that is over, whoever holds the job by then",
    LateRefusalSettles => "settles a late refusal over another holder",
    MaybeSentForgotten => "does not keep maybe_sent",
    DoubtIgnored => "ignores that a delivery without entry is marked redelivered",
    RefusalBelieved => "believes a refusal after an unknown answer at once",
    TicketsIgnored => "works old copies as if they were the newest",
    SetNotCompared => "writes without comparing",
    ConfirmIgnored => "takes a message for published without its confirm",
    ExpiresWhatWasSent => "lets a job expire that may have been sent",
    QuerySwallowed => "takes a query for a duplicate of the payment",
    AbsenceAtOnce => "takes one not-found for an absence",
    RescueForgotten => "never rescues",
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
        Bug::AckBeforeLedger | Bug::DoubtIgnored | Bug::ConfirmIgnored | Bug::QuerySwallowed => {
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
