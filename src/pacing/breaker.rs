//! Stops an app that cannot work, and finds out when it can again.

use std::time::Duration;

use crate::domain::time::Monotonic;
use crate::pacing::Signal;

/// So many calls in a row that could not be sent open the breaker.
pub(super) const FAILURES_MAX: u32 = 5;

/// How long an open breaker waits before the first probe.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest wait between two probes; each failed probe doubles the wait up to it.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// Why the breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenReason {
    /// Keys, permissions or contract: a person has to act.
    Blocked,
    /// The gateway could not be reached several times in a row.
    Unreachable,
}

impl OpenReason {
    /// The reason's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What the breaker says to somebody who asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Go on.
    Free,
    /// Not now.
    Refused { retry_after: Duration },
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that concerns those who wait.
    Nothing,
    /// The breaker has just opened: nobody who waits may go on.
    Opened { retry_after: Duration },
}

/// The breaker of one app. Tickets are the lane's numbers of its permits.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// The wait that the last open state ended with, and when; a breaker that opens again soon
    /// after goes on from there.
    closed: Option<(Duration, Monotonic)>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open(Open),
}

#[derive(Debug)]
struct Open {
    reason: OpenReason,
    wait: Duration,
    probe_from: Monotonic,
    /// The ticket of the one probe that is out.
    probe: Option<u64>,
}

impl Breaker {
    /// Makes a closed breaker.
    pub(super) const fn new() -> Self {
        Self {
            state: State::Closed { failures: 0 },
            closed: None,
        }
    }

    /// Why it is open, or `None` when it is closed.
    pub(super) fn reason(&self) -> Option<OpenReason> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open(open) => Some(open.reason),
        }
    }

    /// Asks for `ticket`, which becomes the probe if the breaker is open and a probe is due.
    pub(super) fn ask(&mut self, ticket: u64, now: Monotonic) -> Passage {
        let State::Open(open) = &mut self.state else {
            return Passage::Free;
        };
        let due_in = open.probe_from.since(now);
        if open.probe.is_none() && due_in.is_zero() {
            open.probe = Some(ticket);
            return Passage::Free;
        }
        let retry_after = if open.probe.is_some() {
            open.wait
        } else {
            due_in
        };
        Passage::Refused { retry_after }
    }

    /// Learns what came of a call of `ticket`.
    pub(super) fn report(&mut self, ticket: u64, signal: Signal, now: Monotonic) -> Change {
        match &mut self.state {
            State::Closed { failures } => match signal {
                Signal::Answered | Signal::Overloaded | Signal::Limited => {
                    *failures = 0;
                    Change::Nothing
                }
                // The connection stood, but nobody answered: no news about either.
                Signal::TimedOut | Signal::Broken => Change::Nothing,
                Signal::NotSent => {
                    *failures = failures.saturating_add(1);
                    if *failures < FAILURES_MAX {
                        return Change::Nothing;
                    }
                    self.open(OpenReason::Unreachable, now)
                }
                Signal::Blocked => self.open(OpenReason::Blocked, now),
            },
            State::Open(open) => {
                if signal == Signal::Blocked {
                    open.reason = OpenReason::Blocked;
                }
                // A call from before the breaker opened proves nothing about now.
                if open.probe == Some(ticket) {
                    self.judge(signal, now);
                }
                Change::Nothing
            }
        }
    }

    /// Learns that the permit of `ticket` is gone. A probe that never reported makes room for the
    /// next one at once.
    pub(super) fn gone(&mut self, ticket: u64) {
        if let State::Open(open) = &mut self.state
            && open.probe == Some(ticket)
        {
            open.probe = None;
        }
    }

    fn open(&mut self, reason: OpenReason, now: Monotonic) -> Change {
        let wait = match self.closed {
            Some((wait, at)) if now.since(at) < WAIT_MAX => doubled(wait),
            Some(_) | None => WAIT_MIN,
        };
        self.state = State::Open(Open {
            reason,
            wait,
            probe_from: now.plus(wait),
            probe: None,
        });
        Change::Opened { retry_after: wait }
    }

    /// Judges the probe's report.
    fn judge(&mut self, signal: Signal, now: Monotonic) {
        let State::Open(open) = &mut self.state else {
            return;
        };
        let works = match signal {
            Signal::Answered => true,
            // The gateway is there; whether it lets this app in is not said.
            Signal::Overloaded | Signal::Limited => open.reason == OpenReason::Unreachable,
            Signal::TimedOut | Signal::Broken | Signal::NotSent | Signal::Blocked => false,
        };
        if works {
            self.closed = Some((open.wait, now));
            self.state = State::Closed { failures: 0 };
        } else {
            open.wait = doubled(open.wait);
            open.probe_from = now.plus(open.wait);
            open.probe = None;
        }
    }
}

fn doubled(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Breaker, Change, FAILURES_MAX, OpenReason, Passage, WAIT_MAX, WAIT_MIN};
    use crate::domain::time::Monotonic;
    use crate::pacing::Signal;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    fn refused(millis: u64) -> Passage {
        let retry_after = Duration::from_millis(millis);
        Passage::Refused { retry_after }
    }

    fn blocked_at(now: Monotonic) -> Breaker {
        let mut breaker = Breaker::new();
        let opened = Change::Opened {
            retry_after: WAIT_MIN,
        };
        assert_eq!(breaker.report(1, Signal::Blocked, now), opened);
        breaker
    }

    #[test]
    fn one_blocked_call_opens_it() {
        let breaker = blocked_at(at(0));
        assert_eq!(breaker.reason(), Some(OpenReason::Blocked));
    }

    #[test]
    fn only_calls_in_a_row_that_could_not_be_sent_open_it() {
        // Each row: a signal between the failures, and whether it breaks the row.
        for (between, breaks) in [
            (Signal::Answered, true),
            (Signal::Overloaded, true),
            (Signal::Limited, true),
            (Signal::TimedOut, false),
            (Signal::Broken, false),
        ] {
            let mut breaker = Breaker::new();
            for _ in 1..FAILURES_MAX {
                breaker.report(1, Signal::NotSent, at(0));
            }
            breaker.report(1, between, at(0));
            assert_eq!(breaker.reason(), None);
            breaker.report(1, Signal::NotSent, at(0));
            let expected = (!breaks).then_some(OpenReason::Unreachable);
            assert_eq!(breaker.reason(), expected, "{between:?}");
        }
    }

    #[test]
    fn timeouts_alone_never_open_it() {
        let mut breaker = Breaker::new();
        for _ in 0..100 {
            breaker.report(1, Signal::TimedOut, at(0));
        }
        assert_eq!(breaker.reason(), None);
    }

    #[test]
    fn one_probe_at_a_time_after_the_wait() {
        let mut breaker = blocked_at(at(0));
        assert_eq!(breaker.ask(2, at(400)), refused(600));
        assert_eq!(breaker.ask(3, at(1_000)), Passage::Free);
        assert_eq!(breaker.ask(4, at(1_000)), refused(1_000));
        assert_eq!(breaker.ask(4, at(50_000)), refused(1_000));
    }

    #[test]
    fn the_wait_doubles_from_one_second_to_thirty() {
        let mut breaker = blocked_at(at(0));
        let mut now = 0;
        for (ticket, wait_s) in (10..).zip([1, 2, 4, 8, 16, 30, 30]) {
            assert_eq!(breaker.ask(ticket, at(now)), refused(wait_s * 1_000));
            now += wait_s * 1_000;
            assert_eq!(breaker.ask(ticket, at(now)), Passage::Free);
            breaker.report(ticket, Signal::Blocked, at(now));
        }
    }

    #[test]
    fn the_answer_of_the_probe_closes_it_and_of_nobody_else() {
        let mut breaker = blocked_at(at(0));
        assert_eq!(breaker.ask(2, at(1_000)), Passage::Free);
        breaker.report(1, Signal::Answered, at(1_001));
        assert_eq!(breaker.reason(), Some(OpenReason::Blocked));
        breaker.report(2, Signal::Answered, at(1_002));
        assert_eq!(breaker.reason(), None);
        assert_eq!(breaker.ask(3, at(1_002)), Passage::Free);
    }

    #[test]
    fn what_a_probe_reports_closes_it_or_not() {
        for (signal, unreachable_closes, blocked_closes) in [
            (Signal::Answered, true, true),
            (Signal::Overloaded, true, false),
            (Signal::Limited, true, false),
            (Signal::TimedOut, false, false),
            (Signal::Broken, false, false),
            (Signal::NotSent, false, false),
            (Signal::Blocked, false, false),
        ] {
            let mut unreachable = Breaker::new();
            for _ in 0..FAILURES_MAX {
                unreachable.report(1, Signal::NotSent, at(0));
            }
            for (mut breaker, closes) in [
                (unreachable, unreachable_closes),
                (blocked_at(at(0)), blocked_closes),
            ] {
                assert_eq!(breaker.ask(2, at(1_000)), Passage::Free);
                breaker.report(2, signal, at(1_000));
                assert_eq!(breaker.reason().is_none(), closes, "{signal:?}");
            }
        }
    }

    #[test]
    fn a_probe_that_is_gone_without_a_report_makes_room_at_once() {
        let mut breaker = blocked_at(at(0));
        assert_eq!(breaker.ask(2, at(1_000)), Passage::Free);
        breaker.gone(1);
        assert_eq!(breaker.ask(3, at(1_000)), refused(1_000));
        breaker.gone(2);
        assert_eq!(breaker.ask(3, at(1_000)), Passage::Free);
    }

    #[test]
    fn a_breaker_that_opens_again_soon_goes_on_doubling() {
        let mut breaker = blocked_at(at(0));
        breaker.ask(2, at(1_000));
        breaker.report(2, Signal::Answered, at(1_000));
        breaker.report(3, Signal::Blocked, at(2_000));
        assert_eq!(breaker.ask(4, at(2_000)), refused(2_000));

        breaker.ask(4, at(4_000));
        breaker.report(4, Signal::Answered, at(4_000));
        let later = at(4_000).plus(WAIT_MAX);
        breaker.report(5, Signal::Blocked, later);
        assert_eq!(breaker.ask(6, later), refused(1_000));
    }
}
