//! Amounts of money: integer fen, never a float.

use std::fmt;
use std::num::NonZeroU64;

/// An amount in fen (1/100 yuan), from 1 to [`Fen::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fen(NonZeroU64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFenError {
    /// The text is spelled in another way than digits, a dot and the decimals that are wanted.
    #[error("is not an amount in yuan with two decimals, such as \"8.88\"")]
    Format,
    /// The amount is zero or above [`Fen::MAX`].
    #[error("is outside 0.01 to 100000000.00 yuan")]
    Range,
}

impl Fen {
    /// The largest amount of one operation, 100,000,000.00 yuan.
    ///
    /// Source: Alipay fund.coupon.order.disburse, parameter `amount`.
    pub const MAX: u64 = 10_000_000_000;

    /// Makes an amount of `fen`, or `None` outside 1 to [`Fen::MAX`].
    #[must_use]
    pub fn new(fen: u64) -> Option<Self> {
        if fen > Self::MAX {
            return None;
        }
        NonZeroU64::new(fen).map(Self)
    }

    /// The amount as a number of fen.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Parses a yuan amount with exactly two decimals, for example `"88.00"`.
    ///
    /// # Errors
    ///
    /// [`ParseFenError::Format`] for any other spelling (`"88"`, `"88.0"`, `"8.8e1"`, `"-1.00"`)
    /// and [`ParseFenError::Range`] for zero or more than [`Fen::MAX`].
    pub fn parse_yuan(text: &str) -> Result<Self, ParseFenError> {
        let (yuan, decimals) = text.split_once('.').ok_or(ParseFenError::Format)?;
        if decimals.len() != 2 {
            return Err(ParseFenError::Format);
        }
        Self::from_parts(yuan, decimals)
    }

    /// Parses an amount as Alipay spells it in answers: none, one or two decimals.
    ///
    /// Source: answers seen contain `"1"`, `"1.0"` and `"1.00"` alike.
    ///
    /// # Errors
    ///
    /// As [`Fen::parse_yuan`], for more than two decimals or other characters.
    pub fn parse_answer(text: &str) -> Result<Self, ParseFenError> {
        match text.split_once('.') {
            None => Self::from_parts(text, "00"),
            Some((yuan, decimals)) => match decimals.len() {
                1 | 2 => Self::from_parts(yuan, decimals),
                _ => Err(ParseFenError::Format),
            },
        }
    }

    fn from_parts(yuan: &str, decimals: &str) -> Result<Self, ParseFenError> {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(yuan) || !digits(decimals) {
            return Err(ParseFenError::Format);
        }
        // Digits only, so the only possible parse error is a number that is too large.
        let yuan: u64 = yuan.parse().or(Err(ParseFenError::Range))?;
        let mut fen: u64 = decimals.parse().or(Err(ParseFenError::Range))?;
        if decimals.len() == 1 {
            fen = fen.checked_mul(10).ok_or(ParseFenError::Range)?;
        }
        let total = yuan
            .checked_mul(100)
            .and_then(|whole| whole.checked_add(fen));
        total.and_then(Self::new).ok_or(ParseFenError::Range)
    }
}

impl fmt::Display for Fen {
    /// Writes the amount in yuan with two decimals, as Alipay wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fen = self.get();
        write!(f, "{}.{:02}", fen / 100, fen % 100)
    }
}

/// A sum of amounts, which may be nothing. It saturates, beyond a billion of the largest amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum(u64);

impl Sum {
    /// Adds an amount.
    pub fn add(&mut self, amount: Fen) {
        self.0 = self.0.saturating_add(amount.get());
    }
}

impl fmt::Display for Sum {
    /// Writes the sum in yuan with two decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fen, ParseFenError, Sum};

    #[test]
    fn a_sum_is_written_as_amounts_are() {
        let mut sum = Sum::default();
        assert_eq!(sum.to_string(), "0.00");
        for fen in [1, 9, 890] {
            sum.add(Fen::new(fen).unwrap());
        }
        assert_eq!(sum.to_string(), "9.00");
    }

    #[test]
    fn amounts_of_jobs_have_exactly_two_decimals() {
        let format = Err(ParseFenError::Format);
        let range = Err(ParseFenError::Range);
        for (text, expected) in [
            ("0.01", Ok(1)),
            ("8.88", Ok(888)),
            ("08.88", Ok(888)),
            ("100000000.00", Ok(Fen::MAX)),
            ("100000000.01", range),
            ("99999999999999999999.00", range),
            ("0.00", range),
            ("88", format),
            ("88.0", format),
            ("8.888", format),
            ("8.8e1", format),
            ("-1.00", format),
            ("+1.00", format),
            (".50", format),
            ("1.", format),
            ("", format),
            (" 1.00", format),
            ("1,000.00", format),
            ("１.00", format),
        ] {
            assert_eq!(Fen::parse_yuan(text).map(Fen::get), expected, "{text:?}");
        }
    }

    #[test]
    fn amounts_of_answers_may_have_fewer_decimals() {
        for (text, expected) in [("1", 100), ("1.0", 100), ("1.5", 150), ("1.00", 100)] {
            assert_eq!(
                Fen::parse_answer(text).map(Fen::get),
                Ok(expected),
                "{text:?}"
            );
        }
        assert_eq!(Fen::parse_answer("1.000"), Err(ParseFenError::Format));
    }

    #[test]
    fn what_is_written_reads_back() {
        for fen in [1, 9, 10, 99, 100, 101, 888, 12_345, Fen::MAX] {
            let amount = Fen::new(fen).unwrap();
            assert_eq!(Fen::parse_yuan(&amount.to_string()), Ok(amount));
        }
    }
}
