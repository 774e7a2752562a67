//! A distinguished name as Java prints it, for Alipay digests that text.

use x509_parser::der_parser::asn1_rs::{Tag, ToDer};
use x509_parser::prelude::{AttributeTypeAndValue, X509Name};

/// The attributes that have a keyword; all others are written as their number.
///
/// Source: `X500Principal.getName()` of Java, RFC 2253 2.3.
const KEYWORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// Characters that Java escapes anywhere in a value.
const ESCAPED: [char; 9] = [',', '=', '+', '<', '>', '#', ';', '"', '\\'];

/// Returns the name, the last encoded part first, joined by commas without blanks; `None` for a
/// name that cannot be written.
pub(super) fn issuer_text(name: &X509Name<'_>) -> Option<String> {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (place, attribute) in part.iter().enumerate() {
            if place > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type().to_id_string();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
    let value = keyword.and_then(|_| value(attribute));
    let (_, keyword) = keyword.copied().unwrap_or((&oid, &oid));
    text.push_str(keyword);
    text.push('=');
    match value {
        Some(value) => push_escaped(text, &value),
        // RFC 2253 2.4: the value's whole encoding, in hexadecimal.
        None => {
            text.push('#');
            for byte in attribute.attr_value().to_der_vec().ok()? {
                text.push_str(&format!("{byte:02x}"));
            }
        }
    }
    Some(())
}

/// The value as text, if it is of one of the text types.
fn value(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let any = attribute.attr_value();
    match any.tag() {
        Tag::BmpString => {
            let units: Vec<u16> = any
                .data
                .chunks(2)
                .map(|pair| Some(u16::from_be_bytes(<[u8; 2]>::try_from(pair).ok()?)))
                .collect::<Option<_>>()?;
            String::from_utf16(&units).ok()
        }
        // Java reads it as ISO 8859-1.
        Tag::T61String => Some(any.data.iter().copied().map(char::from).collect()),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(any.data).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// Writes `value`, with escapes before special characters and blanks at either end.
fn push_escaped(text: &mut String, value: &str) {
    let inner = value.trim_matches(' ');
    let (leading, trailing) = if inner.is_empty() {
        (value.len(), 0)
    } else {
        let leading = value.len() - value.trim_start_matches(' ').len();
        (leading, value.len() - leading - inner.len())
    };
    text.push_str(&r"\ ".repeat(leading));
    for character in inner.chars() {
        if ESCAPED.contains(&character) {
            text.push('\\');
        }
        text.push(character);
    }
    text.push_str(&r"\ ".repeat(trailing));
}
