//! Redis Cluster's hash slots: the slot of a key, and which part of them a master holds.

use sha2::{Digest, Sha256};

/// How many there are. Source: Redis Cluster specification, "Key distribution model".
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole key where it has none.
///
/// Source: Redis Cluster specification, "Hash tags": what is between the first `{` and the first `}`
/// after it, unless that is nothing.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let hashed = hash_tag(key).unwrap_or(key);
    let crc = hashed.iter().fold(0_u16, |crc, byte| {
        let [high, _low] = crc.to_be_bytes();
        let index = usize::from(high ^ byte);
        (crc << 8) ^ CRC16.get(index).copied().unwrap_or_default()
    });
    crc % SLOTS
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let (_, rest) = key.split_at_checked(open.saturating_add(1))?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

/// CRC16's table for the polynomial 0x1021.
const CRC16: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut index = 0_u16;
    while index < 256 {
        let mut crc = index << 8;
        let mut bit = 0;
        while bit < 8 {
            let carries = crc & 0x8000 != 0;
            crc <<= 1;
            if carries {
                crc ^= 0x1021;
            }
            bit += 1;
        }
        let [_, low] = index.to_be_bytes();
        table[low_index(low)] = crc;
        index += 1;
    }
    table
};

/// A byte as an index, where `From` cannot be used yet.
#[expect(
    clippy::as_conversions,
    reason = "a byte always fits, and `From` is not const"
)]
const fn low_index(byte: u8) -> usize {
    byte as usize
}

/// The part of the ledger that one master holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// All of it: there is no other master.
    Everything,
    /// The keys of these slots: ranges in order, both ends included, that do not touch.
    Slots(Vec<(u16, u16)>),
}

impl Share {
    /// The share of these ranges, in any order.
    pub(super) fn of(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if *end >= first.saturating_sub(1) => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self::Slots(merged)
    }

    /// The ranges of slots; all of them for everything.
    pub(super) fn ranges(&self) -> &[(u16, u16)] {
        match self {
            Self::Everything => &[(0, SLOTS - 1)],
            Self::Slots(ranges) => ranges,
        }
    }

    /// How many slots it has.
    pub(super) fn len(&self) -> u16 {
        let lengths = self.ranges().iter();
        let lengths = lengths.map(|(first, last)| last.saturating_sub(*first).saturating_add(1));
        lengths.fold(0, u16::saturating_add)
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        let mut ranges = self.ranges().iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// The least hash tag whose keys are of this share, for keys of the ledger's own; `None` where
    /// any key is.
    pub(super) fn tag(&self) -> Option<u32> {
        match self {
            Self::Everything => None,
            // Every slot has a tag below a million; a share without slots has none at all.
            Self::Slots(_) => {
                (0..1_000_000).find(|tag| self.has(slot_of(tag.to_string().as_bytes())))
            }
        }
    }

    /// What a server is known by while it holds this share: another share makes it another one, for
    /// what came with the new slots may be older than what we wrote.
    pub(super) fn identity(&self, run_id: &str) -> String {
        match self {
            Self::Everything => run_id.to_owned(),
            Self::Slots(_) => {
                let digest = Sha256::digest(self.to_text().as_bytes());
                let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
                format!("{run_id}/{}", digits.collect::<String>())
            }
        }
    }

    /// `0-5460,10000`, as people write it.
    pub(super) fn to_text(&self) -> String {
        let ranges = self.ranges().iter();
        let words = ranges.map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
        words.collect::<Vec<String>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::{SLOTS, Share, slot_of};

    #[test]
    fn slots_are_those_of_the_specification() {
        // Source: Redis Cluster specification, appendix A: CRC16 of "123456789" is 0x31C3; the
        // others were asked of a server by CLUSTER KEYSLOT.
        for (key, slot) in [
            ("123456789", 0x31c3 % SLOTS),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("x{foo}", 12_182),
            ("x{}{foo}", slot_of(b"x{}{foo}")),
            ("", 0),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_ne!(slot_of(b"x{}{foo}"), slot_of(b"{foo}"));
        assert_ne!(slot_of(b"{foo"), slot_of(b"foo"));
    }

    #[test]
    fn a_share_is_its_ranges_in_order_and_merged() {
        let share = Share::of(vec![(10, 20), (0, 4), (5, 9), (30, 30)]);
        assert_eq!(share.ranges(), [(0, 20), (30, 30)]);
        assert_eq!(share.to_text(), "0-20,30");
        assert_eq!(share.len(), 22);
        assert!(share.has(20) && share.has(30) && !share.has(21));
        assert_eq!(Share::Everything.len(), SLOTS);
    }

    #[test]
    fn every_slot_has_a_tag_of_its_own() {
        for slot in [0, 1, 5_460, 8_191, SLOTS - 1] {
            let tag = Share::of(vec![(slot, slot)]).tag().unwrap();
            assert_eq!(
                slot_of(format!("hongbao:canary:{{{tag}}}").as_bytes()),
                slot
            );
        }
        assert_eq!(Share::Everything.tag(), None);
    }

    #[test]
    fn a_server_with_another_share_is_another_server() {
        let (one, two) = (Share::of(vec![(0, 1)]), Share::of(vec![(0, 2)]));
        assert_ne!(one.identity("a"), two.identity("a"));
        assert_ne!(one.identity("a"), one.identity("b"));
        assert_eq!(
            one.identity("a"),
            Share::of(vec![(1, 1), (0, 0)]).identity("a")
        );
        assert_eq!(Share::Everything.identity("a"), "a");
    }
}
