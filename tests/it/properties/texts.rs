//! Amounts, durations, forms, configurations, keys and ledger values: cases with structure, which
//! bytes alone would hardly hit.

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::redis_ledger::value::{Indexed, decode, encode};
use hongbaod::domain::time::UnixMillis;
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::cases;
use super::checks::{config, key_text, ledger_value, money, params};
use crate::ledger_entries;

/// Texts around what an amount, a duration or an instant is.
fn numbers() -> BoxedStrategy<String> {
    prop_oneof![
        "[0-9]{1,12}\\.[0-9]{1,3}",
        "0{0,30}[0-9]{1,11}(\\.[0-9]{0,2})?",
        "[+-]?[0-9]{0,3}[.,]?[0-9]{0,2}(e[0-9])?",
        "[0-9]{0,9}(ms|s|m|h|d|M| m|)",
        "0{0,20}[0-9]{1,20}[smhd]",
        "[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
        "[０-９٠-٩0-9.]{1,6}",
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
    ("log", &["level", "x y"]),
];

/// A value, right or wrong for its key.
fn config_values() -> BoxedStrategy<String> {
    let secret = config::SECRET;
    let url = move |scheme: &str, rest: &str| format!("[\"{scheme}://u:{secret}@{rest}\"]");
    prop_oneof![
        2 => numbers().prop_map(|text| format!("\"{text}\"")),
        2 => numbers(),
        4 => Just(format!("\"{secret}\"")),
        1 => Just("\"2021000000000000\"".to_owned()),
        1 => Just("\"\"\"\n\"\"\"".to_owned()),
        1 => Just("\"memory:\"".to_owned()),
        1 => Just(url("redis", "127.0.0.1:1/0")),
        1 => Just(url("amqp", "h")),
        1 => Just(url("amqp", "")),
        1 => Just("{ disburse = 1, x = 2 }".to_owned()),
        1 => Just("[]".to_owned()),
        1 => "[0-9]{1,300}(\\.[0-9]{1,300})?",
    ]
    .boxed()
}

/// A table with some of its keys, in any order, some of them twice.
fn tables() -> BoxedStrategy<String> {
    let app = prop_oneof![4 => Just("main".to_owned()), 1 => "[a-z]{1,3}|\"[A-Z ]{1,90}\""];
    let lines = vec((any::<usize>(), config_values()), 0..5);
    (0..TABLES.len(), app, lines)
        .prop_map(|(table, app, lines)| {
            let (name, keys) = TABLES[table];
            let mut text = format!("[{}]\n", name.replace('*', &app));
            for (key, value) in lines {
                text.push_str(&format!("{} = {value}\n", keys[key % keys.len()]));
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
    fn configurations_are_read_or_refused_without_telling_secrets(
        tables in vec(tables(), 0..6), variables in vec("HONGBAOD__(LEDGER__LEASE|REDIS__URL|REDIS__URLS|ALIPAY__APPS__MAIN__APP_ID|LOG|X)=[ -~]{0,60}", 0..3)
    ) {
        config::check(&format!("{}\0{}", tables.concat(), variables.join("\n")));
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
