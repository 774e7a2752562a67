//! What becomes of jobs, good and bad ones, of queries, and of the worker when it must stop.

use std::time::Duration;

use hongbaod::domain::entry::Ticket;
use hongbaod::domain::verdict::{
    Blockage, Doubt, Finding, NotExecuted, OperationStatus, Proof, Verdict,
};
use hongbaod::ports::broker::Broker as _;

use super::fakes::Scripted;
use super::world::{self, World, copy, options};
use super::{JOB, OTHER, QUERY, found, found_amount, not_found, success, unknown};

#[tokio::test(start_paused = true)]
async fn the_same_number_with_other_content_is_refused_and_nothing_is_sent() {
    let world = World::start(vec![success()]);
    world.submit(JOB).await;
    world.event().await;
    world.submit(OTHER).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("conflict"))
    );
    assert_eq!(world.stop().await.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_payment_is_sent_again_byte_by_byte_once_its_absence_is_confirmed() {
    let script = vec![unknown(), not_found(), not_found(), success()];
    let world = World::start(script);
    world.submit(JOB).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["attempts"].as_u64()),
        ("disburse.succeeded", Some(4))
    );
    let sent = world.gateway.sent.lock().unwrap().clone();
    assert_eq!((sent.len(), sent.first() == sent.last()), (2, true));
    assert!(
        world.clock_since_start() >= Duration::from_secs(30),
        "the window was not waited for"
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_error_turns_into_failed() {
    for doubt in [
        Verdict::Unknown(Doubt::TimedOut),
        Verdict::Unknown(Doubt::Unverified),
        Verdict::Unknown(Doubt::HttpStatus(502)),
        Verdict::InProgress(None),
        Verdict::NotExecuted(NotExecuted::NotSent),
        Verdict::NotExecuted(NotExecuted::Limited),
        Verdict::AlreadyUsed,
    ] {
        // What was certainly not executed is sent again; for the rest a query finds the success.
        let next = if matches!(doubt, Verdict::NotExecuted(_)) {
            success()
        } else {
            found(OperationStatus::Success)
        };
        let world = World::start(vec![Scripted::Sent(doubt.clone()), next]);
        world.submit(JOB).await;
        assert_eq!(world.event().await.0, "disburse.succeeded", "{doubt:?}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_not_announced_when_the_job_has_another_holder_by_then() {
    let world = World::start(vec![
        Scripted::Sent(Verdict::AlreadyUsed),
        found_amount(OperationStatus::Success, 999),
        found(OperationStatus::Success),
    ]);
    world.ledger.takeovers.lose(1);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_was_lost_while_it_waited_for_its_permit_is_let_go() {
    let hour = Duration::from_secs(3600);
    let slow = Scripted::Late(hour, Box::new(success()));
    let world = World::paced(vec![slow], options(), std::num::NonZeroU32::MIN);
    world.submit(JOB).await;
    world.until("send", 1).await;
    world.submit(&JOB.replace("R1", "R2")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.broker.inner.cut();
    world.until("hand back", 1).await;
    assert!(world.clock_since_start() < Duration::from_secs(60));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_query_is_never_swallowed_as_a_duplicate_of_the_payment() {
    let world = World::start(vec![
        success(),
        found(OperationStatus::Success),
        not_found(),
    ]);
    world.submit(JOB).await;
    world.event().await;
    world.submit(QUERY).await;
    assert_eq!(world.event().await.0, "query.found");
    world.submit(QUERY).await;
    assert_eq!(world.event().await.0, "query.not_found");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_query_without_an_answer_is_unresolved_after_its_attempts() {
    let silent = || Scripted::Queried(Finding::Unknown(Doubt::TimedOut));
    let world = World::start(vec![silent(), silent(), silent()]);
    world.submit(QUERY).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["attempts"].as_u64()),
        ("query.unresolved", Some(3))
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_app_defers_and_a_probe_pays_once_it_works_again() {
    let blockage = Blockage {
        code: "40006".to_owned(),
        sub_code: None,
        proof: Proof::Signed,
    };
    let blocked = || Scripted::Sent(Verdict::Blocked(blockage.clone()));
    let world = World::start(vec![blocked(), blocked(), success()]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_told_buried_and_acked() {
    let world = World::start(vec![]);
    world.submit(&JOB.replace("8.88", "8.888")).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("invalid"))
    );
    world.until("ack", 1).await;
    let dead = world.broker.inner.dead_letters();
    assert_eq!(dead.len(), 1);
    assert!(
        dead[0].epitaph.detail.starts_with("amount: "),
        "{:?}",
        dead[0].epitaph
    );
    world
        .stop()
        .await
        .assert_order(&["event disburse.rejected", "bury invalid", "ack"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_apps_charset_cannot_spell_is_invalid_and_nothing_is_sent() {
    let world = World::start(vec![]);
    world.submit(&JOB.replace("\"t\"", "\"🧧\"")).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("invalid"))
    );
    assert_eq!(
        event["data"]["detail"].as_str(),
        Some("order_title: has the character U+1F9E7")
    );
    world.until("ack", 1).await;
    let journal = world.stop().await;
    journal.assert_order(&["event disburse.rejected", "bury invalid", "ack"]);
    assert_eq!((journal.count("send"), journal.count("claim")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_charset_cannot_spell_but_may_have_been_sent_is_buried_without_a_word() {
    let world = World::start(vec![]);
    // A ticket: somebody has deferred it, and the ledger forgot.
    let mut job = copy(&JOB.replace("\"t\"", "\"🧧\""));
    job.ticket = Some(Ticket(1));
    world.broker.inner.publish_job(&job).await.unwrap();
    world.until("ack", 1).await;
    assert_eq!(world.broker.inner.dead_letters().len(), 1);
    let journal = world.stop().await;
    assert_eq!(journal.count("event disburse.rejected"), 0);
    assert_eq!(journal.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_number_is_in_the_dead_letters_alone_and_the_worker_lives_on() {
    let world = World::start(vec![success()]);
    for bad in ["", "not json", "[1]", "{\"kind\":\"disburse\"}"] {
        world.submit(bad).await;
    }
    world.until("ack", 4).await;
    assert_eq!(world.broker.inner.dead_letters().len(), 4);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_app_is_refused_by_name() {
    let world = World::start(vec![]);
    world
        .submit(&JOB.replace("\"kind\"", "\"app\":\"other\",\"kind\""))
        .await;
    let (_, event) = world.event().await;
    assert_eq!(
        event["data"]["detail"].as_str(),
        Some("app: is not configured here; configured: main")
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_reply_queue_gets_a_copy_and_a_missing_one_stops_nothing() {
    let world = World::start(vec![success(), success()]);
    let replies = world.broker.inner.open_reply_queue("answers");
    for (number, queue) in [("R1", "answers"), ("R2", "gone")] {
        let mut job = copy(&JOB.replace("R1", number));
        job.return_address.reply_to = Some(queue.to_owned());
        job.return_address.correlation_id = Some("c1".to_owned());
        world.broker.inner.publish_job(&job).await.unwrap();
        assert_eq!(world.event().await.0, "disburse.succeeded");
    }
    assert_eq!(replies.next().await.correlation_id.as_deref(), Some("c1"));
    world.until("ack", 2).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_queue_that_refuses_stops_nothing() {
    let world = World::start(vec![success()]);
    world.broker.refusals.lose(1_000_000);
    let mut job = copy(JOB);
    job.return_address.reply_to = Some("full".to_owned());
    world.broker.inner.publish_job(&job).await.unwrap();
    world.until("ack", 1).await;
    world
        .stop()
        .await
        .assert_order(&["event disburse.succeeded", "reply", "ack"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_waits_before_it_gives_its_delivery_back() {
    let world = World::start(vec![Scripted::Panic, found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("hand back", 1).await;
    assert!(world.clock_since_start() >= Duration::from_secs(1));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_gives_its_delivery_back_and_the_job_is_queried_first() {
    let world = World::start(vec![Scripted::Panic, found(OperationStatus::Success)]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world
        .stop()
        .await
        .assert_order(&["send", "hand back", "query"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_in_flight() {
    let world = World::start(vec![Scripted::Late(
        Duration::from_secs(10),
        Box::new(success()),
    )]);
    world.submit(JOB).await;
    world.until("send", 1).await;
    let journal = world.stop().await;
    journal.assert_order(&[
        "send",
        "replace by Settled{succeeded}",
        "event disburse.succeeded",
        "ack",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_leaves_what_does_not_finish_in_time_unacked() {
    let world = World::start(vec![Scripted::Late(
        Duration::from_secs(3600),
        Box::new(success()),
    )]);
    world.submit(JOB).await;
    world.until("send", 1).await;
    world.begin_stop();
    let clock = std::sync::Arc::clone(&world.clock);
    let journal = world.stop().await;
    assert_eq!(journal.count("ack"), 0);
    assert!(
        world::elapsed(&clock) < Duration::from_secs(60),
        "the grace was not kept"
    );
}
