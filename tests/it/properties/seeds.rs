//! Every seed of every fuzz target, so that targets and seeds stay true without a fuzzer.

use std::path::Path;
use std::{fs, panic};

use super::checks::{
    answer, config, job_body, key_text, ledger_value, money, notification, params,
};
use crate::tree::text_files;

/// What a target does with its bytes.
type Check = fn(&[u8]);

/// Every fuzz target. Those of texts pass by what is not UTF-8, as libFuzzer does.
const TARGETS: [(&str, Check); 9] = [
    ("canonical_string", params::check),
    ("config", |bytes| of_text(bytes, config::check)),
    ("gateway_answer", answer::check_unsigned),
    ("job_body", job_body::check),
    ("key_text", |bytes| of_text(bytes, key_text::check)),
    ("ledger_value", ledger_value::check),
    ("money_and_duration", |bytes| of_text(bytes, money::check)),
    ("notification", notification::check),
    ("signed_answer", answer::check_signed),
];

fn of_text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

#[test]
fn every_seed_keeps_the_properties_of_its_target() {
    let mut broken = Vec::new();
    for (target, check) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if panic::catch_unwind(|| check(&bytes)).is_err() {
                broken.push(path);
            }
            seeds += 1;
        }
        assert!(seeds >= 5, "{target} has only {seeds} seeds");
    }
    assert!(broken.is_empty(), "these break a property: {broken:?}");
}

#[test]
fn every_target_is_listed_with_its_own_check() {
    let manifest: toml::Table = text_files("fuzz/Cargo.toml")
        .pop()
        .unwrap()
        .text
        .parse()
        .unwrap();
    let names: Vec<&str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    let sources = text_files("fuzz/fuzz_targets");
    assert_eq!(sources.len(), names.len());
    for (source, name) in sources.iter().zip(names) {
        assert_eq!(source.path, format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(
            source.text.contains("properties::"),
            "{name} checks nothing"
        );
    }
}
