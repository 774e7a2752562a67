//! The HTTP server: holds answers back, and resets connections, as the gateway tells it to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State as Extracted};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::adapters::alipay::wire::Charset;
use crate::sandbox::gateway::{self, Answer};
use crate::sandbox::state::State;
use crate::sandbox::{cashier, console};

/// The largest request body, in bytes; a real request has about 1 KiB.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    stop: CancellationToken,
}

/// Serves until `stop` is cancelled; calls that are held back are reset then.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    stop: CancellationToken,
) -> io::Result<()> {
    let shared = Shared {
        state,
        stop: stop.clone(),
    };
    let routes = Router::new()
        .route("/gateway.do", get(call).post(call))
        // What `hongbaod health --at` asks for.
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(cashier::routes())
        .merge(console::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared);
    let service = routes.into_make_service_with_connect_info::<ResetSwitch>();
    axum::serve(ResettableListener(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn call(
    Extracted(shared): Extracted<Shared>,
    ConnectInfo(switch): ConnectInfo<ResetSwitch>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let query = query.unwrap_or_default();
    let reply = gateway::answer(&shared.state, &query, &body);
    shared.state.before_answering().await;
    if !reply.hold.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(reply.hold) => {}
            () = shared.stop.cancelled() => {
                switch.press();
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
        }
    }
    match reply.answer {
        Answer::Body(body, charset) => {
            let content_type = match charset {
                Charset::Utf8 => "text/html;charset=utf-8",
                Charset::Gbk => "text/html;charset=GBK",
            };
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Answer::Redirect(address) => {
            (StatusCode::FOUND, [(header::LOCATION, address)]).into_response()
        }
        Answer::HtmlError => {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>\
                <center><h1>502 Bad Gateway</h1></center></body></html>";
            let content_type = [(header::CONTENT_TYPE, "text/html")];
            (StatusCode::BAD_GATEWAY, content_type, page).into_response()
        }
        Answer::Reset => {
            switch.press();
            // Never written: the connection refuses to.
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Makes one connection end with a reset instead of its next answer.
#[derive(Clone, Debug, Default)]
struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    fn press(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for ResetSwitch {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        stream.io().switch.clone()
    }
}

struct ResettableListener(TcpListener);

impl Listener for ResettableListener {
    type Io = ResettableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are one small write each; a failure costs latency alone.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a sandbox connection keeps its delay");
        }
        let switch = ResetSwitch::default();
        (ResettableStream { stream, switch }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

struct ResettableStream {
    stream: TcpStream,
    switch: ResetSwitch,
}

impl ResettableStream {
    /// Fails once the switch is pressed; without lingering the close is a reset.
    fn check(&self) -> io::Result<()> {
        if !self.switch.is_pressed() {
            return Ok(());
        }
        self.stream.set_zero_linger()?;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A shutdown would say goodbye first.
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
