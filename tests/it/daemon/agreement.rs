//! A run without accidents: all that the operators' commands and the servers show agrees.

use serde_json::Value;

use super::plan::{Dice, Plan, Shape};
use super::process::Stream;
use super::world::{World, WorldOptions};

/// A little of everything that Alipay may do to a call.
pub(crate) const FAULTS: &str = r#"{"in_progress_done_permille": 30, "unknown_with_effect_permille": 30,
    "unknown_without_effect_permille": 10, "reset_after_effect_permille": 20,
    "reset_before_effect_permille": 10, "html_error_page_permille": 20,
    "truncated_answer_permille": 10, "forged_signature_permille": 20,
    "missing_signature_permille": 10, "limited_permille": 20, "query_unknown_permille": 30,
    "effect_delay_ms": 200, "faults_per_number_max": 2}"#;

/// 300 jobs, 20 copies, 5 conflicts.
pub(crate) const SHAPE: Shape = Shape {
    jobs: 300,
    duplicates: 20,
    conflicts: 5,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_the_events_the_dead_letters_and_the_queues_agree_job_by_job() {
    let world = World::start("agreement", WorldOptions::default()).await;
    world.set_faults(FAULTS).await;
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let mut watch = world.hongbaod(&["watch", "--json"]);
    watch.line(Stream::Stderr, "watching #").await;

    let plan = Plan::draw(SHAPE, &mut Dice::new(1));
    // The bad ones come last: their lines are known.
    let mut bodies = plan.bodies.clone();
    bodies.extend(plan.bad.iter().map(|bad| bad.body.clone()));
    let (code, lines) = world.submit(&bodies).await;
    assert_eq!(code, Some(1), "some were refused: {lines:?}");
    let (summary, refused) = lines.split_last().unwrap();
    let summary = &summary["summary"];
    assert_eq!(summary["submitted"], plan.bodies.len(), "{summary}");
    assert_eq!(summary["refused"], plan.bad.len(), "{summary}");
    assert_eq!(summary["unconfirmed"], 0, "{summary}");
    for (index, (line, bad)) in refused.iter().zip(&plan.bad).enumerate() {
        assert_eq!(line["line"], plan.bodies.len() + 1 + index, "{line}");
        let error = &line["errors"][0];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        let told = format!("{}: {}", text("field"), text("fault"));
        assert!(told.contains(bad.fault), "{told} for {}", bad.fault);
    }
    // Other producers check nothing.
    world.publish_bad(&plan).await;

    world.agrees(&plan, &subscriber, daemon).await;
    let count = subscriber.count();
    watch
        .until("all events", |written| written.stdout.len() >= count)
        .await;
    watch.signal("INT");
    assert_eq!(watch.exit_code().await, Some(0));
    let mut subscribed: Vec<String> = subscriber.events().iter().map(Value::to_string).collect();
    let watched = &watch.written().stdout;
    let parse = |line: &String| serde_json::from_str::<Value>(line).unwrap().to_string();
    let mut watched: Vec<String> = watched.iter().map(parse).collect();
    subscribed.sort_unstable();
    watched.sort_unstable();
    assert_eq!(watched, subscribed);
    world.demolish().await;
}
