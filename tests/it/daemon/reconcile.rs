//! `hongbaod reconcile` after a real burst: ledger, events, bill and queries are equal, and each
//! difference that is planted is found, with its number and its fen.

use std::path::Path;

use encoding_rs::GBK;
use serde_json::{Value, json};

use super::plan::{Dice, Plan, Shape};
use super::process::Stream;
use super::world::{World, WorldOptions};

/// A burst small enough that Alipay can be asked about each job of it.
const SHAPE: Shape = Shape {
    jobs: 60,
    duplicates: 4,
    conflicts: 2,
};

async fn reconcile(world: &World, words: &[&str]) -> (Option<i32>, Value) {
    let fixed = ["reconcile", "--since", "1h", "--until", "0s", "--json"];
    let mut process = world.hongbaod(&[&fixed, words].concat());
    let code = process.exit_code().await;
    let written = process.written();
    let report = written
        .stdout
        .first()
        .map(|line| serde_json::from_str(line));
    let report = report.unwrap_or_else(|| panic!("{}", written.text()));
    (code, report.unwrap())
}

/// What Alipay would let a merchant download of the sandbox's operations that moved money.
fn bill(operations: &[Value]) -> Vec<String> {
    let head = "业务流水号,商户订单号,发生时间,收入金额（+元）,支出金额（-元）,业务类型";
    let mut lines = vec!["#支付宝账务明细查询".to_owned(), head.to_owned()];
    let moved = operations
        .iter()
        .filter(|operation| operation["status"] == "SUCCESS" && operation["kind"] == "disburse");
    for operation in moved {
        let text = |name: &str| operation[name].as_str().unwrap();
        lines.push(format!(
            "{}\t,{}\t,{}\t,,-{},红包",
            text("operation_id"),
            text("out_request_no"),
            now(),
            text("amount"),
        ));
    }
    lines.push("#-----账务明细列表结束-----".to_owned());
    lines
}

/// An instant in every window of these tests, as a bill spells it.
fn now() -> String {
    let ago = hongbaod::app::wall_clock::now().0 - 60_000;
    hongbaod::adapters::alipay::wire::timestamp_gmt8(ago)
}

fn write(path: &Path, lines: &[String]) -> String {
    let text = lines.join("\r\n");
    std::fs::write(path, GBK.encode(&text).0).unwrap();
    path.display().to_string()
}

fn sum(report: &Value, kind: &str) -> Value {
    report["sums"][kind].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_books_are_equal_after_a_burst_and_every_planted_difference_is_found() {
    let options = WorldOptions {
        // Nothing is due before five minutes have passed: it must do no harm meanwhile.
        settings: &[("HONGBAOD__RECONCILE__RATE_PER_MINUTE", "600")],
        ..WorldOptions::default()
    };
    let world = World::start("reconcile", options).await;
    world.set_faults(super::agreement::FAULTS).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let mut watch = world.hongbaod(&["watch", "--json"]);
    watch.line(Stream::Stderr, "watching #").await;
    let plan = Plan::draw(SHAPE, &mut Dice::new(21));
    world.submit_plan(&plan).await;
    world.finished(&plan, &subscriber, &daemon).await;
    let count = subscriber.count();
    watch
        .until("all events", |written| written.stdout.len() >= count)
        .await;
    watch.signal("INT");
    assert_eq!(watch.exit_code().await, Some(0));
    let checked = daemon.count("hongbaod_reconcile_checked_total", "").await;
    assert_eq!(checked, 0);
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.set_faults("{}").await;

    let events: Vec<String> = watch.written().stdout.clone();
    let events_file = world.path("outcomes.ndjson");
    std::fs::write(&events_file, events.join("\n")).unwrap();
    let events_file = events_file.display().to_string();
    let operations = world.sandbox("operations").await;
    let lines = bill(operations.as_array().unwrap());
    let bill_file = write(&world.path("bill.csv"), &lines);
    let all = ["--all", "--rate", "1000"];
    let books = ["--events", &events_file, "--bill", &bill_file];
    let (code, report) = reconcile(&world, &[&all[..], &books].concat()).await;
    assert_eq!(
        (code, &report["equal"]),
        (Some(0), &json!(true)),
        "{report}"
    );
    assert_eq!(report["held"], plan.jobs.len(), "{report}");
    assert_eq!(report["asked"], plan.jobs.len(), "{report}");
    assert_eq!(report["rows"], lines.len() - 3, "{report}");
    let (code, report) = reconcile(&world, &["--sample", "7", "--rate", "1000"]).await;
    assert_eq!((code, &report["asked"]), (Some(0), &json!(7)), "{report}");

    planted_in_the_bill(&world, &lines).await;
    planted_in_the_events(&world, &events).await;
    let (code, report) = reconcile(&world, &["--app", "other", "--bill", &bill_file]).await;
    assert_eq!((code, &report["held"]), (Some(1), &json!(0)), "{report}");
    what_it_says(&world, &bill_file, &lines[2]).await;
    world.demolish().await;
}

/// What is told of a window without jobs, and of a file that is no bill.
async fn what_it_says(world: &World, bill_file: &str, line: &str) {
    for (words, code, said) in [
        (
            [
                "--since",
                "2020-01-01",
                "--until",
                "2020-01-02",
                "--bill",
                bill_file,
            ],
            0,
            "nothing was compared",
        ),
        (
            [
                "--since",
                "24h",
                "--until",
                "0s",
                "--bill",
                &write(&world.path("bad.csv"), &[line.to_owned()]),
            ],
            1,
            "bad.csv: the bill has no column",
        ),
    ] {
        let mut process = world.hongbaod(&[&["reconcile"][..], &words].concat());
        assert_eq!(process.exit_code().await, Some(code));
        let told = process.written().text();
        assert!(told.contains(said), "{told}");
    }
}

/// A line gone, one changed, one twice, and one of which the ledger knows nothing.
async fn planted_in_the_bill(world: &World, lines: &[String]) {
    let mut lines = lines.to_vec();
    let amount = |line: &str| {
        let yuan = line.rsplit(',').nth(1).unwrap().trim_start_matches('-');
        yuan.replace('.', "").parse::<u64>().unwrap()
    };
    let gone = amount(&lines.remove(2));
    let changed = amount(&lines[2]);
    lines[2] = lines[2].replace(",,-", ",,-1");
    let digits = changed.to_string().len().max(3);
    let more = 10_u64.pow(u32::try_from(digits).unwrap());
    let twice = amount(&lines[3]);
    lines.insert(4, lines[3].clone());
    lines.insert(5, format!("99\t,STRANGE-1\t,{}\t,,-0.77,红包", now()));
    let file = write(&world.path("planted.csv"), &lines);
    let (code, report) = reconcile(world, &["--bill", &file]).await;
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(
        sum(&report, "not_at_alipay"),
        json!({"count": 1, "fen": gone})
    );
    assert_eq!(sum(&report, "amount"), json!({"count": 1, "fen": more}));
    assert_eq!(
        sum(&report, "paid_twice"),
        json!({"count": 1, "fen": twice})
    );
    assert_eq!(
        sum(&report, "not_in_ledger"),
        json!({"count": 1, "fen": 77})
    );
    assert_eq!(report["sums"].as_object().unwrap().len(), 4, "{report}");
}

/// An event gone, one that says something else, one of a job that nobody knows.
async fn planted_in_the_events(world: &World, events: &[String]) {
    let is_settled = |line: &&String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["id"].as_str().unwrap().matches('/').count() == 2
    };
    let mut told: Vec<String> = events.iter().filter(is_settled).cloned().collect();
    told.sort();
    told.dedup();
    let gone = told.remove(0);
    told.retain(|line| line != &gone);
    told[0] = told[0].replace("\"result\":\"", "\"result\":\"x");
    let stranger = told[1].replace("R00", "X00");
    assert_ne!(stranger, told[1]);
    told.push(stranger);
    let file = world.path("planted.ndjson");
    std::fs::write(&file, told.join("\n")).unwrap();
    let file = file.display().to_string();
    let (code, report) = reconcile(world, &["--events", &file]).await;
    assert_eq!(code, Some(1), "{report}");
    for kind in ["event_missing", "event_unequal", "event_not_in_ledger"] {
        assert_eq!(sum(&report, kind)["count"], 1, "{kind}: {report}");
    }
}
