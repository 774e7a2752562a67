//! An urgent job behind a burst.

use crate::daemon::plan::{Fate, body};
use crate::daemon::world::{World, WorldOptions};
use crate::patience::eventually;

/// Six seconds at the world's rate.
const BURST: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_job_overtakes_the_burst_before_it() {
    let world = World::start(
        "urgent",
        WorldOptions {
            settings: &[("HONGBAOD__PACING__REQUESTS_PER_SECOND", "20")],
            ..WorldOptions::default()
        },
    )
    .await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let numbers = (0..BURST).map(|index| format!("R{index:04}"));
    let bodies: Vec<_> = numbers
        .map(|number| body(&number, "0.01", Fate::Succeeded))
        .collect();
    let (code, lines) = world.submit(&bodies).await;
    assert_eq!(code, Some(0), "{lines:?}");

    let path = world.path("urgent.ndjson");
    std::fs::write(&path, body("U1", "0.02", Fate::Succeeded)).unwrap();
    let file = path.display().to_string();
    let mut submit = world.hongbaod(&["submit", "--urgent", "--json", "--file", &file]);
    assert_eq!(submit.exit_code().await, Some(0));
    let is_urgent = |event: &serde_json::Value| event["id"] == "main/disburse/U1";
    eventually("the urgent job", async || {
        subscriber.events().iter().any(is_urgent)
    })
    .await;
    let events = subscriber.events();
    let before = events.iter().position(is_urgent).unwrap();
    assert!(before < BURST * 3 / 4, "{before} of {BURST} came before it");
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.demolish().await;
}
