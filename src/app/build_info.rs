//! Which program this is.

/// The version of `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from and that commit's date: `abc1234567 2026-11-30`.
///
/// `abc1234567-dirty 2026-11-30` had changes that were not committed, `unknown` was built outside of
/// a repository, `debug` without optimisation, for tests. `build.rs` finds out.
pub const COMMIT: &str = env!("HONGBAOD_BUILD_COMMIT");

/// Both, as `hongbaod --version` tells them.
pub const VERSION_AND_COMMIT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("HONGBAOD_BUILD_COMMIT"),
    ")"
);
