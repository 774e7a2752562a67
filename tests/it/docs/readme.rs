//! The two READMEs do not drift apart: same structure, same commands, same links, same figures. What a
//! sentence says only a person can compare.

use std::fmt::Write as _;

const ENGLISH: &str = include_str!("../../../README.md");
const CHINESE: &str = include_str!("../../../README.zh-CN.md");

/// One thing that must be in both, at the same place.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Heading(usize),
    /// A fenced block, with its words after the fence.
    Block(String, String),
    /// How many cells, where it leads, and its figures.
    Row(usize, Vec<String>, Vec<String>),
    /// Anything else: what it links to and what of it is code.
    Text(Vec<String>, Vec<String>),
}

/// The parts of a page, each with its first line.
fn parts(page: &str) -> Vec<(Part, &str)> {
    let mut parts = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let part = if let Some(words) = line.strip_prefix("```") {
            let mut body = String::new();
            for line in lines.by_ref().take_while(|line| *line != "```") {
                writeln!(body, "{line}").unwrap();
            }
            if words == "mermaid" {
                body = without_labels(&body);
            }
            Part::Block(words.to_owned(), body)
        } else if line.starts_with('#') {
            Part::Heading(line.chars().take_while(|c| *c == '#').count())
        } else if line.starts_with('|') {
            Part::Row(line.matches('|').count(), links(line), figures(line))
        } else if line.is_empty() {
            continue;
        } else {
            let links = links(line);
            let code = code(line);
            if links.is_empty() && code.is_empty() {
                continue;
            }
            Part::Text(links, code)
        };
        parts.push((part, line));
    }
    parts
}

/// A diagram without what its nodes and arrows are labelled.
fn without_labels(diagram: &str) -> String {
    let mut out = String::new();
    for line in diagram.lines() {
        let mut label = 0_usize;
        let mut on_arrow = false;
        for c in line.chars() {
            match c {
                '|' => on_arrow = !on_arrow,
                '[' | '(' => label += 1,
                ']' | ')' => label = label.saturating_sub(1),
                _ if label == 0 && !on_arrow => out.push(c),
                _ => {}
            }
        }
        out.push('\n');
    }
    out
}

/// Where a line leads, sorted: languages order their sentences otherwise. The other README is left out.
fn links(line: &str) -> Vec<String> {
    let targets = line.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    let mut targets: Vec<String> = targets.map(|(target, _)| target.to_owned()).collect();
    targets.retain(|target| !target.starts_with("README"));
    targets.sort_unstable();
    targets
}

/// The parts of a line between backticks, sorted, each once.
fn code(line: &str) -> Vec<String> {
    let mut code: Vec<String> = line
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    code.sort_unstable();
    code.dedup();
    code
}

/// The numbers of a line, sorted, but for those inside code and links.
fn figures(line: &str) -> Vec<String> {
    let plain: String = line.split('`').step_by(2).collect();
    let is_figure = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let words = plain.split(|c| !is_figure(c));
    let words = words.map(|word| word.trim_matches([',', '.']));
    let mut figures: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    figures.sort_unstable();
    figures
}

#[test]
fn the_two_readmes_have_the_same_structure_commands_links_and_figures() {
    let (english, chinese) = (parts(ENGLISH), parts(CHINESE));
    // The Chinese page says in addition that the other pages are in English.
    for (one, other) in english.iter().zip(&chinese) {
        assert_eq!(
            one.0, other.0,
            "README.md:       {}\nREADME.zh-CN.md: {}",
            one.1, other.1
        );
    }
    assert_eq!(english.len(), chinese.len(), "one of them goes on");
    assert!(english.len() > 60, "{}", english.len());
}

#[test]
fn each_readme_leads_to_the_other() {
    let top = |page: &'static str| page.lines().take(4).collect::<String>();
    assert!(top(ENGLISH).contains("[简体中文](README.zh-CN.md)"));
    assert!(top(CHINESE).contains("[English](README.md)"));
}

#[test]
fn a_drift_is_seen() {
    for (from, to) in [
        ("\n## ", "\n### "),
        ("hongbaod check\n", "hongbaod chekc\n"),
        ("(docs/jobs.md)", "(docs/events.md)"),
        ("789,136", "789,137"),
        ("`noeviction`", "`allkeys-lru`"),
        ("Q -->|", "W -->|"),
    ] {
        let changed = CHINESE.replacen(from, to, 1);
        assert_ne!(changed, CHINESE, "{from}");
        let changed = parts(&changed).into_iter().map(|(part, _)| part);
        let known: Vec<Part> = parts(ENGLISH).into_iter().map(|(part, _)| part).collect();
        assert_ne!(changed.collect::<Vec<_>>(), known, "{from}");
    }
}
