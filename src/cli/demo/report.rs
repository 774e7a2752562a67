//! The demo's table for people.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::cli::demo::books::Verdict;
use crate::cli::demo::tally::{Tally, Told};
use crate::domain::money::Fen;

/// Writes the table, and one sentence that sums it up.
pub(super) fn render(tally: &Tally, verdict: &Verdict, burst_took: Duration) -> String {
    let result = |kind: &'static str, result: &'static str| {
        let told = tally.told.values();
        told.filter(|told| {
            told.text("kind") == kind
                && told.text("result") == result
                && told.text("reason").is_empty()
        })
        .count()
    };
    let paid = result("disburse", "succeeded");
    let refused = result("disburse", "failed");
    let jobs = tally.roles.originals
        + tally.roles.duplicates
        + tally.roles.conflicts
        + tally.roles.invalid
        + tally.roles.garbage;
    let faults: u64 = verdict.books.faults_injected.values().sum();
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let rows: Vec<(&str, String)> = vec![
        ("jobs submitted", jobs.to_string()),
        ("  paid", paid.to_string()),
        ("  refused by Alipay", refused.to_string()),
        ("  duplicates absorbed", tally.roles.duplicates.to_string()),
        ("  conflicts refused", tally.roles.conflicts.to_string()),
        (
            "  bad jobs refused",
            (tally.roles.invalid + tally.roles.garbage).to_string(),
        ),
        ("  refunds", result("refund", "succeeded").to_string()),
        (
            "  queries answered",
            (result("query", "found") + result("query", "not_found")).to_string(),
        ),
        ("faults survived", faults.to_string()),
        ("paid out, by the events", yuan(verdict.told_disbursed_fen)),
        (
            "paid out, by the bank's books",
            yuan(verdict.books.bank.disbursed_fen),
        ),
        ("refunded, by the events", yuan(verdict.told_refunded_fen)),
        (
            "refunded, by the bank's books",
            yuan(verdict.books.bank.refunded_fen),
        ),
        ("paid twice", verdict.paid_twice.to_string()),
        ("lost", verdict.lost.to_string()),
        ("falsely failed", verdict.falsely_failed.to_string()),
        ("falsely succeeded", verdict.falsely_succeeded.to_string()),
        ("unequal copies of an event", verdict.unequal.to_string()),
        ("left in the queues", verdict.left_over.to_string()),
        (
            "jobs/s in the burst, stragglers included",
            rate(paid + refused, burst_took),
        ),
        ("p50 from submission to event", quantile(tally, 50)),
        ("p99 from submission to event", quantile(tally, 99)),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("\n{table}\n");
    let kinds: Vec<String> = verdict
        .books
        .faults_injected
        .iter()
        .map(|(fault, count)| format!("{fault} {count}"))
        .collect();
    if !kinds.is_empty() {
        let _infallible = writeln!(text, "Faults: {}.", kinds.join(", "));
    }
    let sum = if verdict.is_kept() {
        "Every promise was kept: paid twice 0, lost 0, falsely failed 0, and the books agree to the fen."
    } else {
        "A PROMISE WAS BROKEN: see the rows above that should be 0, and the two pairs that should agree."
    };
    text.push_str(sum);
    text.push('\n');
    text
}

fn yuan(fen: u64) -> String {
    Fen::new(fen).map_or_else(|| "0.00".to_owned(), |amount| amount.to_string())
}

fn rate(jobs: usize, took: Duration) -> String {
    let jobs = u128::try_from(jobs).unwrap_or(u128::MAX);
    let per_second = jobs.saturating_mul(1000).checked_div(took.as_millis());
    per_second.unwrap_or(0).to_string()
}

/// The time within which `percent` of the disbursements were told, without those that were refused
/// as bad.
fn quantile(tally: &Tally, percent: usize) -> String {
    let disbursed = tally
        .told
        .values()
        .filter(|told| told.text("kind") == "disburse" && told.text("reason").is_empty());
    let mut took: Vec<Duration> = disbursed.map(|told: &Told| told.took).collect();
    took.sort_unstable();
    let place = took.len().saturating_mul(percent) / 100;
    took.get(place.min(took.len().saturating_sub(1)))
        .map_or_else(|| "-".to_owned(), |took| format!("{} ms", took.as_millis()))
}
