//! Pausing and resuming for operators: what is thrown here is obeyed by every replica.

use std::sync::Arc;

use crate::adapters::clock::SystemClock;
use crate::adapters::random::SystemRandom;
use crate::adapters::redis_ledger::RedisLedger;
use crate::app::assembly::redis_options;
use crate::app::config::Config;
use crate::app::show::ShowError;
use crate::domain::ident::{AppName, Caption};
use crate::domain::job::Kind;
use crate::domain::switch::{NotPausable, Position, Switch, SwitchKey, Thrown};
use crate::ports::clock::Clock as _;
use crate::ports::switches::Switches;

/// What an operator wants paused or resumed.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose calls.
    pub app: AppName,
    /// For which kind; `None` for everything of the app that moves money.
    pub kind: Option<Kind>,
    /// Who wants it.
    pub by: Caption,
    /// Why.
    pub reason: Option<Caption>,
    /// What if the configuration does not have the app.
    pub stranger: Stranger,
}

/// What is done about an app that is not configured where the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It is a misspelling.
    Refuse,
    /// The daemon knows it, and this configuration does not.
    Allow,
}

/// How a switch stands after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: SwitchKey,
    /// As it is now; `None` for one that was never thrown.
    pub switch: Option<Switch>,
    /// Whether the command moved it.
    pub change: Change,
}

/// Whether a command moved a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was thrown.
    Thrown,
    /// It stood there before, and was left alone.
    AsBefore,
}

/// Why nothing was paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The kind has no switch.
    #[error(transparent)]
    NotPausable(#[from] NotPausable),
    /// The configuration does not have the app.
    #[error("no app {app} is configured here; {configured}. If the daemon has it, add --force")]
    UnknownApp {
        /// What was asked for.
        app: AppName,
        /// What there is, in words.
        configured: String,
    },
    /// The ledger could not be asked, or gave no answer: then it may be thrown all the same.
    #[error(transparent)]
    Ledger(#[from] ShowError),
}

/// What is paused now.
///
/// # Errors
///
/// [`SwitchError::Ledger`].
pub async fn paused(config: &Config) -> Result<Thrown, SwitchError> {
    let mut thrown = read(&connect(config).await?).await?;
    thrown.retain(|_, switch| switch.is_paused());
    Ok(thrown)
}

/// Pauses; what is paused already keeps its date and reason.
///
/// Once it returns, no replica that reaches Redis starts such a call later than a second from now.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn pause(config: &Config, wish: &Wish) -> Result<Vec<Standing>, SwitchError> {
    throw(config, wish, Position::Paused).await
}

/// Resumes; what is not paused is left alone.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn resume(config: &Config, wish: &Wish) -> Result<Vec<Standing>, SwitchError> {
    throw(config, wish, Position::Running).await
}

async fn throw(
    config: &Config,
    wish: &Wish,
    position: Position,
) -> Result<Vec<Standing>, SwitchError> {
    let keys = match wish.kind {
        Some(kind) => vec![SwitchKey::new(wish.app.clone(), kind)?],
        None => SwitchKey::of_app(&wish.app).to_vec(),
    };
    if wish.stranger == Stranger::Refuse {
        refuse_a_stranger(config, &wish.app)?;
    }
    let ledger = connect(config).await?;
    let before = read(&ledger).await?;
    let thrown = Switch {
        position,
        at: SystemClock::new().now(),
        by: wish.by.clone(),
        reason: wish.reason.clone(),
    };
    let mut moved = Thrown::new();
    let mut standings = Vec::with_capacity(keys.len());
    for key in keys {
        let stood = before.get(&key);
        let is_paused = stood.is_some_and(Switch::is_paused);
        let (switch, change) = if is_paused == thrown.is_paused() {
            (stood.cloned(), Change::AsBefore)
        } else {
            moved.insert(key.clone(), thrown.clone());
            (Some(thrown.clone()), Change::Thrown)
        };
        standings.push(Standing {
            key,
            switch,
            change,
        });
    }
    if !moved.is_empty() {
        ledger.throw(&moved).await.map_err(ShowError::from)?;
    }
    Ok(standings)
}

fn refuse_a_stranger(config: &Config, app: &AppName) -> Result<(), SwitchError> {
    let apps = &config.alipay.apps;
    if apps.contains_key(app.as_str()) {
        return Ok(());
    }
    let names: Vec<&str> = apps.keys().map(String::as_str).collect();
    let configured = if names.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there is {}", names.join(", "))
    };
    Err(SwitchError::UnknownApp {
        app: app.clone(),
        configured,
    })
}

async fn connect(config: &Config) -> Result<RedisLedger, ShowError> {
    let options = redis_options(config).ok_or(ShowError::Embedded)?;
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Ok(RedisLedger::connect(options, clock, random).await?)
}

async fn read(ledger: &RedisLedger) -> Result<Thrown, ShowError> {
    Ok(ledger.thrown().await?)
}
