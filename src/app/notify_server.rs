//! The public listener for Alipay's notifications: `POST /alipay/notify/<app>`.
//!
//! It faces everybody, so whatever a request holds means nothing before its signature is verified,
//! everything has a limit, and nothing of what is refused is written anywhere but as a word. The
//! answer is exactly `success` once the fact is durable, and anything else makes Alipay repeat it.
//! Source: Alipay, asynchronous notifications: "success", seven characters.

mod refusals;
mod sources;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::config::NotifyConfig;
use crate::app::connections::{Connections, Limits, Peer};
use crate::app::metrics::{Metrics, NotificationResult, Unread};
use crate::app::notify_server::refusals::Refusals;
use crate::app::notify_server::sources::Sources;
use crate::app::worker::Worker;
use crate::domain::ident::AppName;
use crate::ports::clock::Clock;
use crate::ports::notifications::{NotificationError, Notifications};

/// The longest body, in bytes; a notification has about 1,500.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take once the head is there.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// How many notifications are read and dealt with at a time; the rest is answered 503 at once.
const AT_A_TIME_MAX: usize = 128;

/// A connection's time is more than a body and a notification may take together; its bytes are
/// the longest body and a long head.
const LIMITS: Limits = Limits {
    connections_max: 256,
    per_source_max: None,
    unanswered_max: Duration::from_secs(20),
    // nginx, and with it the usual ingress controller, keeps a connection for 60 s.
    idle_max: Duration::from_secs(75),
    unanswered_bytes_max: 96 * 1024,
};

/// What the listener works with.
#[derive(Clone)]
pub struct NotifySources {
    /// Tells true notifications from others.
    pub notifications: Arc<dyn Notifications>,
    /// Does what they mean.
    pub worker: Arc<Worker>,
    /// Counts them.
    pub metrics: Arc<Metrics>,
    /// What rates are measured by.
    pub clock: Arc<dyn Clock>,
}

/// Why the listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum NotifyServerError {
    /// Somebody else listens there.
    #[error(
        "listen on notify.listen = \"{listen}\": the port is in use; stop the other process or \
         choose another port"
    )]
    PortInUse {
        /// The address that was configured.
        listen: SocketAddr,
    },
    /// Anything else.
    #[error("listen on notify.listen = \"{listen}\"")]
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
pub struct NotifyServer {
    /// Where it listens; with port 0 configured, the port that the system chose.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl NotifyServer {
    /// Waits until the server has stopped, after the shutdown token was cancelled and the last
    /// answer was written.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the task of the listener for notifications failed");
        }
    }
}

/// Takes notifications on `listen` until `shutdown` is cancelled.
///
/// # Errors
///
/// [`NotifyServerError`] when the address cannot be listened on.
pub async fn serve(
    listen: SocketAddr,
    config: &NotifyConfig,
    sources: NotifySources,
    shutdown: CancellationToken,
) -> Result<NotifyServer, NotifyServerError> {
    let listener = TcpListener::bind(listen).await.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            NotifyServerError::PortInUse { listen }
        } else {
            NotifyServerError::Listen { listen, source }
        }
    })?;
    let address = listener
        .local_addr()
        .map_err(|source| NotifyServerError::Listen { listen, source })?;
    let desk = Arc::new(Desk {
        sources,
        senders: Sources::new(config.rate_per_source, config.trusted_proxies.clone()),
        refusals: Refusals::default(),
        places: Semaphore::new(AT_A_TIME_MAX),
    });
    let router = Router::new()
        .route("/alipay/notify/{app}", post(take))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk);
    let service = router.into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(Connections::new(listener, LIMITS), service)
        .with_graceful_shutdown(async move { shutdown.cancelled().await });
    let task = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(error = %error, "the listener for notifications stopped");
        }
    });
    Ok(NotifyServer { address, task })
}

/// Everything that a request meets.
struct Desk {
    sources: NotifySources,
    senders: Sources,
    refusals: Refusals,
    places: Semaphore,
}

/// A request that was answered before its notification was dealt with.
type Refused = (StatusCode, NotificationResult);

async fn take(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let app = path.ok().and_then(|Path(app)| AppName::new(&app).ok());
    let app = app.filter(|app| desk.sources.notifications.knows(app));
    let (status, result) = match desk.deal_with(app.as_ref(), peer, request).await {
        Ok(result) => (StatusCode::OK, result),
        Err(refused) => refused,
    };
    desk.sources.metrics.notified(app.as_ref(), result);
    desk.refusals
        .log(app.as_ref(), result, desk.sources.clock.monotonic());
    let word = if status == StatusCode::OK {
        "success"
    } else {
        "fail"
    };
    (status, [(CONTENT_TYPE, "text/plain")], word).into_response()
}

impl Desk {
    async fn deal_with(
        &self,
        app: Option<&AppName>,
        peer: Peer,
        request: Request,
    ) -> Result<NotificationResult, Refused> {
        let unread = |status, unread| (status, NotificationResult::Unread(unread));
        let now = self.sources.clock.monotonic();
        if !self.senders.admits(peer.0.ip(), request.headers(), now) {
            return Err(unread(StatusCode::TOO_MANY_REQUESTS, Unread::RateLimited));
        }
        let Some(app) = app else {
            return Err(refused(NotificationError::UnknownApp));
        };
        let Ok(_place) = self.places.try_acquire() else {
            return Err(unread(StatusCode::SERVICE_UNAVAILABLE, Unread::Busy));
        };
        let body = self.body(request).await?;
        let read = self.sources.notifications.read(app, &body);
        let notice = read.map_err(refused)?;
        drop(body);
        match self.sources.worker.note(&notice).await {
            Ok(noted) => Ok(NotificationResult::Noted(noted)),
            Err(unnoted) => Err((
                StatusCode::SERVICE_UNAVAILABLE,
                NotificationResult::Unnoted((&unnoted).into()),
            )),
        }
    }

    /// The whole body, within its limits.
    async fn body(&self, request: Request) -> Result<Bytes, Refused> {
        let unread = |status, unread| (status, NotificationResult::Unread(unread));
        let too_large = unread(StatusCode::PAYLOAD_TOO_LARGE, Unread::TooLarge);
        if told_length(request.headers()).is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(too_large);
        }
        tokio::select! {
            biased;
            body = Bytes::from_request(request, &()) => body.map_err(|rejection| {
                if is_too_long(&rejection) {
                    too_large
                } else {
                    unread(StatusCode::BAD_REQUEST, Unread::Incomplete)
                }
            }),
            () = self.sources.clock.sleep(BODY_TIME_MAX) => {
                Err(unread(StatusCode::REQUEST_TIMEOUT, Unread::Incomplete))
            }
        }
    }
}

/// Whether reading stopped at the limit, and not because the connection broke.
fn is_too_long(rejection: &BytesRejection) -> bool {
    let too_long = |buffering: &FailedToBufferBody| {
        matches!(buffering, FailedToBufferBody::LengthLimitError(_))
    };
    matches!(rejection, BytesRejection::FailedToBufferBody(buffering) if too_long(buffering))
}

/// The length that the head says the body has.
fn told_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn refused(error: NotificationError) -> Refused {
    let status = match error {
        NotificationError::UnknownApp => StatusCode::NOT_FOUND,
        NotificationError::Unsigned | NotificationError::Forged | NotificationError::Foreign => {
            StatusCode::FORBIDDEN
        }
        NotificationError::NotAForm
        | NotificationError::Duplicate
        | NotificationError::Ambiguous
        | NotificationError::Charset
        | NotificationError::Unreadable { .. } => StatusCode::BAD_REQUEST,
    };
    (status, NotificationResult::Refused(error))
}
