//! Knobs for the form of answers that are otherwise true.

use serde::{Deserialize, Serialize};

/// How true answers are written. Each form was seen, and a client must take them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerKnobs {
    /// How a slash in a text is written.
    pub slashes: Slashes,
    /// Whether there are blanks and new lines between the members.
    pub whitespace: Whitespace,
    /// Whether the node has a member `sign` of its own, and a text that looks like one.
    pub inner_sign: InnerSign,
    /// The charset of error answers.
    pub errors: ErrorCharset,
    /// Whether an answer that was given before is signed anew.
    pub signatures: Signatures,
}

/// How a slash in a text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slashes {
    /// `/`
    #[default]
    Plain,
    /// `\/`, and signed so.
    Escaped,
    /// `\/`, but signed as `/`.
    EscapedAfterSigning,
}

/// Whether there are blanks and new lines between the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whitespace {
    /// None.
    #[default]
    Compact,
    /// As written for people; inside the node they are signed.
    Pretty,
}

/// Whether a node has a member `sign` of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InnerSign {
    /// It has none.
    #[default]
    Absent,
    /// It has one, which is not the answer's signature.
    Present,
}

/// The charset of error answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCharset {
    /// The request's.
    #[default]
    AsRequested,
    /// GBK, even for a request in UTF-8.
    Gbk,
}

/// Whether an answer that was given before is signed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// Each answer is signed.
    #[default]
    Fresh,
    /// The signature of an equal answer is given again: for benchmarks, to which Alipay's own
    /// signing does not count.
    Remembered,
}
