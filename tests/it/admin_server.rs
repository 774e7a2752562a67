//! The admin listener over loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::app::admin_server::{
    AdminServer, AdminServerError, AdminSources, Condition, ConditionState, Heartbeat, serve,
};
use hongbaod::app::metrics::Metrics;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::Kind;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::clock::Clock;
use reqwest::StatusCode;
use tokio_util::sync::CancellationToken;

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

impl World {
    async fn start() -> Self {
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
        let sources = AdminSources {
            metrics: Arc::clone(&metrics),
            refresh: Arc::new(move || refreshed.set_unsettled(Kind::Pay, 5)),
            readiness: Arc::new(move || shown.lock().unwrap().clone()),
            heartbeat: Arc::clone(&heartbeat),
            clock: Arc::<HandClock>::clone(&clock),
        };
        let server = serve(any_port(), sources, shutdown.clone()).await.unwrap();
        Self {
            clock,
            heartbeat,
            metrics,
            conditions,
            shutdown,
            server,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String, String) {
        let url = format!("http://{}{path}", self.server.address);
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(url)
            .send()
            .await
            .unwrap();
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
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "ready": true,
        "conditions": [{"name": "rabbitmq", "met": true, "detail": "connected"}],
    });
    assert_eq!(body, expected);

    let blocked = condition("app main", ConditionState::Unmet, "the breaker is open");
    world.conditions.lock().unwrap().push(blocked);
    let (status, _, body) = world.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
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
        env!("CARGO_PKG_VERSION"),
        "rabbitmq",
        "0 succeeded, 0 failed, 1 rejected",
        "href=\"/metrics\"",
    ] {
        assert!(body.contains(part), "{part}");
    }
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
