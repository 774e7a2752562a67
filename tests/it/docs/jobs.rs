//! `docs/jobs.md`: every example is a job, every error is said word by word, every field is there.

use std::collections::BTreeMap;

use hongbaod::app::job_body::{BODY_BYTES_MAX, decode};
use hongbaod::domain::draft::Field;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{Job, Kind};
use serde_json::{Map, Value};

use super::{code, json, json_blocks, rows};

const PAGE: &str = include_str!("../../../docs/jobs.md");

fn main_app() -> AppName {
    AppName::new("main").unwrap()
}

/// The first example of each kind.
fn first_examples() -> BTreeMap<&'static str, Map<String, Value>> {
    let mut examples = BTreeMap::new();
    for block in json_blocks(PAGE) {
        let Value::Object(example) = json(block) else {
            panic!("no object: {block}")
        };
        let kind = Kind::parse(example["kind"].as_str().unwrap()).unwrap();
        examples.entry(kind.as_str()).or_insert(example);
    }
    examples
}

/// The first example of `kind` as a job.
pub(super) fn example_job(kind: Kind) -> Job {
    let body = Value::Object(first_examples()[kind.as_str()].clone()).to_string();
    decode(body.as_bytes(), Some(&main_app())).unwrap()
}

fn error(body: &[u8]) -> Option<String> {
    let decoded = decode(body, Some(&main_app()));
    decoded.err().map(|bad| bad.summary())
}

#[test]
fn every_example_of_a_job_is_a_job() {
    let blocks = json_blocks(PAGE);
    assert!(blocks.len() >= 6);
    for block in &blocks {
        assert_eq!(error(block.as_bytes()), None, "{block}");
    }
    assert_eq!(first_examples().len(), Kind::ALL.len());
}

/// The body of an example with the members of `fragment` in the place of its own.
///
/// The fragment stays text, for it may hold a member twice.
fn with_fragment(fragment: &str) -> String {
    let Value::Object(given) = json(fragment) else {
        panic!("no object: {fragment}")
    };
    let kind = given.get("kind").and_then(Value::as_str);
    let kind = kind.and_then(Kind::parse).unwrap_or(Kind::Disburse);
    let mut example = first_examples()[kind.as_str()].clone();
    example.retain(|name, _| !given.contains_key(name));
    let rest = Value::Object(example).to_string();
    format!("{},{}", rest.strip_suffix('}').unwrap(), &fragment[1..])
}

#[test]
fn every_error_of_a_field_is_said_word_by_word() {
    let rows = rows(PAGE, "given");
    assert!(rows.len() > 30);
    for row in &rows {
        let body = with_fragment(code(row[0]));
        assert_eq!(
            error(body.as_bytes()).as_deref(),
            Some(code(row[1])),
            "{body}"
        );
    }
}

#[test]
fn every_error_of_a_body_is_said_word_by_word() {
    let long = vec![b' '; BODY_BYTES_MAX + 1];
    let bodies: [&[u8]; 3] = [b"nonsense", b"{\"kind\":\"\xff\"}", &long];
    for (body, row) in bodies.into_iter().zip(rows(PAGE, "the body")) {
        assert_eq!(error(body).as_deref(), Some(code(row[1])));
    }
    let limit = format!("at most {BODY_BYTES_MAX} bytes");
    assert!(PAGE.contains(&limit), "{limit}");
}

#[test]
fn a_job_without_an_app_needs_a_default_app() {
    let body = Value::Object(first_examples()["refund"].clone()).to_string();
    let bad = decode(body.as_bytes(), None).unwrap_err();
    let said = rows(PAGE, "the job").into_iter().map(|row| row[1]);
    let summary = format!("`{}`", bad.summary());
    assert!(said.into_iter().any(|cell| cell == summary), "{summary}");
}

/// A valid value of each field, from the examples of the page.
fn sample(field: Field) -> Value {
    let blocks = json_blocks(PAGE);
    let mut values = blocks
        .iter()
        .filter_map(|block| json(block).get(field.as_str()).cloned());
    values
        .next()
        .unwrap_or_else(|| panic!("no example has {}", field.as_str()))
}

#[test]
fn the_table_of_fields_is_what_each_kind_takes() {
    let rows = rows(PAGE, "field");
    let named: Vec<&str> = rows.iter().map(|row| code(row[0])).collect();
    for field in Field::ALL {
        assert!(named.contains(&field.as_str()), "{}", field.as_str());
    }
    assert_eq!(named.len(), Field::ALL.len());
    for row in &rows {
        let field = Field::parse(code(row[0])).unwrap();
        for (kind, word) in Kind::ALL.into_iter().zip(&row[1..7]) {
            assert_eq!(taken(kind, field), *word, "{} of {kind}", field.as_str());
        }
    }
}

/// How a kind takes a field, found out by giving it and leaving it out.
fn taken(kind: Kind, field: Field) -> &'static str {
    let mut with = first_examples()[kind.as_str()].clone();
    let mut without = with.clone();
    with.insert(field.as_str().to_owned(), sample(field));
    if field == Field::Kind {
        with.insert(field.as_str().to_owned(), kind.as_str().into());
    }
    without.remove(field.as_str());
    let error_of = |body: Map<String, Value>| error(Value::Object(body).to_string().as_bytes());
    let (with, without) = (error_of(with), error_of(without));
    let says =
        |error: &Option<String>, text| error.as_ref().is_some_and(|said| said.contains(text));
    if says(&with, "does not have this field") {
        "–"
    } else if says(&with, "only one of the two") || says(&without, "one of the two must be given") {
        "one of two"
    } else if says(&without, "is missing") {
        "required"
    } else {
        assert_eq!((with, without), (None, None));
        "optional"
    }
}
