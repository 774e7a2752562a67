//! The ledger loses its memory, all of it or the last moment: the tripwire notices on a real
//! Redis, and what has no entry is asked about before it is sent.
//!
//! Each test pays some jobs first, with a ledger that is old enough to be believed: those are sent
//! without a question, so the questions that come later are the loss's doing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use redis::AsyncCommands;
use serde_json::Value;

use super::forwarder::Forwarder;
use crate::daemon::agreement::{FAULTS, SHAPE};
use crate::daemon::broker::Subscriber;
use crate::daemon::plan::{Dice, Fate, Plan, PlannedJob, body};
use crate::daemon::process::Stream;
use crate::daemon::world::{Daemon, World, WorldOptions, events};
use crate::patience::eventually;
use crate::redis_server::RedisServer;
use crate::servers::amqp_url;

/// Jobs that are paid before the loss, and as many new ones after it.
const JOBS: usize = 20;

/// What the canary of a ledger begins with that was born in November 2023 and is long past its first
/// doubt; the server's `run_id` follows.
const OLD_CANARY: &str = "2 0123456789abcdef0123456789abcdef 1700000000000";

const LOSSES: &str = "hongbaod_ledger_memory_lost_total";

/// Whether what has no entry is asked about first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Open,
    Closed,
}

/// A daemon on a ledger that will lose its memory.
struct Scene {
    world: World,
    daemon: Daemon,
    subscriber: Subscriber,
    plan: Plan,
    /// The calls of a daemon that has ended.
    former: BTreeMap<String, Vec<String>>,
    /// How many copies of each number's event must have come.
    copies: BTreeMap<String, usize>,
}

fn number(index: usize) -> String {
    format!("R{index:05}")
}

impl Scene {
    /// A daemon whose ledger is at `redis`, where `server` is now: empty, but old.
    async fn start(topic: &str, redis: String, server: &RedisServer) -> Self {
        let options = WorldOptions {
            amqp: amqp_url(),
            redis,
            sandbox: &[],
            // The calls of each job are in the log.
            settings: &[("HONGBAOD__LOG__LEVEL", "debug")],
        };
        let world = World::start(topic, options).await;
        make_old(server, &world).await;
        let daemon = world.daemon().await;
        let subscriber = world.subscribe().await;
        let scene = Self {
            world,
            daemon,
            subscriber,
            plan: Plan {
                jobs: BTreeMap::new(),
                bodies: Vec::new(),
                bad: Vec::new(),
            },
            former: BTreeMap::new(),
            copies: BTreeMap::new(),
        };
        assert_eq!(scene.losses().await, 0, "an old ledger is believed");
        scene
    }

    /// Submits these jobs, for the first time or again, and waits for an event of each.
    async fn submit(&mut self, indexes: Range<usize>) {
        let mut bodies = Vec::new();
        for index in indexes {
            let (number, amount) = (number(index), format!("1.{index:02}"));
            bodies.push(body(&number, &amount, Fate::Succeeded));
            *self.copies.entry(number.clone()).or_default() += 1;
            let job = PlannedJob {
                fate: Fate::Succeeded,
                amounts: BTreeSet::from([amount]),
            };
            self.plan.jobs.insert(number, job);
        }
        let (code, lines) = self.world.submit(&bodies).await;
        assert_eq!(code, Some(0), "{lines:?}");
        eventually("an event of each job", async || {
            let mut told: BTreeMap<String, usize> = BTreeMap::new();
            for event in self.subscriber.events() {
                let subject = event["subject"].as_str().unwrap();
                *told.entry(subject.to_owned()).or_default() += 1;
            }
            let enough = |(number, count): (&String, &usize)| told.get(number) >= Some(count);
            self.copies.iter().all(enough)
        })
        .await;
    }

    async fn losses(&self) -> u64 {
        self.daemon.count(LOSSES, "").await
    }

    /// Waits until the daemon has noticed one loss, and takes jobs.
    async fn noticed(&self) {
        eventually("the loss is noticed", async || self.losses().await == 1).await;
        self.daemon.ready().await;
    }

    /// The calls of each job in the order in which they were answered, as the log tells them.
    fn calls(&self) -> BTreeMap<String, Vec<String>> {
        let mut calls = self.former.clone();
        for line in &self.daemon.process.written().stderr {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["message"] == "alipay answered" {
                let job = line["job.id"].as_str().unwrap();
                let number = job.strip_prefix("main:").unwrap().to_owned();
                let call = line["call"].as_str().unwrap().to_owned();
                calls.entry(number).or_default().push(call);
            }
        }
        calls
    }

    /// Submits again what was paid, of which the first `remembered` jobs are still in the ledger,
    /// and as many new jobs; then compares the calls of each with what `window` demands, and
    /// everything with the bank.
    async fn agrees(mut self, window: Window, remembered: usize) {
        self.submit(0..JOBS).await;
        self.submit(JOBS..2 * JOBS).await;
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for index in 0..2 * JOBS {
            let calls: &[&str] = if index < remembered {
                &["Send"]
            } else if index < JOBS {
                // What is forgotten is asked about, and not sent again.
                &["Send", "QueryOnce"]
            } else if window == Window::Open {
                &["QueryOnce", "Send"]
            } else {
                &["Send"]
            };
            let calls = calls.iter().map(|call| (*call).to_owned()).collect();
            expected.insert(number(index), calls);
        }
        let calls = self.calls();
        let differing = expected
            .iter()
            .filter(|(number, _)| calls.get(*number) != expected.get(*number));
        let differing: Vec<_> = differing
            .map(|(number, demanded)| (number, demanded, calls.get(number)))
            .collect();
        assert_eq!(differing, []);
        let count = |calls: &BTreeMap<String, Vec<String>>, call: &str| {
            let calls = calls.values().flatten();
            u64::try_from(calls.filter(|made| *made == call).count()).unwrap()
        };
        for (method, call) in [
            ("coupon.operation.query", "QueryOnce"),
            ("coupon.order.disburse", "Send"),
        ] {
            let requests = self.daemon.count("hongbaod_gateway_requests_total", method);
            let requests = requests.await;
            let made = count(&expected, call) - count(&self.former, call);
            assert_eq!(requests, made, "{method}");
        }
        let Self {
            world,
            daemon,
            subscriber,
            plan,
            ..
        } = self;
        world.agrees(&plan, &subscriber, daemon).await;
        world.demolish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_ledger_is_noticed_and_what_it_forgot_is_asked_about() {
    let redis = RedisServer::start(&[]);
    let mut scene = Scene::start("flush", redis.url(), &redis).await;
    scene.submit(0..JOBS).await;
    flush(&redis).await;
    scene.noticed().await;
    scene.agrees(Window::Open, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_a_file_is_noticed_and_what_it_forgot_is_asked_about() {
    let mut redis = RedisServer::start(&[]);
    let mut scene = Scene::start("restart", redis.url(), &redis).await;
    scene.submit(0..JOBS).await;
    redis.shut_down().await;
    scene.daemon.unready("redis").await;
    redis.start_again();
    assert_eq!(keys(&redis).await, 0, "it came back with what it had");
    scene.noticed().await;
    scene.agrees(Window::Open, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_promoted_before_it_was_ever_filled_is_noticed() {
    // The primary holds back the first transfer for longer than the test takes.
    let mut primary = RedisServer::start(&["--repl-diskless-sync-delay", "3600"]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let address = Forwarder::start(primary.port()).await;
    let mut scene = Scene::start("empty-replica", address.redis_url(), &primary).await;
    scene.submit(0..JOBS).await;
    until_info(&primary, "state=wait_bgsave").await;
    primary.kill();
    promote(&replica).await;
    assert_eq!(keys(&replica).await, 0, "the transfer was not held back");
    address.point_at(replica.port());
    scene.noticed().await;
    scene.agrees(Window::Open, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_the_last_writes_is_noticed_though_the_canary_is_there() {
    let pair = Pair::start().await;
    let mut scene = Scene::start("failover", pair.address.redis_url(), &pair.primary).await;
    let remembered = pay_and_fall_behind(&mut scene, &pair).await;
    let _replica = pair.fail_over(&scene.world).await;
    scene.noticed().await;
    scene.agrees(Window::Open, remembered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_starts_after_a_failover_notices_it_too() {
    let pair = Pair::start().await;
    let mut scene = Scene::start("late-start", pair.address.redis_url(), &pair.primary).await;
    let remembered = pay_and_fall_behind(&mut scene, &pair).await;
    assert_eq!(scene.daemon.process.terminate().await, Some(0));
    let _replica = pair.fail_over(&scene.world).await;
    scene.former = scene.calls();
    scene.daemon = scene.world.daemon().await;
    scene.noticed().await;
    scene.agrees(Window::Open, remembered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_cut_opens_no_window() {
    let redis = RedisServer::start(&[]);
    let address = Forwarder::start(redis.port()).await;
    let mut scene = Scene::start("cut", address.redis_url(), &redis).await;
    scene.submit(0..JOBS).await;
    address.point_nowhere();
    scene.daemon.unready("redis").await;
    address.point_at(redis.port());
    let process = &scene.daemon.process;
    process.line(Stream::Stderr, "reconnected to Redis").await;
    scene.daemon.ready().await;
    assert_eq!(scene.losses().await, 0);
    scene.agrees(Window::Closed, JOBS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_a_replica_meanwhile_is_noticed_though_the_connection_held() {
    let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let other = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let mut scene = Scene::start("there-and-back", primary.url(), &primary).await;
    // The canary is no help here: both have the same.
    let key = canary_key(&scene.world);
    let canary: String = primary.connection().await.get(&key).await.unwrap();
    let () = other.connection().await.set(&key, canary).await.unwrap();
    scene.submit(0..JOBS).await;
    replicate(&primary, other.port()).await;
    until_info(&primary, "master_link_status:up").await;
    promote(&primary).await;
    scene.noticed().await;
    scene.agrees(Window::Open, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_flushed_again_and_again_in_a_burst_pays_each_job_once() {
    let redis = RedisServer::start(&[]);
    let options = WorldOptions {
        amqp: amqp_url(),
        redis: redis.url(),
        sandbox: &["--delay", "20ms"],
        settings: &[],
    };
    let world = World::start("flushes", options).await;
    make_old(&redis, &world).await;
    world.set_faults(FAULTS).await;
    let mut dice = Dice::new(11);
    let plan = Plan::draw(SHAPE, &mut dice);
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    world.submit_plan(&plan).await;
    let share = plan.outcomes() / 4;
    for flushes in 0..3 {
        let at = share * usize::try_from(flushes).unwrap() + 1 + dice.below(share);
        events(&subscriber, at).await;
        flush(&redis).await;
        let told = subscriber.count();
        assert!(told < plan.outcomes(), "it was flushed after the work");
        let noticed = async || daemon.count(LOSSES, "").await > flushes;
        eventually("the loss is noticed", noticed).await;
    }
    world.agrees(&plan, &subscriber, daemon).await;
    world.demolish().await;
}

fn canary_key(world: &World) -> String {
    format!("{}:canary", world.prefix)
}

/// Gives an empty server a canary of long ago.
async fn make_old(server: &RedisServer, world: &World) {
    let mut redis = server.connection().await;
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("server").query_async(&mut redis).await.unwrap();
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let canary = format!("{OLD_CANARY} {}", run_id.unwrap());
    let () = redis.set(canary_key(world), canary).await.unwrap();
}

/// A primary, and a replica that is to follow it at the same address.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    /// Between the two.
    replication: Forwarder,
    /// What the daemon knows.
    address: Forwarder,
}

impl Pair {
    async fn start() -> Self {
        let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
        let replication = Forwarder::start(primary.port()).await;
        let port = replication.port().to_string();
        let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
        until_info(&primary, "state=online").await;
        Self {
            address: Forwarder::start(primary.port()).await,
            primary,
            replica,
            replication,
        }
    }

    /// Loses the primary and promotes the replica, which must have the old canary.
    async fn fail_over(mut self, world: &World) -> (RedisServer, Forwarder) {
        self.primary.kill();
        promote(&self.replica).await;
        let mut redis = self.replica.connection().await;
        let canary: String = redis.get(canary_key(world)).await.unwrap();
        assert!(canary.starts_with(OLD_CANARY), "{canary}");
        self.address.point_at(self.replica.port());
        (self.replica, self.address)
    }
}

/// Pays all jobs; the replica has those of the first half alone, whose number is returned.
async fn pay_and_fall_behind(scene: &mut Scene, pair: &Pair) -> usize {
    scene.submit(0..JOBS / 2).await;
    wait_for_replica(&pair.primary).await;
    // From here on the replica falls behind, and the primary answers as before.
    pair.replication.point_nowhere();
    scene.submit(JOBS / 2..JOBS).await;
    JOBS / 2
}

async fn flush(redis: &RedisServer) {
    let mut redis = redis.connection().await;
    let flush = redis::cmd("FLUSHALL").exec_async(&mut redis).await;
    flush.unwrap();
}

async fn keys(redis: &RedisServer) -> u64 {
    let mut redis = redis.connection().await;
    redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap()
}

async fn replicate(replica: &RedisServer, primary: u16) {
    let mut redis = replica.connection().await;
    let mut replication = redis::cmd("REPLICAOF");
    replication.arg("127.0.0.1").arg(primary);
    replication.exec_async(&mut redis).await.unwrap();
}

async fn promote(replica: &RedisServer) {
    let mut redis = replica.connection().await;
    let mut promotion = redis::cmd("REPLICAOF");
    promotion.arg(&["NO", "ONE"]);
    promotion.exec_async(&mut redis).await.unwrap();
}

/// Waits until `INFO replication` says `words`.
async fn until_info(redis: &RedisServer, words: &str) {
    let connection = redis.connection().await;
    eventually(words, async || {
        let mut redis = connection.clone();
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let info: String = info.query_async(&mut redis).await.unwrap();
        info.contains(words)
    })
    .await;
}

/// Waits until the one replica has everything.
async fn wait_for_replica(primary: &RedisServer) {
    let mut redis = primary.connection().await;
    let mut wait = redis::cmd("WAIT");
    wait.arg(&[1, 30_000]);
    let replicas: u32 = wait.query_async(&mut redis).await.unwrap();
    assert_eq!(replicas, 1);
}
