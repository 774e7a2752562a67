//! Tells the program which commit it is built from: sets `HONGBAOD_BUILD_COMMIT` for
//! `src/app/build_info.rs`.
//!
//! In this order: the variable `HONGBAOD_BUILD_COMMIT` as it is given, for builds that have no
//! repository (`deploy/Dockerfile`); git, where this directory is a clone; else `unknown`. Nothing in
//! it depends on the time or the place of the build.

use std::path::Path;
use std::process::Command;

/// What the program is made of: a change in here that is not committed makes the tree `dirty`.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

/// So many digits of a commit are shown.
const DIGITS: usize = 10;

fn main() {
    let variable = "HONGBAOD_BUILD_COMMIT";
    println!("cargo::rerun-if-env-changed={variable}");
    let given = var(variable).filter(|given| !given.is_empty());
    let commit = match given {
        Some(given) => cleaned(&given),
        // Debug builds do not ask: each commit would make them compile everything again.
        None if var("PROFILE").as_deref() == Some("debug") => "debug".to_owned(),
        None => from_git(),
    };
    println!("cargo::rustc-env={variable}={commit}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "this runs while the program is built"
)]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What was given, if it is a commit as `from_git` tells it; the digits may be more.
fn cleaned(given: &str) -> String {
    let given = given.trim();
    let (commit, date) = given.split_once(' ').unwrap_or((given, ""));
    let digits = commit.strip_suffix("-dirty").unwrap_or(commit);
    let is_commit = digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_date = date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    assert!(
        (is_commit || digits == "unknown") && is_date,
        "HONGBAOD_BUILD_COMMIT is \"{given}\"; write what `git log -1 --format='%H %cs'` prints"
    );
    let dirty = &commit[digits.len()..];
    let shown = &digits[..digits.len().min(DIGITS)];
    format!("{shown}{dirty} {date}").trim_end().to_owned()
}

/// The newest commit, `-dirty` if the sources differ from it, and its date.
fn from_git() -> String {
    // Not of a repository that this directory merely lies in.
    if !Path::new(".git").exists() {
        return "unknown".to_owned();
    }
    let told = git(&["log", "-1", "--format=%H %cs"]).and_then(|commit| {
        let mut status = vec!["status", "--porcelain", "--"];
        status.extend(SOURCES);
        Some((commit, git(&status)?))
    });
    let Some((commit, changes)) = told else {
        println!("cargo::warning=git does not tell the commit, so --version will not either");
        return "unknown".to_owned();
    };
    // Where a commit, a checkout or a reset is seen.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    let paths = ["HEAD", &branch, "packed-refs"]
        .into_iter()
        .filter_map(|file| git(&["rev-parse", "--git-path", file]));
    for path in paths.chain(SOURCES.map(str::to_owned)) {
        // A path that is not there would run this every time.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let dirty = if changes.is_empty() { "" } else { "-dirty" };
    cleaned(&commit.replacen(' ', &format!("{dirty} "), 1))
}

/// What git prints, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
