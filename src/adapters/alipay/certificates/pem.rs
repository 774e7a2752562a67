//! From the text of one or many certificates to their bytes.

use crate::adapters::alipay::certificates::CertificateError;
use crate::adapters::alipay::keys::{KeyError, text};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Returns the bytes of the first certificate of a text.
pub(super) fn first_block(text: &str) -> Result<Vec<u8>, CertificateError> {
    // What is wrong with the first block is worth telling only if no other is a certificate.
    let mut fault = None;
    for block in blocks(text) {
        match block {
            Ok(der) => return Ok(der),
            Err(error) => {
                fault.get_or_insert(error);
            }
        }
    }
    Err(fault.unwrap_or(CertificateError::Empty))
}

/// Returns the bytes of each PEM block of a text, or why it is none of a certificate; a text
/// without any armour is one block. Text between the blocks is passed over.
///
/// Source: RFC 7468 2 and 5.2.
pub(super) fn blocks(text: &str) -> Vec<Result<Vec<u8>, CertificateError>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        rest = rest.get(begin + BEGIN.len()..).unwrap_or_default();
        // A block ends before the next one begins, whatever became of its END line.
        let block = rest.find(BEGIN).map_or(rest, |next| &rest[..next]);
        blocks.push(one(block));
    }
    if blocks.is_empty() && !text.trim().is_empty() {
        blocks.push(decode(text));
    }
    blocks
}

/// Reads what follows a `BEGIN`.
fn one(block: &str) -> Result<Vec<u8>, CertificateError> {
    let (label, body) = block
        .split_once(DASHES)
        .ok_or(CertificateError::PemUnfinished)?;
    let (body, _) = body
        .split_once(END)
        .ok_or(CertificateError::PemUnfinished)?;
    let found = match label {
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => return decode(body),
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
            "a private key"
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "a public key",
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "a certificate request",
        _ => "another kind of PEM",
    };
    Err(CertificateError::Misplaced { found })
}

fn decode(base64: &str) -> Result<Vec<u8>, CertificateError> {
    match text::decode(base64, 0) {
        Ok(der) => Ok(der.to_vec()),
        Err(KeyError::Empty) => Err(CertificateError::Empty),
        Err(_) => Err(CertificateError::NotBase64),
    }
}
