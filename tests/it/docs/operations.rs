//! The alerts, their tests, the dashboard and the runbook belong together: each alert has a section
//! and each section an alert, and what they name is there.

use std::collections::BTreeSet;

use hongbaod::app::metrics::Metrics;
use serde_json::Value;

use super::json;
use crate::tree::text_files;

const PAGE: &str = include_str!("../../../docs/operations.md");
const RULES: [&str; 2] = [
    include_str!("../../../deploy/prometheus/rules.yaml"),
    include_str!("../../../deploy/prometheus/rules_guard.yaml"),
];
const RULES_TESTS: [&str; 2] = [
    include_str!("../../../deploy/prometheus/rules_test.yaml"),
    include_str!("../../../deploy/prometheus/rules_guard_test.yaml"),
];
const DASHBOARD: &str = include_str!("../../../deploy/grafana/hongbaod.json");

/// What each section of an alert tells, in this order.
const PARTS: [&str; 5] = [
    "- **Meaning:** ",
    "- **Money at risk:** ",
    "- **Look:** ",
    "- **Safe:** ",
    "- **Not safe:** ",
];

/// The rules of each alert: its name, and all lines of it.
fn alerts() -> Vec<(&'static str, &'static str)> {
    let mut alerts = Vec::new();
    for rules in RULES {
        for rule in rules.split("- alert: ").skip(1) {
            alerts.push(rule.split_once('\n').unwrap());
        }
    }
    assert!(alerts.len() > 20);
    alerts
}

/// The sections between "Alerts" and "Routine": heading and text.
fn sections() -> Vec<(&'static str, &'static str)> {
    let (_, rest) = PAGE.split_once("\n## Alerts\n").unwrap();
    let (alerts, _) = rest.split_once("\n## Routine\n").unwrap();
    let sections = alerts.split("\n### ").skip(1);
    sections
        .map(|section| section.split_once('\n').unwrap())
        .collect()
}

/// Everything of the form `hongbaod_...` in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let found = text.match_indices("hongbaod_");
    let names = found.map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
    });
    names.collect()
}

/// The text between each `before` and the `after` that follows it.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    let rest = text.split(before).skip(1);
    rest.map(|rest| rest.split(after).next().unwrap()).collect()
}

fn panels() -> Vec<Value> {
    json(DASHBOARD)["panels"].as_array().unwrap().clone()
}

#[test]
fn each_alert_has_a_section_and_each_section_an_alert() {
    let alerts: Vec<&str> = alerts().iter().map(|(name, _)| *name).collect();
    let sections: Vec<&str> = sections().iter().map(|(heading, _)| *heading).collect();
    assert_eq!(alerts, sections, "in the same order, too");
}

#[test]
fn each_alert_says_how_urgent_it_is_what_is_at_stake_and_where_to_read_on() {
    for (name, rule) in alerts() {
        let anchor = format!("runbook: docs/operations.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&anchor), "{name}: {anchor}");
        let severity = between(rule, "severity: ", '\n');
        assert!(matches!(severity[..], ["critical" | "warning"]), "{name}");
        assert_eq!(between(rule, "summary: ", '\n').len(), 1, "{name}");
        let (_, description) = rule.split_once("description: >-\n").expect(name);
        let words = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let stakes = [
            "money",
            "delay",
            "at stake",
            "payments",
            "not go on",
            "nothing is wrong",
        ];
        let words = words.to_lowercase();
        assert!(
            stakes.iter().any(|stake| words.contains(stake)),
            "{name}: {words}"
        );
    }
}

#[test]
fn each_section_says_what_it_means_whether_money_is_at_risk_and_what_to_do() {
    for (heading, text) in sections() {
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("- ")).collect();
        assert_eq!(lines.len(), PARTS.len(), "{heading}");
        for (line, part) in lines.iter().zip(PARTS) {
            assert!(line.starts_with(part), "{heading}: {line}");
        }
        let needs_broker = text.contains("*Needs RabbitMQ's own metrics.*");
        let (_, rule) = alerts()
            .into_iter()
            .find(|(name, _)| *name == heading)
            .unwrap();
        assert_eq!(
            rule.contains("rabbitmq_(detailed_)?"),
            needs_broker,
            "{heading}"
        );
    }
}

#[test]
fn each_alert_is_tested_both_ways() {
    for (name, _) in alerts() {
        let named = |end: &str| {
            let test = format!("- name: {name} {end}");
            RULES_TESTS.iter().any(|tests| tests.contains(&test))
        };
        assert!(named("is raised\n"), "{name}");
        assert!(named("is not raised by "), "{name}");
    }
}

#[test]
fn rules_dashboard_and_runbook_name_only_metrics_that_are_there() {
    let metrics = Metrics::new(&[]);
    let described = metrics
        .descriptions()
        .iter()
        .map(|metric| metric.full_name());
    let known: BTreeSet<String> = described.collect();
    let is_known = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts.iter().find_map(|part| name.strip_suffix(part));
        known.contains(name) || family.is_some_and(|family| known.contains(family))
    };
    for text in RULES
        .into_iter()
        .chain(RULES_TESTS)
        .chain([DASHBOARD, PAGE])
    {
        let mut names = metrics_in(text);
        assert!(!names.is_empty());
        names.retain(|name| !is_known(name));
        assert_eq!(names, BTreeSet::new());
    }
}

#[test]
fn the_panels_and_log_lines_that_the_runbook_names_are_there() {
    let panels = panels();
    let titles: BTreeSet<&str> = panels.iter().filter_map(|p| p["title"].as_str()).collect();
    let named = [
        between(PAGE, "panel \"", '"'),
        between(PAGE, "panels \"", '"'),
    ]
    .concat();
    assert!(named.len() > 3);
    for name in named {
        assert!(titles.contains(name), "no panel {name}");
    }
    let sources = text_files("src");
    let lines = between(PAGE, "log line `", '`');
    assert!(lines.len() > 5);
    for line in lines {
        assert!(
            sources.iter().any(|file| file.text.contains(line)),
            "{line}"
        );
    }
}

#[test]
fn each_panel_says_what_it_is_for() {
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().is_some_and(|d| d.len() > 15),
            "{title}"
        );
        let runbook = panel["description"].as_str().unwrap();
        for alert in between(runbook, "Runbook: ", '.') {
            let known = sections().iter().any(|(heading, _)| *heading == alert);
            assert!(known, "{title}: {alert}");
        }
        let text = panel["targets"].to_string();
        let needs_broker = runbook.contains("Needs RabbitMQ's own metrics.");
        assert_eq!(
            text.contains("rabbitmq_(detailed_)?"),
            needs_broker,
            "{title}"
        );
    }
}

#[test]
fn the_dashboard_is_not_bound_to_one_prometheus() {
    let dashboard = json(DASHBOARD);
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    let variables: Vec<Value> = dashboard["templating"]["list"].as_array().unwrap().clone();
    let names: Vec<&str> = variables
        .iter()
        .filter_map(|v| v["name"].as_str())
        .collect();
    assert_eq!(names, ["datasource", "app", "kind", "instance"]);
    for panel in panels() {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}
