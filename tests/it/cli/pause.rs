//! `pause` and `resume`: what is thrown, told and refused.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::checks::{configure, sandbox};
use crate::cli::{Ended, run};

fn lines(ended: &Ended) -> Vec<Value> {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn told(directory: &Path, words: &str) -> Vec<Value> {
    let words: Vec<&str> = words.split(' ').chain(["--json"]).collect();
    lines(&run(directory, &words))
}

/// The kinds of the lines of which `name` is true.
fn kinds(lines: &[Value], name: &str) -> Vec<String> {
    let those = lines.iter().filter(|line| line[name] == true);
    those
        .map(|line| line["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_pause_is_thrown_once_listed_and_ended() {
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &[]);
    configure(directory.path(), &section);
    let directory = directory.path();
    let ended = run(directory, &["pause"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "nothing is paused\n")
    );

    let first = told(directory, "pause main refund --reason ticket-17 --by anna");
    assert_eq!(kinds(&first, "changed"), ["refund"]);
    // What is paused already keeps who and why.
    let all = told(directory, "pause main --reason other --by ben");
    assert_eq!(kinds(&all, "changed"), ["disburse", "pay"]);
    assert_eq!(kinds(&all, "paused"), ["disburse", "refund", "pay"]);
    let again = told(directory, "pause main --reason once-more --by ben");
    assert_eq!(kinds(&again, "changed"), [""; 0]);

    let listed = told(directory, "pause --list");
    assert_eq!(listed.len(), 3);
    let refund = listed.iter().find(|line| line["kind"] == "refund").unwrap();
    assert_eq!(
        (&refund["by"], &refund["reason"]),
        (&"anna".into(), &"ticket-17".into())
    );
    assert_eq!(refund["at"], first[0]["at"]);
    let table = run(directory, &["pause"]).stdout;
    for words in ["APP   KIND", "main  refund", "anna", "ticket-17"] {
        assert!(table.contains(words), "{table}");
    }

    let ended = told(directory, "resume main refund --by anna");
    assert_eq!(kinds(&ended, "changed"), ["refund"]);
    let rest = told(directory, "resume main --by anna");
    assert_eq!(kinds(&rest, "changed"), ["disburse", "pay"]);
    assert_eq!(told(directory, "pause --list").len(), 0);
    let ended = run(directory, &["resume", "main", "refund"]);
    assert!(
        ended.stdout.contains("is not paused, resumed 2"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_cannot_be_paused_is_refused_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &[]);
    configure(directory.path(), &section);
    let directory = directory.path();
    for (words, reason) in [
        ("pause main query --reason x", "it moves no money"),
        ("pause main app_pay --reason x", "only signed here"),
        ("resume main page_pay", "only signed here"),
        (
            "pause mian --reason x",
            "no app mian is configured here; there is main",
        ),
        (
            "resume mian",
            "no app mian is configured here; there is main",
        ),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let ended = run(directory, &words);
        assert_eq!(ended.code, Some(64), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{words:?}: {}", ended.stderr);
    }
    assert_eq!(told(directory, "pause --list").len(), 0);
    let forced = told(directory, "pause mian pay --reason x --force --by anna");
    assert_eq!(kinds(&forced, "paused"), ["pay"]);
}

#[test]
fn what_an_operator_does_is_in_the_audit_log_or_is_not_done() {
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &[]);
    let with_log = |file: &str| format!("{section}\n[audit]\nfile = \"{file}\"\n");
    configure(directory.path(), &with_log("missing/audit.jsonl"));
    let directory = directory.path();
    let refused = run(directory, &["pause", "main", "--reason", "ticket-18"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("nothing was done"),
        "{}",
        refused.stderr
    );
    assert_eq!(told(directory, "pause --list").len(), 0);

    configure(directory, &with_log("audit.jsonl"));
    told(directory, "pause main refund --reason ticket-18 --by anna");
    let undeclared = run(directory, &["dead", "drop", "--reason", "invalid", "--yes"]);
    assert_eq!(undeclared.code, Some(1), "{}", undeclared.stderr);
    let unknown = run(directory, &["resolve", "R-none", "--as", "failed"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    let log = std::fs::read_to_string(directory.join("audit.jsonl")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_operators = lines.iter().filter(|line| line["what"] == "operator");
    let data: Vec<&Value> = of_operators.map(|line| &line["data"]).collect();
    let states: Vec<_> = data.iter().map(|data| &data["state"]).collect();
    assert_eq!(
        states,
        ["begun", "ended", "begun", "ended", "begun", "ended"]
    );
    assert_eq!(data[0]["command"], "pause");
    assert_eq!(data[0]["reason"], "ticket-18");
    assert_eq!(data[0]["arguments"]["kind"], "refund");
    assert_eq!(data[1]["result"], "done");
    assert_eq!(data[2]["command"], "dead drop");
    let result = data[3]["result"].as_str().unwrap();
    assert!(result.contains("start `hongbaod run` once"), "{result}");
    assert_eq!(data[4]["out_request_no"], "R-none");
    assert_ne!(data[5]["result"], "failed");
    let verified = run(directory, &["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
}
