//! Amounts, durations, forms, configurations, keys and ledger values: cases with structure, which
//! bytes alone would hardly hit.

use std::path::Path;

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::redis_ledger::value::{Indexed, decode, encode};
use hongbaod::app::config::Config;
use hongbaod::domain::time::UnixMillis;
use proptest::collection::{btree_map, vec};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::cases;
use super::checks::{config, key_text, ledger_value, money, notification, params};
use crate::ledger_entries;

/// The last of each kind of text that is taken, and the first that is not.
const EDGES: [&str; 22] = [
    "0m",
    "1m",
    "10080m",
    "10081m",
    "168h",
    "169h",
    "7d",
    "8d",
    "71h",
    "72h",
    "2d",
    "3d",
    "365d",
    "366d",
    "259199999ms",
    "259200000ms",
    "0.00",
    "0.01",
    "100000000.00",
    "100000000.01",
    "99999999999999999999.00",
    "99999999999999999999d",
];

/// Texts around what an amount, a duration or an instant is.
fn numbers() -> BoxedStrategy<String> {
    prop_oneof![
        3 => (0..EDGES.len()).prop_map(|edge| EDGES[edge].to_owned()),
        1 => "[0-9]{1,12}\\.[0-9]{1,3}",
        1 => "0{0,30}[0-9]{1,11}(\\.[0-9]{0,2})?",
        1 => "[+-]?[0-9]{0,3}[.,]?[0-9]{0,2}(e[0-9])?",
        1 => "[0-9]{0,9}(ms|s|m|h|d|M| m|)",
        1 => "0{0,20}[0-9]{1,20}[smhd]",
        1 => "[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
        1 => "[0-9]{4}-1?[0-9]-[12]?[0-9] 1?[0-9]:[1-5]?[0-9]:[1-5]?[0-9]",
        1 => "[０-９٠-٩0-9.]{1,6}",
    ]
    .boxed()
}

/// A table of a configuration, the name of an app in the place of `*`, and some of its keys.
const TABLES: [(&str, &[&str]); 8] = [
    ("ledger", &["lease", "retention", "doubt"]),
    ("retry", &["delay_min", "delay_max", "multiplier"]),
    ("redis", &["urls", "urls_file", "mode"]),
    ("rabbitmq", &["urls", "prefix", "prefetch", "unrouted_max"]),
    ("alipay", &["timeout", "gateway", "default_app"]),
    ("alipay.codes", &["final", "unknown"]),
    (
        "alipay.apps.*",
        &[
            "app_id",
            "private_key",
            "alipay_public_key",
            "app_auth_token",
            "private_key_file",
        ],
    ),
    ("log", &["level", "x"]),
];

/// A value, right or wrong for its key, nearly always TOML.
fn config_values() -> BoxedStrategy<String> {
    let secret = config::SECRET;
    let url = move |scheme: &str, rest: &str| format!("[\"{scheme}://u:{secret}@{rest}\"]");
    prop_oneof![
        3 => "[1-9][0-9]{0,2}(ms|s|m|h|d)".prop_map(|text| format!("\"{text}\"")),
        1 => numbers().prop_map(|text| format!("\"{text}\"")),
        1 => "-?[1-9][0-9]{0,3}(\\.[0-9]{1,4})?",
        1 => "[1-9][0-9]{0,300}(\\.[0-9]{1,300})?",
        6 => Just(format!("\"{secret}\"")),
        1 => Just("\"2021000000000000\"".to_owned()),
        1 => Just("\"\"\"\n\"\"\"".to_owned()),
        1 => Just("\"memory:\"".to_owned()),
        2 => Just(url("redis", "127.0.0.1:1/0")),
        2 => Just(url("amqp", "h")),
        1 => Just(url("amqp", "")),
        1 => Just("{ disburse = 1, x = 2 }".to_owned()),
        1 => Just("[]".to_owned()),
        1 => "[!-~]{0,9}",
    ]
    .boxed()
}

/// A file of some tables with some of their keys, in any order.
fn config_files() -> BoxedStrategy<String> {
    let app = prop_oneof![4 => Just("main".to_owned()), 1 => "[a-z]{1,3}|\"[A-Z ]{1,90}\""];
    let lines = btree_map(0_usize..5, config_values(), 0..5);
    let tables = btree_map(0..TABLES.len(), lines, 0..6);
    (app, tables)
        .prop_map(|(app, tables)| {
            let mut text = String::new();
            for (table, lines) in tables {
                let (name, keys) = TABLES[table];
                text.push_str(&format!("[{}]\n", name.replace('*', &app)));
                for (at, key) in keys.iter().enumerate() {
                    if let Some(value) = lines.get(&at) {
                        text.push_str(&format!("{key} = {value}\n"));
                    }
                }
            }
            text
        })
        .boxed()
}

fn private_key() -> PrivateKey {
    PrivateKey::parse(include_str!("../../../fuzz/seeds/key_text/pkcs8_1024.pem")).unwrap()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn numbers_are_taken_exactly_when_the_documents_say_so(text in numbers()) {
        money::check(&text);
    }

    #[test]
    fn params_are_signed_sorted_and_whole(
        params in vec(("sign|sign_type|[a-c]{1,2}|[ -~]{0,4}", "|[ -~]{0,6}|[\u{80}-\u{ffff}]{0,4}"), 0..8)
    ) {
        let params: Vec<_> = params
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
            .collect();
        params::canonical(&params);
    }

    #[test]
    fn forms_are_read_by_the_standard(form in "([a-c=&+%]|%[0-9a-fA-F]{2}|%[!-~]{2}|[ -~]){0,24}") {
        params::check(form.as_bytes());
    }

    #[test]
    fn notifications_say_what_alipay_signed_and_nothing_else(
        changes in vec((
            "app_id|auth_no|charset|operation_id|out_request_no|operation_type|amount|status|payee_user_id|remark|[a-c&=]{0,3}",
            "|null|[0-9]{1,3}(\\.[0-9]{1,3})?|(SUCCESS|CLOSED|PAY|REFUND|GBK|utf-8)|[a-z]{0,3}&(status|amount)?=?[a-z]?|[ -~]{0,6}|[\u{80}-\u{ffff}]{0,4}",
        ), 0..5)
    ) {
        let changes: Vec<String> = changes.into_iter().map(|(n, v)| format!("{n}\0{v}")).collect();
        notification::check(changes.join("\0").as_bytes());
    }

    #[test]
    fn configurations_are_read_or_refused_without_telling_secrets(
        file in config_files(), variables in vec("HONGBAOD__(LEDGER__LEASE|REDIS__URL|REDIS__URLS|ALIPAY__APPS__MAIN__APP_ID|LOG|X)=[ -~]{0,60}", 0..3)
    ) {
        config::check(&format!("{file}\0{}", variables.join("\n")));
    }

    #[test]
    fn times_that_do_not_fit_each_other_are_refused(
        lease_s in 1_u64..80, timeout_s in 1_u64..60, connect_ms in 100_u64..60_000,
        window_s in 1_u64..80, delay_min_ms in 1_u64..3_000, delay_max_s in 1_u64..4,
    ) {
        let file = format!(
            "[ledger]\nlease = \"{lease_s}s\"\n[alipay]\ntimeout = \"{timeout_s}s\"\n\
             connect_timeout = \"{connect_ms}ms\"\n[retry]\nabsence_window = \"{window_s}s\"\n\
             delay_min = \"{delay_min_ms}ms\"\ndelay_max = \"{delay_max_s}s\"\n\
             [alipay.apps.main]\napp_id = \"2021000000000000\"\n\
             private_key = \"{secret}\"\nalipay_public_key = \"{secret}\"\n",
            secret = config::SECRET,
        );
        config::check(&file);
        let fits = 3 * lease_s >= 4 * timeout_s
            && window_s >= lease_s
            && connect_ms < 1_000 * timeout_s
            && delay_min_ms < 1_000 * delay_max_s;
        let read = Config::parse(&file, Path::new("config.toml"), std::iter::empty());
        prop_assert_eq!(read.is_ok(), fits);
    }

    #[test]
    fn keys_are_read_through_any_armour_and_dirt(
        at in any::<usize>(), dirt in "|\n|\r\n|\\\\n| |\t|\u{feff}|\u{200b}|!|=|A|-----", label in "RSA PRIVATE KEY|PUBLIC KEY|CERTIFICATE|X"
    ) {
        let key = private_key();
        for pem in [key.to_pkcs8_pem().to_string(), key.public_key().to_spki_pem()] {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let at = at % body.len();
            let dirty = format!("{}{dirt}{}", &body[..at], &body[at..]);
            key_text::check(&dirty);
            key_text::check(&format!("-----BEGIN {label}-----\n{dirty}\n-----END {label}-----"));
            key_text::check(&body[..at]);
        }
    }

    #[test]
    fn ledger_values_with_changed_bytes_are_refused_or_whole(
        kind in any::<usize>(), place in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let key = ledger_value::key();
        let entries = ledger_entries::every_kind(&key);
        for mark in [Indexed::No, Indexed::Maybe] {
            let entry = &entries[kind % entries.len()];
            let mut bytes = encode(&key, entry, mark);
            prop_assert_eq!(decode(&key, &bytes), Ok(entry.clone()));
            ledger_value::check(&bytes);
            let place = place % bytes.len();
            if cut {
                bytes.remove(place);
            } else {
                bytes[place] = byte;
            }
            ledger_value::check(&bytes);
        }
    }
}

#[test]
fn a_ledger_value_has_one_of_four_heads() {
    let key = ledger_value::key();
    let mut read = std::collections::BTreeSet::new();
    for entry in ledger_entries::every_kind(&key) {
        let mut bytes = encode(&key, &entry, Indexed::No);
        for head in 0..=u8::MAX {
            bytes[0] = head;
            ledger_value::check(&bytes);
            read.extend(decode(&key, &bytes).is_ok().then_some(head));
        }
    }
    assert_eq!(Vec::from_iter(read), [0x10, 0x12, 0x14, 0x15]);
}

proptest! {
    // Each case signs three requests.
    #![proptest_config(cases(40))]

    #[test]
    fn a_request_is_signed_over_what_is_sent(
        content in "[ -~]{1,40}|.{1,40}", url in "https://[a-z]{1,9}/[ -~]{0,20}", now in any::<u64>()
    ) {
        params::request(&content, &url, UnixMillis(now));
    }
}
