//! Where servers are; and the table `[rabbitmq]`.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::app::config::document::RawValue;
use crate::app::config::lanes;
use crate::app::config::reader::{GivenSource, Lookup, Reader};
use crate::app::config::tls::TlsConfig;
use crate::app::config::values::{self, Fault};
use crate::domain::lane::Shards;
use crate::domain::time::format_duration;

/// The word that stands for the server that lives inside this process.
const EMBEDDED: &str = "memory:";

/// Most unacked deliveries of one consumer. Source: RabbitMQ, quorum queues, "prefetch count":
/// a limit of 2,000.
const PREFETCH_MAX: u32 = 2_000;

/// The server, or servers, to use.
#[derive(Debug, Clone)]
pub enum Servers {
    /// The embedded one: `memory:`.
    Embedded,
    /// Real ones, never empty, tried in turn.
    Urls(Vec<ServerUrl>),
}

/// The URL of a server. It may hold a password, so `Debug` and `Display` show
/// [`Self::endpoint`] alone.
#[derive(Clone)]
pub struct ServerUrl(SecretString);

impl ServerUrl {
    /// Takes a URL as it is; whoever connects finds out whether it is one.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(SecretString::from(url))
    }

    /// Returns the whole URL, with the password.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it asks for TLS: `rediss://`, `amqps://`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        let schemes = ["rediss://", "amqps://"];
        schemes
            .iter()
            .any(|scheme| self.expose().starts_with(scheme))
    }

    /// Returns user, password and what follows the host: all but the address.
    pub(super) fn login(&self) -> (&str, &str) {
        let rest = self.expose().split_once("://").map_or("", |(_, rest)| rest);
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        (user, path.trim_start_matches('/'))
    }

    /// Returns scheme, host and port, for example `redis://127.0.0.1:6379`: what messages may
    /// show.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let Some((scheme, rest)) = self.expose().split_once("://") else {
            return "(not a URL)".to_owned();
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

impl Servers {
    /// Whether there is a password in a URL, other than the one that RabbitMQ gives to everybody.
    fn hold_passwords(&self) -> bool {
        let holds = |url: &ServerUrl| {
            let (user, _) = url.login();
            let password = user.split_once(':').map_or("", |(_, password)| password);
            !password.is_empty() && user != "guest:guest"
        };
        match self {
            Self::Embedded => false,
            Self::Urls(urls) => urls.iter().any(holds),
        }
    }

    /// Whether they are reached by TLS.
    #[must_use]
    pub fn are_tls(&self) -> bool {
        match self {
            Self::Embedded => false,
            Self::Urls(urls) => urls.iter().any(ServerUrl::is_tls),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServerUrl({})", self.endpoint())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.endpoint())
    }
}

/// `[rabbitmq]`.
#[derive(Debug, Clone)]
pub struct RabbitmqConfig {
    /// The broker, or the nodes of its cluster.
    pub servers: Servers,
    /// What the names of all exchanges and queues begin with: 1 to 32 of `[a-z0-9._-]`.
    pub prefix: String,
    /// Whom to trust, and who we are, where the URLs are `amqps://`.
    pub tls: TlsConfig,
    /// Unacked deliveries at a time, by kind.
    pub prefetch: Prefetch,
    /// Over how many queues the normal lane of a kind is spread, 1 to 64 each.
    pub shards: Shards,
    /// AMQP heartbeat, in whole seconds, 1 s to 5 min.
    pub heartbeat: Duration,
    /// How long a publisher confirm may take, 1 s to 5 min.
    pub confirm_timeout: Duration,
    /// Deliveries of one message before the broker dead-letters it.
    pub delivery_limit: NonZeroU32,
    /// Outcome events without a subscriber that are kept, the newest.
    pub unrouted_max: NonZeroU32,
}

/// `rabbitmq.prefetch`: unacked deliveries at a time, 1 to 2,000 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Of disburse jobs.
    pub disburse: NonZeroU16,
    /// Of refund jobs.
    pub refund: NonZeroU16,
    /// Of query jobs.
    pub query: NonZeroU16,
    /// Of the jobs of all payment kinds: pay, app pay and page pay.
    pub pay: NonZeroU16,
}

impl Default for RabbitmqConfig {
    fn default() -> Self {
        let url = "amqp://guest:guest@127.0.0.1:5672/%2f";
        Self {
            servers: Servers::Urls(vec![ServerUrl::new(url.to_owned())]),
            prefix: "hongbao".to_owned(),
            tls: TlsConfig::default(),
            prefetch: Prefetch::default(),
            shards: Shards::default(),
            heartbeat: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(10),
            delivery_limit: NonZeroU32::MIN.saturating_add(99),
            unrouted_max: NonZeroU32::MIN.saturating_add(99_999),
        }
    }
}

impl Default for Prefetch {
    fn default() -> Self {
        let low = NonZeroU16::MIN.saturating_add(63);
        Self {
            disburse: NonZeroU16::MIN.saturating_add(255),
            refund: low,
            query: low,
            pay: low,
        }
    }
}

impl RabbitmqConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let range = Duration::from_secs(1)..=Duration::from_secs(300);
        let schemes = ["amqp://", "amqps://"];
        let servers = read_servers(reader, "rabbitmq.urls", &schemes).unwrap_or(default.servers);
        let tls = TlsConfig::read(reader, "rabbitmq", &servers);
        let prefix = reader.value("rabbitmq.prefix", prefix);
        let heartbeat = reader.value("rabbitmq.heartbeat", |raw| {
            whole_seconds(values::duration(raw, &range)?)
        });
        let prefetch = Prefetch::read(reader);
        Self {
            shards: lanes::read_shards(reader, prefetch, &servers),
            servers,
            tls,
            prefix: prefix.unwrap_or(default.prefix),
            prefetch,
            heartbeat: heartbeat.unwrap_or(default.heartbeat),
            confirm_timeout: reader.duration(
                "rabbitmq.confirm_timeout",
                default.confirm_timeout,
                range.clone(),
            ),
            delivery_limit: reader.count(
                "rabbitmq.delivery_limit",
                default.delivery_limit,
                1_000_000,
            ),
            unrouted_max: reader.count("rabbitmq.unrouted_max", default.unrouted_max, 10_000_000),
        }
    }
}

impl Prefetch {
    fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let mut read = |kind: &str, default: NonZeroU16| {
            let key = format!("rabbitmq.prefetch.{kind}");
            let count = reader.count(&key, NonZeroU32::from(default), PREFETCH_MAX);
            NonZeroU16::try_from(count).unwrap_or(default)
        };
        Self {
            disburse: read("disburse", default.disburse),
            refund: read("refund", default.refund),
            query: read("query", default.query),
            pay: read("pay", default.pay),
        }
    }
}

fn prefix(raw: &RawValue) -> Result<String, Fault> {
    let text = values::text(raw)?;
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if text.len() <= 32 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!("{} cannot begin a queue's name", values::quote(text)),
        "write 1 to 32 of a-z, 0-9, dot, _ and -",
    ))
}

fn whole_seconds(duration: Duration) -> Result<Duration, Fault> {
    if duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    Err(Fault::new(
        format!("{:?} is not in whole seconds", format_duration(duration)),
        "AMQP counts heartbeats in seconds; write for example \"10s\"",
    ))
}

/// The key by which the URLs were given: `redis.urls` or `redis.urls_file`.
pub(super) fn given_key(reader: &Reader, key: &str) -> String {
    let file_key = format!("{key}_file");
    if reader.is_given(&file_key) && !reader.is_given(key) {
        return file_key;
    }
    key.to_owned()
}

/// Reads a list of URLs, in place or from the file named by `key` + `_file`.
pub(super) fn read_servers(reader: &mut Reader, key: &str, schemes: &[&str]) -> Option<Servers> {
    let given = match reader.in_place_or_file(key) {
        Lookup::Absent | Lookup::Faulty => return None,
        Lookup::Given(given) => given,
    };
    let urls = match given.source {
        GivenSource::InPlace => values::list(&given.value),
        GivenSource::File => values::text(&given.value).map(lines),
    };
    match urls.and_then(|urls| servers(urls, schemes)) {
        Ok(servers) => {
            if servers.hold_passwords() {
                reader.is_secret(key);
            }
            Some(servers)
        }
        Err(fault) => {
            reader.add(&given.key, fault);
            None
        }
    }
}

/// Returns the lines of a file of URLs that are neither empty nor a comment.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// No fault quotes a URL: each may hold a password.
fn servers(urls: Vec<String>, schemes: &[&str]) -> Result<Servers, Fault> {
    let wanted = format!(
        "write {}user:password@host:port/name, or \"{EMBEDDED}\" for the embedded one",
        schemes.join(" or ")
    );
    if urls.is_empty() {
        return Err(Fault::new("holds no URL", wanted));
    }
    if urls.iter().any(|url| url == EMBEDDED) {
        if urls.len() == 1 {
            return Ok(Servers::Embedded);
        }
        let fault = format!("mixes \"{EMBEDDED}\" with other servers");
        return Err(Fault::new(
            fault,
            format!("leave \"{EMBEDDED}\" alone in the list"),
        ));
    }
    for (index, url) in urls.iter().enumerate() {
        let number = index.saturating_add(1);
        let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
            return Err(Fault::new(
                format!("URL {number} has another scheme"),
                wanted,
            ));
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let host = authority.rsplit('@').next().unwrap_or_default();
        if path.contains('@') || !values::is_authority(host) {
            let remedy = format!("{wanted}; in user and password, percent-encode @ : / ? #");
            return Err(Fault::new(
                format!("URL {number} has no legible host"),
                remedy,
            ));
        }
    }
    let urls: Vec<ServerUrl> = urls.into_iter().map(ServerUrl::new).collect();
    // A list with both would reach some servers without TLS, where it is asked for.
    if let [plain, tls] = schemes
        && urls.iter().any(ServerUrl::is_tls)
        && !urls.iter().all(ServerUrl::is_tls)
    {
        return Err(Fault::new(
            format!("mixes {plain} and {tls}"),
            "write all of them with TLS, or all without",
        ));
    }
    Ok(Servers::Urls(urls))
}
