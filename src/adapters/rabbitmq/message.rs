//! AMQP properties and headers, to and from the port's messages.
//!
//! Producers in any language write these messages: what is missing or of another type reads as
//! absent, never as an error.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::domain::entry::{ReturnAddress, Ticket};
use crate::domain::lane::Lane;
use crate::domain::time::UnixMillis;
use crate::ports::broker::{Delivery, DeliveryTag, Epitaph, EventMessage, JobCopy};

/// A retry copy's ticket.
pub const TICKET: &str = "x-hongbao-ticket";
/// How often a query was put off.
pub const ATTEMPTS: &str = "x-hongbao-attempts";
/// Set, to anything, by whoever replays a buried message: it reads as redelivered.
pub const REPLAYED: &str = "x-hongbao-replayed";
/// When the producer published, in milliseconds; AMQP's own timestamp has seconds only.
pub const PUBLISHED_MS: &str = "x-hongbao-published-ms";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Why a message was buried, as a word.
pub const REASON: &str = "x-hongbao-reason";
/// Why a message was buried, as a sentence.
pub const DETAIL: &str = "x-hongbao-detail";
/// When a message was buried, in milliseconds.
pub const BURIED_AT: &str = "x-hongbao-buried-at";
/// Who buried a message: the connection's name.
pub const BURIED_BY: &str = "x-hongbao-buried-by";

/// What all headers of ours begin with.
const OURS: &str = "x-hongbao-";
/// All that this version knows.
const KNOWN: [&str; 8] = [
    TICKET,
    ATTEMPTS,
    REPLAYED,
    PUBLISHED_MS,
    REASON,
    DETAIL,
    BURIED_AT,
    BURIED_BY,
];

/// How often the broker has delivered before. Source: RabbitMQ, "Quorum queues: poison message
/// handling"; 3.10 writes 0 on the first delivery, 4.0 nothing.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// Why the broker first dead-lettered a message: `expired`, `rejected`, `delivery_limit` or
/// `maxlen`. Source: RabbitMQ, "Dead letter exchanges: effects on messages".
const FIRST_DEATH: &str = "x-first-death-reason";

/// Longest detail of an epitaph, in bytes: all headers must fit into one frame.
const DETAIL_BYTES_MAX: usize = 2_000;

/// Persistent. Source: AMQP 0-9-1, class basic, delivery-mode.
pub(crate) const PERSISTENT: u8 = 2;

/// Reads a delivery. `body` and `redelivered` are as the broker gave them.
pub(crate) fn read_delivery(
    tag: DeliveryTag,
    lane: Lane,
    delivery: lapin::message::Delivery,
) -> Delivery {
    let properties = &delivery.properties;
    let headers = properties.headers().as_ref();
    let number = |name| headers.and_then(|headers| integer(headers, name));
    let ticket = number(TICKET)
        .and_then(|ticket| u32::try_from(ticket).ok())
        .map(Ticket);
    let published_at = number(PUBLISHED_MS).or_else(|| {
        let seconds = (*properties.timestamp())?;
        seconds.checked_mul(1000)
    });
    Delivery {
        tag,
        kind: lane.kind,
        tier: lane.tier,
        ticket,
        redelivered: delivery.redelivered
            || number(DELIVERY_COUNT).is_some_and(|count| count > 0)
            || headers.is_some_and(|headers| was_dead(headers) || is_strange(headers, ticket)),
        return_address: ReturnAddress {
            reply_to: owned(properties.reply_to()),
            correlation_id: owned(properties.correlation_id()),
            message_id: owned(properties.message_id()),
            traceparent: headers.and_then(|headers| text(headers, TRACEPARENT)),
        },
        published_at: published_at.map(UnixMillis),
        attempts: number(ATTEMPTS)
            .map_or(0, |attempts| u32::try_from(attempts).unwrap_or(u32::MAX)),
        body: Bytes::from(delivery.data),
    }
}

/// Whether a message was in the dead letters before, by whichever tool it came back: ours marks it,
/// a shovel leaves what the burying or the broker itself had written on it.
fn was_dead(headers: &FieldTable) -> bool {
    headers.contains_key(REPLAYED)
        || headers.contains_key(REASON)
        // Every retry copy has died once, of age.
        || text(headers, FIRST_DEATH).is_some_and(|reason| reason != "expired")
}

/// Whether a replica of another version wrote something on a message that this one does not know, or a
/// ticket that is none here: whatever it says, the message is no new job.
fn is_strange(headers: &FieldTable, ticket: Option<Ticket>) -> bool {
    let mut names = headers.inner().keys().map(ShortString::as_str);
    names.any(|name| match name {
        TICKET => ticket.is_none(),
        name => name.starts_with(OURS) && !KNOWN.contains(&name),
    })
}

/// The properties of a job's message. The broker's own headers (`x-death`, counts) are not carried
/// on: with them RabbitMQ would take the retry ladder for a cycle and drop the message.
pub(crate) fn job_properties(copy: &JobCopy) -> BasicProperties {
    finish(job_parts(copy))
}

/// The properties of a buried job: its own, and the epitaph.
pub(crate) fn buried_properties(
    copy: &JobCopy,
    epitaph: &Epitaph,
    buried_by: &str,
) -> BasicProperties {
    let (properties, mut headers) = job_parts(copy);
    insert_text(&mut headers, REASON, epitaph.reason);
    insert_text(&mut headers, DETAIL, clipped(&epitaph.detail));
    insert_number(&mut headers, BURIED_AT, epitaph.at.0);
    insert_text(&mut headers, BURIED_BY, buried_by);
    finish((properties, headers))
}

/// The properties of an outcome event's message. Source: CloudEvents, AMQP binding, structured
/// content mode.
pub(crate) fn event_properties(event: &EventMessage) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_content_type("application/cloudevents+json".into())
        .with_delivery_mode(PERSISTENT);
    match short(&event.id) {
        Some(id) => properties.with_message_id(id),
        None => properties,
    }
}

/// The properties of an event's copy to one queue.
pub(crate) fn reply_properties(event: &EventMessage, address: &ReturnAddress) -> BasicProperties {
    let properties = event_properties(event);
    match address.correlation_id.as_deref().and_then(short) {
        Some(id) => properties.with_correlation_id(id),
        None => properties,
    }
}

/// A text as AMQP's short string, or `None` above 255 bytes. Whatever came in an AMQP property
/// fits.
pub(crate) fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

fn job_parts(copy: &JobCopy) -> (BasicProperties, FieldTable) {
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    let address = &copy.return_address;
    if let Some(id) = address.message_id.as_deref().and_then(short) {
        properties = properties.with_message_id(id);
    }
    if let Some(id) = address.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(queue) = address.reply_to.as_deref().and_then(short) {
        properties = properties.with_reply_to(queue);
    }
    let mut headers = FieldTable::default();
    if let Some(published_at) = copy.published_at {
        properties = properties.with_timestamp(published_at.0 / 1000);
        insert_number(&mut headers, PUBLISHED_MS, published_at.0);
    }
    if let Some(Ticket(ticket)) = copy.ticket {
        insert_number(&mut headers, TICKET, u64::from(ticket));
    }
    if copy.attempts > 0 {
        insert_number(&mut headers, ATTEMPTS, u64::from(copy.attempts));
    }
    if let Some(traceparent) = &address.traceparent {
        insert_text(&mut headers, TRACEPARENT, traceparent);
    }
    (properties, headers)
}

fn finish((properties, headers): (BasicProperties, FieldTable)) -> BasicProperties {
    if headers.inner().is_empty() {
        properties
    } else {
        properties.with_headers(headers)
    }
}

fn insert_number(headers: &mut FieldTable, name: &str, value: u64) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    headers.insert(name.into(), AMQPValue::LongLongInt(value));
}

fn insert_text(headers: &mut FieldTable, name: &str, value: &str) {
    headers.insert(name.into(), AMQPValue::LongString(value.into()));
}

fn clipped(text: &str) -> &str {
    let mut end = text.len().min(DETAIL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    &text[..end]
}

fn owned(text: &Option<ShortString>) -> Option<String> {
    text.as_ref().map(|text| text.as_str().to_owned())
}

/// A header as a number that is not negative; clients write numbers in many widths, and some as
/// text.
pub(crate) fn integer(headers: &FieldTable, name: &str) -> Option<u64> {
    let value = headers.inner().get(name)?;
    match value {
        AMQPValue::ShortShortInt(number) => u64::try_from(*number).ok(),
        AMQPValue::ShortShortUInt(number) => Some(u64::from(*number)),
        AMQPValue::ShortInt(number) => u64::try_from(*number).ok(),
        AMQPValue::ShortUInt(number) => Some(u64::from(*number)),
        AMQPValue::LongInt(number) => u64::try_from(*number).ok(),
        AMQPValue::LongUInt(number) => Some(u64::from(*number)),
        AMQPValue::LongLongInt(number) => u64::try_from(*number).ok(),
        AMQPValue::Timestamp(seconds) => Some(*seconds),
        AMQPValue::ShortString(_) | AMQPValue::LongString(_) => {
            text(headers, name).and_then(|text| text.parse().ok())
        }
        AMQPValue::Boolean(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

/// A header as text.
pub(crate) fn text(headers: &FieldTable, name: &str) -> Option<String> {
    let value = headers.inner().get(name)?;
    if let AMQPValue::LongString(text) = value {
        return std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned);
    }
    if let AMQPValue::ShortString(text) = value {
        return Some(text.as_str().to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::domain::job::Kind;
    use crate::domain::lane::Tier;

    const TAG: DeliveryTag = DeliveryTag { channel: 1, tag: 2 };

    fn copy() -> JobCopy {
        JobCopy {
            kind: Kind::Refund,
            tier: Tier::default(),
            body: Bytes::from_static(b"{}"),
            ticket: Some(Ticket(7)),
            return_address: ReturnAddress {
                reply_to: Some("answers".to_owned()),
                correlation_id: Some("c-1".to_owned()),
                message_id: Some("m-1".to_owned()),
                traceparent: Some("00-ab-cd-01".to_owned()),
            },
            published_at: Some(UnixMillis(1_700_000_000_123)),
            attempts: 3,
        }
    }

    fn read(properties: BasicProperties) -> Delivery {
        let mut raw =
            lapin::message::Delivery::mock(2, "e".into(), "k".into(), false, b"{}".to_vec());
        raw.properties = properties;
        read_delivery(TAG, Lane::from(Kind::Refund), raw)
    }

    fn with_header(name: &str, value: AMQPValue) -> Delivery {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        read(BasicProperties::default().with_headers(headers))
    }

    #[test]
    fn a_job_copy_reads_back_as_it_was_written() {
        let delivery = read(job_properties(&copy()));
        assert_eq!(delivery.ticket, Some(Ticket(7)));
        assert_eq!(delivery.return_address, copy().return_address);
        assert_eq!(delivery.published_at, copy().published_at);
        assert_eq!(delivery.attempts, 3);
        assert!(!delivery.redelivered);
    }

    #[test]
    fn what_another_version_marked_is_no_new_job() {
        let number = AMQPValue::LongLongInt(7);
        // A ticket as no version before wrote it, and a mark that this one does not know.
        let big = AMQPValue::LongLongInt(1 << 40);
        for (name, value) in [
            (TICKET, big),
            (TICKET, AMQPValue::Boolean(true)),
            ("x-hongbao-shard", number.clone()),
        ] {
            let delivery = with_header(name, value);
            assert!(delivery.redelivered, "{name}");
            assert_eq!(delivery.ticket, None);
        }
        for name in [TICKET, ATTEMPTS, PUBLISHED_MS, "x-hongbaod", "x-other"] {
            let delivery = with_header(name, number.clone());
            assert!(!delivery.redelivered, "{name}");
        }
    }

    #[test]
    fn a_foreign_message_without_properties_is_a_first_delivery() {
        let delivery = read(BasicProperties::default());
        assert_eq!(delivery.ticket, None);
        assert_eq!(delivery.return_address, ReturnAddress::default());
        assert_eq!((delivery.attempts, delivery.redelivered), (0, false));
        let seconds = read(BasicProperties::default().with_timestamp(12));
        assert_eq!(seconds.published_at, Some(UnixMillis(12_000)));
    }

    #[test]
    fn numbers_are_read_in_every_width_and_nothing_else_is_an_error() {
        let table = [
            (AMQPValue::ShortShortInt(5), Some(5)),
            (AMQPValue::ShortShortUInt(5), Some(5)),
            (AMQPValue::ShortInt(5), Some(5)),
            (AMQPValue::ShortUInt(5), Some(5)),
            (AMQPValue::LongInt(5), Some(5)),
            (AMQPValue::LongUInt(5), Some(5)),
            (AMQPValue::LongLongInt(5), Some(5)),
            (AMQPValue::Timestamp(5), Some(5)),
            (AMQPValue::LongString("5".into()), Some(5)),
            (AMQPValue::LongLongInt(-5), None),
            (AMQPValue::LongLongInt(i64::MAX), None),
            (AMQPValue::LongString("five".into()), None),
            (AMQPValue::Boolean(true), None),
            (AMQPValue::Void, None),
        ];
        for (value, expected) in table {
            let label = format!("{value:?}");
            assert_eq!(
                with_header(TICKET, value).ticket,
                expected.map(Ticket),
                "{label}"
            );
        }
    }

    #[test]
    fn a_message_is_redelivered_by_count_or_by_replay() {
        assert!(with_header(REPLAYED, AMQPValue::Boolean(true)).redelivered);
        assert!(with_header(DELIVERY_COUNT, AMQPValue::LongLongInt(1)).redelivered);
        assert!(!with_header(DELIVERY_COUNT, AMQPValue::LongLongInt(0)).redelivered);
    }

    #[test]
    fn rule_17_a_dead_letter_that_comes_back_by_any_tool_is_redelivered() {
        let word = |word: &str| AMQPValue::LongString(word.into());
        assert!(with_header(REASON, word("unreadable_entry")).redelivered);
        assert!(with_header(FIRST_DEATH, word("delivery_limit")).redelivered);
        assert!(!with_header(FIRST_DEATH, word("expired")).redelivered);
    }

    #[test]
    fn an_epitaph_is_clipped_between_characters() {
        let epitaph = Epitaph {
            reason: "invalid",
            detail: "红".repeat(DETAIL_BYTES_MAX),
            at: UnixMillis(5),
        };
        let properties = buried_properties(&copy(), &epitaph, "worker-1");
        let headers = properties.headers().as_ref().unwrap();
        let detail = text(headers, DETAIL).unwrap();
        assert!(detail.len() <= DETAIL_BYTES_MAX && detail.chars().all(|c| c == '红'));
        assert_eq!(text(headers, REASON).as_deref(), Some("invalid"));
        assert_eq!(text(headers, BURIED_BY).as_deref(), Some("worker-1"));
        assert_eq!(integer(headers, BURIED_AT), Some(5));
        assert_eq!(integer(headers, TICKET), Some(7));
    }

    #[test]
    fn a_text_over_255_bytes_is_no_short_string() {
        assert!(short(&"a".repeat(255)).is_some());
        assert!(short(&"a".repeat(256)).is_none());
    }

    /// A header's value of any type, numbers of every sign and size among them.
    fn header_values() -> BoxedStrategy<AMQPValue> {
        prop_oneof![
            any::<i64>().prop_map(AMQPValue::LongLongInt),
            any::<u64>().prop_map(AMQPValue::Timestamp),
            any::<i8>().prop_map(AMQPValue::ShortShortInt),
            any::<u32>().prop_map(AMQPValue::LongUInt),
            any::<bool>().prop_map(AMQPValue::Boolean),
            any::<f64>().prop_map(AMQPValue::Double),
            vec(any::<u8>(), 0..300).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
            "[+-]?[0-9]{0,20}".prop_map(|text| AMQPValue::LongString(text.into())),
            "expired|rejected|.{0,9}".prop_map(|text| AMQPValue::ShortString(text.into())),
            Just(AMQPValue::FieldTable(FieldTable::default())),
            Just(AMQPValue::Void),
        ]
        .boxed()
    }

    proptest! {
        #[test]
        fn whatever_headers_say_the_next_copy_says_the_same(
            headers in vec((0_usize..6, header_values()), 0..8),
            texts in vec(".{0,60}", 3),
            seconds in any::<Option<u64>>(),
        ) {
            let names = [TICKET, ATTEMPTS, PUBLISHED_MS, TRACEPARENT, REPLAYED, FIRST_DEATH];
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert(names[name].into(), value);
            }
            let mut properties = BasicProperties::default()
                .with_headers(table)
                .with_message_id(texts[0].as_str().into())
                .with_correlation_id(texts[1].as_str().into())
                .with_reply_to(texts[2].as_str().into());
            if let Some(seconds) = seconds {
                properties = properties.with_timestamp(seconds);
            }
            let first = read(properties);
            let copy = JobCopy {
                kind: first.kind,
                tier: first.tier,
                body: first.body,
                ticket: first.ticket,
                return_address: first.return_address.clone(),
                published_at: first.published_at,
                attempts: first.attempts,
            };
            let second = read(job_properties(&copy));
            prop_assert_eq!(second.ticket, first.ticket);
            prop_assert_eq!(second.attempts, first.attempts);
            prop_assert_eq!(second.return_address, first.return_address);
            // AMQP's signed numbers end there, some hundred million years ahead.
            let last = u64::try_from(i64::MAX).unwrap();
            let published_at = first.published_at.map(|at| UnixMillis(at.0.min(last)));
            prop_assert_eq!(second.published_at, published_at);
            prop_assert!(!second.redelivered);
        }
    }
}
