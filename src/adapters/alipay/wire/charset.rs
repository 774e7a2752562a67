//! The two charsets of the gateway, both ways.
//!
//! Source: Alipay open platform, public parameter `charset`. Requests are in the charset that
//! their parameter names; answers are too, but for some errors of the gateway itself, which come
//! in GBK whatever was asked for.

use std::borrow::Cow;

use encoding_rs::GBK;

/// A charset of requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, ASCII included.
    Utf8,
    /// GBK, ASCII included.
    Gbk,
}

/// A character that the charset does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} has no character U+{:04X}", charset.as_str(), u32::from(*character))]
pub struct NoSuchCharacter {
    /// The first one of the text.
    pub character: char,
    /// Who has it not.
    pub charset: Charset,
}

impl Charset {
    /// Returns the value of the parameter `charset`: `utf-8` or `gbk`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Gbk => "gbk",
        }
    }

    /// Returns the `Content-Type` of a form in this charset.
    #[must_use]
    pub const fn form_content_type(self) -> &'static str {
        match self {
            Self::Utf8 => "application/x-www-form-urlencoded;charset=utf-8",
            Self::Gbk => "application/x-www-form-urlencoded;charset=gbk",
        }
    }

    /// Returns the text's bytes in this charset.
    ///
    /// # Errors
    ///
    /// [`NoSuchCharacter`]; nothing is ever replaced by a question mark or a `&#...;`.
    pub fn encode(self, text: &str) -> Result<Cow<'_, [u8]>, NoSuchCharacter> {
        match self {
            Self::Utf8 => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Gbk => match text.chars().find(|&character| !is_in_gbk(character)) {
                Some(character) => Err(NoSuchCharacter {
                    character,
                    charset: self,
                }),
                None => Ok(GBK.encode(text).0),
            },
        }
    }

    /// Returns the text of well-formed bytes; `None` for any others.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Gbk => GBK.decode_without_bom_handling_and_without_replacement(bytes),
        }
    }

    /// Returns the charset that bytes are in: this one if they are well-formed in it, else the
    /// other; `None` when they are in neither. A text may be well-formed in both, so the charset
    /// that was asked for is looked at first.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> Option<Self> {
        let other = match self {
            Self::Utf8 => Self::Gbk,
            Self::Gbk => Self::Utf8,
        };
        [self, other]
            .into_iter()
            .find(|charset| bytes.is_ascii() || charset.decode(bytes).is_some())
    }
}

/// Tells whether a character is one that every decoder of GBK reads back.
///
/// The encoder at hand is that of browsers, whose GBK has some 2,000 characters more than Java's:
/// the euro sign, those for private use, and those that GB 18030 added later. Java, in which
/// Alipay's gateway is written, may read a question mark instead.
fn is_in_gbk(character: char) -> bool {
    if character.is_ascii() {
        return true;
    }
    if matches!(
        character,
        '\u{1f9}'
            | '\u{1e3f}'
            | '\u{20ac}'
            | '\u{2e80}'..='\u{2fff}'
            | '\u{303e}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{9fa6}'..='\u{9fff}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fe10}'..='\u{fe19}'
    ) {
        return false;
    }
    let mut utf8 = [0; 4];
    let (_, _, unmappable) = GBK.encode(character.encode_utf8(&mut utf8));
    !unmappable
}

#[cfg(test)]
mod tests {
    use super::{Charset, is_in_gbk};
    use proptest::prelude::*;

    #[test]
    fn gbk_has_the_characters_of_the_standard_and_no_others() {
        // As the codec `gbk` of Python counts them; private use and later additions left out.
        let beyond_ascii = ('\u{80}'..=char::MAX).filter(|c| is_in_gbk(*c)).count();
        assert_eq!(beyond_ascii, 21_791);
    }

    #[test]
    fn texts_are_written_or_refused_and_never_replaced() {
        let rows: [(&str, Result<&[u8], char>); 9] = [
            ("", Ok(b"")),
            ("a&=\\", Ok(b"a&=\\")),
            ("红包", Ok(&[0xba, 0xec, 0xb0, 0xfc])),
            ("ⅰ—・", Err('・')),
            ("ⅰ—·", Ok(&[0xa2, 0xa1, 0xa1, 0xaa, 0xa1, 0xa4])),
            ("镕囍", Ok(&[0xe9, 0x46, 0x87, 0xd6])),
            ("5 €", Err('€')),
            ("红包🧧", Err('🧧')),
            ("Ŝ?", Err('Ŝ')),
        ];
        for (text, expected) in rows {
            let written = Charset::Gbk.encode(text);
            let written = written.as_deref().map_err(|error| error.character);
            assert_eq!(written, expected, "{text}");
        }
        let error = Charset::Gbk.encode("🧧").unwrap_err();
        assert_eq!(error.to_string(), "gbk has no character U+1F9E7");
    }

    #[test]
    fn the_charset_that_was_asked_for_is_believed_first() {
        let [utf8, gbk] = [Charset::Utf8, Charset::Gbk];
        // 通 in GBK is well-formed UTF-8 too; 联 before it is not.
        let both = [0xc1, 0xaa, 0xcd, 0xa8];
        let ambiguous = gbk.encode("通").unwrap();
        for (asked, bytes, charset) in [
            (utf8, "红包".as_bytes(), Some(utf8)),
            (gbk, "红\"".as_bytes(), Some(utf8)),
            (utf8, &[0xba, 0xec][..], Some(gbk)),
            (gbk, &[0xba, 0xec], Some(gbk)),
            (utf8, &*ambiguous, Some(utf8)),
            (gbk, &*ambiguous, Some(gbk)),
            (utf8, &both, Some(gbk)),
            (utf8, &[0xff, 0xff], None),
            (gbk, &[0xff, 0xff], None),
            (gbk, b"{}", Some(gbk)),
        ] {
            assert_eq!(asked.of(bytes), charset, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(text in any::<String>()) {
            for charset in [Charset::Utf8, Charset::Gbk] {
                if let Ok(bytes) = charset.encode(&text) {
                    let read = charset.decode(&bytes);
                    prop_assert_eq!(read.as_deref(), Some(text.as_str()));
                }
            }
        }
    }
}
