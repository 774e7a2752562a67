//! The audit log on a real file: several writers, rotation, operators, and a person with a shell.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use hongbaod::adapters::audit_file::{AuditFile, AuditFileOptions, Sync};
use hongbaod::app::audit::files::{Anchors, ReadError, verify};
use hongbaod::app::audit::journal::Journal;
use hongbaod::app::audit::line::{Record, What};
use hongbaod::app::audit::{Action, look, operator};
use hongbaod::app::config::Config;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::audit::AuditError;
use serde_json::{Value, json};
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

fn configured(path: &Path) -> Config {
    let mut config = Config::default();
    config.audit.file = Some(path.to_owned());
    config
}

fn journal(path: &Path, rotate_bytes: u64, keep: u32) -> Journal {
    let options = AuditFileOptions {
        path: path.to_owned(),
        keep,
        sync: Sync::Batch,
    };
    let file = AuditFile::new(options);
    Journal::new(Box::new(file), "test/1".to_owned(), rotate_bytes)
}

fn append(journal: &mut Journal, number: &str) {
    let data = json!({"out_request_no": number, "title": "红包 é"});
    let mut records = VecDeque::from([Record::new(NOW, What::Settled, &data)]);
    journal.append(NOW, &mut records).unwrap();
}

/// The files of the log, the oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut files: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none_or(|extension| extension != "lock"));
    files.sort();
    // The present one, whose name is the shortest, comes last.
    files.rotate_left(1);
    files
}

#[test]
fn writers_on_one_file_make_one_chain_while_it_is_rotated_under_them() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let mut journal = journal(path, 8_192, 0);
                for index in 0..50 {
                    append(&mut journal, &format!("W{writer}-{index}"));
                }
            });
        }
    });
    let report = verify(&configured(&path), &[], Anchors::default()).unwrap();
    assert_eq!(report.findings, []);
    let files = files(&path);
    assert!(files.len() > 4, "{files:?}");
    assert_eq!(report.lines, 200 + u64::try_from(files.len()).unwrap() - 1);
    // As a shell would name them: the present one first.
    let mut named = files.clone();
    named.rotate_right(1);
    let again = verify(&Config::default(), &named, Anchors::default()).unwrap();
    assert_eq!((again.faults, again.last), (0, report.last));
    // A file that is gone is missed.
    named.remove(3);
    let report = verify(&Config::default(), &named, Anchors::default()).unwrap();
    assert_eq!(report.faults, 1, "{report:?}");
    assert!(report.findings[0].fault.contains("missing"), "{report:?}");
}

#[test]
fn only_the_newest_files_are_kept_where_that_is_configured() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut journal = journal(&path, 2_000, 3);
    for index in 0..60 {
        append(&mut journal, &format!("R{index}"));
    }
    let files = files(&path);
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(!files[0].ends_with("audit.jsonl.000001"), "{files:?}");
    let report = verify(&configured(&path), &[], Anchors::default()).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.first > Some(1));
}

/// What `docs/audit.md` says that a person can do.
#[test]
fn a_person_with_a_shell_finds_the_same_hash() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut journal = journal(&path, 1 << 20, 0);
    append(&mut journal, "R1");
    append(&mut journal, "R2");
    let text = std::fs::read_to_string(&path).unwrap();
    let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let commands =
        r#"sed -n 2p "$1" | sed -E 's/,"hash":"[0-9a-f]{64}"\}$/}/' | tr -d '\n' | sha256sum"#;
    let output = Command::new("sh")
        .args(["-c", commands, "sh"])
        .arg(&path)
        .output()
        .unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    assert_eq!(hash.split(' ').next(), line["hash"].as_str());
    let page = include_str!("../../docs/audit.md");
    assert!(page.contains(r#"sed -E 's/,"hash":"[0-9a-f]{64}"\}$/}/'"#));
}

#[test]
fn what_an_operator_does_is_written_down_before_and_after() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let action = Action {
        command: "dead replay",
        out_request_no: Some("R1"),
        arguments: &[("payee", "2088102146225135"), ("all", "true")],
        reason: Some("asked by someone@example.com"),
    };
    let begun = operator(&configured(&path), &action).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let first: Value = serde_json::from_str(text.trim()).unwrap();
    let data = &first["data"];
    assert_eq!(
        (&data["state"], &data["command"]),
        (&json!("begun"), &json!("dead replay"))
    );
    assert_eq!(
        data["arguments"],
        json!({"payee": "2088****5135", "all": "true"})
    );
    assert_eq!(data["reason"], "asked by som****.com");
    assert!(data["who"]["user"].is_string(), "{data}");
    begun.ended("done").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let second: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let expected =
        json!({"state": "ended", "begun": first["seq"], "out_request_no": "R1", "result": "done"});
    assert_eq!(second["data"], expected);
    let report = verify(&configured(&path), &[], Anchors::default()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn an_operator_may_do_nothing_that_the_log_does_not_hold() {
    let directory = TempDir::new().unwrap();
    let action = Action {
        command: "dead drop",
        out_request_no: None,
        arguments: &[],
        reason: None,
    };
    let nowhere = directory.path().join("nowhere/audit.jsonl");
    let refused = operator(&configured(&nowhere), &action).err().unwrap();
    assert!(matches!(refused, AuditError::Open { .. }), "{refused}");
    let other = directory.path().join("other.txt");
    std::fs::write(&other, "something else\n").unwrap();
    let refused = operator(&configured(&other), &action).err().unwrap();
    assert!(matches!(refused, AuditError::Strange { .. }), "{refused}");
    // Without a log there is nothing to hold it.
    operator(&Config::default(), &action)
        .unwrap()
        .ended("done")
        .unwrap();
}

#[test]
fn a_log_that_is_nowhere_is_told() {
    let error = verify(&Config::default(), &[], Anchors::default()).unwrap_err();
    assert!(matches!(error, ReadError::NotConfigured), "{error}");
    let named = [PathBuf::from("/nowhere/audit.jsonl")];
    let error = verify(&Config::default(), &named, Anchors::default()).unwrap_err();
    assert!(matches!(error, ReadError::File { .. }), "{error}");
}

#[test]
fn a_look_finds_what_a_start_would_refuse_and_makes_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let looked = |path: &Path| look(&configured(path).audit).expect("a file is configured");
    assert!(look(&Config::default().audit).is_none());

    let nowhere = looked(&directory.path().join("nowhere/audit.jsonl")).unwrap_err();
    assert!(nowhere.is_misconfigured(), "{nowhere}");
    assert!(!looked(&path).unwrap(), "it begins with the first start");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    std::fs::write(&path, "not an audit log\n").unwrap();
    let strange = looked(&path).unwrap_err();
    assert!(matches!(strange, AuditError::Strange { .. }), "{strange}");
    let refused = journal(&path, 1_000_000, 0).look().unwrap_err();
    assert!(matches!(refused, AuditError::Strange { .. }), "{refused}");

    std::fs::remove_file(&path).unwrap();
    let mut journal = journal(&path, 1_000_000, 0);
    journal.look().unwrap();
    append(&mut journal, "R1");
    assert!(looked(&path).unwrap());
}
