//! What a burst does to the latency of what is not part of it.
//!
//! `tests/lanes` measures it. Without it everything is short, and only the order is looked at: a
//! machine that runs other tests has no latencies worth comparing.

use std::time::Duration;

use serde_json::{Value, json};

use super::traffic::{Ask, Latencies, Traffic};
use crate::daemon::broker;
use crate::daemon::world::{World, WorldOptions};
use crate::patience::{eventually_within, pause};
use crate::servers::{amqp_url, redis_url};

/// So many times its idle p99 a latency may have.
const TIMES_MAX: u32 = 2;

/// How long a measurement is.
#[derive(Clone, Copy)]
struct Scale {
    /// Each phase.
    phase: Duration,
    /// A new ledger is doubted for a minute, and each job asked about before it is sent.
    doubt: Duration,
    /// Jobs that are published at once, more than the rate lets through while it is measured.
    burst: u16,
    times: Times,
}

/// What is done with the factors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Compared,
    Printed,
}

impl Scale {
    fn read() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests/lanes asks for it this way"
        )]
        let measured = std::env::var_os("HONGBAOD_LANES").is_some();
        if measured {
            Self {
                phase: Duration::from_secs(30),
                doubt: Duration::from_secs(61),
                burst: 6_000,
                times: Times::Compared,
            }
        } else {
            Self {
                phase: Duration::from_secs(2),
                doubt: Duration::ZERO,
                burst: 800,
                times: Times::Printed,
            }
        }
    }
}

const SETTINGS: [(&str, &str); 7] = [
    ("HONGBAOD__PACING__REQUESTS_PER_SECOND", "100"),
    ("HONGBAOD__PACING__CONCURRENCY_MIN", "4"),
    ("HONGBAOD__PACING__CONCURRENCY_MAX", "256"),
    ("HONGBAOD__FAIRNESS__LABEL", "room"),
    ("HONGBAOD__ALIPAY__TIMEOUT", "10s"),
    ("HONGBAOD__LEDGER__LEASE", "20s"),
    ("HONGBAOD__RETRY__ABSENCE_WINDOW", "20s"),
];

async fn world(topic: &str) -> World {
    World::start(
        topic,
        WorldOptions {
            amqp: amqp_url(),
            redis: redis_url(),
            sandbox: &["--delay", "50ms"],
            settings: &SETTINGS,
        },
    )
    .await
}

fn disburse(name: String, room: &str) -> Ask {
    let body = json!({
        "kind": "disburse", "out_request_no": name, "out_order_no": name,
        "deduct_out_order_no": "PACKET-1", "order_title": "Lucky money", "amount": "0.01",
        "payee_user_id": "2088102146225135", "labels": {"room": room},
    });
    Ask {
        name,
        routing_key: "disburse",
        body,
    }
}

fn refund(name: String, auth_no: &Value) -> Ask {
    let body = json!({
        "kind": "refund", "out_request_no": name, "auth_no": auth_no, "amount": "0.01",
        "remark": "not opened",
    });
    Ask {
        name,
        routing_key: "refund",
        body,
    }
}

fn query(name: String) -> Ask {
    let body = json!({"kind": "query", "out_order_no": "NOBODYS", "out_request_no": name});
    Ask {
        name,
        routing_key: "query",
        body,
    }
}

/// Prints both and compares them.
fn compare(what: &str, idle: &Latencies, busy: &Latencies) -> bool {
    eprintln!("lanes: {what} idle: {}", idle.summary());
    eprintln!("lanes: {what} busy: {}", busy.summary());
    let (idle, busy) = (idle.percentile(99), busy.percentile(99));
    let permille = busy.as_micros() * 1_000 / idle.as_micros().max(1);
    let holds = busy <= idle * TIMES_MAX;
    let verdict = if holds { "holds" } else { "FAILS" };
    eprintln!(
        "lanes: {what} p99 is {}.{:02} times the idle one: {verdict}",
        permille / 1_000,
        permille % 1_000 / 10
    );
    holds
}

/// How many messages wait in the lane of this routing key.
async fn waiting(world: &World, lane: &str) -> u32 {
    let queue = [format!("{}.jobs.{lane}", world.prefix)];
    broker::counts(&world.amqp, &queue).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_and_queries_keep_their_latency_during_a_burst_of_disbursements() {
    let scale = Scale::read();
    let world = world("calm").await;
    let packets = world.sandbox("packets").await;
    let auth_no = packets[0]["auth_no"].clone();
    let mut daemon = world.daemon().await;
    let mut traffic = Traffic::start(&world).await;
    pause(scale.doubt).await;
    for phase in ["idle", "busy"] {
        if phase == "busy" {
            for index in 0..scale.burst {
                traffic.flood(disburse(format!("burst{index}"), "1")).await;
            }
        }
        traffic
            .stream(20, scale.phase, |index| {
                let name = format!("{phase}{}{index}", if index % 2 == 0 { "R" } else { "Q" });
                if index % 2 == 0 {
                    refund(name, &auth_no)
                } else {
                    query(name)
                }
            })
            .await;
        traffic.all_told(phase).await;
    }
    assert!(
        traffic.told("burst") < usize::from(scale.burst),
        "the burst was over"
    );
    let results = [("refunds", "R"), ("queries", "Q")].map(|(what, mark)| {
        let [idle, busy] =
            ["idle", "busy"].map(|phase| traffic.latencies(&format!("{phase}{mark}")));
        compare(what, &idle, &busy)
    });
    daemon.process.crash().await;
    world.demolish().await;
    assert!(scale.times == Times::Printed || results == [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_giant_room_does_not_hold_up_the_others() {
    let scale = Scale::read();
    let world = world("giant").await;
    let mut daemon = world.daemon().await;
    let mut traffic = Traffic::start(&world).await;
    pause(scale.doubt).await;
    let room = |phase: &str, index: u32| {
        disburse(format!("{phase}{index}"), &format!("room-{}", index % 20))
    };
    traffic
        .stream(20, scale.phase, |index| room("idle", index))
        .await;
    traffic.all_told("idle").await;

    // The rest comes behind all of it, and until the giant's jobs are set aside it has to wait.
    let dumped_at = traffic.now();
    for index in 0..scale.burst {
        traffic
            .flood(disburse(format!("giant{index}"), "giant"))
            .await;
    }
    traffic
        .stream(20, scale.phase / 2, |index| room("dump", index))
        .await;
    let all_aside = async || waiting(&world, "disburse").await == 0;
    eventually_within(Duration::from_secs(120), "all is set aside", all_aside).await;
    let took = traffic.now().since(dumped_at);
    eprintln!(
        "lanes: {} of a giant's were set aside within {took:?}",
        scale.burst
    );
    traffic.all_told("dump").await;

    // From now on the giant goes on at twice what the rate lets through, the rest as before.
    traffic
        .stream(220, scale.phase, |index| {
            if index % 11 == 0 {
                room("busy", index / 11)
            } else {
                disburse(format!("giant-more{index}"), "giant")
            }
        })
        .await;
    traffic.all_told("busy").await;
    assert!(
        waiting(&world, "disburse.bulk").await > 0,
        "the backlog was over"
    );
    let [idle, dump, busy] = ["idle", "dump", "busy"].map(|phase| traffic.latencies(phase));
    eprintln!(
        "lanes: the others right behind {} of a giant's: {}",
        scale.burst,
        dump.summary()
    );
    let holds = compare("the others beside a giant", &idle, &busy);
    daemon.process.crash().await;
    world.demolish().await;
    assert!(scale.times == Times::Printed || holds);
}
