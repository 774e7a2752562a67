//! One line of the audit log, and what chains it to the line before. Pure.
//!
//! ```text
//! {"seq":7,"time":"…","replica":"…","what":"settled","data":{…},"prev":"64 hex digits","hash":"64 hex digits"}
//! ```
//!
//! `hash` is the SHA-256 of the line's own bytes without `,"hash":"…"` and without the line feed:
//! what `jq -cj 'del(.hash)'` prints. `prev` is the `hash` of the line before, and 64 zeros in the
//! first line of all. No text in a line has control characters, so that every writer of JSON that
//! is compact spells it with the same bytes.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::app::job_body::rfc3339;
use crate::domain::time::UnixMillis;

/// Longest line, in bytes, with its line feed.
pub const LINE_BYTES_MAX: usize = 65_536;

/// How long the end of a line is, from the comma before `"hash"`.
const HASH_MEMBER_BYTES: usize = r#","hash":""#.len() + HEX_DIGITS + r#""}"#.len();

/// How long the member before it is, with its comma.
const PREV_MEMBER_BYTES: usize = r#","prev":""#.len() + HEX_DIGITS + r#"""#.len();

const HEX_DIGITS: usize = 64;

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first line of all names as the one before.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of any bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits in lower case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != HEX_DIGITS {
            return None;
        }
        let mut bytes = [0; 32];
        for (target, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *target = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A process began to write to the log.
    Opened,
    /// A process ended in good order.
    Closed,
    /// An outcome was written to the ledger.
    Settled,
    /// An operator is about to do something, or has done it.
    Operator,
    /// The file before this one was put aside.
    Rotated,
    /// Lines are missing that should be here.
    Gap,
    /// The bytes before this line are what a crash left of one.
    Torn,
}

impl What {
    /// The word in the line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Settled => "settled",
            Self::Operator => "operator",
            Self::Rotated => "rotated",
            Self::Gap => "gap",
            Self::Torn => "torn",
        }
    }
}

/// What is to become a line, without its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    at: UnixMillis,
    what: What,
    /// A JSON object.
    data: String,
}

impl Record {
    /// Makes a record of `data`, which must become a JSON object without control characters, with
    /// whole numbers below 2⁵³ alone.
    #[must_use]
    pub fn new<T: Serialize>(at: UnixMillis, what: What, data: &T) -> Self {
        // What cannot be written as JSON, which is nothing of ours, is left out.
        let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
        Self { at, what, data }
    }
}

/// The place of a line in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; the first line of all has 1.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Link {
    /// What the first line of all follows.
    pub const ORIGIN: Self = Self {
        seq: 0,
        hash: Hash::ZERO,
    };
}

/// Writes the line of `record` that follows `before`, with its line feed, and returns its place.
#[must_use]
pub fn render(before: &Link, replica: &str, record: &Record) -> (Vec<u8>, Link) {
    let seq = before.seq.saturating_add(1);
    let mut line = format!(
        "{{\"seq\":{seq},\"time\":\"{}\",\"replica\":{},\"what\":\"{}\",\"data\":{},\"prev\":\"{}\"}}",
        rfc3339(record.at),
        serde_json::Value::from(printable(replica)),
        record.what.as_str(),
        record.data,
        before.hash,
    );
    let hash = Hash::of(line.as_bytes());
    line.pop();
    line.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
    (line.into_bytes(), Link { seq, hash })
}

/// A line as it is found, whether or not it is right.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    /// The place that it claims.
    pub link: Link,
    /// What it claims to follow.
    pub prev: Hash,
    /// The line up to the comma before `"hash"`.
    hashed: &'a [u8],
    line: &'a [u8],
}

impl<'a> Parsed<'a> {
    /// Takes a line without its line feed apart; `None` if it has not the form of one.
    #[must_use]
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let (hashed, hash) = line.split_at_checked(line.len().checked_sub(HASH_MEMBER_BYTES)?)?;
        let hash = hash.strip_prefix(br#","hash":""#)?.strip_suffix(br#""}"#)?;
        let prev = hashed.get(hashed.len().checked_sub(PREV_MEMBER_BYTES)?..)?;
        let prev = prev.strip_prefix(br#","prev":""#)?.strip_suffix(br#"""#)?;
        let rest = line.strip_prefix(br#"{"seq":"#)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let seq = std::str::from_utf8(rest.get(..digits)?)
            .ok()?
            .parse()
            .ok()?;
        Some(Self {
            link: Link {
                seq,
                hash: Hash::parse(hash)?,
            },
            prev: Hash::parse(prev)?,
            hashed,
            line,
        })
    }

    /// Whether its hash is that of its bytes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut hasher = Sha256::new();
        hasher.update(self.hashed);
        hasher.update(b"}");
        let hash: [u8; 32] = hasher.finalize().into();
        self.link.hash == Hash(hash)
    }

    /// Its members; `None` if it is no JSON object with `what` and `data`.
    #[must_use]
    pub fn content(&self) -> Option<Content> {
        let mut object: serde_json::Value = serde_json::from_slice(self.line).ok()?;
        Some(Content {
            what: object.get("what")?.as_str()?.to_owned(),
            data: object.get_mut("data")?.take(),
        })
    }
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The word of [`What`].
    pub what: String,
    /// The object `data`.
    pub data: serde_json::Value,
}

/// Replaces control characters, which JSON's writers spell differently.
pub(super) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Hash, Link, Parsed, Record, What, printable, render};
    use crate::domain::time::UnixMillis;

    #[test]
    fn a_line_has_its_members_in_order_and_the_hash_of_what_is_before_it() {
        let at = UnixMillis(1_795_312_801_234);
        let record = Record::new(at, What::Gap, &json!({"lost": 3}));
        let (line, link) = render(&Link::ORIGIN, "pod-1/7", &record);
        let zeros = "0".repeat(64);
        let hashed = format!(
            "{{\"seq\":1,\"time\":\"2026-11-22T10:00:01.234+08:00\",\"replica\":\"pod-1/7\",\
             \"what\":\"gap\",\"data\":{{\"lost\":3}},\"prev\":\"{zeros}\"}}"
        );
        let hash = Hash::of(hashed.as_bytes());
        let whole = format!("{},\"hash\":\"{hash}\"}}\n", hashed.trim_end_matches('}'));
        // The inner object ends with a brace, too, but not the hashed text's last member.
        assert_eq!(String::from_utf8(line.clone()).unwrap(), whole);
        assert_eq!(link, Link { seq: 1, hash });
        let parsed = Parsed::read(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(parsed.is_sound());
        assert_eq!((parsed.link, parsed.prev), (link, Hash::ZERO));
        let content = parsed.content().unwrap();
        assert_eq!(
            (content.what.as_str(), &content.data["lost"]),
            ("gap", &json!(3))
        );
    }

    #[test]
    fn a_hash_is_64_digits_in_lower_case() {
        let hash = Hash::of(b"abc");
        let text = hash.to_string();
        assert!(text.starts_with("ba7816bf"), "{text}");
        assert_eq!(Hash::parse(text.as_bytes()), Some(hash));
        for bad in [&text[1..], &text.to_uppercase(), &text.replace('b', "g")] {
            assert_eq!(Hash::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn no_control_character_is_left_to_be_spelled_in_two_ways() {
        assert_eq!(printable("a\n\u{7f}\u{85}\u{1b}红"), "a????红");
    }
}
