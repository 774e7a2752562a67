//! The worker against the lifecycle's promises that only a driver can keep: what is done in which
//! order, and what happens when a reply is lost, a server is away, or the worker must stop.

mod world;

use std::time::Duration;

use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::job::Kind;
use hongbaod::domain::money::Fen;
use hongbaod::domain::verdict::{
    Blockage, Doubt, Finding, NotExecuted, Operation, OperationStatus, OperationType, Proof,
    Receipt, Refusal, Verdict,
};
use hongbaod::ports::broker::Broker as _;
use hongbaod::ports::ledger::Connection;

use world::{Scripted, World, copy, options};

const JOB: &str = r#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1","order_title":"t","amount":"8.88","payee_user_id":"2088000000000001"}"#;
const OTHER: &str = r#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1","order_title":"t","amount":"9.99","payee_user_id":"2088000000000001"}"#;
const QUERY: &str = r#"{"kind":"query","out_order_no":"O1","out_request_no":"R1"}"#;

fn success() -> Scripted {
    let receipt = Receipt {
        operation_id: AlipayNo::new("20261122000000000001").ok(),
        ..Receipt::default()
    };
    Scripted::Sent(Verdict::Succeeded(receipt))
}

fn unknown() -> Scripted {
    Scripted::Sent(Verdict::Unknown(Doubt::TimedOut))
}

fn not_found() -> Scripted {
    Scripted::Queried(Finding::NotFound)
}

fn refused() -> Scripted {
    let sub_code = Some("PAYEE_NOT_EXIST".to_owned());
    Scripted::Sent(Verdict::Refused(Refusal {
        code: "40004".to_owned(),
        sub_code,
        display_message: None,
    }))
}

fn found(status: OperationStatus) -> Scripted {
    found_amount(status, 888)
}

fn found_amount(status: OperationStatus, fen: u64) -> Scripted {
    Scripted::Queried(Finding::Found(Box::new(Operation {
        auth_no: None,
        out_order_no: MerchantNo::new("O1").ok(),
        operation_id: AlipayNo::new("20261122000000000001").ok(),
        out_request_no: MerchantNo::new("R1").ok(),
        amount: Fen::new(fen),
        status,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    })))
}

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
        Verdict::InProgress,
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
async fn rule_03_a_lease_that_a_query_used_up_is_renewed_before_the_send() {
    let late = Scripted::Late(Duration::from_secs(14), Box::new(not_found()));
    let world = World::start(vec![late, success()]);
    world.ledger.inner.forget_everything(world::START);
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
    world.ledger.inner.forget_everything(world::START);
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
async fn steal_copies(world: &World, copies: usize) {
    let thief = world.broker.inner.join();
    world.broker.inner.pause().await;
    for _ in 0..copies {
        let stolen = thief.next(Kind::Disburse).await.unwrap();
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
async fn rule_11_an_expired_job_that_was_never_sent_is_rejected_without_a_call() {
    let world = World::start(vec![]);
    world
        .submit(&JOB.replace(
            "\"kind\"",
            "\"not_after\":\"2020-01-01T00:00:00Z\",\"kind\"",
        ))
        .await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("expired"))
    );
    assert_eq!(world.stop().await.count("send"), 0);
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
