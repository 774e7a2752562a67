//! Which events there are, and what holds for the data of each.

use crate::app::contract::event::{Growth, one_word_of};
use crate::app::contract::job;
use crate::app::contract::node::{Node, Null, object, words};
use crate::app::digest::fingerprint;
use crate::app::job_body::decode;
use crate::app::outcome_event::{
    BUDGET, CONFLICT, CONTRADICTED, INVALID, UNRESOLVED, WARNED, status_word,
};
use crate::domain::ident::{AlipayNo, AppName};
use crate::domain::job::{Job, Kind};
use crate::domain::outcome::{
    Announcement, Failure, Outcome, QueryAnswer, Rejection, Resolution, SignedOrder,
};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{Operation, OperationStatus};

/// One type of event.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// The outcome of a job, or a notification that says the same.
    Outcome(Kind, Resolution),
    /// Nobody knows yet.
    Unresolved(Kind),
    /// Evidence against an outcome.
    Contradicted(Kind),
    /// The answer to a query.
    Answer(QueryAnswer),
    /// The spend guard's warning.
    Warned,
}

impl Told {
    /// Every type of event that this version writes.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            match kind {
                Kind::Disburse | Kind::Refund | Kind::Pay => {
                    let [succeeded, failed, rejected, _] = resolutions();
                    let outcomes = [succeeded, failed, rejected];
                    all.extend(outcomes.map(|resolution| Self::Outcome(kind, resolution)));
                    all.extend([Self::Unresolved(kind), Self::Contradicted(kind)]);
                }
                Kind::AppPay | Kind::PagePay => {
                    let [_, _, rejected, signed] = resolutions();
                    all.extend(
                        [signed, rejected].map(|resolution| Self::Outcome(kind, resolution)),
                    );
                }
                Kind::Query => all.extend(answers().map(Self::Answer)),
            }
        }
        all.push(Self::Warned);
        all
    }

    /// Every result.
    pub(super) fn results() -> Vec<&'static str> {
        let mut results = Vec::new();
        for told in Self::all() {
            if !results.contains(&told.result()) {
                results.push(told.result());
            }
        }
        results
    }

    /// Every reason: of a rejection, then the results that are contradicted.
    pub(super) fn reasons() -> Vec<&'static str> {
        let mut reasons = rejections();
        reasons.extend(resolutions().map(|resolution| resolution.as_str()));
        reasons
    }

    /// The routing key, and the middle of the type.
    pub(super) fn routing_key(&self) -> String {
        format!("{}.{}", self.kind(), self.result())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Outcome(kind, _) | Self::Unresolved(kind) | Self::Contradicted(kind) => {
                kind.as_str()
            }
            Self::Answer(_) => Kind::Query.as_str(),
            Self::Warned => BUDGET,
        }
    }

    fn result(&self) -> &'static str {
        match self {
            Self::Outcome(_, resolution) => resolution.as_str(),
            Self::Unresolved(_) => UNRESOLVED,
            Self::Contradicted(_) => CONTRADICTED,
            Self::Answer(answer) => answer.as_str(),
            Self::Warned => WARNED,
        }
    }

    /// What holds for the data of such an event, beside what holds for all.
    pub(super) fn facts(&self, growth: Growth) -> Node {
        let mut facts = Facts::new(self.kind(), self.result());
        match self {
            Self::Outcome(kind, resolution) => match resolution {
                Resolution::Succeeded { .. } => {
                    facts.is("status", status_word(OperationStatus::Success));
                    facts.may_have("origin");
                    facts.known_of_jobs = &["out_request_no", "amount", "code"];
                }
                Resolution::Failed(_) => {
                    facts.may_have("origin");
                    facts.known_of_jobs = &["out_request_no", "amount"];
                }
                Resolution::Rejected(_) => {
                    facts.known(&["out_request_no"]);
                    facts.add("reason", one_word_of(rejections(), growth, Null::Never));
                }
                Resolution::Signed(_) => {
                    facts.known(&["out_request_no", "out_order_no", "amount"]);
                    let order = match kind {
                        Kind::PagePay => "page_url",
                        Kind::AppPay | Kind::Disburse | Kind::Refund | Kind::Query | Kind::Pay => {
                            "order_string"
                        }
                    };
                    facts.has(order);
                }
            },
            Self::Unresolved(_) => facts.known(&["out_request_no", "amount"]),
            Self::Contradicted(_) => {
                facts.known(&["out_request_no", "amount", "detail"]);
                let told = resolutions().map(|resolution| resolution.as_str());
                facts.add("reason", one_word_of(told, growth, Null::Never));
            }
            Self::Answer(QueryAnswer::Found(_)) => facts.known(&["status", "code"]),
            Self::Answer(QueryAnswer::Expired) => facts.is("reason", Rejection::Expired.as_str()),
            Self::Answer(QueryAnswer::NotFound | QueryAnswer::Unresolved) => {}
            Self::Warned => facts.has("budget"),
        }
        facts.schema(growth)
    }
}

/// One of each; a test matches them variant by variant.
pub(super) fn resolutions() -> [Resolution; 4] {
    [
        Resolution::Succeeded {
            operation_id: None,
            gmt_trans: None,
        },
        Resolution::Failed(Failure::Closed),
        Resolution::Rejected(Rejection::Expired),
        Resolution::Signed(SignedOrder(String::new())),
    ]
}

/// One of each; a test matches them variant by variant.
pub(super) fn answers() -> [QueryAnswer; 4] {
    let operation = Operation {
        auth_no: None,
        out_order_no: None,
        operation_id: None,
        out_request_no: None,
        amount: None,
        status: OperationStatus::Success,
        operation_type: None,
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    };
    [
        QueryAnswer::Found(Box::new(operation)),
        QueryAnswer::NotFound,
        QueryAnswer::Unresolved,
        QueryAnswer::Expired,
    ]
}

fn rejections() -> Vec<&'static str> {
    let mut reasons = Rejection::ALL.map(Rejection::as_str).to_vec();
    reasons.extend([CONFLICT, INVALID]);
    reasons
}

/// The keys that only some events have.
pub(super) const RARE: [&str; 4] = ["order_string", "page_url", "budget", "origin"];

/// What holds for the data of one type of event.
struct Facts {
    properties: Vec<(String, Node)>,
    rare: Vec<&'static str>,
    required: Vec<&'static str>,
    /// What is never null where a job is told of; a notification may not know it.
    known_of_jobs: &'static [&'static str],
}

impl Facts {
    fn new(kind: &str, result: &str) -> Self {
        let mut facts = Self {
            properties: Vec::new(),
            rare: Vec::new(),
            required: Vec::new(),
            known_of_jobs: &[],
        };
        facts.is("kind", kind);
        facts.is("result", result);
        facts
    }

    fn add(&mut self, key: &str, schema: Node) {
        self.properties.push((key.to_owned(), schema));
    }

    fn is(&mut self, key: &str, word: &str) {
        self.add(key, object! { "const" => word });
    }

    fn known(&mut self, keys: &[&str]) {
        for key in keys {
            self.add(key, object! { "type" => "string" });
        }
    }

    fn may_have(&mut self, key: &'static str) {
        self.rare.push(key);
    }

    fn has(&mut self, key: &'static str) {
        self.rare.push(key);
        self.required.push(key);
        self.add(key, Node::from(true));
    }

    fn schema(mut self, growth: Growth) -> Node {
        if growth == Growth::Refused {
            for key in RARE.into_iter().filter(|key| !self.rare.contains(key)) {
                self.properties.push((key.to_owned(), Node::from(false)));
            }
        }
        let mut schema = object! {
            "type" => "object",
            "properties" => Node::Object(self.properties),
        };
        if !self.required.is_empty() {
            schema = schema.with("required", words(self.required));
        }
        if !self.known_of_jobs.is_empty() {
            let text = || object! { "type" => "string" };
            let known = self.known_of_jobs.iter();
            let known = known.map(|key| ((*key).to_owned(), text())).collect();
            // Where there is no origin, a job is told of.
            let of_job = object! { "properties" => object! { "origin" => false } };
            schema = schema
                .with("if", of_job)
                .with("then", object! { "properties" => Node::Object(known) });
        }
        schema
    }
}

/// The success of the example of a disburse job.
pub(super) fn example() -> Option<Announcement> {
    let body = job::example(Kind::Disburse).to_string();
    let app = AppName::new("main").ok();
    let Ok(Job::Money(job)) = decode(body.as_bytes(), app.as_ref()) else {
        return None;
    };
    let outcome = Outcome {
        kind: job.kind(),
        fingerprint: fingerprint(&job),
        out_order_no: job.out_order_no().cloned(),
        auth_no: AlipayNo::new("2026112210002001000000000002").ok(),
        amount: job.amount(),
        resolution: Resolution::Succeeded {
            operation_id: AlipayNo::new("20261122000000000002").ok(),
            gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
        },
        attempts: 1,
        // 2026-11-22T10:00:01.234+08:00.
        settled_at: UnixMillis(1_795_312_801_234),
        labels: job.labels.clone(),
    };
    let key = job.key();
    Some(Announcement::Settled { key, outcome })
}
