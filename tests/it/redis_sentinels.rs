//! A Redis master with a replica, and three sentinels that watch them, of one test's own.

use std::process::{Child, Command, Stdio};

use redis::Value;
use tempfile::TempDir;

use crate::patience::eventually;
use crate::ports::free_port;
use crate::redis_server::{RedisServer, connection};

/// What the sentinels call the master.
pub(crate) const MASTER_NAME: &str = "mymaster";

/// How many sentinels there are; two must agree.
const SENTINELS: usize = 3;

/// Running servers; they end with this value.
pub(crate) struct RedisSentinels {
    pub(crate) master: RedisServer,
    pub(crate) replica: RedisServer,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    _directory: TempDir,
    port: u16,
    process: Child,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // A test that killed it already has nothing left to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let config = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER_NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} 500\n\
             sentinel failover-timeout {MASTER_NAME} 3000\n",
            directory.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("redis-server")
            .arg(&config)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: tests/run does it");
        Self {
            _directory: directory,
            port,
            process,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it says of the master, as pairs; `None` while it does not answer.
    async fn master(&self) -> Option<Vec<String>> {
        let client = redis::Client::open(self.url()).ok()?;
        let mut redis = client.get_multiplexed_async_connection().await.ok()?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(MASTER_NAME);
        question.query_async(&mut redis).await.ok()
    }
}

impl RedisSentinels {
    /// Starts all of them and waits until they know of each other.
    pub(crate) async fn start() -> Self {
        let arguments = ["--repl-diskless-sync-delay", "0", "--appendonly", "yes"];
        let master = RedisServer::start(&arguments);
        let port = master.port().to_string();
        let mut follows = vec!["--replicaof", "127.0.0.1", &port];
        follows.extend(arguments);
        let replica = RedisServer::start(&follows);
        let mut redis = replica.connection().await;
        eventually("a replica in step", async || {
            let role: Vec<Value> = redis::cmd("ROLE")
                .query_async(&mut redis.clone())
                .await
                .unwrap();
            role[3] == Value::BulkString(b"connected".to_vec())
        })
        .await;
        drop(redis::cmd("PING").exec_async(&mut redis).await);
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(master.port()));
        let all = Self {
            sentinels: sentinels.collect(),
            master,
            replica,
        };
        all.agreed().await;
        all
    }

    async fn agreed(&self) {
        for sentinel in &self.sentinels {
            eventually("a sentinel that knows the others", async || {
                let Some(pairs) = sentinel.master().await else {
                    return false;
                };
                let value = |name: &str| {
                    let at = pairs.iter().position(|word| word == name);
                    at.and_then(|at| pairs.get(at + 1)).map(String::as_str)
                };
                value("num-other-sentinels") == Some("2") && value("num-slaves") == Some("1")
            })
            .await;
        }
    }

    /// Lets all sentinels name another server the master, while the old one stays as it was: as when
    /// it is cut off from them, and not from its clients.
    pub(crate) async fn name_another(&self, port: u16) {
        let port = port.to_string();
        for sentinel in &self.sentinels {
            let mut redis = connection(&sentinel.url()).await;
            for words in [
                &["REMOVE", MASTER_NAME][..],
                &["MONITOR", MASTER_NAME, "127.0.0.1", &port, "2"],
            ] {
                let mut command = redis::cmd("SENTINEL");
                command.arg(words).exec_async(&mut redis).await.unwrap();
            }
        }
    }

    /// The URLs of the sentinels.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Sentinel::url).collect()
    }

    /// Waits until the replica is the master.
    pub(crate) async fn promoted(&self) {
        let redis = connection(&self.replica.url()).await;
        eventually("a promoted replica", async || {
            let mut redis = redis.clone();
            let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut redis).await.unwrap();
            role[0] == Value::BulkString(b"master".to_vec())
        })
        .await;
    }
}
