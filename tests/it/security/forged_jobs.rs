//! A producer that lies in its messages' headers: whatever they say, no number is paid twice, none
//! is told to have failed, and nobody else's jobs are held up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use serde_json::Value;

use crate::daemon::broker::{Line, counts, dead_letters, take_all};
use crate::daemon::world::{World, WorldOptions};
use crate::patience::{eventually, eventually_within};

/// Longer than a copy waits that was parked behind another one.
const PARKED_MAX: Duration = Duration::from_secs(180);

fn job(number: &str, amount: &str) -> Vec<u8> {
    format!(
        r#"{{"kind":"disburse","out_request_no":"{number}","out_order_no":"{number}","deduct_out_order_no":"PACKET-1","order_title":"t","amount":"{amount}","payee_user_id":"2088101000000002"}}"#
    )
    .into_bytes()
}

/// Publishes to `exchange` by `routing_key`, confirmed.
async fn publish(
    line: &Line,
    (exchange, routing_key): (&str, &str),
    body: &[u8],
    properties: BasicProperties,
) {
    let confirm = line
        .channel
        .basic_publish(
            exchange.into(),
            routing_key.into(),
            BasicPublishOptions::default(),
            body,
            properties.with_delivery_mode(2),
        )
        .await
        .unwrap();
    assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
}

async fn line(world: &World) -> Line {
    let line = Line::open(&world.amqp).await.unwrap();
    let confirms = ConfirmSelectOptions::default();
    line.channel.confirm_select(confirms).await.unwrap();
    line
}

fn header(name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    BasicProperties::default().with_headers(headers)
}

/// Every header that means something to us or to RabbitMQ, with the worst that it can say.
fn lies() -> Vec<BasicProperties> {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut death = FieldTable::default();
    death.insert("reason".into(), text("rejected"));
    death.insert("count".into(), AMQPValue::LongLongInt(i64::MAX));
    let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());
    vec![
        header("x-hongbao-ticket", AMQPValue::LongUInt(u32::MAX)),
        header("x-hongbao-ticket", AMQPValue::LongLongInt(i64::MAX)),
        header("x-hongbao-ticket", AMQPValue::LongLongInt(-5)),
        header("x-hongbao-ticket", AMQPValue::LongUInt(0)),
        header("x-hongbao-attempts", AMQPValue::LongUInt(u32::MAX)),
        header("x-hongbao-replayed", AMQPValue::Void),
        header("x-hongbao-reason", text("invalid")),
        header("x-hongbao-published-ms", AMQPValue::LongLongInt(i64::MAX)),
        header("x-delivery-count", AMQPValue::LongLongInt(99)),
        header("x-first-death-reason", text("delivery_limit")),
        header("x-death", deaths),
        header("traceparent", text(&"0".repeat(5_000))),
    ]
}

/// The results that were told of each id, with their amounts and operations.
fn told(events: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().unwrap().to_owned();
        told.entry(id)
            .or_default()
            .insert(event["data"].to_string());
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_headers_say_each_number_is_paid_once_and_none_is_told_to_have_failed() {
    let world = World::start("forged-headers", WorldOptions::default()).await;
    // Most jobs have to be put off and asked about, so that copies and their tickets meet.
    let faults = r#"{"in_progress_done_permille": 300, "unknown_with_effect_permille": 300,
        "unknown_without_effect_permille": 200, "faults_per_number_max": 3}"#;
    world.set_faults(faults).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let line = line(&world).await;
    let jobs = format!("{}.jobs", world.prefix);
    let lies = lies();
    let plain = BasicProperties::default();
    let number = |index: usize| format!("L{index}");
    for (index, lie) in lies.iter().enumerate() {
        for properties in [lie, &plain] {
            let body = job(&number(index), "1.00");
            publish(&line, (&jobs, "disburse"), &body, properties.clone()).await;
        }
    }
    let outcome = |index: usize| format!("main/disburse/L{index}");
    eventually("every outcome", async || {
        let told = told(&subscriber.events());
        (0..lies.len()).all(|index| told.contains_key(&outcome(index)))
    })
    .await;
    // Once more about what is settled: the same, and another amount under the same number.
    for (index, lie) in lies.iter().enumerate() {
        for amount in ["1.00", "2.00"] {
            let body = job(&number(index), amount);
            publish(&line, (&jobs, "disburse"), &body, lie.clone()).await;
        }
    }
    let queues = world.job_queues().await;
    eventually_within(PARKED_MAX, "empty queues", async || {
        let counts = counts(&world.amqp, &queues).await.unwrap();
        counts.iter().all(|count| *count == 0) && daemon.in_flight().await == 0
    })
    .await;
    let conflicts = subscriber.events().into_iter();
    let conflicts = conflicts.filter(|event| event["data"]["reason"] == "conflict");
    assert_eq!(conflicts.count(), lies.len());
    let told = told(&subscriber.events());
    for index in 0..lies.len() {
        let facts = &told[&outcome(index)];
        assert_eq!(facts.len(), 1, "one outcome, told alike: {facts:?}");
    }
    for event in subscriber.events() {
        assert_ne!(event["data"]["result"], "failed", "{event}");
    }
    let books = world.sandbox("books").await;
    assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
    assert_eq!(books["movements"]["disburse"], lies.len(), "{books}");
    assert_eq!(dead_letters(&world.amqp, &world.prefix).await, []);
    assert_eq!(daemon.process.terminate().await, Some(0));
    line.close().await;
    world.demolish().await;
}

/// What goes into a rung of the ladder by its own name never leaves it, and RabbitMQ moves nothing
/// on that waits behind 32 such: this is how one producer would stop the waiting jobs of all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_into_a_queue_of_ours_is_dropped_and_nobody_elses_job_is_held_up() {
    let world = World::start("forged-replies", WorldOptions::default()).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let line = line(&world).await;
    let jobs = format!("{}.jobs", world.prefix);
    let mut internal: Vec<String> = world.job_queues().await;
    internal.extend(["dead", "outcomes.unrouted"].map(|name| format!("{}.{name}", world.prefix)));
    internal.retain(|queue| !queue.contains("500ms"));
    let rung = format!("{}.retry.500ms", world.prefix);
    internal.extend(std::iter::repeat_n(rung.clone(), 40));
    for (index, queue) in internal.iter().enumerate() {
        let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
        let body = job(&format!("R{index}"), "1.00");
        publish(&line, (&jobs, "disburse"), &body, properties).await;
    }
    eventually("every event", async || subscriber.count() >= internal.len()).await;
    // Somebody else's job, as the ladder has it when it is put off.
    let number = "OTHER-1";
    let copy = header("x-hongbao-ticket", AMQPValue::LongUInt(1));
    publish(&line, (&rung, "disburse"), &job(number, "1.00"), copy).await;
    eventually("the other's outcome", async || {
        let id = format!("main/disburse/{number}");
        told(&subscriber.events()).contains_key(&id)
    })
    .await;
    for queue in internal {
        assert_eq!(take_all(&world.amqp, &queue).await, [], "{queue}");
    }
    assert_eq!(daemon.process.terminate().await, Some(0));
    line.close().await;
    world.demolish().await;
}
