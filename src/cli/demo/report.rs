//! The demo's table for people.

use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::cli::demo::books::Verdict;
use crate::cli::demo::tally::{Tally, Told};
use crate::domain::money::Fen;

/// Writes the table, and one sentence that sums it up.
pub(super) fn render(tally: &Tally, verdict: &Verdict, burst_took: Duration) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let rows = [
        what_was_done(tally, verdict),
        what_must_agree(verdict),
        how_fast(tally, burst_took),
    ];
    for (name, value) in rows.into_iter().flatten() {
        table.add_row([name.to_owned(), value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let faults = verdict.books.faults_injected.iter();
    let faults: Vec<String> = faults
        .map(|(fault, count)| format!("{fault} {count}"))
        .collect();
    let faults = if faults.is_empty() {
        "none".to_owned()
    } else {
        faults.join(", ")
    };
    let sum = if verdict.is_kept() {
        "Every promise was kept: paid twice 0, lost 0, falsely failed 0, and the books agree to the fen."
    } else {
        "A PROMISE WAS BROKEN: see the rows that should be 0, and the two pairs that should agree."
    };
    format!("\n{table}\nFaults: {faults}.\n{sum}\n")
}

type Row = (&'static str, String);

fn what_was_done(tally: &Tally, verdict: &Verdict) -> Vec<Row> {
    let roles = &tally.roles;
    let bad = roles.invalid + roles.garbage;
    let jobs = roles.originals + roles.duplicates + roles.conflicts + bad;
    let answered = results(tally, "query", "found") + results(tally, "query", "not_found");
    let faults: u64 = verdict.books.faults_injected.values().sum();
    vec![
        ("jobs submitted", jobs.to_string()),
        (
            "  paid",
            results(tally, "disburse", "succeeded").to_string(),
        ),
        (
            "  refused by Alipay",
            results(tally, "disburse", "failed").to_string(),
        ),
        ("  duplicates absorbed", roles.duplicates.to_string()),
        ("  conflicts refused", roles.conflicts.to_string()),
        ("  bad jobs refused", bad.to_string()),
        (
            "  refunds",
            results(tally, "refund", "succeeded").to_string(),
        ),
        ("  queries answered", answered.to_string()),
        ("faults survived", faults.to_string()),
    ]
}

fn what_must_agree(verdict: &Verdict) -> Vec<Row> {
    let bank = &verdict.books.bank;
    vec![
        ("paid out, by the events", yuan(verdict.told_disbursed_fen)),
        ("paid out, by the bank's books", yuan(bank.disbursed_fen)),
        ("refunded, by the events", yuan(verdict.told_refunded_fen)),
        ("refunded, by the bank's books", yuan(bank.refunded_fen)),
        ("paid twice", verdict.paid_twice.to_string()),
        ("lost", verdict.lost.to_string()),
        ("falsely failed", verdict.falsely_failed.to_string()),
        ("falsely succeeded", verdict.falsely_succeeded.to_string()),
        ("unequal copies of an event", verdict.unequal.to_string()),
        ("left in the queues", verdict.left_over.to_string()),
    ]
}

fn how_fast(tally: &Tally, burst_took: Duration) -> Vec<Row> {
    let told = results(tally, "disburse", "succeeded") + results(tally, "disburse", "failed");
    vec![
        (
            "jobs/s in the burst, stragglers included",
            rate(told, burst_took),
        ),
        ("p50 from submission to event", quantile(tally, 50)),
        ("p99 from submission to event", quantile(tally, 99)),
    ]
}

/// How many jobs of `kind` ended so, those that were refused as bad or as conflicts left out.
fn results(tally: &Tally, kind: &str, result: &str) -> usize {
    let told = tally.told.values();
    told.filter(|told| {
        told.text("kind") == kind && told.text("result") == result && told.text("reason").is_empty()
    })
    .count()
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
