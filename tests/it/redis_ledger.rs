//! What the ledger in Redis promises beyond the contract: costs, faults, and a lost memory noticed.

mod lifetimes;

use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{
    ConnectError, Persistence, RedisInspector, RedisLedger, RedisLedgerOptions,
};
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock;
use hongbaod::ports::ledger::{Ledger, LedgerError, LedgerHealth, ScanCursor, Written};
use redis::AsyncCommands;

use crate::ledger_contract::{revision_of, stored};
use crate::ledger_entries::{NOW, deferred, in_flight, key, settled};
use crate::patience::PATIENCE;
use crate::redis_health::{is_down, is_up, try_connect, until};
use crate::redis_server::{RedisServer, connection};
use crate::servers;

const RETENTION: Duration = Duration::from_secs(600);

fn options(url: String) -> RedisLedgerOptions {
    RedisLedgerOptions {
        retention: RETENTION,
        response_timeout: Duration::from_secs(1),
        check_interval: Duration::from_millis(20),
        ..RedisLedgerOptions::new(url.into())
    }
}

async fn connect(server: &RedisServer) -> RedisLedger {
    try_connect(options(server.url())).await.unwrap()
}

#[tokio::test]
async fn settled_entries_expire_and_unsettled_ones_never() {
    let prefix = servers::unique_prefix("expiry");
    let mut options = options(servers::redis_url());
    options.prefix.clone_from(&prefix);
    let ledger = try_connect(options).await.unwrap();
    let mut redis = connection(&servers::redis_url()).await;
    let mut life_ms = async |number: u64| -> i64 {
        redis
            .pttl(format!("{prefix}:{{{}}}", key(number)))
            .await
            .unwrap()
    };
    let whole = i64::try_from(RETENTION.as_millis()).unwrap();
    let is_retention = |life_ms: i64| (whole - 60_000..=whole).contains(&life_ms);

    let claim = stored(&ledger, &key(1), &in_flight(&key(1), 1)).await;
    assert_eq!(life_ms(1).await, -1);
    let wait = deferred(&key(1), NOW);
    let wait = revision_of(ledger.replace(&key(1), &claim, &wait).await.unwrap());
    assert_eq!(life_ms(1).await, -1);
    let outcome = settled(&key(1));
    let _settled = revision_of(ledger.replace(&key(1), &wait, &outcome).await.unwrap());
    assert!(is_retention(life_ms(1).await));

    stored(&ledger, &key(2), &settled(&key(2))).await;
    assert!(is_retention(life_ms(2).await));
}

#[tokio::test]
async fn cleaning_takes_the_keys_of_one_prefix_and_leaves_those_of_others() {
    /// More than one step of the cleaning looks at, so that some steps find nothing to remove.
    const KEYS_OF_OTHERS: u64 = 5_000;
    let server = RedisServer::start(&[]);
    let mut redis = server.connection().await;
    let mut set = redis::pipe();
    for number in 0..KEYS_OF_OTHERS {
        set.cmd("SET").arg(format!("others:{number}")).arg(1);
    }
    let _: Vec<String> = set.query_async(&mut redis).await.unwrap();
    let mut options = options(server.url());
    options.prefix = "ours".to_owned();
    let ledger = try_connect(options.clone()).await.unwrap();
    stored(&ledger, &key(1), &settled(&key(1))).await;
    drop(ledger);

    let ports = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let inspector = RedisInspector::connect(options, ports.0, ports.1)
        .await
        .unwrap();
    // The entry and the canary.
    assert_eq!(inspector.clear("ours").await.unwrap(), 2);
    let left: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert_eq!(left, KEYS_OF_OTHERS);
}

#[tokio::test]
async fn a_job_that_settles_at_once_costs_two_commands() {
    const JOBS: u64 = 1_000;
    let server = RedisServer::start(&[]);
    let mut options = options(server.url());
    options.check_interval = Duration::from_secs(3_600);
    let ledger = try_connect(options).await.unwrap();
    let mut redis = server.connection().await;
    settle(&ledger, 0).await;
    let _: () = redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .query_async(&mut redis)
        .await
        .unwrap();
    for number in 1..=JOBS {
        settle(&ledger, number).await;
    }
    let stats = info(&mut redis, "commandstats").await;
    let mut calls: Vec<(&str, u64)> = stats
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name, rest.split(',').next()?.parse().unwrap()))
        })
        .filter(|(name, _)| *name != "config|resetstat")
        .collect();
    calls.sort_unstable();
    // Two from the client, SET and EVALSHA; the script itself counts one GET and one SET more.
    assert_eq!(calls, [("evalsha", JOBS), ("get", JOBS), ("set", 2 * JOBS)]);
}

#[tokio::test]
async fn a_settled_entry_takes_at_most_250_bytes_of_redis() {
    const JOBS: u64 = 10_000;
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let mut redis = server.connection().await;
    settle(&ledger, 0).await;
    let before = used_memory(&mut redis).await;
    for number in 1..=JOBS {
        settle(&ledger, number).await;
    }
    let after = used_memory(&mut redis).await;
    let usage: u64 = redis::cmd("MEMORY")
        .arg("USAGE")
        .arg(format!("hongbao:{{{}}}", key(1)))
        .query_async(&mut redis)
        .await
        .unwrap();
    let all_in = (after - before).div_ceil(JOBS);
    eprintln!("a settled entry takes {all_in} bytes all in, {usage} by MEMORY USAGE");
    assert!(all_in <= 250, "{all_in}");
}

async fn settle(ledger: &RedisLedger, number: u64) {
    let key = key(number);
    let claim = stored(ledger, &key, &in_flight(&key, number)).await;
    let written = ledger.replace(&key, &claim, &settled(&key)).await.unwrap();
    assert!(matches!(written, Written::Stored(_)));
}

async fn used_memory(redis: &mut redis::aio::MultiplexedConnection) -> u64 {
    let memory = info(redis, "memory").await;
    memory
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .unwrap()
        .parse()
        .unwrap()
}

async fn info(redis: &mut redis::aio::MultiplexedConnection, section: &str) -> String {
    let mut info = redis::cmd("INFO");
    info.arg(section);
    info.query_async(redis).await.unwrap()
}

#[tokio::test]
async fn a_first_start_may_be_a_flush_and_a_second_one_knows_the_age_of_the_ledger() {
    let server = RedisServer::start(&[]);
    let clock = SystemClock::new();
    let before = clock.now();
    let first = connect(&server).await.health();
    let born = first.memory_lost_at.unwrap();
    assert!(before <= born && born <= clock.now());
    assert_eq!(first.memory_losses, 1);

    let second = connect(&server).await.health();
    assert_eq!(second.memory_losses, 0);
    // The canary is made a moment before the loss is noted.
    let age = second.memory_lost_at.unwrap();
    assert!(before <= age && age <= born);
}

#[tokio::test]
async fn a_flush_is_noticed_once_by_every_process() {
    let server = RedisServer::start(&[]);
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (before_one, before_two) = (one.health(), two.health());
    stored(&one, &key(1), &settled(&key(1))).await;
    let mut redis = server.connection().await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut redis)
        .await
        .unwrap();

    let lost = |before: LedgerHealth| {
        move |now: &LedgerHealth| now.memory_losses == before.memory_losses + 1
    };
    let after_one = until(&one, lost(before_one)).await;
    let after_two = until(&two, lost(before_two)).await;
    assert!(after_one.memory_lost_at > before_one.memory_lost_at);
    assert!(after_two.memory_lost_at > before_two.memory_lost_at);
    assert!(is_up(&after_one) && is_up(&after_two));

    // Both agree on the new canary: many looks later there is still but one loss.
    let looks = async |redis: &mut redis::aio::MultiplexedConnection| -> u64 {
        let stats = info(redis, "commandstats").await;
        let get = stats.split_once("cmdstat_get:calls=").unwrap().1;
        get.split(',').next().unwrap().parse().unwrap()
    };
    let before = looks(&mut redis).await;
    let waiting = async { while looks(&mut redis).await < before + 10 {} };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(one.health(), after_one);
    assert_eq!(two.health(), after_two);
}

#[tokio::test]
async fn whoever_gets_an_answer_after_a_restart_knows_that_memory_may_be_lost() {
    for arguments in [&[][..], &["--appendonly", "yes", "--appendfsync", "always"]] {
        let mut server = RedisServer::start(arguments);
        let ledger = connect(&server).await;
        let before = ledger.health();
        stored(&ledger, &key(1), &settled(&key(1))).await;
        server.kill();
        let error = ledger.read(&key(1)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
        until(&ledger, is_down).await;
        server.start_again();

        // No answer comes before the loss is known, however soon one asks.
        let asking = async {
            loop {
                if let Ok(read) = ledger.read(&key(1)).await {
                    break (read, ledger.health());
                }
                tokio::task::yield_now().await;
            }
        };
        let (read, health) = tokio::time::timeout(PATIENCE, asking).await.unwrap();
        assert_eq!(health.memory_losses, before.memory_losses + 1);
        assert!(health.memory_lost_at > before.memory_lost_at);
        assert_eq!(read.is_some(), !arguments.is_empty(), "{arguments:?}");
        until(&ledger, is_up).await;
        // The scripts went with the old server.
        settle(&ledger, 2).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_and_used_again_when_it_answers() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let before = ledger.health();
    stored(&ledger, &key(1), &settled(&key(1))).await;
    server.freeze();
    let error = ledger.read(&key(1)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
    until(&ledger, is_down).await;
    server.thaw();
    let after = until(&ledger, is_up).await;
    // The same server with the same canary has lost nothing.
    assert_eq!(after, before);
    assert!(ledger.read(&key(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_that_is_cut_is_rebuilt_without_a_loss() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let before = ledger.health();
    let mut redis = server.connection().await;
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "TYPE", "NORMAL", "SKIPME", "YES"]);
    let (killed, _down) =
        tokio::join!(kill.query_async::<u64>(&mut redis), until(&ledger, is_down));
    assert_eq!(killed.unwrap(), 1);
    assert_eq!(until(&ledger, is_up).await, before);
}

#[tokio::test]
async fn a_full_server_refuses_to_write_and_still_reads() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let before = ledger.health();
    let claim = stored(&ledger, &key(1), &in_flight(&key(1), 1)).await;
    let mut redis = server.connection().await;
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query_async(&mut redis)
        .await
        .unwrap();
    let answers = [
        ledger.insert(&key(2), &in_flight(&key(2), 1)).await,
        ledger.replace(&key(1), &claim, &settled(&key(1))).await,
    ];
    for answer in answers {
        let Err(LedgerError::Refused { reason }) = answer else {
            panic!("{answer:?}");
        };
        assert!(reason.starts_with("OOM "), "{reason}");
    }
    until(&ledger, is_down).await;
    assert!(ledger.read(&key(1)).await.unwrap().is_some());
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "0"])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(until(&ledger, is_up).await, before);
    stored(&ledger, &key(2), &in_flight(&key(2), 1)).await;
}

#[tokio::test]
async fn a_full_server_that_is_flushed_to_make_room_has_lost_its_memory() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let before = ledger.health();
    let mut redis = server.connection().await;
    let set = |bytes| {
        redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory", bytes])
            .clone()
    };
    set("1").exec_async(&mut redis).await.unwrap();
    let refused = ledger.insert(&key(1), &in_flight(&key(1), 1)).await;
    assert!(
        matches!(refused, Err(LedgerError::Refused { .. })),
        "{refused:?}"
    );
    until(&ledger, is_down).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    set("0").exec_async(&mut redis).await.unwrap();
    let after = until(&ledger, is_up).await;
    assert_eq!(after.memory_losses, before.memory_losses + 1);
}

#[tokio::test]
async fn a_value_that_is_none_is_unreadable_and_left_alone() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let mut redis = server.connection().await;
    let name = format!("hongbao:{{{}}}", key(1));
    let _: () = redis.set(&name, "garbage").await.unwrap();
    let errors = [
        ledger.read(&key(1)).await.map(|_| ()).unwrap_err(),
        ledger
            .insert(&key(1), &settled(&key(1)))
            .await
            .map(|_| ())
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(
            error.to_string(),
            "read the ledger's value of main:R000000000000001: its version or state is 0x67, \
             which this version does not know"
        );
    }
    let there: String = redis.get(&name).await.unwrap();
    assert_eq!(there, "garbage");
    // It is unsettled for all that is known, so the scan shows it.
    let (met, _) = ledger.scan(ScanCursor::START).await.unwrap();
    assert_eq!(met, [key(1)]);
}

#[tokio::test]
async fn a_job_that_was_deferred_leaves_the_index_when_it_is_over() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    let mut redis = server.connection().await;
    let mut indexed = async || -> Vec<String> {
        let members = redis.zrange("hongbao:unsettled", 0, -1).await;
        members.unwrap()
    };
    let key = key(1);
    let claim = stored(&ledger, &key, &in_flight(&key, 1)).await;
    let wait = deferred(&key, NOW);
    let wait = revision_of(ledger.replace(&key, &claim, &wait).await.unwrap());
    // Neither the next claim nor its renewal makes the entry forget that it was deferred.
    let next = in_flight(&key, 2);
    let claim = revision_of(ledger.replace(&key, &wait, &next).await.unwrap());
    let renewed = in_flight(&key, 3);
    let claim = revision_of(ledger.replace(&key, &claim, &renewed).await.unwrap());
    assert_eq!(indexed().await, [key.to_string()]);
    // A settling that loses the race leaves the job where it is.
    let lost = ledger.replace(&key, &wait, &settled(&key)).await.unwrap();
    assert!(matches!(lost, Written::Found(_)));
    assert_eq!(indexed().await, [key.to_string()]);
    let _settled = revision_of(ledger.replace(&key, &claim, &settled(&key)).await.unwrap());
    assert!(indexed().await.is_empty());
}

#[tokio::test]
async fn jobs_that_are_over_leave_the_index_when_it_is_read() {
    let server = RedisServer::start(&[]);
    let ledger = connect(&server).await;
    stored(&ledger, &key(1), &deferred(&key(1), NOW)).await;
    stored(&ledger, &key(2), &settled(&key(2))).await;
    let mut redis = server.connection().await;
    for member in [
        "main:R000000000000002",
        "main:R000000000000003",
        "no job at all",
    ] {
        let _: () = redis.zadd("hongbao:unsettled", member, 1).await.unwrap();
    }
    let listed = ledger.unsettled(UnixMillis(u64::MAX), 10).await.unwrap();
    assert_eq!(listed, [key(1)]);
    let left: Vec<String> = redis.zrange("hongbao:unsettled", 0, -1).await.unwrap();
    assert_eq!(left, ["main:R000000000000001"]);
}

#[tokio::test]
async fn a_server_that_cannot_be_a_ledger_is_refused_with_the_reason() {
    let evicting = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let error = try_connect(options(evicting.url())).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Eviction { policy, .. } if policy == "allkeys-lru"),
        "{error:?}"
    );

    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", "1"]);
    let error = try_connect(options(replica.url())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Replica { .. }), "{error:?}");

    let locked = RedisServer::start(&["--requirepass", "secret"]);
    let wrong = format!("redis://:wrong@127.0.0.1:{}/0", locked.port());
    for url in [locked.url(), wrong] {
        let error = try_connect(options(url)).await.unwrap_err();
        assert!(matches!(error, ConnectError::LogIn { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong@"), "{error:?}");
    }
    let right = format!("redis://:secret@127.0.0.1:{}/0", locked.port());
    let ledger = try_connect(options(right)).await.unwrap();
    assert!(!format!("{ledger:?}").contains("secret@"));

    let plain = RedisServer::start(&[]);
    let tls = format!("rediss://127.0.0.1:{}/0", plain.port());
    let error = try_connect(options(tls)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );

    let error = try_connect(options("http://nowhere".to_owned())).await;
    assert!(matches!(error, Err(ConnectError::Url(_))), "{error:?}");

    let mut gone = RedisServer::start(&[]);
    gone.kill();
    let error = try_connect(options(gone.url())).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_write_is_replicated_when_a_replica_has_it() {
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let ledger = connect(&master).await;
    let timeout = Duration::from_millis(50);
    stored(&ledger, &key(1), &settled(&key(1))).await;
    assert!(!ledger.replicated(&key(1), 1, timeout).await.unwrap());

    let port = master.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    assert!(ledger.replicated(&key(1), 1, PATIENCE).await.unwrap());
    let mut redis = replica.connection().await;
    let name = format!("hongbao:{{{}}}", key(1));
    assert!(redis.exists::<_, bool>(&name).await.unwrap());

    // While one waits in vain, others go on.
    let one = key(1);
    let waiting = ledger.replicated(&one, 2, Duration::from_millis(250));
    let reading = ledger.read(&one);
    let (waited, read) = tokio::join!(waiting, reading);
    assert!(!waited.unwrap());
    assert!(read.unwrap().is_some());
    assert!(is_up(&ledger.health()));
}

#[tokio::test]
async fn many_who_wait_for_replicas_in_vain_do_not_cost_the_connection() {
    let master = RedisServer::start(&[]);
    let ledger = connect(&master).await;
    let before = ledger.health();
    let one = key(1);
    let waits = (0..12).map(|_| ledger.replicated(&one, 1, Duration::from_millis(250)));
    for waited in futures_util::future::join_all(waits).await {
        assert!(!waited.unwrap());
    }
    assert_eq!(ledger.health(), before);
}

#[tokio::test]
async fn the_server_tells_its_version_persistence_and_clock() {
    let server = RedisServer::start(&["--appendonly", "yes"]);
    let ledger = connect(&server).await;
    let facts = ledger.server().unwrap();
    let major: u32 = facts.version.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 7);
    assert_eq!(facts.persistence, Persistence::AppendOnlyFile);
    assert_eq!(facts.replicas, 0);
    // The same machine's clock.
    assert!(facts.clock_skew_ms.abs() < 1_000, "{}", facts.clock_skew_ms);
}
