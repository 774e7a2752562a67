//! The ledger on several servers: Redis Cluster, sentinels, TLS.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{
    ConnectError, Looked, RedisInspector, RedisLedger, RedisLedgerOptions, RedisMode,
};
use hongbaod::domain::job::JobKey;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::budget::Budget;
use hongbaod::ports::ledger::{Ledger, LedgerError, LedgerHealth, ScanCursor, Written};
use hongbaod::ports::rate::{RateWish, SharedRate};

use crate::ledger_contract::{every_fact, stored};
use crate::ledger_entries::{deferred, in_flight, key, settled};
use crate::patience::PATIENCE;
use crate::ports::free_port;
use crate::redis_cluster::{MASTERS, RedisCluster, slots_of};
use crate::redis_health::{is_down, is_up, try_connect, until};
use crate::redis_sentinels::{MASTER_NAME, RedisSentinels};
use crate::redis_server::RedisServer;
use crate::servers::{rediss_url, tls_file, tls_path, unique_prefix};

fn options(mode: RedisMode, urls: &[String]) -> RedisLedgerOptions {
    RedisLedgerOptions {
        mode,
        urls: urls.iter().map(|url| url.as_str().into()).collect(),
        prefix: unique_prefix("fleet"),
        response_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        check_interval: Duration::from_millis(20),
        ..RedisLedgerOptions::new("".into())
    }
}

fn sentinel_mode() -> RedisMode {
    RedisMode::Sentinel {
        master: MASTER_NAME.to_owned(),
        password: None,
    }
}

async fn shared(options: RedisLedgerOptions) -> Arc<dyn Ledger> {
    Arc::new(try_connect(options).await.unwrap())
}

async fn inspect(options: RedisLedgerOptions) -> RedisInspector {
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let connecting = RedisInspector::connect(options, clock, random);
    connecting.await.unwrap()
}

/// Waits for an answer about a key, however often there is none, and returns it with the losses that
/// were known by then.
async fn read_at_last(ledger: &RedisLedger, key: &JobKey) -> (bool, u64) {
    let asking = async {
        loop {
            if let Ok(read) = ledger.read(key).await {
                break (read.is_some(), ledger.health().memory_losses);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// The index of the master that has this job's key.
async fn master_of(cluster: &RedisCluster, prefix: &str, key: &JobKey) -> (usize, u16) {
    let name = format!("{prefix}:{{{key}}}");
    let slot: u16 = cluster.ask(0, &["CLUSTER", "KEYSLOT", &name]).await;
    let has = |index: &usize| (slots_of(*index)[0]..=slots_of(*index)[1]).contains(&slot);
    ((0..MASTERS).find(has).unwrap(), slot)
}

/// The first job from `from` whose key is at master `index`.
async fn job_at(cluster: &RedisCluster, prefix: &str, index: usize, from: u64) -> JobKey {
    let mut number = from;
    loop {
        if master_of(cluster, prefix, &key(number)).await.0 == index {
            return key(number);
        }
        number += 1;
    }
}

/// One cluster for all three: it takes its time to start.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_contract_notices_a_flush_and_may_move_slots() {
    let cluster = RedisCluster::start().await;
    the_contract_holds_and_the_masters_share_the_jobs(&cluster).await;
    every_unsettled_job_is_met_wherever_it_is(&cluster).await;
    a_rate_is_shared_wherever_its_calendar_is(&cluster).await;
    budgets_keep_their_contract_wherever_they_are(&cluster).await;
    a_flush_of_one_master_is_noticed(&cluster).await;
    one_full_master_makes_the_ledger_refuse(&cluster).await;
    a_slot_that_moves_is_followed_and_counts_as_a_loss(&cluster).await;
}

async fn the_contract_holds_and_the_masters_share_the_jobs(cluster: &RedisCluster) {
    let urls = cluster.urls();
    // One seed is enough.
    every_fact(async || shared(options(RedisMode::Cluster, &urls[..1])).await).await;
    for master in 0..MASTERS {
        let keys: u64 = cluster.ask(master, &["DBSIZE"]).await;
        assert!(keys > 10, "master {master} has {keys} keys");
    }
    let inspector = inspect(options(RedisMode::Cluster, &urls)).await;
    let masters = inspector.masters().await.unwrap();
    let slots: Vec<&str> = masters.iter().filter_map(|m| m.slots.as_deref()).collect();
    assert_eq!(slots, ["0-5460", "5461-10922", "10923-16383"]);
}

async fn every_unsettled_job_is_met_wherever_it_is(cluster: &RedisCluster) {
    const JOBS: u64 = 60;
    let options = options(RedisMode::Cluster, &cluster.urls());
    let ledger = try_connect(options.clone()).await.unwrap();
    let entry = |number: u64| match number % 3 {
        0 => in_flight(&key(number), 1),
        1 => deferred(&key(number), UnixMillis(1)),
        _ => settled(&key(number)),
    };
    for number in 0..JOBS {
        stored(&ledger, &key(number), &entry(number)).await;
    }
    let inspector = inspect(options).await;
    let (indexed, end) = inspector.indexed(0).await.unwrap();
    assert_eq!((indexed.len(), end), (20, 0));
    let (mut met, mut cursor) = (BTreeSet::new(), ScanCursor::START);
    loop {
        let (jobs, next) = inspector.walked(cursor).await.unwrap();
        met.extend(jobs);
        if next == ScanCursor::START {
            break;
        }
        cursor = next;
    }
    let unsettled: BTreeSet<JobKey> = (0..JOBS).filter(|n| n % 3 != 2).map(key).collect();
    assert_eq!(met, unsettled);
    // Each answer belongs to its own job, whichever master gave it.
    let jobs: Vec<JobKey> = (0..JOBS + 1).map(key).collect();
    let looked = inspector.read_all(&jobs).await.unwrap();
    for (number, looked) in (0..).zip(looked) {
        let expected = if number < JOBS {
            Looked::Entry(Box::new(entry(number)))
        } else {
            Looked::Absent
        };
        assert_eq!(looked, expected, "{number}");
    }
}

async fn a_rate_is_shared_wherever_its_calendar_is(cluster: &RedisCluster) {
    let options = options(RedisMode::Cluster, &cluster.urls());
    let one = try_connect(options.clone()).await.unwrap();
    let two = try_connect(options).await.unwrap();
    for method in ["disburse", "refund", "query", "pay"] {
        let wish = RateWish {
            app: key(1).app,
            method,
            per_second: NonZeroU32::new(100).unwrap(),
            soon: 1_000,
            spread: 0,
            spread_from_us: 0,
        };
        let mut booked = 0;
        for replica in [&one, &two] {
            let reservation = replica.reserve(&wish).await.unwrap();
            booked += reservation
                .windows
                .iter()
                .map(|window| window.soon)
                .sum::<u32>();
        }
        // All that there is until the horizon, and no more for the second.
        assert!((280..=320).contains(&booked), "{method}: {booked}");
    }
}

async fn sums(options: RedisLedgerOptions) -> Arc<dyn Budget> {
    Arc::new(try_connect(options).await.unwrap())
}

async fn budgets_keep_their_contract_wherever_they_are(cluster: &RedisCluster) {
    let urls = cluster.urls();
    crate::budget::every_fact(async || sums(options(RedisMode::Cluster, &urls)).await).await;
    // Four replicas that meet at one master.
    let shared = options(RedisMode::Cluster, &urls);
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(sums(shared.clone()).await);
    }
    crate::budget::race::a_cap_is_used_up_and_never_exceeded(replicas).await;
}

async fn a_flush_of_one_master_is_noticed(cluster: &RedisCluster) {
    let ledger_options = options(RedisMode::Cluster, &cluster.urls());
    let ledger = try_connect(ledger_options.clone()).await.unwrap();
    let before = ledger.health();
    assert_eq!(before.memory_losses, 3, "each master was new");
    cluster.ask::<()>(1, &["FLUSHALL"]).await;
    let after = until(&ledger, |now| now.memory_losses > before.memory_losses).await;
    assert_eq!(after.memory_losses, before.memory_losses + 1);
    assert!(after.memory_lost_at > before.memory_lost_at);
    assert!(is_up(&after));
    // Who starts later believes the masters, and doubts since the last loss.
    let later = try_connect(ledger_options).await.unwrap().health();
    assert_eq!(later.memory_losses, 0);
    assert!(later.memory_lost_at > before.memory_lost_at);
}

async fn one_full_master_makes_the_ledger_refuse(cluster: &RedisCluster) {
    let options = options(RedisMode::Cluster, &cluster.urls());
    let prefix = options.prefix.clone();
    let ledger = try_connect(options).await.unwrap();
    let job = job_at(cluster, &prefix, 1, 1).await;
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    cluster.ask::<()>(1, &full).await;
    let refused = ledger.insert(&job, &in_flight(&job, 1)).await;
    assert!(matches!(refused, Err(LedgerError::Refused { .. })));
    // The next job may be any master's.
    until(&ledger, is_down).await;
    let room = ["CONFIG", "SET", "maxmemory", "0"];
    cluster.ask::<()>(1, &room).await;
    until(&ledger, is_up).await;
    stored(&ledger, &job, &in_flight(&job, 1)).await;
}

async fn a_slot_that_moves_is_followed_and_counts_as_a_loss(cluster: &RedisCluster) {
    let options = options(RedisMode::Cluster, &cluster.urls());
    let prefix = options.prefix.clone();
    let ledger = try_connect(options).await.unwrap();
    let before = ledger.health();
    let job = key(1);
    let (from, slot) = master_of(cluster, &prefix, &job).await;
    let to = (from + 1) % MASTERS;
    cluster.begin_to_move(slot, from, to).await;
    // Not there yet: the old master sends us on, and what is made is made at the new one.
    let claim = stored(&ledger, &job, &in_flight(&job, 1)).await;
    let name = format!("{prefix}:{{{job}}}");
    let keys: Vec<String> = cluster
        .ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "99"])
        .await;
    assert!(!keys.contains(&name), "{keys:?}");
    assert!(ledger.read(&job).await.unwrap().is_some());
    let written = ledger.replace(&job, &claim, &settled(&job)).await.unwrap();
    assert!(matches!(written, Written::Stored(_)), "{written:?}");
    assert!(is_up(&ledger.health()));
    cluster.finish_move(slot, from, to).await;
    assert!(read_at_last(&ledger, &job).await.0);
    // One gave and one took; a node that hears of it late may make it look like more.
    let wanted = |now: &LedgerHealth| is_up(now) && now.memory_losses >= before.memory_losses + 2;
    let after = until(&ledger, wanted).await;
    assert!(after.memory_lost_at > before.memory_lost_at);
    let other = job_at(cluster, &prefix, (from + 2) % MASTERS, 2).await;
    stored(&ledger, &other, &settled(&other)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fails_over_is_followed_and_no_answer_comes_before_the_loss_is_known() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let options = options(RedisMode::Cluster, &cluster.urls());
    let prefix = options.prefix.clone();
    let ledger = try_connect(options).await.unwrap();
    let before = ledger.health();
    let mine = job_at(&cluster, &prefix, 1, 1).await;
    let theirs = job_at(&cluster, &prefix, 0, 1).await;
    for job in [&mine, &theirs] {
        stored(&ledger, job, &settled(job)).await;
        assert!(ledger.replicated(job, 1, PATIENCE).await.unwrap(), "{job}");
        assert!(
            !ledger
                .replicated(job, 2, Duration::from_millis(1))
                .await
                .unwrap()
        );
    }
    cluster.nodes[1].kill();
    let error = ledger.read(&mine).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
    until(&ledger, is_down).await;
    let (is_there, losses) = read_at_last(&ledger, &mine).await;
    assert!(is_there, "it was replicated");
    assert_eq!(losses, before.memory_losses + 1);
    let after = until(&ledger, is_up).await;
    assert!(after.memory_lost_at > before.memory_lost_at);
    assert!(ledger.read(&theirs).await.unwrap().is_some());
    // The old one comes back as a replica, and nothing changes by that.
    cluster.nodes[1].start_again();
    cluster.promoted(1).await;
    let new = job_at(&cluster, &prefix, 1, 1_000).await;
    stored(&ledger, &new, &in_flight(&new, 1)).await;
    assert_eq!(ledger.health().memory_losses, after.memory_losses);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_behind_sentinels_and_a_failover_is_followed() {
    let mut all = RedisSentinels::start().await;
    let urls = all.urls();
    every_fact(async || shared(options(sentinel_mode(), &urls)).await).await;
    let options = options(sentinel_mode(), &urls);
    let ledger = try_connect(options.clone()).await.unwrap();
    let before = ledger.health();
    stored(&ledger, &key(1), &settled(&key(1))).await;
    assert!(ledger.replicated(&key(1), 1, PATIENCE).await.unwrap());
    // It hangs: it takes itself for the master still when it goes on.
    all.master.freeze();
    until(&ledger, is_down).await;
    let (is_there, losses) = read_at_last(&ledger, &key(1)).await;
    assert!(is_there, "it was replicated");
    assert_eq!(losses, before.memory_losses + 1);
    all.promoted().await;
    let after = until(&ledger, is_up).await;
    assert!(after.memory_lost_at > before.memory_lost_at);
    stored(&ledger, &key(2), &settled(&key(2))).await;
    let inspector = inspect(options).await;
    let masters = inspector.masters().await.unwrap();
    assert_eq!(
        masters[0].address,
        format!("127.0.0.1:{}", all.replica.port())
    );
    assert!(inspector.read(&key(2)).await.unwrap().is_some());
    all.master.thaw();
    all.master.kill();
    assert_eq!(ledger.health(), after);

    // The sentinels name another one; the last one still answers, and is left all the same.
    let other = RedisServer::start(&[]);
    all.name_another(other.port()).await;
    let moved = until(&ledger, |now| {
        now.memory_losses > after.memory_losses && is_up(now)
    });
    moved.await;
    let (is_there, _) = read_at_last(&ledger, &key(2)).await;
    assert!(!is_there, "the other one never had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_another_kind_than_the_mode_are_refused_with_what_they_are() {
    let plain = RedisServer::start(&[]);
    let bus = free_port().to_string();
    let node = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    for (mode, server, words) in [
        (
            RedisMode::Standalone,
            &node,
            "runs as cluster, and redis.mode is \"standalone\"",
        ),
        (
            RedisMode::Cluster,
            &plain,
            "runs as standalone, and redis.mode is \"cluster\"",
        ),
        (
            sentinel_mode(),
            &plain,
            "runs as standalone, and redis.mode is \"sentinel\"",
        ),
        (
            RedisMode::Cluster,
            &node,
            "the cluster is down, or has hash slots that no master serves",
        ),
    ] {
        let error = try_connect(options(mode, &[server.url()]))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_given_authority_alone_and_shows_our_certificate() {
    let identity = || (tls_file("client.pem"), tls_file("client.key").into());
    let mut trusting = options(RedisMode::Standalone, &[rediss_url()]);
    trusting.connect_timeout = Duration::from_secs(10);
    let error = try_connect(trusting.clone()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    trusting.tls.ca = Some(tls_file("client.pem"));
    let error = try_connect(trusting.clone()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    trusting.tls.ca = Some(tls_file("ca.pem"));
    assert!(is_up(
        &try_connect(trusting.clone()).await.unwrap().health()
    ));

    let (ca, cert, key) = (
        tls_path("ca.pem"),
        tls_path("server.pem"),
        tls_path("server.key"),
    );
    let port = free_port().to_string();
    let mut words = vec!["--tls-port", &port, "--tls-auth-clients", "yes"];
    words.extend([
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ]);
    let _asking = RedisServer::start(&words);
    trusting.urls = vec![format!("rediss://127.0.0.1:{port}").into()];
    assert!(
        try_connect(trusting.clone()).await.is_err(),
        "it asks who we are"
    );
    trusting.tls.identity = Some(identity());
    assert!(is_up(
        &try_connect(trusting.clone()).await.unwrap().health()
    ));
    // The name in the certificate counts: this one is for 127.0.0.1 and localhost.
    trusting.urls = vec![format!("rediss://127.0.0.2:{port}").into()];
    assert!(try_connect(trusting).await.is_err());
}
