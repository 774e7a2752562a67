//! The unit that a job's CPU time is told in: one RSA-2048 signature and one verification.

use std::num::NonZeroU32;
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
    /// One at a time, so many a second as jobs are fed; `None` if they are not fed.
    pub paced_ns: Option<u64>,
}

/// Measures on every core of this machine, for about a second; and for another one at the `rate`
/// of the jobs, if they have one: between two jobs a processor sleeps, and forgets.
///
/// # Errors
///
/// [`KeyError`], when no key can be made.
pub async fn measure(clock: &dyn Clock, rate: Option<NonZeroU32>) -> Result<PairTimes, KeyError> {
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
    let paced_ns = match rate {
        Some(rate) => Some(pair.paced(clock, rate).await),
        None => None,
    };
    Ok(PairTimes {
        alone_ns,
        crowded_ns: rows.iter().sum::<u64>() / count,
        paced_ns,
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
                self.once();
            }
            nanos(clock.monotonic().since(began)) / ROW
        };
        (0..ROWS).map(row).min().unwrap_or_default()
    }

    /// The mean time of one pair when each waits for its turn, a second long.
    async fn paced(&self, clock: &dyn Clock, rate: NonZeroU32) -> u64 {
        let pause = Duration::from_secs(1) / rate.get();
        let mut spent = Duration::ZERO;
        for _ in 0..rate.get() {
            clock.sleep(pause).await;
            let began = clock.monotonic();
            self.once();
            spent += clock.monotonic().since(began);
        }
        nanos(spent) / u64::from(rate.get())
    }

    fn once(&self) {
        let signed = self.signer.sign(&self.text);
        let verified = signed.map(|signature| self.verifier.verify(&self.text, &signature));
        std::hint::black_box(verified.is_ok());
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
