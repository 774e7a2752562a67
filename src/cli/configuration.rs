//! Which configuration file is meant.

use std::path::{Path, PathBuf};

use crate::app::alipay_setup;
use crate::app::config::Config;
use crate::cli::failure::Failure;

/// Read when it is there and no other file was named.
const DEFAULT_FILE: &str = "hongbaod.toml";

/// The file that is meant: the one that was named, else the default one if it is there.
pub(crate) fn file(named: Option<&Path>) -> Option<PathBuf> {
    let default = || {
        let path = PathBuf::from(DEFAULT_FILE);
        path.exists().then_some(path)
    };
    named.map(Path::to_owned).or_else(default)
}

/// Reads the configuration of a daemon.
///
/// # Errors
///
/// Every mistake at once, with exit code 78.
pub(crate) fn load(named: Option<&Path>) -> Result<Config, Failure> {
    let file = file(named);
    let also = alipay_setup::mistakes_in_keys;
    Ok(Config::load_with(
        file.as_deref(),
        Config::environment(),
        also,
    )?)
}

/// Reads the configuration for a command that needs no app's keys.
///
/// # Errors
///
/// As [`load`].
pub(crate) fn load_without_apps(named: Option<&Path>) -> Result<Config, Failure> {
    let environment = Config::environment();
    Ok(Config::load_without_apps(
        file(named).as_deref(),
        environment,
    )?)
}
