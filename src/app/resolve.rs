//! Settling by hand what only a person can decide: Alipay is asked first, and the outcome is written
//! and told as the worker does it.

mod question;

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::clock::SystemClock;
use crate::adapters::rabbitmq::announcer::Announcer;
use crate::adapters::random::SystemRandom;
use crate::adapters::redis_ledger::RedisLedger;
use crate::app::assembly::{policy, redis_options};
use crate::app::client::{ClientError, broker_options};
use crate::app::config::{Config, Problems};
use crate::app::job_body::rfc3339;
use crate::app::outcome_event;
use crate::app::resolve::question::Question;
use crate::app::show::ShowError;
use crate::domain::entry::{Entry, ReturnAddress};
use crate::domain::ident::Caption;
use crate::domain::job::JobKey;
use crate::domain::outcome::{Announcement, Outcome};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::Finding;
use crate::lifecycle::resolving::{Authority, Beginning, Decision, begin, decide};
use crate::lifecycle::{Context, Memory, Policy};
use crate::ports::broker::PublishError;
use crate::ports::clock::Clock as _;
use crate::ports::ledger::{Ledger as _, LedgerError, Versioned, Written};

pub use crate::app::resolve::question::said;
pub use crate::lifecycle::resolving::{Objection, Weight, Word};

/// How often a job may change under our hands before we leave it to whoever works on it.
const ROUNDS_MAX: u32 = 3;

/// How often a held job is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The longest that a held job is waited for; leases are shorter.
const HELD_WAIT_MAX: Duration = Duration::from_secs(120);

/// How long a negative outcome may take to reach the wanted replicas.
const REPLICAS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a person says of a job.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which job.
    pub key: JobKey,
    /// What became of it.
    pub word: Word,
    /// How much that is to count.
    pub weight: Weight,
    /// Whether to wait for somebody who holds the job.
    pub patience: Patience,
    /// Who says so.
    pub by: Caption,
    /// Why; always given with [`Weight::Forced`].
    pub reason: Option<Caption>,
}

/// Whether a job that is held is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is refused at once.
    None,
    /// For the rest of the lease, and the next.
    UntilFree,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The outcome that stands.
    pub outcome: Outcome,
    /// How it came to stand.
    pub settling: Settling,
    /// The id of the event, whose confirm came.
    pub event_id: String,
}

/// How an outcome came to stand.
#[derive(Clone, Debug)]
pub enum Settling {
    /// It was settled so before; the event was published again.
    Before,
    /// Alipay says the same.
    ByAlipay(Finding),
    /// By the person's word alone; with what Alipay said.
    ByOperator(Finding),
}

/// Why nothing was settled, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The ledger knows no such job.
    #[error("the ledger knows no such job")]
    Unknown,
    /// It is settled otherwise.
    #[error("it is settled as {} already, and an outcome stands", .0.resolution.as_str())]
    SettledOtherwise(Box<Outcome>),
    /// Somebody holds the lease.
    #[error("a worker is at it until {}; try again then, or with --wait", rfc3339(*.until))]
    Held {
        /// The end of the lease.
        until: UnixMillis,
    },
    /// It changed each time.
    #[error("workers are at it; try again")]
    Busy,
    /// Alipay does not say the same.
    #[error("{}", against(.objection))]
    Refused {
        /// What speaks against it.
        objection: Objection,
        /// What Alipay said.
        finding: Box<Finding>,
    },
    /// The job's app cannot be asked about here.
    #[error("no app {app} is configured here; {configured}")]
    UnknownApp {
        /// The job's.
        app: String,
        /// What there is, in words.
        configured: String,
    },
    /// The keys have mistakes.
    #[error("the configuration has mistakes\n{0}")]
    Config(Problems),
    /// The ledger could not be asked.
    #[error(transparent)]
    Ledger(#[from] ShowError),
    /// No connection to tell it by: nothing was settled yet.
    #[error(transparent)]
    Broker(#[from] ClientError),
    /// It may be settled; the same command again tells.
    #[error(
        "the ledger gave no answer: it may be settled, and is not announced. Run the same again"
    )]
    Unwritten(#[source] LedgerError),
    /// Settled, but not announced.
    #[error(
        "it is settled, but too few replicas of Redis have it yet, so it is not announced. Run the same again"
    )]
    Unreplicated,
    /// Settled, but not announced.
    #[error("it is settled, but the event is not confirmed. Run the same again")]
    Unannounced(#[source] PublishError),
}

fn against(objection: &Objection) -> &'static str {
    match objection {
        Objection::MoneyMoved => {
            "alipay says that money moved under this number: no force makes it failed"
        }
        Objection::Ended => {
            "alipay says that the operation is closed and moved nothing: no force makes it succeeded"
        }
        Objection::UnderWay => {
            "alipay says that it is under way and may yet move money: no force makes it failed"
        }
        Objection::NotConfirmed => {
            "alipay does not confirm it; whoever knows better adds --force and --reason"
        }
    }
}

/// Settles a job as a person says, and announces it: the ledger, then the event with its confirm.
///
/// A job that was settled so before is announced again, so what was cut short is finished by the
/// same command.
///
/// # Errors
///
/// [`ResolveError`].
pub async fn resolve(config: &Config, request: &Request) -> Result<Resolved, ResolveError> {
    let desk = Desk::open(config, request).await?;
    let resolved = desk.resolve(request).await;
    desk.announcer.close().await;
    resolved
}

/// All that it takes to resolve a job.
struct Desk {
    ledger: RedisLedger,
    announcer: Announcer,
    question: Question,
    clock: SystemClock,
    policy: Policy,
    replicas_min: u32,
    doubt: Duration,
}

impl Desk {
    /// Connects to everything before anything is changed.
    async fn open(config: &Config, request: &Request) -> Result<Self, ResolveError> {
        let clock = SystemClock::new();
        let question = Question::new(config, &request.key.app)?;
        let policy = policy(config).map_err(ResolveError::Config)?;
        let options = redis_options(config).ok_or(ShowError::Embedded)?;
        let connecting =
            RedisLedger::connect(options, Arc::new(clock), Arc::new(SystemRandom)).await;
        let ledger = connecting.map_err(ShowError::from)?;
        let options = broker_options(config, "hongbaod resolve")?;
        let announcer = Announcer::connect(&options).await;
        Ok(Self {
            ledger,
            announcer: announcer.map_err(ClientError::from)?,
            question,
            clock,
            policy,
            replicas_min: config.ledger.replicas_min,
            doubt: config.ledger.doubt,
        })
    }

    async fn resolve(&self, request: &Request) -> Result<Resolved, ResolveError> {
        for _ in 0..ROUNDS_MAX {
            let state = self.free(request).await?;
            let entry = state.as_ref().map(|state| &state.entry);
            let target = match begin(entry, request.word, self.clock.now()) {
                Beginning::Ask(target) => target,
                Beginning::Announce(outcome) => {
                    let nobody = ReturnAddress::default();
                    return self
                        .announce(request, (*outcome, Settling::Before), &nobody)
                        .await;
                }
                Beginning::SettledOtherwise(outcome) => {
                    return Err(ResolveError::SettledOtherwise(outcome));
                }
                Beginning::Held { until } => return Err(ResolveError::Held { until }),
                Beginning::Unknown => return Err(ResolveError::Unknown),
            };
            let Some(state) = state else {
                return Err(ResolveError::Unknown);
            };
            let finding = self.question.ask(&target).await;
            let word = (request.word, request.weight);
            let decision = decide(&state.entry, word, &finding, &self.context());
            let (outcome, authority) = match decision {
                Some(Decision::Settle { outcome, authority }) => (*outcome, authority),
                Some(Decision::Refuse(objection)) => {
                    let finding = Box::new(finding);
                    return Err(ResolveError::Refused { objection, finding });
                }
                // Settled since: the next round sees how.
                None => continue,
            };
            if !self.write(&request.key, &state, &outcome).await? {
                continue;
            }
            let settling = match authority {
                Authority::Alipay => Settling::ByAlipay(finding),
                Authority::Operator => Settling::ByOperator(finding),
            };
            let address = state.entry.pending().map(|pending| &pending.return_address);
            let address = address.cloned().unwrap_or_default();
            return self.announce(request, (outcome, settling), &address).await;
        }
        Err(ResolveError::Busy)
    }

    /// The entry, once nobody holds it, if it is to be waited for.
    async fn free(&self, request: &Request) -> Result<Option<Versioned>, ResolveError> {
        let give_up_at = self.clock.now().plus(HELD_WAIT_MAX);
        loop {
            let state = self.ledger.read(&request.key).await;
            let state = state.map_err(ShowError::from)?;
            let now = self.clock.now();
            let is_held = matches!(
                state.as_ref().map(|state| &state.entry),
                Some(Entry::InFlight(held)) if now < held.lease.expires_at
            );
            match request.patience {
                Patience::UntilFree if is_held && now < give_up_at => {
                    self.clock.sleep(LOOK_PERIOD).await;
                }
                Patience::UntilFree | Patience::None => return Ok(state),
            }
        }
    }

    /// Settles by compare-and-set; `false` when the entry has changed since it was read.
    async fn write(
        &self,
        key: &JobKey,
        old: &Versioned,
        outcome: &Outcome,
    ) -> Result<bool, ResolveError> {
        let new = Entry::Settled(outcome.clone());
        match self.ledger.replace(key, &old.revision, &new).await {
            Ok(Written::Stored(_)) => Ok(true),
            Ok(Written::Found(_) | Written::Vanished) => Ok(false),
            // Rule 1: an entry that equals what was to be written is one's own write.
            Err(error) => match self.ledger.read(key).await {
                Ok(Some(found)) => Ok(found.entry == new),
                Ok(None) | Err(_) => Err(ResolveError::Unwritten(error)),
            },
        }
    }

    /// Rules 7 and 8: a negative outcome has reached the wanted replicas before anybody hears it.
    async fn announce(
        &self,
        request: &Request,
        (outcome, settling): (Outcome, Settling),
        address: &ReturnAddress,
    ) -> Result<Resolved, ResolveError> {
        let key = &request.key;
        if !outcome.resolution.is_success() && self.replicas_min > 0 {
            let waiting = self
                .ledger
                .replicated(key, self.replicas_min, REPLICAS_WAIT_MAX);
            if !waiting.await.map_err(ResolveError::Unwritten)? {
                return Err(ResolveError::Unreplicated);
            }
        }
        let said = Announcement::Settled {
            key: key.clone(),
            outcome: outcome.clone(),
        };
        let event = outcome_event::encode(&said, address.traceparent.as_deref());
        let publishing = self.announcer.publish_event(&event).await;
        publishing.map_err(ResolveError::Unannounced)?;
        if address.reply_to.is_some() {
            match self.announcer.publish_reply(&event, address).await {
                // Nobody waits any more, or nobody reads; everybody else has the event.
                Ok(()) | Err(PublishError::Unroutable { .. } | PublishError::Refused) => {}
                Err(error @ PublishError::Unavailable(_)) => {
                    return Err(ResolveError::Unannounced(error));
                }
            }
        }
        Ok(Resolved {
            outcome,
            settling,
            event_id: event.id,
        })
    }

    fn context(&self) -> Context<'_> {
        let now = self.clock.now();
        let lost_at = self.ledger.health().memory_lost_at;
        let doubtful = lost_at.is_some_and(|lost_at| now < lost_at.plus(self.doubt));
        Context {
            now,
            // Nothing is put off here.
            jitter_permille: 0,
            memory: if doubtful {
                Memory::Doubtful
            } else {
                Memory::Sound
            },
            policy: &self.policy,
        }
    }
}
