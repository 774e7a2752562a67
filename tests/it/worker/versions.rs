//! What a replica does with an entry that a newer version wrote: nothing, until somebody can read it.

use std::time::Duration;

use hongbaod::domain::entry::Entry;
use hongbaod::domain::outcome::Resolution;
use hongbaod::domain::verdict::{Doubt, Finding, OperationStatus};
use hongbaod::lifecycle::admission::PARK_DELAY_MAX;

use super::fakes::Scripted;
use super::world::{World, key};
use super::{JOB, QUERY, found, not_found, success};

/// Two looks more than it takes for the waits to grow no more.
const LOOKS: usize = 9;

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_is_left_to_whoever_can() {
    let world = World::start(vec![not_found(), success()]);
    *world.ledger.unreadable.lock().unwrap() = Some(key("R1"));
    world.submit(JOB).await;
    world.until("ack", LOOKS).await;
    // Seven waits of 1, 2, 4 … 64 s, and one of 64 s.
    let waited = world.clock_since_start();
    assert!(
        waited > Duration::from_secs(127) + PARK_DELAY_MAX,
        "{waited:?}"
    );
    assert_eq!(world.journal.count("copy with ticket Some(0)"), LOOKS);
    for never in [
        "send",
        "query",
        "event",
        "reply",
        "bury",
        "hand back",
        "remove",
    ] {
        assert_eq!(world.journal.count(never), 0, "{never}");
    }
    assert_eq!(
        world.metric(r#"deferrals_total{kind="disburse",reason="unreadable"}"#),
        LOOKS.to_string()
    );
    assert!(world.ledger.entry("R1").await.is_none());

    // The entry is gone by now: a job that somebody else may have sent is asked about first.
    *world.ledger.unreadable.lock().unwrap() = None;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await.assert_order(&["query", "send"]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_another_version_took_over_is_not_settled_by_the_late_answer() {
    let late = Scripted::Late(Duration::from_secs(5), Box::new(success()));
    let world = World::start(vec![late, found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("send", 1).await;
    *world.ledger.unreadable.lock().unwrap() = Some(key("R1"));
    world.until("copy with ticket", 3).await;
    assert_eq!(world.journal.count("event"), 0);
    assert_eq!(world.journal.count("send"), 1);
    let entry = world.ledger.entry("R1").await;
    assert!(matches!(entry, Some(Entry::InFlight(_))), "{entry:?}");

    *world.ledger.unreadable.lock().unwrap() = None;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let Some(Entry::Settled(outcome)) = world.ledger.entry("R1").await else {
        panic!("it is settled");
    };
    assert!(matches!(outcome.resolution, Resolution::Succeeded { .. }));
    assert_eq!(world.stop().await.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_is_answered_though_the_entry_of_what_it_found_cannot_be_read() {
    let world = World::start(vec![
        Scripted::Queried(Finding::Unknown(Doubt::TimedOut)),
        found(OperationStatus::Success),
    ]);
    *world.ledger.unreadable.lock().unwrap() = Some(key("R1"));
    world.submit(QUERY).await;
    assert_eq!(world.event().await.0, "query.found");
    let journal = world.stop().await;
    assert_eq!((journal.count("event"), journal.count("bury")), (1, 0));
}
