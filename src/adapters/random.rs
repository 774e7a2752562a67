//! The system's chance: the only place that draws it.

use crate::ports::clock::Random;

/// The thread's generator, seeded by the operating system and fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that draws random numbers"
    )]
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::SystemRandom;
    use crate::ports::clock::Random;

    #[test]
    fn a_thousand_draws_never_meet() {
        let drawn: BTreeSet<u64> = (0..1_000).map(|_| SystemRandom.next_u64()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
