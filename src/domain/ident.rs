//! Numbers and names, each with its own type, so that none is taken for another.

use std::fmt;
use std::sync::Arc;

/// Why a text is not a number or name of the wanted type.
///
/// The text itself is not part of the error: it may be a secret or a person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct IdentError {
    /// What would be right, as a noun phrase.
    pub expected: &'static str,
}

macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $expected:expr, $length_max:literal of $alphabet:literal, $valid:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What a valid text is, as a noun phrase.
            pub const EXPECTED: &'static str = $expected;

            /// The most characters; each is one byte.
            pub const LENGTH_MAX: usize = $length_max;

            /// The characters that a text may hold, as the inside of a regular expression's class.
            pub const ALPHABET: &'static str = $alphabet;

            /// Takes `text` if it is valid.
            ///
            /// # Errors
            ///
            /// [`IdentError`], which says what would be right.
            pub fn new(text: &str) -> Result<Self, IdentError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(IdentError { expected: Self::EXPECTED })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn within(text: &str, length_max: usize, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= length_max && text.bytes().all(allowed)
}

text_type! {
    /// The name of a configured Alipay application; part of ledger keys and event ids.
    AppName, "1 to 32 of a-z, 0-9, _ and -", 32 of "a-z0-9_-",
    |text| within(text, Self::LENGTH_MAX, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

text_type! {
    /// A number that the merchant gave: `out_order_no` or `out_request_no`.
    ///
    /// Source: Alipay fund.coupon, at most 64 characters; the alphabet is the safe subset.
    MerchantNo, "1 to 64 of A-Z, a-z, 0-9, _ and -", 64 of "A-Za-z0-9_-",
    |text| within(text, Self::LENGTH_MAX, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

text_type! {
    /// A number that Alipay gave: `auth_no` (28 digits seen) or `operation_id` (20 digits seen).
    ///
    /// Opaque: Source: Alipay fund.coupon, at most 64 characters.
    AlipayNo, "1 to 64 of A-Z, a-z, 0-9, _ and -", 64 of "A-Za-z0-9_-",
    |text| within(text, Self::LENGTH_MAX, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

text_type! {
    /// An Alipay user id, `2088` and twelve digits as a rule.
    ///
    /// Source: Alipay fund.coupon.order.disburse, `payee_user_id`, at most 32 characters.
    UserId, "1 to 32 letters and digits, as a rule 2088 and 12 more digits", 32 of "A-Za-z0-9",
    |text| within(text, Self::LENGTH_MAX, |b| b.is_ascii_alphanumeric())
}

text_type! {
    /// A time to pay, from `1m` to `7d`: a whole number of minutes (m), hours (h) or days (d).
    ///
    /// Source: Alipay fund.coupon.order.disburse, `pay_timeout`, at most 5 characters.
    PayTimeout, "1m to 7d: a whole number and m, h or d", 5 of "0-9mhd",
    |text| minutes(text).is_some_and(|minutes| (1..=Self::MINUTES_MAX).contains(&minutes))
}

text_type! {
    /// Where Alipay's cashier page sends the payer's browser back to.
    ///
    /// Source: Alipay open platform, public parameter `return_url`, at most 256 characters.
    ReturnUrl, "an http:// or https:// address of at most 256 characters", 256 of "!-~",
    |text| within(text, Self::LENGTH_MAX, |b| b.is_ascii_graphic()) && has_host(text)
}

fn has_host(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(ReturnUrl::NO_HOSTS))
}

impl ReturnUrl {
    /// What a host never begins with.
    pub const NO_HOSTS: [char; 5] = ['/', '?', '#', ':', '@'];
}

impl PayTimeout {
    /// The longest time, in minutes: a week.
    pub const MINUTES_MAX: u32 = 7 * 24 * 60;

    /// The most digits before the unit, leading zeros included.
    pub const DIGITS_MAX: usize = Self::LENGTH_MAX - 1;

    /// The units, and how many minutes each is.
    pub const UNITS: [(&'static str, u32); 3] = [("m", 1), ("h", 60), ("d", 24 * 60)];
}

fn minutes(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !within(number, PayTimeout::DIGITS_MAX, |b| b.is_ascii_digit()) {
        return None;
    }
    let mut units = PayTimeout::UNITS.into_iter();
    let (_, factor) = units.find(|(word, _)| *word == unit)?;
    number.parse::<u32>().ok()?.checked_mul(factor)
}

/// A free text of a job for people: `order_title` or `remark`; 1 to 100 characters, no controls.
///
/// Source: Alipay fund.coupon, `order_title` and `remark`, at most 100 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caption(Arc<str>);

impl Caption {
    /// What a valid text is, as a noun phrase.
    pub const EXPECTED: &'static str = "1 to 100 characters without control characters";

    /// The most characters.
    pub const CHARS_MAX: usize = 100;

    /// Takes `text` if it is valid.
    ///
    /// # Errors
    ///
    /// [`IdentError`], which says what would be right.
    pub fn new(text: &str) -> Result<Self, IdentError> {
        let length = text.chars().count();
        if (1..=Self::CHARS_MAX).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(IdentError {
                expected: Self::EXPECTED,
            })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's Alipay logon id: an e-mail address or a telephone number, at most 100 characters.
///
/// `Debug` and `Display` mask it as `138****0000`; only [`LogonId::reveal`] gives it away.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LogonId(Arc<str>);

impl LogonId {
    /// What a valid text is, as a noun phrase.
    pub const EXPECTED: &'static str =
        "an e-mail address or a telephone number of at most 100 characters";

    /// The most characters; each is one byte.
    pub const LENGTH_MAX: usize = 100;

    /// The characters that a logon id may hold, as the inside of a regular expression's class.
    pub const ALPHABET: &'static str = "!-~";

    /// Takes `text` if it is 1 to 100 printable ASCII characters without blanks.
    ///
    /// # Errors
    ///
    /// [`IdentError`], which says what would be right.
    pub fn new(text: &str) -> Result<Self, IdentError> {
        if within(text, Self::LENGTH_MAX, |b| b.is_ascii_graphic()) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(IdentError {
                expected: Self::EXPECTED,
            })
        }
    }

    /// The whole logon id, for the request to Alipay and the ledger alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        match (text.get(..3), text.get(text.len().saturating_sub(4)..)) {
            (Some(head), Some(tail)) if text.len() >= 10 => write!(f, "{head}****{tail}"),
            _ => f.write_str("****"),
        }
    }
}

impl fmt::Debug for LogonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{AppName, Caption, LogonId, MerchantNo, PayTimeout, ReturnUrl};

    #[test]
    fn merchant_numbers_are_1_to_64_safe_characters() {
        assert!(MerchantNo::new("R2026-11_22").is_ok());
        assert!(MerchantNo::new(&"x".repeat(64)).is_ok());
        for bad in ["", &"x".repeat(65), "a b", "a:b", "a{b}", "数", "a\n"] {
            assert!(MerchantNo::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn app_names_cannot_hold_what_separates_ledger_keys() {
        assert!(AppName::new("main-2_b").is_ok());
        for bad in ["", "Main", "a:b", "a/b", "a}b", &"x".repeat(33)] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pay_timeouts_run_from_a_minute_to_a_week() {
        for good in ["1m", "90m", "1h", "168h", "7d", "9999m"] {
            assert!(PayTimeout::new(good).is_ok(), "{good}");
        }
        for bad in [
            "", "m", "0m", "8d", "169h", "1.5h", "1s", "1", "-1m", "10081m",
        ] {
            assert!(PayTimeout::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn return_urls_are_web_addresses() {
        for good in ["https://shop.example/back?room=42", "http://127.0.0.1:80/"] {
            assert!(ReturnUrl::new(good).is_ok(), "{good}");
        }
        let long = format!("https://{}", "x".repeat(256));
        for bad in [
            "",
            "https://",
            "https:///x",
            "ftp://x",
            "javascript:alert(1)",
            "https://a b",
            "HTTP",
            &long,
        ] {
            assert!(ReturnUrl::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn captions_count_characters_and_refuse_controls() {
        assert!(Caption::new(&"红".repeat(100)).is_ok());
        for bad in ["", &"红".repeat(101), "a\tb", "a\u{7f}"] {
            assert!(Caption::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logon_ids_are_masked_whenever_they_are_printed() {
        for (text, masked) in [
            ("13800000000", "138****0000"),
            ("someone@example.com", "som****.com"),
            ("a@b.c", "****"),
        ] {
            let logon_id = LogonId::new(text).unwrap();
            assert_eq!(logon_id.to_string(), masked);
            assert_eq!(format!("{logon_id:?}"), masked);
        }
    }
}
