//! Holds a method back after Alipay said that it is called too often.

use std::time::Duration;

use crate::domain::time::Monotonic;

/// The first pause; each that follows without an answer in between is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// The longest pause: what Alipay's trouble costs at most once it is over.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pauses of one method.
///
/// A rate that is a little above what Alipay allows costs a short pause now and then. While every
/// call is answered 40005, there is one round of calls in ten seconds, and nobody is deferred for
/// it: who waits for a permit costs nothing.
#[derive(Debug)]
pub(super) struct Brake {
    until: Monotonic,
    /// The last pause; zero once a call after it was answered.
    pause: Duration,
}

impl Brake {
    pub(super) const fn new() -> Self {
        Self {
            until: Monotonic(Duration::ZERO),
            pause: Duration::ZERO,
        }
    }

    /// How long no call may start.
    pub(super) fn wait(&self, now: Monotonic) -> Duration {
        self.until.since(now)
    }

    /// Learns that a call was answered 40005. Those that were under way together are one piece of
    /// news.
    pub(super) fn limited(&mut self, now: Monotonic) {
        if !self.wait(now).is_zero() {
            return;
        }
        self.pause = self.pause.saturating_mul(2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.until = now.plus(self.pause);
    }

    /// Learns that a call was answered. During a pause that is old news.
    pub(super) fn answered(&mut self, now: Monotonic) {
        if self.wait(now).is_zero() {
            self.pause = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Brake;
    use crate::domain::time::Monotonic;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn pauses_double_until_a_call_after_one_is_answered() {
        let mut brake = Brake::new();
        let mut now = 5_000;
        for pause in [
            20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_000, 10_000,
        ] {
            assert_eq!(brake.wait(at(now)), Duration::ZERO);
            brake.limited(at(now));
            // The others that were under way say nothing new, whatever they were answered.
            brake.limited(at(now + 1));
            brake.answered(at(now + 2));
            assert_eq!(brake.wait(at(now)), Duration::from_millis(pause));
            now += pause;
        }
        brake.answered(at(now));
        brake.limited(at(now));
        assert_eq!(brake.wait(at(now)), Duration::from_millis(20));
    }
}
