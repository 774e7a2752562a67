//! The demo as a person runs it, only smaller.

use std::process::Command;

/// Runs the demo and returns its exit code and output.
fn demo(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongbaod"));
    let output = command.arg("demo").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

/// The number in the table's row of that name.
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(name));
    let line = line.unwrap_or_else(|| panic!("no row {name} in:\n{text}"));
    let value = line.trim_matches(|c| c == '│' || c == ' ');
    value.rsplit(' ').next().unwrap()
}

/// An even and an odd seed: each has the other of Alipay's two idempotency behaviours.
#[test]
fn with_faults_of_every_kind_every_promise_is_kept() {
    for seed in ["1", "2"] {
        let (code, text) = demo(&["--jobs", "300", "--seed", seed]);
        assert_eq!(code, Some(0), "{text}");
        for name in ["paid twice", "lost", "falsely failed", "left in the queues"] {
            assert_eq!(row(&text, name), "0", "{text}");
        }
        assert_ne!(row(&text, "faults survived"), "0", "{text}");
        assert_eq!(
            row(&text, "paid out, by the events"),
            row(&text, "paid out, by the bank's books")
        );
        assert!(text.contains("Every promise was kept"), "{text}");
    }
}

#[test]
fn without_faults_nothing_is_injected() {
    let (code, text) = demo(&["--jobs", "100", "--no-faults"]);
    assert_eq!(
        (code, row(&text, "faults survived")),
        (Some(0), "0"),
        "{text}"
    );
}
