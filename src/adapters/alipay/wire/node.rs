//! The response node: its name, its signature, its text.

use std::borrow::Cow;

use encoding_rs::GBK;

use crate::adapters::alipay::sign::{SignError, Signer, Verifier, VerifyError};
use crate::adapters::alipay::wire::charset::Charset;
use crate::adapters::alipay::wire::envelope::{Envelope, gbk_character_length};

/// The node of answers that the gateway gives before it knows the method.
pub const ERROR_NODE_NAME: &str = "error_response";

/// Returns the name of the node that answers `method`, for example
/// `alipay_fund_coupon_operation_query_response`.
#[must_use]
pub fn node_name(method: &str) -> String {
    let mut name = String::with_capacity(method.len() + "_response".len());
    name.extend(method.chars().map(|c| if c == '.' { '_' } else { c }));
    name.push_str("_response");
    name
}

/// Checks the signature of an answer over the exact bytes of its node.
///
/// Some of Alipay's servers sign the node before `/` is escaped as `\/`; Alipay's Java and PHP
/// SDKs try that reading second, and so does this. Only the escape itself is undone, so that
/// what verifies is always equal, as JSON, to what was received.
///
/// # Errors
///
/// Returns [`VerifyError::Missing`] for an answer without signature, else what
/// [`Verifier::verify`] returns.
pub fn verify_node(verifier: &Verifier, envelope: &Envelope<'_>) -> Result<(), VerifyError> {
    let sign = envelope.sign.as_deref().ok_or(VerifyError::Missing)?;
    let exact = verifier.verify(envelope.raw_node, sign);
    if exact != Err(VerifyError::Mismatch) {
        return exact;
    }
    match without_escaped_slashes(envelope.raw_node, envelope.charset) {
        Cow::Owned(unescaped) => verifier.verify(&unescaped, sign),
        Cow::Borrowed(_) => exact,
    }
}

/// Returns the node as text. Do this after [`verify_node`], never before.
#[must_use]
pub fn decode_node<'a>(envelope: &Envelope<'a>) -> Cow<'a, str> {
    match envelope.charset {
        Charset::Utf8 => String::from_utf8_lossy(envelope.raw_node),
        Charset::Gbk => GBK.decode_without_bom_handling(envelope.raw_node).0,
    }
}

/// Returns the signed answer `{"<node_name>":<node_json>,"sign":"..."}`.
///
/// `node_json` is signed and written byte for byte; `node_name` is a plain name that needs no
/// escapes.
///
/// # Errors
///
/// Returns [`SignError`] when the library fails to sign.
pub fn sign_envelope(
    signer: &Signer,
    node_name: &str,
    node_json: &str,
) -> Result<String, SignError> {
    let sign = signer.sign(node_json.as_bytes())?;
    Ok(format!(r#"{{"{node_name}":{node_json},"sign":"{sign}"}}"#))
}

/// Writes each escaped slash of a JSON text as a plain one; borrowed when there is none.
fn without_escaped_slashes(json: &[u8], charset: Charset) -> Cow<'_, [u8]> {
    if !json.windows(2).any(|pair| pair == br"\/") {
        return Cow::Borrowed(json);
    }
    let mut unescaped = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        let length = match (byte, charset) {
            // An escape and the character it escapes: `\\/` is no escaped slash.
            (b'\\', _) => 2,
            (0x80.., Charset::Gbk) => gbk_character_length(rest),
            _ => 1,
        };
        let (character, after) = rest.split_at(length.min(rest.len()));
        unescaped.extend_from_slice(if character == br"\/" { b"/" } else { character });
        rest = after;
    }
    Cow::Owned(unescaped)
}

#[cfg(test)]
mod tests;
