//! `docs/jobs.md`, `docs/lanes.md`, `docs/events.md` and `docs/alipay.md` say what the code does: examples, fields,
//! errors, events, codes; `docs/operations.md` has every alert, `docs/troubleshooting.md` every error of a start.

mod alipay;
mod configuration;
mod events;
mod jobs;
mod lanes;
mod links;
mod operations;
mod readme;
mod troubleshooting;
mod walkthrough;

use serde_json::Value;

/// The ```` ```json ```` blocks of a page, in their order.
pub(crate) fn json_blocks(page: &str) -> Vec<&str> {
    page.split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The cells of each row of the tables whose first row begins with `first`.
pub(crate) fn rows<'a>(page: &'a str, first: &str) -> Vec<Vec<&'a str>> {
    let head = format!("| {first} |");
    let mut rows = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with(&head) {
            continue;
        }
        // The line of dashes below the head.
        lines.next();
        while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
            let row = row.strip_prefix("| ").unwrap();
            let row = row.strip_suffix(" |").unwrap();
            rows.push(row.split(" | ").map(str::trim).collect());
        }
    }
    assert!(!rows.is_empty(), "no table begins with {first}");
    rows
}

/// A cell that is code, without its marks.
pub(crate) fn code(cell: &str) -> &str {
    let inner = cell
        .strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'));
    inner.unwrap_or_else(|| panic!("no code: {cell}"))
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
