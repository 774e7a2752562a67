//! Regular expressions of what the domain's types accept.
//!
//! They use only what ECMA 262, Java, Python, .NET and RE2 (Go, Rust) read alike: no look-around, no
//! `\d` and no `\u`.

use crate::app::job_body::SECOND_DECIMALS_MAX;
use crate::domain::ident::{PayTimeout, ReturnUrl};
use crate::domain::money::Fen;

/// Texts without control characters. Source: `char::is_control`, Unicode's category Cc.
pub(super) const NO_CONTROLS: &str = r"^[^\x00-\x1F\x7F-\x9F]*$";

/// Texts of the characters of one class.
pub(super) fn of_class(alphabet: &str) -> String {
    format!("^[{alphabet}]+$")
}

/// Yuan with two decimals, from one fen to [`Fen::MAX`], without zeros before them.
pub(super) fn amount() -> String {
    format!("^(?:{})$", yuan())
}

/// As [`amount`], with zeros before it too: jobs may be spelled so.
pub(super) fn amount_with_zeros() -> String {
    format!("^0*(?:{})$", yuan())
}

fn yuan() -> String {
    let whole = Fen::MAX / 100;
    let below = up_to(whole.saturating_sub(1));
    format!(r"{whole}\.00|(?:{below})\.[0-9]{{2}}|0\.(?:0[1-9]|[1-9][0-9])")
}

/// Times to pay: each unit with as many as make [`PayTimeout::MINUTES_MAX`], zeros before them.
pub(super) fn pay_timeout() -> String {
    let digits = u32::try_from(PayTimeout::DIGITS_MAX).unwrap_or(u32::MAX);
    let most = 10_u64.saturating_pow(digits).saturating_sub(1);
    let units = PayTimeout::UNITS.map(|(unit, minutes)| {
        let count = PayTimeout::MINUTES_MAX.checked_div(minutes).unwrap_or(0);
        format!("(?:{}){unit}", up_to(u64::from(count).min(most)))
    });
    format!("^0*(?:{})$", units.join("|"))
}

/// Web addresses with a host.
pub(super) fn return_url() -> String {
    let (all, mut first) = (ReturnUrl::ALPHABET, String::new());
    // The class of all printable characters, with gaps where a host never begins.
    let mut begin = b'!';
    for byte in b'!'..=b'~' {
        if ReturnUrl::NO_HOSTS.contains(&char::from(byte)) {
            push_range(&mut first, begin, byte.saturating_sub(1));
            begin = byte.saturating_add(1);
        }
    }
    push_range(&mut first, begin, b'~');
    format!("^https?://[{first}][{all}]*$")
}

fn push_range(class: &mut String, begin: u8, end: u8) {
    if begin <= end {
        class.push(char::from(begin));
        if begin < end {
            class.push('-');
            class.push(char::from(end));
        }
    }
}

/// RFC 3339, whose days the format `date-time` checks.
pub(super) fn instant() -> String {
    let (date, hours, sixty) = (
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "(?:[01][0-9]|2[0-3])",
        "[0-5][0-9]",
    );
    format!(
        r"^{date}[Tt]{hours}:{sixty}:{sixty}(?:\.[0-9]{{1,{SECOND_DECIMALS_MAX}}})?(?:[Zz]|[+-]{hours}:{sixty})$"
    )
}

/// The numbers from 1 to `max`, without zeros before them.
fn up_to(max: u64) -> String {
    let digits = max.to_string();
    let last = digits.len().saturating_sub(1);
    if digits.bytes().all(|digit| digit == b'9') {
        return shorter_than(digits.len().saturating_add(1));
    }
    let mut choices = Vec::new();
    if last > 0 {
        choices.push(shorter_than(digits.len()));
    }
    // Of the same length: the same up to a place, and smaller there; or equal, at the last one.
    for (place, digit) in digits.bytes().enumerate() {
        let lowest = if place == 0 { b'1' } else { b'0' };
        let highest = if place == last {
            digit
        } else {
            digit.saturating_sub(1)
        };
        if highest >= lowest {
            let (same, rest) = digits.split_at(place);
            let any = match rest.len().saturating_sub(1) {
                0 => String::new(),
                1 => "[0-9]".to_owned(),
                more => format!("[0-9]{{{more}}}"),
            };
            let (lowest, highest) = (char::from(lowest), char::from(highest));
            choices.push(format!("{same}[{lowest}-{highest}]{any}"));
        }
    }
    choices.join("|")
}

/// The numbers with fewer digits than so many.
fn shorter_than(digits: usize) -> String {
    match digits {
        0..=2 => "[1-9]".to_owned(),
        digits => format!("[1-9][0-9]{{0,{}}}", digits.saturating_sub(2)),
    }
}
