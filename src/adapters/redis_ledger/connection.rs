//! One connection to the server: opened, checked, used until it breaks, never mended.
//!
//! The driver's own reconnecting manager is not used: it would let commands reach a server that
//! came back empty before the tripwire has looked at it. Here a new connection is handed out only
//! after it was checked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Notify, OnceCell};

use crate::adapters::redis_ledger::tripwire::ServerIds;
use crate::ports::ledger::LedgerError;

/// After so many timeouts in a row a connection is given up: nobody else notices a peer that
/// went without a word.
const TIMEOUTS_MAX: u32 = 3;

/// Commands that may wait to be written; more of them wait outside.
const PIPELINE_BUFFER: usize = 1_024;

/// Why there is no connection to a server that could be the ledger.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be read. The URL itself may hold a password and is not shown.
    #[error("read the URL of Redis")]
    Url(#[source] RedisError),
    /// Nobody answers there.
    #[error("reach Redis at {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system or the driver says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// User or password are wrong or missing.
    #[error("log in to Redis at {address}")]
    LogIn {
        /// Host and port.
        address: String,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The server answers, but not to what must be asked.
    #[error("ask Redis for {what}")]
    Ask {
        /// The command.
        what: &'static str,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The server says too little of itself.
    #[error("the server's INFO has no {field}")]
    Info {
        /// What is missing.
        field: &'static str,
    },
    /// The server is too old.
    #[error("the server is Redis {found}; 7.0 or newer is needed")]
    Version {
        /// Its version.
        found: String,
    },
    /// The server throws entries away when its memory is full.
    #[error("the server may evict entries: maxmemory-policy is {policy}; set it to noeviction")]
    Eviction {
        /// Its policy.
        policy: String,
    },
    /// The server cannot be written to.
    #[error("the server is a replica; the ledger needs the master")]
    Replica,
    /// A second connection to the same address met another server.
    #[error("another server answers at the address of Redis")]
    OtherServer,
}

impl ConnectError {
    /// Whether it is the configuration that must be changed, not the server.
    #[must_use]
    pub const fn is_misconfigured(&self) -> bool {
        match self {
            Self::Url(_) | Self::LogIn { .. } => true,
            Self::Unreachable { .. }
            | Self::Ask { .. }
            | Self::Info { .. }
            | Self::Version { .. }
            | Self::Eviction { .. }
            | Self::Replica
            | Self::OtherServer => false,
        }
    }
}

/// Why a command got no answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// There is no connection at present: nothing was sent.
    #[error("not connected to Redis")]
    NotConnected,
    /// None came in time.
    #[error("no answer from Redis within {0:?}")]
    TimedOut(Duration),
    /// What came is none of the answers that there can be.
    #[error("Redis answered with something else than was asked")]
    Senseless,
}

/// Opens connections to one server.
#[derive(Debug)]
pub(super) struct Connector {
    client: Client,
    address: String,
    connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(url: &SecretString, connect_timeout: Duration) -> Result<Self, ConnectError> {
        let info = url
            .expose_secret()
            .into_connection_info()
            .map_err(ConnectError::Url)?;
        let address = info.addr().to_string();
        // RESP3 tells of a connection that went while nobody used it.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let transport = info.tcp_settings().clone().set_nodelay(true);
        let info = info
            .set_redis_settings(settings)
            .set_tcp_settings(transport);
        Ok(Self {
            client: Client::open(info).map_err(ConnectError::Url)?,
            address,
            connect_timeout,
        })
    }

    /// Opens a connection; `wake` is notified when it breaks.
    pub(super) async fn open(
        &self,
        state: Arc<LinkState>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            // Each command has a timeout around it already.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_push_sender(
                move |push: PushInfo| -> Result<(), std::convert::Infallible> {
                    if push.kind == PushKind::Disconnection {
                        state.give_up();
                    }
                    Ok(())
                },
            );
        let opening = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.connect_error(error)),
            Err(_elapsed) => Err(self.silent(self.connect_timeout)),
        }
    }

    /// The server did not answer within `limit`.
    pub(super) fn silent(&self, limit: Duration) -> ConnectError {
        ConnectError::Unreachable {
            address: self.address.clone(),
            source: Box::new(NoAnswer::TimedOut(limit)),
        }
    }

    fn connect_error(&self, error: RedisError) -> ConnectError {
        let address = self.address.clone();
        let log_in = error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
        if log_in {
            return ConnectError::LogIn {
                address,
                source: error,
            };
        }
        if error.kind() == ErrorKind::RESP3NotSupported {
            return ConnectError::Version {
                found: "before 6.0".to_owned(),
            };
        }
        ConnectError::Unreachable {
            address,
            source: Box::new(error),
        }
    }
}

/// Whether a connection is still good, and whom to tell when it is not.
#[derive(Debug)]
pub(super) struct LinkState {
    broken: AtomicBool,
    /// The last write was refused for want of memory, disk or replicas.
    refusing: AtomicBool,
    timeouts_in_a_row: AtomicU32,
    wake: Arc<Notify>,
}

impl LinkState {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            broken: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            timeouts_in_a_row: AtomicU32::new(0),
            wake,
        })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// The connection is not to be used any more.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the server refuses to write, and nobody has seen it write since.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    /// The server writes again.
    pub(super) fn accept(&self) {
        self.refusing.store(false, Ordering::Release);
    }

    fn refuse(&self) {
        if !self.refusing.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    fn answered(&self) {
        // Read first: on the hot path nothing is written to the shared line.
        if self.timeouts_in_a_row.load(Ordering::Relaxed) != 0 {
            self.timeouts_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    fn timed_out(&self) {
        let before = self.timeouts_in_a_row.fetch_add(1, Ordering::Relaxed);
        if before.saturating_add(1) >= TIMEOUTS_MAX {
            self.give_up();
        }
    }
}

/// A checked connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) state: Arc<LinkState>,
    /// The server's ids, by which a second connection is known to be to the same one.
    pub(super) ids: ServerIds,
    /// Where WAIT waits, so that it holds up nothing else; opened when first needed.
    pub(super) fence: OnceCell<MultiplexedConnection>,
    /// Held while one waits there: WAITs on one connection are served one after the other, and
    /// those behind would be taken for commands without an answer.
    pub(super) fence_turn: Mutex<()>,
}

impl Link {
    /// Sends one command and waits at most `limit` for its answer.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<T, LedgerError> {
        let mut connection = self.connection.clone();
        self.exchange(limit, command.query_async(&mut connection))
            .await
    }

    /// Waits at most `limit` for the answer of an exchange on this connection.
    pub(super) async fn exchange<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, LedgerError> {
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(answer)) => {
                self.state.answered();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_elapsed) => {
                self.state.timed_out();
                Err(LedgerError::Unavailable(Box::new(NoAnswer::TimedOut(
                    limit,
                ))))
            }
        }
    }

    fn failed(&self, error: RedisError) -> LedgerError {
        let Some(code) = error.code() else {
            // Not the server's word: the connection broke, or what came was no answer.
            self.state.give_up();
            return LedgerError::Unavailable(Box::new(error));
        };
        self.state.answered();
        match code {
            // Nothing was executed, and it passes by itself.
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" => {
                LedgerError::Unavailable(Box::new(error))
            }
            "READONLY" => {
                // The server has become a replica: a new connection finds the master, or says so.
                self.state.give_up();
                LedgerError::Refused {
                    reason: words(&error),
                }
            }
            // Every write is refused, until there is room, a disk or a replica again.
            "OOM" | "MISCONF" | "NOREPLICAS" => {
                self.state.refuse();
                LedgerError::Refused {
                    reason: words(&error),
                }
            }
            "NOPERM" | "WRONGTYPE" => LedgerError::Refused {
                reason: words(&error),
            },
            // The details of other errors may repeat arguments, which hold personal data.
            other => LedgerError::Refused {
                reason: other.to_owned(),
            },
        }
    }
}

/// The server's error as it spelled it.
fn words(error: &RedisError) -> String {
    [error.code(), error.detail()]
        .into_iter()
        .flatten()
        .collect::<Vec<&str>>()
        .join(" ")
}
