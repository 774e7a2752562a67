//! `check` and `sandbox`: ticks where all is well, the right cross and exit code where it is not.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{Ended, Running, run};
use crate::ports::free_port;
use crate::servers::{amqp_url, redis_url, unique_prefix};

/// A sandbox, with what it said of how to use it.
pub(super) fn sandbox(directory: &Path, more: &[&str]) -> (Running, String) {
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--keys", "keys"];
    let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
    let mut sandbox = Running::start(directory, &arguments);
    let section = sandbox.stdout_until("/_sandbox/faults");
    (sandbox, section)
}

/// Writes a configuration of the real servers and of a sandbox, and returns its prefix. Its times
/// are short: at its first start a ledger is doubted, and a refusal is confirmed by queries.
pub(super) fn configure(directory: &Path, alipay: &str) -> String {
    let prefix = unique_prefix("cli");
    let alipay = alipay.replace(
        "[alipay]",
        "[alipay]\nconnect_timeout = \"1s\"\ntimeout = \"2s\"",
    );
    let text = format!(
        "{alipay}\n[ledger]\nlease = \"3s\"\n[retry]\nabsence_window = \"3s\"\n[rabbitmq]\nurls = [\"{}\"]\nprefix = \"{prefix}\"\n[redis]\nurls = [\"{}\"]\n\
         [admin]\nlisten = \"127.0.0.1:{}\"\n",
        amqp_url(),
        redis_url(),
        free_port()
    );
    fs::write(directory.join("hongbaod.toml"), text).unwrap();
    prefix
}

fn rows(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn everything_is_ticked_when_all_is_well() {
    let directory = TempDir::new().unwrap();
    let (sandbox, section) = sandbox(directory.path(), &["--packet", "P1=10.00"]);
    configure(directory.path(), &section);

    let ended = run(directory.path(), &["check"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains('✓') && !ended.stdout.contains('✗'));

    let ended = run(directory.path(), &["check", "--json"]);
    let rows = rows(&ended);
    for area in ["config", "keys", "redis", "rabbitmq", "alipay", "admin"] {
        assert!(rows.iter().any(|row| row["area"] == area), "{area}");
    }
    assert!(
        rows.iter().all(|row| row["good"] == true),
        "{}",
        ended.stdout
    );
    // Looking is all: nothing was declared.
    let missing = rows.iter().filter(|row| row["detail"] == "not there yet");
    assert!(missing.count() > 10, "{}", ended.stdout);
    assert_eq!(sandbox.terminate(), Some(0));
}

#[test]
fn servers_that_are_away_exit_69() {
    let directory = TempDir::new().unwrap();
    let (sandbox, section) = sandbox(directory.path(), &[]);
    assert_eq!(sandbox.terminate(), Some(0));
    let port = free_port();
    let text = format!(
        "{section}\n[rabbitmq]\nurls = [\"amqp://guest:pa55@127.0.0.1:{port}/%2f\"]\n\
         [redis]\nurls = [\"redis://:pa55@127.0.0.1:{port}/0\"]\n\
         [admin]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    fs::write(directory.path().join("hongbaod.toml"), text).unwrap();
    let job = [
        "submit",
        "query",
        "--out-order-no",
        "O1",
        "--out-request-no",
        "R1",
    ];
    let table: [&[&str]; 9] = [
        &["check"],
        &["run"],
        &["watch"],
        &["show", "R1"],
        &job,
        &["list", "--unsettled"],
        &["dead", "list"],
        &["dead", "requeue", "--all", "--yes"],
        &["dead", "drop", "--all", "--yes"],
    ];
    for arguments in table {
        let ended = run(directory.path(), arguments);
        let told = ended.stdout + &ended.stderr;
        assert_eq!(ended.code, Some(69), "{arguments:?}: {told}");
        assert!(told.contains(&port.to_string()), "{arguments:?}: {told}");
        assert!(!told.contains("pa55"), "{arguments:?}: {told}");
    }
    let ended = run(directory.path(), &["check", "--json"]);
    for area in ["redis", "rabbitmq", "alipay"] {
        let rows = rows(&ended);
        let row = rows.iter().find(|row| row["area"] == area).unwrap();
        assert_eq!(row["state"], "unreachable", "{row}");
    }
}

#[test]
fn wrong_keys_are_told_by_name_and_exit_78() {
    let directory = TempDir::new().unwrap();
    let (sandbox, section) = sandbox(directory.path(), &[]);
    let other = TempDir::new().unwrap();
    let (other_sandbox, _) = self::sandbox(other.path(), &[]);
    assert_eq!(other_sandbox.terminate(), Some(0));
    let foreign = other.path().join("keys/alipay_public_key.pem");
    fs::copy(&foreign, directory.path().join("keys/foreign.pem")).unwrap();
    fs::write(
        directory.path().join("keys/damaged.pem"),
        "-----BEGIN PUBLIC KEY-----\n",
    )
    .unwrap();

    let key = "alipay.apps.main.alipay_public_key_file";
    for (file, area, fault) in [
        (
            "app_public_key.pem",
            "keys",
            "the application's own public key",
        ),
        (
            "app_private_key.pem",
            "keys",
            "a private key where a public key belongs",
        ),
        ("damaged.pem", "keys", "END line"),
        ("foreign.pem", "alipay", "does not verify"),
    ] {
        let section = section.replace("alipay_public_key.pem", file);
        configure(directory.path(), &section);
        let ended = run(directory.path(), &["check", "--json"]);
        assert_eq!(ended.code, Some(78), "{file}: {}", ended.stdout);
        let rows = rows(&ended);
        let row = rows.iter().find(|row| row["state"] == "mistake").unwrap();
        assert_eq!(row["area"], area, "{row}");
        let detail = row["detail"].as_str().unwrap();
        assert!(
            detail.contains(key) && detail.contains(fault),
            "{file}: {detail}"
        );
        assert!(detail.starts_with("hongbaod.toml:"), "{file}: {detail}");
    }
    assert_eq!(sandbox.terminate(), Some(0));
}

#[test]
fn a_taken_port_is_a_mistake_of_the_configuration() {
    let directory = TempDir::new().unwrap();
    let (_sandbox, section) = sandbox(directory.path(), &[]);
    configure(directory.path(), &section);
    let path = directory.path().join("hongbaod.toml");
    let text = fs::read_to_string(&path).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let start = text.find("[admin]").unwrap();
    fs::write(
        &path,
        format!("{}[admin]\nlisten = \"{address}\"\n", &text[..start]),
    )
    .unwrap();
    for command in ["check", "run"] {
        let ended = run(directory.path(), &[command]);
        let told = ended.stdout + &ended.stderr;
        assert_eq!(ended.code, Some(78), "{command}: {told}");
        assert!(told.contains("admin.listen"), "{command}: {told}");
    }
}

#[test]
fn a_sandbox_keeps_its_keys_and_refuses_unknown_knobs() {
    let directory = TempDir::new().unwrap();
    let (first, _) = sandbox(directory.path(), &[]);
    assert_eq!(first.terminate(), Some(0));
    let key = fs::read(directory.path().join("keys/app_private_key.pem")).unwrap();
    let (second, _) = sandbox(directory.path(), &["--idempotency", "already-used"]);
    assert_eq!(second.terminate(), Some(0));
    assert_eq!(
        fs::read(directory.path().join("keys/app_private_key.pem")).unwrap(),
        key
    );

    fs::write(
        directory.path().join("faults.json"),
        r#"{"no_such_knob": 1}"#,
    )
    .unwrap();
    let ended = run(
        directory.path(),
        &["sandbox", "--keys", "keys", "--faults", "faults.json"],
    );
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("no_such_knob"), "{}", ended.stderr);
}
