//! One dead letter: what is written on it, and the job's message that it becomes again.

use bytes::Bytes;
use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, BasicProperties};

use crate::adapters::rabbitmq::dead_letters::LetterError;
use crate::adapters::rabbitmq::message::{
    BURIED_AT, BURIED_BY, DETAIL, PERSISTENT, REASON, REPLAYED, integer, text,
};
use crate::domain::time::UnixMillis;

/// Why the broker moved a message, the newest death first. Source: RabbitMQ, "Dead letter exchanges:
/// effects on messages".
const DEATHS: &str = "x-death";

/// Headers that RabbitMQ writes itself. With the old deaths on it, it would take the job's next way
/// through the retry ladder for a cycle and drop it. Source: RabbitMQ, "Dead letter exchanges", and
/// "Quorum queues: poison message handling".
const OF_THE_BROKER: [&str; 9] = [
    DEATHS,
    "x-delivery-count",
    "x-acquired-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// What the burying wrote: another burying writes it anew, and RabbitMQ's own must not be taken for
/// it.
const EPITAPH: [&str; 4] = [REASON, DETAIL, BURIED_AT, BURIED_BY];

/// A message of the dead-letter queue that is not acknowledged yet. It has no `Debug`: its body may
/// name a person.
pub struct DeadLetter {
    /// The lane's routing key that the job had.
    pub routing_key: String,
    /// The job's body, not yet read.
    pub body: Bytes,
    /// Why it is here.
    pub cause: Cause,
    properties: BasicProperties,
    acker: Acker,
    tag: u64,
}

/// Why a message is among the dead letters, as its headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// A word: the daemon's, such as `invalid`, or RabbitMQ's, such as `delivery_limit`.
    pub reason: Option<String>,
    /// A sentence.
    pub detail: Option<String>,
    /// When.
    pub at: Option<UnixMillis>,
    /// The connection's name, or `RabbitMQ`.
    pub by: Option<String>,
}

impl DeadLetter {
    pub(super) fn new(delivery: lapin::message::Delivery) -> Self {
        Self {
            routing_key: delivery.routing_key.as_str().to_owned(),
            cause: cause(&delivery.properties),
            body: Bytes::from(delivery.data),
            tag: delivery.delivery_tag,
            properties: delivery.properties,
            acker: delivery.acker,
        }
    }

    /// Every property and header by name, the headers' names as they are, for people.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        shown(&self.properties)
    }

    /// Acknowledges the letter: it is gone.
    ///
    /// # Errors
    ///
    /// [`LetterError::Acknowledge`]: it has gone back.
    pub async fn throw_away(&self) -> Result<(), LetterError> {
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LetterError::Acknowledge("its channel is closed".into())),
            Err(error) => Err(LetterError::Acknowledge(Box::new(error))),
        }
    }

    /// The delivery tag, by which the reader gives it back.
    pub(super) const fn tag(&self) -> u64 {
        self.tag
    }

    /// The properties of the job's message that the letter becomes.
    pub(super) fn job_properties(&self) -> BasicProperties {
        replayed(&self.properties)
    }
}

/// RabbitMQ's own word comes first: the daemon leaves it off what it buries, so where both stand
/// the broker's is the newer.
fn cause(properties: &BasicProperties) -> Cause {
    let Some(headers) = properties.headers() else {
        return Cause::default();
    };
    if let Some(death) = newest_death(headers) {
        let queue = text(death, "queue");
        let seconds = integer(death, "time");
        return Cause {
            reason: text(death, "reason"),
            detail: queue.map(|queue| format!("RabbitMQ moved it here from {queue}")),
            at: seconds.and_then(|seconds| Some(UnixMillis(seconds.checked_mul(1000)?))),
            by: Some("RabbitMQ".to_owned()),
        };
    }
    Cause {
        reason: text(headers, REASON),
        detail: text(headers, DETAIL),
        at: integer(headers, BURIED_AT).map(UnixMillis),
        by: text(headers, BURIED_BY),
    }
}

fn newest_death(headers: &FieldTable) -> Option<&FieldTable> {
    let AMQPValue::FieldArray(deaths) = headers.inner().get(DEATHS)? else {
        return None;
    };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else {
        return None;
    };
    Some(death)
}

/// The properties as the producer gave them, marked as replayed. Two are left off: `user_id`, which
/// RabbitMQ compares with whoever publishes, and `expiration`, which would bring the job back here.
fn replayed(properties: &BasicProperties) -> BasicProperties {
    type Setter = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<ShortString>, Setter); 8] = [
        (
            properties.content_type(),
            BasicProperties::with_content_type,
        ),
        (
            properties.content_encoding(),
            BasicProperties::with_content_encoding,
        ),
        (
            properties.correlation_id(),
            BasicProperties::with_correlation_id,
        ),
        (properties.reply_to(), BasicProperties::with_reply_to),
        (properties.message_id(), BasicProperties::with_message_id),
        (properties.kind(), BasicProperties::with_type),
        (properties.app_id(), BasicProperties::with_app_id),
        (properties.cluster_id(), BasicProperties::with_cluster_id),
    ];
    let mut headers = FieldTable::default();
    if let Some(known) = properties.headers() {
        for (name, value) in known.inner() {
            let name = name.as_str();
            if !OF_THE_BROKER.contains(&name) && !EPITAPH.contains(&name) {
                headers.insert(name.into(), value.clone());
            }
        }
    }
    headers.insert(REPLAYED.into(), AMQPValue::Boolean(true));
    let mut copy = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    for (value, set) in texts {
        if let Some(value) = value {
            copy = set(copy, value.clone());
        }
    }
    if let Some(priority) = *properties.priority() {
        copy = copy.with_priority(priority);
    }
    if let Some(timestamp) = *properties.timestamp() {
        copy = copy.with_timestamp(timestamp);
    }
    copy
}

fn shown(properties: &BasicProperties) -> Vec<(String, String)> {
    let texts = [
        ("content_type", properties.content_type()),
        ("message_id", properties.message_id()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("app_id", properties.app_id()),
        ("type", properties.kind()),
    ];
    let mut shown: Vec<(String, String)> = Vec::new();
    for (name, value) in texts {
        if let Some(value) = value {
            shown.push((name.to_owned(), value.as_str().to_owned()));
        }
    }
    if let Some(seconds) = properties.timestamp() {
        shown.push(("timestamp".to_owned(), seconds.to_string()));
    }
    if let Some(headers) = properties.headers() {
        let headers = headers.inner().iter();
        shown.extend(headers.map(|(name, value)| (name.as_str().to_owned(), spelled(value))));
    }
    shown
}

/// A header's value for people; what is inside another value is on one line with it.
fn spelled(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Boolean(flag) => flag.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        AMQPValue::DecimalValue(number) => format!("{number:?}"),
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::FieldArray(values) => {
            let values: Vec<String> = values.as_slice().iter().map(spelled).collect();
            format!("[{}]", values.join(", "))
        }
        AMQPValue::FieldTable(table) => {
            let pairs = table.inner().iter();
            let pairs: Vec<String> = pairs
                .map(|(name, value)| format!("{}: {}", name.as_str(), spelled(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        AMQPValue::ByteArray(bytes) => format!("{} bytes", bytes.as_slice().len()),
        AMQPValue::Void => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::rabbitmq::message::{ATTEMPTS, TICKET};

    fn word(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn with(pairs: &[(&str, AMQPValue)]) -> BasicProperties {
        BasicProperties::default().with_headers(table(pairs))
    }

    fn death(reason: &str) -> AMQPValue {
        let death = table(&[
            ("reason", word(reason)),
            ("queue", word("hongbao.jobs.disburse")),
            ("time", AMQPValue::Timestamp(7)),
            ("count", AMQPValue::LongLongInt(1)),
        ]);
        AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into())
    }

    #[test]
    fn the_cause_is_the_epitaph_or_else_the_brokers_word() {
        let epitaph = [
            (REASON, word("invalid")),
            (DETAIL, word("amount: is missing")),
            (BURIED_AT, AMQPValue::LongLongInt(5_000)),
            (BURIED_BY, word("worker-1")),
        ];
        let ours = cause(&with(&epitaph));
        assert_eq!(ours.reason.as_deref(), Some("invalid"));
        assert_eq!(ours.detail.as_deref(), Some("amount: is missing"));
        assert_eq!(ours.at, Some(UnixMillis(5_000)));
        assert_eq!(ours.by.as_deref(), Some("worker-1"));

        let brokers = cause(&with(&[(DEATHS, death("delivery_limit"))]));
        assert_eq!(brokers.reason.as_deref(), Some("delivery_limit"));
        assert_eq!(brokers.at, Some(UnixMillis(7_000)));
        assert_eq!(brokers.by.as_deref(), Some("RabbitMQ"));
        assert!(brokers.detail.unwrap().contains("hongbao.jobs.disburse"));

        // It was replayed by a tool that left our word on it, and died again.
        let both = [epitaph[0].clone(), (DEATHS, death("delivery_limit"))];
        let both = cause(&with(&both));
        assert_eq!(both.reason.as_deref(), Some("delivery_limit"));
    }

    #[test]
    fn strange_headers_are_no_cause_and_no_error() {
        for headers in [
            BasicProperties::default(),
            with(&[(DEATHS, word("x")), (REASON, AMQPValue::Void)]),
            with(&[(DEATHS, AMQPValue::FieldArray(Vec::new().into()))]),
            with(&[(DEATHS, AMQPValue::FieldArray(vec![word("x")].into()))]),
        ] {
            assert_eq!(cause(&headers), Cause::default(), "{headers:?}");
        }
    }

    #[test]
    fn what_is_replayed_keeps_all_but_what_the_broker_and_the_burying_wrote() {
        let before = with(&[
            (TICKET, AMQPValue::LongLongInt(7)),
            (ATTEMPTS, AMQPValue::LongLongInt(3)),
            ("x-mine", word("kept")),
            ("x-delivery-count", AMQPValue::LongLongInt(9)),
            ("x-acquired-count", AMQPValue::LongLongInt(9)),
            ("x-first-death-reason", word("delivery_limit")),
            (DEATHS, death("delivery_limit")),
            (REASON, word("invalid")),
            (DETAIL, word("d")),
            (BURIED_AT, AMQPValue::LongLongInt(5)),
            (BURIED_BY, word("w")),
        ])
        .with_message_id("m".into())
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_content_type("application/json".into())
        .with_timestamp(12)
        .with_priority(1)
        .with_user_id("producer".into())
        .with_expiration("1000".into())
        .with_delivery_mode(1);
        let after = replayed(&before);
        let headers = after.headers().as_ref().unwrap();
        let mut names: Vec<&str> = headers.inner().keys().map(ShortString::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, [ATTEMPTS, REPLAYED, TICKET, "x-mine"]);
        assert_eq!(integer(headers, TICKET), Some(7));
        let kept = |properties: &BasicProperties| {
            (
                properties.message_id().clone(),
                properties.correlation_id().clone(),
                properties.reply_to().clone(),
                properties.content_type().clone(),
                *properties.timestamp(),
                *properties.priority(),
            )
        };
        assert_eq!(kept(&after), kept(&before));
        assert_eq!((after.user_id(), after.expiration()), (&None, &None));
        assert_eq!(*after.delivery_mode(), Some(PERSISTENT));
    }

    #[test]
    fn values_of_every_sort_are_spelled() {
        let shown = shown(
            &with(&[(DEATHS, death("expired")), (TICKET, AMQPValue::LongInt(2))])
                .with_message_id("m".into()),
        );
        assert_eq!(shown[0], ("message_id".to_owned(), "m".to_owned()));
        assert!(shown.contains(&(TICKET.to_owned(), "2".to_owned())));
        let (_, death) = shown.iter().find(|(name, _)| name == DEATHS).unwrap();
        assert!(death.contains("reason: expired"), "{death}");
    }
}
