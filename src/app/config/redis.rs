//! The table `[redis]`: where the ledger's servers are, of what kind, and how to use them.

use std::time::Duration;

use crate::adapters::redis_ledger::RedisMode;
use crate::app::config::document::RawValue;
use crate::app::config::reader::Reader;
use crate::app::config::servers::{ServerUrl, Servers, given_key, read_servers};
use crate::app::config::tls::TlsConfig;
use crate::app::config::values::{self, Fault};

/// `[redis]`.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// What kind of servers they are.
    pub mode: RedisMode,
    /// The server, which is one alone; nodes of the cluster; or the sentinels.
    pub servers: Servers,
    /// Whom to trust, and who we are, where the URLs are `rediss://`.
    pub tls: TlsConfig,
    /// How long a connection may take to stand, 100 ms to 1 min.
    pub connect_timeout: Duration,
    /// How long a command may take, 50 ms to 1 min.
    pub response_timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        let url = "redis://127.0.0.1:6379/0";
        Self {
            mode: RedisMode::Standalone,
            servers: Servers::Urls(vec![ServerUrl::new(url.to_owned())]),
            tls: TlsConfig::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
        }
    }
}

/// The word of `redis.mode` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Standalone,
    Cluster,
    Sentinel,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let minute = Duration::from_secs(60);
        let words = [
            ("standalone", Word::Standalone),
            ("cluster", Word::Cluster),
            ("sentinel", Word::Sentinel),
        ];
        let word = reader.word("redis.mode", Word::Standalone, &words);
        let given = read_servers(reader, "redis.urls", &["redis://", "rediss://"]);
        if let Some(servers) = &given {
            check_servers(reader, word, servers);
        }
        let servers = given.unwrap_or(default.servers);
        Self {
            mode: read_mode(reader, word),
            tls: TlsConfig::read(reader, "redis", &servers),
            servers,
            connect_timeout: reader.duration(
                "redis.connect_timeout",
                default.connect_timeout,
                Duration::from_millis(100)..=minute,
            ),
            response_timeout: reader.duration(
                "redis.response_timeout",
                default.response_timeout,
                Duration::from_millis(50)..=minute,
            ),
        }
    }
}

fn read_mode(reader: &mut Reader, word: Word) -> RedisMode {
    let master = reader.value("redis.sentinel_master", master_name);
    let password = reader.secret("redis.sentinel_password");
    if reader.is_faulty("redis.mode") {
        return RedisMode::Standalone;
    }
    if word != Word::Sentinel {
        for key in ["redis.sentinel_master", "redis.sentinel_password"] {
            let key = given_key(reader, key);
            if reader.is_given(&key) {
                let fault = "belongs to redis.mode = \"sentinel\"";
                reader.add(
                    &key,
                    Fault::new(fault, "set that mode, or take the key out"),
                );
            }
        }
    }
    match word {
        Word::Standalone => RedisMode::Standalone,
        Word::Cluster => RedisMode::Cluster,
        Word::Sentinel => {
            if !reader.is_given("redis.sentinel_master") {
                let remedy = "sentinel mode needs the name that the sentinels know the master by";
                reader.missing("redis.sentinel_master", remedy.to_owned());
            }
            RedisMode::Sentinel {
                master: master.unwrap_or_default(),
                password,
            }
        }
    }
}

/// Source: Redis, `sentinel.c`: a master's name is of A-Z, a-z, 0-9, dot, - and _.
fn master_name(raw: &RawValue) -> Result<String, Fault> {
    let text = values::text(raw)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!("{} cannot name a master", values::quote(text)),
        "write what the sentinels' own configuration calls it, for example \"mymaster\"",
    ))
}

/// Notes what a mode does not allow.
fn check_servers(reader: &mut Reader, word: Word, servers: &Servers) {
    if reader.is_faulty("redis.mode") {
        return;
    }
    let key = given_key(reader, "redis.urls");
    let fault = match (word, servers) {
        (Word::Standalone, Servers::Embedded) => None,
        (Word::Cluster | Word::Sentinel, Servers::Embedded) => Some(Fault::new(
            "is \"memory:\", which is no cluster and has no sentinels",
            "write the URLs of real servers, or take redis.mode out",
        )),
        (Word::Standalone, Servers::Urls(urls)) => more_than_one(urls),
        (Word::Cluster, Servers::Urls(urls)) => database(urls).or_else(|| other_login(urls)),
        (Word::Sentinel, Servers::Urls(urls)) => other_login(urls),
    };
    if let Some(fault) = fault {
        reader.add(&key, fault);
    }
}

/// Two standalone servers would be two ledgers: a job could be paid once by each.
fn more_than_one(urls: &[ServerUrl]) -> Option<Fault> {
    let fault = format!("holds {} URLs", urls.len());
    (urls.len() > 1).then(|| Fault::new(fault, "standalone mode takes one"))
}

fn database(urls: &[ServerUrl]) -> Option<Fault> {
    let is_other = |url: &ServerUrl| {
        let path = url.login().1;
        let number = path.split(['?', '#', '/']).next().unwrap_or_default();
        !matches!(number, "" | "0")
    };
    let index = urls.iter().position(is_other)?;
    Some(Fault::new(
        format!("URL {} names a database", index.saturating_add(1)),
        "a cluster has database 0 alone: end the URL with the port, or with /0",
    ))
}

/// What the first URL says of user, password and database is used for every server.
fn other_login(urls: &[ServerUrl]) -> Option<Fault> {
    let first = urls.first()?.login();
    let index = urls.iter().position(|url| url.login() != first)?;
    Some(Fault::new(
        format!(
            "URL {} has another user, password or database than URL 1",
            index.saturating_add(1)
        ),
        "write the same in each: they are those of every master",
    ))
}
