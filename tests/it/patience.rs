//! Waiting for what no signal tells of, and not for ever.

use std::time::Duration;

use tokio::time::timeout;

/// Longer than anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits between two looks at something that no signal tells of.
pub(crate) async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Waits until `holds` says yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl FnMut() -> F) {
    eventually_within(PATIENCE, what, holds).await;
}

/// Waits for so long until `holds` says yes.
pub(crate) async fn eventually_within<F: Future<Output = bool>>(
    patience: Duration,
    what: &str,
    mut holds: impl FnMut() -> F,
) {
    let wait = async {
        while !holds().await {
            pause(Duration::from_millis(20)).await;
        }
    };
    timeout(patience, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} within {patience:?}"));
}
