//! What a run asks for: jobs drawn from a seed, some twice, some in conflict, some bad.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

/// The packet that all disbursements come from, and what it holds, as `--packet` takes it.
pub(crate) const PACKET: &str = "PACKET-1=10000000.00";

/// Numbers drawn from a seed, always the same ones. Source: `SplitMix64`, Steele and others, 2014.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        eprintln!("seed={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(mixed % bound).unwrap()
    }
}

/// What must become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeded,
    Failed,
}

/// One number with everything that was asked under it.
#[derive(Clone, Debug)]
pub(crate) struct PlannedJob {
    pub(crate) fate: Fate,
    /// The amount; of jobs in conflict all of them, one of which wins.
    pub(crate) amounts: BTreeSet<String>,
}

/// A job that must be refused, with what must be said of it.
#[derive(Clone, Debug)]
pub(crate) struct BadJob {
    pub(crate) body: Vec<u8>,
    pub(crate) fault: &'static str,
    /// What the id of its event begins with; `None` when its number cannot be read.
    pub(crate) event: Option<String>,
}

/// Everything that one run submits.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) jobs: BTreeMap<String, PlannedJob>,
    /// Bodies of good jobs, with copies and conflicts, in the order of submission.
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) bad: Vec<BadJob>,
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) jobs: usize,
    pub(crate) duplicates: usize,
    pub(crate) conflicts: usize,
}

impl Plan {
    /// Draws the jobs of `shape` and ten bad ones; every thirtieth has a payee that Alipay does
    /// not know.
    pub(crate) fn draw(shape: Shape, dice: &mut Dice) -> Self {
        let mut jobs = BTreeMap::new();
        let mut bodies = Vec::new();
        let mut numbers = Vec::new();
        for index in 0..shape.jobs {
            let number = format!("R{index:05}");
            let amount = yuan(1 + dice.below(2_000));
            let fate = if index % 30 == 7 {
                Fate::Failed
            } else {
                numbers.push(number.clone());
                Fate::Succeeded
            };
            bodies.push(body(&number, &amount, fate));
            let amounts = BTreeSet::from([amount]);
            jobs.insert(number, PlannedJob { fate, amounts });
        }
        for _ in 0..shape.duplicates {
            let copy = bodies[dice.below(shape.jobs)].clone();
            bodies.push(copy);
        }
        for index in 0..shape.conflicts {
            // Above every amount that was drawn before, so it differs.
            let amount = yuan(3_000 + index);
            let number = &numbers[dice.below(numbers.len())];
            bodies.push(body(number, &amount, Fate::Succeeded));
            let job = jobs.get_mut(number).unwrap();
            job.amounts.insert(amount);
        }
        for last in (1..bodies.len()).rev() {
            bodies.swap(last, dice.below(last + 1));
        }
        Self {
            jobs,
            bodies,
            bad: bad_jobs(),
        }
    }

    /// How many outcomes must be told at least, each with an id of its own.
    pub(crate) fn outcomes(&self) -> usize {
        let jobs: usize = self.jobs.values().map(|job| job.amounts.len()).sum();
        jobs + self.bad.iter().filter(|bad| bad.event.is_some()).count()
    }
}

/// The job with this number, as its producer writes it.
pub(crate) fn body(number: &str, amount: &str, fate: Fate) -> Vec<u8> {
    let mut job = json!({
        "kind": "disburse",
        "out_request_no": number,
        "out_order_no": number,
        "deduct_out_order_no": "PACKET-1",
        "order_title": "恭喜发财",
        "amount": amount,
        "labels": {"room": "42"},
    });
    match fate {
        Fate::Succeeded => job["payee_user_id"] = json!("2088102146225135"),
        Fate::Failed => job["payee_logon_id"] = json!("unknown-person@example.com"),
    }
    job.to_string().into_bytes()
}

pub(crate) fn yuan(fen: usize) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

fn bad_jobs() -> Vec<BadJob> {
    let good = |number: &str| String::from_utf8(body(number, "8.88", Fate::Succeeded)).unwrap();
    let changed = |number: &str, from: &str, to: &str, fault: &'static str| {
        let text = good(number);
        let body = text.replace(from, to);
        assert_ne!(body, text, "{from}");
        BadJob {
            body: body.into_bytes(),
            fault,
            event: Some(format!("main/disburse/{number}/invalid/")),
        }
    };
    let unreadable = |body: &[u8], fault| BadJob {
        body: body.to_vec(),
        fault,
        event: None,
    };
    let both = "\"payee_logon_id\":\"13800000000\",\"payee_user_id\"";
    vec![
        unreadable(b"hello", "body: is not a JSON object"),
        unreadable(b"{\"kind\":\"\xff\"}", "body: is not UTF-8"),
        unreadable(&[b'x'; 65_537], "body: is 65537 bytes long"),
        changed("B3", "\"amount\"", "\"ammount\"", "ammount: is not a field"),
        changed("B4", "\"amount\":\"8.88\",", "", "amount: is missing"),
        changed("B5", "\"8.88\"", "8.88", "amount: must be a text"),
        changed("B6", "8.88", "8.888", "amount: is not an amount"),
        changed("B7", "8.88", "0.00", "amount: is outside"),
        changed("B8", "\"payee_user_id\"", both, "only one of the two"),
        changed(
            "B9",
            "\"room\":\"42\"",
            "\"room\":42",
            "labels.room: must be a text",
        ),
    ]
}
