//! Finds the masters that hold the ledger at present: the one server, the one that most sentinels
//! name, or those of the cluster by the view of the node that knows most.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use tokio::sync::Notify;

use crate::adapters::redis_ledger::cluster::View;
use crate::adapters::redis_ledger::connection::{Address, Connector, Link, LinkState, silent};
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::options::{RedisLedgerOptions, RedisMode};
use crate::adapters::redis_ledger::server::mode;
use crate::adapters::redis_ledger::slots::Share;

/// How often the sentinels or the nodes are asked whether the masters are still the same. A master
/// that is cut off from them, and not from us, learns last that it is none any more.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// A master and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) share: Share,
}

/// Knows whom to ask.
#[derive(Debug)]
pub(super) struct Locator {
    mode: RedisMode,
    /// The server, the sentinels, or the nodes to begin with.
    addresses: Vec<Address>,
    /// Opens connections to masters.
    pub(super) connector: Connector,
    /// Opens connections to whom we ask where the masters are.
    guides: Connector,
    /// One to each sentinel, while it works.
    sentinels: Mutex<BTreeMap<Address, MultiplexedConnection>>,
    response_timeout: Duration,
}

impl Locator {
    pub(super) fn new(options: &RedisLedgerOptions) -> Result<Self, ConnectError> {
        let (connector, addresses) = Connector::new(options)?;
        let guides = match &options.mode {
            RedisMode::Standalone | RedisMode::Cluster => connector.clone(),
            RedisMode::Sentinel { password, .. } => connector.to_sentinels(password.as_ref()),
        };
        Ok(Self {
            mode: options.mode.clone(),
            addresses,
            connector,
            guides,
            sentinels: Mutex::default(),
            response_timeout: options.response_timeout,
        })
    }

    /// How often it is to be asked again where the masters are; `None` where that never changes.
    pub(super) fn period(&self) -> Option<Duration> {
        match self.mode {
            RedisMode::Standalone => None,
            RedisMode::Cluster | RedisMode::Sentinel { .. } => Some(LOOK_AROUND),
        }
    }

    /// What a master must say that it runs as.
    pub(super) fn server_mode(&self) -> &'static str {
        match self.mode {
            RedisMode::Standalone | RedisMode::Sentinel { .. } => "standalone",
            RedisMode::Cluster => "cluster",
        }
    }

    /// The configured mode.
    pub(super) fn mode(&self) -> &'static str {
        self.mode.as_str()
    }

    /// Where the masters are, in the order of their slots. `links` are those that there are already.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; also for a cluster that is down.
    pub(super) async fn masters(&self, links: &[Arc<Link>]) -> Result<Vec<Place>, ConnectError> {
        let everything = |address: Address| {
            let share = Share::Everything;
            vec![Place { address, share }]
        };
        match &self.mode {
            RedisMode::Standalone => {
                let address = self.addresses.first().cloned();
                address.map(everything).ok_or(ConnectError::NoAddress)
            }
            RedisMode::Sentinel { master, .. } => self.master_named(master).await.map(everything),
            RedisMode::Cluster => self.cluster_masters(links).await,
        }
    }

    /// The address that most sentinels name. One that was cut off from the others may still name a
    /// master of yesterday.
    async fn master_named(&self, name: &str) -> Result<Address, ConnectError> {
        let asked = self.addresses.iter();
        let asked = asked.map(|sentinel| self.ask_sentinel(sentinel, name));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let majority = self.addresses.len() / 2;
        let mut votes: BTreeMap<Address, usize> = BTreeMap::new();
        let mut failure = ConnectError::NoAddress;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(address) => {
                    let votes = votes.entry(address.clone()).or_default();
                    *votes = votes.saturating_add(1);
                    // Nobody waits for the others, which may be as dead as the master was.
                    if *votes > majority {
                        return Ok(address);
                    }
                }
                Err(error) => failure = error,
            }
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
        most.map(|(address, _)| address).ok_or(failure)
    }

    async fn ask_sentinel(&self, sentinel: &Address, name: &str) -> Result<Address, ConnectError> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let known = self.sentinels().get(sentinel).cloned();
        let mut connection = match known {
            Some(connection) => connection,
            None => self.open_guide(sentinel).await?,
        };
        let what = "SENTINEL GET-MASTER-ADDR-BY-NAME";
        let answer = self.ask(&mut connection, sentinel, what, &question).await;
        let named: Option<(String, u16)> = match answer {
            Ok(named) => named,
            Err(error) => {
                self.sentinels().remove(sentinel);
                return Err(self.no_guide(sentinel, error, &mut connection).await);
            }
        };
        self.sentinels().insert(sentinel.clone(), connection);
        match named {
            Some((host, port)) => Ok(Address { host, port }),
            None => Err(ConnectError::UnknownMaster {
                name: name.to_owned(),
            }),
        }
    }

    fn sentinels(&self) -> MutexGuard<'_, BTreeMap<Address, MultiplexedConnection>> {
        // No code panics while it holds the lock.
        self.sentinels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The masters by the view with the highest epoch of more than half of the nodes that are asked.
    /// A node that is cut off from the others does not hear of a new epoch.
    async fn cluster_masters(&self, links: &[Arc<Link>]) -> Result<Vec<Place>, ConnectError> {
        let asked = links.iter().map(|link| self.ask_node(link));
        let known = newest(asked.collect(), links.len()).await;
        let view = match known {
            Ok(view) => view,
            // Nobody whom we know answers: begin again, also with those that have moved since.
            Err(_) => {
                let mut nodes = self.addresses.clone();
                nodes.extend(links.iter().map(|link| link.address.clone()));
                nodes.sort_unstable();
                nodes.dedup();
                let asked = nodes.iter().map(|node| self.ask_new_node(node));
                newest(asked.collect(), nodes.len()).await?
            }
        };
        view.places().ok_or(ConnectError::ClusterDown)
    }

    async fn ask_node(&self, link: &Link) -> Result<View, ConnectError> {
        let mut connection = link.connection.clone();
        self.view(&mut connection, &link.address).await
    }

    async fn ask_new_node(&self, node: &Address) -> Result<View, ConnectError> {
        let mut connection = self.open_guide(node).await?;
        match self.view(&mut connection, node).await {
            Ok(view) => Ok(view),
            Err(error) => Err(self.no_guide(node, error, &mut connection).await),
        }
    }

    async fn view(
        &self,
        connection: &mut MultiplexedConnection,
        node: &Address,
    ) -> Result<View, ConnectError> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("INFO");
        let info: String = self
            .ask(connection, node, "CLUSTER INFO", &question)
            .await?;
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let slots = self
            .ask(connection, node, "CLUSTER SLOTS", &question)
            .await?;
        Ok(View::read(&info, &slots, node))
    }

    async fn open_guide(&self, address: &Address) -> Result<MultiplexedConnection, ConnectError> {
        // Whether it breaks is found out with the next question.
        let state = LinkState::new(Arc::new(Notify::new()));
        self.guides.open(address, state).await
    }

    /// Why a server did not tell where the masters are: it may be of another kind than configured.
    async fn no_guide(
        &self,
        address: &Address,
        error: ConnectError,
        connection: &mut MultiplexedConnection,
    ) -> ConnectError {
        let question = redis::cmd("INFO");
        let answer = self.ask::<String>(connection, address, "INFO", &question);
        let Ok(info) = answer.await else {
            return error;
        };
        match mode(&info) {
            Some(found) if found != self.mode() => ConnectError::Mode {
                address: address.to_string(),
                found: found.to_owned(),
                configured: self.mode(),
            },
            Some(_) | None => error,
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        address: &Address,
        what: &'static str,
        command: &Cmd,
    ) -> Result<T, ConnectError> {
        let limit = self.response_timeout;
        match tokio::time::timeout(limit, command.query_async(connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) if source.code().is_none() => Err(ConnectError::Unreachable {
                address: address.to_string(),
                source: Box::new(source),
            }),
            Ok(Err(source)) => Err(ConnectError::Ask {
                address: address.to_string(),
                what,
                source,
            }),
            Err(_elapsed) => Err(silent(address, limit)),
        }
    }
}

/// The view with the highest epoch, as soon as more than half of `asked` have answered.
async fn newest<F: Future<Output = Result<View, ConnectError>>>(
    mut answers: FuturesUnordered<F>,
    asked: usize,
) -> Result<View, ConnectError> {
    let mut newest: Option<View> = None;
    let mut answered = 0_usize;
    let mut failure = ConnectError::NoAddress;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(view) => {
                answered = answered.saturating_add(1);
                if newest
                    .as_ref()
                    .is_none_or(|newest| newest.epoch < view.epoch)
                {
                    newest = Some(view);
                }
                if answered > asked / 2 {
                    break;
                }
            }
            Err(error) => failure = error,
        }
    }
    newest.ok_or(failure)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use redis::Value;

    use super::{Address, ConnectError, View, newest};

    type Answer = BoxFuture<'static, Result<View, ConnectError>>;

    fn view(epoch: u64) -> Answer {
        let info = format!("cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n");
        let host = "h".to_owned();
        let view = View::read(&info, &Value::Nil, &Address { host, port: 1 });
        ready(Ok(view)).boxed()
    }

    fn failed() -> Answer {
        ready(Err(ConnectError::NoAddress)).boxed()
    }

    #[test]
    fn the_newest_view_counts_and_a_silent_minority_is_not_waited_for() {
        for (answers, expected) in [
            (vec![view(3), view(7), pending().boxed()], Some(7)),
            (vec![view(7), pending().boxed(), view(3)], Some(7)),
            (vec![view(2), failed(), view(1)], Some(2)),
            // What is there has to do.
            (vec![failed(), failed(), view(4)], Some(4)),
            (vec![failed()], None),
            (vec![], None),
        ] {
            let asked = answers.len();
            let newest = newest(answers.into_iter().collect(), asked);
            let newest = newest.now_or_never().unwrap();
            assert_eq!(newest.ok().map(|view| view.epoch), expected);
        }
        let half = vec![view(3), pending().boxed()];
        let waits = newest(half.into_iter().collect(), 2).now_or_never();
        assert!(
            waits.is_none(),
            "one of two may be the one that was cut off"
        );
    }
}
