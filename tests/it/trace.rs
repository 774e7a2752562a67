//! Traces: from the job's message to its log lines, its event and, with the feature `otlp`, to a
//! collector.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use serde_json::Value;

use crate::daemon::broker::Line;
use crate::daemon::plan::{Fate, body};
use crate::daemon::world::{World, WorldOptions, events};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Publishes a disburse that succeeds, with or without a trace.
async fn publish(world: &World, number: &str, traceparent: Option<&str>) {
    let line = Line::open(&world.amqp).await.unwrap();
    let confirms = ConfirmSelectOptions::default();
    line.channel.confirm_select(confirms).await.unwrap();
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        let value = AMQPValue::LongString(traceparent.into());
        headers.insert("traceparent".into(), value);
    }
    let properties = BasicProperties::default().with_headers(headers);
    let body = body(number, "8.88", Fate::Succeeded);
    let confirm = line.channel.basic_publish(
        format!("{}.jobs", world.prefix).into(),
        "disburse".into(),
        BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        },
        &body,
        properties,
    );
    let confirm = confirm.await.unwrap().await.unwrap();
    assert!(matches!(confirm, Confirmation::Ack(None)));
    line.close().await;
}

/// Pays a job of a recorded trace, one of a trace that is not recorded, one without, and one with what is
/// none; returns what the daemon has written, after its end.
async fn paid(world: &World) -> (Vec<Value>, String) {
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let recorded = format!("00-{TRACE}-{PARENT}-01");
    let other = format!("00-{}-{PARENT}-00", "ab".repeat(16));
    publish(world, "T1", Some(&recorded)).await;
    publish(world, "T2", Some(&other)).await;
    publish(world, "T3", None).await;
    publish(world, "T4", Some("garbage")).await;
    events(&subscriber, 4).await;
    let told = subscriber.events();
    assert_eq!(daemon.process.terminate().await, Some(0));
    let log = daemon.process.written().text();
    (told, log)
}

/// The lines that say "settled" of a job.
fn settled<'a>(log: &'a str, number: &str) -> Vec<&'a str> {
    let of_job = log.lines().filter(|line| line.contains(number));
    of_job.filter(|line| line.contains("settled")).collect()
}

fn options() -> WorldOptions<'static> {
    WorldOptions {
        settings: &[("HONGBAOD__LOG__LEVEL", "debug")],
        ..WorldOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_lines_and_event_bear_the_trace_of_its_message() {
    let world = World::start("trace", options()).await;
    let (told, log) = paid(&world).await;
    for event in &told {
        let number = event["data"]["out_request_no"].as_str().unwrap();
        let lines = settled(&log, number);
        assert_eq!(lines.len(), 1, "{log}");
        let line: Value = serde_json::from_str(lines[0]).unwrap();
        let trace_id = line["span"]["trace_id"].as_str();
        match number {
            "T1" => {
                assert_eq!(trace_id, Some(TRACE));
                assert_eq!(event["traceparent"], format!("00-{TRACE}-{PARENT}-01"));
            }
            "T2" => assert_eq!(trace_id, Some("ab".repeat(16).as_str())),
            _ => {
                assert_eq!(trace_id, None);
                assert_eq!(event.get("traceparent"), None);
            }
        }
    }
    world.demolish().await;
}

#[cfg(feature = "otlp")]
mod collector {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::{PARENT, TRACE, World, options, paid};

    /// The bodies of what was sent.
    type Sent = Arc<Mutex<Vec<u8>>>;

    async fn take(State(sent): State<Sent>, headers: HeaderMap, body: Bytes) {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        sent.lock().unwrap().extend_from_slice(&body);
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.map(|pair| byte(pair).unwrap()).collect()
    }

    fn holds(sent: &[u8], part: &[u8]) -> usize {
        sent.windows(part.len())
            .filter(|seen| *seen == part)
            .count()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_spans_of_a_recorded_trace_reach_the_collector_and_no_others() {
        let sent = Sent::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&sent));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut world = World::start("otlp", options()).await;
        let endpoint = format!("http://{address}/v1/traces");
        world.set("HONGBAOD__TRACE__OTLP_ENDPOINT", &endpoint);
        world.set("HONGBAOD__TRACE__SAMPLE_PERMILLE", "0");
        let (told, _) = paid(&world).await;
        assert_eq!(told.len(), 4);
        serving.abort();
        let sent = sent.lock().unwrap().clone();
        // The job, the query that a new ledger asks for, and the call that pays.
        assert_eq!(holds(&sent, &hex(TRACE)), 3);
        assert_eq!(
            holds(&sent, &hex(PARENT)),
            1,
            "the job is below the producer"
        );
        for word in ["job", "query", "send", "hongbaod", "succeeded"] {
            assert!(holds(&sent, word.as_bytes()) > 0, "{word}");
        }
        assert_eq!(holds(&sent, &hex(&"ab".repeat(16))), 0);
        assert_eq!(holds(&sent, b"2088"), 0, "no person is named");
        world.demolish().await;
    }
}
