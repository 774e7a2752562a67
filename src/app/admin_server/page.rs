//! The page for people: one HTML document with its stylesheet, no scripts, nothing from
//! elsewhere.

use std::fmt::Write;

use crate::app::admin_server::{Condition, PAGE_REFRESH_SECONDS, is_ready};
use crate::app::metrics::KindSummary;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #d0d4da; --soft: #6a7280; --good: #1a7f42; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4049; --soft: #9aa3af; --good: #4cc37d; --bad: #ff7a6b; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.state { margin: .25rem 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.soft { color: var(--soft); }
nav a { margin-right: 1rem; }
";

/// Writes the page.
pub(super) fn render(conditions: &[Condition], kinds: &[KindSummary]) -> String {
    let mut page = String::with_capacity(8_192);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    push(
        &mut page,
        format_args!(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"refresh\" content=\"{PAGE_REFRESH_SECONDS}\">\n\
             <title>hongbaod</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        ),
    );
    push_head(&mut page, conditions);
    push_conditions(&mut page, conditions);
    push_kinds(&mut page, kinds);
    page.push_str(
        "<h2>For programs</h2>\n<nav><a href=\"/healthz\">/healthz</a>\
         <a href=\"/readyz\">/readyz</a><a href=\"/metrics\">/metrics</a></nav>\n\
         </main>\n</body>\n</html>\n",
    );
    page
}

fn push_head(page: &mut String, conditions: &[Condition]) {
    let unmet = conditions.iter().filter(|condition| !condition.is_met());
    let state = if is_ready(conditions) {
        "<span class=\"good\">Ready</span>: jobs are taken.".to_owned()
    } else {
        format!(
            "<span class=\"bad\">Not ready</span>: {} of {} conditions not met.",
            unmet.count(),
            conditions.len()
        )
    };
    push(
        page,
        format_args!(
            "<h1>hongbaod <span class=\"soft\">{}</span></h1>\n<p class=\"state\">{state} \
             <span class=\"soft\">This page reloads every {PAGE_REFRESH_SECONDS} s.</span></p>\n",
            env!("CARGO_PKG_VERSION")
        ),
    );
}

fn push_conditions(page: &mut String, conditions: &[Condition]) {
    page.push_str(
        "<h2>Conditions</h2>\n<div class=\"scroll\"><table>\n\
         <thead><tr><th>Condition</th><th>State</th><th>Detail</th></tr></thead>\n<tbody>\n",
    );
    for condition in conditions {
        let (class, word) = if condition.is_met() {
            ("good", "met")
        } else {
            ("bad", "not met")
        };
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td></tr>\n",
                Escaped(&condition.name),
                Escaped(&condition.detail)
            ),
        );
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn push_kinds(page: &mut String, kinds: &[KindSummary]) {
    page.push_str(
        "<h2>Jobs since the start of this process</h2>\n<div class=\"scroll\"><table>\n\
         <thead><tr><th>Kind</th><th class=\"number\">Received</th>\
         <th class=\"number\">In flight</th><th>Settled</th></tr></thead>\n<tbody>\n",
    );
    for summary in kinds {
        let results: Vec<_> = summary
            .results
            .iter()
            .map(|(result, count)| format!("{count} {}", result.replace('_', " ")))
            .collect();
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td>{}</td></tr>\n",
                summary.kind,
                summary.received,
                summary.in_flight,
                results.join(", ")
            ),
        );
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    page.write_fmt(text).unwrap_or_default();
}

/// Text that means nothing to a browser but itself.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::app::admin_server::{Condition, ConditionState};
    use crate::app::metrics::KindSummary;
    use crate::domain::job::Kind;

    fn condition(state: ConditionState, detail: &str) -> Condition {
        Condition {
            name: "rabbitmq".to_owned(),
            state,
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_detail_cannot_become_markup() {
        let page = render(&[condition(ConditionState::Met, "<script>'&\"")], &[]);
        assert!(page.contains("&lt;script&gt;&#39;&amp;&quot;"));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn it_says_how_many_conditions_are_not_met() {
        let met = condition(ConditionState::Met, "connected");
        let unmet = condition(ConditionState::Unmet, "connection refused");
        assert!(render(std::slice::from_ref(&met), &[]).contains(">Ready<"));
        let page = render(&[met, unmet], &[]);
        assert!(page.contains("Not ready</span>: 1 of 2 conditions not met."));
    }

    #[test]
    fn it_shows_each_kinds_numbers() {
        let summary = KindSummary {
            kind: Kind::Query,
            received: 31,
            in_flight: 7,
            results: vec![("found", 20), ("not_found", 4)],
        };
        let page = render(&[], &[summary]);
        for part in ["<td>query</td>", ">31<", ">7<", "20 found, 4 not found"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let page = render(&[], &[]);
        for part in ["http://", "https://", "//", "src=", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
    }
}
