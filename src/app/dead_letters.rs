//! The dead letters, for operators: which they are, and what is to become of them.
//!
//! [`look`] changes nothing. [`requeue`] and [`drop`] are the two actions; each goes through the
//! queue once, letter by letter, and leaves what is not wanted where it was.

mod letter;
mod tally;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::adapters::rabbitmq::RabbitmqOptions;
use crate::adapters::rabbitmq::dead_letters::{LetterError, ReadError, Reader, Replayer, WINDOW};
use crate::app::client::{ClientError, broker_options};
use crate::app::config::Config;
use crate::app::wall_clock;
use crate::domain::ident::AppName;
use crate::domain::job::{Job, Kind};
use crate::domain::lane::{Lane, Shards};
use crate::domain::time::UnixMillis;

pub use crate::app::dead_letters::letter::{Content, Letter, Wanted};
pub use crate::app::dead_letters::tally::{Share, Tally};

/// What happens on the way.
pub enum Step<'a> {
    /// So many letters are in the queue.
    Begun(u64),
    /// One more letter was looked at.
    Looked,
    /// A letter is one of those that are wanted; nothing has happened to it yet.
    Met(&'a Letter),
    /// A letter is still there, or may be.
    Failed(&'a Letter, ActError),
}

/// Who hears of each step.
pub type Observer<'a> = dyn FnMut(Step<'_>) + Send + 'a;

/// Why a letter is still there.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no queue to put it into.
    #[error("neither the body nor the routing key tells its kind")]
    NoKind,
    /// The broker did not take it, or nobody knows.
    #[error(transparent)]
    Letter(#[from] LetterError),
}

/// What came of an action.
#[derive(Debug, Default)]
pub struct Report {
    /// The letters that are wanted, as far as the queue was read.
    pub wanted: Tally,
    /// Those that are done.
    pub done: Tally,
    /// How many are still there, or may be.
    pub failed: u64,
    /// Why the queue was not read to its end, if it was not.
    pub broken_off: Option<BrokenOff>,
}

/// Why a queue was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    /// No more letters came.
    #[error(transparent)]
    Read(ReadError),
    /// Nothing can be published any more.
    #[error("RabbitMQ takes no more messages")]
    Publish,
}

impl Report {
    /// Whether everything that is wanted is done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failed == 0 && self.broken_off.is_none()
    }
}

/// Reads the queue to its end and changes nothing.
///
/// # Errors
///
/// [`ClientError`] when there is no connection; what ends the reading later is in the report, whose
/// `done` is empty.
pub async fn look(
    config: &Config,
    wanted: &Wanted,
    observe: &mut Observer<'_>,
) -> Result<Report, ClientError> {
    let options = broker_options(config, "hongbaod dead")?;
    let mut run = Run::begin(config, wanted, &options, observe).await?;
    let broken_off = run.look().await.err().map(BrokenOff::Read);
    Ok(run.end(broken_off).await)
}

/// Publishes every dead letter that is wanted as a job again, in the queue of its kind.
///
/// It is marked as replayed, so Alipay is asked before anything is sent (rule 17), and leaves the
/// dead letters only once RabbitMQ has confirmed that its kind's queue has it.
///
/// # Errors
///
/// As [`look`].
pub async fn requeue(
    config: &Config,
    wanted: &Wanted,
    observe: &mut Observer<'_>,
) -> Result<Report, ClientError> {
    let options = broker_options(config, "hongbaod dead requeue")?;
    let replayer = Box::new(Replayer::connect(&options).await?);
    let action = Action::Requeue {
        replayer,
        shards: config.rabbitmq.shards,
    };
    act(config, wanted, (&options, action), observe).await
}

/// Throws every dead letter away that is wanted. The ledger keeps what it knows of their jobs.
///
/// # Errors
///
/// As [`look`].
pub async fn drop(
    config: &Config,
    wanted: &Wanted,
    observe: &mut Observer<'_>,
) -> Result<Report, ClientError> {
    let options = broker_options(config, "hongbaod dead drop")?;
    act(config, wanted, (&options, Action::Drop), observe).await
}

async fn act(
    config: &Config,
    wanted: &Wanted,
    (options, action): (&RabbitmqOptions, Action),
    observe: &mut Observer<'_>,
) -> Result<Report, ClientError> {
    let mut run = Run::begin(config, wanted, options, observe).await?;
    let broken_off = run.act(&action).await.err();
    let report = run.end(broken_off).await;
    action.end().await;
    Ok(report)
}

/// What is done to each letter.
enum Action {
    Requeue {
        replayer: Box<Replayer>,
        shards: Shards,
    },
    Drop,
}

impl Action {
    async fn apply(&self, letter: Letter) -> (Letter, Result<(), ActError>) {
        let applied = match self {
            Self::Drop => letter.raw.throw_away().await.map_err(ActError::from),
            Self::Requeue { replayer, shards } => match lane(&letter, *shards) {
                Some(lane) => {
                    let replayed = replayer.replay(&letter.raw, lane).await;
                    replayed.map_err(ActError::from)
                }
                None => Err(ActError::NoKind),
            },
        };
        (letter, applied)
    }

    fn is_possible(&self) -> bool {
        match self {
            Self::Drop => true,
            Self::Requeue { replayer, .. } => replayer.is_open(),
        }
    }

    async fn end(self) {
        match self {
            Self::Drop => {}
            Self::Requeue { replayer, .. } => replayer.close().await,
        }
    }
}

/// The normal lane of a job's kind, as its producer would choose it.
fn lane(letter: &Letter, shards: Shards) -> Option<Lane> {
    match (letter.kind, &letter.content) {
        (Some(kind), Content::Job(job)) => match job.as_ref() {
            Job::Money(job) => {
                let number = job.out_request_no.as_str();
                Some(Lane::of_number(kind, number, shards))
            }
            Job::Query(_) => Some(Lane::from(kind)),
        },
        (kind, Content::Invalid { .. }) => kind.map(Lane::from),
        (None, Content::Job(_)) => None,
    }
}

/// One way through the queue.
struct Run<'a, 'o> {
    reader: Reader,
    wanted: &'a Wanted,
    default_app: Option<AppName>,
    now: UnixMillis,
    observe: &'a mut Observer<'o>,
    report: Report,
}

impl<'a, 'o> Run<'a, 'o> {
    async fn begin(
        config: &Config,
        wanted: &'a Wanted,
        options: &RabbitmqOptions,
        observe: &'a mut Observer<'o>,
    ) -> Result<Self, ClientError> {
        let reader = Reader::open(options).await?;
        observe(Step::Begun(reader.count()));
        Ok(Self {
            reader,
            wanted,
            default_app: AppName::new(&config.alipay.default_app).ok(),
            now: wall_clock::now(),
            observe,
            report: Report::default(),
        })
    }

    async fn look(&mut self) -> Result<(), ReadError> {
        while let Some(raw) = self.reader.next().await? {
            let letter = Letter::read(raw, self.default_app.as_ref());
            (self.observe)(Step::Looked);
            if self.wanted.matches(&letter, self.now) {
                self.report.wanted.add(&letter);
                (self.observe)(Step::Met(&letter));
            }
            self.reader.keep(&letter.raw).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: &Action) -> Result<(), BrokenOff> {
        let mut under_way = FuturesUnordered::new();
        let mut ended = Ok(());
        loop {
            tokio::select! {
                Some(applied) = under_way.next(), if !under_way.is_empty() => {
                    ended = self.settle(applied).await;
                }
                next = self.reader.next(), if under_way.len() < WINDOW => match next {
                    Ok(Some(raw)) => {
                        let letter = Letter::read(raw, self.default_app.as_ref());
                        (self.observe)(Step::Looked);
                        if self.wanted.matches(&letter, self.now) {
                            self.report.wanted.add(&letter);
                            (self.observe)(Step::Met(&letter));
                            under_way.push(action.apply(letter));
                        } else {
                            let kept = self.reader.keep(&letter.raw).await;
                            ended = kept.map_err(BrokenOff::Read);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => ended = Err(BrokenOff::Read(error)),
                },
            }
            if ended.is_ok() && !action.is_possible() {
                ended = Err(BrokenOff::Publish);
            }
            if ended.is_err() {
                break;
            }
        }
        while let Some(applied) = under_way.next().await {
            let settled = self.settle(applied).await;
            ended = ended.and(settled);
        }
        ended
    }

    /// Counts what came of a letter; one that is still there is the reader's again.
    async fn settle(
        &mut self,
        (letter, applied): (Letter, Result<(), ActError>),
    ) -> Result<(), BrokenOff> {
        match applied {
            Ok(()) => {
                self.report.done.add(&letter);
                Ok(())
            }
            Err(error) => {
                self.report.failed = self.report.failed.saturating_add(1);
                (self.observe)(Step::Failed(&letter, error));
                let kept = self.reader.keep(&letter.raw).await;
                kept.map_err(BrokenOff::Read)
            }
        }
    }

    async fn end(self, broken_off: Option<BrokenOff>) -> Report {
        self.reader.close().await;
        Report {
            broken_off,
            ..self.report
        }
    }
}

/// The kind in a routing key such as `disburse.urgent`.
fn kind_of(routing_key: &str) -> Option<Kind> {
    Kind::parse(routing_key.split('.').next()?)
}
