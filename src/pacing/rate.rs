//! How many calls may start per second: counted here, or booked in the calendar of all replicas.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::time::Monotonic;
use crate::pacing::share::Share;

/// How many tokens a full bucket holds, as a part of a second's tokens: 20 ms of them. Enough to
/// hide a timer's millisecond, little enough to stay near the rate in every single second.
const BURST_PARTS: u32 = 50;

/// Where the tokens of one method come from.
#[derive(Debug)]
pub(super) enum Rate {
    /// This process alone.
    Own(Bucket),
    /// The calendar that all replicas share.
    Shared(Share),
}

/// A token that was taken; it can be given back as long as it was not used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// The bucket's run, or the beginning of the calendar's window.
    pub(super) stamp: u64,
}

impl Rate {
    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<Token> {
        match self {
            Self::Own(bucket) => bucket.take(now),
            Self::Shared(share) => share.take(now),
        }
    }

    /// How long until there is a token, as far as is known; zero when there is one.
    pub(super) fn wait(&self, now: Monotonic) -> Duration {
        match self {
            Self::Own(bucket) => bucket.wait(now),
            Self::Shared(share) => share.wait(now),
        }
    }

    /// Gives back a token that was not used.
    pub(super) fn give_back(&mut self, token: Token) {
        match self {
            Self::Own(bucket) => bucket.give_back(token),
            Self::Shared(share) => share.give_back(token),
        }
    }

    /// The share in the calendar, where there is one.
    pub(super) fn share(&mut self) -> Option<&mut Share> {
        match self {
            Self::Own(_) => None,
            Self::Shared(share) => Some(share),
        }
    }
}

/// A bucket of tokens that fills at a steady rate.
///
/// In any second it gives at most the rate and one [`Bucket::burst`]. It keeps one instant, not a
/// count: the time up to which its tokens are spent.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    burst: u32,
    spent_until: Monotonic,
    /// Grows whenever tokens are taken after the bucket was full again.
    run: u64,
}

impl Bucket {
    /// Makes a full bucket that fills with `requests_per_second` tokens a second.
    pub(super) fn new(requests_per_second: NonZeroU32) -> Self {
        // Rounded up, so that the rate is never exceeded by rounding.
        let interval = 1_000_000_000_u64.div_ceil(u64::from(requests_per_second.get()));
        Self {
            interval: Duration::from_nanos(interval),
            burst: (requests_per_second.get() / BURST_PARTS).max(1),
            spent_until: Monotonic(Duration::ZERO),
            run: 0,
        }
    }

    /// How many tokens a full bucket holds; at least 1.
    #[cfg(test)]
    pub(super) fn burst(&self) -> u32 {
        self.burst
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<Token> {
        if !self.wait(now).is_zero() {
            return None;
        }
        if self.spent_until < now {
            self.spent_until = now;
            self.run = self.run.saturating_add(1);
        }
        self.spent_until = self.spent_until.plus(self.interval);
        Some(Token { stamp: self.run })
    }

    /// How long until there is a token; zero when there is one.
    pub(super) fn wait(&self, now: Monotonic) -> Duration {
        let ahead = self.interval.saturating_mul(self.burst.saturating_sub(1));
        self.spent_until.since(now).saturating_sub(ahead)
    }

    /// Gives back a token that was not used. Once the bucket was full again without it, it is
    /// worth nothing any more.
    pub(super) fn give_back(&mut self, token: Token) {
        if token.stamp == self.run {
            let earlier = self.spent_until.0.saturating_sub(self.interval);
            self.spent_until = Monotonic(earlier);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};
    use proptest::{prop_assert, prop_assert_eq};

    use super::Bucket;
    use crate::domain::time::Monotonic;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(requests_per_second: u32) -> Bucket {
        Bucket::new(NonZeroU32::new(requests_per_second).unwrap())
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn a_full_bucket_gives_its_burst_then_the_rate() {
        let mut bucket = bucket(100);
        assert_eq!(bucket.burst(), 2);
        assert!(bucket.take(at(1_000)).is_some());
        assert!(bucket.take(at(1_000)).is_some());
        assert!(bucket.take(at(1_000)).is_none());
        assert_eq!(bucket.wait(at(1_000)), Duration::from_millis(10));
        assert!(bucket.take(at(1_009)).is_none());
        assert!(bucket.take(at(1_010)).is_some());
        assert!(bucket.take(at(1_010)).is_none());
    }

    #[test]
    fn a_token_given_back_can_be_taken_again_once() {
        let mut bucket = bucket(1);
        let token = bucket.take(at(5_000)).unwrap();
        assert!(bucket.take(at(5_000)).is_none());
        bucket.give_back(token);
        assert!(bucket.take(at(5_000)).is_some());
        assert!(bucket.take(at(5_000)).is_none());
    }

    #[test]
    fn a_token_given_back_after_the_bucket_was_full_again_is_worth_nothing() {
        let mut bucket = bucket(1);
        let token = bucket.take(at(5_000)).unwrap();
        assert!(bucket.take(at(9_000)).is_some());
        bucket.give_back(token);
        assert!(bucket.take(at(9_000)).is_none());
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_rate_and_one_burst(
            rate in 1_u32..2_000,
            steps in prop::collection::vec((0_u64..40_000, any::<bool>(), 1_usize..40), 1..200),
        ) {
            let mut bucket = bucket(rate);
            let mut now = Duration::from_secs(3);
            let mut used = Vec::new();
            for (step_us, gives_back, tries) in steps {
                now += Duration::from_micros(step_us);
                for _ in 0..tries {
                    if let Some(token) = bucket.take(Monotonic(now)) {
                        if gives_back {
                            bucket.give_back(token);
                        } else {
                            used.push(now);
                        }
                    }
                }
            }
            let most = usize::try_from(rate + bucket.burst()).unwrap();
            for (index, start) in used.iter().enumerate() {
                let within = used[index..].iter().take_while(|at| **at - *start < SECOND);
                prop_assert!(within.count() <= most);
            }
        }

        #[test]
        fn whoever_waits_as_told_gets_a_token(rate in 1_u32..100_000, taken in 0_u32..5_000) {
            let mut bucket = bucket(rate);
            let mut now = at(1_000);
            for _ in 0..taken {
                now = now.plus(bucket.wait(now));
                prop_assert!(bucket.take(now).is_some());
            }
            let wait = bucket.wait(now);
            prop_assert!(bucket.take(now.plus(wait)).is_some());
            if !wait.is_zero() {
                let early = wait - Duration::from_nanos(1);
                let mut other = Bucket { ..bucket };
                other.spent_until = other.spent_until.0.checked_sub(other.interval)
                    .map_or(Monotonic(Duration::ZERO), Monotonic);
                prop_assert_eq!(other.wait(now.plus(early)), Duration::from_nanos(1));
            }
        }
    }
}
