//! The rules that only a driver can keep, each by its number in `docs/job-lifecycle.md`.

use std::time::Duration;

use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::job::Kind;
use hongbaod::domain::verdict::{Doubt, Finding, NotExecuted, OperationStatus, Refusal, Verdict};
use hongbaod::ports::broker::Broker as _;
use hongbaod::ports::ledger::Connection;

use super::fakes::{START, Scripted};
use super::world::{self, World, options};
use super::{JOB, QUERY, found, not_found, refused, success, unknown};

#[tokio::test(start_paused = true)]
async fn rule_01_and_07_claim_call_settle_announce_ack_in_this_order() {
    let world = World::start(vec![success()]);
    world.submit(JOB).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["id"].as_str()),
        ("disburse.succeeded", Some("main/disburse/R1"))
    );
    world.until("ack", 1).await;
    let journal = world.stop().await;
    let expected = [
        "insert InFlight{1}",
        "send",
        "replace by Settled{succeeded}",
        "event disburse.succeeded",
        "ack",
    ];
    assert_eq!(journal.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn rule_07_a_duplicate_repeats_the_recorded_event_without_a_call() {
    let world = World::start(vec![success()]);
    world.submit(JOB).await;
    let (_, first) = world.event().await;
    world.submit(JOB).await;
    let (_, second) = world.event().await;
    assert_eq!(first, second);
    assert_eq!(world.stop().await.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_01_a_claim_whose_reply_is_lost_is_known_again_by_its_token() {
    let world = World::start(vec![success()]);
    world.ledger.inserts.lose(1);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    journal.assert_order(&[
        "insert InFlight{1}",
        "read",
        "send",
        "replace by Settled{succeeded}",
    ]);
    assert_eq!((journal.count("insert"), journal.count("query")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_07_a_settlement_whose_reply_is_lost_is_announced_once_it_is_read() {
    let world = World::start(vec![success()]);
    world.ledger.replaces.lose(1);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.until("ack", 1).await;
    let journal = world.stop().await;
    journal.assert_order(&["replace by Settled{succeeded}", "read", "event", "ack"]);
}

#[tokio::test(start_paused = true)]
async fn rule_07_an_event_without_confirm_is_published_again_before_the_ack() {
    let world = World::start(vec![success()]);
    world.broker.events.lose(2);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    let journal = world.stop().await;
    assert_eq!(journal.count("event disburse.succeeded"), 3);
    assert_eq!(journal.lines().last().map(String::as_str), Some("ack"));
}

#[tokio::test(start_paused = true)]
async fn rule_06_a_copy_is_confirmed_then_the_entry_says_so_then_the_delivery_is_acked() {
    let world = World::start(vec![unknown(), found(OperationStatus::Success)]);
    world.broker.copies.lose(1);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    journal.assert_order(&[
        "send",
        "copy with ticket Some(2)",
        "replace by Deferred{2}",
        "ack",
        "query",
    ]);
    assert_eq!((journal.count("copy"), journal.count("send")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn rule_03_a_lease_that_a_query_used_up_is_renewed_before_the_send() {
    let late = Scripted::Late(Duration::from_secs(14), Box::new(not_found()));
    let world = World::start(vec![late, success()]);
    world.ledger.inner.forget_everything(START);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    journal.assert_order(&[
        "insert InFlight{1}",
        "query",
        "replace by InFlight{1}",
        "send",
    ]);
}

#[tokio::test(start_paused = true)]
async fn rule_03_nothing_is_sent_on_a_lease_that_is_over() {
    // The query takes longer than the lease: its holder takes over like anybody else.
    let late = Scripted::Late(Duration::from_secs(21), Box::new(not_found()));
    let world = World::start(vec![late, found(OperationStatus::Success)]);
    world.ledger.inner.forget_everything(START);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (0, 2));
    journal.assert_order(&[
        "insert InFlight{1}",
        "query",
        "replace by InFlight{2}",
        "replace by Settled",
    ]);
}

#[tokio::test(start_paused = true)]
async fn rule_08_a_refusal_after_the_lease_is_no_word() {
    let late = Scripted::Late(Duration::from_secs(21), Box::new(refused()));
    let world = World::start(vec![late, found(OperationStatus::Success)]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.stop().await.count("replace by Settled{failed}"), 0);
}

#[tokio::test(start_paused = true)]
async fn rule_08_a_negative_outcome_waits_for_its_replicas() {
    let world = World::with(
        vec![refused()],
        hongbaod::app::worker::WorkerOptions {
            replicas_min: 1,
            ..options()
        },
    );
    world
        .ledger
        .replicas
        .lock()
        .unwrap()
        .extend([false, false, true]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.failed");
    world.stop().await.assert_order(&[
        "replace by Settled{failed}",
        "replicated false",
        "replicated true",
        "event",
    ]);
}

#[tokio::test(start_paused = true)]
async fn rule_09_evidence_against_a_settled_outcome_is_said_and_the_outcome_stands() {
    let world = World::start(vec![refused(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    let (_, failed) = world.event().await;
    world.submit(QUERY).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["id"].as_str()),
        (
            "disburse.contradicted",
            Some("main/disburse/R1/contradicted")
        )
    );
    assert_eq!(world.event().await.0, "query.found");
    world.submit(JOB).await;
    assert_eq!(world.event().await.1, failed);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_12_unresolved_is_said_once_and_the_queries_go_on() {
    let mut script = vec![unknown()];
    script.extend((0..14).map(|_| Scripted::Queried(Finding::Unknown(Doubt::TimedOut))));
    script.push(found(OperationStatus::Success));
    let world = World::start(script);
    world.submit(JOB).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["id"].as_str()),
        ("disburse.unresolved", Some("main/disburse/R1/unresolved"))
    );
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_job_whose_copies_are_gone_is_rescued() {
    let world = World::start(vec![unknown(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    steal_copies(&world, 1).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await.assert_order(&[
        "replace by Deferred{2}",
        "rescue with ticket Some(3)",
        "query",
    ]);
}

/// Takes the retry copies of so many jobs away, as somebody does who purges a queue.
pub(super) async fn steal_copies(world: &World, copies: usize) {
    let thief = world.broker.inner.join();
    world.broker.inner.pause().await;
    for _ in 0..copies {
        let stolen = thief.next(Kind::Disburse.into()).await.unwrap();
        thief.ack(&stolen.tag).await;
    }
    thief.stop().await;
    world.broker.inner.resume().await;
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_value_that_cannot_be_read_hides_no_other_job_from_the_rescue() {
    let world = World::start(vec![unknown(), unknown(), found(OperationStatus::Success)]);
    // Its place in the index is the first.
    world.submit(&JOB.replace("R1", "R0")).await;
    world.until("ack", 1).await;
    world.submit(JOB).await;
    world.until("ack", 2).await;
    *world.ledger.unreadable.lock().unwrap() = Some(world::key("R0"));
    steal_copies(&world, 2).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_rescue_that_panics_begins_again() {
    let world = World::start(vec![unknown(), found(OperationStatus::Success)]);
    *world.ledger.panics.lock().unwrap() = ("unsettled", 3);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    steal_copies(&world, 1).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.stop().await.count("panic in unsettled"), 3);
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_job_at_which_the_rescue_panics_hides_no_other_job() {
    let world = World::start(vec![unknown(), unknown(), found(OperationStatus::Success)]);
    world.submit(&JOB.replace("R1", "R0")).await;
    world.until("ack", 1).await;
    world.submit(JOB).await;
    world.until("ack", 2).await;
    *world.ledger.panics.lock().unwrap() = ("read R0", 1_000);
    steal_copies(&world, 2).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert!(world.stop().await.count("panic in read R0") > 1);
}

#[tokio::test(start_paused = true)]
async fn rule_14_a_panic_does_not_end_the_watch_over_the_ledger() {
    for (before, after) in [
        (Connection::Down, Connection::Up),
        (Connection::Up, Connection::Down),
    ] {
        let world = World::start(vec![success()]);
        world.ledger.up.send_replace(before);
        tokio::time::sleep(Duration::from_secs(60)).await;
        *world.ledger.panics.lock().unwrap() = ("changed", 1);
        world.ledger.up.send_replace(after);
        world.until("panic in changed", 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.submit(JOB).await;
        if after == Connection::Down {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(world.journal.count("ack"), 0);
            world.ledger.up.send_replace(Connection::Up);
        }
        assert_eq!(world.event().await.0, "disburse.succeeded");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn rule_05_an_entry_that_vanishes_under_a_first_delivery_leaves_it_in_doubt() {
    let world = World::start(vec![Scripted::Panic, found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("hand back", 1).await;
    steal_copies(&world, 1).await;
    // The lease is over; the producer submits once more, and the ledger forgets under the claim.
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.ledger.vanishings.lose(1);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn rule_14_while_the_ledger_is_away_no_job_is_taken_and_none_is_lost() {
    let world = World::start(vec![success()]);
    world.ledger.up.send_replace(Connection::Down);
    world.until("pause", 1).await;
    world.submit(JOB).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.journal.count("ack"), 0);
    world.ledger.up.send_replace(Connection::Up);
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_14_a_ledger_that_comes_and_goes_does_not_make_the_consumers_do_so() {
    let world = World::start(vec![success()]);
    for _ in 0..60 {
        world.ledger.up.send_replace(Connection::Down);
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.ledger.up.send_replace(Connection::Up);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert!(world.journal.count("pause") <= 10);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_14_an_answer_that_came_while_the_ledger_was_away_is_settled_when_it_is_back() {
    let world = World::start(vec![Scripted::Late(
        Duration::from_secs(5),
        Box::new(success()),
    )]);
    world.submit(JOB).await;
    world.until("send", 1).await;
    world.ledger.up.send_replace(Connection::Down);
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.ledger.up.send_replace(Connection::Up);
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_15_who_loses_a_race_for_the_packet_is_told_alipays_word() {
    let sub_code = Some("MONEY_NOT_ENOUGH".to_owned());
    let refusal = Refusal {
        code: "40004".to_owned(),
        sub_code,
        display_message: None,
    };
    let lost = Scripted::Sent(Verdict::RefusedUnconfirmed(refusal));
    let world = World::start(vec![lost, not_found()]);
    world.submit(JOB).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["sub_code"].as_str()),
        ("disburse.failed", Some("MONEY_NOT_ENOUGH"))
    );
    world
        .stop()
        .await
        .assert_order(&["send", "query", "replace by Settled{failed}"]);
}

#[tokio::test(start_paused = true)]
async fn rule_16_what_a_query_finds_settles_a_job_that_waits() {
    let world = World::start(vec![unknown(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    world.submit(QUERY).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.event().await.0, "query.found");
    assert!(matches!(
        world.ledger.entry("R1").await,
        Some(Entry::Settled(_))
    ));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_query_that_comes_again_tells_what_it_settled() {
    let success = || found(OperationStatus::Success);
    let world = World::start(vec![unknown(), success(), success(), success()]);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    // The first event never gets its confirm, and then its worker is gone.
    world.broker.events.lose(1);
    world.submit(QUERY).await;
    world.until("event disburse.succeeded", 1).await;
    world.broker.inner.cut();
    for _ in 0..2 {
        assert_eq!(world.event().await.0, "disburse.succeeded");
    }
    assert_eq!(world.event().await.0, "query.found");
    world.stop().await;
}

/// [`JOB`], with the instant after which it is not to be sent.
fn job_until(not_after: &str) -> String {
    JOB.replace('{', &format!("{{\"not_after\":\"{not_after}\","))
}

fn expired_job() -> String {
    job_until("2020-01-01T00:00:00Z")
}

fn no_answer() -> Scripted {
    Scripted::Queried(Finding::Unknown(Doubt::TimedOut))
}

/// Works on an expired job that was never sent, and checks that the end of it is a rejection after
/// so many queries and no send.
async fn is_rejected_after(queries: usize, world: World) {
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("expired"))
    );
    let journal = world.stop().await;
    let calls = (journal.count("query"), journal.count("send"));
    assert_eq!(calls, (queries, 0), "{:#?}", journal.lines());
}

#[tokio::test(start_paused = true)]
async fn rule_11_an_expired_job_is_asked_about_once_and_rejected() {
    let world = World::start(vec![not_found()]);
    world.submit(&expired_job()).await;
    world.until("ack", 1).await;
    let expected = [
        "insert InFlight{1}",
        "query",
        "replace by Settled{rejected}",
        "event disburse.rejected",
        "ack",
    ];
    assert_eq!(world.journal.lines(), expected);
    is_rejected_after(1, world).await;
}

#[tokio::test(start_paused = true)]
async fn rule_11_an_expired_duplicate_of_a_forgotten_paid_job_is_told_that_it_succeeded() {
    // The ledger forgets by its retention, and by a loss whose time of doubt is over.
    for forget in [MemoryLedger::expire, MemoryLedger::forget_everything] {
        let world = World::start(vec![success(), found(OperationStatus::Success)]);
        let job = job_until("2026-11-22T23:00:00Z");
        world.submit(&job).await;
        let (_, first) = world.event().await;
        forget(&world.ledger.inner, START.plus(Duration::from_secs(1)));
        assert_eq!(world.ledger.entry("R1").await, None);
        tokio::time::sleep(Duration::from_secs(8 * 24 * 60 * 60)).await;
        world.submit(&job).await;
        let (_, second) = world.event().await;
        assert_eq!(
            (&first["id"], &first["data"]),
            (&second["id"], &second["data"])
        );
        let journal = world.stop().await;
        assert_eq!((journal.count("send"), journal.count("query")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_11_an_expired_job_without_an_answer_is_asked_about_again_and_never_sent() {
    let not_executed = Scripted::Queried(Finding::NotExecuted(NotExecuted::Limited));
    let script = vec![no_answer(), not_executed, no_answer(), not_found()];
    let world = World::start(script);
    world.submit(&expired_job()).await;
    is_rejected_after(4, world).await;
}

#[tokio::test(start_paused = true)]
async fn rule_11_a_question_that_died_is_asked_again_by_whoever_takes_over() {
    let world = World::start(vec![Scripted::Panic, not_found()]);
    world.submit(&expired_job()).await;
    is_rejected_after(2, world).await;
}

#[tokio::test(start_paused = true)]
async fn rule_11_a_question_that_died_is_asked_again_after_a_rescue() {
    let world = World::start(vec![no_answer(), Scripted::Panic, not_found()]);
    world.submit(&expired_job()).await;
    world.until("hand back", 1).await;
    steal_copies(&world, 1).await;
    is_rejected_after(3, world).await;
}

#[tokio::test(start_paused = true)]
async fn rule_11_a_not_found_that_comes_after_the_lease_is_no_word() {
    let late = Scripted::Late(Duration::from_secs(21), Box::new(not_found()));
    let world = World::start(vec![late, found(OperationStatus::Success)]);
    world.submit(&expired_job()).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.stop().await.count("send"), 0);
}
