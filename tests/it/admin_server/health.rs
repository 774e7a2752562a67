//! `hongbaod health` asks the listener of its own configuration.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use hongbaod::app::admin_server::ConditionState;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{World, any_port, condition};
use crate::cli::{Ended, run};

/// A directory with a configuration whose daemon listens there, and whose secrets are all missing.
fn configured(listen: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let text = format!(
        "[admin]\nlisten = \"{listen}\"\ntoken_file = \"absent\"\n\
         [alipay.apps.main]\nprivate_key_file = \"absent\"\nno_such_key = 1\n"
    );
    fs::write(directory.path().join("hongbaod.toml"), text).unwrap();
    directory
}

/// Asks whoever listens there, beside the servers of this test.
async fn health(listen: impl ToString, arguments: &'static [&'static str]) -> Ended {
    let directory = configured(&listen.to_string());
    let asking = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = ["health"].iter().chain(arguments).copied().collect();
        run(directory.path(), &arguments)
    });
    asking.await.unwrap()
}

fn said(ended: &Ended) -> (Option<i32>, &str) {
    (ended.code, &ended.stdout)
}

#[tokio::test]
async fn a_daemon_that_listens_everywhere_is_asked_without_any_secret() {
    let world = World::start().await;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], world.server.address.port()));
    assert_eq!(said(&health(everywhere, &[]).await), (Some(0), "healthy\n"));
    assert_eq!(
        said(&health(everywhere, &["--ready"]).await),
        (Some(0), "ready\n")
    );

    world.clock.0.store(31, Ordering::Relaxed);
    let stuck = "not healthy: the main loop has not ticked for 31 s; restart the process\n";
    assert_eq!(said(&health(everywhere, &[]).await), (Some(1), stuck));

    let blocked = condition("app main", ConditionState::Unmet, "the breaker is open");
    world.conditions.lock().unwrap().push(blocked);
    let unmet = "not ready: app main: the breaker is open\n";
    assert_eq!(
        said(&health(everywhere, &["--ready"]).await),
        (Some(1), unmet)
    );
    let ended = health(world.server.address, &["--ready", "--json"]).await;
    let expected = serde_json::json!({
        "question": "ready",
        "state": "bad",
        "address": world.server.address.to_string(),
        "detail": "app main: the breaker is open",
    });
    assert_eq!(said(&ended), (Some(1), &*format!("{expected}\n")));
}

#[tokio::test]
async fn another_address_is_asked_whatever_the_configuration_says() {
    let world = World::start().await;
    let directory = configured("here");
    let at = world.server.address.to_string();
    let asking = tokio::task::spawn_blocking(move || {
        let found = run(directory.path(), &["health", "--at", &at]);
        (found.code, found.stdout)
    });
    assert_eq!(asking.await.unwrap(), (Some(0), "healthy\n".to_owned()));
}

#[tokio::test]
async fn whoever_does_not_answer_is_unreachable() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    // The system takes the connection, and nobody reads from it.
    let silent = format!("unreachable: {address}: no answer within 2 s\n");
    assert_eq!(said(&health(address, &[]).await), (Some(69), &*silent));
    drop(listener);
    let ended = health(address, &["--json"]).await;
    assert_eq!(ended.code, Some(69), "{}", ended.stdout);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["state"], "unreachable");
}

#[tokio::test]
async fn an_address_that_nobody_can_know_is_a_mistake_of_the_configuration() {
    for listen in ["127.0.0.1:0", "here"] {
        let ended = health(listen, &[]).await;
        assert_eq!(said(&ended), (Some(78), ""), "{listen}");
        assert!(ended.stderr.contains("admin.listen"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("alipay"), "{}", ended.stderr);
    }
}
