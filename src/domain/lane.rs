//! Lanes: the queues in which the jobs of one kind wait, each beside the others.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};

use crate::domain::job::Kind;

/// The most shards that one kind can have.
pub const SHARDS_MAX: u8 = 64;

/// Which of a kind's lanes it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// For jobs that want to overtake; of the kinds that come in bursts.
    Urgent,
    /// The normal lane, or one of several; the first is 0.
    Shard(u8),
    /// For jobs that others may overtake; of the kinds that come in bursts.
    Bulk,
}

impl Default for Tier {
    /// The lane that a producer who knows of no lanes publishes to.
    fn default() -> Self {
        Self::Shard(0)
    }
}

/// One lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The kind of the jobs in it.
    pub kind: Kind,
    /// Which of the kind's lanes.
    pub tier: Tier,
}

impl From<Kind> for Lane {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            tier: Tier::default(),
        }
    }
}

impl Lane {
    /// Every lane there is with so many shards, each once.
    #[must_use]
    pub fn all(shards: Shards) -> Vec<Self> {
        let mut lanes = Vec::new();
        for kind in Kind::ALL {
            let numbers = 0..shards.of(kind).get();
            lanes.extend(numbers.map(|number| Self::shard(kind, number)));
            if comes_in_bursts(kind) {
                lanes.extend([Tier::Urgent, Tier::Bulk].map(|tier| Self { kind, tier }));
            }
        }
        lanes
    }

    /// A shard's lane.
    #[must_use]
    pub const fn shard(kind: Kind, number: u8) -> Self {
        Self {
            kind,
            tier: Tier::Shard(number),
        }
    }

    /// The shard in which a producer puts the job of a number: the CRC-32 of the number's
    /// characters, modulo the number of shards.
    #[must_use]
    pub fn of_number(kind: Kind, out_request_no: &str, shards: Shards) -> Self {
        let shards = NonZeroU32::from(shards.of(kind));
        let rest = crc32(out_request_no.as_bytes()) % shards;
        Self::shard(kind, u8::try_from(rest).unwrap_or(0))
    }

    /// The lane of jobs that want to overtake, or the kind's only one.
    #[must_use]
    pub fn urgent(kind: Kind) -> Self {
        if comes_in_bursts(kind) {
            let tier = Tier::Urgent;
            return Self { kind, tier };
        }
        Self::from(kind)
    }

    /// The lane of jobs that are set aside; `None` for those of a kind that has no such lane, and
    /// for those that want to overtake or are aside already.
    #[must_use]
    pub fn aside(self) -> Option<Self> {
        match self.tier {
            Tier::Shard(_) if comes_in_bursts(self.kind) => Some(Self {
                kind: self.kind,
                tier: Tier::Bulk,
            }),
            Tier::Shard(_) | Tier::Urgent | Tier::Bulk => None,
        }
    }

    /// The routing key, and behind `<prefix>.jobs.` the queue's name: `disburse`,
    /// `disburse.urgent`, `disburse.bulk`, `disburse.3`.
    #[must_use]
    pub fn routing_key(self) -> Cow<'static, str> {
        match (self.kind, self.tier) {
            (kind, Tier::Shard(0)) => Cow::Borrowed(kind.as_str()),
            (kind, Tier::Shard(number)) => Cow::Owned(format!("{kind}.{number}")),
            (kind, Tier::Urgent) => Cow::Owned(format!("{kind}.urgent")),
            (kind, Tier::Bulk) => Cow::Owned(format!("{kind}.bulk")),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.routing_key())
    }
}

/// Whether a kind's jobs come thousands at a time, so that some must be able to pass others.
#[must_use]
pub const fn comes_in_bursts(kind: Kind) -> bool {
    match kind {
        Kind::Disburse | Kind::Pay => true,
        Kind::Refund | Kind::Query | Kind::AppPay | Kind::PagePay => false,
    }
}

/// How many shards the normal lanes have; every other kind has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// Of disburse jobs; at most [`SHARDS_MAX`], as all.
    pub disburse: NonZeroU8,
    /// Of refund jobs.
    pub refund: NonZeroU8,
    /// Of pay jobs.
    pub pay: NonZeroU8,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            disburse: NonZeroU8::MIN,
            refund: NonZeroU8::MIN,
            pay: NonZeroU8::MIN,
        }
    }
}

impl Shards {
    /// The number of one kind.
    #[must_use]
    pub const fn of(self, kind: Kind) -> NonZeroU8 {
        match kind {
            Kind::Disburse => self.disburse,
            Kind::Refund => self.refund,
            Kind::Pay => self.pay,
            Kind::Query | Kind::AppPay | Kind::PagePay => NonZeroU8::MIN,
        }
    }
}

/// CRC-32 as of ISO 3309 and ITU-T V.42, which is zlib's, PNG's and Ethernet's: every language has
/// it. Reflected polynomial 0xEDB88320, begun and ended with all bits inverted.
fn crc32(bytes: &[u8]) -> u32 {
    let mut rest = u32::MAX;
    for byte in bytes {
        rest ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = rest & 1;
            rest = (rest >> 1) ^ (0xEDB8_8320 & carry.wrapping_neg());
        }
    }
    !rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU8;

    use super::{Lane, Shards, Tier, crc32};
    use crate::domain::job::Kind;

    fn shards(disburse: u8) -> Shards {
        Shards {
            disburse: NonZeroU8::new(disburse).unwrap(),
            ..Shards::default()
        }
    }

    #[test]
    fn every_lane_has_a_routing_key_of_its_own() {
        let lanes = Lane::all(shards(3));
        let keys: BTreeSet<String> = lanes.iter().map(ToString::to_string).collect();
        assert_eq!(keys.len(), lanes.len());
        for key in [
            "disburse",
            "disburse.1",
            "disburse.2",
            "disburse.urgent",
            "disburse.bulk",
            "pay.urgent",
            "refund",
            "query",
        ] {
            assert!(keys.contains(key), "{key} in {keys:?}");
        }
        assert!(!keys.contains("refund.urgent") && !keys.contains("disburse.3"));
    }

    #[test]
    fn the_crc_is_everybodys() {
        // The check value of CRC-32/ISO-HDLC, and zlib.crc32 of two more.
        for (text, expected) in [
            ("123456789", 0xCBF4_3926),
            ("", 0),
            ("R202611220001", 0x080F_57DF),
        ] {
            assert_eq!(crc32(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_spread_evenly_over_the_shards() {
        let mut counts = [0_u32; 4];
        for number in 0..4_000 {
            let lane = Lane::of_number(Kind::Disburse, &format!("R{number:06}"), shards(4));
            let Tier::Shard(shard) = lane.tier else {
                panic!("{lane}");
            };
            counts[usize::from(shard)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        let only = Lane::of_number(Kind::Query, "R1", shards(4));
        assert_eq!(only, Lane::from(Kind::Query));
    }

    #[test]
    fn only_a_normal_lane_of_a_kind_that_comes_in_bursts_is_set_aside() {
        let aside = Lane::shard(Kind::Disburse, 3).aside().unwrap();
        assert_eq!(aside.to_string(), "disburse.bulk");
        assert_eq!(aside.aside(), None);
        assert_eq!(Lane::urgent(Kind::Disburse).aside(), None);
        assert_eq!(Lane::from(Kind::Refund).aside(), None);
        assert_eq!(Lane::urgent(Kind::Refund), Lane::from(Kind::Refund));
    }
}
