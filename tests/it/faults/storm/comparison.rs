//! The comparison of a storm, job by job: what the bank did, what the events say, what was buried,
//! what the ledger remembers, and what was left behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::jobs::{Ask, Wish};
use super::told::{Told, Version};
use crate::daemon::broker::DeadLetter;
use crate::daemon::plan::Fate;

/// Redis syncs its file once a second, and lets a write wait for up to two while it does; a killed
/// one forgets so much. Source: Redis, "Append-only file"; `flushAppendOnlyFile` in its source.
const UNSYNCED_MS: i64 = 2_000;

/// Why a job is in the dead letters that three new copies brought no nearer to its end.
const GIVEN_UP: &str = "rescued_too_often";

/// An instant at which the ledger forgot something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgetting {
    /// Everything, within these milliseconds since 1970.
    Flushed { from_ms: i64, to_ms: i64 },
    /// What was not in its file yet.
    Killed { from_ms: i64, to_ms: i64 },
}

impl Forgetting {
    /// Whether what was written at `written_ms` may be forgotten by `later_ms`.
    fn covers(self, written_ms: i64, later_ms: i64) -> bool {
        match self {
            Self::Flushed { from_ms, to_ms } => written_ms <= to_ms && from_ms <= later_ms,
            Self::Killed { from_ms, to_ms } => {
                from_ms - UNSYNCED_MS <= written_ms && written_ms <= to_ms && from_ms <= later_ms
            }
        }
    }
}

/// What the ledger says of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Nothing,
    /// In flight or deferred.
    Unsettled,
    Settled {
        result: String,
        amount: String,
    },
}

/// What a storm left to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// `GET /_sandbox/operations`.
    pub(crate) operations: Vec<Value>,
    pub(crate) told: Told,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// By `out_request_no`.
    pub(crate) ledger: BTreeMap<String, Remembered>,
    pub(crate) forgettings: Vec<Forgetting>,
    /// Messages still in a queue of jobs or of copies that wait: queue and body.
    pub(crate) left: Vec<(String, String)>,
}

/// What the comparison found; in a good storm all lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// P2: a confirmed job without an outcome and without a dead letter.
    pub(crate) lost: Vec<String>,
    /// P1: money moved twice.
    pub(crate) doubled: Vec<String>,
    /// P3: told as not paid, although money moved.
    pub(crate) falsely_failed: Vec<String>,
    /// P4: one id, two contents.
    pub(crate) unequal_copies: Vec<String>,
    /// Everything else that does not agree.
    pub(crate) others: Vec<String>,
    /// P4's one exception: a negative outcome that the ledger forgot and another one after it.
    pub(crate) forgotten_negatives: usize,
    /// Jobs of which `unresolved` was told on the way.
    pub(crate) unresolved: usize,
    /// Jobs in the dead letters after three rescues without a word.
    pub(crate) given_to_operators: usize,
}

impl Findings {
    /// Everything that was found, in one list.
    pub(crate) fn all(&self) -> Vec<String> {
        let lists = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("falsely failed", &self.falsely_failed),
            ("unequal copies", &self.unequal_copies),
            ("other", &self.others),
        ];
        let lines = lists
            .iter()
            .flat_map(|(word, list)| list.iter().map(move |line| format!("{word}: {line}")));
        lines.collect()
    }
}

/// Compares everything.
pub(crate) fn compare(asks: &[Ask], evidence: &Evidence) -> Findings {
    let mut comparison = Comparison {
        evidence,
        letters: HashMap::new(),
        given_up: BTreeSet::new(),
        moved: HashMap::new(),
        expected: BTreeSet::new(),
        findings: Findings::default(),
    };
    comparison.index();
    let mut numbers: BTreeMap<String, Vec<&Ask>> = BTreeMap::new();
    for ask in asks {
        match &ask.wish {
            Wish::Disburse { .. } | Wish::Refund { .. } => {
                let id = ask.event_id().expect("the id of a job that moves money");
                numbers.entry(id).or_default().push(ask);
            }
            Wish::Query { target } => comparison.query(ask, target),
            Wish::Bad { fault, event } => comparison.bad(ask, fault, event.as_deref()),
        }
    }
    for (id, asks) in &numbers {
        comparison.number(id, asks);
    }
    comparison.nothing_else(asks);
    comparison.findings
}

/// Asks without any answer yet: places in `asks`.
pub(crate) fn unanswered(asks: &[Ask], told: &Told) -> Vec<usize> {
    let is_answered = |ask: &Ask| match &ask.wish {
        Wish::Disburse { amount, .. } | Wish::Refund { amount } => {
            let id = ask.event_id().expect("the id of a job that moves money");
            let conflicts = format!("{id}/conflict/");
            let own = told.versions(&id).iter();
            let conflicts = told
                .starting_with(&conflicts)
                .flat_map(|(_, versions)| versions);
            own.chain(conflicts)
                .any(|version| version.data()["amount"] == amount.as_str())
        }
        Wish::Query { .. } | Wish::Bad { .. } => ask
            .event_id()
            .is_none_or(|start| told.starting_with(&start).next().is_some()),
    };
    let asks = asks.iter().enumerate();
    asks.filter(|(_, ask)| !is_answered(ask))
        .map(|(place, _)| place)
        .collect()
}

struct Comparison<'a> {
    evidence: &'a Evidence,
    letters: HashMap<&'a [u8], Vec<&'a DeadLetter>>,
    /// Numbers of jobs that were given to operators.
    given_up: BTreeSet<String>,
    /// By kind and `out_request_no`: what the bank did with success.
    moved: HashMap<(&'a str, &'a str), Vec<&'a Value>>,
    expected: BTreeSet<String>,
    findings: Findings,
}

impl<'a> Comparison<'a> {
    fn index(&mut self) {
        for letter in &self.evidence.dead_letters {
            self.letters.entry(&letter.body).or_default().push(letter);
            if letter.reason == GIVEN_UP {
                let job: Value = serde_json::from_slice(&letter.body).unwrap_or_default();
                let number = job["out_request_no"].as_str().unwrap_or_default();
                self.given_up.insert(number.to_owned());
            }
        }
        for operation in &self.evidence.operations {
            if operation["status"] == "SUCCESS" {
                let text = |name: &str| operation[name].as_str().unwrap_or_default();
                let key = (text("kind"), text("out_request_no"));
                self.moved.entry(key).or_default().push(operation);
            }
        }
    }

    fn moved(&self, kind: &str, number: &str) -> Vec<&'a Value> {
        self.moved.get(&(kind, number)).cloned().unwrap_or_default()
    }

    /// A number with every content that was asked for under it.
    fn number(&mut self, id: &str, asks: &[&Ask]) {
        let number = &asks[0].number;
        let moved = self.moved(asks[0].routing_key(), number);
        if moved.len() > 1 {
            let line = format!("{number}: money moved {} times: {moved:?}", moved.len());
            self.findings.doubled.push(line);
        }
        self.expected.insert(id.to_owned());
        let unresolved = format!("{id}/unresolved");
        if !self.evidence.told.versions(&unresolved).is_empty() {
            self.findings.unresolved += 1;
            self.copies(&unresolved);
            self.expected.insert(unresolved);
        }
        let Some(last) = self.copies(id) else {
            if self.given_up.contains(number) {
                self.findings.given_to_operators += 1;
            } else {
                let line = format!("{number}: no outcome; the bank did {moved:?}");
                self.findings.lost.push(line);
            }
            return;
        };
        let data = last.data();
        let result = data["result"].as_str().unwrap_or_default();
        match (result, moved.first()) {
            ("succeeded", None) => {
                let line = format!("{number}: succeeded, but the bank moved nothing");
                self.findings.others.push(line);
            }
            ("succeeded", Some(operation)) => self.equal(number, operation, &data),
            (_, None) => {}
            (_, Some(operation)) => {
                let line = format!("{number}: {result}, but the bank did {operation}");
                self.findings.falsely_failed.push(line);
            }
        }
        self.fate(number, asks, result);
        self.amounts(id, asks, last);
        self.remembered(number, &data, last);
    }

    /// The newest version of an event; more than one is only right where the ledger forgot a
    /// negative outcome in between.
    fn copies(&mut self, id: &str) -> Option<&'a Version> {
        let evidence = self.evidence;
        let mut versions: Vec<&Version> = evidence.told.versions(id).iter().collect();
        versions.sort_by_key(|version| version.first_ms);
        for pair in versions.windows(2) {
            let (first, next) = (pair[0], pair[1]);
            let forgotten = evidence
                .forgettings
                .iter()
                .any(|forgetting| forgetting.covers(first.first_ms, next.first_ms));
            if forgotten && first.data()["result"] != "succeeded" {
                self.findings.forgotten_negatives += 1;
            } else {
                let line = format!("{id}: {} and {}", first.data(), next.data());
                self.findings.unequal_copies.push(line);
            }
        }
        versions.last().copied()
    }

    /// What the event says of the operation is what the bank has.
    fn equal(&mut self, number: &str, operation: &Value, data: &Value) {
        let mut fields = vec!["amount", "auth_no", "operation_id"];
        if operation["kind"] == "disburse" {
            fields.push("out_order_no");
        }
        for field in fields {
            if operation[field] != data[field] {
                let (bank, event) = (&operation[field], &data[field]);
                let line = format!("{number}: {field} {bank} at the bank, told {event}");
                self.findings.others.push(line);
            }
        }
    }

    fn fate(&mut self, number: &str, asks: &[&Ask], result: &str) {
        let fails =
            |ask: &&Ask| matches!(&ask.wish, Wish::Disburse { fate, .. } if *fate == Fate::Failed);
        let fate = if asks.iter().any(fails) {
            "failed"
        } else {
            "succeeded"
        };
        if result != fate {
            let line = format!("{number}: {result} instead of {fate}");
            self.findings.others.push(line);
        }
    }

    /// Of several contents under one number one wins; each other one is told to be in conflict.
    fn amounts(&mut self, id: &str, asks: &[&Ask], winner: &Version) {
        let (number, evidence) = (&asks[0].number, self.evidence);
        let start = format!("{id}/conflict/");
        let mut told = BTreeSet::new();
        let winners = winner.data()["amount"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        for (conflict, versions) in evidence.told.starting_with(&start) {
            self.copies(conflict);
            self.expected.insert(conflict.to_owned());
            for version in versions {
                let amount = version.data()["amount"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                // A "no" to the later winner: only a ledger that forgot may change its mind.
                if amount == winners {
                    let covers = |forgetting: &Forgetting| {
                        forgetting.covers(version.first_ms, winner.last_ms)
                    };
                    if evidence.forgettings.iter().any(covers) {
                        self.findings.forgotten_negatives += 1;
                    } else {
                        let line = format!("{number}: {amount} won and was told to be in conflict");
                        self.findings.others.push(line);
                    }
                }
                told.insert(amount);
            }
        }
        told.insert(winners);
        let asked: BTreeSet<String> = asks.iter().filter_map(|ask| amount(ask)).collect();
        for amount in asked.difference(&told) {
            let line = format!("{number}: nothing was told of the job over {amount}");
            self.findings.lost.push(line);
        }
        for amount in told.difference(&asked) {
            let line = format!("{number}: nobody asked for {amount}");
            self.findings.others.push(line);
        }
    }

    /// The ledger says the same as the event, or has forgotten it.
    fn remembered(&mut self, number: &str, data: &Value, version: &Version) {
        let evidence = self.evidence;
        match evidence.ledger.get(number) {
            Some(Remembered::Settled { result, amount }) => {
                if data["result"] != result.as_str() || data["amount"] != amount.as_str() {
                    let line = format!("{number}: {result} {amount} in the ledger, told {data}");
                    self.findings.others.push(line);
                }
            }
            Some(Remembered::Unsettled) => {
                let line = format!("{number}: told, but not settled in the ledger");
                self.findings.others.push(line);
            }
            Some(Remembered::Nothing) | None => {
                let forgot = |forgetting: &Forgetting| forgetting.covers(version.last_ms, i64::MAX);
                if !evidence.forgettings.iter().any(forgot) {
                    let line = format!("{number}: told, but not in the ledger");
                    self.findings.others.push(line);
                }
            }
        }
    }

    fn query(&mut self, ask: &Ask, target: &str) {
        let evidence = self.evidence;
        let start = ask.event_id().expect("the id of a query");
        let mut answers = 0;
        for (id, versions) in evidence.told.starting_with(&start) {
            answers += 1;
            self.expected.insert(id.to_owned());
            let found = versions.iter().map(Version::data);
            let found = found.filter(|data| data["status"] == "SUCCESS").count();
            if found > 0 && self.moved("disburse", target).is_empty() {
                let line = format!("{id}: found, but the bank moved nothing");
                self.findings.others.push(line);
            }
        }
        if answers == 0 && !self.letters.contains_key(ask.body.as_slice()) {
            let line = format!("{}: the query has no answer", ask.number);
            self.findings.lost.push(line);
        }
    }

    /// A bad job is in the dead letters with its reason, and told where its number can be read.
    fn bad(&mut self, ask: &Ask, fault: &str, event: Option<&str>) {
        let letters = self.letters.get(ask.body.as_slice());
        match letters.map(Vec::as_slice).unwrap_or_default() {
            [] => {
                let line = format!("{}: not in the dead letters", ask.number);
                self.findings.lost.push(line);
            }
            letters => {
                for letter in letters {
                    if letter.reason != "invalid" || !letter.detail.contains(fault) {
                        let line = format!("{}: buried as {letter:?}", ask.number);
                        self.findings.others.push(line);
                    }
                }
            }
        }
        if let Some(start) = event {
            let evidence = self.evidence;
            let ids: Vec<&str> = evidence
                .told
                .starting_with(start)
                .map(|(id, _)| id)
                .collect();
            if ids.len() != 1 {
                let line = format!("{start}: {} events of a bad job", ids.len());
                self.findings.others.push(line);
            }
            for id in ids {
                self.copies(id);
                self.expected.insert(id.to_owned());
            }
        }
    }

    /// No event, no operation, no dead letter and no message that nobody asked for.
    fn nothing_else(&mut self, asks: &[Ask]) {
        let evidence = self.evidence;
        for (id, versions) in evidence.told.starting_with("") {
            if !self.expected.contains(id) {
                let line = format!("{id}: nobody asked for {versions:?}");
                self.findings.others.push(line);
            }
        }
        let numbers: BTreeSet<&str> = asks.iter().map(|ask| ask.number.as_str()).collect();
        for operation in &evidence.operations {
            let number = operation["out_request_no"].as_str().unwrap_or_default();
            if operation["kind"] != "pay" && !numbers.contains(number) {
                self.findings
                    .others
                    .push(format!("nobody asked for {operation}"));
            }
        }
        let bad = asks
            .iter()
            .filter(|ask| matches!(ask.wish, Wish::Bad { .. }));
        let bad: BTreeSet<&[u8]> = bad.map(|ask| ask.body.as_slice()).collect();
        for letter in &evidence.dead_letters {
            let is_known = letter.reason == GIVEN_UP || bad.contains(&*letter.body);
            if !is_known {
                let line = format!("a good job was buried: {letter:?}");
                self.findings.others.push(line);
            }
        }
        for (queue, body) in &evidence.left {
            self.findings
                .others
                .push(format!("left in {queue}: {body}"));
        }
    }
}

fn amount(ask: &Ask) -> Option<String> {
    match &ask.wish {
        Wish::Disburse { amount, .. } | Wish::Refund { amount } => Some(amount.clone()),
        Wish::Query { .. } | Wish::Bad { .. } => None,
    }
}
