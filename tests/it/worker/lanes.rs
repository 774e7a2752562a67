//! What is set aside, and how it travels.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use hongbaod::app::worker::{FairnessOptions, WorkerOptions};
use hongbaod::domain::entry::Ticket;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{Broker, JobCopy};

use super::fakes::Scripted;
use super::success;
use super::world::{World, copy, options};

/// One call at a time, and three places for a room that is alone.
fn start(answers: usize) -> World {
    let places = NonZeroU16::new(16).unwrap();
    let fairness = FairnessOptions {
        label: "room".to_owned(),
        disburse_places: places,
        pay_places: places,
    };
    let options = WorkerOptions {
        fairness: Some(fairness),
        ..options()
    };
    let late = |_| Scripted::Late(Duration::from_secs(5), Box::new(success()));
    World::paced((0..answers).map(late).collect(), options, NonZeroU32::MIN)
}

fn job(number: &str, room: &str) -> JobCopy {
    copy(&format!(
        r#"{{"kind":"disburse","out_request_no":"{number}","out_order_no":"{number}","deduct_out_order_no":"P1","order_title":"t","amount":"8.88","payee_user_id":"2088000000000001","labels":{{"room":"{room}"}}}}"#
    ))
}

async fn told(world: &World, count: usize) -> Vec<String> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let (_, event) = world.event().await;
        numbers.push(event["subject"].as_str().unwrap().to_owned());
    }
    numbers
}

#[tokio::test(start_paused = true)]
async fn what_a_room_has_too_much_of_is_set_aside_and_comes_after_the_others() {
    let world = start(6);
    let broker = &world.broker.inner;
    for number in ["A1", "A2", "A3", "A4", "A5"] {
        broker.publish_job(&job(number, "a")).await.unwrap();
    }
    world.until("aside", 2).await;
    broker.publish_job(&job("B1", "b")).await.unwrap();
    let order = ["A1", "A2", "B1", "A3", "A4", "A5"];
    assert_eq!(told(&world, 6).await, order);
    assert_eq!(world.metric(r#"set_aside_total{kind="disburse"}"#), "2");
    let journal = world.stop().await;
    let lines = journal.lines();
    // The copy is confirmed first; it is as new as the message was.
    let aside = lines
        .iter()
        .position(|line| line == "aside with ticket None");
    let rest = &lines[aside.unwrap()..];
    let next = rest.iter().find(|line| *line != "aside with ticket None");
    assert_eq!(next.map(String::as_str), Some("ack"), "{lines:#?}");
    assert_eq!(journal.count("query"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_small_room_keeps_its_places_while_a_giants_are_being_set_aside() {
    let world = start(1);
    *world.broker.aside_takes.lock().unwrap() = Duration::from_millis(100);
    let broker = &world.broker.inner;
    for number in 0..40 {
        let sent = job(&format!("A{number}"), "a");
        broker.publish_job(&sent).await.unwrap();
    }
    for number in ["B1", "B2"] {
        broker.publish_job(&job(number, "b")).await.unwrap();
    }
    world.until("aside", 37).await;
    let aside = world.broker.aside.lock().unwrap().clone();
    let is_small = |copy: &JobCopy| copy.body.ends_with(br#""labels":{"room":"b"}}"#);
    assert!(!aside.iter().any(is_small));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_set_aside_while_nobody_waits() {
    let world = start(3);
    for number in ["A1", "A2", "A3"] {
        let sent = job(number, "a");
        world.broker.inner.publish_job(&sent).await.unwrap();
        assert_eq!(told(&world, 1).await, [number]);
    }
    assert_eq!(world.stop().await.count("aside"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_keeps_its_doubt_and_its_properties() {
    let world = start(9);
    let broker = &world.broker.inner;
    for number in ["A1", "A2", "A4"] {
        broker.publish_job(&job(number, "a")).await.unwrap();
    }
    let retried = JobCopy {
        ticket: Some(Ticket(3)),
        published_at: Some(UnixMillis(1_700_000_000_123)),
        attempts: 2,
        ..job("A3", "a")
    };
    broker.publish_job(&retried).await.unwrap();
    world.until("aside with ticket Some(3)", 1).await;
    let aside = world.broker.aside.lock().unwrap().pop().unwrap();
    assert_eq!(aside.body, retried.body);
    assert_eq!(aside.return_address, retried.return_address);
    assert_eq!(aside.published_at, retried.published_at);
    assert_eq!(aside.attempts, 2);
    // Everything comes again, marked; to the broker a copy of it is a new message.
    broker.cut();
    world.until("aside with ticket Some(0)", 1).await;
    world.stop().await;
}
