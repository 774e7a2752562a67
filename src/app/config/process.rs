//! The tables `[admin]`, `[log]` and `[shutdown]`: the process and those who watch over it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::app::config::reader::Reader;
use crate::app::config::values::Fault;

/// `[admin]`.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where health, metrics and the page for people are served.
    pub listen: SocketAddr,
    /// Whoever wants more than health has to show it; `None`: everybody may look.
    pub token: Option<SecretString>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// How a log line is written.
    pub format: LogFormat,
    /// The least severe lines that are written.
    pub level: LogLevel,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How severe a log line is, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Somebody has to act.
    Error,
    /// Somebody should look.
    Warn,
    /// What the daemon does.
    Info,
    /// How it does it.
    Debug,
    /// Every step.
    Trace,
}

/// `[shutdown]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long work in flight may take to finish after SIGTERM, 1 s to 1 h.
    pub grace: Duration,
}

impl LogFormat {
    /// Returns the word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl LogLevel {
    /// Returns the word of the configuration, which is `tracing`'s too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            token: None,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            level: LogLevel::Info,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(25),
        }
    }
}

impl AdminConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let listen = reader.address("admin.listen", Self::default().listen);
        let token = reader.secret("admin.token");
        if token
            .as_ref()
            .is_some_and(|token| !is_token(token.expose_secret()))
        {
            let fault = "is no token of 16 to 256 of A-Z, a-z, 0-9 and -._~+/=";
            let remedy = "write for example what `openssl rand -hex 32` prints";
            let in_file = reader.file_of("admin.token").is_some();
            let key = if in_file {
                "admin.token_file"
            } else {
                "admin.token"
            };
            reader.add(key, Fault::new(fault, remedy));
            return Self {
                listen,
                token: None,
            };
        }
        Self { listen, token }
    }
}

/// Whether a text can be a token: long enough not to be guessed, and of the characters that a
/// header takes. Source: RFC 6750 2.1, `b64token`.
fn is_token(text: &str) -> bool {
    (16..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let formats = [LogFormat::Json, LogFormat::Text];
        let levels = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ];
        Self {
            format: reader.word(
                "log.format",
                default.format,
                &formats.map(|format| (format.as_str(), format)),
            ),
            level: reader.word(
                "log.level",
                default.level,
                &levels.map(|level| (level.as_str(), level)),
            ),
        }
    }
}

impl ShutdownConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let range = Duration::from_secs(1)..=Duration::from_secs(3_600);
        Self {
            grace: reader.duration("shutdown.grace", Self::default().grace, range),
        }
    }
}
