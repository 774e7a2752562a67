//! How long to wait before the next attempt to reach a server that is away.

use std::time::Duration;

/// Into so many equal steps the drawn half of a wait is divided.
const STEPS: u32 = 1_024;

/// The waits between attempts to connect: each up to twice as long as the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with a wait of at most `min`; no wait is longer than `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min,
        }
    }

    /// The wait before the next attempt: at least half of what it may be at most. Where in between
    /// is drawn, so that the replicas of a server that comes back do not come all at once; `draw`
    /// is 64 random bits.
    #[must_use]
    pub fn wait(&mut self, draw: u64) -> Duration {
        let half = self.next.checked_div(2).unwrap_or_default();
        self.next = self.next.saturating_mul(2).min(self.max);
        let step = u32::try_from(draw.checked_rem(u64::from(STEPS)).unwrap_or_default())
            .unwrap_or_default();
        let drawn = half.saturating_mul(step).checked_div(STEPS);
        half.saturating_add(drawn.unwrap_or_default())
    }

    /// Notes that a connection was made and lasted for `length`. Only one that lasted as long as
    /// the longest wait makes the next wait the shortest again: a server that lets us in and
    /// breaks off at once is none to come back to at once.
    pub fn lasted(&mut self, length: Duration) {
        if length >= self.max {
            self.next = self.min;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(10);

    fn backoff() -> Backoff {
        Backoff::new(MIN, MAX)
    }

    /// A draw for each of so many replicas. Source: `SplitMix64`, Steele and others, 2014.
    fn draws(replicas: u64) -> impl Iterator<Item = u64> {
        (1..=replicas).map(|replica| {
            let mut mixed = replica.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    #[test]
    fn each_wait_may_be_twice_as_long_as_the_one_before_up_to_the_longest() {
        for (draw, share_permille) in [(0, 500), (512, 750), (1_023, 999)] {
            let mut backoff = backoff();
            for longest_ms in [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000] {
                let wait = backoff.wait(draw);
                let expected = Duration::from_millis(longest_ms * share_permille / 1_000);
                let off = wait.abs_diff(expected);
                assert!(
                    off <= Duration::from_millis(10),
                    "{wait:?} for {expected:?}"
                );
            }
        }
    }

    #[test]
    fn replicas_that_lose_a_server_together_come_back_spread_over_half_of_the_wait() {
        const REPLICAS: u64 = 1_000;
        let waits: Vec<Duration> = draws(REPLICAS).map(|draw| backoff().wait(draw)).collect();
        assert!(waits.iter().all(|wait| (MIN / 2..MIN).contains(wait)));
        // In each tenth of the spread there is about a tenth of them.
        for tenth in 0..10 {
            let from = MIN / 2 + MIN / 20 * tenth;
            let among = from..from + MIN / 20;
            let count = waits.iter().filter(|wait| among.contains(*wait)).count();
            assert!((60..=140).contains(&count), "{count} in tenth {tenth}");
        }
    }

    #[test]
    fn in_a_minute_of_absence_there_are_at_most_seventeen_attempts() {
        for draw in [0, u64::MAX] {
            let mut backoff = backoff();
            let mut passed = Duration::ZERO;
            let mut attempts = 0;
            while passed < Duration::from_secs(60) {
                passed += backoff.wait(draw);
                attempts += 1;
            }
            assert!(attempts <= 17, "{attempts}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_makes_the_waits_short_again() {
        let mut backoff = backoff();
        for _ in 0..20 {
            assert!(backoff.wait(0) <= MAX);
            backoff.lasted(MAX - Duration::from_millis(1));
        }
        assert_eq!(backoff.wait(0), MAX / 2);
        backoff.lasted(MAX);
        assert_eq!(backoff.wait(0), MIN / 2);
    }
}
