//! Redis and RabbitMQ as they are now.

use crate::adapters::rabbitmq::{ObjectState, ObjectStatus, check_topology};
use crate::adapters::redis_ledger::{Persistence, ServerFacts};
use crate::app::causes::with_causes;
use crate::app::check::{Rank, Row, State};
use crate::app::client::{ClientError, broker_options};
use crate::app::config::{Config, ServerUrl, Servers};
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
        vec![row(&urls, state, with_causes(error))]
    };
    let inspector = match inspector(config).await {
        Ok(inspector) => inspector,
        Err(error) => return failed(&error),
    };
    let facts = match inspector.facts().await {
        Ok(facts) => facts,
        Err(error) => return failed(&ShowError::Connect(error)),
    };
    let mut rows = vec![row(&urls, State::Ok, format!("Redis {}", facts.version))];
    rows.push(row("eviction policy", State::Ok, "noeviction".to_owned()));
    rows.push(persistence(&facts));
    rows.push(clock(&facts));
    rows.push(match inspector.has_canary().await {
        Ok(true) => row(
            "canary",
            State::Ok,
            "there: the ledger remembers".to_owned(),
        ),
        Ok(false) => {
            let detail = "not there: a first start, or a ledger that was flushed";
            row("canary", State::Note, detail.to_owned())
        }
        Err(error) => row("canary", State::Failed, with_causes(&error)),
    });
    rows
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
        Err(error) => return vec![row(&urls, State::Mistake, with_causes(&error))],
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
            return vec![row(&urls, state, with_causes(&error))];
        }
    };
    let mut rows = vec![row(&urls, State::Ok, "lets us in".to_owned())];
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
