//! A master of Redis dies in the middle of a burst, in a cluster and behind sentinels: the daemon
//! follows to the promoted replica, and nothing is lost, doubled or falsely failed.
//!
//! The ledger is old enough to be believed, so what protects the jobs is that the failover is noticed.
//! `tests/scale` makes the bursts as long as it is asked to.

use std::time::Duration;

use redis::AsyncCommands;

use crate::clocks::elapsed;
use crate::daemon::agreement::{FAULTS, SHAPE};
use crate::daemon::broker::Subscriber;
use crate::daemon::plan::{Dice, Plan, Shape};
use crate::daemon::world::{Daemon, World, WorldOptions, events};
use crate::patience::eventually;
use crate::redis_cluster::{MASTERS, RedisCluster};
use crate::redis_sentinels::{MASTER_NAME, RedisSentinels};
use crate::redis_server::RedisServer;
use crate::scale;
use crate::servers::amqp_url;

/// Jobs of a burst in an ordinary run.
const JOBS: usize = 240;

/// When an old canary was born, in November 2023: long past its first doubt.
const LONG_AGO: &str = "1700000000000";

const LOSSES: &str = "hongbaod_ledger_memory_lost_total";

/// A daemon that believes its ledger, and what it is to do.
struct Burst {
    world: World,
    daemon: Daemon,
    subscriber: Subscriber,
    plan: Plan,
}

impl Burst {
    async fn start(topic: &str, redis: (&str, &[String]), masters: &[&RedisServer]) -> Self {
        let (mode, urls) = redis;
        let options = WorldOptions {
            amqp: amqp_url(),
            redis: urls.join(","),
            sandbox: &["--delay", "20ms"],
            settings: &[("HONGBAOD__REDIS__SENTINEL_MASTER", MASTER_NAME)],
        };
        let mut world = World::start(topic, options).await;
        world.set("HONGBAOD__REDIS__MODE", mode);
        if mode != "sentinel" {
            world.unset("HONGBAOD__REDIS__SENTINEL_MASTER");
        }
        // A first daemon plants the canaries.
        let mut planter = world.daemon().await;
        assert_eq!(planter.process.terminate().await, Some(0));
        for master in masters {
            make_old(master, &world.prefix).await;
        }
        checked(&world, mode, masters.len()).await;
        // In an ordinary run the failover is trouble enough, and the settling is short.
        if scale::jobs().is_some() {
            world.set_faults(FAULTS).await;
        }
        let daemon = world.daemon().await;
        assert_eq!(losses(&daemon).await, 0, "an old ledger is believed");
        let subscriber = world.subscribe().await;
        let jobs = scale::jobs().unwrap_or(JOBS);
        let plan = Plan::draw(Shape { jobs, ..SHAPE }, &mut Dice::new(13));
        world.submit_plan(&plan).await;
        Self {
            world,
            daemon,
            subscriber,
            plan,
        }
    }

    /// Waits until a share of the outcomes is told, in the middle of the work.
    async fn until_told(&self, (part, of): (usize, usize)) {
        events(&self.subscriber, self.plan.outcomes() * part / of).await;
    }

    /// After a master was lost: waits until the daemon works again, and says what that took.
    async fn followed(&self, what: &str, losses_before: u64) {
        let told = self.subscriber.count();
        let left = self.plan.outcomes().saturating_sub(told);
        assert!(left > 40, "it was lost after the work: {told}");
        let took = elapsed(async {
            self.daemon.unready("redis").await;
            self.daemon.ready().await;
        })
        .await;
        let after = losses(&self.daemon).await;
        assert!(after > losses_before, "nobody noticed");
        let seconds = Duration::from_millis(u64::try_from(took.as_millis()).unwrap());
        eprintln!("{what}: lost with {told} told and {left} to go, ready after {seconds:?}");
    }

    async fn agrees(self, what: &str) {
        let (jobs, outcomes) = (self.plan.jobs.len(), self.plan.outcomes());
        self.world
            .agrees(&self.plan, &self.subscriber, self.daemon)
            .await;
        self.world.demolish().await;
        eprintln!("{what}: {jobs} jobs, {outcomes} outcomes: lost 0, doubled 0, falsely failed 0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_dies_in_a_burst_costs_no_job() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let urls = cluster.urls();
    let masters: Vec<&RedisServer> = cluster.nodes.iter().take(MASTERS).collect();
    let burst = Burst::start("redis-cluster", ("cluster", &urls), &masters).await;
    // One in an ordinary run; each in turn where there is time.
    let victims = if scale::jobs().is_some() { MASTERS } else { 1 };
    for victim in 0..victims {
        burst.until_told((victim + 1, victims + 3)).await;
        let before = losses(&burst.daemon).await;
        cluster.nodes[victim].kill();
        burst.followed("Redis Cluster, a master", before).await;
        cluster.promoted(victim).await;
        cluster.nodes[victim].start_again();
        cluster.follows(victim).await;
    }
    burst.agrees("Redis Cluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_behind_sentinels_that_dies_in_a_burst_costs_no_job() {
    let mut all = RedisSentinels::start().await;
    let urls = all.urls();
    let burst = Burst::start("redis-sentinels", ("sentinel", &urls), &[&all.master]).await;
    burst.until_told((1, 3)).await;
    all.master.kill();
    burst.followed("sentinels, the master", 0).await;
    all.promoted().await;
    burst.agrees("sentinels").await;
}

/// `hongbaod check` tells the mode and finds the masters with their canaries.
async fn checked(world: &World, mode: &str, masters: usize) {
    let mut check = world.hongbaod(&["check", "--json"]);
    assert_eq!(check.exit_code().await, Some(0));
    let lines = check.written().stdout.clone();
    let row = |words: &str| lines.iter().find(|line| line.contains(words)).cloned();
    let told = row("\"mode\"").unwrap();
    assert!(told.contains(mode), "{told}");
    let canaries = lines
        .iter()
        .filter(|line| line.contains("the ledger remembers"));
    assert_eq!(canaries.count(), masters, "{lines:?}");
    assert!(row("\"TLS\"").is_some(), "{lines:?}");
}

async fn losses(daemon: &Daemon) -> u64 {
    daemon.count(LOSSES, "").await
}

/// Makes a server's canaries of this prefix long past their first doubt, and the same otherwise.
async fn make_old(server: &RedisServer, prefix: &str) {
    let mut redis = server.connection().await;
    let keys: Vec<String> = redis.keys(format!("{prefix}:canary*")).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let canary: String = redis.get(&keys[0]).await.unwrap();
    let mut words: Vec<&str> = canary.split(' ').collect();
    words[2] = LONG_AGO;
    let () = redis.set(&keys[0], words.join(" ")).await.unwrap();
    eventually("a replica in step", async || {
        let mut wait = redis::cmd("WAIT");
        wait.arg(&[1, 1_000]);
        let reached: u32 = wait.query_async(&mut redis.clone()).await.unwrap();
        reached >= 1
    })
    .await;
}
