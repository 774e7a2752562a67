//! What operators do, written down before it is done, and again with its result.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::app::audit::line::{Link, Record, What, printable};
use crate::app::audit::{journal, journal::Journal, who};
use crate::app::config::Config;
use crate::app::wall_clock;
use crate::domain::ident::LogonId;
use crate::ports::audit::AuditError;

/// Longest text of an operator that is written down, in characters.
const TEXT_CHARACTERS_MAX: usize = 500;

/// How many digits an Alipay user id has. Source: Alipay fund.coupon, `payee_user_id`.
const USER_ID_DIGITS: usize = 16;

/// What an operator is about to do.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// The command's words, such as `dead replay`.
    pub command: &'a str,
    /// The job that it is about, where it is one.
    pub out_request_no: Option<&'a str>,
    /// The other arguments by name, without secrets. People in them are masked.
    pub arguments: &'a [(&'a str, &'a str)],
    /// Why, in the operator's words. People in them are masked.
    pub reason: Option<&'a str>,
}

/// An action that the log holds; of nothing where no log is configured.
#[must_use = "the log waits for the action's result"]
pub struct Begun(Option<Written>);

/// What the second line needs of the first.
struct Written {
    journal: Journal,
    seq: u64,
    out_request_no: Option<String>,
}

/// Writes down what an operator is about to do; whoever calls this does it only afterwards, and
/// then tells the result by [`Begun::ended`]. Where no log is configured nothing is written.
///
/// # Errors
///
/// [`AuditError`]: the log does not hold it for certain, so it must not be done.
pub fn operator(config: &Config, action: &Action<'_>) -> Result<Begun, AuditError> {
    let Some(mut journal) = journal(&config.audit) else {
        return Ok(Begun(None));
    };
    let out_request_no = action.out_request_no.map(text);
    let data = json!({
        "state": "begun",
        "who": who::operator(),
        "command": text(action.command),
        "out_request_no": out_request_no,
        "arguments": arguments(action.arguments),
        "reason": action.reason.map(|reason| masked(&text(reason))),
    });
    let Link { seq, .. } = write(&mut journal, &data)?;
    Ok(Begun(Some(Written {
        journal,
        seq,
        out_request_no,
    })))
}

impl Begun {
    /// Writes down what came of it, such as `done`, or what went wrong.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: it was done, and the log does not say what came of it.
    pub fn ended(self, result: &str) -> Result<(), AuditError> {
        let Some(mut begun) = self.0 else {
            return Ok(());
        };
        let data = json!({
            "state": "ended",
            "begun": begun.seq,
            "out_request_no": begun.out_request_no,
            "result": masked(&text(result)),
        });
        write(&mut begun.journal, &data).map(|_| ())
    }
}

fn write(journal: &mut Journal, data: &Value) -> Result<Link, AuditError> {
    let now = wall_clock::now();
    let mut records = VecDeque::from([Record::new(now, What::Operator, data)]);
    journal.append(now, &mut records)
}

fn arguments(given: &[(&str, &str)]) -> Map<String, Value> {
    let argument = |(name, value): &(&str, &str)| (text(name), Value::from(masked(&text(value))));
    given.iter().map(argument).collect()
}

fn text(text: &str) -> String {
    let start: String = text.chars().take(TEXT_CHARACTERS_MAX).collect();
    printable(&start)
}

/// Masks whatever looks like a person: user ids of Alipay, e-mail addresses, mobile numbers.
fn masked(text: &str) -> String {
    let words = text.split_inclusive([' ', ',', ';', '=', ':', '(', ')', '<', '>', '"']);
    words
        .map(|word| {
            let end = word.trim_end_matches([' ', ',', ';', '=', ':', '(', ')', '<', '>', '"']);
            let rest = word.get(end.len()..).unwrap_or_default();
            match masked_word(end) {
                Some(masked) => format!("{masked}{rest}"),
                None => word.to_owned(),
            }
        })
        .collect()
}

fn masked_word(word: &str) -> Option<String> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits && word.len() == USER_ID_DIGITS && word.starts_with("2088") {
        return Some(format!("2088****{}", word.get(12..)?));
    }
    // Source: mobile numbers in mainland China have 11 digits and begin with 1.
    let is_mobile = digits && word.len() == 11 && word.starts_with('1');
    if word.contains('@') || is_mobile {
        let logon_id = LogonId::new(word).ok();
        return Some(logon_id.map_or_else(|| "****".to_owned(), |id| id.to_string()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn people_are_masked_and_nothing_else() {
        for (text, expected) in [
            (
                "paid to 2088102146225135, asked",
                "paid to 2088****5135, asked",
            ),
            ("mail=someone@example.com", "mail=som****.com"),
            ("call 13800000000 (again)", "call 138****0000 (again)"),
            ("小明@例子.中国", "****"),
            (
                "R202611220001 2026112200012 8.88",
                "R202611220001 2026112200012 8.88",
            ),
            ("", ""),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
