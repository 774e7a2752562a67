//! The page for people as it is sent: the document, with how things stand at that moment.
//!
//! The script takes over from there; without scripts the page still says whether all is well.

use std::fmt::Write;

use crate::app::admin_server::Condition;
use crate::app::job_body::rfc3339;
use crate::app::metrics::KindSummary;
use crate::app::situation::{Level, Line};
use crate::domain::time::UnixMillis;

const DOCUMENT: &str = include_str!("assets/page.html");

/// Where the document has a place for the headline, the tables, and whether a token is needed.
const HEADLINE: &str = "<!-- headline -->";
const TABLES: &str = "<!-- tables -->";
const TOKEN: &str = "data-token=\"none\"";

/// Writes the page with how things stand.
pub(super) fn with_state(
    headline: &[Line],
    conditions: &[Condition],
    kinds: &[KindSummary],
) -> String {
    let mut lines = String::new();
    for line in headline {
        push_line(&mut lines, line);
    }
    let mut tables = String::new();
    push_conditions(&mut tables, conditions);
    push_kinds(&mut tables, kinds);
    DOCUMENT
        .replacen(HEADLINE, &lines, 1)
        .replacen(TABLES, &tables, 1)
}

/// Writes the page for whoever has to show a token first.
pub(super) fn without_state() -> String {
    let tables = "<p>This page needs scripts to show the token of <code>admin.token</code>.</p>";
    DOCUMENT
        .replacen(HEADLINE, "", 1)
        .replacen(TABLES, tables, 1)
        .replacen(TOKEN, "data-token=\"needed\"", 1)
}

fn push_line(page: &mut String, line: &Line) {
    let class = match line.level {
        Level::Well => "well",
        Level::Notice => "notice",
        Level::Trouble => "trouble",
    };
    let since = line.since.map_or_else(String::new, |since| {
        format!(
            " <span class=\"since\">since {}</span>",
            rfc3339(UnixMillis(since))
        )
    });
    push(
        page,
        format_args!(
            "<li class=\"{class}\"><p class=\"said\">{}{since}</p><p class=\"advice\">{}</p></li>",
            Escaped(&line.text),
            Escaped(&line.advice)
        ),
    );
}

fn push_conditions(page: &mut String, conditions: &[Condition]) {
    page.push_str(
        "<h2>Conditions at load</h2>\n<div class=\"scroll\"><table>\n\
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
    use super::{DOCUMENT, with_state, without_state};
    use crate::app::admin_server::{Condition, ConditionState, SCRIPT, STYLE};
    use crate::app::metrics::KindSummary;
    use crate::app::situation::{Level, Line};
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
        let line = Line {
            level: Level::Trouble,
            text: "<script>1".to_owned(),
            since: Some(1_795_312_801_234),
            advice: "<script>2".to_owned(),
        };
        let condition = condition(ConditionState::Met, "<script>'&\"");
        let page = with_state(&[line], &[condition], &[]);
        assert!(page.contains("&lt;script&gt;&#39;&amp;&quot;"));
        assert!(page.contains("since 2026-11-22T"));
        assert_eq!(page.matches("<script").count(), 1, "our own");
    }

    #[test]
    fn it_shows_the_conditions_and_each_kinds_numbers_without_scripts() {
        let summary = KindSummary {
            kind: Kind::Query,
            received: 31,
            in_flight: 7,
            results: vec![("found", 20), ("not_found", 4)],
        };
        let unmet = condition(ConditionState::Unmet, "connection refused");
        let page = with_state(&[], &[unmet], &[summary]);
        for part in [
            "not met",
            "connection refused",
            "<td>query</td>",
            ">31<",
            ">7<",
            "20 found, 4 not found",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn behind_a_token_it_says_nothing() {
        let page = without_state();
        assert!(page.contains("data-token=\"needed\""));
        assert!(!page.contains("Conditions at load"));
    }

    #[test]
    fn it_needs_nothing_from_elsewhere_and_has_nothing_inline() {
        assert_eq!(with_state(&[], &[], &[]).matches("<!-- ").count(), 0);
        let parts = [DOCUMENT, STYLE, SCRIPT];
        for text in parts {
            for part in ["https://", "@import", "url(", "innerHTML", "eval("] {
                assert!(!text.contains(part), "{part}");
            }
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://"));
        }
        for part in ["<style", "style=", "onclick", "onload", "javascript:"] {
            assert!(!DOCUMENT.contains(part), "{part}");
        }
    }
}
