//! The signals: when to stop (SIGTERM from Kubernetes, SIGINT from a person), and when to read
//! keys again (SIGHUP).

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The exit code after a second signal: the drain was cut short.
const CUT_SHORT: i32 = 1;

/// Returns a token that the first SIGTERM or SIGINT cancels; the second one ends the process.
///
/// # Errors
///
/// When the system refuses to register the handlers.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        cancelled.cancel();
        either(&mut terminate, &mut interrupt).await;
        warn!("a second signal: the drain is cut short");
        std::process::exit(CUT_SHORT);
    });
    Ok(token)
}

/// Returns the signal that asks for changed keys to be read again.
///
/// # Errors
///
/// When the system refuses to register the handler.
pub fn hang_up() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("listen for SIGHUP")
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
