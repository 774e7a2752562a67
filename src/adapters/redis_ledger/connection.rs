//! One connection to the server: opened, checked, used until it breaks, never mended.
//!
//! The driver's own reconnecting manager is not used: it would let commands reach a server that
//! came back empty before the tripwire has looked at it. Here a new connection is handed out only
//! after it was checked.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Notify, OnceCell};

use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::options::{RedisLedgerOptions, RedisTls};
use crate::adapters::redis_ledger::tripwire::ServerIds;
use crate::ports::ledger::LedgerError;

/// After so many timeouts in a row a connection is given up: nobody else notices a peer that
/// went without a word.
const TIMEOUTS_MAX: u32 = 3;

/// Commands that may wait to be written; more of them wait outside.
const PIPELINE_BUFFER: usize = 1_024;

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

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    fn of(address: &ConnectionAddr) -> Option<Self> {
        let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = address
        else {
            // The scheme of a socket's path is refused with the configuration.
            return None;
        };
        Some(Self {
            host: host.clone(),
            port: *port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Opens connections to servers that share user, password, database and certificates.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    info: ConnectionInfo,
    connect_timeout: Duration,
}

impl Connector {
    /// Reads the URLs: how to connect, by the first of them, and where.
    pub(super) fn new(options: &RedisLedgerOptions) -> Result<(Self, Vec<Address>), ConnectError> {
        let mut addresses = Vec::with_capacity(options.urls.len());
        let mut first = None;
        for url in &options.urls {
            let url = url.expose_secret();
            let info = url.into_connection_info().map_err(ConnectError::Url)?;
            addresses.extend(Address::of(info.addr()));
            first.get_or_insert(info);
        }
        let info = first.ok_or(ConnectError::NoAddress)?;
        let info = with_certificates(info, &options.tls)?;
        // RESP3 tells of a connection that went while nobody used it.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let transport = info.tcp_settings().clone().set_nodelay(true);
        let info = info
            .set_redis_settings(settings)
            .set_tcp_settings(transport);
        let connector = Self {
            info,
            connect_timeout: options.connect_timeout,
        };
        Ok((connector, addresses))
    }

    /// As this one, but with the sentinels' password: their URLs say how to log in to the master.
    pub(super) fn to_sentinels(&self, password: Option<&SecretString>) -> Self {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = password {
            settings = settings.set_password(password.expose_secret());
        }
        Self {
            info: self.info.clone().set_redis_settings(settings),
            connect_timeout: self.connect_timeout,
        }
    }

    /// Opens a connection; `state` is told when it breaks.
    pub(super) async fn open(
        &self,
        address: &Address,
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
        let client = Client::open(self.info_of(address)).map_err(ConnectError::Url)?;
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(connect_error(address, error)),
            Err(_elapsed) => Err(silent(address, self.connect_timeout)),
        }
    }

    fn info_of(&self, address: &Address) -> ConnectionInfo {
        let Address { host, port } = address.clone();
        let address = if let ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } = self.info.addr()
        {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        self.info.clone().set_addr(address)
    }
}

/// Puts the certificates into how to connect, once and for all.
fn with_certificates(info: ConnectionInfo, tls: &RedisTls) -> Result<ConnectionInfo, ConnectError> {
    if tls.ca.is_none() && tls.identity.is_none() {
        return Ok(info);
    }
    let bytes = |text: &str| text.as_bytes().to_vec();
    let identity = tls.identity.as_ref();
    let certificates = TlsCertificates {
        root_cert: tls.ca.as_deref().map(bytes),
        client_tls: identity.map(|(certificate, key)| ClientTlsConfig {
            client_cert: bytes(certificate),
            client_key: bytes(key.expose_secret()),
        }),
    };
    let client = Client::build_with_tls(info, certificates);
    let client = client.map_err(ConnectError::Certificates)?;
    Ok(client.get_connection_info().clone())
}

/// The server did not answer within `limit`.
pub(super) fn silent(address: &Address, limit: Duration) -> ConnectError {
    ConnectError::Unreachable {
        address: address.to_string(),
        source: Box::new(NoAnswer::TimedOut(limit)),
    }
}

fn connect_error(address: &Address, error: RedisError) -> ConnectError {
    let address = address.to_string();
    let log_in = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    if log_in {
        return ConnectError::LogIn {
            address,
            source: error,
        };
    }
    // Only of what comes before the first command: a damaged answer later is no other server.
    if error.kind() == ErrorKind::Parse {
        return ConnectError::NotRedis { address };
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return ConnectError::Version {
            address,
            found: "before 6.0".to_owned(),
        };
    }
    ConnectError::Unreachable {
        address,
        source: Box::new(error),
    }
}

/// Whether a connection is still good, and whom to tell when it is not.
#[derive(Debug)]
pub(super) struct LinkState {
    broken: AtomicBool,
    /// The last write was refused for want of memory, disk or replicas.
    refusing: AtomicBool,
    /// A node of a cluster said that another one has what was asked for, or that none has.
    astray: AtomicBool,
    timeouts_in_a_row: AtomicU32,
    wake: Arc<Notify>,
}

impl LinkState {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            broken: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            astray: AtomicBool::new(false),
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

    /// Whether somebody was sent elsewhere since this was asked last.
    pub(super) fn was_astray(&self) -> bool {
        self.astray.swap(false, Ordering::AcqRel)
    }

    fn go_astray(&self) {
        if !self.astray.swap(true, Ordering::AcqRel) {
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
    pub(super) address: Address,
    pub(super) state: Arc<LinkState>,
    /// The server's ids, by which a second connection is known to be to the same one.
    pub(super) ids: ServerIds,
    /// What is written before a WAIT, see [`Keys::fence`](super::keys::Keys::fence).
    pub(super) fence_key: String,
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
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "ASK" => {
                LedgerError::Unavailable(Box::new(error))
            }
            // Not executed either: which master has what is asked anew.
            "MOVED" | "CLUSTERDOWN" => {
                self.state.go_astray();
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
