//! Looks at everything the daemon will need, and changes nothing.

mod admin;
mod audit;
pub mod certificates;
mod gateway;
mod keys;
mod servers;

use crate::app::config::{Config, Problems};
use crate::app::exposure::exposures;
use crate::app::wall_clock;

/// How one thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it must be.
    Ok,
    /// It works; somebody should know of it all the same.
    Note,
    /// The configuration must be changed.
    Mistake,
    /// A server does not answer.
    Unreachable,
    /// Anything else that is not as it must be.
    Failed,
}

impl State {
    /// The word in the JSON form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Mistake => "mistake",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }

    /// Whether the daemon can work with it.
    #[must_use]
    pub const fn is_good(self) -> bool {
        match self {
            Self::Ok | Self::Note => true,
            Self::Mistake | Self::Unreachable | Self::Failed => false,
        }
    }
}

/// Whether a row belongs into a short table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// It does.
    Main,
    /// Only when it is not good; another row sums it up.
    Detail,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `config`, `keys`, `audit`, `redis`, `rabbitmq`, `alipay`, `admin` or `notify`.
    pub area: &'static str,
    /// What was looked at.
    pub subject: String,
    /// How it was found.
    pub state: State,
    /// What is so, or what to do about it. Never a secret.
    pub detail: String,
    /// Whether it belongs into a short table.
    pub rank: Rank,
}

impl Row {
    fn new(
        area: &'static str,
        subject: impl Into<String>,
        state: State,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            area,
            subject: subject.into(),
            state,
            detail: detail.into(),
            rank: Rank::Main,
        }
    }
}

/// Reads the configuration's keys and asks every server; one row each, in a fixed order.
pub async fn check(config: &Config) -> Vec<Row> {
    let mut rows = keys::check(config, wall_clock::now());
    rows.extend(open_to_others(config));
    rows.extend(audit::check(config));
    let (redis, rabbitmq, alipay) = tokio::join!(
        servers::redis(config),
        servers::rabbitmq(config),
        gateway::check(config),
    );
    rows.extend(redis);
    rows.extend(rabbitmq);
    rows.extend(alipay);
    rows.extend(admin::check(config).await);
    rows
}

/// What works, and is more open than it need be.
fn open_to_others(config: &Config) -> impl Iterator<Item = Row> {
    let exposures = exposures(config).into_iter();
    exposures.map(|open| Row::new("config", open.key, State::Note, open.detail))
}

/// The rows of a configuration that cannot be read.
#[must_use]
pub fn mistakes(problems: &Problems) -> Vec<Row> {
    let row = |problem: &crate::app::config::ConfigProblem| {
        Row::new(
            "config",
            problem.key.as_str(),
            State::Mistake,
            problem.to_string(),
        )
    };
    problems.as_slice().iter().map(row).collect()
}
