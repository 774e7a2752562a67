//! Alipay's texts for people, made fit for ledgers, events and logs.

use crate::domain::ident::LogonId;
use crate::domain::verdict::Refusal;

/// The most characters of a code that is handed on.
const CODE_CHARS_MAX: usize = 64;

/// Returns `sub_msg` for people: on one line, without Alipay's HTML-escaped help text, logon ids
/// masked, at most [`Refusal::MESSAGE_CHARS_MAX`] characters; `None` when nothing is left.
#[must_use]
pub fn display_message(sub_msg: &str) -> Option<String> {
    let mut message = String::with_capacity(sub_msg.len().min(480));
    for piece in pieces(without_help(sub_msg)) {
        match logon_id(piece) {
            Some(logon_id) => message.push_str(&logon_id.to_string()),
            None => message.extend(piece.chars().filter(|c| !c.is_control())),
        }
    }
    let message: String = message
        .trim()
        .chars()
        .take(Refusal::MESSAGE_CHARS_MAX)
        .collect();
    (!message.is_empty()).then_some(message)
}

/// Returns a code of an answer as it may be stored and shown: printable ASCII, 64 characters.
#[must_use]
pub fn code(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(CODE_CHARS_MAX)
        .collect()
}

/// Cuts where markup begins. Source: answers to a wrong signature quote the whole string to sign
/// with `&amp;` and `&quot;`, and a link to the help pages after it.
fn without_help(text: &str) -> &str {
    let entity = text.match_indices('&').map(|(at, _)| at).find(|&at| {
        let after = text.get(at + 1..).unwrap_or_default();
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        end.is_some_and(|end| end > 0 && after[end..].starts_with(';'))
    });
    let markup = text.find('<');
    let end = match (entity, markup) {
        (Some(entity), Some(markup)) => entity.min(markup),
        (Some(end), None) | (None, Some(end)) => end,
        (None, None) => text.len(),
    };
    text.get(..end).unwrap_or_default()
}

/// Splits into words that may be logon ids, and what is between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let of_logon_id =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '+' | '-');
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let inside = of_logon_id(first);
        let end = rest
            .find(|c| of_logon_id(c) != inside)
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// An e-mail address, or a mobile number of mainland China.
fn logon_id(word: &str) -> Option<LogonId> {
    // A full stop after it, and the country's number before it, are no part of it.
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let national = word
        .strip_prefix("86")
        .map_or(word, |rest| rest.trim_start_matches('-'));
    let is_mobile = |word: &str| {
        word.len() == 11 && word.starts_with('1') && word.bytes().all(|b| b.is_ascii_digit())
    };
    let mobile = is_mobile(word) || is_mobile(national);
    let word = if mobile && !is_mobile(word) {
        national
    } else {
        word
    };
    if mobile || word.contains('@') {
        // Longer than a logon id can be: masked to nothing but asterisks.
        LogonId::new(word).or_else(|_| LogonId::new("@")).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{code, display_message};
    use proptest::prelude::*;

    #[test]
    fn messages_are_cut_to_what_people_need() {
        let long = "红".repeat(300);
        let cut = "红".repeat(120);
        let quoting = "验签出错，网关生成的验签字符串为：app_id=2021&amp;biz_content={&quot;payee";
        for (sub_msg, message) in [
            ("收款用户不存在", Some("收款用户不存在")),
            ("a\r\nb\tc\u{7f}", Some("abc")),
            ("", None),
            (" \n", None),
            (
                quoting,
                Some("验签出错，网关生成的验签字符串为：app_id=2021"),
            ),
            ("失败 <a href=\"x\">帮助</a>", Some("失败")),
            ("&lt;html&gt;", None),
            ("&#60;html", None),
            ("R&D; 红包 & 打款", Some("R")),
            ("红包 & 打款", Some("红包 & 打款")),
            (&long, Some(cut.as_str())),
            ("13800000000的账户", Some("138****0000的账户")),
            ("payee 13800000000.", Some("payee 138****0000")),
            ("账户+86-13800000000", Some("账户138****0000")),
            ("账户8613800000000", Some("账户138****0000")),
            ("账户 someone@example.com!", Some("账户 som****.com!")),
            (
                "用户2088102146225135不存在",
                Some("用户2088102146225135不存在"),
            ),
        ] {
            assert_eq!(display_message(sub_msg).as_deref(), message, "{sub_msg:?}");
        }
    }

    #[test]
    fn codes_are_short_and_printable() {
        assert_eq!(code("ACQ.SYSTEM_ERROR"), "ACQ.SYSTEM_ERROR");
        assert_eq!(code("a b\n码c"), "abc");
        assert_eq!(code(&"x".repeat(100)).len(), 64);
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_short_line(text in any::<String>()) {
            if let Some(message) = display_message(&text) {
                prop_assert!((1..=120).contains(&message.chars().count()));
                prop_assert!(!message.chars().any(char::is_control));
            }
        }
    }
}
