//! Versions side by side: replicas of an older binary and of this one share a burst while they are
//! replaced one by one, forward and back; and what a replica does with what a newer one left.
//!
//! The older binary is the one that `tests/upgrade` builds; in an ordinary run it is this one, and what
//! is left is a rolling restart.

use std::path::PathBuf;

use hongbaod::adapters::redis_ledger::value::decode;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::{AppName, MerchantNo};
use hongbaod::domain::job::JobKey;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use super::agreement::FAULTS;
use super::books::{Evidence, disagreements};
use super::broker::{self, Subscriber};
use super::plan::{Dice, Fate, Plan, Shape, body};
use super::process::HONGBAOD;
use super::world::{Daemon, World, WorldOptions, events};
use crate::patience::eventually;
use crate::servers::redis_url;

const REPLICAS: usize = 3;

/// What `tests/upgrade` asks for.
struct Rollout {
    old: PathBuf,
    jobs: usize,
}

impl Rollout {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests/upgrade tells the test by these variables which binary is the older one"
    )]
    fn wanted() -> Self {
        let given = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let jobs = given("HONGBAOD_UPGRADE_JOBS").map_or(300, |text| text.parse().unwrap());
        let old = given("HONGBAOD_UPGRADE_OLD").unwrap_or_else(|| HONGBAOD.to_owned());
        let old = PathBuf::from(old);
        Self { old, jobs }
    }
}

/// What ended replicas had counted, by who they were.
#[derive(Debug, Default)]
struct Tally {
    settled: [u64; 2],
    digest_differs: u64,
    unreadable: u64,
    buried: usize,
}

impl Tally {
    /// Counts what `daemon` has done so far; what it does after that, while it ends, is not counted.
    async fn count(&mut self, daemon: &Daemon, version: usize) {
        self.settled[version] += daemon.count("hongbaod_jobs_settled_total", "").await;
        for (reason, count) in [
            ("digest_differs", &mut self.digest_differs),
            ("\"unreadable\"", &mut self.unreadable),
        ] {
            *count += daemon.count("hongbaod_deferrals_total", reason).await;
        }
        self.buried += buried(daemon, "unreadable").await;
    }
}

/// How many disagreements are of which sort.
fn sorted(found: &[String]) -> [(&'static str, usize); 4] {
    let count = |words: &[&str]| {
        let lines = found.iter();
        lines
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .count()
    };
    let lost = count(&["no outcome", "left in", "buried"]);
    let doubled = count(&[": paid "]);
    let falsely_failed = count(&["\"failed\", moved", "\"failed\" instead"]);
    let other = found.len() - lost - doubled - falsely_failed;
    [
        ("lost", lost),
        ("paid twice", doubled),
        ("falsely failed", falsely_failed),
        ("told otherwise", other),
    ]
}

async fn redis() -> MultiplexedConnection {
    let client = redis::Client::open(redis_url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn key(number: &str) -> JobKey {
    JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new(number).unwrap(),
    }
}

/// Where the ledger keeps a job. It is a promise to other versions, so it is spelled again here.
fn entry_name(world: &World, number: &str) -> String {
    format!("{}:{{main:{number}}}", world.prefix)
}

/// What the ledger says otherwise than the events: each number is settled, with the same result.
async fn ledger_disagreements(world: &World, plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let mut redis = redis().await;
    let mut found = Vec::new();
    for number in plan.jobs.keys() {
        let bytes: Option<Vec<u8>> = redis.get(entry_name(world, number)).await.unwrap();
        let Some(Ok(Entry::Settled(outcome))) = bytes.map(|bytes| decode(&key(number), &bytes))
        else {
            found.push(format!("{number}: the ledger holds no outcome"));
            continue;
        };
        let id = format!("main/disburse/{number}");
        let told = evidence.events.iter().find(|event| event["id"] == id);
        let told = told.map_or(&Value::Null, |event| &event["data"]);
        let amount = outcome.amount.to_string();
        if told["result"] != outcome.resolution.as_str() || told["amount"] != amount {
            found.push(format!("{number}: {outcome:?} in the ledger, told {told}"));
        }
    }
    found
}

/// Replaces every replica by one of `program`, one by one, while the burst goes on. The second of them
/// is killed instead of asked to end.
async fn replace_all(
    world: &World,
    fleet: &mut [(usize, Daemon)],
    to: (usize, &PathBuf),
    progress: &mut Progress<'_>,
) {
    let (version, program) = to;
    for (place, (was, daemon)) in fleet.iter_mut().enumerate() {
        progress.next().await;
        progress.tally.count(daemon, *was).await;
        if place == 1 {
            daemon.process.crash().await;
        } else {
            assert_eq!(daemon.process.terminate().await, Some(0));
        }
        *daemon = world.daemon_by(program).await;
        *was = version;
    }
}

/// Where the burst stands.
struct Progress<'a> {
    subscriber: &'a Subscriber,
    plan: &'a Plan,
    steps: usize,
    step: usize,
    tally: Tally,
}

impl Progress<'_> {
    /// Waits until the next share of the outcomes is told; there must be more to come.
    async fn next(&mut self) {
        self.step += 1;
        let outcomes = self.plan.outcomes();
        events(self.subscriber, outcomes * self.step / self.steps).await;
        let told = self.subscriber.count();
        assert!(told < outcomes, "step {} came after the work", self.step);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_replace_each_other_forward_and_back_in_the_middle_of_a_burst() {
    let rollout = Rollout::wanted();
    let (old, new) = (rollout.old, PathBuf::from(HONGBAOD));
    let options = WorldOptions {
        sandbox: &["--delay", "20ms"],
        ..WorldOptions::default()
    };
    let world = World::start("upgrade", options).await;
    world.set_faults(FAULTS).await;
    let shape = Shape {
        jobs: rollout.jobs,
        duplicates: rollout.jobs / 15,
        conflicts: rollout.jobs / 60,
    };
    let plan = Plan::draw(shape, &mut Dice::new(7));
    let mut fleet = Vec::new();
    for _ in 0..REPLICAS {
        fleet.push((0, world.daemon_by(&old).await));
    }
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    let mut progress = Progress {
        subscriber: &subscriber,
        plan: &plan,
        steps: 2 * REPLICAS + 2,
        step: 0,
        tally: Tally::default(),
    };
    replace_all(&world, &mut fleet, (1, &new), &mut progress).await;
    replace_all(&world, &mut fleet, (0, &old), &mut progress).await;
    let mut tally = progress.tally;
    // Whatever the older version left, this one ends.
    let last = world.daemon_by(&new).await;
    for (version, mut daemon) in fleet {
        tally.count(&daemon, version).await;
        assert_eq!(daemon.process.terminate().await, Some(0));
    }
    world.finished(&plan, &subscriber, &last).await;
    tally.count(&last, 1).await;
    let evidence = world.evidence(&plan, &subscriber, last).await;
    let mut found = disagreements(&plan, &evidence);
    found.extend(ledger_disagreements(&world, &plan, &evidence).await);
    let books = world.sandbox("books").await;
    let sorts = sorted(&found).map(|(sort, count)| format!("{sort} {count}"));
    eprintln!(
        "upgrade: {} numbers, {} events, 6 replacements, at least {} settled by the older version, \
         {} by this one; {}; resends withheld {}, unreadable entries {}, books balanced {}",
        plan.jobs.len(),
        evidence.events.len(),
        tally.settled[0],
        tally.settled[1],
        sorts.join(", "),
        tally.digest_differs,
        tally.unreadable,
        books["balanced"],
    );
    assert_eq!(found, [""; 0]);
    assert!(tally.settled.iter().all(|count| *count > 0), "{tally:?}");
    assert_eq!(tally.digest_differs, 0, "the request bytes differ");
    assert_eq!((tally.unreadable, tally.buried), (0, 0));
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
    world.demolish().await;
}

/// A value of the next version: of its content this one can know nothing.
const NEXT_VERSION: &[u8] = b"\x20 whatever a newer version writes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_wrote_waits_for_a_newer_replica() {
    let world = World::start("newer", WorldOptions::default()).await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let name = entry_name(&world, "N1");
    let mut redis = redis().await;
    let _: () = redis.set(&name, NEXT_VERSION).await.unwrap();
    let job = body("N1", "8.88", Fate::Succeeded);
    broker::publish(&world.amqp, &world.prefix, &[job]).await;
    let parked = async |daemon: &Daemon, count| {
        eventually("a parked delivery", async || {
            let reason = "\"unreadable\"";
            daemon.count("hongbaod_deferrals_total", reason).await >= count
        })
        .await;
    };
    parked(&daemon, 2).await;
    // Another replica of this version does the same.
    assert_eq!(daemon.process.terminate().await, Some(0));
    daemon = world.daemon().await;
    parked(&daemon, 1).await;
    assert_eq!(subscriber.count(), 0);
    assert_eq!(operations(&world).await, 0);
    let calls = world.sandbox("calls").await;
    let sends = calls["alipay.fund.coupon.order.disburse"].as_array();
    assert_eq!(sends.map_or(0, Vec::len), 0, "{calls}");
    assert_eq!(buried(&daemon, "").await, 0);
    let there: Vec<u8> = redis.get(&name).await.unwrap();
    assert_eq!(there, NEXT_VERSION);

    // Nobody will ever read it: an operator takes it away, and the job goes on by itself.
    let _: () = redis.del(&name).await.unwrap();
    events(&subscriber, 1).await;
    assert_eq!(
        subscriber.events()[0]["type"],
        "hongbao.disburse.succeeded.v1"
    );
    assert_eq!(operations(&world).await, 1);
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.demolish().await;
}

/// How many reasons with `word` in them a daemon has buried something for.
async fn buried(daemon: &Daemon, word: &str) -> usize {
    let (_, metrics) = daemon.page("/metrics").await;
    let buried = metrics.lines();
    buried
        .filter(|line| line.starts_with("hongbaod_buried_total{") && line.contains(word))
        .count()
}

/// How many operations the bank has under the job's number.
async fn operations(world: &World) -> usize {
    let all = world.sandbox("operations").await;
    let all = all.as_array().unwrap();
    all.iter()
        .filter(|operation| operation["out_request_no"] == "N1")
        .count()
}

/// An agreement payment, whose bytes depend on a setting as they might on a version.
fn pay() -> Vec<u8> {
    json!({
        "kind": "pay", "out_request_no": "N1", "out_order_no": "N1", "order_title": "t",
        "amount": "8.88", "payer_user_id": "2088102146225135", "order_expired_time": "1h",
    })
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_would_write_other_bytes_asks_and_sends_nothing() {
    const SPELLING: &str = "HONGBAOD__ALIPAY__ORDER_EXPIRED_TIME_SPELLING";
    let mut world = World::start("bytes", WorldOptions::default()).await;
    // The first call comes to nothing, and its sender does not know.
    world
        .set_faults(r#"{"unknown_without_effect_permille": 1000, "faults_per_number_max": 1}"#)
        .await;
    let mut first = world.daemon().await;
    let subscriber = world.subscribe().await;
    let (code, lines) = world.submit(&[pay()]).await;
    assert_eq!(code, Some(0), "{lines:?}");
    eventually("a doubtful call", async || {
        first.count("hongbaod_deferrals_total", "\"unknown\"").await > 0
    })
    .await;
    assert_eq!(first.process.terminate().await, Some(0));

    world.set(SPELLING, "own_key");
    let mut other = world.daemon().await;
    eventually("a resend withheld", async || {
        let reason = "digest_differs";
        other.count("hongbaod_deferrals_total", reason).await > 1
    })
    .await;
    let calls = world.sandbox("calls").await;
    let sends = calls["alipay.fund.coupon.order.agreement.pay"].as_array();
    assert_eq!(sends.map(Vec::len), Some(1), "{calls}");
    assert_eq!((operations(&world).await, subscriber.count()), (0, 0));
    assert_eq!(other.process.terminate().await, Some(0));

    world.unset(SPELLING);
    let mut back = world.daemon().await;
    events(&subscriber, 1).await;
    assert_eq!(subscriber.events()[0]["type"], "hongbao.pay.succeeded.v1");
    assert_eq!(operations(&world).await, 1);
    assert_eq!(back.process.terminate().await, Some(0));
    world.demolish().await;
}
