//! From the text that a user pasted to the DER bytes inside.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;

use crate::adapters::alipay::keys::{Found, KeyError};

/// Standard base64 that does not insist on its padding: it is often lost when pasting.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was inside a key text.
pub(super) struct Unwrapped {
    /// The decoded bytes; empty when `hint` is set.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// What the armour alone already tells, when that is enough to refuse the text.
    pub(super) hint: Option<Found>,
}

/// Takes armour, blanks and base64 off.
pub(super) fn unwrap(text: &str) -> Result<Unwrapped, KeyError> {
    let Some(block) = Block::find(text)? else {
        let der = decode(text, 0)?;
        return Ok(Unwrapped { der, hint: None });
    };
    if let Some(found) = block.hint() {
        return Ok(Unwrapped {
            der: Zeroizing::new(Vec::new()),
            hint: Some(found),
        });
    }
    let der = decode(block.body, block.body_starts_at)?;
    Ok(Unwrapped { der, hint: None })
}

/// One PEM block. Source: RFC 7468.
struct Block<'a> {
    label: &'a str,
    body: &'a str,
    /// Offset of `body` in the whole text, in bytes.
    body_starts_at: usize,
}

impl<'a> Block<'a> {
    /// Finds the only PEM block of `text`; `None` when there is no armour at all.
    fn find(text: &'a str) -> Result<Option<Self>, KeyError> {
        const BEGIN: &str = "-----BEGIN ";
        const END: &str = "-----END ";
        const DASHES: &str = "-----";
        let Some(begin) = text.find(BEGIN) else {
            return Ok(None);
        };
        let label_starts_at = begin + BEGIN.len();
        let (label, rest) = text[label_starts_at..]
            .split_once(DASHES)
            .ok_or(KeyError::PemUnfinished)?;
        let body_starts_at = label_starts_at + label.len() + DASHES.len();
        let (body, after) = rest.split_once(END).ok_or(KeyError::PemUnfinished)?;
        let block = Self {
            label,
            body,
            body_starts_at,
        };
        // A chain of certificates is better called a certificate than several blocks.
        if after.contains(BEGIN) && block.hint().is_none() {
            return Err(KeyError::PemSeveral);
        }
        Ok(Some(block))
    }

    fn hint(&self) -> Option<Found> {
        // Source: RFC 1421 4.6.1.1, the header of OpenSSL's older encrypted keys.
        if self.body.contains("Proc-Type:") && self.body.contains("ENCRYPTED") {
            return Some(Found::Encrypted);
        }
        match self.label {
            "ENCRYPTED PRIVATE KEY" => Some(Found::Encrypted),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Some(Found::Certificate),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(Found::CertificateRequest),
            "EC PRIVATE KEY" | "EC PARAMETERS" | "DSA PRIVATE KEY" => Some(Found::OtherAlgorithm),
            "OPENSSH PRIVATE KEY" => Some(Found::OpenSsh),
            _ => None,
        }
    }
}

/// Decodes base64 that may hold blanks; `starts_at` is its offset in the user's text.
pub(in crate::adapters::alipay) fn decode(
    text: &str,
    starts_at: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Filled without ever growing: a moved buffer would leave key bytes behind.
    let mut symbols = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' | '=' => {
                symbols.extend(u8::try_from(character));
            }
            // A line break spelt out, as it comes from an environment variable.
            '\\' if characters
                .next_if(|(_, c)| matches!(c, 'n' | 'r'))
                .is_some() => {}
            // The byte order mark and the zero-width space come along when pasting.
            '\u{feff}' | '\u{200b}' => {}
            blank if blank.is_whitespace() => {}
            _ => {
                let byte = starts_at + at + 1;
                return Err(KeyError::NotBase64 { byte });
            }
        }
    }
    if symbols.is_empty() {
        return Err(KeyError::Empty);
    }
    BASE64
        .decode(&*symbols)
        .map(Zeroizing::new)
        .map_err(|_position| KeyError::Base64Cut)
}
