//! Notifications and the worker: what is durable before Alipay hears `success`, and what a
//! repetition finishes.

use std::time::Duration;

use hongbaod::app::worker::{Noted, Unnoted};
use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::job::Kind;
use hongbaod::domain::money::Fen;
use hongbaod::domain::notice::Notice;
use hongbaod::domain::verdict::{Operation, OperationStatus, OperationType};
use hongbaod::ports::clock::Clock as _;
use hongbaod::ports::ledger::Connection;

use super::world::{World, app, options};
use super::{JOB, found, refused, success, unknown};

fn operation(number: &str) -> Operation {
    Operation {
        auth_no: AlipayNo::new("2026112210002001000000000002").ok(),
        out_order_no: MerchantNo::new("O1").ok(),
        operation_id: AlipayNo::new("20261122000000000001").ok(),
        out_request_no: MerchantNo::new(number).ok(),
        amount: Fen::new(888),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    }
}

fn notice_of(operation: Operation) -> Notice {
    Notice::new(app(), Kind::Disburse, operation).unwrap()
}

/// Of the job [`JOB`].
fn notice() -> Notice {
    notice_of(operation("R1"))
}

/// Of an operation that no job asked for.
fn nobodys() -> Notice {
    notice_of(operation("R9"))
}

/// Of a person who paid so much for [`ORDER`].
fn paid(fen: u64) -> Notice {
    let mut operation = operation("R1");
    operation.amount = Fen::new(fen);
    Notice::new(app(), Kind::Pay, operation).unwrap()
}

const ORDER: &str = r#"{"kind":"app_pay","out_request_no":"R1","out_order_no":"O1","order_title":"t","amount":"8.88","labels":{"room":"42"}}"#;

/// A world in which the job waits in the ladder, sent and without a word.
async fn deferred() -> World {
    let world = World::start(vec![unknown(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("replace by Deferred{2}", 1).await;
    world.until("ack", 1).await;
    world
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_notice_settles_a_waiting_job_and_its_copy_tells_the_same_again() {
    let world = deferred().await;
    let noted = world.worker.note(&notice()).await;
    assert!(matches!(noted, Ok(Noted::Settled)), "{noted:?}");
    let (key, told) = world.event().await;
    assert_eq!(key, "disburse.succeeded");
    assert_eq!(told["id"], "main/disburse/R1");
    assert_eq!(told["data"].get("origin"), None);
    world.journal.assert_order(&[
        "mark Begun",
        "replace by Settled{succeeded}",
        "event disburse.succeeded",
        "mark Told",
    ]);
    let (_, again) = world.event().await;
    assert_eq!(told, again);
    world.until("ack", 2).await;
    assert_eq!(world.stop().await.count("query"), 0, "nobody had to ask");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_comes_after_the_answer_adds_no_event() {
    let world = World::start(vec![success()]);
    world.submit(JOB).await;
    world.event().await;
    world.until("ack", 1).await;
    for _ in 0..3 {
        let noted = world.worker.note(&notice()).await;
        assert!(matches!(noted, Ok(Noted::Known)), "{noted:?}");
    }
    let journal = world.stop().await;
    assert_eq!((journal.count("event"), journal.count("mark")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_settled_and_perhaps_not_told_is_told_when_the_notice_comes_again() {
    let world = deferred().await;
    world.broker.events.lose(1);
    let noted = world.worker.note(&notice()).await;
    assert!(matches!(noted, Err(Unnoted::Broker(_))), "{noted:?}");
    assert_eq!(world.journal.count("mark Told"), 0);
    let noted = world.worker.note(&notice()).await;
    assert!(matches!(noted, Ok(Noted::Known)), "{noted:?}");
    let ((_, first), (_, second)) = (world.event().await, world.event().await);
    assert_eq!(first, second);
    assert_eq!(world.journal.count("mark Told"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_no_job_asked_for_is_told_once_however_often_it_is_notified() {
    let world = World::start(Vec::new());
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Ok(Noted::Told)), "{noted:?}");
    for _ in 0..3 {
        let noted = world.worker.note(&nobodys()).await;
        assert!(matches!(noted, Ok(Noted::Known)), "{noted:?}");
    }
    let (key, told) = world.event().await;
    assert_eq!(key, "disburse.succeeded");
    assert_eq!(told["data"]["origin"], "notification");
    let id = "main/notification/2026112210002001000000000002/20261122000000000001/SUCCESS";
    assert_eq!(told["id"], id);
    let journal = world.stop().await;
    assert_eq!(
        journal.lines(),
        ["read", "event disburse.succeeded", "mark Told"]
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_confirm_or_a_ledger_there_is_no_success() {
    let world = World::start(Vec::new());
    world.broker.events.lose(1);
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Err(Unnoted::Broker(_))), "{noted:?}");
    assert_eq!(world.journal.count("mark"), 0);
    world.ledger.up.send_replace(Connection::Down);
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Err(Unnoted::Ledger(_))), "{noted:?}");
    world.ledger.up.send_replace(Connection::Up);
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Ok(Noted::Told)), "{noted:?}");
}

#[tokio::test(start_paused = true)]
async fn rule_05_a_ledger_that_may_have_forgotten_tells_nothing_as_nobodys() {
    let world = World::start(Vec::new());
    world.ledger.inner.forget_everything(world.clock.now());
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Err(Unnoted::Doubtful)), "{noted:?}");
    tokio::time::sleep(options().doubt + Duration::from_millis(1)).await;
    let noted = world.worker.note(&nobodys()).await;
    assert!(matches!(noted, Ok(Noted::Told)), "{noted:?}");
    assert_eq!(world.stop().await.count("event"), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_09_what_contradicts_a_settled_outcome_is_said_once() {
    let world = World::start(vec![refused()]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.failed");
    let noted = world.worker.note(&notice()).await;
    assert!(matches!(noted, Ok(Noted::Contradicted)), "{noted:?}");
    let (key, said) = world.event().await;
    assert_eq!(key, "disburse.contradicted");
    assert_eq!(said["data"]["reason"], "failed");
    let noted = world.worker.note(&notice()).await;
    assert!(matches!(noted, Ok(Noted::Known)), "{noted:?}");
    assert_eq!(world.stop().await.count("event"), 2);
}

#[tokio::test(start_paused = true)]
async fn rule_08_a_negative_notice_leaves_a_pending_job_to_its_own_query() {
    let world = deferred().await;
    let mut closed = operation("R1");
    closed.status = OperationStatus::Closed;
    let noted = world.worker.note(&notice_of(closed)).await;
    assert!(matches!(noted, Ok(Noted::NothingToTell)), "{noted:?}");
    assert_eq!(world.journal.count("event"), 0);
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.stop().await.count("query"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_of_another_order_under_the_number_leaves_the_job_alone() {
    let world = deferred().await;
    let mut other = operation("R1");
    other.out_order_no = MerchantNo::new("O2").ok();
    let noted = world.worker.note(&notice_of(other)).await;
    assert!(matches!(noted, Ok(Noted::Told)), "{noted:?}");
    assert_eq!(world.event().await.1["data"]["origin"], "notification");
    assert_eq!(world.event().await.1["id"], "main/disburse/R1");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_closed_unpaid_is_told_as_failed_and_an_open_one_not_at_all() {
    let world = World::start(Vec::new());
    let mut pay = operation("R9");
    pay.status = OperationStatus::Init;
    let noted = world.worker.note(&notice_of(pay.clone())).await;
    assert!(matches!(noted, Ok(Noted::NothingToTell)), "{noted:?}");
    pay.status = OperationStatus::Closed;
    let noted = world.worker.note(&notice_of(pay)).await;
    assert!(matches!(noted, Ok(Noted::Told)), "{noted:?}");
    let (key, told) = world.event().await;
    assert_eq!(
        (key.as_str(), told["data"]["status"].as_str()),
        ("disburse.failed", Some("CLOSED"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_signed_order_that_somebody_paid_is_told_once_with_its_labels() {
    let world = World::start(Vec::new());
    world.submit(ORDER).await;
    assert_eq!(world.event().await.0, "app_pay.signed");
    for expected in [Noted::Told, Noted::Known, Noted::Known] {
        let noted = world.worker.note(&paid(888)).await;
        assert_eq!(noted.unwrap(), expected);
    }
    let (key, told) = world.event().await;
    assert_eq!(key, "pay.succeeded");
    assert_eq!(told["data"]["labels"]["room"], "42");
    assert_eq!(told["data"]["origin"], "notification");
    assert_eq!(world.metric("contradictions_total"), "0");
    assert_eq!(world.stop().await.count("event"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_signed_order_that_was_paid_with_another_amount_is_told_and_is_for_a_person() {
    let world = World::start(Vec::new());
    world.submit(ORDER).await;
    world.event().await;
    assert_eq!(world.worker.note(&paid(889)).await.unwrap(), Noted::Told);
    assert_eq!(world.event().await.1["data"]["amount"], "8.89");
    assert_eq!(world.metric("contradictions_total"), "1");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_the_jobs_in_other_words_waits_for_the_jobs_own_query() {
    let world = deferred().await;
    let mut other = operation("R1");
    other.amount = Fen::new(889);
    let noted = world.worker.note(&notice_of(other.clone())).await;
    assert!(matches!(noted, Err(Unnoted::Doubtful)), "{noted:?}");
    assert_eq!(world.event().await.1["id"], "main/disburse/R1");
    world.until("ack", 2).await;
    let noted = world.worker.note(&notice_of(other)).await;
    assert!(matches!(noted, Ok(Noted::Contradicted)), "{noted:?}");
    assert_eq!(world.event().await.0, "disburse.contradicted");
}
