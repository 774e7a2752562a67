//! A Redis Cluster of one test's own: three masters, each with a replica or without.

use redis::{Cmd, FromRedisValue, Value};

use crate::patience::eventually;
use crate::ports::free_port;
use crate::redis_server::RedisServer;

/// How many masters there are.
pub(crate) const MASTERS: usize = 3;

/// How long a node may be silent before the others fail over, in milliseconds.
const NODE_TIMEOUT_MS: &str = "1000";

/// Running nodes, the masters first; they end with this value.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three masters without replicas, with a third of the slots each.
    pub(crate) async fn start() -> Self {
        Self::start_with(MASTERS, &[]).await
    }

    /// Starts three masters with a replica each.
    pub(crate) async fn start_with_replicas() -> Self {
        Self::start_with(2 * MASTERS, &["--appendonly", "yes"]).await
    }

    async fn start_with(count: usize, arguments: &[&str]) -> Self {
        let nodes = (0..count).map(|_| {
            let bus = free_port().to_string();
            let mut words = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
            words.extend(["--cluster-node-timeout", NODE_TIMEOUT_MS]);
            words.extend(["--repl-diskless-sync-delay", "0"]);
            words.extend(arguments);
            RedisServer::start(&words)
        });
        let cluster = Self {
            nodes: nodes.collect(),
        };
        cluster.introduce().await;
        cluster.whole().await;
        cluster
    }

    /// Gives the slots away, lets the nodes meet, and makes replicas of those after the masters.
    async fn introduce(&self) {
        for index in 0..self.nodes.len() {
            let epoch = (index + 1).to_string();
            self.ask::<()>(index, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await;
            if index < MASTERS {
                let [first, last] = slots_of(index).map(|slot| slot.to_string());
                self.ask::<()>(index, &["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                    .await;
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let port = node.port().to_string();
            let bus: Vec<String> = self.ask(index, &["CONFIG", "GET", "cluster-port"]).await;
            for other in 0..self.nodes.len() {
                if other != index {
                    self.ask::<()>(other, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]])
                        .await;
                }
            }
        }
        for replica in MASTERS..self.nodes.len() {
            let master: String = self.ask(replica - MASTERS, &["CLUSTER", "MYID"]).await;
            eventually("a node that knows its master", async || {
                let words = ["CLUSTER", "REPLICATE", &master];
                self.try_ask::<Value>(replica, &words).await.is_ok()
            })
            .await;
        }
    }

    /// Waits until every node takes the cluster to be whole, and every replica follows.
    pub(crate) async fn whole(&self) {
        eventually("a whole Redis Cluster", async || {
            for node in 0..self.nodes.len() {
                let info: String = self.ask(node, &["CLUSTER", "INFO"]).await;
                let size = format!("cluster_known_nodes:{}\r", self.nodes.len());
                if !info.contains("cluster_state:ok") || !info.contains(&size) {
                    return false;
                }
                let info: String = self.ask(node, &["INFO", "replication"]).await;
                let follows = info.contains("role:slave") && info.contains("link_status:up");
                if node >= MASTERS && !follows && !info.contains("role:master\r") {
                    return false;
                }
                // A replica that nobody has made one yet is a master without slots.
                if node >= MASTERS && info.contains("role:master\r") {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits until a node that was started again follows another one.
    pub(crate) async fn follows(&self, node: usize) {
        eventually("a node that follows", async || {
            let info: String = self.ask(node, &["INFO", "replication"]).await;
            info.contains("role:slave") && info.contains("link_status:up")
        })
        .await;
    }

    /// Waits until the replica of master `index` has taken its place.
    pub(crate) async fn promoted(&self, index: usize) {
        eventually("a promoted replica", async || {
            let node = index + MASTERS;
            let role: Vec<Value> = self.ask(node, &["ROLE"]).await;
            role[0] == Value::BulkString(b"master".to_vec())
        })
        .await;
    }

    /// The URLs of the masters, as seeds.
    pub(crate) fn urls(&self) -> Vec<String> {
        let masters = self.nodes.iter().take(MASTERS);
        masters
            .map(|node| format!("redis://127.0.0.1:{}", node.port()))
            .collect()
    }

    /// Moves one slot from a master to another, as `redis-cli --cluster reshard` does, but for its
    /// last step if `last_step` is not wanted.
    pub(crate) async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let source: String = self.ask(from, &["CLUSTER", "MYID"]).await;
        let target: String = self.ask(to, &["CLUSTER", "MYID"]).await;
        self.ask::<()>(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source])
            .await;
        self.ask::<()>(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target])
            .await;
    }

    /// Moves the keys of a slot, and the slot itself.
    pub(crate) async fn finish_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let port = self.nodes[to].port().to_string();
        let keys: Vec<String> = self
            .ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"])
            .await;
        for key in keys {
            let words = ["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"];
            self.ask::<()>(from, &words).await;
        }
        let target: String = self.ask(to, &["CLUSTER", "MYID"]).await;
        for node in [to, from] {
            self.ask::<()>(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target])
                .await;
        }
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, node: usize, words: &[&str]) -> T {
        let answer = self.try_ask(node, words).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn try_ask<T: FromRedisValue>(
        &self,
        node: usize,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let mut connection = self.nodes[node].connection().await;
        let mut command = Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }
}

/// The first and the last slot of a master.
pub(crate) fn slots_of(master: usize) -> [u16; 2] {
    [[0, 5_460], [5_461, 10_922], [10_923, 16_383]][master]
}
