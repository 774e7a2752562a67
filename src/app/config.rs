//! The configuration: read once at start, from a TOML file and the environment.
//!
//! The file is flattened to dotted keys (`document`), the environment is laid over it, each
//! table reads its own values (`reader`), and what lies between tables is checked last. Every
//! mistake is gathered on the way and all are reported together, each with its line, its key and
//! what would be right. [`keys::KEYS`] lists every key; `config.example.toml` explains them, and
//! a test holds the two together.
//!
//! Secrets stay in [`secrecy::SecretString`]: no value of a secret key is ever part of a message.
//! The text of cryptographic keys is not parsed here; who parses it reports by
//! [`Config::problem`].

mod alipay;
mod audit;
mod budget;
mod document;
pub mod keys;
mod lanes;
mod notify;
mod payments;
mod problem;
mod process;
mod reader;
mod reconcile;
mod redis;
mod replica;
mod servers;
#[cfg(test)]
mod tests;
mod tls;
mod trace;
mod values;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use crate::app::config::document::{Document, VARIABLE_PREFIX};
use crate::app::config::reader::{Findings, Reader, read_at_most};
use crate::app::config::values::Fault;
use crate::domain::time::format_duration;

pub use crate::app::config::alipay::{
    AlipayAppConfig, AlipayCertificates, AlipayCodes, AlipayConfig, Charset, ExpirySpelling,
    KeyField, KeyFile, SignType,
};
pub use crate::app::config::audit::{AuditConfig, AuditSync};
pub use crate::app::config::budget::BudgetConfig;
pub use crate::app::config::lanes::FairnessConfig;
pub use crate::app::config::notify::{Network, NotifyConfig};
pub use crate::app::config::payments::{LedgerConfig, PacingConfig, RetryConfig};
pub use crate::app::config::problem::{ConfigProblem, Location, Locations, Problems};
pub use crate::app::config::process::{
    AdminConfig, LogConfig, LogFormat, LogLevel, ShutdownConfig,
};
pub use crate::app::config::reader::{SecretFile, read_again};
pub use crate::app::config::reconcile::ReconcileConfig;
pub use crate::app::config::redis::RedisConfig;
pub use crate::app::config::replica::replica_name;
pub use crate::app::config::servers::{Prefetch, RabbitmqConfig, ServerUrl, Servers};
pub use crate::app::config::tls::TlsConfig;
pub use crate::app::config::trace::TraceConfig;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// The whole configuration, one part per owner. The default is every default of the file, and no
/// app.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[rabbitmq]`.
    pub rabbitmq: RabbitmqConfig,
    /// `[redis]`.
    pub redis: RedisConfig,
    /// `[ledger]`.
    pub ledger: LedgerConfig,
    /// `[alipay]`.
    pub alipay: AlipayConfig,
    /// `[retry]`.
    pub retry: RetryConfig,
    /// `[pacing]`.
    pub pacing: PacingConfig,
    /// `[fairness]`.
    pub fairness: FairnessConfig,
    /// `[budget]`.
    pub budget: BudgetConfig,
    /// `[admin]`.
    pub admin: AdminConfig,
    /// `[notify]`.
    pub notify: NotifyConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[reconcile]`.
    pub reconcile: ReconcileConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[trace]`.
    pub trace: TraceConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    /// Where each key was given.
    pub locations: Locations,
    /// The files that secrets were read from.
    pub secret_files: Vec<SecretFile>,
}

impl Config {
    /// Reads the file at `path`, if there is one to read, and lays `environment` over it. Paths
    /// in the file start from the file's directory; without a file, from the working directory.
    ///
    /// # Errors
    ///
    /// Returns every mistake that was found; a file that cannot be read is one.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let (config, problems) = Self::examine(path, environment);
        config.unless(problems)
    }

    /// Reads as [`Config::load`] does, and looks at what could be read with `also`, so that its
    /// mistakes are told together with all others.
    ///
    /// # Errors
    ///
    /// Returns every mistake that was found.
    pub fn load_with(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        also: impl FnOnce(&Self) -> Vec<ConfigProblem>,
    ) -> Result<Self, Problems> {
        let (config, mut problems) = Self::examine(path, environment);
        problems.extend(also(&config));
        config.unless(problems)
    }

    /// Reads as [`Config::load`] does, for whoever only talks to the two servers: a producer need
    /// not hold the keys of the apps that it names, so mistakes in `[alipay.apps]` are passed by.
    ///
    /// # Errors
    ///
    /// Returns every other mistake.
    pub fn load_without_apps(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let (config, mut problems) = Self::examine(path, environment);
        problems.retain(|problem| {
            problem.key != "alipay.apps" && !problem.key.starts_with("alipay.apps.")
        });
        config.unless(problems)
    }

    /// Reads where the daemon's admin listener is, for whoever only asks it how it is: no secret
    /// need be readable, and no other mistake counts.
    ///
    /// # Errors
    ///
    /// Returns the mistakes of `admin.listen`, and those for which nothing of the file can be read.
    pub fn load_admin_listen(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<SocketAddr, Problems> {
        let (config, mut problems) = Self::examine(path, environment);
        problems.retain(|problem| ["", "admin", "admin.listen"].contains(&&*problem.key));
        let listen = config.admin.listen;
        if listen.port() == 0 {
            let fault = "has port 0: only the daemon knows where it listens".to_owned();
            let remedy = "write the port that it shall have".to_owned();
            problems.push(config.problem("admin.listen", fault, remedy));
        }
        config.unless(problems).map(|_| listen)
    }

    /// Returns what could be read, with the defaults for the rest, and every mistake.
    fn examine(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Self, Vec<ConfigProblem>) {
        let Some(path) = path else {
            return Self::read(Document::without_file(), Path::new("."), environment);
        };
        match read_file(path) {
            Ok(text) => Self::read_text(&text, path, environment),
            Err(fault) => {
                let problem = ConfigProblem {
                    location: Location::in_file(path, None),
                    key: String::new(),
                    fault: fault.fault,
                    remedy: fault.remedy,
                };
                (Self::default(), vec![problem])
            }
        }
    }

    /// Reads the text of the configuration file `file` and lays `environment` over it. The path
    /// names the file in messages, and paths in the text start from its directory; it is not
    /// opened.
    ///
    /// # Errors
    ///
    /// Returns every mistake that was found. With errors of TOML syntax, what may only follow
    /// from them is left out.
    pub fn parse(
        text: &str,
        file: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let (config, problems) = Self::read_text(text, file, environment);
        config.unless(problems)
    }

    fn read_text(
        text: &str,
        file: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Self, Vec<ConfigProblem>) {
        let directory = file.parent().filter(|parent| *parent != Path::new(""));
        let directory = directory.unwrap_or_else(|| Path::new("."));
        Self::read(Document::parse(text, file), directory, environment)
    }

    /// Returns the variables of this process's environment that are meant for [`Config::load`].
    /// A byte that is not UTF-8 becomes U+FFFD, which `load` refuses.
    pub fn environment() -> impl Iterator<Item = (String, String)> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the environment"
        )]
        let variables = std::env::vars_os();
        variables.filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let ours = name.starts_with(VARIABLE_PREFIX);
            ours.then(|| (name, value.to_string_lossy().into_owned()))
        })
    }

    /// Returns where a key was given, for example `alipay.apps.main.private_key`. A key that was
    /// given as a file (`private_key_file`) is found by its plain name too. For a key that was
    /// not given: where its table begins, else the file.
    #[must_use]
    pub fn locate(&self, key: &str) -> Location {
        self.locations.locate(&self.given_key(key))
    }

    /// Builds the problem of a key's value that somebody else found, with the place where the
    /// value was given. `fault` and `remedy` must not hold the value of a secret.
    #[must_use]
    pub fn problem(&self, key: &str, fault: String, remedy: String) -> ConfigProblem {
        ConfigProblem {
            location: self.locate(key),
            key: self.given_key(key),
            fault,
            remedy,
        }
    }

    /// Returns the key, or the key of its file if only that was given. Where both were, the
    /// environment's is the one that counts.
    fn given_key(&self, key: &str) -> String {
        let file_key = format!("{key}_file");
        let in_file = self.locations.get(&file_key);
        let is_variable = matches!(in_file, Some(Location::Environment { .. }));
        if is_variable || (in_file.is_some() && self.locations.get(key).is_none()) {
            return file_key;
        }
        key.to_owned()
    }

    fn read(
        mut document: Document,
        directory: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Self, Vec<ConfigProblem>) {
        document.overlay(environment);
        let mut reader = Reader::new(document, directory);
        let config = Self::read_tables(&mut reader);
        let Findings {
            problems,
            locations,
            secret_files,
            ..
        } = reader.finish();
        let config = Self {
            locations,
            secret_files,
            ..config
        };
        (config, problems)
    }

    fn unless(self, problems: Vec<ConfigProblem>) -> Result<Self, Problems> {
        if problems.is_empty() {
            return Ok(self);
        }
        Err(Problems::new(problems))
    }

    fn read_tables(reader: &mut Reader) -> Self {
        let config = Self {
            rabbitmq: RabbitmqConfig::read(reader),
            redis: RedisConfig::read(reader),
            ledger: LedgerConfig::read(reader),
            alipay: AlipayConfig::read(reader),
            retry: RetryConfig::read(reader),
            pacing: PacingConfig::read(reader),
            fairness: FairnessConfig::read(reader),
            budget: BudgetConfig::read(reader),
            admin: AdminConfig::read(reader),
            notify: NotifyConfig::read(reader),
            audit: AuditConfig::read(reader),
            reconcile: ReconcileConfig::read(reader),
            log: LogConfig::read(reader),
            trace: TraceConfig::read(reader),
            shutdown: ShutdownConfig::read(reader),
            locations: Locations::default(),
            secret_files: Vec::new(),
        };
        config.check_times(reader);
        config
    }

    /// Checks the times that must fit each other across tables.
    fn check_times(&self, reader: &mut Reader) {
        let (lease, timeout) = (self.ledger.lease, self.alipay.timeout);
        // The lease must outlast a call that starts just before it is renewed.
        if lease.saturating_mul(3) < timeout.saturating_mul(4) {
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            let least = Duration::from_millis(timeout_ms.saturating_mul(4).div_ceil(3));
            let [shown, whole, least] = [lease, timeout, least].map(format_duration);
            let fault = format!("{shown} is less than 4/3 of alipay.timeout ({whole})");
            let remedy = format!("write at least \"{least}\", or lower alipay.timeout");
            reader.conflict(
                ["ledger.lease", "alipay.timeout"],
                Fault::new(fault, remedy),
            );
        }
        let window = self.retry.absence_window;
        // A late effect of a call can show until its lease is over.
        if window < lease {
            let [shown, least] = [window, lease].map(format_duration);
            let fault = format!("{shown} is less than ledger.lease ({least})");
            let remedy = format!("write at least \"{least}\", or lower ledger.lease");
            let keys = ["retry.absence_window", "ledger.lease"];
            reader.conflict(keys, Fault::new(fault, remedy));
        }
    }
}

/// The text may hold secrets: it is wiped when it is dropped.
fn read_file(path: &Path) -> Result<Zeroizing<String>, Fault> {
    let unreadable = |error: std::io::Error| {
        let fault = format!("the file cannot be read: {error}");
        Fault::new(
            fault,
            "name a readable file; config.example.toml is a start",
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let Some(bytes) = read_at_most(file, FILE_BYTES_MAX).map_err(unreadable)? else {
        let fault = format!("the file is over {FILE_BYTES_MAX} bytes");
        return Err(Fault::new(fault, "name a configuration file"));
    };
    let text = std::str::from_utf8(&bytes).ok();
    let text = text.map(|text| Zeroizing::new(text.to_owned()));
    text.ok_or_else(|| Fault::new("the file is not UTF-8", "save it as UTF-8 text"))
}
