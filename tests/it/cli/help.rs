//! Help texts, and arguments that make no sense.

use hongbaod::app::build_info::{COMMIT, VERSION};
use hongbaod::app::unsettled::Fact;
use tempfile::TempDir;

use crate::cli::{Ended, run};

const COMMANDS: &[&str] = &[
    "run",
    "demo",
    "sandbox",
    "check",
    "health",
    "submit",
    "watch",
    "show",
    "pause",
    "resume",
    "resolve",
    "list",
    "dead",
    "audit",
    "reconcile",
    "codes",
    "schema",
    "completions",
    "man",
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
    for action in ["list", "show", "requeue", "drop"] {
        let ended = hongbaod(&["dead", action, "--help"]);
        let example = format!("Examples:\n  hongbaod dead {action}");
        assert!(ended.stdout.contains(&example), "{action}");
    }
    let ended = hongbaod(&["--help"]);
    assert_eq!(ended.code, Some(0));
    for command in COMMANDS {
        assert!(ended.stdout.contains(command), "{command}");
    }
    let ended = hongbaod(&["--version"]);
    let told = format!("hongbaod {VERSION} ({COMMIT})\n");
    assert_eq!((ended.code, ended.stdout), (Some(0), told));
}

#[test]
fn arguments_that_make_no_sense_exit_64() {
    let table: &[&[&str]] = &[
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
        &["pause", "main"],
        &["pause", "main", "--reason", ""],
        &["pause", "main", "everything", "--reason", "x"],
        &["pause", "--reason", "x"],
        &["resume"],
        &["resolve", "R1"],
        &["resolve", "R1", "--as", "unknown"],
        &["resolve", "R1", "--as", "failed", "--force"],
        &["sandbox", "--keys", "k", "--delay", "5"],
        &["sandbox", "--keys", "k", "--packet", "P1=one"],
        &["list"],
        &["list", "--unsettled", "--kind", "gift"],
        &["list", "--unsettled", "--app", "MAIN"],
        &["list", "--unsettled", "--older-than", "5"],
        &["list", "--unsettled", "--older-than", "yesterday"],
        &["list", "--unsettled", "--reason", "nonsense"],
        &["list", "--unsettled", "--limit", "0"],
        &["list", "--unsettled", "--limit", "10001"],
        &["list", "--unsettled", "--page", "2"],
        &["dead"],
        &["dead", "show"],
        &["dead", "list", "--kind", "gift"],
        &["dead", "list", "--reason", "Not a word"],
        &["dead", "list", "--limit", "0"],
        &["dead", "requeue"],
        &["dead", "requeue", "--yes"],
        &["dead", "requeue", "--older-than", "-1d", "--yes"],
        &["dead", "drop", "--yes"],
        &["dead", "drop", "--number", "a b", "--yes"],
        &["dead", "drop", "--all", "--yes", "--dry-run"],
        &["schema", "gift"],
        &["schema", "job", "--strict"],
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

#[test]
fn each_command_has_its_manual_page() {
    let ended = hongbaod(&["man"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains(".TH hongbaod 1"), "{}", ended.stdout);
    let directory = TempDir::new().unwrap();
    let ended = run(directory.path(), &["man", "--dir", "pages/man1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let page = |name: &str| {
        let path = directory.path().join("pages/man1").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for command in COMMANDS {
        assert!(page(&format!("hongbaod-{command}.1")).contains(command));
    }
    assert!(page("hongbaod.1").contains("hongbaod\\-dead(1)"));
    let requeue = page("hongbaod-dead-requeue.1");
    assert!(requeue.contains("\\-\\-yes"), "{requeue}");
    assert!(requeue.contains("hongbaod dead requeue"), "{requeue}");
}

#[test]
fn the_page_of_commands_and_the_help_name_every_command_and_every_word() {
    const PAGE: &str = include_str!("../../../docs/commands.md");
    for command in COMMANDS {
        assert!(PAGE.contains(command), "{command}");
    }
    let help = hongbaod(&["list", "--help"]).stdout;
    for fact in Fact::ALL.map(Fact::as_str) {
        assert!(
            PAGE.contains(&format!("`{fact}`")) || PAGE.contains(&format!("--reason {fact}`")),
            "{fact}"
        );
        assert!(help.contains(fact), "{fact}");
    }
    for action in [
        "list --unsettled",
        "dead list",
        "dead show",
        "dead requeue",
        "dead drop",
    ] {
        assert!(PAGE.contains(&format!("$ hongbaod {action}")), "{action}");
    }
}
