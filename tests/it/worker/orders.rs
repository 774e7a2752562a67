//! Orders that a person pays: signed once, told as often as need be, never called.

use hongbaod::domain::entry::Entry;
use hongbaod::domain::outcome::Resolution;

use super::world::World;
use super::{JOB, success};

const APP: &str = r#"{"kind":"app_pay","out_request_no":"R1","out_order_no":"O1","order_title":"t","amount":"8.88"}"#;
const PAGE: &str = r#"{"kind":"page_pay","out_request_no":"R1","out_order_no":"O1","order_title":"t","amount":"8.88"}"#;
const LATE: &str = r#"{"kind":"app_pay","out_request_no":"R1","out_order_no":"O1","order_title":"t","amount":"8.88","not_after":"2000-01-01T00:00:00Z"}"#;

#[tokio::test(start_paused = true)]
async fn an_order_is_signed_settled_told_and_acknowledged_in_this_order() {
    for (body, key, field) in [
        (APP, "app_pay.signed", "order_string"),
        (PAGE, "page_pay.signed", "page_url"),
    ] {
        let world = World::start(vec![]);
        world.submit(body).await;
        let (routing_key, event) = world.event().await;
        assert_eq!(routing_key, key);
        let order = event["data"][field].as_str().unwrap();
        assert!(order.ends_with("&sign=1"), "{order}");
        assert_eq!(event["data"]["amount"], "8.88");
        world.until("ack", 1).await;
        let journal = world.stop().await;
        let expected = [
            "read".to_owned(),
            "sign".to_owned(),
            "insert Settled{signed}".to_owned(),
            format!("event {key}"),
            "ack".to_owned(),
        ];
        assert_eq!(journal.lines(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn every_copy_of_an_order_is_told_the_same_signature() {
    let world = World::start(vec![]);
    world.submit(APP).await;
    let (_, first) = world.event().await;
    world.submit(APP).await;
    let (_, second) = world.event().await;
    assert_eq!(first, second);
    assert_eq!(world.stop().await.count("sign"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_signature_whose_write_got_no_answer_is_the_one_that_is_told() {
    let world = World::start(vec![]);
    world.ledger.inserts.lose(1);
    world.submit(APP).await;
    let (_, event) = world.event().await;
    assert_eq!(event["data"]["order_string"], "app_pay&sign=1");
    let Some(Entry::Settled(outcome)) = world.ledger.entry("R1").await else {
        panic!("not settled")
    };
    let Resolution::Signed(order) = outcome.resolution else {
        panic!("not signed")
    };
    assert_eq!(order.0, "app_pay&sign=1");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_signed_comes_again_and_is_not_buried() {
    let world = World::start(vec![]);
    world.gateway.unsigned.lose(2);
    world.submit(APP).await;
    assert_eq!(world.event().await.0, "app_pay.signed");
    let journal = world.stop().await;
    assert_eq!((journal.count("sign"), journal.count("bury")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_number_is_not_an_order_and_a_payment_at_once() {
    let world = World::start(vec![success()]);
    world.submit(JOB).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.submit(APP).await;
    let (key, event) = world.event().await;
    assert_eq!(key, "app_pay.rejected");
    assert_eq!(event["data"]["reason"], "conflict");
    assert_eq!(world.stop().await.count("sign"), 0);

    let world = World::start(vec![]);
    world.submit(PAGE).await;
    assert_eq!(world.event().await.0, "page_pay.signed");
    world.submit(JOB).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("conflict"))
    );
    assert_eq!(world.stop().await.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_comes_too_late_is_rejected_and_stays_so() {
    let world = World::start(vec![]);
    world.submit(LATE).await;
    let (key, event) = world.event().await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("app_pay.rejected", Some("expired"))
    );
    // The same job: `not_after` is no part of what it asks.
    world.submit(APP).await;
    assert_eq!(world.event().await, (key, event));
    assert_eq!(world.stop().await.count("sign"), 0);
}
