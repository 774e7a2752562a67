//! The messages: headers, AMQP's properties, and where the schema of each body is.

use crate::adapters::rabbitmq::message::{
    ATTEMPTS, BURIED_AT, BURIED_BY, DETAIL, PUBLISHED_MS, REASON, REPLAYED, TICKET, TRACEPARENT,
};
use crate::app::contract::asyncapi::BINDINGS;
use crate::app::contract::job;
use crate::app::contract::node::{Node, object, words};
use crate::app::job_body::BODY_BYTES_MAX;
use crate::app::outcome_event::CONTENT_TYPE;
use crate::domain::job::Kind;

/// Every message by name.
pub(super) fn all() -> Node {
    let mut all: Vec<(String, Node)> = Kind::ALL
        .into_iter()
        .map(|kind| (kind.as_str().to_owned(), of_kind(kind)))
        .collect();
    all.push(("event".to_owned(), event("An outcome event", &[MESSAGE_ID])));
    let reply = event("A copy for reply_to", &[MESSAGE_ID, CORRELATION_ID]);
    let correlation = object! { "location" => "$message.header#/correlation_id" };
    all.push(("reply".to_owned(), reply.with("correlationId", correlation)));
    all.push(("dead".to_owned(), dead()));
    Node::Object(all)
}

/// A property of AMQP, and what it is for.
type Property = (&'static str, &'static str);

const DELIVERY_MODE: Property = ("delivery_mode", "2, persistent.");
const MESSAGE_ID: Property = (
    "message_id",
    "The event's `id`; absent if it is longer than AMQP's 255 bytes.",
);
const CORRELATION_ID: Property = ("correlation_id", "The job's own.");

fn of_kind(kind: Kind) -> Node {
    let number = integer("When the job was published, in milliseconds since 1970.");
    let headers = object! {
        "type" => "object",
        "properties" => object! {
            TRACEPARENT => text("W3C trace context; copied into the job's events and log lines."),
            PUBLISHED_MS => number,
        },
        // The daemon's own: producers leave them out.
        "not" => object! { "anyOf" => vec![
            object! { "required" => words([TICKET]) },
            object! { "required" => words([ATTEMPTS]) },
        ] },
    };
    let properties = properties(&[
        DELIVERY_MODE,
        ("content_type", "application/json; not looked at."),
        (
            "reply_to",
            "The name of a queue that gets a copy of each of the job's events.",
        ),
        ("correlation_id", "Goes back with the copies to reply_to."),
        (
            "message_id",
            "Of a query, part of its event's id: give each query its own. Of other kinds only carried on.",
        ),
        ("timestamp", "When the job was published, in seconds."),
        (
            "expiration",
            "Never: the job would become a dead letter. Use not_after.",
        ),
    ]);
    object! {
        "name" => kind.as_str(),
        "title" => format!("A job: {kind}"),
        "summary" => job::what(kind),
        "description" => format!("UTF-8, at most {BODY_BYTES_MAX} bytes, no member twice."),
        "contentType" => "application/json",
        "headers" => headers,
        "payload" => object! { "$ref" => format!("#/components/schemas/{kind}") },
        "correlationId" => object! { "location" => "$message.header#/correlation_id" },
        "bindings" => binding(kind.as_str()),
        "x-amqp-properties" => properties,
        "examples" => vec![object! { "name" => kind.as_str(), "payload" => job::example(kind) }],
    }
}

fn event(title: &str, more: &[Property]) -> Node {
    let mut known = vec![DELIVERY_MODE, ("content_type", CONTENT_TYPE)];
    known.extend(more);
    object! {
        "name" => "event",
        "title" => title,
        "summary" => "A CloudEvent 1.0 in structured JSON.",
        "contentType" => CONTENT_TYPE,
        "payload" => object! { "$ref" => "#/components/schemas/event" },
        "bindings" => binding("event"),
        "x-amqp-properties" => properties(&known),
    }
}

fn dead() -> Node {
    let headers = object! {
        REASON => text("Why: `invalid` or `rescued_too_often`. Absent where RabbitMQ itself gave up; its x-death says why."),
        DETAIL => text("Why, as a sentence: of an invalid job every mistake."),
        BURIED_AT => integer("When, in milliseconds since 1970."),
        BURIED_BY => text("The name of the daemon's connection."),
        TICKET => integer("The daemon's own: whoever replays the message keeps it."),
        ATTEMPTS => integer("The daemon's own: whoever replays the message keeps it."),
        REPLAYED => text("What a replay adds, with any value: the job then counts as redelivered, and Alipay is asked before anything is sent."),
        TRACEPARENT => text("The job's own."),
        PUBLISHED_MS => integer("The job's own."),
    };
    object! {
        "name" => "dead",
        "title" => "A dead letter",
        "summary" => "A message as it came, which may be no job at all.",
        "headers" => object! { "type" => "object", "properties" => headers },
        "payload" => object! { "description" => "The body as it came." },
        "bindings" => binding("dead"),
    }
}

fn binding(name: &str) -> Node {
    object! { "amqp" => object! { "messageType" => name, "bindingVersion" => BINDINGS } }
}

fn properties(known: &[Property]) -> Node {
    let known = known.iter();
    Node::Object(
        known
            .map(|(name, what)| ((*name).to_owned(), Node::from(*what)))
            .collect(),
    )
}

fn text(description: &str) -> Node {
    object! { "type" => "string", "description" => description }
}

fn integer(description: &str) -> Node {
    object! { "type" => "integer", "description" => description }
}
