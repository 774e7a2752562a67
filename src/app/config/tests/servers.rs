//! Modes of Redis, several URLs, and certificates: what is right and what is told.

use std::path::Path;
use std::process::Command;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::adapters::redis_ledger::RedisMode;
use crate::app::config::{Config, Servers};

fn config(text: &str) -> Result<Config, String> {
    parsed(text, Path::new("config.toml"))
}

/// Reads without looking at apps, which are not there.
fn parsed(text: &str, path: &Path) -> Result<Config, String> {
    let (config, mut problems) = Config::read_text(text, path, std::iter::empty());
    problems.retain(|problem| !problem.key.starts_with("alipay.apps"));
    let told: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}; {}", problem.key, problem.fault, problem.remedy))
        .collect();
    if told.is_empty() {
        Ok(config)
    } else {
        Err(told.join("\n"))
    }
}

#[test]
fn a_mode_goes_with_its_servers() {
    let cluster =
        config("[redis]\nmode = \"cluster\"\nurls = [\"redis://u:p@a:1\", \"redis://u:p@b:2\"]");
    let cluster = cluster.unwrap().redis;
    assert!(matches!(cluster.mode, RedisMode::Cluster));
    assert!(matches!(&cluster.servers, Servers::Urls(urls) if urls.len() == 2));

    let sentinel = config(
        "[redis]\nmode = \"sentinel\"\nsentinel_master = \"my-master.1\"\n\
         sentinel_password = \"p\"\nurls = [\"redis://:q@a:26379/3\", \"redis://:q@b:26379/3\"]",
    );
    let RedisMode::Sentinel { master, password } = sentinel.unwrap().redis.mode else {
        panic!("the mode is sentinel");
    };
    assert_eq!(master, "my-master.1");
    assert_eq!(password.unwrap().expose_secret(), "p");
}

#[test]
fn tls_is_for_all_or_for_none() {
    for (text, told) in [
        (
            "[redis]\nurls = [\"redis://a\", \"rediss://b\"]",
            "redis.urls: mixes redis:// and rediss://; write all of them with TLS, or all without",
        ),
        (
            "[rabbitmq]\nurls = [\"amqp://a\", \"amqps://b\"]",
            "rabbitmq.urls: mixes amqp:// and amqps://; write all of them with TLS, or all without",
        ),
        (
            "[rabbitmq]\ntls_ca = \"x\"",
            "rabbitmq.tls_ca: is for TLS, and rabbitmq.urls are without; write amqps:// URLs, or \
             take the key out",
        ),
        (
            "[redis]\ntls_key = \"geheim\"",
            "redis.tls_key: is for TLS, and redis.urls are without; write rediss:// URLs, or take \
             the key out",
        ),
    ] {
        assert_eq!(config(text).unwrap_err(), told);
    }
}

#[test]
fn what_does_not_go_with_a_mode_is_told() {
    let login = "URL 2 has another user, password or database than URL 1; write the same in each: \
        they are those of every master";
    for (text, told) in [
        (
            "mode = \"cluster\"\nurls = [\"redis://a:1/0\", \"redis://b/3\"]",
            "redis.urls: URL 2 names a database; a cluster has database 0 alone: end the URL with \
             the port, or with /0"
                .to_owned(),
        ),
        (
            "mode = \"cluster\"\nurls = [\"redis://:p@a\", \"redis://:q@b\"]",
            format!("redis.urls: {login}"),
        ),
        (
            "mode = \"sentinel\"\nsentinel_master = \"m\"\nurls = [\"redis://a/1\", \"redis://b/2\"]",
            format!("redis.urls: {login}"),
        ),
        (
            "mode = \"cluster\"\nurls = [\"memory:\"]",
            "redis.urls: is \"memory:\", which is no cluster and has no sentinels; write the URLs of \
             real servers, or take redis.mode out"
                .to_owned(),
        ),
        (
            "mode = \"sentinel\"",
            "redis.sentinel_master: is missing; sentinel mode needs the name that the sentinels know \
             the master by"
                .to_owned(),
        ),
        (
            "mode = \"sentinel\"\nsentinel_master = \"a b\"",
            "redis.sentinel_master: \"a b\" cannot name a master; write what the sentinels' own \
             configuration calls it, for example \"mymaster\""
                .to_owned(),
        ),
    ] {
        assert_eq!(config(&format!("[redis]\n{text}")).unwrap_err(), told);
    }
}

/// Makes two certificates with their keys, `a` and `b`, with OpenSSL.
fn certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=test", "-keyout"])
            .args([&format!("{name}.key"), "-out", &format!("{name}.pem")])
            .current_dir(directory.path())
            .output()
            .expect("openssl is installed: tests/run does it");
        assert!(made.status.success(), "{made:?}");
    }
    directory
}

#[test]
fn certificates_are_read_and_shown_to_nobody() {
    let directory = certificates();
    let path = directory.path().join("config.toml");
    for (table, scheme) in [("redis", "rediss"), ("rabbitmq", "amqps")] {
        let text = format!(
            "[{table}]\nurls = [\"{scheme}://h\"]\ntls_ca_file = \"b.pem\"\n\
             tls_cert_file = \"a.pem\"\ntls_key_file = \"a.key\""
        );
        let config = parsed(&text, &path).unwrap();
        assert!(!format!("{config:?}").contains("BEGIN"), "{config:?}");
        let tls = if table == "redis" {
            config.redis.tls
        } else {
            config.rabbitmq.tls
        };
        assert!(tls.ca.as_ref().unwrap().contains("BEGIN CERTIFICATE"));
        assert_eq!(tls.describe(), "TLS, trusting tls_ca, with our certificate");
    }
}

#[test]
fn certificates_that_do_not_work_are_told_before_anything_is_connected() {
    let directory = certificates();
    std::fs::write(directory.path().join("text"), "no certificate").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    std::fs::write(directory.path().join("broken"), broken).unwrap();
    let path = directory.path().join("config.toml");
    for (lines, told) in [
        (
            "tls_ca_file = \"text\"",
            "redis.tls_ca_file: holds no certificate; ",
        ),
        (
            "tls_ca_file = \"broken\"",
            "redis.tls_ca_file: is no authority's certificate: ",
        ),
        (
            "tls_ca_file = \"absent\"",
            "redis.tls_ca_file: the file cannot be read: ",
        ),
        (
            "tls_cert_file = \"a.pem\"",
            "redis.tls_cert_file: is given without tls_key_file; ",
        ),
        (
            "tls_key_file = \"a.key\"",
            "redis.tls_key_file: is given without tls_cert_file; ",
        ),
        (
            "tls_cert_file = \"a.pem\"\ntls_key_file = \"b.key\"",
            "redis.tls_key_file: does not belong to tls_cert; ",
        ),
        (
            "tls_cert_file = \"a.pem\"\ntls_key_file = \"text\"",
            "redis.tls_key_file: holds no private key; ",
        ),
        (
            "tls_cert_file = \"text\"\ntls_key_file = \"a.key\"",
            "redis.tls_cert_file: holds no certificate; ",
        ),
        (
            "tls_cert_file = \"a.pem\"\ntls_key_file = \"absent\"",
            "redis.tls_key_file: the file cannot be read: ",
        ),
    ] {
        let text = format!("[redis]\nurls = [\"rediss://h\"]\n{lines}");
        let problems = parsed(&text, &path).unwrap_err();
        assert!(problems.starts_with(told), "{problems}\nis not\n{told}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}
