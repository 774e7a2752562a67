//! The example file, the list of keys and the reader say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::app::config::document::Document;
use crate::app::config::keys::{KEYS, Support};
use crate::app::config::reader::Reader;
use crate::app::config::{Config, Servers, SignType};

const EXAMPLE: &str = include_str!("../../../../config.example.toml");

fn example_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("keys")).unwrap();
    for name in ["app_private_key.pem", "alipay_public_key.pem"] {
        fs::write(
            directory.path().join("keys").join(name),
            format!("{name}\n"),
        )
        .unwrap();
    }
    directory
}

/// Returns the keys of the example, those behind a `#` too, with `*` for the app.
fn example_keys() -> BTreeSet<String> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in EXAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            table = name.replace(".main", ".*");
            continue;
        }
        let Some((name, value)) = line.split_once(" = ") else {
            continue;
        };
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !is_name(name) {
            continue;
        }
        if let Some(inner) = value.strip_prefix("{ ").and_then(|v| v.strip_suffix(" }")) {
            for pair in inner.split(", ") {
                let (inner_name, _) = pair.split_once(" = ").unwrap();
                keys.insert(format!("{table}.{name}.{inner_name}"));
            }
        } else {
            keys.insert(format!("{table}.{name}"));
        }
    }
    keys
}

fn supported_keys() -> BTreeSet<String> {
    let supported = KEYS.iter().filter(|key| key.support == Support::Supported);
    supported.map(|key| key.path.to_owned()).collect()
}

#[test]
fn the_example_holds_every_key_and_no_other() {
    assert_eq!(example_keys(), supported_keys());
}

#[test]
fn the_reader_reads_every_key_of_the_list_and_no_other() {
    let document = Document::parse(EXAMPLE, Path::new("config.toml"));
    let mut reader = Reader::new(document, Path::new("."));
    Config::read_tables(&mut reader);
    let asked = reader.finish().asked;
    let asked: BTreeSet<String> = asked.iter().map(|k| k.replace(".main.", ".*.")).collect();
    assert_eq!(asked, supported_keys());
}

#[test]
fn the_example_holds_the_defaults() {
    let directory = example_directory();
    let path = directory.path().join("config.toml");
    fs::write(&path, EXAMPLE).unwrap();
    let mut config = Config::load(Some(&path), std::iter::empty()).unwrap();
    let apps = std::mem::take(&mut config.alipay.apps);
    let app = &apps["main"];
    assert_eq!(app.private_key.expose_secret(), "app_private_key.pem");
    assert_eq!(
        app.alipay_public_key.expose_secret(),
        "alipay_public_key.pem"
    );
    assert_eq!(app.sign_type, SignType::Rsa2);
    let Servers::Urls(urls) = &config.rabbitmq.servers else {
        panic!("the example names a real broker");
    };
    assert_eq!(urls[0].expose(), "amqp://guest:guest@127.0.0.1:5672/%2f");
    let default = Config {
        locations: config.locations.clone(),
        secret_files: config.secret_files.clone(),
        ..Config::default()
    };
    assert_eq!(format!("{config:#?}"), format!("{default:#?}"));
}

#[test]
fn every_commented_key_of_the_example_is_valid_in_its_place() {
    let directory = example_directory();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    let secrets = [
        ("rabbitmq_urls", "# two nodes\namqps://a:1\namqps://b:2/v\n"),
        ("redis_urls", "redis://c:3"),
        ("app_auth_token", "token\n"),
        ("aes_key", "key\n"),
        ("admin_token", "0123456789abcdef\n"),
    ];
    for (name, content) in secrets {
        fs::write(directory.path().join("secrets").join(name), content).unwrap();
    }
    let certificates = [
        "appCertPublicKey.crt",
        "alipayCertPublicKey_RSA2.crt",
        "alipayRootCert.crt",
    ];
    for name in certificates {
        fs::write(directory.path().join("keys").join(name), name).unwrap();
    }
    // Of each pair of alternatives, the commented one replaces the active one.
    let without = [
        "urls = ",
        "private_key_file = ",
        "alipay_public_key_file = ",
        "# alipay_public_key = ",
        "# app_cert = ",
        "# alipay_cert = ",
        "# alipay_root_cert = ",
        "# aes_key = ",
        "# app_auth_token = ",
        "# token = ",
        // Only beside URLs or a mode that the example has not; `tests::servers` tries them.
        "# tls_",
        "# sentinel_",
    ];
    let lines = EXAMPLE
        .lines()
        .filter(|l| !without.iter().any(|start| l.starts_with(start)));
    let uncommented: Vec<&str> = lines
        .map(|line| {
            let inner = line.strip_prefix("# ").unwrap_or(line);
            let is_table = inner == "[alipay.codes]";
            let key = inner.split_once(" = ").map_or("", |(key, _)| key);
            let is_key = !key.is_empty() && !key.contains(' ');
            if is_table || is_key { inner } else { line }
        })
        .collect();
    let path = directory.path().join("config.toml");
    let config = Config::parse(&uncommented.join("\n"), &path, std::iter::empty());
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let app = &config.alipay.apps["main"];
    assert_eq!(
        app.app_auth_token.as_ref().unwrap().expose_secret(),
        "token"
    );
    let certificates = app.certificates.as_ref().unwrap();
    assert_eq!(certificates.app_cert, "appCertPublicKey.crt");
    assert_eq!(certificates.alipay_root_cert, "alipayRootCert.crt");
    assert_eq!(app.aes_key.as_ref().unwrap().expose_secret(), "key");
    let fields: Vec<_> = app.files.iter().map(|file| file.field.as_str()).collect();
    let expected = ["app_cert", "alipay_cert", "alipay_root_cert", "aes_key"];
    assert_eq!(fields, [&expected[..], &["app_auth_token"]].concat());
    let token = config.admin.token.as_ref().unwrap();
    assert_eq!(token.expose_secret(), "0123456789abcdef");
    assert!(config.alipay.codes.final_.contains("PAYEE_SOMETHING_WRONG"));
    let Servers::Urls(urls) = &config.rabbitmq.servers else {
        panic!("two real nodes");
    };
    assert_eq!(urls.len(), 2);
}
