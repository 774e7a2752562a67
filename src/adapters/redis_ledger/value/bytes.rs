//! The parts that a ledger value is made of: numbers, texts and packed identifiers.

use crate::adapters::redis_ledger::value::Malformed;

/// The alphabet of merchants' and Alipay's numbers: 64 characters, so 6 bits each.
const SIXES: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Identifiers are at most so long; longer ones are kept as plain text.
const PACKED_LENGTH_MAX: usize = 64;
/// Added to the length byte of an identifier whose characters take 6 bits each.
const SIXES_MARK: u8 = 0x80;
/// Stands for the length byte of an identifier that is kept as plain text.
const PLAIN_MARK: u8 = 0xff;

/// Writes `value` in groups of seven bits, the lowest first; the top bit says that more follow.
pub(in crate::adapters::redis_ledger) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes a number that may be negative, small ones in few bytes.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
}

/// Writes `text` with its length before it.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// Writes an identifier: digits take 4 bits each, the other safe characters 6.
pub(in crate::adapters::redis_ledger) fn put_packed(out: &mut Vec<u8>, text: &str) {
    let length = match u8::try_from(text.len()) {
        Ok(length) if text.len() <= PACKED_LENGTH_MAX => length,
        Ok(_) | Err(_) => {
            out.push(PLAIN_MARK);
            return put_text(out, text);
        }
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        out.push(length);
        for pair in text.as_bytes().chunks(2) {
            let high = pair.first().map_or(0x0f, |byte| byte & 0x0f);
            let low = pair.get(1).map_or(0x0f, |byte| byte & 0x0f);
            out.push((high << 4) | low);
        }
        return;
    }
    let sixes: Option<Vec<u8>> = text.bytes().map(six_of).collect();
    let Some(sixes) = sixes else {
        out.push(PLAIN_MARK);
        return put_text(out, text);
    };
    out.push(SIXES_MARK | length);
    for four in sixes.chunks(4) {
        let bits = (0..4).fold(0_u32, |bits, place| {
            (bits << 6) | four.get(place).map_or(0, |six| u32::from(*six))
        });
        let [_, first, second, third] = bits.to_be_bytes();
        let bytes = [first, second, third];
        out.extend(bytes.iter().take(packed_sixes_length(four.len())));
    }
}

/// The place of a character in [`SIXES`].
fn six_of(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// How many bytes `characters` of 6 bits take.
fn packed_sixes_length(characters: usize) -> usize {
    characters.saturating_mul(6).div_ceil(8)
}

/// Reads the parts back, in the order in which they were written.
pub(in crate::adapters::redis_ledger) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::adapters::redis_ledger) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::TooShort)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<LENGTH>()
            .ok_or(Malformed::TooShort)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(in crate::adapters::redis_ledger) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(in crate::adapters::redis_ledger) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64_u32).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            let shifted = group << shift;
            if shifted >> shift != group {
                return Err(Malformed::Field("a number that is too large"));
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Field("a number without an end"))
    }

    pub(in crate::adapters::redis_ledger) fn number(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_too_large| Malformed::Field("a count"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        let folded = self.varint()?;
        let sign = (folded & 1).cast_signed().wrapping_neg();
        Ok((folded >> 1).cast_signed() ^ sign)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.varint()?;
        // A length that no slice can have is a length that this one has not.
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|_not_text| Malformed::Field("a text"))
    }

    pub(in crate::adapters::redis_ledger) fn packed(&mut self) -> Result<String, Malformed> {
        let mark = self.byte()?;
        if mark == PLAIN_MARK {
            return self.text().map(str::to_owned);
        }
        let length = usize::from(mark & !SIXES_MARK);
        let mut text = String::with_capacity(length);
        if mark & SIXES_MARK == 0 {
            for byte in self.take(length.div_ceil(2))? {
                push_digit(&mut text, byte >> 4, length)?;
                push_digit(&mut text, byte & 0x0f, length)?;
            }
        } else {
            for three in self.take(packed_sixes_length(length))?.chunks(3) {
                let bits = (0..3).fold(0_u32, |bits, place| {
                    (bits << 8) | three.get(place).map_or(0, |byte| u32::from(*byte))
                });
                for shift in [18, 12, 6, 0] {
                    let [.., six] = ((bits >> shift) & 0x3f).to_be_bytes();
                    if let Some(byte) = SIXES.get(usize::from(six))
                        && text.len() < length
                    {
                        text.push(char::from(*byte));
                    }
                }
            }
        }
        Ok(text)
    }

    /// Succeeds when everything was read.
    pub(in crate::adapters::redis_ledger) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::TooLong)
        }
    }
}

fn push_digit(text: &mut String, digit: u8, length: usize) -> Result<(), Malformed> {
    if text.len() == length {
        return Ok(());
    }
    let digit = char::from_digit(u32::from(digit), 10).ok_or(Malformed::Field("a digit"))?;
    text.push(digit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Reader, put_packed, put_signed, put_text, put_varint};

    #[test]
    fn identifiers_take_four_or_six_bits_a_character() {
        for (text, length) in [
            ("", 1),
            ("1", 2),
            ("2026112200123456789012345678", 15),
            ("20261122001234567890", 11),
            ("R202611220000001", 13),
            ("a", 2),
            ("ab", 3),
            ("abc", 4),
            ("a_-Z9", 5),
        ] {
            let mut out = Vec::new();
            put_packed(&mut out, text);
            assert_eq!(out.len(), length, "{text}");
            assert_eq!(Reader::new(&out).packed(), Ok(text.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            number in any::<u64>(),
            signed in any::<i64>(),
            text in ".{0,80}",
            identifier in "[A-Za-z0-9_-]{0,70}",
            digits in "[0-9]{0,70}",
        ) {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            put_signed(&mut out, signed);
            put_text(&mut out, &text);
            put_packed(&mut out, &text);
            put_packed(&mut out, &identifier);
            put_packed(&mut out, &digits);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(number));
            assert_eq!(reader.signed(), Ok(signed));
            assert_eq!(reader.text(), Ok(text.as_str()));
            assert_eq!(reader.packed(), Ok(text));
            assert_eq!(reader.packed(), Ok(identifier));
            assert_eq!(reader.packed(), Ok(digits));
            assert_eq!(reader.end(), Ok(()));
        }
    }
}
