//! Amounts, durations and instants: accepted exactly when the documents' grammar says so.

use std::path::Path;

use hongbaod::adapters::alipay::wire::{parse_timestamp_gmt8, timestamp_gmt8};
use hongbaod::app::config::Config;
use hongbaod::domain::ident::PayTimeout;
use hongbaod::domain::money::Fen;
use hongbaod::domain::time::format_duration;

/// 100,000,000.00 yuan in fen. Source: Alipay fund.coupon, `amount`.
const FEN_MAX: u64 = 10_000_000_000;

/// What a configuration needs before it is accepted.
const APP: &str = "[alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"k\"\n\
                   alipay_public_key = \"k\"\n";

/// Checks a text that may be an amount, a duration or an instant.
pub fn check(text: &str) {
    amount(text);
    pay_timeout(text);
    duration(text);
    if let Ok(unix_millis) = parse_timestamp_gmt8(text) {
        assert_eq!(timestamp_gmt8(unix_millis), text);
    }
}

fn amount(text: &str) {
    let of_job = Fen::parse_yuan(text).ok();
    assert_eq!(of_job.map(Fen::get), job_by_the_documents(text), "{text:?}");
    let of_answer = Fen::parse_answer(text).ok();
    let expected = answer_by_the_documents(text);
    assert_eq!(of_answer.map(Fen::get), expected, "{text:?}");
    if let Some(amount) = of_answer {
        let written = amount.to_string();
        assert_eq!(Fen::parse_yuan(&written), Ok(amount));
        assert_eq!(job_by_the_documents(&written), expected, "{written}");
        let zeros = written.starts_with('0') && !written.starts_with("0.");
        assert!(!zeros, "{written} has leading zeros");
    }
}

/// The fen of `^[0-9]+\.[0-9]{2}$` from 0.01 to 100000000.00.
fn job_by_the_documents(text: &str) -> Option<u64> {
    let point = text.len().checked_sub(3)?;
    (text.as_bytes().get(point) == Some(&b'.')).then_some(())?;
    answer_by_the_documents(text)
}

/// The fen of `^[0-9]+(\.[0-9]{1,2})?$` from 0.01 to 100000000.00.
pub fn answer_by_the_documents(text: &str) -> Option<u64> {
    let (whole, decimals) = match text.find('.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, "00"),
    };
    if whole.is_empty() || decimals.is_empty() || decimals.len() > 2 {
        return None;
    }
    let digits = format!("{whole}{decimals:0<2}");
    let in_range = digits.trim_start_matches('0').len() <= 11;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !in_range {
        return None;
    }
    // At most eleven digits that count, so no sum can overflow.
    let fen = digits
        .bytes()
        .fold(0_u64, |fen, digit| fen * 10 + u64::from(digit - b'0'));
    (1..=FEN_MAX).contains(&fen).then_some(fen)
}

fn pay_timeout(text: &str) {
    let minutes = number_and_unit(text, &[("m", 1), ("h", 60), ("d", 1_440)]);
    let short = (2..=5).contains(&text.len());
    let expected = short && minutes.is_some_and(|minutes| (1..=10_080).contains(&minutes));
    assert_eq!(PayTimeout::new(text).is_ok(), expected, "{text:?}");
}

/// Checks a duration where one is configured: there is no shorter way in.
fn duration(text: &str) {
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let variable = "HONGBAOD__LEDGER__RETENTION".to_owned();
    let environment = std::iter::once((variable, text.to_owned()));
    let read = Config::parse(APP, Path::new("none/config.toml"), environment)
        .ok()
        .map(|config| config.ledger.retention);
    let days = 86_400_000;
    let expected = number_and_unit(text, &units).filter(|ms| (3 * days..=365 * days).contains(ms));
    let read_ms = read.map(|duration| duration.as_millis());
    assert_eq!(read_ms, expected.map(u128::from), "{text:?}");
    if let Some(retention) = read {
        let written = format_duration(retention);
        assert_eq!(number_and_unit(&written, &units), expected, "{written}");
    }
}

/// The value of `^[0-9]+UNIT$`; `None` also when it is far too large for anything.
fn number_and_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_starts_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_starts_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let significant = number.trim_start_matches('0');
    if number.is_empty() || significant.len() > 12 {
        return None;
    }
    let number = significant
        .bytes()
        .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    number.checked_mul(*factor)
}
