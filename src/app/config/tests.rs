mod example;
mod mistakes;
mod servers;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use crate::app::config::{Config, Location, Servers};
use crate::domain::time::format_duration;

/// An app that is complete, on four lines.
const APP: &str = "[alipay.apps.main]\napp_id = \"2021000000000000\"\n\
                   private_key = \"PRIVATE-SECRET\"\nalipay_public_key = \"PUBLIC\"\n";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(owned);
    Config::parse(text, Path::new("config.toml"), environment).map_err(|p| p.to_string())
}

/// Parses the text in front of a complete app.
fn with_app(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    parse(&format!("{text}\n{APP}"), environment)
}

#[test]
fn the_environment_comes_before_the_file() {
    let text = "[ledger]\nlease = \"99\"\n[rabbitmq]\nprefetch = { disburse = 1, refund = 2 }";
    let environment = [
        ("HONGBAOD__LEDGER__LEASE", "25s"),
        ("HONGBAOD__RABBITMQ__PREFETCH__DISBURSE", "7"),
        ("HONGBAOD__RABBITMQ__URLS", "amqps://a:1/x, amqps://b"),
        ("HONGBAOD__REDIS__URL", "memory:"),
        ("HONGBAOD__RETRY__MULTIPLIER", "1.5"),
        ("HONGBAOD__ALIPAY__APPS__MAIN__APP_ID", "2021000000000001"),
        ("HONGBAOD__ALIPAY__CODES__FINAL", "A,B"),
        ("HONGBAOD__LOG__FORMAT", "text"),
    ];
    let config = with_app(text, &environment).unwrap();
    assert_eq!(format_duration(config.ledger.lease), "25s");
    assert_eq!(config.rabbitmq.prefetch.disburse.get(), 7);
    assert_eq!(config.rabbitmq.prefetch.refund.get(), 2);
    assert!(matches!(&config.rabbitmq.servers, Servers::Urls(urls) if urls.len() == 2));
    assert!(matches!(config.redis.servers, Servers::Embedded));
    assert_eq!(config.retry.multiplier_permille, 1_500);
    assert_eq!(config.alipay.apps["main"].app_id, "2021000000000001");
    assert_eq!(config.alipay.codes.final_.len(), 2);
    assert_eq!(config.log.format.as_str(), "text");
    let variable = "HONGBAOD__LEDGER__LEASE".to_owned();
    assert_eq!(
        config.locate("ledger.lease"),
        Location::Environment { variable }
    );
}

#[test]
fn the_environment_alone_is_enough() {
    let environment = [
        ("HONGBAOD__ALIPAY__APPS__SHOP_1__APP_ID", "2021000000000001"),
        ("HONGBAOD__ALIPAY__APPS__SHOP_1__PRIVATE_KEY", "k"),
        ("HONGBAOD__ALIPAY__APPS__SHOP_1__ALIPAY_PUBLIC_KEY", "p"),
    ];
    let owned = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, owned.into_iter()).unwrap();
    assert_eq!(config.alipay.default_app, "shop_1");
    assert_eq!(config.locate("ledger.lease"), Location::Unset);
}

#[test]
fn a_secret_comes_from_its_file_and_its_key_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(directory.path().join("key.pem"), "\n  THE-KEY  \n").unwrap();
    let text = APP.replace(
        "private_key = \"PRIVATE-SECRET\"",
        "private_key_file = \"key.pem\"",
    );
    let config = Config::parse(&text, &path, std::iter::empty()).unwrap();
    let app = &config.alipay.apps["main"];
    assert_eq!(app.private_key.expose_secret(), "THE-KEY");
    let problem = config.problem("alipay.apps.main.private_key", "f".into(), "r".into());
    assert_eq!(problem.key, "alipay.apps.main.private_key_file");
    assert_eq!(problem.location, Location::in_file(&path, Some(3)));
    assert_eq!(
        config.locate("alipay.apps.main.app_auth_token"),
        Location::in_file(&path, Some(1))
    );

    // In place from the environment counts more than a file from the file.
    let name = "HONGBAOD__ALIPAY__APPS__MAIN__PRIVATE_KEY".to_owned();
    let environment = std::iter::once((name.clone(), "OTHER".to_owned()));
    let config = Config::parse(&text, &path, environment).unwrap();
    let app = &config.alipay.apps["main"];
    assert_eq!(app.private_key.expose_secret(), "OTHER");
    let problem = config.problem("alipay.apps.main.private_key", "f".into(), "r".into());
    assert_eq!(problem.location, Location::Environment { variable: name });
    assert_eq!(problem.key, "alipay.apps.main.private_key");
}

#[test]
fn a_bad_secret_file_is_told_without_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let at = directory.path().display();
    fs::write(directory.path().join("empty"), " \n").unwrap();
    fs::write(directory.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(directory.path().join("long"), "x".repeat(65_537)).unwrap();
    let cases = [
        (
            "absent",
            "the file cannot be read: No such file or directory (os error 2)",
        ),
        ("empty", "the file is empty"),
        ("binary", "the file is not text"),
        ("long", "the file is over 65536 bytes"),
        (".", "the file cannot be read: Is a directory (os error 21)"),
    ];
    for (name, fault) in cases {
        let line = format!("private_key_file = \"{name}\"");
        let text = APP.replace("private_key = \"PRIVATE-SECRET\"", &line);
        let told = Config::parse(&text, &path, std::iter::empty())
            .unwrap_err()
            .to_string();
        let start = format!("{at}/config.toml:3: alipay.apps.main.private_key_file: {fault}; ");
        assert!(told.starts_with(&start), "{told}");
        assert!(
            told.contains(&format!("(relative paths start from {at})")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn an_unreadable_configuration_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.toml");
    let told = Config::load(Some(&path), std::iter::empty())
        .unwrap_err()
        .to_string();
    let fault = "the file cannot be read: No such file or directory (os error 2)";
    assert!(
        told.starts_with(&format!("{}: {fault}; ", path.display())),
        "{told}"
    );
    fs::write(&path, [0xff]).unwrap();
    let told = Config::load(Some(&path), std::iter::empty())
        .unwrap_err()
        .to_string();
    assert!(told.contains("the file is not UTF-8"), "{told}");
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "S3CR3T";
    let good = format!(
        "[rabbitmq]\nurls = [\"amqp://u:{secret}@h/v\"]\n[redis]\nurls = [\"redis://:{secret}@h\"]\n\
         [alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"{secret}\"\n\
         alipay_public_key = \"{secret}\"\napp_auth_token = \"{secret}\"\n"
    );
    let config = parse(&good, &[]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("amqp://h"), "{shown}");

    // The same secret in every place where it is wrong.
    let long = format!("-----BEGIN PRIVATE KEY-----{secret}{}", "x".repeat(300));
    let bad = [
        format!("[rabbitmq]\nurls = [\"{secret}\"]"),
        format!("[rabbitmq]\nurls = \"amqp://u:{secret}@h\""),
        format!("[rabbitmq]\nurls = [\"amqp://u:1/{secret}@h\"]"),
        format!("[rabbitmq]\nurls = [\"amqp://u:{secret}/@h\"]"),
        format!("[rabbitmq]\nurls = [\"amqp://u:p@{secret}@\"]"),
        format!("[rabbitmq]\nurl = \"amqp://u:{secret}@h\""),
        format!("[redis]\nurls_file = \"redis://:{secret}@h\""),
        format!("[redis]\nmode = \"redis://:{secret}@h\""),
        format!("[redis]\nurls = [\"redis://:{secret}@h\", \"redis://:{secret}@i\"]"),
        format!("[alipay]\ngateway = \"https://u:{secret}@h/\""),
        format!("[alipay.apps.other]\napp_id = \"{secret}\""),
        format!("[alipay.apps.other]\nprivate_key_file = \"{secret}\""),
        format!("[alipay.apps.other]\nprivate_key_file = \"{long}\""),
        format!("[alipay.apps.other]\nprivate_key = [\"{secret}\"]"),
        format!("[alipay.apps.other]\nprivat_key = \"{secret}\""),
        format!("[alipay.apps.other]\nencrypt_key = \"{secret}\""),
        format!("[alipay.apps.other]\nsign_type = \"{long}\""),
        format!("[alipay.apps.other]\nprivate_key = \"{secret}"),
        format!("[alipay.apps.other]\nprivate_key = {secret}"),
        format!("[alipay.apps.other]\nprivate_key = \"\"\"\n{secret}\n"),
        format!("[alipay.apps.other]\nprivate_key = \"a\\{secret}\""),
        format!("[alipay.apps.other]\nprivate_key = \"a\"{secret}"),
    ];
    for text in bad {
        let told = with_app(&text, &[]).unwrap_err();
        assert!(!told.contains(secret), "{text}\n{told}");
        let file = Path::new("config.toml");
        let problems = Config::parse(&text, file, std::iter::empty()).unwrap_err();
        assert!(
            !format!("{problems:?}").contains(secret),
            "{text}\n{problems:?}"
        );
    }
}

proptest! {
    /// Pieces of the format in any order are read or refused, and never panic.
    #[test]
    fn any_text_is_read_or_refused_with_a_reason(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("[ledger]".to_owned()),
                Just("[[alipay.apps]]".to_owned()),
                Just("lease = ".to_owned()),
                Just("\"20s\"".to_owned()),
                Just("alipay.apps.main.private_key_file = ".to_owned()),
                Just("\"\"\"".to_owned()),
                Just("{ a = 1".to_owned()),
                Just("\n".to_owned()),
                "\\PC{0,8}",
            ],
            0..24,
        )
    ) {
        let text = pieces.concat();
        if let Err(told) = parse(&text, &[("HONGBAOD__LEDGER__LEASE", &text)]) {
            prop_assert!(!told.is_empty());
        }
    }

    /// What is shown of a duration is what may be written.
    #[test]
    fn a_duration_is_written_as_it_is_read(ms in 1_000_u64..3_600_000) {
        let lease = Duration::from_millis(ms);
        let text = format!(
            "[ledger]\nlease = \"{}\"\n[retry]\nabsence_window = \"1d\"\n[alipay]\n\
             timeout = \"1s\"\nconnect_timeout = \"500ms\"",
            format_duration(lease),
        );
        if ms >= 1_334 {
            prop_assert_eq!(with_app(&text, &[]).unwrap().ledger.lease, lease);
        } else {
            prop_assert!(with_app(&text, &[]).is_err());
        }
    }
}
