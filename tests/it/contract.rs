//! `docs/contract/`: the committed schemas and the AsyncAPI document are what the command prints.

use std::collections::BTreeSet;

use hongbaod::app::config::Config;
use hongbaod::app::contract::{Growth, asyncapi, event_schema, job_schema};
use serde_json::Value;

use crate::docs::{code, json, json_blocks, rows};
use crate::tree::text_files;

const JOBS: &str = include_str!("../../docs/jobs.md");
const EVENTS: &str = include_str!("../../docs/events.md");
const CONTRACT: &str = include_str!("../../docs/contract.md");

#[test]
fn the_committed_documents_are_what_the_command_prints() {
    let asyncapi = asyncapi(&Config::default()).unwrap();
    let committed = text_files("docs/contract");
    let printed = [
        ("job.v1.schema.json", "job", job_schema()),
        ("event.v1.schema.json", "event", event_schema(Growth::Borne)),
        ("asyncapi.v1.json", "asyncapi", asyncapi),
    ];
    for (name, word, printed) in &printed {
        let path = format!("docs/contract/{name}");
        let file = committed.iter().find(|file| file.path == path);
        let file = file.map_or("", |file| file.text.as_str());
        let same = file.lines().zip(printed.lines());
        assert!(
            file == printed,
            "{path} is not what is printed, from line {} on. If the change is allowed within v1 \
             (docs/contract.md), tell of it there, and then: hongbaod schema {word} > {path}",
            same.take_while(|(file, printed)| file == printed).count() + 1,
        );
    }
    assert_eq!(committed.len(), printed.len());
}

/// A cell of a page without its links.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, link)) = rest.split_once('[') {
        let (words, after) = link.split_once("](").unwrap();
        text = format!("{text}{before}{words}");
        rest = after.split_once(')').unwrap().1;
    }
    text + rest
}

#[test]
fn the_schemas_describe_fields_and_keys_in_the_words_of_the_pages() {
    let (jobs, events) = (json(&job_schema()), json(&event_schema(Growth::Borne)));
    let mut described = BTreeSet::new();
    for row in rows(JOBS, "field") {
        let (field, said) = (code(row[0]), plain(row[7]));
        for (kind, schema) in jobs["$defs"].as_object().unwrap() {
            if let Some(property) = schema["properties"].get(field) {
                assert_eq!(property["description"], said.as_str(), "{field} of {kind}");
                described.insert(field.to_owned());
            }
        }
    }
    assert_eq!(described.len(), rows(JOBS, "field").len());
    for (head, properties) in [
        ("attribute", &events["properties"]),
        ("key of `data`", &events["$defs"]["data"]["properties"]),
    ] {
        for row in rows(EVENTS, head)
            .iter()
            .filter(|row| code(row[0]) != "data")
        {
            let said = plain(row[1]);
            assert_eq!(
                properties[code(row[0])]["description"],
                said.as_str(),
                "{}",
                row[0]
            );
        }
    }
}

#[test]
fn the_example_of_a_kind_is_the_first_of_the_page() {
    let jobs = json(&job_schema());
    for (kind, schema) in jobs["$defs"].as_object().unwrap() {
        let blocks = json_blocks(JOBS).into_iter().map(json);
        let first = blocks.into_iter().find(|job| job["kind"] == kind.as_str());
        assert_eq!(first.as_ref(), schema["examples"].get(0), "{kind}");
    }
}

#[test]
fn the_page_names_the_rules_that_a_schema_cannot_say() {
    let list = json(include_str!("../contracts/bad_jobs.json"));
    let rules = list["beyond_schema"].as_array().unwrap().iter();
    let rules: BTreeSet<(&str, &str)> = rules
        .map(|rule| {
            (
                rule["rule"].as_str().unwrap(),
                rule["why"].as_str().unwrap(),
            )
        })
        .collect();
    let told = rows(CONTRACT, "rule").into_iter();
    let told: BTreeSet<(&str, &str)> = told.map(|row| (code(row[0]), row[1])).collect();
    assert_eq!(told, rules);
    let used = list["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|job| job["rule"].as_str());
    let used: BTreeSet<&str> = used.collect();
    assert_eq!(used, rules.iter().map(|(rule, _)| *rule).collect());
}

/// Every kind and every result that the page of events knows is a type of the schema.
#[test]
fn every_routing_key_of_the_page_has_its_facts() {
    let strict = json(&event_schema(Growth::Refused));
    let Value::Array(types) = &strict["properties"]["type"]["enum"] else {
        panic!("the strict schema lists the types")
    };
    let results: BTreeSet<&str> = types
        .iter()
        .map(|word| word.as_str().unwrap().split('.').nth(2).unwrap())
        .collect();
    let told = rows(EVENTS, "routing key").into_iter();
    let told: BTreeSet<&str> = told
        .map(|row| code(row[0]).split_once('.').unwrap().1)
        .collect();
    assert_eq!(results, told);
}
