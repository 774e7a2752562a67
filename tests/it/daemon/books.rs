//! The comparison, job by job: what the bank did, what the events say, what was buried, and what
//! was left behind.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::broker::DeadLetter;
use super::plan::{BadJob, Fate, Plan, PlannedJob};

/// What a run left to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// `GET /_sandbox/operations`.
    pub(crate) operations: Vec<Value>,
    /// Every event, copies included.
    pub(crate) events: Vec<Value>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Messages that were still in a queue of jobs or of copies that wait: queue and body.
    pub(crate) left: Vec<(String, String)>,
}

/// Returns every disagreement; none is what the promises are.
pub(crate) fn disagreements(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let events = by_id(&evidence.events, &mut found);
    let mut expected = BTreeSet::new();
    for (number, job) in &plan.jobs {
        let moved: Vec<&Value> = evidence
            .operations
            .iter()
            .filter(|operation| operation["out_request_no"] == number.as_str())
            .filter(|operation| operation["status"] == "SUCCESS")
            .collect();
        compare(number, job, &moved, &events, &mut found);
        let prefix = format!("main/disburse/{number}");
        let own = |id: &&&str| **id == prefix || id.starts_with(&format!("{prefix}/conflict/"));
        expected.extend(events.keys().filter(own).copied());
    }
    for bad in &plan.bad {
        bury(bad, evidence, &mut found);
        if let Some(prefix) = &bad.event {
            let ids: Vec<&str> = starting_with(&events, prefix);
            if ids.len() != 1 {
                found.push(format!("{prefix}: {} events of a bad job", ids.len()));
            }
            expected.extend(ids);
        }
    }
    for id in events.keys().filter(|id| !expected.contains(*id)) {
        found.push(format!("{id}: nobody asked for this event"));
    }
    for letter in &evidence.dead_letters {
        if !plan.bad.iter().any(|bad| bad.body == letter.body) {
            found.push(format!("a good job was buried: {letter:?}"));
        }
    }
    for operation in &evidence.operations {
        let number = operation["out_request_no"].as_str().unwrap_or_default();
        let of_packet = operation["kind"] != "disburse";
        if !of_packet && !plan.jobs.contains_key(number) {
            found.push(format!("{number}: nobody asked for {operation}"));
        }
    }
    for (queue, body) in &evidence.left {
        found.push(format!("left in {queue}: {body}"));
    }
    found
}

/// The data of each event id; copies must be equal.
fn by_id<'a>(events: &'a [Value], found: &mut Vec<String>) -> BTreeMap<&'a str, &'a Value> {
    let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().unwrap_or("an event without id");
        let data = &event["data"];
        if let Some(first) = by_id.insert(id, data)
            && first != data
        {
            found.push(format!("{id}: copies differ: {first} and {data}"));
        }
    }
    by_id
}

fn starting_with<'a>(events: &BTreeMap<&'a str, &Value>, prefix: &str) -> Vec<&'a str> {
    let ids = events.keys().filter(|id| id.starts_with(prefix));
    ids.copied().collect()
}

/// One number: at most one movement, one outcome, and both say the same.
fn compare(
    number: &str,
    job: &PlannedJob,
    moved: &[&Value],
    events: &BTreeMap<&str, &Value>,
    found: &mut Vec<String>,
) {
    let id = format!("main/disburse/{number}");
    if moved.len() > 1 {
        found.push(format!("{number}: paid {} times", moved.len()));
    }
    let Some(data) = events.get(id.as_str()) else {
        found.push(format!("{number}: no outcome; moved: {moved:?}"));
        return;
    };
    let fate = match job.fate {
        Fate::Succeeded => "succeeded",
        Fate::Failed => "failed",
    };
    if data["result"] != fate {
        found.push(format!("{number}: {} instead of {fate}", data["result"]));
    }
    if (data["result"] == "succeeded") == moved.is_empty() {
        found.push(format!("{number}: {}, moved: {moved:?}", data["result"]));
    }
    for operation in moved {
        for field in ["amount", "out_order_no", "auth_no", "operation_id"] {
            if operation[field] != data[field] {
                let (bank, event) = (&operation[field], &data[field]);
                found.push(format!(
                    "{number}: {field} {bank} at the bank, told {event}"
                ));
            }
        }
    }
    // Of several amounts under one number one wins; each other one is told to be in conflict.
    let mut told: Vec<&str> = starting_with(events, &format!("{id}/conflict/"))
        .iter()
        .filter_map(|id| events[id]["amount"].as_str())
        .collect();
    told.extend(data["amount"].as_str());
    told.sort_unstable();
    let mut asked: Vec<&str> = job.amounts.iter().map(String::as_str).collect();
    asked.sort_unstable();
    if told != asked {
        found.push(format!("{number}: amounts asked {asked:?}, told {told:?}"));
    }
}

/// A bad job is in the dead letters, with its reason.
fn bury(bad: &BadJob, evidence: &Evidence, found: &mut Vec<String>) {
    let letters = evidence
        .dead_letters
        .iter()
        .filter(|letter| letter.body == bad.body);
    let mut count = 0;
    for letter in letters {
        count += 1;
        if letter.reason != "invalid" || !letter.detail.contains(bad.fault) {
            let (reason, detail) = (&letter.reason, &letter.detail);
            found.push(format!("{}: buried as {reason}: {detail}", bad.fault));
        }
    }
    if count == 0 {
        found.push(format!("{}: not in the dead letters", bad.fault));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Evidence, disagreements};
    use crate::daemon::broker::DeadLetter;
    use crate::daemon::plan::{Dice, Plan, Shape};

    fn operation(number: &str, amount: &str) -> Value {
        json!({"kind": "disburse", "out_request_no": number, "out_order_no": number,
            "auth_no": "A", "operation_id": "O", "amount": amount, "status": "SUCCESS"})
    }

    fn event(id: &str, result: &str, amount: &str) -> Value {
        let number = id.split('/').nth(2);
        json!({"id": id, "data": {"result": result, "amount": amount, "out_order_no": number,
            "auth_no": "A", "operation_id": "O"}})
    }

    /// A plan of eight jobs, one refused and one in conflict, and a run in which all agrees.
    fn honest() -> (Plan, Evidence) {
        let shape = Shape {
            jobs: 8,
            duplicates: 1,
            conflicts: 1,
        };
        let plan = Plan::draw(shape, &mut Dice::new(1));
        let mut evidence = Evidence::default();
        for (number, job) in &plan.jobs {
            let mut amounts = job.amounts.iter().map(String::as_str);
            let amount = amounts.next().unwrap();
            let id = format!("main/disburse/{number}");
            if number == "R00007" {
                evidence.events.push(event(&id, "failed", amount));
            } else {
                evidence.operations.push(operation(number, amount));
                evidence.events.push(event(&id, "succeeded", amount));
            }
            for (index, other) in amounts.enumerate() {
                let id = format!("{id}/conflict/{index}");
                evidence.events.push(event(&id, "rejected", other));
            }
        }
        for bad in &plan.bad {
            evidence.dead_letters.push(DeadLetter {
                body: bad.body.clone(),
                reason: "invalid".to_owned(),
                detail: format!("{} and so on", bad.fault),
            });
            if let Some(prefix) = &bad.event {
                let id = format!("{prefix}digest");
                evidence.events.push(event(&id, "rejected", "8.88"));
            }
        }
        (plan, evidence)
    }

    #[test]
    fn an_honest_run_has_no_disagreement_and_copies_are_none() {
        let (plan, mut evidence) = honest();
        let copies = evidence.events.clone();
        evidence.events.extend(copies);
        assert_eq!(disagreements(&plan, &evidence), [""; 0]);
    }

    #[test]
    fn every_broken_promise_is_found() {
        type Change = fn(&mut Evidence);
        let table: [(&str, Change); 11] = [
            ("R00000: paid 2 times", |run| {
                let twice = run.operations[0].clone();
                run.operations.push(twice);
            }),
            ("R00000: no outcome", |run| drop(run.events.remove(0))),
            ("R00000: \"failed\", moved", |run| {
                run.events[0]["data"]["result"] = json!("failed");
            }),
            ("R00000: \"succeeded\", moved: []", |run| {
                drop(run.operations.remove(0));
            }),
            ("R00000: amount \"77.00\" at the bank", |run| {
                run.operations[0]["amount"] = json!("77.00");
            }),
            ("R00000: amounts asked", |run| {
                run.events[0]["data"]["amount"] = json!("77.00");
            }),
            ("main/disburse/R00000: copies differ", |run| {
                let mut copy = run.events[0].clone();
                copy["data"]["auth_no"] = json!("B");
                run.events.push(copy);
            }),
            ("contradicted: nobody asked", |run| {
                let id = "main/disburse/R00000/contradicted";
                run.events.push(event(id, "contradicted", "1.00"));
            }),
            ("X: nobody asked for", |run| {
                run.operations.push(operation("X", "1.00"));
            }),
            ("is not UTF-8: not in the dead letters", |run| {
                drop(run.dead_letters.remove(1));
            }),
            ("left in q", |run| {
                run.left.push(("q".to_owned(), "{}".to_owned()));
            }),
        ];
        for (words, change) in table {
            let (plan, mut evidence) = honest();
            change(&mut evidence);
            let found = disagreements(&plan, &evidence);
            assert!(
                found.iter().any(|line| line.contains(words)),
                "{words}: {found:?}"
            );
        }
    }
}
