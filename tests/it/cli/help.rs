//! Help texts, and arguments that make no sense.

use tempfile::TempDir;

use crate::cli::{Ended, run};

const COMMANDS: [&str; 11] = [
    "run",
    "demo",
    "sandbox",
    "check",
    "submit",
    "watch",
    "show",
    "audit",
    "reconcile",
    "codes",
    "completions",
];

fn hongbaod(arguments: &[&str]) -> Ended {
    run(TempDir::new().unwrap().path(), arguments)
}

#[test]
fn the_help_of_each_command_has_an_example() {
    for command in COMMANDS {
        let ended = hongbaod(&[command, "--help"]);
        assert_eq!(ended.code, Some(0), "{command}");
        let examples = ended.stdout.split_once("Examples:").unwrap().1;
        assert!(
            examples.contains(&format!("hongbaod {command}")),
            "{command}"
        );
    }
    for job in ["disburse", "refund", "query", "pay"] {
        let ended = hongbaod(&["submit", job, "--help"]);
        let example = format!("Examples:\n  hongbaod submit {job} ");
        assert!(ended.stdout.contains(&example), "{job}");
    }
    let ended = hongbaod(&["--help"]);
    assert_eq!(ended.code, Some(0));
    for command in COMMANDS {
        assert!(ended.stdout.contains(command), "{command}");
    }
    assert_eq!(hongbaod(&["--version"]).code, Some(0));
}

#[test]
fn arguments_that_make_no_sense_exit_64() {
    let table: [&[&str]; 14] = [
        &[],
        &["nonsense"],
        &["run", "--nonsense"],
        &["submit"],
        &[
            "submit",
            "--file",
            "-",
            "query",
            "--auth-no",
            "1",
            "--operation-id",
            "1",
        ],
        &["submit", "disburse", "--amount", "1.00"],
        &["submit", "query", "--out-order-no", "O1"],
        &[
            "submit",
            "query",
            "--out-order-no",
            "O1",
            "--out-request-no",
            "R1",
            "--label",
            "x",
        ],
        &["watch", "--count", "0"],
        &["watch", "--count", "-1"],
        &["show"],
        &["show", "a b"],
        &["sandbox", "--keys", "k", "--delay", "5"],
        &["sandbox", "--keys", "k", "--packet", "P1=one"],
    ];
    for arguments in table {
        let ended = hongbaod(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert_ne!(ended.stderr, "", "{arguments:?}");
    }
}

#[test]
fn each_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = hongbaod(&["completions", shell]);
        assert_eq!(ended.code, Some(0), "{shell}");
        for command in COMMANDS {
            assert!(ended.stdout.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(hongbaod(&["completions", "tcsh"]).code, Some(64));
}
