//! Jobs on their way to the broker: each read, checked as the daemon checks it, published once,
//! and confirmed.
//!
//! Nothing is published twice. A job whose confirm is missing may have been sent or not; it is
//! reported, and submitting it again is safe because its number makes all copies one job.

mod job_check;
mod lines;

use std::io::{self, BufRead};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::adapters::clock::SystemClock;
use crate::adapters::rabbitmq::client::{Producer, WINDOW};
use crate::adapters::random::SystemRandom;
use crate::app::client::{ClientError, broker_options};
use crate::app::config::Config;
use crate::app::submission::job_check::JobCheck;
use crate::app::submission::lines::{Line, Lines};
use crate::domain::draft::FieldError;
use crate::domain::entry::ReturnAddress;
use crate::domain::job::Job;
use crate::domain::lane::{Lane, Shards};
use crate::ports::broker::{JobCopy, PublishError};
use crate::ports::clock::{Clock, Random};

/// Lines that are read ahead of the one that is published.
const READ_AHEAD: usize = 512;

/// How long to wait for the line that is not sent, only to name it.
const NEXT_LINE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Where checked jobs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere: they are only checked.
    Nowhere,
    /// To the broker; the outcomes also to a queue, if one is named.
    Broker {
        /// The queue that gets a copy of each outcome.
        reply_to: Option<String>,
        /// Whether the jobs want to overtake.
        urgency: Urgency,
    },
}

/// Whether jobs want to overtake others of their kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Urgency {
    /// They take their turn.
    #[default]
    Normal,
    /// They go to the urgent lane, where their kind has one.
    Urgent,
}

/// What happened to a job, or how far the work is.
#[derive(Debug)]
pub enum Step {
    /// A job is refused; nothing was sent.
    Refused {
        /// Counted from 1.
        line: u64,
        /// Every mistake.
        errors: Vec<FieldError>,
    },
    /// The broker has no queue for a job; it was not kept.
    Undelivered {
        /// Counted from 1.
        line: u64,
        /// Why.
        error: PublishError,
    },
    /// There is no confirm: the job may have been sent.
    Unconfirmed {
        /// Counted from 1.
        line: u64,
        /// Why.
        error: PublishError,
    },
    /// A job is confirmed, or refused, or only checked.
    Progress {
        /// The summary so far; its `elapsed` is zero.
        summary: Summary,
        /// Bytes of the input that were read.
        bytes_read: u64,
    },
}

/// What became of all jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Confirmed by the broker; without a broker, found valid.
    pub submitted: u64,
    /// Not valid, never sent.
    pub refused: u64,
    /// Valid, but no queue takes them.
    pub undelivered: u64,
    /// Maybe sent.
    pub unconfirmed: u64,
    /// The first line that was not sent, nor any after it, because the connection was lost.
    pub unsent_from: Option<u64>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Whether every job that was given is where it should be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.refused == 0
            && self.undelivered == 0
            && self.unconfirmed == 0
            && self.unsent_from.is_none()
    }

    /// Submitted jobs per second, rounded down.
    #[must_use]
    pub fn jobs_per_second(&self) -> u64 {
        let elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        self.submitted
            .saturating_mul(1_000_000)
            .checked_div(elapsed_us.max(1))
            .unwrap_or_default()
    }
}

/// Why a submission stopped.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// Before the first job.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The input cannot be read any further.
    #[error("read the jobs")]
    Read(#[source] io::Error),
}

/// Submits every line of `input`, telling `observe` each step.
///
/// # Errors
///
/// [`SubmissionError`] when no connection stands at the start, or the input breaks off; what was
/// confirmed until then was told to `observe`.
pub async fn submit(
    config: &Config,
    input: Box<dyn BufRead + Send>,
    destination: Destination,
    observe: &mut (dyn FnMut(Step) + Send),
) -> Result<Summary, SubmissionError> {
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let (producer, reply_to, urgency) = match destination {
        Destination::Nowhere => (None, None, Urgency::Normal),
        Destination::Broker { reply_to, urgency } => {
            let options = broker_options(config, "hongbaod submit")?;
            let producer = Producer::connect(&options).await;
            let producer = producer.map_err(ClientError::from)?;
            (Some(producer), reply_to, urgency)
        }
    };
    let mut submission = Submission {
        check: JobCheck::new(config),
        producer,
        reply_to,
        urgency,
        shards: config.rabbitmq.shards,
        clock,
        observe,
        summary: Summary::default(),
        bytes_read: 0,
    };
    let result = submission.run(read_ahead(input)).await;
    let mut summary = submission.summary;
    if let Some(producer) = submission.producer {
        producer.close().await;
    }
    result?;
    summary.elapsed = clock.monotonic().since(started);
    Ok(summary)
}

/// Reads on a thread of its own, for a terminal or a pipe may make it wait for ever. The thread
/// ends with the process or when nobody listens.
fn read_ahead(input: Box<dyn BufRead + Send>) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut lines = Lines::new(input);
        while let Some(line) = lines.next().transpose() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

struct Submission<'a> {
    check: JobCheck,
    producer: Option<Producer>,
    reply_to: Option<String>,
    urgency: Urgency,
    shards: Shards,
    clock: SystemClock,
    observe: &'a mut (dyn FnMut(Step) + Send),
    summary: Summary,
    bytes_read: u64,
}

/// What came of publishing one line.
type Published = (u64, Result<(), PublishError>);

impl Submission<'_> {
    async fn run(
        &mut self,
        mut lines: mpsc::Receiver<io::Result<Line>>,
    ) -> Result<(), SubmissionError> {
        // Taken out so that the futures in the window do not borrow all of `self`.
        let producer = self.producer.take().map(Arc::new);
        let mut window = FuturesUnordered::new();
        let mut result = Ok(());
        let mut lost = false;
        while !lost {
            tokio::select! {
                Some(published) = window.next(), if !window.is_empty() => {
                    lost = self.settle(published);
                }
                line = lines.recv(), if window.len() < WINDOW => match line {
                    None => break,
                    Some(Err(error)) => {
                        result = Err(SubmissionError::Read(error));
                        break;
                    }
                    Some(Ok(line)) => {
                        let Some(copy) = self.admit(&line) else {
                            continue;
                        };
                        let Some(producer) = &producer else {
                            self.count_submitted();
                            continue;
                        };
                        let (number, producer) = (line.number, Arc::clone(producer));
                        window.push(async move { (number, producer.publish(&copy).await) });
                    }
                },
            }
        }
        while let Some(published) = window.next().await {
            self.settle(published);
        }
        drop(window);
        if lost && let Ok(Some(Ok(line))) = timeout(NEXT_LINE_WAIT_MAX, lines.recv()).await {
            self.summary.unsent_from = Some(line.number);
        }
        self.producer = producer.and_then(Arc::into_inner);
        result
    }

    /// Checks a line; `None` when it is refused, which is told.
    fn admit(&mut self, line: &Line) -> Option<JobCopy> {
        self.bytes_read = line.bytes_read;
        let now = self.clock.now();
        let job = match self.check.check(&line.bytes, line.length, now) {
            Ok(job) => job,
            Err(errors) => {
                self.summary.refused = self.summary.refused.saturating_add(1);
                let line = line.number;
                (self.observe)(Step::Refused { line, errors });
                self.tell_progress();
                return None;
            }
        };
        let Lane { kind, tier } = self.lane(&job);
        Some(JobCopy {
            kind,
            tier,
            body: Bytes::copy_from_slice(&line.bytes),
            ticket: None,
            return_address: ReturnAddress {
                reply_to: self.reply_to.clone(),
                message_id: Some(message_id()),
                ..ReturnAddress::default()
            },
            published_at: Some(now),
            attempts: 0,
        })
    }

    fn lane(&self, job: &Job) -> Lane {
        match (self.urgency, job) {
            (Urgency::Urgent, _) => Lane::urgent(job.kind()),
            (Urgency::Normal, Job::Money(money)) => {
                Lane::of_number(job.kind(), money.out_request_no.as_str(), self.shards)
            }
            (Urgency::Normal, Job::Query(_)) => Lane::from(job.kind()),
        }
    }

    /// Counts and tells what came of a job; `true` when the connection is of no more use.
    fn settle(&mut self, (line, result): Published) -> bool {
        let mut lost = false;
        match result {
            Ok(()) => {
                self.count_submitted();
                return false;
            }
            Err(error @ PublishError::Unroutable { .. }) => {
                self.summary.undelivered = self.summary.undelivered.saturating_add(1);
                (self.observe)(Step::Undelivered { line, error });
            }
            Err(error @ (PublishError::Unavailable(_) | PublishError::Refused)) => {
                lost = matches!(error, PublishError::Unavailable(_));
                self.summary.unconfirmed = self.summary.unconfirmed.saturating_add(1);
                (self.observe)(Step::Unconfirmed { line, error });
            }
        }
        self.tell_progress();
        lost
    }

    fn count_submitted(&mut self) {
        self.summary.submitted = self.summary.submitted.saturating_add(1);
        self.tell_progress();
    }

    fn tell_progress(&mut self) {
        (self.observe)(Step::Progress {
            summary: self.summary,
            bytes_read: self.bytes_read,
        });
    }
}

/// Tells this message from every other, those of another run with the same jobs included: a query
/// asked again is another query.
fn message_id() -> String {
    let [high, low] = [SystemRandom.next_u64(), SystemRandom.next_u64()];
    format!("{high:016x}{low:016x}")
}
