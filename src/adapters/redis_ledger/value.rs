//! The value of one job in Redis: one compact, versioned run of bytes.
//!
//! The first byte says the version, whether the advisory index may hold the job, and the state:
//!
//! ```text
//! 0001 0x00  in flight: attempt, lease token, lease expiry, pending
//! 0001 0101  deferred:  ticket, due instant, pending
//! 0001 0010  settled:   outcome
//! ```
//!
//! A settled value is kept for the whole retention, so it is packed: a typical one takes 68 bytes.
//! An unsettled value holds the job's canonical text, personal data included: it is needed for
//! the identical resend, and is gone with the settling.

#[cfg(test)]
mod arbitrary;
pub(super) mod bytes;
#[cfg(test)]
mod golden;
mod outcome;
mod pending;

use crate::adapters::redis_ledger::value::bytes::{Reader, put_varint};
use crate::domain::entry::{Deferred, Entry, InFlight, Lease, LeaseToken, Ticket};
use crate::domain::job::JobKey;
use crate::domain::time::UnixMillis;

const VERSION: u8 = 0x10;
const INDEXED: u8 = 0x04;
const IN_FLIGHT: u8 = VERSION;
const IN_FLIGHT_INDEXED: u8 = VERSION | INDEXED;
const DEFERRED: u8 = VERSION | INDEXED | 1;
const SETTLED: u8 = VERSION | 2;

/// Whether the advisory index may hold a job: it was deferred at some time since its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexed {
    /// It never was.
    No,
    /// It may be.
    Maybe,
}

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Written by another version.
    #[error("its version or state is {0:#04x}, which this version does not know")]
    Unknown(u8),
    /// The bytes end within a field.
    #[error("it is cut off")]
    TooShort,
    /// Bytes follow after the last field.
    #[error("it goes on after its end")]
    TooLong,
    /// A field has no such value.
    #[error("it holds {0} that cannot be")]
    Field(&'static str),
}

/// Writes `entry`, the entry of `key`.
///
/// `indexed` matters for an entry in flight alone: a deferred one always is, a settled one never.
#[must_use]
pub fn encode(key: &JobKey, entry: &Entry, indexed: Indexed) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    match entry {
        Entry::InFlight(in_flight) => {
            out.push(match indexed {
                Indexed::No => IN_FLIGHT,
                Indexed::Maybe => IN_FLIGHT_INDEXED,
            });
            put_varint(&mut out, u64::from(in_flight.attempt));
            out.extend_from_slice(&in_flight.lease.token.0.to_be_bytes());
            put_varint(&mut out, in_flight.lease.expires_at.0);
            pending::put(&mut out, &in_flight.pending);
        }
        Entry::Deferred(deferred) => {
            out.push(DEFERRED);
            put_varint(&mut out, u64::from(deferred.ticket.0));
            put_varint(&mut out, deferred.due_at.0);
            pending::put(&mut out, &deferred.pending);
        }
        Entry::Settled(outcome) => {
            out.push(SETTLED);
            outcome::put(&mut out, key, outcome);
        }
    }
    out
}

/// Reads the value of `key`.
///
/// # Errors
///
/// [`Malformed`] for anything that is no value of this version. A value that [`encode`] would have
/// written in fewer bytes is read all the same.
pub fn decode(key: &JobKey, bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut reader = Reader::new(bytes);
    let head = reader.byte()?;
    let entry = match head {
        IN_FLIGHT | IN_FLIGHT_INDEXED => Entry::InFlight(InFlight {
            attempt: reader.number()?,
            lease: Lease {
                token: LeaseToken(u64::from_be_bytes(reader.array()?)),
                expires_at: UnixMillis(reader.varint()?),
            },
            pending: pending::read(&mut reader, key)?,
        }),
        DEFERRED => Entry::Deferred(Deferred {
            ticket: Ticket(reader.number()?),
            due_at: UnixMillis(reader.varint()?),
            pending: pending::read(&mut reader, key)?,
        }),
        SETTLED => Entry::Settled(outcome::read(&mut reader, key)?),
        _ => return Err(Malformed::Unknown(head)),
    };
    reader.end()?;
    Ok(entry)
}

/// Whether the index may hold the job whose value `bytes` is.
#[must_use]
pub fn indexed(bytes: &[u8]) -> Indexed {
    match bytes.first() {
        Some(head) if head & INDEXED != 0 => Indexed::Maybe,
        Some(_) | None => Indexed::No,
    }
}

/// Whether a value that starts with `head` is settled; anything unknown is not, so that it is
/// looked at.
#[must_use]
pub fn is_settled(head: u8) -> bool {
    head == SETTLED
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::arbitrary::{entries, typical_outcome};
    use super::{Indexed, Malformed, decode, encode, indexed, is_settled};
    use crate::domain::entry::Entry;
    use crate::domain::job::Kind;
    use crate::domain::outcome::{Rejection, Resolution};

    #[test]
    fn a_typical_settled_value_takes_68_bytes() {
        let (key, outcome) = typical_outcome();
        let entry = Entry::Settled(outcome);
        let bytes = encode(&key, &entry, Indexed::No);
        // Up to 76, Redis' string header and terminator fit jemalloc's class of 80 bytes.
        assert_eq!(bytes.len(), 68);
        assert_eq!(decode(&key, &bytes), Ok(entry));
    }

    #[test]
    fn the_time_of_the_transaction_reads_back_as_it_was_spelled() {
        let (key, mut outcome) = typical_outcome();
        for spelling in [
            "2026-11-22 10:00:01",
            "2026-11-22 10:00:61",
            "2026-1-2 3:04:05",
            "2026-11-22T10:00:01",
            "1969-12-31 23:59:59",
            "0001-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "",
            "昨天",
        ] {
            outcome.resolution = Resolution::Succeeded {
                operation_id: None,
                gmt_trans: Some(spelling.to_owned()),
            };
            let entry = Entry::Settled(outcome.clone());
            let bytes = encode(&key, &entry, Indexed::No);
            assert_eq!(decode(&key, &bytes), Ok(entry), "{spelling}");
        }
    }

    #[test]
    fn a_rejection_as_over_budget_is_nothing_that_older_versions_misread() {
        let (key, mut outcome) = typical_outcome();
        for (kind, byte) in [
            (Kind::Disburse, 0x10),
            (Kind::Refund, 0x11),
            (Kind::Pay, 0x12),
            (Kind::AppPay, 0x13),
            (Kind::PagePay, 0x14),
        ] {
            outcome.kind = kind;
            outcome.resolution = Resolution::Rejected(Rejection::OverBudget);
            let entry = Entry::Settled(outcome.clone());
            let mut bytes = encode(&key, &entry, Indexed::No);
            // They know a kind's own byte as 0 or 1 alone, and refuse any other.
            assert_eq!((bytes[1] & 0x0f, bytes[2]), (0x0f, byte), "{kind}");
            assert_eq!(decode(&key, &bytes), Ok(entry));
            // Refused, not misread: closed, as over budget.
            bytes[1] &= !0x04;
            assert!(decode(&key, &bytes).is_err(), "{kind}");
        }
    }

    #[test]
    fn an_expired_job_is_written_as_ever() {
        let (key, mut outcome) = typical_outcome();
        outcome.resolution = Resolution::Rejected(Rejection::Expired);
        for (kind, marks, next) in [
            (Kind::Disburse, 0x0c, outcome.fingerprint.0[0]),
            (Kind::Pay, 0x0e, outcome.fingerprint.0[0]),
            (Kind::PagePay, 0x0f, 1),
        ] {
            outcome.kind = kind;
            let bytes = encode(&key, &Entry::Settled(outcome.clone()), Indexed::No);
            assert_eq!((bytes[1] & 0x0f, bytes[2]), (marks, next), "{kind}");
        }
    }

    #[test]
    fn values_of_other_versions_are_named() {
        let (key, outcome) = typical_outcome();
        let mut bytes = encode(&key, &Entry::Settled(outcome), Indexed::No);
        // 0x16: settled and yet in the index, which is never written; 0x11: deferred and not in it.
        for head in [0x00, 0x11, 0x13, 0x16, 0x1a, 0x22, 0xff] {
            if let Some(first) = bytes.first_mut() {
                *first = head;
            }
            assert_eq!(decode(&key, &bytes), Err(Malformed::Unknown(head)));
            assert!(!is_settled(head));
        }
    }

    proptest! {
        #[test]
        fn every_entry_reads_back((key, entry) in entries()) {
            for mark in [Indexed::No, Indexed::Maybe] {
                let bytes = encode(&key, &entry, mark);
                assert_eq!(decode(&key, &bytes), Ok(entry.clone()));
                let expected = match entry {
                    Entry::InFlight(_) => mark,
                    Entry::Deferred(_) => Indexed::Maybe,
                    Entry::Settled(_) => Indexed::No,
                };
                assert_eq!(indexed(&bytes), expected);
                assert_eq!(
                    bytes.first().is_some_and(|head| is_settled(*head)),
                    entry.pending().is_none()
                );
            }
        }

        #[test]
        fn a_cut_or_lengthened_value_is_refused((key, entry) in entries(), cut in any::<u16>()) {
            let mut bytes = encode(&key, &entry, Indexed::No);
            let kept = usize::from(cut).checked_rem(bytes.len()).unwrap_or(0);
            assert!(decode(&key, bytes.get(..kept).unwrap_or_default()).is_err());
            bytes.push(0);
            assert!(decode(&key, &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), state in 0_u8..3) {
            let (key, _) = typical_outcome();
            // The verdict does not matter here, only that there is one.
            drop(decode(&key, &bytes));
            let versioned: Vec<u8> = std::iter::once(0x10 | state).chain(bytes).collect();
            drop(decode(&key, &versioned));
        }

        #[test]
        fn a_value_with_any_byte_changed_never_panics(
            (key, entry) in entries(),
            place in any::<u16>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encode(&key, &entry, Indexed::No);
            let place = usize::from(place).checked_rem(bytes.len()).unwrap_or(0);
            if let Some(changed) = bytes.get_mut(place) {
                *changed = byte;
            }
            drop(decode(&key, &bytes));
        }
    }
}
