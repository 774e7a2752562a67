//! The envelope of an answer, as slices of the received bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapters::alipay::wire::charset::Charset;
use crate::adapters::alipay::wire::node::ERROR_NODE_NAME;

/// The most members that an envelope may have; Alipay's have two or three.
const MEMBERS_MAX: usize = 16;

/// Why a body is not an envelope. Nothing of the body is kept.
///
/// After a call that moves money each of these means that the outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Neither UTF-8 nor GBK.
    #[error("the answer is neither UTF-8 nor GBK text")]
    Charset,
    /// No JSON, truncated JSON, or JSON that is no object.
    #[error("the answer is not one JSON object")]
    Json,
    /// Two members of one name: which of them a reader sees would be chance.
    #[error("the answer has two members of the same name")]
    Duplicate,
    /// More members than an envelope has reason to.
    #[error("the answer has more than {MEMBERS_MAX} members")]
    TooMany,
    /// A second member that looks like an answer.
    #[error("the answer has a second response node")]
    SecondNode,
    /// Neither the method's node nor `error_response`.
    #[error("the answer has no node for the method that was called")]
    NoNode,
    /// A node that is neither an object nor (encrypted) a string.
    #[error("the response node is neither an object nor a string")]
    NodeShape,
    /// `sign` or `alipay_cert_sn` is not a string.
    #[error("the sign or the alipay_cert_sn of the answer is not a string")]
    SignShape,
}

/// What a response node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A plain JSON object.
    Object,
    /// A JSON string, quotes included in the signed bytes: content encrypted with AES.
    Encrypted,
}

/// An answer taken apart, nothing of it decoded or copied.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The exact bytes of the node as received: what the signature covers.
    pub raw_node: &'a [u8],
    /// Whether the node is plain or encrypted.
    pub node_kind: NodeKind,
    /// Whether the node is `error_response` instead of the method's.
    pub is_error_node: bool,
    /// The signature in base64; `None` when the answer is not signed.
    pub sign: Option<Cow<'a, str>>,
    /// Serial number of the certificate that verifies the answer; certificate mode only.
    pub alipay_cert_sn: Option<Cow<'a, str>>,
    /// The charset of the whole body.
    pub charset: Charset,
}

impl<'a> Envelope<'a> {
    /// Takes the answer to a request in UTF-8 apart, like [`Envelope::parse_in`].
    ///
    /// # Errors
    ///
    /// See [`Envelope::parse_in`].
    pub fn parse(body: &'a [u8], node_name: &str) -> Result<Self, EnvelopeError> {
        Self::parse_in(body, node_name, Charset::Utf8)
    }

    /// Takes `body` apart; `node_name` is the method's node, as `node_name` returns it, `asked`
    /// the charset of the request, which is that of the answer if it can be.
    ///
    /// Unknown further members are tolerated, as Alipay asks for.
    ///
    /// # Errors
    ///
    /// Returns an [`EnvelopeError`] for anything that two readers could read differently:
    /// members of the same name, a second `..._response`, text after the object.
    pub fn parse_in(
        body: &'a [u8],
        node_name: &str,
        asked: Charset,
    ) -> Result<Self, EnvelopeError> {
        let charset = asked.of(body).ok_or(EnvelopeError::Charset)?;
        let text = structure(body, charset);
        let members: Members<'_> =
            serde_json::from_str(&text).map_err(|_position| EnvelopeError::Json)?;
        members.refuse_duplicates()?;

        let mut node = None;
        let mut sign = None;
        let mut alipay_cert_sn = None;
        for (name, raw) in &members.0 {
            let value = &body[range_in(&text, raw.get())];
            match name.0.as_ref() {
                "sign" => sign = Some(string(value)?),
                "alipay_cert_sn" => alipay_cert_sn = Some(string(value)?),
                name if name == node_name || name.ends_with("_response") => {
                    let earlier = node.replace((name, value));
                    if earlier.is_some() {
                        return Err(EnvelopeError::SecondNode);
                    }
                }
                _ => {}
            }
        }
        let (name, raw_node) = node.ok_or(EnvelopeError::NoNode)?;
        let is_error_node = name == ERROR_NODE_NAME;
        if name != node_name && !is_error_node {
            return Err(EnvelopeError::NoNode);
        }
        let node_kind = match raw_node.first() {
            Some(b'{') => NodeKind::Object,
            Some(b'"') => NodeKind::Encrypted,
            _ => return Err(EnvelopeError::NodeShape),
        };
        Ok(Self {
            raw_node,
            node_kind,
            is_error_node,
            sign,
            alipay_cert_sn,
            charset,
        })
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The node may name people and the signature is a secret: sizes and kinds only.
        f.debug_struct("Envelope")
            .field("node_bytes", &self.raw_node.len())
            .field("node_kind", &self.node_kind)
            .field("is_error_node", &self.is_error_node)
            .field("signed", &self.sign.is_some())
            .field("charset", &self.charset)
            .finish_non_exhaustive()
    }
}

/// Returns a text of the same length as `body`, which is well-formed in `charset`, with the same
/// JSON structure at the same offsets: `body` itself, or with every GBK character masked.
///
/// GBK's second bytes include `\`, `{` and `}`, so its structure cannot be read off the bytes.
fn structure(body: &[u8], charset: Charset) -> Cow<'_, str> {
    if charset == Charset::Utf8 || body.is_ascii() {
        return String::from_utf8_lossy(body);
    }
    // A body without a malformed sequence is walked by the mask as by the decoder.
    let mut mask = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        if byte.is_ascii() {
            mask.push(char::from(byte));
            rest = after;
        } else {
            let length = gbk_character_length(rest);
            mask.extend(std::iter::repeat_n('?', length));
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    Cow::Owned(mask)
}

/// Returns the length in bytes of the non-ASCII character that well-formed GBK `text` begins
/// with. Source: WHATWG Encoding Standard, gb18030 decoder.
pub(super) fn gbk_character_length(text: &[u8]) -> usize {
    match text {
        // The euro sign of Windows code page 936.
        [0x80, ..] => 1,
        [_, b'0'..=b'9', _, _, ..] => 4,
        _ => text.len().min(2),
    }
}

/// Returns where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// Reads a JSON string that has to be ASCII in either charset.
fn string(raw: &[u8]) -> Result<Cow<'_, str>, EnvelopeError> {
    let text = serde_json::from_slice::<Text<'_>>(raw).map_err(|_kind| EnvelopeError::SignShape)?;
    Ok(text.0)
}

/// A JSON string, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a JSON object in order, values untouched.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl Members<'_> {
    fn refuse_duplicates(&self) -> Result<(), EnvelopeError> {
        // Bounded, because the comparison is quadratic.
        if self.0.len() > MEMBERS_MAX {
            return Err(EnvelopeError::TooMany);
        }
        for (at, (name, _)) in self.0.iter().enumerate() {
            if self
                .0
                .iter()
                .skip(at + 1)
                .any(|(other, _)| other.0 == name.0)
            {
                return Err(EnvelopeError::Duplicate);
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(4);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
