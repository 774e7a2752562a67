//! The admin listener over loopback.

mod health;
mod limits;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::memory_history::MemoryHistory;
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::app::admin_server::{
    AdminServer, AdminServerError, AdminSources, Condition, ConditionState, Heartbeat, Lookup,
    serve,
};
use hongbaod::app::metrics::Metrics;
use hongbaod::app::recent::Recent;
use hongbaod::app::situation::{AppSituation, Situation};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::Kind;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::pacing::OpenReason;
use hongbaod::ports::clock::Clock;
use hongbaod::ports::history::{CallKind, History as _, PastCall, PastVerdict};
use hongbaod::ports::ledger::{Connection, Ledger as _, LedgerHealth};
use reqwest::StatusCode;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::ledger_entries::{NOW, deferred, every_kind, key};

const TOKEN: &str = "a-token-that-nobody-guesses";

/// A clock that is set by hand, in seconds.
#[derive(Default)]
struct HandClock(AtomicU64);

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

struct World {
    clock: Arc<HandClock>,
    heartbeat: Arc<Heartbeat>,
    metrics: Arc<Metrics>,
    conditions: Arc<Mutex<Vec<Condition>>>,
    situation: Arc<Mutex<Situation>>,
    ledger: Arc<MemoryLedger>,
    history: Arc<MemoryHistory>,
    shutdown: CancellationToken,
    server: AdminServer,
}

fn main_app() -> AppName {
    AppName::new("main").unwrap()
}

fn condition(name: &str, state: ConditionState, detail: &str) -> Condition {
    Condition {
        name: name.to_owned(),
        state,
        detail: detail.to_owned(),
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// One app, and nothing is wrong.
fn well() -> Situation {
    Situation {
        at: UnixMillis(1_000),
        broker: Connection::Up,
        ledger: LedgerHealth {
            connection: Connection::Up,
            memory_lost_at: None,
            memory_losses: 0,
        },
        doubt: Duration::from_secs(600),
        unresolved_after: Duration::from_secs(600),
        draining: false,
        apps: vec![AppSituation {
            name: main_app(),
            open: None,
            paused: Vec::new(),
            rate_failing: false,
            limit: 8,
            in_flight: 3,
            waiting: 2,
            requests_per_second: 100,
        }],
        alarms: hongbaod::app::metrics::Alarms::default(),
    }
}

impl World {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(token: Option<&str>) -> Self {
        let clock = Arc::new(HandClock::default());
        let heartbeat = Arc::new(Heartbeat::new(clock.monotonic()));
        let metrics = Arc::new(Metrics::new(&[main_app()]));
        let conditions = Arc::new(Mutex::new(vec![condition(
            "rabbitmq",
            ConditionState::Met,
            "connected",
        )]));
        let shutdown = CancellationToken::new();
        let shown = Arc::clone(&conditions);
        let refreshed = Arc::clone(&metrics);
        let situation = Arc::new(Mutex::new(well()));
        let standing = Arc::clone(&situation);
        let ledger = Arc::new(MemoryLedger::new());
        let history = Arc::new(MemoryHistory::new());
        let lookup = Lookup::new(
            Arc::<MemoryLedger>::clone(&ledger),
            Arc::<MemoryHistory>::clone(&history),
            Some(main_app()),
        );
        let sources = AdminSources {
            metrics: Arc::clone(&metrics),
            refresh: Arc::new(move || refreshed.set_unsettled(Kind::Pay, 5)),
            readiness: Arc::new(move || shown.lock().unwrap().clone()),
            heartbeat: Arc::clone(&heartbeat),
            clock: Arc::<HandClock>::clone(&clock),
            situation: Arc::new(move || standing.lock().unwrap().clone()),
            recent: Recent::new(UnixMillis(500), "replica-7".to_owned()),
            lookup,
            token: token.map(Into::into),
        };
        let server = serve(any_port(), sources, shutdown.clone()).await.unwrap();
        Self {
            clock,
            heartbeat,
            metrics,
            conditions,
            situation,
            ledger,
            history,
            shutdown,
            server,
        }
    }

    async fn status(&self) -> Value {
        let (status, content_type, body) = self.get("/api/status").await;
        assert_eq!(
            (status, &*content_type),
            (StatusCode::OK, "application/json")
        );
        serde_json::from_str(&body).unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String, String) {
        self.get_with(path, None).await
    }

    async fn get_with(&self, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
        let url = format!("http://{}{path}", self.server.address);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let content_type = answer.headers().get("content-type");
        let content_type = content_type.map_or("", |value| value.to_str().unwrap());
        let content_type = content_type.to_owned();
        (answer.status(), content_type, answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn the_process_is_healthy_while_its_loop_ticks() {
    let world = World::start().await;
    for (now_s, beats, expected) in [
        (30, false, StatusCode::OK),
        (31, false, StatusCode::SERVICE_UNAVAILABLE),
        (31, true, StatusCode::OK),
        (90, false, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        world.clock.0.store(now_s, Ordering::Relaxed);
        if beats {
            world.heartbeat.beat(world.clock.monotonic());
        }
        let (status, _, body) = world.get("/healthz").await;
        assert_eq!(status, expected, "at {now_s} s: {body}");
    }
}

#[tokio::test]
async fn it_is_ready_while_every_condition_is_met_and_names_each() {
    let world = World::start().await;
    let (status, content_type, body) = world.get("/readyz").await;
    assert_eq!(
        (status, &*content_type),
        (StatusCode::OK, "application/json")
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "ready": true,
        "conditions": [{"name": "rabbitmq", "met": true, "detail": "connected"}],
    });
    assert_eq!(body, expected);

    let blocked = condition("app main", ConditionState::Unmet, "the breaker is open");
    world.conditions.lock().unwrap().push(blocked);
    let (status, _, body) = world.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["ready"], false);
    assert_eq!(body["conditions"][0]["met"], true);
    assert_eq!(body["conditions"][1]["name"], "app main");
    assert_eq!(body["conditions"][1]["met"], false);
}

#[tokio::test]
async fn metrics_are_refreshed_and_answered_in_the_text_format() {
    let world = World::start().await;
    world.metrics.received(&main_app(), Kind::Disburse);
    let (status, content_type, body) = world.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    for sample in [
        r#"hongbaod_jobs_received_total{app="main",kind="disburse"} 1"#,
        r#"hongbaod_unsettled{kind="pay"} 5"#,
    ] {
        assert!(body.lines().any(|line| line == sample), "{sample}");
    }
}

#[tokio::test]
async fn the_page_for_people_shows_conditions_and_counts() {
    let world = World::start().await;
    world.metrics.rejected(&main_app(), Kind::Refund);
    let _in_flight = world.metrics.in_flight(Kind::Refund);
    let (status, content_type, body) = world.get("/").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(content_type, "text/html; charset=utf-8");
    for part in [
        "All is well",
        "rabbitmq",
        "0 succeeded, 0 failed, 1 rejected",
        "href=\"/metrics\"",
    ] {
        assert!(body.contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_page_and_its_parts_allow_nothing_from_elsewhere_and_nothing_inline() {
    let world = World::start().await;
    for (path, expected) in [
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let (status, content_type, body) = world.get(path).await;
        assert_eq!((status, &*content_type), (StatusCode::OK, expected));
        assert!(!body.is_empty());
    }
    let url = format!("http://{}/", world.server.address);
    let answer = reqwest::get(url).await.unwrap();
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    assert!(!policy.contains("unsafe"));
}

#[tokio::test]
async fn the_status_tells_in_words_what_is_wrong_and_since_when() {
    let world = World::start().await;
    world.metrics.received(&main_app(), Kind::Disburse);
    let status = world.status().await;
    assert_eq!(status["headline"][0]["text"], "All is well");
    assert_eq!(status["replica"], "replica-7");
    assert_eq!(status["started_at"], 500);
    let received = &status["metrics"]["jobs_received_total"];
    assert_eq!(
        received.as_array().unwrap().len(),
        1,
        "without what never happened"
    );
    assert_eq!(received[0]["value"], 1.0);
    assert_eq!(status["metrics"]["unsettled"][0]["value"], 5.0);

    {
        let mut situation = world.situation.lock().unwrap();
        situation.apps[0].open = Some(OpenReason::Blocked);
        situation.at = UnixMillis(2_000);
    }
    let status = world.status().await;
    let line = &status["headline"][0];
    assert_eq!(line["level"], "trouble");
    assert_eq!(line["since"], 2_000);
    assert!(
        line["text"]
            .as_str()
            .unwrap()
            .starts_with("main is blocked")
    );
    assert_eq!(status["apps"][0]["open"], "blocked");
    assert_eq!(status["apps"][0]["in_flight"], 3);
    assert_eq!(status["incidents"][0]["text"], "main is blocked by Alipay");
}

#[tokio::test]
async fn the_life_of_a_job_is_found_by_its_number_and_shows_no_logon_id() {
    let world = World::start().await;
    let mut states = Vec::new();
    for index in 0..every_kind(&key(0)).len() {
        let key = key(u64::try_from(index).unwrap());
        let entry = every_kind(&key).swap_remove(index);
        world.ledger.insert(&key, &entry).await.unwrap();
        let path = format!("/api/jobs/{}?app={}", key.out_request_no, key.app);
        let (status, _, body) = world.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(!body.contains("13800000000"), "{body}");
        let life: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(life["found"], true);
        let facts = life["facts"].as_array().unwrap();
        let state = facts.iter().find(|fact| fact[0] == "state").unwrap();
        states.push(state[1].as_str().unwrap().to_owned());
    }
    states.sort();
    states.dedup();
    assert_eq!(states, ["deferred", "in flight", "settled"]);
}

#[tokio::test]
async fn the_life_of_a_job_has_its_calls_in_their_order() {
    let world = World::start().await;
    let key = key(900);
    world
        .ledger
        .insert(&key, &deferred(&key, NOW))
        .await
        .unwrap();
    for number in 1..=2 {
        let call = PastCall {
            number,
            call: CallKind::Send,
            verdict: PastVerdict::Unknown,
            code: Some("20000".to_owned()),
            sub_code: None,
            at: NOW,
            duration_ms: 15_000,
            replica: "replica-7".to_owned(),
        };
        world
            .history
            .note(&key, &call, Duration::from_secs(1))
            .await
            .unwrap();
    }
    let (_, _, body) = world
        .get(&format!("/api/jobs/{}", key.out_request_no))
        .await;
    let life: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(life["history"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(life["history"][1]["number"], 2);
    assert_eq!(life["history"][1]["verdict"], "unknown");
}

#[tokio::test]
async fn what_is_no_number_is_refused_and_what_is_not_there_is_said() {
    let world = World::start().await;
    for (path, expected, part) in [
        ("/api/jobs/R1", StatusCode::OK, r#""found":false"#),
        ("/api/jobs/R1?app=other", StatusCode::OK, r#""app":"other""#),
        ("/api/jobs/R%201", StatusCode::BAD_REQUEST, "the number"),
        ("/api/jobs/R1?app=A", StatusCode::BAD_REQUEST, "the app"),
    ] {
        let (status, content_type, body) = world.get(path).await;
        assert_eq!(
            (status, &*content_type),
            (expected, "application/json"),
            "{path}"
        );
        assert!(body.contains(part), "{path}: {body}");
    }
}

#[tokio::test]
async fn nothing_is_written_through_it() {
    let world = World::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/", "/api/status", "/api/jobs/R1", "/metrics", "/readyz"] {
        let url = format!("http://{}{path}", world.server.address);
        let posted = http.post(&url).body("x").send().await.unwrap().status();
        let deleted = http.delete(&url).send().await.unwrap().status();
        let refused = StatusCode::METHOD_NOT_ALLOWED;
        assert_eq!((posted, deleted), (refused, refused), "{path}");
    }
}

#[tokio::test]
async fn behind_a_token_only_health_and_the_empty_page_are_open() {
    let world = World::start_with(Some(TOKEN)).await;
    for path in [
        "/healthz",
        "/readyz",
        "/",
        "/app.js",
        "/app.css",
        "/icon.svg",
    ] {
        assert_eq!(world.get(path).await.0, StatusCode::OK, "{path}");
    }
    let (_, _, page) = world.get("/").await;
    assert!(
        !page.contains("All is well") && !page.contains("rabbitmq"),
        "{page}"
    );
    for path in ["/metrics", "/api/status", "/api/jobs/R1"] {
        for wrong in [None, Some("a-token-that-nobody-guesse"), Some("")] {
            let (status, _, body) = world.get_with(path, wrong).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
            assert!(!body.contains(TOKEN));
        }
        let (status, _, _) = world.get_with(path, Some(TOKEN)).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    // It is no part of an address, where logs and histories would keep it.
    let (status, _, _) = world.get(&format!("/api/status?token={TOKEN}")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let world = World::start().await;
    assert_eq!(world.get("/metrics/x").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_key_to_change() {
    let world = World::start().await;
    let sources = AdminSources {
        metrics: Arc::clone(&world.metrics),
        refresh: Arc::new(|| {}),
        readiness: Arc::new(Vec::new),
        heartbeat: Arc::clone(&world.heartbeat),
        clock: Arc::<HandClock>::clone(&world.clock),
        situation: Arc::new(well),
        recent: Recent::new(UnixMillis(0), "two".to_owned()),
        lookup: Lookup::new(
            Arc::<MemoryLedger>::clone(&world.ledger),
            Arc::<MemoryHistory>::clone(&world.history),
            None,
        ),
        token: None,
    };
    let listen = world.server.address;
    let refused = serve(listen, sources, CancellationToken::new()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, AdminServerError::PortInUse { .. }));
    let text = error.to_string();
    assert!(text.contains("admin.listen") && text.contains(&listen.to_string()));
    assert!(text.contains("port is in use"), "{text}");
}

#[tokio::test]
async fn it_stops_when_told_and_frees_the_port() {
    let world = World::start().await;
    assert_eq!(world.get("/healthz").await.0, StatusCode::OK);
    let address = world.server.address;
    world.shutdown.cancel();
    world.server.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
