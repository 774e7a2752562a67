//! `/api/status`: everything that the page for people shows of this process, as JSON.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::adapters::alipay::codes;
use crate::app::admin_server::{AdminSources, json_answer};
use crate::app::build_info;
use crate::app::metrics::{Sample, Samples};
use crate::app::recent::{Incident, RecentOutcome, Since};
use crate::app::situation::{AppSituation, Line, Situation, headline};
use crate::domain::job::Kind;
use crate::domain::time::UnixMillis;
use crate::ports::ledger::Connection;

/// The metrics that the page reads, without `hongbaod_`.
const FAMILIES: [&str; 12] = [
    "jobs_received_total",
    "jobs_settled_total",
    "in_flight",
    "deferrals_total",
    "unsettled",
    "job_duration_seconds",
    "gateway_requests_total",
    "gateway_codes_total",
    "gateway_request_duration_seconds",
    "duplicates_total",
    "conflicts_total",
    "set_aside_total",
];

/// What a page has already.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// The sequence of the newest outcome that it knows.
    after: u64,
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    commit: &'static str,
    replica: String,
    now: u64,
    started_at: u64,
    headline: Vec<Line>,
    servers: [Server; 2],
    apps: Vec<App>,
    kinds: [&'static str; Kind::ALL.len()],
    unsettled_oldest_s: u64,
    metrics: BTreeMap<&'static str, Vec<Sample>>,
    /// What Alipay means by the codes in `metrics`, by `sub_code`, or by code where there is none.
    meanings: BTreeMap<String, &'static str>,
    outcomes: Vec<RecentOutcome>,
    incidents: Vec<Incident>,
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    connected: bool,
    since: Option<u64>,
}

#[derive(Serialize)]
struct App {
    name: String,
    open: Option<&'static str>,
    said: Option<String>,
    since: Option<u64>,
    rate_failing: bool,
    limit: u32,
    in_flight: u32,
    waiting: usize,
    requests_per_second: u32,
}

pub(super) async fn status(
    State(sources): State<AdminSources>,
    Query(seen): Query<Seen>,
) -> Response {
    (sources.refresh)();
    let now = (sources.situation)();
    // What changed within this second is told now.
    sources.recent.observe(&now);
    let since = sources.recent.since();
    let samples = sources.metrics.samples();
    let metrics = families(&samples);
    let status = Status {
        version: build_info::VERSION,
        commit: build_info::COMMIT,
        replica: sources.recent.replica.clone(),
        now: now.at.0,
        started_at: sources.recent.started_at.0,
        headline: headline(&now, &since),
        servers: servers(&now, &since),
        apps: now.apps.iter().map(|app| app_of(app, &since)).collect(),
        kinds: Kind::ALL.map(Kind::as_str),
        unsettled_oldest_s: now.alarms.oldest_unsettled_s,
        meanings: meanings(&metrics),
        metrics,
        outcomes: sources.recent.outcomes(seen.after),
        incidents: sources.recent.incidents(),
    };
    json_answer(StatusCode::OK, &status)
}

/// The families without what never happened.
fn families(samples: &Samples) -> BTreeMap<&'static str, Vec<Sample>> {
    let happened = |sample: &Sample| sample.value > 0.0 || sample.count > 0;
    let family = |name| {
        let samples = samples.of(name).into_iter().filter(happened);
        (name, samples.collect())
    };
    FAMILIES.map(family).into()
}

fn meanings(metrics: &BTreeMap<&'static str, Vec<Sample>>) -> BTreeMap<String, &'static str> {
    let samples = metrics.get("gateway_codes_total").into_iter().flatten();
    let meaning = |sample: &Sample| {
        let of = |label: &str| {
            let text = sample.labels.get(label).map(String::as_str);
            text.filter(|text| !matches!(*text, "none" | "other"))
        };
        let text = of("sub_code").or_else(|| of("code"))?;
        let row = codes::find(text).into_iter().next()?;
        Some((text.to_owned(), row.meaning))
    };
    samples.filter_map(meaning).collect()
}

fn servers(now: &Situation, since: &Since) -> [Server; 2] {
    let server = |name, connection, since: Option<UnixMillis>| Server {
        name,
        connected: match connection {
            Connection::Up => true,
            Connection::Down => false,
        },
        since: since.map(|instant| instant.0),
    };
    [
        server("RabbitMQ", now.broker, since.broker_down),
        server("Redis", now.ledger.connection, since.ledger_down),
    ]
}

fn app_of(app: &AppSituation, since: &Since) -> App {
    App {
        name: app.name.as_str().to_owned(),
        open: app.open.map(|reason| reason.as_str()),
        said: since.blocked.get(&app.name).cloned(),
        since: since.open.get(&app.name).map(|instant| instant.0),
        rate_failing: app.rate_failing,
        limit: app.limit,
        in_flight: app.in_flight,
        waiting: app.waiting,
        requests_per_second: app.requests_per_second,
    }
}
