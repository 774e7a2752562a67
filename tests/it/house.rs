//! Rules of the house that no lint knows.

use crate::tree::{TextFile, text_files};

const LINES_MAX: usize = 600;

/// One finding per line of `file` in which `needle` does not continue a longer word.
fn lines_with(file: &TextFile, needle: &str) -> Vec<String> {
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| {
            line.match_indices(needle).any(|(at, _)| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
        })
        .map(|(index, line)| format!("{}:{}: {}", file.path, index + 1, line.trim()))
        .collect()
}

fn findings(folders: &[&str], needle: &str) -> Vec<String> {
    folders
        .iter()
        .flat_map(|folder| text_files(folder))
        .flat_map(|file| lines_with(&file, needle))
        .collect()
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let long: Vec<_> = text_files("src")
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert_eq!(long, [], "split these by topic");
}

#[test]
fn no_test_is_switched_off() {
    // In two parts, so that this file is not its own finding; the same below.
    let needle = concat!("#[", "ignore");
    assert_eq!(findings(&["src", "tests"], needle), [""; 0]);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let needle = concat!("/wo", "rk/");
    let folders = [".ci", "deploy", "docs", "examples", "helm", "src", "tests"];
    let top = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
    ];
    assert_eq!(findings(&folders, needle), [""; 0]);
    assert_eq!(findings(&top, needle), [""; 0]);
}

#[test]
fn a_needle_is_found_alone_and_not_inside_a_longer_path() {
    let file = TextFile {
        path: "x.rs".to_owned(),
        text: "open(\"/pit/a\")\nhttps://example.test/pit/a\nfine".to_owned(),
    };
    assert_eq!(lines_with(&file, "/pit/"), ["x.rs:1: open(\"/pit/a\")"]);
}
