//! From a written value to a typed one. Pure; each function says what is wrong and what would be
//! right.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::app::config::document::RawValue;
use crate::domain::time::{format_duration, parse_duration};

/// What is wrong with a value, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) fault: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (fault, remedy) = (fault.into(), remedy.into());
        Self { fault, remedy }
    }
}

/// Longest text that a message quotes, in characters.
const QUOTED_CHARACTERS_MAX: usize = 40;

/// Reads a duration such as `"30s"`: a whole number and one of the units ms, s, m, h, d.
pub(super) fn duration(
    raw: &RawValue,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Fault> {
    let text = match raw {
        RawValue::Text(text) | RawValue::Variable(text) => text,
        RawValue::Integer(Some(number)) => return Err(no_unit(&number.to_string(), "")),
        RawValue::Float(number) => return Err(no_unit(number, "")),
        RawValue::Integer(None) | RawValue::List(_) | RawValue::Other(_) => {
            return Err(wrong_kind(raw, "a duration", "\"20s\""));
        }
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_unit(text, "\""));
    }
    let Some(value) = parse_duration(text) else {
        return Err(Fault::new(
            format!("{} is not a duration", quote(text)),
            "write a whole number and one of ms, s, m, h, d, for example \"20s\"",
        ));
    };
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (
        format_duration(*range.start()),
        format_duration(*range.end()),
    );
    Err(Fault::new(
        format!("{} is out of range", quote(text)),
        format!("write \"{low}\" to \"{high}\""),
    ))
}

/// Reads a whole number.
pub(super) fn number(raw: &RawValue, range: &RangeInclusive<u32>) -> Result<u32, Fault> {
    let (low, high) = (range.start(), range.end());
    let wanted = format!("write a whole number from {low} to {high}");
    let (number, shown) = match raw {
        RawValue::Integer(Some(number)) => (Some(*number), number.to_string()),
        RawValue::Integer(None) => (Some(i64::MAX), "the number".to_owned()),
        RawValue::Variable(text) => (text.parse::<i64>().ok(), quote(text)),
        RawValue::Text(_) | RawValue::Float(_) | RawValue::List(_) | RawValue::Other(_) => {
            return Err(Fault::new(format!("is {}", kind_of(raw)), wanted));
        }
    };
    let Some(number) = number else {
        return Err(Fault::new(format!("{shown} is not a whole number"), wanted));
    };
    let number = u32::try_from(number).ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| Fault::new(format!("{shown} is out of range"), wanted))
}

/// Reads a decimal number with at most three decimals as thousandths: `2.0` is 2,000.
pub(super) fn permille(raw: &RawValue, range: &RangeInclusive<u32>) -> Result<u32, Fault> {
    let text = match raw {
        RawValue::Float(text) => text.clone(),
        RawValue::Variable(text) => text.to_string(),
        RawValue::Integer(Some(number)) => number.to_string(),
        RawValue::Integer(None) | RawValue::Text(_) | RawValue::List(_) | RawValue::Other(_) => {
            return Err(wrong_kind(raw, "a number", "2.0"));
        }
    };
    let (low, high) = (
        format_permille(*range.start()),
        format_permille(*range.end()),
    );
    let wanted = format!("write {low} to {high}, with at most three decimals");
    let Some(value) = parse_permille(&text) else {
        let fault = format!("{} is not such a number", quote(&text));
        return Err(Fault::new(fault, wanted));
    };
    if range.contains(&value) {
        return Ok(value);
    }
    let shown = shown_number(&text);
    Err(Fault::new(format!("{shown} is out of range"), wanted))
}

fn parse_permille(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 3 {
        return None;
    }
    let thousandths: u32 = format!("{decimals:0<3}").parse().ok()?;
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(thousandths)
}

fn format_permille(value: u32) -> String {
    let text = format!("{}.{:03}", value.div_euclid(1_000), value.rem_euclid(1_000));
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') {
        return format!("{trimmed}0");
    }
    trimmed.to_owned()
}

/// Reads one of some words.
pub(super) fn word<T: Copy>(raw: &RawValue, words: &[(&str, T)]) -> Result<T, Fault> {
    let spelt: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let wanted = format!("write {}", spelt.join(" or "));
    let text = text(raw).map_err(|fault| Fault::new(fault.fault, wanted.clone()))?;
    let found = words.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| Fault::new(format!("{} is none of the words", quote(text)), wanted))
}

/// Reads text that is not empty.
pub(super) fn text(raw: &RawValue) -> Result<&str, Fault> {
    match raw {
        RawValue::Text(text) | RawValue::Variable(text) if text.trim().is_empty() => {
            Err(Fault::new("is empty", "write a value, or take the key out"))
        }
        RawValue::Text(text) | RawValue::Variable(text) => Ok(text),
        RawValue::Integer(_) | RawValue::Float(_) | RawValue::List(_) | RawValue::Other(_) => {
            let fault = format!("is {}, not text", kind_of(raw));
            Err(Fault::new(fault, "put it in double quotes"))
        }
    }
}

/// Reads a list of texts, none of them empty; a variable separates them by commas.
pub(super) fn list(raw: &RawValue) -> Result<Vec<String>, Fault> {
    let wanted = || "write [\"one\", \"two\"] (in a variable: one,two)";
    let items: Vec<String> = match raw {
        RawValue::Variable(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        RawValue::List(items) => {
            let texts: Result<Vec<&str>, Fault> = items.iter().map(text).collect();
            let texts = texts.map_err(|fault| {
                Fault::new(format!("one of the list {}", fault.fault), wanted())
            })?;
            texts.into_iter().map(str::to_owned).collect()
        }
        RawValue::Text(_) | RawValue::Integer(_) | RawValue::Float(_) | RawValue::Other(_) => {
            let fault = format!("is {}, not a list", kind_of(raw));
            return Err(Fault::new(fault, wanted()));
        }
    };
    if items.iter().any(String::is_empty) {
        return Err(Fault::new("one of the list is empty", wanted()));
    }
    Ok(items)
}

/// Reads an address to listen on.
pub(super) fn address(raw: &RawValue) -> Result<SocketAddr, Fault> {
    let text = text(raw)?;
    let wanted = "write ip:port, for example \"127.0.0.1:9464\" or \"[::1]:9464\"";
    let parsed = text.parse::<SocketAddr>().ok();
    parsed.ok_or_else(|| Fault::new(format!("{} is not an address", quote(text)), wanted))
}

/// Reads the URL of a web server: `http://` or `https://`, a host, no user and no query.
pub(super) fn web_url(raw: &RawValue) -> Result<String, Fault> {
    let text = text(raw)?;
    let rest = text.strip_prefix("https://");
    let rest = rest.or_else(|| text.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split('/').next());
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && !text.contains(['?', '#', '@']) && authority.is_some_and(is_authority) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!("{} is not such a URL", quote(text)),
        "write http:// or https://, a host and a path, without user, query or fragment",
    ))
}

/// Tells whether the text is `host` or `host:port`, with an IPv6 address in brackets.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            !host.is_empty() && host.bytes().all(allowed)
        }
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Quotes a value for a message, unless it looks like something that should not be read there:
/// a URL with a password, a key, a token.
pub(super) fn quote(text: &str) -> String {
    let length = text.chars().count();
    if length > QUOTED_CHARACTERS_MAX || text.contains(['@', '\n']) || text.contains("-----") {
        return format!("the value ({length} characters)");
    }
    format!("{text:?}")
}

/// Cuts a name off where it gets too long for a message.
pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= QUOTED_CHARACTERS_MAX.saturating_mul(2) {
        return text.escape_debug().to_string();
    }
    let start: String = text.chars().take(QUOTED_CHARACTERS_MAX).collect();
    format!("{}...", start.escape_debug())
}

/// Shows a number as it was written, unless it is too long for a message.
fn shown_number(number: &str) -> String {
    if number.len() > QUOTED_CHARACTERS_MAX {
        return quote(number);
    }
    number.to_owned()
}

fn no_unit(number: &str, quotes: &str) -> Fault {
    if number.len() > QUOTED_CHARACTERS_MAX {
        let fault = format!("{} has no unit", quote(number));
        return Fault::new(fault, "write for example \"20s\"");
    }
    Fault::new(
        format!("{quotes}{number}{quotes} has no unit"),
        format!("write for example \"{number}s\""),
    )
}

fn wrong_kind(raw: &RawValue, wanted: &str, example: &str) -> Fault {
    let fault = format!("is {}, not {wanted}", kind_of(raw));
    Fault::new(fault, format!("write for example {example}"))
}

fn kind_of(raw: &RawValue) -> &'static str {
    match raw {
        RawValue::Text(_) | RawValue::Variable(_) => "text",
        RawValue::Integer(_) => "a whole number",
        RawValue::Float(_) => "a number",
        RawValue::List(_) => "a list",
        RawValue::Other(kind) => kind,
    }
}
