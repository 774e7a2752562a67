//! Why there is no connection to what could be the ledger.

use redis::RedisError;

/// Why there is no connection to a server that could be the ledger.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No URL was given.
    #[error("no address of Redis is configured")]
    NoAddress,
    /// A URL cannot be read. The URL itself may hold a password and is not shown.
    #[error("read the URL of Redis")]
    Url(#[source] RedisError),
    /// A certificate or a key for TLS cannot be read, or there is TLS for a URL without it.
    #[error("use the certificates for Redis")]
    Certificates(#[source] RedisError),
    /// Nobody answers there.
    #[error("reach Redis at {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system or the driver says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something answers there that is no Redis.
    #[error("what answers at {address} is no Redis")]
    NotRedis {
        /// Host and port.
        address: String,
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
    #[error("ask Redis at {address} for {what}")]
    Ask {
        /// Host and port.
        address: String,
        /// The command.
        what: &'static str,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The server says too little of itself.
    #[error("the INFO of the server at {address} has no {field}")]
    Info {
        /// Host and port.
        address: String,
        /// What is missing.
        field: &'static str,
    },
    /// The server is of another kind than the configured mode.
    #[error(
        "the server at {address} runs as {found}, and redis.mode is \"{configured}\": set redis.mode to \"{found}\", or name other servers"
    )]
    Mode {
        /// Host and port.
        address: String,
        /// What it says it is: `standalone`, `cluster` or `sentinel`.
        found: String,
        /// The configured mode.
        configured: &'static str,
    },
    /// The sentinels answer, and watch no master of this name.
    #[error("the sentinels know no master named \"{name}\"")]
    UnknownMaster {
        /// The configured name.
        name: String,
    },
    /// The nodes answer, and the cluster does not work, or has slots that no master serves.
    #[error("the cluster is down, or has hash slots that no master serves")]
    ClusterDown,
    /// The server is too old.
    #[error("the server at {address} is Redis {found}, and 7.0 or newer is needed")]
    Version {
        /// Host and port.
        address: String,
        /// Its version.
        found: String,
    },
    /// The server throws entries away when its memory is full.
    #[error(
        "the server at {address} may evict entries: maxmemory-policy is {policy}; set it to noeviction"
    )]
    Eviction {
        /// Host and port.
        address: String,
        /// Its policy.
        policy: String,
    },
    /// The server cannot be written to.
    #[error("the server at {address} is a replica, and the ledger needs the master")]
    Replica {
        /// Host and port.
        address: String,
    },
    /// A second connection to the same address met another server.
    #[error("two connections to {address} reached two servers")]
    OtherServer {
        /// Host and port.
        address: String,
    },
}

impl ConnectError {
    /// Whether it is the configuration that must be changed, not the server.
    #[must_use]
    pub const fn is_misconfigured(&self) -> bool {
        match self {
            Self::NoAddress
            | Self::Url(_)
            | Self::Certificates(_)
            | Self::NotRedis { .. }
            | Self::LogIn { .. }
            | Self::Mode { .. }
            | Self::UnknownMaster { .. } => true,
            Self::Unreachable { .. }
            | Self::Ask { .. }
            | Self::Info { .. }
            | Self::ClusterDown
            | Self::Version { .. }
            | Self::Eviction { .. }
            | Self::Replica { .. }
            | Self::OtherServer { .. } => false,
        }
    }

    /// The code of the error that the server answered with, such as `NOPERM`, if it answered.
    #[must_use]
    pub fn answered_code(&self) -> Option<&str> {
        let Self::Ask { source, .. } = self else {
            return None;
        };
        source.code()
    }
}
