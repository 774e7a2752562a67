//! A cluster of three RabbitMQ nodes of one test's own, of which one may be missing.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::patience::eventually;
use crate::rabbitmq_server::{self, Turn, servers, whole_turn};

/// The numbers of the nodes.
pub(crate) const NODES: [u8; 3] = [1, 2, 3];

/// Three running nodes; they end with this value.
pub(crate) struct RabbitmqCluster {
    directory: TempDir,
    _turn: Turn,
}

/// Where one quorum queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuePlace {
    pub(crate) name: String,
    /// The node that leads; 0 while none does.
    pub(crate) leader: u8,
    pub(crate) members: Vec<u8>,
    /// Members that run.
    pub(crate) online: Vec<u8>,
}

impl Drop for RabbitmqCluster {
    fn drop(&mut self) {
        // There is nothing to keep, and a crash is faster than an orderly end.
        for node in NODES {
            drop(servers(&self.node(node), &["kill9-rabbitmq"]));
        }
        drop(servers(self.directory.path(), &["stop-cluster"]));
    }
}

impl RabbitmqCluster {
    /// Starts three nodes with nothing in them.
    pub(crate) async fn start() -> Self {
        let cluster = Self {
            _turn: whole_turn().await,
            directory: TempDir::new().unwrap(),
        };
        run(cluster.directory.path().to_owned(), &["start-cluster"]).await;
        cluster
    }

    fn node(&self, node: u8) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    /// Kills a node as a crash would.
    pub(crate) async fn kill(&self, node: u8) {
        run(self.node(node), &["kill9-rabbitmq"]).await;
    }

    /// Starts a killed node again, with what it had on its disk.
    pub(crate) async fn start_again(&self, node: u8) {
        run(self.node(node), &["restart-rabbitmq"]).await;
    }

    /// A node's URL.
    pub(crate) async fn url(&self, node: u8) -> String {
        let variables = run(self.node(node), &["env"]).await;
        let url = variables
            .split('\'')
            .find(|word| word.starts_with("amqp://"));
        url.expect("the address among the variables").to_owned()
    }

    /// The URLs of all nodes.
    pub(crate) async fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for node in NODES {
            urls.push(self.url(node).await);
        }
        urls
    }

    /// This instant by the file system's clock.
    pub(crate) fn mark(&self) -> SystemTime {
        rabbitmq_server::mark(self.directory.path())
    }

    /// Waits until every node has written the votes on queues declared just before `declared_at`.
    pub(crate) async fn votes_written(&self, declared_at: SystemTime) {
        for node in NODES {
            let name = format!("hongbaod{node}@localhost");
            rabbitmq_server::votes_written(&self.node(node), &name, declared_at).await;
        }
    }

    /// Where the quorum queues are whose names start with `prefix`, as node `witness` sees it.
    pub(crate) async fn queues(&self, prefix: &str, witness: u8) -> Vec<QueuePlace> {
        let words = "ctl --quiet list_queues name type leader members online --formatter json";
        let words: Vec<&'static str> = words.split(' ').collect();
        let listed = run(self.node(witness), &words).await;
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let ours = listed.iter().filter(|queue| {
            queue["type"] == "quorum" && queue["name"].as_str().unwrap().starts_with(prefix)
        });
        ours.map(|queue| QueuePlace {
            name: queue["name"].as_str().unwrap().to_owned(),
            leader: number(&queue["leader"]),
            members: numbers(&queue["members"]),
            online: numbers(&queue["online"]),
        })
        .collect()
    }

    /// Waits until all members of all queues of `prefix` run.
    pub(crate) async fn whole(&self, prefix: &str) {
        eventually("a whole cluster", async || {
            let queues = self.queues(prefix, NODES[2]).await;
            queues.iter().all(|queue| queue.online == NODES)
        })
        .await;
    }

    /// The nodes that connections with `words` in their names are on, as node `witness` sees it.
    pub(crate) async fn nodes_of(&self, words: &str, witness: u8) -> Vec<u8> {
        let list = "ctl --quiet list_connections port client_properties --formatter json";
        let list: Vec<&'static str> = list.split(' ').collect();
        let connections = run(self.node(witness), &list).await;
        let connections: Vec<Value> = serde_json::from_str(&connections).unwrap();
        let mut nodes = Vec::new();
        for node in NODES {
            let url = self.url(node).await;
            let here = connections.iter().filter(|connection| {
                url.contains(&format!(":{}/", connection["port"]))
                    && connection.to_string().contains(words)
            });
            nodes.extend(here.map(|_| node));
        }
        nodes
    }
}

/// Runs a command of `tests/servers` and returns what it printed.
async fn run(directory: PathBuf, words: &[&'static str]) -> String {
    let words = words.to_owned();
    let named = words.join(" ");
    tokio::task::spawn_blocking(move || servers(&directory, &words))
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("{named}: {error}"))
}

/// The number in a node's name, such as 2 in `hongbaod2@localhost`; 0 for none.
fn number(name: &Value) -> u8 {
    let name = name.as_str().unwrap_or_default();
    let node = NODES
        .iter()
        .find(|node| name == format!("hongbaod{node}@localhost"));
    node.copied().unwrap_or(0)
}

fn numbers(names: &Value) -> Vec<u8> {
    let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut numbers: Vec<u8> = names.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}
