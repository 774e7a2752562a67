//! That the comparison of a storm can fail: an honest storm, and one broken promise at a time.

use serde_json::{Value, json};

use super::comparison::{Evidence, Findings, Forgetting, Remembered, compare, unanswered};
use super::jobs::{Ask, Wish};
use crate::daemon::broker::DeadLetter;
use crate::daemon::plan::Fate;

/// When everything was told, in milliseconds since 1970; the events' time is the same instant.
const TOLD_MS: i64 = 1_795_312_801_000;
const TOLD_AT: &str = "2026-11-22T10:00:01+08:00";
const LATER_AT: &str = "2026-11-22T10:00:09+08:00";

fn disburse(number: &str, amount: &str, fate: Fate) -> Ask {
    let amount = amount.to_owned();
    Ask {
        number: number.to_owned(),
        body: format!("{number} {amount}").into_bytes(),
        wish: Wish::Disburse { amount, fate },
    }
}

fn asks() -> Vec<Ask> {
    vec![
        disburse("R0", "1.00", Fate::Succeeded),
        disburse("R1", "2.00", Fate::Failed),
        disburse("R2", "3.00", Fate::Succeeded),
        disburse("R2", "4.00", Fate::Succeeded),
        Ask {
            number: "F3".to_owned(),
            body: b"F3".to_vec(),
            wish: Wish::Refund {
                amount: "5.00".to_owned(),
            },
        },
        Ask {
            number: "q4".to_owned(),
            body: b"q4".to_vec(),
            wish: Wish::Query {
                target: "R0".to_owned(),
            },
        },
        Ask {
            number: "B5".to_owned(),
            body: b"B5".to_vec(),
            wish: Wish::Bad {
                fault: "is wrong",
                event: Some("main/disburse/B5/invalid/".to_owned()),
            },
        },
    ]
}

fn operation(kind: &str, number: &str, amount: &str) -> Value {
    json!({"kind": kind, "out_request_no": number, "out_order_no": number, "auth_no": "A",
        "operation_id": "O", "amount": amount, "status": "SUCCESS"})
}

fn data(result: &str, number: &str, amount: &str) -> Value {
    json!({"result": result, "amount": amount, "out_order_no": number, "auth_no": "A",
        "operation_id": "O", "status": if result == "failed" { Value::Null } else { json!("SUCCESS") }})
}

fn event(id: &str, time: &str, data: &Value) -> Vec<u8> {
    json!({"id": id, "time": time, "data": data})
        .to_string()
        .into_bytes()
}

fn settled(result: &str, amount: &str) -> Remembered {
    Remembered::Settled {
        result: result.to_owned(),
        amount: amount.to_owned(),
    }
}

/// A storm in which all agrees, but for the event with the id `without`.
fn honest_without(without: &str) -> Evidence {
    let mut run = Evidence {
        operations: vec![
            operation("disburse", "R0", "1.00"),
            operation("disburse", "R2", "3.00"),
            operation("refund", "F3", "5.00"),
        ],
        ..Evidence::default()
    };
    for (id, data) in [
        ("main/disburse/R0", data("succeeded", "R0", "1.00")),
        ("main/disburse/R1", data("failed", "R1", "2.00")),
        ("main/disburse/R2", data("succeeded", "R2", "3.00")),
        (
            "main/disburse/R2/conflict/b",
            data("rejected", "R2", "4.00"),
        ),
        ("main/refund/F3", data("succeeded", "F3", "5.00")),
        ("main/query/R0:R0/q4/found", data("found", "R0", "1.00")),
        ("main/disburse/B5/invalid/d", data("rejected", "B5", "8.88")),
    ] {
        if id != without {
            run.told.hear(&event(id, TOLD_AT, &data));
        }
    }
    for (number, state) in [
        ("R0", settled("succeeded", "1.00")),
        ("R1", settled("failed", "2.00")),
        ("R2", settled("succeeded", "3.00")),
        ("F3", settled("succeeded", "5.00")),
    ] {
        run.ledger.insert(number.to_owned(), state);
    }
    run.dead_letters.push(DeadLetter {
        body: b"B5".to_vec(),
        reason: "invalid".to_owned(),
        detail: "it is wrong".to_owned(),
    });
    run
}

fn honest() -> Evidence {
    honest_without("")
}

#[test]
fn an_honest_storm_has_no_findings_and_copies_are_none() {
    let mut run = honest();
    assert_eq!(compare(&asks(), &run), Findings::default());
    assert_eq!(unanswered(&asks(), &run.told), [0; 0]);
    let copy = data("succeeded", "R0", "1.00");
    run.told.hear(&event("main/disburse/R0", LATER_AT, &copy));
    assert_eq!(compare(&asks(), &run), Findings::default());
}

#[test]
fn a_lost_event_is_found_whatever_it_told() {
    for (id, place) in [
        ("main/disburse/R0", 0),
        ("main/disburse/R1", 1),
        ("main/disburse/R2/conflict/b", 3),
        ("main/refund/F3", 4),
        ("main/query/R0:R0/q4/found", 5),
    ] {
        let run = honest_without(id);
        let findings = compare(&asks(), &run);
        assert_eq!(findings.lost.len(), 1, "{id}: {findings:?}");
        assert_eq!(unanswered(&asks(), &run.told), [place], "{id}");
    }
    let mut run = honest();
    run.dead_letters.clear();
    assert_eq!(compare(&asks(), &run).lost.len(), 1);
    let run = honest_without("main/disburse/B5/invalid/d");
    assert_eq!(compare(&asks(), &run).others.len(), 1);
}

#[test]
fn every_broken_promise_is_found_under_its_name() {
    type Change = fn(&mut Evidence);
    type List = fn(&Findings) -> &Vec<String>;
    let doubled: List = |findings| &findings.doubled;
    let falsely_failed: List = |findings| &findings.falsely_failed;
    let unequal: List = |findings| &findings.unequal_copies;
    let others: List = |findings| &findings.others;
    let table: [(&str, List, Change); 13] = [
        ("R0: money moved 2 times", doubled, |run| {
            run.operations.push(operation("disburse", "R0", "1.00"));
        }),
        ("F3: money moved 2 times", doubled, |run| {
            run.operations.push(operation("refund", "F3", "5.00"));
        }),
        ("R1: failed, but the bank did", falsely_failed, |run| {
            run.operations.push(operation("disburse", "R1", "2.00"));
        }),
        ("main/disburse/R0: ", unequal, |run| {
            let mut other = data("succeeded", "R0", "1.00");
            other["operation_id"] = json!("P");
            run.told.hear(&event("main/disburse/R0", LATER_AT, &other));
        }),
        ("main/disburse/R1: ", unequal, |run| {
            let other = data("rejected", "R1", "2.00");
            run.told.hear(&event("main/disburse/R1", LATER_AT, &other));
        }),
        ("R0: succeeded, but the bank moved nothing", others, |run| {
            drop(run.operations.remove(0));
        }),
        ("R0: amount \"7.00\" at the bank", others, |run| {
            run.operations[0]["amount"] = json!("7.00");
        }),
        ("R0: told, but not settled in the ledger", others, |run| {
            run.ledger.insert("R0".to_owned(), Remembered::Unsettled);
        }),
        ("R0: told, but not in the ledger", others, |run| {
            run.ledger.insert("R0".to_owned(), Remembered::Nothing);
        }),
        ("R0: failed 1.00 in the ledger", others, |run| {
            run.ledger
                .insert("R0".to_owned(), settled("failed", "1.00"));
        }),
        ("contradicted: nobody asked for", others, |run| {
            let other = data("contradicted", "R0", "1.00");
            let id = "main/disburse/R0/contradicted";
            run.told.hear(&event(id, LATER_AT, &other));
        }),
        ("nobody asked for {", others, |run| {
            run.operations.push(operation("disburse", "X", "1.00"));
        }),
        ("left in q", others, |run| {
            run.left.push(("q".to_owned(), "{}".to_owned()));
        }),
    ];
    for (words, list, change) in table {
        let mut run = honest();
        change(&mut run);
        let findings = compare(&asks(), &run);
        let found = list(&findings);
        assert!(
            found.iter().any(|line| line.contains(words)),
            "{words}: {findings:?}"
        );
        assert!(!findings.all().is_empty());
    }
}

#[test]
fn a_flush_excuses_another_word_after_a_negative_one_and_nothing_else() {
    let flush = |from_ms| Forgetting::Flushed {
        from_ms,
        to_ms: from_ms + 1,
    };
    let later = |result: &str| {
        let mut run = honest();
        let other = data(result, "R1", "2.50");
        run.told.hear(&event("main/disburse/R1", LATER_AT, &other));
        run
    };
    let mut run = later("failed");
    run.forgettings.push(flush(TOLD_MS + 1_000));
    let findings = compare(&asks(), &run);
    assert_eq!(findings.forgotten_negatives, 1);
    assert!(findings.unequal_copies.is_empty(), "{findings:?}");
    // Before the first word, or after the second, it excuses nothing.
    for from_ms in [TOLD_MS - 1_000, TOLD_MS + 60_000] {
        run.forgettings = vec![flush(from_ms)];
        assert_eq!(compare(&asks(), &run).unequal_copies.len(), 1, "{from_ms}");
    }
    // A killed Redis forgets two seconds, and a success is never forgotten.
    run.forgettings = vec![Forgetting::Killed {
        from_ms: TOLD_MS + 3_000,
        to_ms: TOLD_MS + 3_001,
    }];
    assert_eq!(compare(&asks(), &run).unequal_copies.len(), 1);
    let mut run = honest();
    let other = data("failed", "R0", "1.00");
    run.told.hear(&event("main/disburse/R0", LATER_AT, &other));
    run.forgettings.push(flush(TOLD_MS + 1_000));
    assert_eq!(compare(&asks(), &run).unequal_copies.len(), 1);
    assert_eq!(compare(&asks(), &run).falsely_failed.len(), 1);
}
