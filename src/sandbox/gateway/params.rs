//! The params of one call: merged from the query string and the body, and their charset.
//!
//! Source: the gateway takes the charset from the query string; without one there it reads
//! everything as GBK. So a body in UTF-8 whose `charset` is in the body alone is misread, and
//! its signature fails as soon as it has anything but ASCII in it.

use std::borrow::Cow;

use encoding_rs::GBK;

use crate::adapters::alipay::sign::canonical_bytes;
use crate::adapters::alipay::wire::{Charset, FormError, RawParam, form_decode_bytes};

/// The params of one call.
pub(in crate::sandbox) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads both forms; what is in both counts as the query string says it.
    ///
    /// # Errors
    ///
    /// [`FormError`] for a malformed percent sequence.
    pub(in crate::sandbox) fn read(query: &[u8], body: &[u8]) -> Result<Self, FormError> {
        let mut raw = form_decode_bytes(query)?;
        let declared = raw.iter().find(|(name, _)| name == b"charset");
        let charset = declared.map_or(Some(Charset::Gbk), |(_, value)| charset_of(value));
        // What is neither is turned away later, by its own check.
        let charset = charset.unwrap_or(Charset::Utf8);
        let of_query = raw.len();
        // A body with JSON or nothing in it has no params; that is found out by their absence.
        for (name, value) in form_decode_bytes(body)? {
            let known = raw.iter().take(of_query).any(|(known, _)| *known == name);
            if !known {
                raw.push((name, value));
            }
        }
        let decoded = |(name, value): RawParam| (decode(name, charset), decode(value, charset));
        Ok(Self(raw.into_iter().map(decoded).collect()))
    }

    /// The value of a param; empty ones count as absent.
    pub(in crate::sandbox) fn get(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The charset that the call names; GBK when it names none, `None` for an unknown one.
    pub(in crate::sandbox) fn charset(&self) -> Option<Charset> {
        match self.get("charset") {
            None => Some(Charset::Gbk),
            Some(name) => charset_of(name.as_bytes()),
        }
    }

    /// The bytes that the call's signature is to cover.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let charset = self.charset().unwrap_or(Charset::Utf8);
        match charset {
            Charset::Utf8 => {
                let params = self.0.iter();
                canonical_bytes(params.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
            }
            Charset::Gbk => {
                let encoded = self.0.iter();
                let encoded = encoded.map(|(k, v)| (encode(k, charset), encode(v, charset)));
                let encoded: Vec<_> = encoded.collect();
                let params = encoded.iter();
                canonical_bytes(params.map(|(name, value)| (&**name, &**value)))
            }
        }
    }
}

/// Source: the gateway takes UTF-8 and GBK; older documents name gb2312, a part of GBK, too.
fn charset_of(name: &[u8]) -> Option<Charset> {
    if name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"utf8") {
        Some(Charset::Utf8)
    } else if name.eq_ignore_ascii_case(b"gbk") || name.eq_ignore_ascii_case(b"gb2312") {
        Some(Charset::Gbk)
    } else {
        None
    }
}

fn decode(bytes: Vec<u8>, charset: Charset) -> String {
    match charset {
        Charset::Utf8 => String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Charset::Gbk => GBK.decode_without_bom_handling(&bytes).0.into_owned(),
    }
}

/// Text in the bytes of a charset.
pub(in crate::sandbox) fn encode(text: &str, charset: Charset) -> Cow<'_, [u8]> {
    match charset {
        Charset::Utf8 => Cow::Borrowed(text.as_bytes()),
        Charset::Gbk => GBK.encode(text).0,
    }
}

/// The charset's name in `Content-Type` and in notifications.
pub(in crate::sandbox) fn charset_name(charset: Charset) -> &'static str {
    match charset {
        Charset::Utf8 => "utf-8",
        Charset::Gbk => "GBK",
    }
}

#[cfg(test)]
mod tests {
    use super::{Params, encode};
    use crate::adapters::alipay::wire::Charset;

    #[test]
    fn the_charset_of_the_query_string_decides_and_without_one_it_is_gbk() {
        let title = |query: &str, body: &str| {
            let params = Params::read(query.as_bytes(), body.as_bytes()).unwrap();
            params.get("t").unwrap_or_default().to_owned()
        };
        let utf8 = "t=%E7%BA%A2";
        let gbk = "t=%BA%EC";
        assert_eq!(title("charset=utf-8", utf8), "红");
        assert_eq!(title("charset=GBK", gbk), "红");
        assert_eq!(title("charset=gb2312", gbk), "红");
        assert_eq!(title(gbk, ""), "红");
        let misread = title("", &format!("charset=utf-8&{utf8}"));
        assert_ne!(misread, "红");
    }

    #[test]
    fn what_is_signed_is_in_the_charset_that_the_call_names() {
        let params = Params::read(b"charset=gbk&t=%BA%EC&sign=x", b"a=1&t=2").unwrap();
        assert_eq!(params.canonical(), b"a=1&charset=gbk&t=\xBA\xEC");
        let params = Params::read(b"charset=utf-8&t=%E7%BA%A2", b"").unwrap();
        assert_eq!(params.canonical(), "charset=utf-8&t=红".as_bytes());
        assert_eq!(params.charset(), Some(Charset::Utf8));
        assert_eq!(&*encode("红", Charset::Gbk), b"\xBA\xEC");
        let params = Params::read(b"charset=latin1", b"").unwrap();
        assert_eq!(params.charset(), None);
    }

    #[test]
    fn malformed_percent_sequences_are_no_params() {
        assert!(Params::read(b"a=%4", b"").is_err());
        assert!(Params::read(b"", b"a=%zz").is_err());
    }
}
