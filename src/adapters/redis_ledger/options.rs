//! Where the ledger is and how it is kept.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

/// Where the ledger is and how it is kept.
#[derive(Clone, Debug)]
pub struct RedisLedgerOptions {
    /// What kind of servers they are.
    pub mode: RedisMode,
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS: the one server, or
    /// some nodes of the cluster, or the sentinels. User, password and database of the first are
    /// those of every master.
    pub urls: Vec<SecretString>,
    /// Whom to trust and who we are, where the URLs say TLS.
    pub tls: RedisTls,
    /// What the name of every key starts with; `hongbao` by default.
    pub prefix: String,
    /// How long opening a connection may take, logging in included.
    pub connect_timeout: Duration,
    /// How long the answer to one command may take. A command without an answer in time may have
    /// been executed.
    pub response_timeout: Duration,
    /// How long a settled entry is kept, whole milliseconds, at least one.
    pub retention: Duration,
    /// How often the canary is looked at; a flush goes unnoticed for so long at most.
    pub check_interval: Duration,
}

/// What kind of servers hold the ledger.
#[derive(Clone, Debug)]
pub enum RedisMode {
    /// One server, which nobody replaces.
    Standalone,
    /// A Redis Cluster: each master holds a part.
    Cluster,
    /// One master, of which sentinels say where it is at present.
    Sentinel {
        /// What the sentinels call it.
        master: String,
        /// The sentinels' own password, if they have one.
        password: Option<SecretString>,
    },
}

impl RedisMode {
    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Cluster => "cluster",
            Self::Sentinel { .. } => "sentinel",
        }
    }
}

/// Certificates for TLS, as PEM.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// The authorities that are trusted, instead of the system's.
    pub ca: Option<String>,
    /// Our certificate and its private key, for servers that ask who we are.
    pub identity: Option<(String, SecretString)>,
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl RedisLedgerOptions {
    /// The defaults for the one server at `url`.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            mode: RedisMode::Standalone,
            urls: vec![url],
            tls: RedisTls::default(),
            prefix: "hongbao".to_owned(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            check_interval: Duration::from_millis(250),
        }
    }
}
