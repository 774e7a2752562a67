//! What must hold for all bytes from outside, on the seeds of the fuzz targets and on generated
//! cases. The properties themselves are those that the fuzz targets check, the same files.
//!
//! The cases are the same in every run. `PROPTEST_RNG_SEED=7` draws others, and
//! `PROPTEST_CASES=2560` ten times as many; a failure prints the smallest case it was found with.

#[path = "../../fuzz/properties/lib.rs"]
#[expect(
    unreachable_pub,
    reason = "the fuzz targets use them from another crate"
)]
mod checks;

mod answers;
mod jobs;
mod seeds;
mod spelling;
mod texts;

use proptest::test_runner::{Config, RngSeed};

/// Any number does; this one has no meaning.
const SEED: u64 = 20_261_122;

/// How many cases `PROPTEST_CASES` is without being set.
const USUAL_CASES: u32 = 256;

/// So many cases, always the same ones unless the environment asks for others.
fn cases(number: u32) -> Config {
    let asked = Config::default();
    Config {
        cases: number.saturating_mul(asked.cases) / USUAL_CASES,
        rng_seed: match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(SEED),
            given @ RngSeed::Fixed(_) => given,
        },
        // The seeds of the fuzz targets are where a case is kept.
        failure_persistence: None,
        ..asked
    }
}
