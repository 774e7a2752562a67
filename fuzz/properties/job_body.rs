//! Job bodies: what is accepted is exactly what was said, what is refused tells no one's name.

use std::collections::BTreeMap;

use hongbaod::adapters::alipay::biz_content::{ExpirySpelling, of_job, of_query};
use hongbaod::app::digest::fingerprint;
use hongbaod::app::job_body::{BODY_BYTES_MAX, BadBody, decode, encode};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{
    Extras, Job, Kind, MoneyJob, MoneyRequest, OperationRef, OrderRef, Payee, QueryJob,
};
use serde_json::Value;

use super::json;

/// The most mistakes that one body is told of, far above what any has: 19 fields, 16 unknown ones,
/// 16 labels with two mistakes each.
const MISTAKES_MAX: usize = 80;

/// The longest single mistake, in characters.
const MISTAKE_CHARS_MAX: usize = 300;

/// Checks `body` with and without a default app.
pub fn check(body: &[u8]) {
    let main = AppName::new("main").unwrap();
    for default_app in [None, Some(&main)] {
        match decode(body, default_app) {
            Ok(job) => accepted(body, &job, default_app),
            Err(bad) => refused(body, &bad),
        }
    }
}

fn accepted(body: &[u8], job: &Job, default_app: Option<&AppName>) {
    assert!(body.len() <= BODY_BYTES_MAX);
    let (mut said, labels, has_not_after) = what_is_said(body);
    if let Some(app) = default_app {
        said.entry("app".to_owned())
            .or_insert_with(|| app.to_string());
    }
    assert_eq!(labels, job.labels().0, "the labels are others");
    match job {
        Job::Money(job) => {
            assert_eq!(has_not_after, job.not_after.is_some());
            let read: BTreeMap<String, String> = job
                .fields()
                .into_iter()
                .map(|(field, value)| (field.as_str().to_owned(), value.into_owned()))
                .collect();
            assert_eq!(said, read, "the job is another one");
            money_job(job);
        }
        Job::Query(job) => {
            assert_eq!(has_not_after, job.not_after.is_some());
            let mut read = numbers(job);
            let content = of_query(&job.target);
            assert_eq!(flat(&content), read, "the query asks for something else");
            read.insert("kind".to_owned(), "query".to_owned());
            read.insert("app".to_owned(), job.app.to_string());
            assert_eq!(said, read, "the query is another one");
        }
    }
}

/// What the body says by a plain reading of its JSON: its texts, its labels, whether it has
/// `not_after`. Amounts are told without leading zeros.
fn what_is_said(body: &[u8]) -> (BTreeMap<String, String>, BTreeMap<String, String>, bool) {
    let text = std::str::from_utf8(body).expect("an accepted body is UTF-8");
    let members = json::members(text).expect("an accepted body is an object");
    let (mut said, mut labels, mut has_not_after) = (BTreeMap::new(), BTreeMap::new(), false);
    let mut names = Vec::new();
    for (name, value) in members {
        let name = json::unescaped(name).expect("an accepted name is a text");
        assert!(!names.contains(&name), "{name} is given twice");
        names.push(name.clone());
        if value == "null" {
            continue;
        }
        if name == "labels" {
            let members = json::members(value).expect("labels are an object");
            for (key, value) in members {
                let key = json::unescaped(key).expect("a label's key is a text");
                let value = json::unescaped(value).expect("a label is a text");
                assert!(labels.insert(key, value).is_none(), "a label comes twice");
            }
            continue;
        }
        let value = json::unescaped(value).expect("every other value is a text");
        match name.as_str() {
            "not_after" => has_not_after = true,
            "amount" => {
                let digits = value.trim_start_matches('0');
                let zero = if digits.starts_with('.') { "0" } else { "" };
                said.insert(name, format!("{zero}{digits}"));
            }
            _ => {
                said.insert(name, value);
            }
        }
    }
    (said, labels, has_not_after)
}

/// Checks what holds for every money job, wherever it came from.
pub fn money_job(job: &MoneyJob) {
    let canonical = job.canonical();
    assert_eq!(
        MoneyJob::from_canonical(&canonical, job.not_after).as_ref(),
        Some(job),
        "the canonical text reads back as another job"
    );
    let written = encode(job);
    let read = decode(&written, None);
    assert!(
        read.as_ref()
            .is_ok_and(|read| *read == Job::Money(job.clone())),
        "what is written reads back as another job"
    );
    let Ok(Job::Money(read)) = read else { return };
    assert_eq!(fingerprint(&read), fingerprint(job));
    assert_eq!(encode(&read), written, "a copy's bytes differ");
    for spelling in [ExpirySpelling::MerchantExt, ExpirySpelling::OwnKey] {
        let (method, content) = of_job(job, spelling);
        assert_eq!(
            of_job(&read, spelling),
            (method, content.clone()),
            "the resend is not byte-equal"
        );
        request(job, &content, spelling);
    }
    if let MoneyRequest::Disburse {
        payee: payee @ Payee::LogonId(logon_id),
        ..
    } = &job.request
    {
        let (whole, shown) = (logon_id.reveal(), format!("{payee:?} {logon_id}"));
        // Asterisks would be found in the mask itself, and a text of up to three in the rest.
        let tells = whole.len() > 3 && !whole.contains('*') && shown.contains(whole);
        assert!(!tells, "a logon id is shown: {shown}");
    }
}

/// Checks that the request says what the job says, field by field.
fn request(job: &MoneyJob, content: &str, spelling: ExpirySpelling) {
    let mut expected: BTreeMap<String, String> = job
        .fields()
        .into_iter()
        .map(|(field, value)| (field.as_str().to_owned(), value.into_owned()))
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "kind" | "app" | "order_expired_time" | "return_url"
            )
        })
        .collect();
    let mut sent = flat(content);
    let extras = match &job.request {
        MoneyRequest::Disburse { extras, .. }
        | MoneyRequest::Pay { extras, .. }
        | MoneyRequest::Order { extras, .. } => extras,
        MoneyRequest::Refund { .. } => &Extras::default(),
    };
    let (given, sent_extra) = (expected.remove("extra_param"), sent.remove("extra_param"));
    assert_eq!(sent, expected, "the request asks for something else");
    let Some(time) = &extras.order_expired_time else {
        assert_eq!(sent_extra, given);
        return;
    };
    let sent_extra = sent_extra.expect("the expiry is sent");
    let (name, text) = match spelling {
        ExpirySpelling::MerchantExt => ("merchantExt", format!("orderExpiredTime={time}")),
        ExpirySpelling::OwnKey => ("orderExpiredTime", time.to_string()),
    };
    let given = given.unwrap_or_else(|| "{}".to_owned());
    match serde_json::from_str(&given) {
        Ok(Value::Object(mut members)) if !members.contains_key(name) => {
            members.insert(name.to_owned(), Value::String(text));
            assert_eq!(
                serde_json::from_str::<Value>(&sent_extra).ok(),
                Some(Value::Object(members)),
                "the expiry is not merged: {sent_extra}"
            );
        }
        Ok(_) | Err(_) => assert_eq!(sent_extra, given, "what was given does not win"),
    }
}

/// The members of a request's content, which are texts, none of them empty, none twice.
fn flat(content: &str) -> BTreeMap<String, String> {
    let members = json::members(content).expect("the content is an object");
    let count = members.len();
    let flat: BTreeMap<String, String> = members
        .into_iter()
        .filter_map(|(name, value)| Some((json::unescaped(name)?, json::unescaped(value)?)))
        .collect();
    assert_eq!(flat.len(), count, "a member twice, or one that is no text");
    assert!(flat.values().all(|value| !value.is_empty()), "empty member");
    flat
}

fn numbers(job: &QueryJob) -> BTreeMap<String, String> {
    let order = match &job.target.order {
        OrderRef::AuthNo(number) => ("auth_no", number.as_str()),
        OrderRef::OutOrderNo(number) => ("out_order_no", number.as_str()),
    };
    let operation = match &job.target.operation {
        OperationRef::OperationId(number) => ("operation_id", number.as_str()),
        OperationRef::OutRequestNo(number) => ("out_request_no", number.as_str()),
    };
    [order, operation]
        .map(|(name, number)| (name.to_owned(), number.to_owned()))
        .into()
}

fn refused(body: &[u8], bad: &BadBody) {
    assert!(!bad.errors.is_empty(), "refused without a reason");
    assert!(
        bad.errors.len() <= MISTAKES_MAX,
        "{} mistakes",
        bad.errors.len()
    );
    for error in &bad.errors {
        let length = error.to_string().chars().count();
        assert!(
            length <= MISTAKE_CHARS_MAX,
            "a mistake of {length} characters"
        );
    }
    let told = bad.summary();
    assert!(!told.chars().any(char::is_control), "a control character");
    if let Some(readable) = &bad.readable {
        assert_ne!(readable.kind, Kind::Query);
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let (texts, names) = json::texts(&value);
    for text in texts.into_iter().filter(|text| is_personal(text)) {
        // Names are told, so that a misspelt one is found; what is told twice is not a secret.
        let is_name = names.iter().any(|name| name.contains(text));
        assert!(is_name || !told.contains(text), "a value is told: {told}");
    }
}

/// Whether a text looks like a logon id or a number: no text of our own does.
fn is_personal(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 8 && digits == text.len() || text.len() >= 6 && text.contains('@')
}
