//! The unit that a job's CPU time is told in: one RSA-2048 signature and one verification.

use std::thread;
use std::time::Duration;

use crate::adapters::alipay::keys::{KeyError, PrivateKey};
use crate::adapters::alipay::sign::{SignType, Signer, Verifier};
use crate::ports::clock::Clock;

/// As long as the text that is signed for a disbursement.
const TEXT_BYTES: usize = 800;

/// How many pairs are measured in a row; the fastest row counts.
const ROW: u64 = 200;
const ROWS: u32 = 7;

/// A pair's time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairTimes {
    /// With nothing else to do.
    pub alone_ns: u64,
    /// While every core does the same.
    pub crowded_ns: u64,
}

/// Measures on every core of this machine, for about a second.
///
/// # Errors
///
/// [`KeyError`], when no key can be made.
pub fn measure(clock: &dyn Clock) -> Result<PairTimes, KeyError> {
    let key = PrivateKey::generate()?;
    let pair = Pair {
        verifier: Verifier::new(key.public_key(), SignType::Rsa2)?,
        signer: Signer::new(key, SignType::Rsa2)?,
        text: vec![b'x'; TEXT_BYTES],
    };
    let alone_ns = pair.fastest_row(clock);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let rows = thread::scope(|scope| {
        let measuring: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| pair.fastest_row(clock)))
            .collect();
        let rows = measuring.into_iter().filter_map(|row| row.join().ok());
        rows.collect::<Vec<u64>>()
    });
    let count = u64::try_from(rows.len()).unwrap_or(1).max(1);
    Ok(PairTimes {
        alone_ns,
        crowded_ns: rows.iter().sum::<u64>() / count,
    })
}

struct Pair {
    signer: Signer,
    verifier: Verifier,
    text: Vec<u8>,
}

impl Pair {
    /// The time of one pair in the fastest of some rows: what disturbs only ever adds.
    fn fastest_row(&self, clock: &dyn Clock) -> u64 {
        let row = |_| {
            let began = clock.monotonic();
            for _ in 0..ROW {
                let signed = self.signer.sign(&self.text);
                let verified = signed.map(|signature| self.verifier.verify(&self.text, &signature));
                std::hint::black_box(verified.is_ok());
            }
            nanos(clock.monotonic().since(began)) / ROW
        };
        (0..ROWS).map(row).min().unwrap_or_default()
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
