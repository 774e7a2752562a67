//! The deterministic simulation: the real worker and the real lifecycle over fake ports, on
//! virtual time and one thread, all chance from one seed.
//!
//! A run has two or three replicas, a burst of jobs, and faults at every call of a port until it
//! becomes calm. The oracle checks the promises at every instant, and that everything is settled
//! in the end. A seed that fails is run again with a trace.

#![expect(
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a test tells what it ran, and counts"
)]

mod bank;
mod dice;
mod hall;
mod oracle;
mod orders;
mod planted;
mod ports;
mod process;
mod run;
mod scenario;
mod store;
mod town;

use run::run;

/// How many seeds every test run looks at.
const SEEDS: u64 = 2000;

#[test]
fn no_seed_breaks_a_promise() {
    let mut bad = 0;
    for seed in 0..SEEDS {
        let report = run(seed, None, false);
        if let Some(violation) = report.violation {
            println!("SEED {seed}: {violation}");
            bad += 1;
            if bad == 1 {
                let again = run(seed, None, true);
                println!("{}", again.trace.join("\n"));
            }
        }
    }
    assert_eq!(bad, 0);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (one, other) = (run(seed, None, false), run(seed, None, true));
        assert_eq!((one.mark, one.calls), (other.mark, other.calls), "seed {seed}");
    }
}
