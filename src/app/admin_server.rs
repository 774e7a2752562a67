//! The admin listener: health, metrics and a page for people.
//!
//! It is for reading alone, and serves whoever reaches it, so `admin.listen` stays inside; with
//! `admin.token` it serves health to everybody and the rest to whoever shows the token. Without one,
//! it answers to names of the inside alone, for a browser may ask for a page from elsewhere. It takes
//! nothing from a request but its path, the number that is searched for, and that token.

mod jobs;
mod names;
mod page;
mod status;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use secrecy::SecretString;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::connections::{Connections, Limits};
use crate::app::metrics::Metrics;
use crate::app::recent::Recent;
use crate::app::situation::{Situation, headline};
use crate::domain::ident::AppName;
use crate::domain::time::{Monotonic, millis};
use crate::ports::clock::Clock;
use crate::ports::history::History;
use crate::ports::ledger::Ledger;

/// A main loop that has not ticked for so long is stuck.
pub const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(30);

/// How often it is compared how things stand with how they stood, so that incidents are noted also
/// while nobody looks.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(1);

/// Nothing from elsewhere, nothing inline, nothing sent anywhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Browsers have six connections, Prometheus and each prober one, and the bytes are those of a long
/// head: nothing here takes a body. No address can keep all others out, probes above all.
const LIMITS: Limits = Limits {
    connections_max: 128,
    per_source_max: Some(32),
    unanswered_max: Duration::from_secs(10),
    // Longer than people let Prometheus wait between two scrapes.
    idle_max: Duration::from_secs(75),
    unanswered_bytes_max: 16 * 1024,
};

const SCRIPT: &str = include_str!("admin_server/assets/app.js");
const STYLE: &str = include_str!("admin_server/assets/app.css");
const ICON: &str = include_str!("admin_server/assets/icon.svg");

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Header = (HeaderName, &'static str);

/// Source: Fetch standard, `Cross-Origin-Resource-Policy`.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Every answer is about this moment.
const NO_STORE: Header = (CACHE_CONTROL, "no-store");

/// One thing that has to hold for the daemon to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// A short name, such as `rabbitmq` or `app main`.
    pub name: String,
    /// Whether it holds.
    pub state: ConditionState,
    /// Why, for people; nothing secret.
    pub detail: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionState {
    /// It holds.
    Met,
    /// It does not: the daemon is not ready.
    Unmet,
}

/// Tells how every condition stands at the moment of the call. It must not block.
pub type Readiness = Arc<dyn Fn() -> Vec<Condition> + Send + Sync>;

/// Tells how this process stands at the moment of the call. It must not block.
pub type Standing = Arc<dyn Fn() -> Situation + Send + Sync>;

/// Brings the gauges that nobody pushes up to date; called before metrics are read. It must not
/// block.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// The sign of life of a loop.
#[derive(Debug, Default)]
pub struct Heartbeat {
    beat_at_ms: AtomicU64,
}

impl Heartbeat {
    /// Makes one that has just beaten.
    #[must_use]
    pub fn new(now: Monotonic) -> Self {
        let heartbeat = Self::default();
        heartbeat.beat(now);
        heartbeat
    }

    /// The loop ticked; several times within [`HEARTBEAT_AGE_MAX`].
    pub fn beat(&self, now: Monotonic) {
        self.beat_at_ms.store(millis(now.0), Ordering::Relaxed);
    }

    /// How long ago the loop last ticked.
    #[must_use]
    pub fn age(&self, now: Monotonic) -> Duration {
        let beat_at_ms = self.beat_at_ms.load(Ordering::Relaxed);
        now.since(Monotonic(Duration::from_millis(beat_at_ms)))
    }
}

/// What the pages show.
#[derive(Clone)]
pub struct AdminSources {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Called before the metrics are read.
    pub refresh: Refresh,
    /// The conditions of `/readyz`.
    pub readiness: Readiness,
    /// Of the main loop, for `/healthz`.
    pub heartbeat: Arc<Heartbeat>,
    /// What the heartbeat is measured by.
    pub clock: Arc<dyn Clock>,
    /// How this process stands.
    pub situation: Standing,
    /// What happened lately in it.
    pub recent: Arc<Recent>,
    /// Where jobs are looked up.
    pub lookup: Lookup,
    /// What opens everything but health; `None`: it is open.
    pub token: Option<SecretString>,
}

/// Where jobs are looked up.
#[derive(Clone)]
pub struct Lookup {
    /// What is remembered of a job.
    pub ledger: Arc<dyn Ledger>,
    /// Its calls.
    pub history: Arc<dyn History>,
    /// Of searches that name no app.
    pub default_app: Option<AppName>,
    turns: Arc<Semaphore>,
}

impl Lookup {
    /// Makes one that lets few people search at a time.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        history: Arc<dyn History>,
        default_app: Option<AppName>,
    ) -> Self {
        Self {
            ledger,
            history,
            default_app,
            turns: Arc::new(Semaphore::new(jobs::SEARCHES_MAX)),
        }
    }
}

/// Why the admin listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminServerError {
    /// Somebody else listens there.
    #[error(
        "listen on admin.listen = \"{listen}\": the port is in use; stop the other process or \
         choose another port"
    )]
    PortInUse {
        /// The address that was configured.
        listen: SocketAddr,
    },
    /// Anything else.
    #[error("listen on admin.listen = \"{listen}\"")]
    Listen {
        /// The address that was configured.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The running server.
#[derive(Debug)]
pub struct AdminServer {
    /// Where it listens; with port 0 configured, the port that the system chose.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Waits until the server has stopped, after the shutdown token was cancelled and the last
    /// answer was written.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the admin server's task failed");
        }
    }
}

/// Serves the pages on `listen` until `shutdown` is cancelled.
///
/// # Errors
///
/// [`AdminServerError`] when the address cannot be listened on.
pub async fn serve(
    listen: SocketAddr,
    sources: AdminSources,
    shutdown: CancellationToken,
) -> Result<AdminServer, AdminServerError> {
    let listener = TcpListener::bind(listen).await.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            AdminServerError::PortInUse { listen }
        } else {
            AdminServerError::Listen { listen, source }
        }
    })?;
    let address = listener
        .local_addr()
        .map_err(|source| AdminServerError::Listen { listen, source })?;
    let router = router(sources.clone());
    let ended = shutdown.clone();
    let server = axum::serve(Connections::new(listener, LIMITS), router)
        .with_graceful_shutdown(async move { ended.cancelled().await });
    let task = tokio::spawn(async move {
        let observing = shutdown.run_until_cancelled(observe(&sources));
        let (served, _) = tokio::join!(server.into_future(), observing);
        if let Err(error) = served {
            tracing::error!(error = %error, "the admin server stopped");
        }
    });
    Ok(AdminServer { address, task })
}

fn router(sources: AdminSources) -> Router {
    let open = Router::new()
        .route(
            "/app.js",
            get(|| asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/app.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/icon.svg", get(|| asset("image/svg+xml", ICON)))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/status", get(status::status))
        .route("/api/jobs/{number}", get(jobs::job))
        .route_layer(middleware::from_fn_with_state(
            sources.clone(),
            token::guard,
        ));
    let told =
        guarded
            .route("/", get(page_for_people))
            .route_layer(middleware::from_fn_with_state(
                sources.clone(),
                names::guard,
            ));
    open.merge(told)
        .layer(middleware::map_response(for_our_own_page_alone))
        .with_state(sources)
}

/// No page from elsewhere may show or embed an answer, or read it as something that it is not.
async fn for_our_own_page_alone(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn observe(sources: &AdminSources) {
    loop {
        sources.recent.observe(&(sources.situation)());
        sources.clock.sleep(OBSERVE_INTERVAL).await;
    }
}

/// A part of the page. Not kept by browsers: after an upgrade the page and its parts fit again.
async fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, content_type), NO_STORE];
    (headers, text).into_response()
}

/// An answer in JSON.
fn json_answer(status: StatusCode, body: &impl Serialize) -> Response {
    // Texts, numbers and lists with texts as keys only: writing them as JSON cannot fail.
    let body = serde_json::to_string(body).unwrap_or_default();
    let headers = [(CONTENT_TYPE, "application/json"), NO_STORE];
    (status, headers, body).into_response()
}

async fn healthz(State(sources): State<AdminSources>) -> Response {
    let age = sources.heartbeat.age(sources.clock.monotonic());
    if age <= HEARTBEAT_AGE_MAX {
        return (StatusCode::OK, [NO_STORE], "ok\n").into_response();
    }
    let body = format!(
        "the main loop has not ticked for {} s; restart the process\n",
        age.as_secs()
    );
    (StatusCode::SERVICE_UNAVAILABLE, [NO_STORE], body).into_response()
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct ReadyBody<'a> {
    ready: bool,
    conditions: Vec<ConditionBody<'a>>,
}

#[derive(Serialize)]
struct ConditionBody<'a> {
    name: &'a str,
    met: bool,
    detail: &'a str,
}

async fn readyz(State(sources): State<AdminSources>) -> Response {
    let conditions = (sources.readiness)();
    let ready = is_ready(&conditions);
    let body = ReadyBody {
        ready,
        conditions: conditions
            .iter()
            .map(|condition| ConditionBody {
                name: &condition.name,
                met: condition.is_met(),
                detail: &condition.detail,
            })
            .collect(),
    };
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // Texts and booleans only: writing them as JSON cannot fail.
    let body = serde_json::to_string_pretty(&body).unwrap_or_default();
    let headers = [(CONTENT_TYPE, "application/json"), NO_STORE];
    (status, headers, body).into_response()
}

async fn metrics(State(sources): State<AdminSources>) -> Response {
    (sources.refresh)();
    let headers = [(CONTENT_TYPE, METRICS_TYPE), NO_STORE];
    (headers, sources.metrics.encode()).into_response()
}

/// The page itself. Behind a token it says nothing of the daemon, as a browser cannot show the token
/// before it has the page.
async fn page_for_people(State(sources): State<AdminSources>) -> Response {
    let page = if sources.token.is_some() {
        page::without_state()
    } else {
        (sources.refresh)();
        let now = (sources.situation)();
        sources.recent.observe(&now);
        page::with_state(
            &headline(&now, &sources.recent.since()),
            &(sources.readiness)(),
            &sources.metrics.summary(),
        )
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (REFERRER_POLICY, "no-referrer"),
        NO_STORE,
    ];
    (headers, page).into_response()
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self.state {
            ConditionState::Met => true,
            ConditionState::Unmet => false,
        }
    }
}

fn is_ready(conditions: &[Condition]) -> bool {
    conditions.iter().all(Condition::is_met)
}
