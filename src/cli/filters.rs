//! The words by which operators choose among jobs.

use std::time::Duration;

use crate::app::unsettled::Fact;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::Kind;
use crate::domain::time::parse_duration;

/// A job's `out_request_no`.
pub(crate) fn number(text: &str) -> Result<MerchantNo, String> {
    MerchantNo::new(text).map_err(|error| error.to_string())
}

/// An app's name.
pub(crate) fn app(text: &str) -> Result<AppName, String> {
    AppName::new(text).map_err(|error| error.to_string())
}

/// A kind of jobs.
pub(crate) fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| format!("must be one of {}", Kind::words()))
}

/// A length of time.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let expected = "must be a number with ms, s, m, h or d behind it, such as 30m";
    parse_duration(text).ok_or_else(|| expected.to_owned())
}

/// What is known of an unsettled job.
pub(crate) fn fact(text: &str) -> Result<Fact, String> {
    let words = || Fact::ALL.map(Fact::as_str).join(", ");
    Fact::parse(text).ok_or_else(|| format!("must be one of {}", words()))
}

/// Why a message is a dead letter. Other versions of the daemon and of RabbitMQ have other words.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.is_empty() || text.len() > 40 || !text.chars().all(is_word) {
        return Err("must be a word of a-z, 0-9 and _, such as invalid".to_owned());
    }
    Ok(text.to_owned())
}
