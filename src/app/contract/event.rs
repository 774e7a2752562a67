//! The JSON Schema of outcome events, from the structs that are written and the words of the domain.

mod facts;
mod keys;
mod wording;

use crate::app::contract::DIALECT;
use crate::app::contract::event::facts::Told;
use crate::app::contract::event::keys::Keys;
use crate::app::contract::event::wording::{attribute, budget_key, data_key};
use crate::app::contract::node::{Node, Null, object, words};
use crate::app::contract::{job, pattern};
use crate::app::outcome_event::{
    BUDGET, NOTIFICATION, encode, event_type, everything_given, nothing_given, status_word,
};
use crate::domain::budget::{Scope, Window};
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::Kind;
use crate::domain::verdict::{OperationStatus, Refusal};

/// What a schema does with what this version does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It passes, as a consumer has to let it: new keys, and new words where `v1` may get some.
    Borne,
    /// It fails: for tests that want to hear of it.
    Refused,
}

/// The whole schema.
pub(super) fn schema(growth: Growth) -> Node {
    let told = Told::all();
    let (title, id) = match growth {
        Growth::Borne => ("Event", "urn:hongbao:event:v1"),
        Growth::Refused => ("StrictEvent", "urn:hongbao:event:v1:strict"),
    };
    let definitions = [("data".to_owned(), data(growth))].into_iter().chain(
        told.iter()
            .map(|told| (told.routing_key(), told.facts(growth))),
    );
    let head = object! {
        "$schema" => DIALECT,
        "$id" => id,
        "title" => title,
        "description" => "What is published to the exchange hongbao.outcomes: a CloudEvent 1.0 in structured JSON; docs/events.md.",
    };
    head.and(envelope(growth, &told, "#/$defs/"))
        .with("$defs", Node::Object(definitions.collect()))
}

/// The parts that refer to each other below `base`, by name: the event first.
pub(super) fn parts(base: &str) -> Vec<(String, Node)> {
    let (growth, told) = (Growth::Borne, Told::all());
    let event = object! { "title" => "Event" }.and(envelope(growth, &told, base));
    let mut parts = vec![
        ("event".to_owned(), event),
        ("data".to_owned(), data(growth)),
    ];
    parts.extend(
        told.iter()
            .map(|told| (told.routing_key(), told.facts(growth))),
    );
    parts
}

/// Every routing key of an event.
pub(super) fn routing_keys() -> Vec<String> {
    Told::all().iter().map(Told::routing_key).collect()
}

/// The members of an event's schema.
fn envelope(growth: Growth, told: &[Told], base: &str) -> Node {
    let types: Vec<String> = told
        .iter()
        .map(|told| event_type(&told.routing_key()))
        .collect();
    let (all, always) = (Keys::of(&everything_given()), Keys::of(&nothing_given()));
    let properties = all.names().map(|key| {
        let described = object! { "description" => attribute(key) };
        let limits = match key {
            "data" => return (key.to_owned(), object! { "$ref" => format!("{base}data") }),
            "specversion" => object! { "const" => "1.0" },
            "datacontenttype" => object! { "const" => "application/json" },
            "attempts" => object! { "type" => "integer", "minimum" => 0_u64 },
            "time" => object! { "type" => "string", "format" => "date-time" },
            "source" => {
                let source = format!("^/hongbaod/[{}]+$", AppName::ALPHABET);
                object! { "type" => "string", "pattern" => source }
            }
            "type" => one_word_of(types.iter().map(String::as_str), growth, Null::Never),
            "traceparent" => object! { "type" => "string" },
            _ => object! { "type" => "string", "minLength" => 1_u64 },
        };
        (key.to_owned(), described.and(limits))
    });
    let properties = Node::Object(properties.collect());
    let cases = told.iter().zip(&types).map(|(told, event_type)| {
        let this_type = object! { "type" => object! { "const" => event_type.as_str() } };
        let facts = object! { "$ref" => format!("{base}{}", told.routing_key()) };
        object! {
            "if" => object! { "properties" => this_type },
            "then" => object! { "properties" => object! { "data" => facts } },
        }
    });
    let schema = object! {
        "type" => "object",
        "required" => words(always.names()),
        "properties" => properties,
        "allOf" => cases.collect::<Vec<Node>>(),
    };
    closed(schema, growth).with("examples", examples())
}

/// The schema of `data`, whatever the event.
fn data(growth: Growth) -> Node {
    let (all, always) = (Keys::of(&everything_given()), Keys::of(&nothing_given()));
    let (all, always) = (all.inside("data"), always.inside("data"));
    let properties = all.names().map(|key| {
        let described = object! { "description" => data_key(key) };
        let null = always.null(key);
        (key.to_owned(), described.and(value(key, null, growth)))
    });
    let properties = Node::Object(properties.collect());
    let schema = object! {
        "title" => "Data",
        "type" => "object",
        "required" => words(always.names()),
        "properties" => properties,
    };
    closed(schema, growth)
}

/// What a key of `data` may hold.
fn value(key: &str, null: Null, growth: Growth) -> Node {
    let text = || object! { "type" => null.beside("string") };
    let number = |length: usize, alphabet: &str| {
        let limits = object! { "maxLength" => length, "pattern" => pattern::of_class(alphabet) };
        text().and(limits)
    };
    match key {
        "kind" => {
            let kinds = Kind::ALL.map(Kind::as_str).into_iter().chain([BUDGET]);
            one_word_of(kinds, growth, null)
        }
        "result" => one_word_of(Told::results(), growth, null),
        "app" => number(AppName::LENGTH_MAX, AppName::ALPHABET),
        "out_request_no" | "out_order_no" => number(MerchantNo::LENGTH_MAX, MerchantNo::ALPHABET),
        "auth_no" | "operation_id" => number(AlipayNo::LENGTH_MAX, AlipayNo::ALPHABET),
        "amount" => text().with("pattern", pattern::amount()),
        "status" => one_word_of(OperationStatus::ALL.map(status_word), growth, null),
        "display_message" => text().with("maxLength", Refusal::MESSAGE_CHARS_MAX),
        "reason" => one_word_of(Told::reasons(), growth, null),
        "origin" => one_word_of([NOTIFICATION], growth, null),
        "labels" => object! { "type" => "object" }.and(match growth {
            Growth::Refused => job::labels(),
            Growth::Borne => object! { "additionalProperties" => object! { "type" => "string" } },
        }),
        "budget" => budget(growth),
        _ => text(),
    }
}

/// What only `budget.warned` has.
fn budget(growth: Growth) -> Node {
    let all = Keys::of(&everything_given())
        .inside("data")
        .inside("budget");
    let properties = all.names().map(|key| {
        let described = object! { "description" => budget_key(key) };
        let limits = match key {
            "scope" => one_word_of(Scope::ALL.map(Scope::as_str), growth, Null::Never),
            "window" => one_word_of(Window::ALL.map(Window::as_str), growth, Null::Never),
            "value" => object! { "type" => Null::Allowed.beside("string") },
            "starts_at" | "ends_at" => object! { "type" => "string", "format" => "date-time" },
            "cap" => object! { "type" => "string", "pattern" => pattern::amount() },
            // A sum may be more than one job can pay.
            _ => object! { "type" => "string", "pattern" => r"^[0-9]+\.[0-9]{2}$" },
        };
        (key.to_owned(), described.and(limits))
    });
    let properties = Node::Object(properties.collect());
    let schema = object! {
        "title" => "Budget",
        "type" => "object",
        "required" => words(all.names()),
        "properties" => properties,
    };
    closed(schema, growth)
}

/// A word of a list, which may get longer within `v1`.
pub(super) fn one_word_of<'a>(
    known: impl IntoIterator<Item = &'a str>,
    growth: Growth,
    null: Null,
) -> Node {
    let mut list: Vec<Node> = known.into_iter().map(Node::from).collect();
    let types = null.beside("string");
    if null == Null::Allowed {
        list.push(Node::Json(serde_json::Value::Null));
    }
    let known = object! { "type" => types.clone(), "enum" => list };
    match growth {
        Growth::Borne => {
            // With its type, generators of code make a text of it and no enumeration.
            let later =
                object! { "description" => "What a later version may write.", "type" => types };
            object! { "anyOf" => vec![known, later] }
        }
        Growth::Refused => known,
    }
}

fn closed(schema: Node, growth: Growth) -> Node {
    match growth {
        Growth::Borne => schema,
        Growth::Refused => schema.with("additionalProperties", false),
    }
}

/// One event, written by the encoder.
fn examples() -> Vec<Node> {
    let announcement = facts::example();
    let event = announcement.map(|announcement| encode(&announcement, None).body);
    let event = event.and_then(|body| serde_json::from_slice(&body).ok());
    event.map(Node::Json).into_iter().collect()
}

#[cfg(test)]
mod tests;
