//! `application/x-www-form-urlencoded`, for queries and bodies.
//!
//! Source: WHATWG URL Standard 5; Alipay's Java SDK spells a blank `+` as well.

use std::borrow::Cow;

/// Name and value of one param, percent-decoded, in whatever charset they came.
pub type RawParam = (Vec<u8>, Vec<u8>);

/// Why a form cannot be read; nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("a malformed percent sequence in the form")]
    Percent,
    /// A name or value that is not UTF-8 once decoded.
    #[error("a form value that is not UTF-8")]
    Utf8,
}

/// Returns `params` in order, percent-encoded in UTF-8, blanks as `+`.
#[must_use]
pub fn form_encode<K: AsRef<str>, V: AsRef<str>>(
    params: impl IntoIterator<Item = (K, V)>,
) -> String {
    let mut form = String::new();
    for (key, value) in params {
        push_param(
            &mut form,
            key.as_ref().as_bytes(),
            value.as_ref().as_bytes(),
        );
    }
    form
}

/// Returns `params` in order, percent-encoded in whatever charset their bytes are in.
#[must_use]
pub fn form_encode_bytes<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    params: impl IntoIterator<Item = (K, V)>,
) -> String {
    let mut form = String::new();
    for (key, value) in params {
        push_param(&mut form, key.as_ref(), value.as_ref());
    }
    form
}

fn push_param(form: &mut String, key: &[u8], value: &[u8]) {
    if !form.is_empty() {
        form.push('&');
    }
    push_encoded(form, key);
    form.push('=');
    push_encoded(form, value);
}

fn push_encoded(form: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    form.reserve(bytes.len());
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                form.push(char::from(byte));
            }
            b' ' => form.push('+'),
            _ => {
                form.push('%');
                form.push(DIGITS[usize::from(byte >> 4)]);
                form.push(DIGITS[usize::from(byte & 0xf)]);
            }
        }
    }
}

/// Reads a form in UTF-8, decoding exactly once. Keeps the order and any duplicates.
///
/// # Errors
///
/// Returns [`FormError`] for a malformed percent sequence or other charsets than UTF-8.
pub fn form_decode(form: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_bytes| FormError::Utf8);
    form_decode_bytes(form)?
        .into_iter()
        .map(|(key, value)| Ok((text(key)?, text(value)?)))
        .collect()
}

/// Reads a form in any charset: the bytes of each name and value, over which a notification's
/// signature is to be checked before they are taken for text.
///
/// # Errors
///
/// Returns [`FormError::Percent`] for a malformed percent sequence.
pub fn form_decode_bytes(form: &[u8]) -> Result<Vec<RawParam>, FormError> {
    form.split(|&byte| byte == b'&')
        .filter(|param| !param.is_empty())
        .map(|param| {
            let equals = param.iter().position(|&byte| byte == b'=');
            let (key, value) = param.split_at(equals.unwrap_or(param.len()));
            let value = value.strip_prefix(b"=").unwrap_or_default();
            Ok((decoded(key)?.into_owned(), decoded(value)?.into_owned()))
        })
        .collect()
}

fn decoded(encoded: &[u8]) -> Result<Cow<'_, [u8]>, FormError> {
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(nibble).ok_or(FormError::Percent)?;
                let low = rest.next().and_then(nibble).ok_or(FormError::Percent)?;
                high << 4 | low
            }
            _ => byte,
        });
    }
    Ok(Cow::Owned(bytes))
}

/// Returns the value of a hexadecimal digit, 0 to 15.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_encoded_like_browsers_do() {
        let rows = [
            ("", ""),
            ("a b", "a+b"),
            ("a+b%/=&?", "a%2Bb%25%2F%3D%26%3F"),
            ("红包", "%E7%BA%A2%E5%8C%85"),
            ("*-._~", "*-._%7E"),
            ("{\"k\":1}\n", "%7B%22k%22%3A1%7D%0A"),
        ];
        for (value, encoded) in rows {
            assert_eq!(form_encode([("k", value)]), format!("k={encoded}"));
        }
        assert_eq!(form_encode([("b", "1"), ("a", "2")]), "b=1&a=2");
        assert_eq!(form_encode_bytes([("k", [0xba_u8, 0xec])]), "k=%BA%EC");
        assert_eq!(form_encode::<&str, &str>([]), "");
    }

    #[test]
    fn forms_are_decoded_once_and_keep_order_and_duplicates() {
        let rows: [(&str, &[(&str, &str)]); 7] = [
            ("", &[]),
            ("a=1&a=2&&b", &[("a", "1"), ("a", "2"), ("b", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=%2525", &[("a", "%25")]),
            ("a=x+y%2b", &[("a", "x y+")]),
            ("%e7%ba%a2=%E5%8C%85", &[("红", "包")]),
            ("=1", &[("", "1")]),
        ];
        for (form, params) in rows {
            let decoded = form_decode(form.as_bytes()).unwrap();
            let decoded: Vec<_> = decoded
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            assert_eq!(decoded, params, "{form}");
        }
    }

    #[test]
    fn broken_forms_are_refused() {
        for form in ["a=%", "a=%2", "a=%2g", "a=%+1", "%zz=1"] {
            assert_eq!(
                form_decode(form.as_bytes()),
                Err(FormError::Percent),
                "{form}"
            );
        }
        assert_eq!(form_decode(b"a=%BA%EC"), Err(FormError::Utf8));
        assert_eq!(
            form_decode_bytes(b"a=%BA%EC"),
            Ok(vec![(b"a".to_vec(), vec![0xba, 0xec])])
        );
    }

    proptest! {
        #[test]
        fn any_params_survive_the_form(
            params in prop::collection::vec((any::<String>(), any::<String>()), 0..6)
        ) {
            // A param with neither name nor value is "=", which stays a param.
            let form = form_encode(params.iter().map(|(k, v)| (k, v)));
            prop_assert!(form.is_ascii());
            prop_assert_eq!(form_decode(form.as_bytes()).unwrap(), params);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(form in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(params) = form_decode_bytes(&form) {
                prop_assert!(params.len() <= form.len());
            }
        }
    }
}
