//! A search through every interleaving of two workers, message copies, the ledger, Alipay and
//! their faults, driven by the real `lifecycle::step`: the promises hold in every state reached.
//!
//! A state is small and discrete; `translation` makes the real types of it. Time is abstract: a
//! parked copy may come back at once, a lease may end at once, an effect may land late.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test tells how far it searched, and fails by panicking"
)]
#![expect(
    clippy::fn_params_excessive_bools,
    clippy::struct_excessive_bools,
    clippy::too_many_arguments,
    clippy::wildcard_enum_match_arm,
    reason = "a searched state is flat, and a transition that cannot come about ends the test"
)]

pub(crate) mod bank;
pub(crate) mod driver;
pub(crate) mod outside;
pub(crate) mod search;
pub(crate) mod translation;
pub(crate) mod worker;
pub(crate) mod world;

use crate::lifecycle_search::bank::{Difference, Idempotency, Manners};
use crate::lifecycle_search::driver::{Mistake, Scenario};
use crate::lifecycle_search::search::{Until, search};
use crate::lifecycle_search::translation::Translation;
use crate::lifecycle_search::world::Budget;

/// How many states of one scenario are looked at.
const STATES_MAX: usize = 20_000;

/// One row: what may happen, and the promises that no rule can keep then.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    budget: Budget,
    manners: Manners,
    window: bool,
    rolling: bool,
    hasty_rescue: bool,
    known_breaks: &'static [&'static str],
}

const MANNERS: Manners = Manners {
    idempotency: Idempotency::Replay,
    difference: Difference::Amount,
    refuses_after_effect: false,
};

const NONE: Budget = Budget {
    faults: 0,
    duplicates: 0,
    conflicts: 0,
    flushes: 0,
    oblivions: 0,
    failovers: 0,
    rescues: 0,
    notifications: 0,
    expiries: 0,
    closures: 0,
    purges: 0,
    caps: 0,
};

const ONE: Budget = Budget { faults: 1, ..NONE };
const TWO: Budget = Budget { faults: 2, ..NONE };
const FLUSH: Budget = Budget { flushes: 1, ..ONE };
const FLUSH_2: Budget = Budget { flushes: 1, ..TWO };
/// A producer submits a paid job again after everything here has forgotten it.
const OBLIVION: Budget = Budget {
    oblivions: 1,
    duplicates: 1,
    expiries: 1,
    ..ONE
};
const FAILOVER: Budget = Budget {
    failovers: 1,
    ..ONE
};
const CONFLICT: Budget = Budget {
    conflicts: 1,
    ..ONE
};

const fn row(name: &'static str, budget: Budget) -> Row {
    Row {
        name,
        budget,
        manners: MANNERS,
        window: true,
        rolling: false,
        hasty_rescue: true,
        known_breaks: &[],
    }
}

const fn bank(row: Row, idempotency: Idempotency) -> Row {
    let manners = Manners {
        idempotency,
        ..row.manners
    };
    Row { manners, ..row }
}

const fn differ(row: Row, difference: Difference) -> Row {
    let manners = Manners {
        difference,
        ..row.manners
    };
    Row { manners, ..row }
}

const fn refusing(row: Row) -> Row {
    let manners = Manners {
        refuses_after_effect: true,
        ..row.manners
    };
    Row { manners, ..row }
}

const fn slow(row: Row) -> Row {
    Row {
        window: false,
        ..row
    }
}

const fn known(row: Row, known_breaks: &'static [&'static str]) -> Row {
    Row {
        known_breaks,
        ..row
    }
}

/// Every copy is purged, until the rescue task gives up.
const OPERATORS: Row = Row {
    hasty_rescue: false,
    ..row(
        "given-to-operators",
        Budget {
            rescues: 4,
            purges: 4,
            ..ONE
        },
    )
};

/// Faults of workers, broker and lease.
#[rustfmt::skip]
const WORKERS: &[Row] = &[
    row("plain", TWO),
    row("plain-3", Budget { faults: 3, ..NONE }),
    row("duplicate", Budget { duplicates: 1, ..ONE }),
    row("duplicate-2", Budget { duplicates: 1, ..TWO }),
    row("rescue", Budget { rescues: 2, ..ONE }),
    row("rescue-2", Budget { rescues: 1, ..TWO }),
    OPERATORS,
    row("notification", Budget { notifications: 1, ..TWO }),
    row("expiry", Budget { expiries: 1, ..TWO }),
    row("closed-lane", Budget { closures: 2, ..TWO }),
    row("closed-lane-expiry", Budget { closures: 2, expiries: 1, duplicates: 1, ..ONE }),
    row("over-budget", Budget { caps: 2, ..TWO }),
    row("over-budget-duplicate", Budget { caps: 1, duplicates: 1, ..ONE }),
    row("over-budget-expiry", Budget { caps: 1, expiries: 1, ..TWO }),
    refusing(row("refused-after-effect", Budget { faults: 3, ..NONE })),
    bank(row("unique-violation", TWO), Idempotency::Used),
    slow(bank(row("unique-violation-slow", TWO), Idempotency::Used)),
    bank(row("byte-equal", TWO), Idempotency::Bytes),
    Row { rolling: true, ..bank(row("byte-equal-upgrade", TWO), Idempotency::Bytes) },
    bank(row("not-idempotent", TWO), Idempotency::Nothing),
    known(slow(bank(row("not-idempotent-slow", TWO), Idempotency::Nothing)), &["P1"]),
];

/// Faults of the ledger, and jobs that share a number.
#[rustfmt::skip]
const MEMORY: &[Row] = &[
    row("flush", FLUSH),
    row("flush-2", FLUSH_2),
    row("flush-duplicate", Budget { duplicates: 1, ..FLUSH }),
    row("flush-rescue", Budget { rescues: 1, ..FLUSH }),
    row("flush-expiry", Budget { expiries: 1, ..FLUSH }),
    row("flush-expiry-2", Budget { expiries: 1, ..FLUSH_2 }),
    row("flush-closed-lane", Budget { closures: 1, ..FLUSH }),
    row("oblivion-expiry", OBLIVION),
    row("oblivion-expiry-2", Budget { faults: 2, ..OBLIVION }),
    row("oblivion-expiry-rescue", Budget { rescues: 1, ..OBLIVION }),
    row("oblivion-expiry-flush", Budget { flushes: 1, ..OBLIVION }),
    row("oblivion-expiry-closed-lane", Budget { closures: 1, ..OBLIVION }),
    bank(row("oblivion-expiry-unique-violation", OBLIVION), Idempotency::Used),
    row("flush-over-budget", Budget { caps: 1, ..FLUSH_2 }),
    row("oblivion-over-budget", Budget { caps: 1, ..OBLIVION }),
    row("failover-over-budget", Budget { caps: 1, ..FAILOVER }),
    refusing(row("flush-refused-after-effect", FLUSH_2)),
    row("failover", FAILOVER),
    row("failover-duplicate", Budget { duplicates: 1, ..FAILOVER }),
    row("failover-rescue", Budget { rescues: 1, ..FAILOVER }),
    row("conflict", CONFLICT),
    row("conflict-flush-amount", Budget { flushes: 1, ..CONFLICT }),
    differ(row("conflict-flush-payee", Budget { flushes: 1, ..CONFLICT }), Difference::Payee),
    known(
        differ(row("conflict-flush-order", Budget { flushes: 1, ..CONFLICT }), Difference::Order),
        &["P1", "P3", "P4"],
    ),
    known(bank(row("not-idempotent-flush", FLUSH), Idempotency::Nothing), &["P1"]),
    known(
        bank(row("not-idempotent-failover", Budget { duplicates: 1, ..FAILOVER }), Idempotency::Nothing),
        &["P1"],
    ),
];

fn scenario<'a>(row: &Row, translation: &'a Translation) -> Scenario<'a> {
    Scenario {
        translation,
        manners: row.manners,
        budget: row.budget,
        window: row.window,
        rolling: row.rolling,
        hasty_rescue: row.hasty_rescue,
        mistake: None,
        states_max: STATES_MAX,
    }
}

fn keeps_its_promises(rows: &[Row]) {
    let mut failed = String::new();
    let mut total = 0;
    for row in rows {
        let translation = Translation::new(row.manners.difference);
        let report = search(&scenario(row, &translation), Until::Limit);
        total += report.states;
        println!(
            "{:<28} {:>7} states{}",
            row.name,
            report.states,
            if report.complete { ", all" } else { "" }
        );
        for (promise, trace) in report.breaks {
            if !row
                .known_breaks
                .iter()
                .any(|known| promise.starts_with(known))
            {
                failed.push_str(&format!("{}: {promise}\n{trace}", row.name));
            }
        }
    }
    println!("{total} states in all");
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn the_promises_hold_whatever_workers_broker_and_alipay_do() {
    keeps_its_promises(WORKERS);
}

#[test]
fn the_promises_hold_whatever_the_ledger_forgets() {
    keeps_its_promises(MEMORY);
}

/// Each planted mistake, the scenario that shows it, and the promise that it breaks.
#[rustfmt::skip]
const MISTAKES: &[(Mistake, Row, &str)] = &[
    (Mistake::ForgetsThatItSent, bank(row("not-idempotent", TWO), Idempotency::Nothing), "P1"),
    (Mistake::BelievesOneNotFound, bank(row("not-idempotent", TWO), Idempotency::Nothing), "P1"),
    (Mistake::SendsAtTakeover, bank(row("not-idempotent", TWO), Idempotency::Nothing), "P1"),
    (Mistake::SendsWithoutALease, bank(row("not-idempotent", TWO), Idempotency::Nothing), "P1"),
    (Mistake::ResendsOtherBytes, slow(Row { rolling: true, ..bank(row("byte-equal-upgrade-slow", ONE), Idempotency::Bytes) }), "P1"),
    (Mistake::DropsTheNewestCopy, row("plain", ONE), "P2"),
    (Mistake::DefersBeforeItPublishes, row("plain", TWO), "P2"),
    (Mistake::AcksBeforeItAnnounces, row("plain", ONE), "P2"),
    (Mistake::DropsWhatOperatorsReplay, OPERATORS, "P2"),
    (Mistake::TakesATimeoutForARefusal, row("plain", ONE), "P3"),
    (Mistake::BelievesARefusalAfterASend, slow(row("refused-slow", ONE)), "P3"),
    (Mistake::IgnoresDoubt, refusing(row("flush", FLUSH_2)), "P3"),
    (Mistake::SettlesLateNegatives, row("plain", TWO), "P3"),
    (Mistake::RejectsWhateverIsExpired, row("expiry", Budget { expiries: 1, ..ONE }), "P3"),
    (Mistake::RejectsTheForgotten, row("oblivion-expiry", OBLIVION), "P3"),
    (Mistake::RejectsWhateverIsOverBudget, slow(row("over-budget-slow", Budget { caps: 1, ..TWO })), "P3"),
    (Mistake::RejectsOverBudgetUnasked, row("oblivion-over-budget", Budget { caps: 1, ..OBLIVION }), "P3"),
    (Mistake::SharesTheConflictId, row("conflict", CONFLICT), "P4"),
    (Mistake::ComparesNothing, differ(row("conflict-flush-payee", Budget { flushes: 1, ..CONFLICT }), Difference::Payee), "P5"),
];

#[test]
fn every_planted_mistake_is_found() {
    for (mistake, row, promise) in MISTAKES {
        let translation = Translation::new(row.manners.difference);
        let wrong = Scenario {
            mistake: Some(*mistake),
            states_max: 5 * STATES_MAX,
            ..scenario(row, &translation)
        };
        let report = search(&wrong, Until::FirstBreak);
        let found: Vec<_> = report.breaks.iter().map(|(promise, _)| *promise).collect();
        println!("{mistake:?}: {} states, {found:?}", report.states);
        assert!(
            found.iter().any(|found| found.starts_with(promise)),
            "{mistake:?} breaks {promise}, but the search found {found:?}"
        );
    }
}
