//! A dead letter read: what it is about, and whether it is one of those that are wanted.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::adapters::rabbitmq::dead_letters::DeadLetter;
use crate::app::dead_letters::kind_of;
use crate::app::job_body::{Readable, decode};
use crate::domain::draft::{Field, FieldError};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{Job, Kind, OperationRef};
use crate::domain::money::Fen;
use crate::domain::time::{UnixMillis, format_duration};

/// The reason of a message that tells none.
pub(super) const NO_REASON: &str = "unknown";

/// The longest reason that is shown; ours and RabbitMQ's are shorter.
const REASON_CHARS_MAX: usize = 40;

/// A message among the dead letters.
pub struct Letter {
    /// Why, as a word: the daemon's (`invalid`), RabbitMQ's (`delivery_limit`), or `unknown`.
    pub reason: String,
    /// Why, as a sentence.
    pub detail: Option<String>,
    /// When it came here.
    pub at: Option<UnixMillis>,
    /// Who brought it here.
    pub by: Option<String>,
    /// The job's kind, by its body or else by its routing key.
    pub kind: Option<Kind>,
    /// The job's app, where it can be read.
    pub app: Option<AppName>,
    /// The job's `out_request_no`, where it can be read; of a query, the one that is asked for.
    pub number: Option<MerchantNo>,
    /// What the job is to move: nothing for a query, unknown for what is no valid job.
    pub amount: Option<Fen>,
    /// What its body says.
    pub content: Content,
    pub(super) raw: DeadLetter,
}

/// What a body says.
pub enum Content {
    /// A job.
    Job(Box<Job>),
    /// It is no valid job.
    Invalid {
        /// Every mistake.
        errors: Vec<FieldError>,
        /// How long the body is.
        length: usize,
        /// The values of fields that a job can have and that name no person.
        fields: Vec<(&'static str, String)>,
    },
}

/// Which letters are wanted; what is not named does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only with one of these reasons.
    pub reasons: Vec<String>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only of this app.
    pub app: Option<AppName>,
    /// Only what came here at least so long ago; what does not tell when is not wanted then.
    pub older_than: Option<Duration>,
    /// Only of this job.
    pub number: Option<MerchantNo>,
}

impl Wanted {
    /// Whether it is all the same.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// What is named, as words, for the audit log.
    #[must_use]
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let reasons = (!self.reasons.is_empty()).then(|| self.reasons.join(" "));
        let named = [
            ("reason", reasons),
            ("kind", self.kind.map(|kind| kind.as_str().to_owned())),
            ("app", self.app.as_ref().map(ToString::to_string)),
            ("older_than", self.older_than.map(format_duration)),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// Whether a letter is wanted at `now`.
    #[must_use]
    pub fn matches(&self, letter: &Letter, now: UnixMillis) -> bool {
        let is_old = |length: Duration| letter.at.is_some_and(|at| at.plus(length) <= now);
        (self.reasons.is_empty() || self.reasons.contains(&letter.reason))
            && (self.kind.is_none() || self.kind == letter.kind)
            && (self.app.is_none() || self.app == letter.app)
            && (self.number.is_none() || self.number == letter.number)
            && self.older_than.is_none_or(is_old)
    }
}

impl Letter {
    pub(super) fn read(raw: DeadLetter, default_app: Option<&AppName>) -> Self {
        let cause = &raw.cause;
        let mut letter = Self {
            reason: printable(cause.reason.as_deref().unwrap_or(NO_REASON)),
            detail: cause.detail.clone(),
            at: cause.at,
            by: cause.by.clone(),
            kind: kind_of(&raw.routing_key),
            app: None,
            number: None,
            amount: None,
            content: Content::Invalid {
                errors: Vec::new(),
                length: raw.body.len(),
                fields: Vec::new(),
            },
            raw,
        };
        match decode(&letter.raw.body, default_app) {
            Ok(job) => letter.take_job(job),
            Err(bad) => {
                if let Some(readable) = bad.readable {
                    letter.take_names(readable);
                }
                letter.content = Content::Invalid {
                    errors: bad.errors,
                    length: letter.raw.body.len(),
                    fields: known_fields(&letter.raw.body),
                };
            }
        }
        letter
    }

    /// The message's properties and headers by name.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        self.raw.properties()
    }

    /// The routing key that the job had.
    #[must_use]
    pub fn routing_key(&self) -> &str {
        &self.raw.routing_key
    }

    fn take_job(&mut self, job: Job) {
        self.kind = Some(job.kind());
        self.app = Some(job.app().clone());
        match &job {
            Job::Money(job) => {
                self.number = Some(job.out_request_no.clone());
                self.amount = Some(job.amount());
            }
            Job::Query(job) => {
                self.number = match &job.target.operation {
                    OperationRef::OutRequestNo(number) => Some(number.clone()),
                    OperationRef::OperationId(_) => None,
                };
            }
        }
        self.content = Content::Job(Box::new(job));
    }

    fn take_names(&mut self, readable: Readable) {
        self.kind = Some(readable.kind);
        self.app = Some(readable.app);
        self.number = Some(readable.out_request_no);
    }
}

/// A word that may be printed, counted and compared, whoever wrote it.
fn printable(word: &str) -> String {
    let shown = word.chars().take(REASON_CHARS_MAX);
    shown
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Of a body that is no job, the texts that name nobody. A value under an unknown name may be a
/// person's.
fn known_fields(body: &[u8]) -> Vec<(&'static str, String)> {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Vec::new();
    };
    let names_somebody = |field: &&Field| {
        matches!(
            field,
            Field::PayeeLogonId | Field::Labels | Field::ExtraParam
        )
    };
    let fields = Field::ALL.iter().filter(|field| !names_somebody(field));
    fields
        .filter_map(|field| {
            let value = object.get(field.as_str())?.as_str()?;
            Some((field.as_str(), value.to_owned()))
        })
        .collect()
}
