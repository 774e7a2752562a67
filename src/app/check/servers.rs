//! Redis and RabbitMQ as they are now.

use std::collections::BTreeSet;

use crate::adapters::rabbitmq::{ObjectState, ObjectStatus, check_topology};
use crate::adapters::redis_ledger::{Master, Persistence, RedisMode, ServerFacts};
use crate::app::check::{Rank, Row, State};
use crate::app::client::{ClientError, broker_options};
use crate::app::config::{Config, ServerUrl, Servers, TlsConfig};
use crate::app::remedy::told;
use crate::app::show::{ShowError, inspector};

/// A clock further from ours than this makes leases end early or late, in milliseconds.
const CLOCK_SKEW_MS_MAX: u64 = 1_000;

const EMBEDDED: &str = "embedded; lives and dies with the daemon";

/// Redis: reachable, fit, its clock, its memory.
pub(super) async fn redis(config: &Config) -> Vec<Row> {
    let row = |subject: &str, state, detail: String| Row::new("redis", subject, state, detail);
    let urls = match &config.redis.servers {
        Servers::Embedded => return vec![row("memory:", State::Note, EMBEDDED.to_owned())],
        Servers::Urls(urls) => endpoints(urls),
    };
    let failed = |error: &ShowError| {
        let state = if error.is_unreachable() {
            State::Unreachable
        } else if error.is_config() {
            State::Mistake
        } else {
            State::Failed
        };
        vec![row(&urls, state, told(error))]
    };
    let inspector = match inspector(config).await {
        Ok(inspector) => inspector,
        Err(error) => return failed(&error),
    };
    let masters = match inspector.masters().await {
        Ok(masters) => masters,
        Err(error) => return failed(&ShowError::Connect(error)),
    };
    let versions: BTreeSet<&str> = masters.iter().map(|m| m.facts.version.as_str()).collect();
    let versions: Vec<&str> = versions.into_iter().collect();
    let mut rows = vec![row(
        &urls,
        State::Ok,
        format!("Redis {}", versions.join(", ")),
    )];
    rows.push(row("mode", State::Ok, mode(config, &masters)));
    rows.push(row(
        "TLS",
        State::Ok,
        tls(&config.redis.servers, &config.redis.tls),
    ));
    rows.push(row("eviction policy", State::Ok, "noeviction".to_owned()));
    let is_alone = masters.len() == 1;
    for master in &masters {
        // What is said of one among several bears its address.
        let of_it = |row: Row| {
            if is_alone {
                return row;
            }
            let subject = format!("{} of {}", row.subject, master.address);
            Row { subject, ..row }
        };
        if let Some(slots) = &master.slots {
            let replicas = master.facts.replicas;
            let detail = format!("slots {slots}; replicas: {replicas}");
            rows.push(row(
                &format!("master {}", master.address),
                State::Ok,
                detail,
            ));
        }
        rows.push(of_it(persistence(&master.facts)));
        rows.push(of_it(clock(&master.facts)));
        rows.push(of_it(canary(master)));
    }
    rows
}

/// The mode, with what was found by it.
fn mode(config: &Config, masters: &[Master]) -> String {
    let addresses: Vec<&str> = masters.iter().map(|m| m.address.as_str()).collect();
    match &config.redis.mode {
        RedisMode::Standalone => "standalone".to_owned(),
        RedisMode::Cluster => format!("cluster of {} masters", masters.len()),
        RedisMode::Sentinel { master, .. } => {
            format!(
                "sentinel: the master of {master} is {}",
                addresses.join(", ")
            )
        }
    }
}

fn tls(servers: &Servers, tls: &TlsConfig) -> String {
    if servers.are_tls() {
        tls.describe()
    } else {
        "none: whoever sees the network reads along".to_owned()
    }
}

fn canary(master: &Master) -> Row {
    let (state, detail) = if master.has_canary {
        (State::Ok, "there: the ledger remembers")
    } else {
        let detail = "not there: a first start, or a ledger that was flushed";
        (State::Note, detail)
    };
    Row::new("redis", "canary", state, detail.to_owned())
}

fn persistence(facts: &ServerFacts) -> Row {
    let (state, detail) = match facts.persistence {
        Persistence::AppendOnlyFile => (State::Ok, "append-only file"),
        Persistence::Snapshots => (
            State::Note,
            "no append-only file: a restart may lose minutes of the ledger (set appendonly yes)",
        ),
    };
    Row::new("redis", "persistence", state, detail)
}

fn clock(facts: &ServerFacts) -> Row {
    let skew = facts.clock_skew_ms;
    let (state, hint) = if skew.unsigned_abs() > CLOCK_SKEW_MS_MAX {
        (State::Note, ": set the clocks of both machines by NTP")
    } else {
        (State::Ok, "")
    };
    let direction = if skew < 0 { "behind" } else { "ahead of" };
    let detail = format!("{} ms {direction} ours{hint}", skew.unsigned_abs());
    Row::new("redis", "clock", state, detail)
}

/// RabbitMQ: reachable, and every exchange and queue.
pub(super) async fn rabbitmq(config: &Config) -> Vec<Row> {
    let row = |subject: &str, state, detail: String| Row::new("rabbitmq", subject, state, detail);
    let urls = match &config.rabbitmq.servers {
        Servers::Embedded => return vec![row("memory:", State::Note, EMBEDDED.to_owned())],
        Servers::Urls(urls) => endpoints(urls),
    };
    let options = match broker_options(config, "hongbaod check") {
        Ok(options) => options,
        Err(error) => return vec![row(&urls, State::Mistake, told(&error))],
    };
    let objects = match check_topology(&options).await {
        Ok(objects) => objects,
        Err(error) => {
            let error = ClientError::from(error);
            let state = if error.is_unreachable() {
                State::Unreachable
            } else if error.is_config() {
                State::Mistake
            } else {
                State::Failed
            };
            return vec![row(&urls, state, told(&error))];
        }
    };
    let mut rows = vec![row(&urls, State::Ok, "lets us in".to_owned())];
    let rabbitmq = &config.rabbitmq;
    rows.push(row("TLS", State::Ok, tls(&rabbitmq.servers, &rabbitmq.tls)));
    rows.push(sum(&objects));
    rows.extend(objects.iter().map(object));
    rows
}

fn sum(objects: &[ObjectStatus]) -> Row {
    let count = |wanted: fn(&ObjectState) -> bool| {
        objects
            .iter()
            .filter(|object| wanted(&object.state))
            .count()
    };
    let missing = count(|state| matches!(state, ObjectState::Missing));
    let different = count(|state| matches!(state, ObjectState::Mismatch { .. }));
    let all = objects.len();
    let (state, detail) = match (missing, different) {
        (0, 0) => (State::Ok, format!("all {all} are as they must be")),
        (_, 0) => (
            State::Ok,
            format!("{missing} of {all} are not there yet; `hongbaod run` declares them"),
        ),
        _ => (State::Failed, format!("{different} of {all} are different")),
    };
    Row::new("rabbitmq", "exchanges and queues", state, detail)
}

fn object(status: &ObjectStatus) -> Row {
    let (state, detail) = match &status.state {
        ObjectState::Ok => (State::Ok, "as it must be".to_owned()),
        ObjectState::Missing => (State::Ok, "not there yet".to_owned()),
        ObjectState::Mismatch { argument, detail } => (
            State::Failed,
            format!(
                "has another \"{argument}\": {detail}; delete it when it is empty, or put the \
                 configuration back"
            ),
        ),
    };
    let subject = format!("{} {}", status.object, status.name);
    Row {
        rank: Rank::Detail,
        ..Row::new("rabbitmq", subject, state, detail)
    }
}

/// What messages may show of the URLs: no user, no password.
fn endpoints(urls: &[ServerUrl]) -> String {
    let urls: Vec<String> = urls.iter().map(ServerUrl::endpoint).collect();
    urls.join(", ")
}
