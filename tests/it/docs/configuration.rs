//! `docs/configuration.md` is written from `config.example.toml`, which is the only place where keys are
//! explained. This renders it and compares.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::links::anchor;

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const PAGE: &str = include_str!("../../../docs/configuration.md");

/// A table of the file: its keys in groups, each with what is said of it.
#[derive(Debug, Default)]
struct Table {
    name: String,
    /// Whether it is only there as a comment.
    is_optional: bool,
    about: Vec<String>,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Group {
    about: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    name: String,
    value: String,
    /// Whether it is only there as a comment.
    is_optional: bool,
}

/// The head of the file, and its tables.
fn parse(example: &str) -> (Vec<String>, Vec<Table>) {
    let mut head = None;
    let mut tables: Vec<Table> = Vec::new();
    let mut said: Vec<String> = Vec::new();
    for line in example.lines() {
        let (text, is_optional) = line
            .strip_prefix('#')
            .map_or((line, false), |comment| (comment, true));
        let bare = text.strip_prefix(' ').unwrap_or(text);
        if bare.starts_with("-----") {
            let before = std::mem::take(&mut said);
            head.get_or_insert(before);
        } else if let Some(name) = table_name(bare) {
            tables.push(Table {
                name: name.to_owned(),
                is_optional,
                about: std::mem::take(&mut said),
                groups: Vec::new(),
            });
        } else if let Some((name, value)) = key_and_value(bare) {
            let table = tables.last_mut().expect("a key is in a table");
            if !said.is_empty() || table.groups.is_empty() {
                table.groups.push(Group {
                    about: std::mem::take(&mut said),
                    keys: Vec::new(),
                });
            }
            let key = Key {
                name: name.to_owned(),
                value: value.to_owned(),
                is_optional,
            };
            table.groups.last_mut().unwrap().keys.push(key);
        } else if is_optional {
            said.push(bare.to_owned());
        } else {
            assert_eq!(line, "", "a line of no known sort");
        }
    }
    assert_eq!(said, [""; 0], "said of nothing");
    (head.expect("a line of dashes"), tables)
}

fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
    !text.is_empty() && text.chars().all(is_plain)
}

fn table_name(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    is_word(name).then_some(name)
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(" = ")?;
    is_word(name).then_some((name, value))
}

/// What a value is made of, in words.
fn sort(value: &str) -> &'static str {
    let text = value.trim_matches('"');
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if value.starts_with('[') {
        "list of texts"
    } else if value.starts_with('{') {
        "whole numbers"
    } else if value.parse::<u64>().is_ok() {
        "whole number"
    } else if value.parse::<f64>().is_ok() {
        "number"
    } else if unit.len() < text.len() && ["ms", "s", "m", "h", "d"].contains(&unit) {
        "duration"
    } else {
        "text"
    }
}

/// What `key` is called in the environment; of an inline table, each of its keys.
fn variables(table: &str, key: &Key) -> Vec<String> {
    let app = "alipay.apps.main";
    let table = match table.strip_prefix(app) {
        Some(rest) => format!("ALIPAY__APPS__NAME{rest}"),
        None => table.replace('.', "__").to_uppercase(),
    };
    let name = format!("HONGBAOD__{table}__{}", key.name.to_uppercase());
    let Some(inner) = key.value.strip_prefix('{') else {
        return vec![name];
    };
    let members = inner.trim_end_matches('}').split(',');
    let members = members.filter_map(|member| member.split_once('='));
    members
        .map(|(member, _)| format!("{name}__{}", member.trim().to_uppercase()))
        .collect()
}

/// Comment lines as a paragraph; pages are linked, and lines that are further in are code.
fn prose(lines: &[String]) -> String {
    let mut out = String::new();
    let mut is_code = false;
    for line in lines {
        let deep = line.starts_with("      ");
        if deep != is_code {
            out.push_str(if deep { "\n  ```text\n" } else { "  ```\n\n" });
            is_code = deep;
        }
        if deep {
            writeln!(out, "  {}", line.trim()).unwrap();
        } else {
            writeln!(out, "{}", linked(line)).unwrap();
        }
    }
    assert!(!is_code, "code at the end");
    out
}

fn linked(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("docs/") {
        let (before, from) = rest.split_at(at);
        let end = from.find(".md").expect("a page") + ".md".len();
        let (page, after) = from.split_at(end);
        let file = page.strip_prefix("docs/").unwrap();
        write!(out, "{before}[{page}]({file})").unwrap();
        rest = after;
    }
    out + rest
}

fn heading(table: &Table, group: &Group) -> String {
    let mut names = group.keys.iter().map(|key| format!("`{}`", key.name));
    let first = format!("`{}.{}`", table.name, group.keys[0].name);
    names.next();
    let names: Vec<String> = std::iter::once(first).chain(names).collect();
    names.join(", ")
}

fn default_of(group: &Group, key: &Key) -> String {
    let text = group.about.join(" ");
    let value = key.value.replace('|', "\\|");
    if text.contains("No default.") && !key.is_optional {
        let wanted = if group.keys.len() == 1 {
            "it"
        } else {
            "one of these"
        };
        format!("none: {wanted} has to be set, such as `{value}`")
    } else if key.is_optional {
        format!("absent; such as `{value}`")
    } else {
        format!("`{value}`")
    }
}

fn render_table(out: &mut String, table: &Table) {
    writeln!(out, "\n## `[{}]`\n", table.name).unwrap();
    if !table.about.is_empty() {
        writeln!(out, "{}", prose(&table.about)).unwrap();
    }
    if table.is_optional {
        writeln!(out, "The whole table may be left out.\n").unwrap();
    }
    out.push_str("| key | what it is | default | environment |\n|---|---|---|---|\n");
    for group in &table.groups {
        let anchor = anchor(&heading(table, group));
        for key in &group.keys {
            let names = variables(&table.name, key);
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            // A group of which nothing is said has no heading.
            let name = if group.about.is_empty() {
                format!("`{}`", key.name)
            } else {
                format!("[`{}`](#{anchor})", key.name)
            };
            let row = [
                name,
                sort(&key.value).to_owned(),
                default_of(group, key),
                names.join(" "),
            ];
            writeln!(out, "| {} |", row.join(" | ")).unwrap();
        }
    }
    for group in table.groups.iter().filter(|group| !group.about.is_empty()) {
        write!(
            out,
            "\n### {}\n\n{}",
            heading(table, group),
            prose(&group.about)
        )
        .unwrap();
    }
}

/// The whole page.
fn render(example: &str) -> String {
    let (head, tables) = parse(example);
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Written by tests/it/docs/configuration.rs from config.example.toml. Change that file, not this one. -->\n\n\
         Every key of `hongbaod.toml`, from [config.example.toml](../config.example.toml), which is a file to start \
         from. `hongbaod --config FILE` names the file; without it, it is the one that `HONGBAOD_CONFIG` names, or \
         `hongbaod.toml` in the working directory if there is one. `hongbaod check` tries it, and tells every mistake with its \
         line. In the name of a variable, `NAME` is the app's name in capitals.\n\n",
    );
    // The first line is the file's own title.
    out.push_str(&prose(&head[2..]));
    out.push_str("\n| table | what it is about |\n|---|---|\n");
    for table in &tables {
        let name = format!("`[{}]`", table.name);
        let about = table.about.join(" ");
        let sentence = about.split_inclusive(". ").next().unwrap_or_default();
        let about = linked(sentence.trim());
        writeln!(out, "| [{name}](#{}) | {about} |", anchor(&name)).unwrap();
    }
    for table in &tables {
        render_table(&mut out, table);
    }
    out
}

#[test]
fn the_reference_says_what_the_example_says() {
    let rendered = render(EXAMPLE);
    if rendered != PAGE {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
        fs::write(&path, &rendered).unwrap();
        panic!(
            "docs/configuration.md is not what config.example.toml makes; to take it over:\n  \
             cp {} docs/configuration.md",
            path.display()
        );
    }
}

#[test]
fn every_line_of_the_example_is_in_the_reference() {
    let (_, tables) = parse(EXAMPLE);
    let keys: usize = tables
        .iter()
        .flat_map(|table| &table.groups)
        .map(|group| group.keys.len())
        .sum();
    let lines = EXAMPLE.lines().map(|line| line.trim_start_matches("# "));
    let lines = lines.filter(|line| key_and_value(line).is_some()).count();
    assert!(keys > 80, "{keys}");
    assert_eq!(keys, lines);
}

#[test]
fn keys_have_their_names_in_the_environment() {
    let key = |name: &str, value: &str| Key {
        name: name.to_owned(),
        value: value.to_owned(),
        is_optional: false,
    };
    for (table, key, expected) in [
        ("ledger", key("lease", "\"20s\""), "HONGBAOD__LEDGER__LEASE"),
        (
            "alipay.apps.main",
            key("app_id", "\"2021\""),
            "HONGBAOD__ALIPAY__APPS__NAME__APP_ID",
        ),
        (
            "rabbitmq",
            key("shards", "{ disburse = 1, pay = 1 }"),
            "HONGBAOD__RABBITMQ__SHARDS__DISBURSE HONGBAOD__RABBITMQ__SHARDS__PAY",
        ),
    ] {
        assert_eq!(variables(table, &key).join(" "), expected);
    }
}
