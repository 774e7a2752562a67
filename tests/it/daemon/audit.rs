//! The audit log of real daemons: one line for each outcome, and a chain that holds.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::plan::{Dice, Plan, Shape};
use super::world::{Daemon, World, WorldOptions};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}

/// A world whose daemons write to one log, which is put aside at its least size.
async fn audited(topic: &str) -> (World, std::path::PathBuf) {
    let settings = &[("HONGBAOD__AUDIT__ROTATE_BYTES", "65536")];
    let options = WorldOptions {
        settings,
        ..WorldOptions::default()
    };
    let mut world = World::start(topic, options).await;
    let path = world.path("audit.jsonl");
    world.set("HONGBAOD__AUDIT__FILE", &path.display().to_string());
    (world, path)
}

async fn verify(world: &World, words: &[&str]) -> (Option<i32>, Value) {
    let mut process = world.hongbaod(&[&["audit", "verify", "--json"], words].concat());
    let code = process.exit_code().await;
    let text = process.written().text();
    (code, serde_json::from_str(text.trim()).unwrap())
}

/// The lines `what` of the log and of all that was put aside, by number.
fn by_number(path: &Path, what: &str) -> BTreeMap<String, Vec<Value>> {
    let folder = path.parent().unwrap();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("audit.jsonl") || name.ends_with(".lock") {
            continue;
        }
        for line in lines(&folder.join(name)) {
            if line["what"] == what {
                let number = line["data"]["out_request_no"].as_str().unwrap_or_default();
                found.entry(number.to_owned()).or_default().push(line);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_on_two_replicas_has_one_settled_line_for_each_job() {
    let (world, path) = audited("audit").await;
    world.set_faults(super::agreement::FAULTS).await;
    let daemon = world.daemon().await;
    let second = world.daemon().await;
    let subscriber = world.subscribe().await;
    let plan = Plan::draw(super::agreement::SHAPE, &mut Dice::new(11));
    world.submit_plan(&plan).await;
    world.finished(&plan, &subscriber, &daemon).await;
    let failing = daemon.count("hongbaod_audit_failing", "").await;
    let lost = daemon.count("hongbaod_audit_lines_total", "lost").await;
    assert_eq!((failing, lost), (0, 0));
    for daemon in [daemon, second] {
        ended(daemon).await;
    }

    let (code, report) = verify(&world, &[]).await;
    assert_eq!(
        (code, &report["faults"]),
        (Some(0), &Value::from(0)),
        "{report}"
    );
    assert!(report["files"].as_u64().unwrap() > 1, "{report}");
    let settled = by_number(&path, "settled");
    let events = subscriber.events();
    for number in plan.jobs.keys() {
        let lines = &settled[number];
        assert_eq!(lines.len(), 1, "{number}: {lines:?}");
        let id = format!("main/disburse/{number}");
        let event = events.iter().find(|event| event["id"] == id.as_str());
        let (event, data) = (&event.unwrap()["data"], &lines[0]["data"]);
        for field in ["app", "kind", "out_request_no", "amount", "result"] {
            assert_eq!(data[field], event[field], "{number}: {field}");
        }
        assert_eq!(data["sub_code"], event["sub_code"], "{number}");
        assert_eq!(data["calls"], events_attempts(&events, &id), "{number}");
        assert!(data["took_ms"].is_u64(), "{number}: {data}");
    }
    assert_eq!(settled.len(), plan.jobs.len());
    let opened = by_number(&path, "opened");
    let closed = by_number(&path, "closed");
    assert_eq!((opened[""].len(), closed[""].len()), (2, 2));
    let whole = std::fs::read_to_string(&path).unwrap();
    assert!(!whole.contains("13800000000") && !whole.contains("\"labels\""));

    let hash = report["last_hash"].as_str().unwrap();
    let (code, _) = verify(&world, &["--last", hash, "--expect-hash", hash]).await;
    assert_eq!(code, Some(0));
    let mut show = world.hongbaod(&["audit", "show", plan.jobs.keys().next().unwrap()]);
    assert_eq!(show.exit_code().await, Some(0));
    assert_eq!(show.written().stdout.len(), 1);

    // The same fen somewhere else: the file and the line are named.
    let place = whole.lines().position(|line| line.contains("\"settled\""));
    std::fs::write(&path, whole.replacen("\"result\":\"", "\"result\":\"x", 1)).unwrap();
    let (code, report) = verify(&world, &[]).await;
    assert_eq!(code, Some(1));
    let finding = &report["findings"][0];
    assert_eq!(finding["line"], place.unwrap() + 1, "{report}");
    assert_eq!(finding["file"], path.display().to_string());
    world.demolish().await;
}

async fn ended(mut daemon: Daemon) {
    assert_eq!(daemon.process.terminate().await, Some(0));
}

fn events_attempts(events: &[Value], id: &str) -> Value {
    let event = events.iter().find(|event| event["id"] == id);
    event.unwrap()["attempts"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_leaves_a_log_that_the_next_one_goes_on_with() {
    let (world, path) = audited("audit_kill").await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let shape = Shape {
        jobs: 40,
        duplicates: 0,
        conflicts: 0,
    };
    let plan = Plan::draw(shape, &mut Dice::new(12));
    world.submit_plan(&plan).await;
    super::world::events(&subscriber, 10).await;
    daemon.process.signal("KILL");
    daemon.process.exit_code().await;
    // What such a crash could have left of a line.
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, b"{\"seq\":12,\"time\":\"20").unwrap();
    let (code, report) = verify(&world, &[]).await;
    assert_eq!(code, Some(1), "{report}");

    let daemon = world.daemon().await;
    world.agrees(&plan, &subscriber, daemon).await;
    let (code, report) = verify(&world, &[]).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["torn"], 1, "{report}");
    for (number, lines) in by_number_whole(&path) {
        assert_eq!(lines, 1, "{number}");
    }
    world.demolish().await;
}

/// How many `settled` lines each number has, past the torn line.
fn by_number_whole(path: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = BTreeMap::new();
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        if line["what"] == "settled" {
            let number = line["data"]["out_request_no"].as_str().unwrap().to_owned();
            *found.entry(number).or_default() += 1;
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_opened_stops_the_start_and_names_the_key() {
    let (mut world, path) = audited("audit_bad").await;
    let nowhere = path.join("nowhere").display().to_string();
    world.set("HONGBAOD__AUDIT__FILE", &nowhere);
    let mut daemon = world.hongbaod(&["run"]);
    assert_eq!(daemon.exit_code().await, Some(78));
    let text = daemon.written().text();
    assert!(text.contains("audit.file"), "{text}");
    world.demolish().await;
}
