//! Keys, signatures, people and raw bodies: none of them in anything that the daemon writes.

use std::collections::{BTreeMap, BTreeSet};

use super::broker;
use super::plan::{Fate, Plan, PlannedJob};
use super::world::{World, WorldOptions};

/// Every way in which an answer can be wrong, so that every error is written.
const FAULTS: &str = r#"{"in_progress_done_permille": 60, "unknown_with_effect_permille": 60,
    "unknown_without_effect_permille": 60, "hang_after_effect_permille": 20,
    "reset_after_effect_permille": 60, "reset_before_effect_permille": 60,
    "html_error_page_permille": 100, "truncated_answer_permille": 100,
    "forged_signature_permille": 100, "missing_signature_permille": 100,
    "duplicate_node_permille": 60, "limited_permille": 60, "query_unknown_permille": 100,
    "hang_ms": 1500, "idempotency": "already_used", "faults_per_number_max": 2}"#;

const JOBS: usize = 40;
const STRANGE_JOBS: usize = 6;

/// A logon id of its own for each job, as a phone number or as an address.
fn logon_id(index: usize) -> String {
    match index % 5 {
        0 => format!("unknown.{index}@private.example"),
        1 | 2 => format!("person.{index}@private.example"),
        _ => format!("1390000{index:04}"),
    }
}

fn job(index: usize) -> String {
    format!(
        r#"{{"kind":"disburse","out_request_no":"S{index}","out_order_no":"S{index}",
        "deduct_out_order_no":"PACKET-1","order_title":"title-of-the-body","amount":"1.00",
        "payee_logon_id":"{}","labels":{{"note":"label-of-the-body"}}}}"#,
        logon_id(index)
    )
    .replace('\n', "")
}

/// Forty jobs, every fifth to somebody whom Alipay does not know.
fn plan() -> Plan {
    let mut plan = Plan {
        jobs: BTreeMap::new(),
        bodies: Vec::new(),
        bad: Vec::new(),
    };
    for index in 0..JOBS {
        let fate = if index % 5 == 0 {
            Fate::Failed
        } else {
            Fate::Succeeded
        };
        plan.bodies.push(job(index).into_bytes());
        let amounts = BTreeSet::from(["1.00".to_owned()]);
        plan.jobs
            .insert(format!("S{index}"), PlannedJob { fate, amounts });
    }
    plan
}

/// Bad jobs in which a person is named, for the faults must not repeat the values; the last is in
/// conflict with the job that has its number.
fn strange_jobs() -> [Vec<u8>; STRANGE_JOBS] {
    let strange = [
        job(1).replace("\"1.00\"", "\"1.000\""),
        job(1).replace("payee_logon_id", "payee_login_id"),
        job(1) + "}",
        job(1).replace("\"S1\"", "\"person.1@private.example\""),
        job(1).replace("\"disburse\"", "\"13900000003\""),
        job(3).replace("title-of-the-body", "title-of-another-body"),
    ];
    strange.map(String::into_bytes)
}

/// What must not be written: the key's lines, every logon id, and signs of raw bodies.
fn secrets(world: &World) -> Vec<String> {
    let private_key = std::fs::read_to_string(world.path("keys/app_private_key.pem")).unwrap();
    let lines = private_key.lines().filter(|line| !line.contains("---"));
    let mut secrets: Vec<String> = lines.map(str::to_owned).collect();
    assert!(secrets.len() > 20);
    secrets.extend((0..JOBS).map(logon_id));
    let signs = [
        "sign=",
        "\"sign\"",
        "biz_content",
        "title-of-the-body",
        "title-of-another-body",
        "guest:guest",
        "_response\"",
    ];
    secrets.extend(signs.map(str::to_owned));
    secrets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_person_is_in_what_the_daemon_writes() {
    let world = World::start(
        "quiet",
        WorldOptions {
            settings: &[("HONGBAOD__LOG__LEVEL", "trace")],
            ..WorldOptions::default()
        },
    )
    .await;
    world.set_faults(FAULTS).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let plan = plan();
    world.submit_plan(&plan).await;
    broker::publish(&world.amqp, &world.prefix, &strange_jobs()).await;
    world.finished(&plan, &subscriber, &daemon).await;
    let (_, metrics) = daemon.page("/metrics").await;
    let (_, page) = daemon.page("/").await;
    assert_eq!(daemon.process.terminate().await, Some(0));

    let log = daemon.process.written().text();
    for line in [
        "alipay answered",
        "\"deferred\"",
        "\"settled\"",
        "is refused as invalid",
    ] {
        assert!(log.contains(line), "no {line} to look at:\n{log}");
    }
    let events = subscriber.events();
    let events: String = events.iter().map(|event| format!("{event}\n")).collect();
    let letters = broker::dead_letters(&world.amqp, &world.prefix).await;
    assert_eq!(letters.len(), STRANGE_JOBS - 1);
    let details: String = letters.iter().map(|l| format!("{}\n", l.detail)).collect();
    for secret in secrets(&world) {
        for (place, text) in [
            ("log", &log),
            ("metrics", &metrics),
            ("page", &page),
            ("events", &events),
            ("dead letters' details", &details),
        ] {
            let line = text.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "{secret} in the {place}");
        }
    }
    // Labels are for the events alone.
    assert!(!log.contains("label-of-the-body"), "{log}");
    assert!(events.contains("label-of-the-body"));
    world.demolish().await;
}
