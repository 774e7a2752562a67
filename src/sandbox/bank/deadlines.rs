//! What happens when a time is up: late money moves, unpaid orders close, remainders go back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::{Bank, Command, Payer, Status, What};

/// Source: Alipay fund.coupon, `pay_timeout`.
const PAY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Source: the self-service contract: all that is left goes back after 48 hours.
const REFUND_AFTER_DEFAULT: Duration = Duration::from_secs(48 * 60 * 60);

/// Our reading: values of 60 and 360 days were seen; more than two years is no refund time.
const REFUND_AFTER_MAX_MINUTES: u64 = 2 * 366 * 24 * 60;

/// What happens to a packet by itself. Of one instant, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// It closes, if nobody has paid it.
    Close(usize),
    /// All that is left in it goes back to its payer.
    Refund(usize),
}

/// How long the payer may take.
pub(super) fn pay_timeout(command: &Command) -> Duration {
    let pay_timeout = command.pay_timeout.as_deref();
    pay_timeout.and_then(span).unwrap_or(PAY_TIMEOUT_DEFAULT)
}

/// How long after payment the remainder goes back.
///
/// Source: `orderExpiredTime` works in agreement.pay alone and is ignored elsewhere. The sources
/// differ in its spelling, so both are understood: a member of its own, and `merchantExt`.
/// Our reading: what is no time is ignored.
pub(super) fn refund_after(command: &Command) -> Duration {
    let by_agreement = match &command.what {
        What::Pay { payer, .. } => *payer != Payer::Person,
        What::Disburse { .. } | What::Refund { .. } => false,
    };
    let extra_param = command.extra_param.as_deref().filter(|_| by_agreement);
    extra_param
        .and_then(order_expired_time)
        .unwrap_or(REFUND_AFTER_DEFAULT)
}

fn order_expired_time(extra_param: &str) -> Option<Duration> {
    let members: Value = serde_json::from_str(extra_param).ok()?;
    let own = members.get("orderExpiredTime").and_then(Value::as_str);
    let in_text = || {
        let text = members.get("merchantExt").and_then(Value::as_str)?;
        let mut pairs = text.split([';', '&', ',']);
        pairs.find_map(|pair| pair.trim().strip_prefix("orderExpiredTime="))
    };
    span(own.or_else(in_text)?)
}

/// A whole number and `m`, `h` or `d`.
fn span(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(['m', 'h', 'd']);
    let (number, unit) = text.split_at(digits.len());
    let unit_minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return None,
    };
    let minutes = number.parse::<u64>().ok()?.checked_mul(unit_minutes)?;
    let possible = (1..=REFUND_AFTER_MAX_MINUTES).contains(&minutes);
    possible.then(|| Duration::from_secs(minutes * 60))
}

impl Bank {
    /// Lets everything happen whose time is up by `now`, in order.
    ///
    /// Money that was promised for an instant moves before the remainder goes back at that
    /// instant; a command that arrives then comes too late.
    pub fn advance(&mut self, now: UnixMillis) {
        loop {
            let money = self.due.first().map(|(instant, _)| *instant);
            let deadline = self.deadlines.first().map(|(instant, _)| *instant);
            let money_first = money.is_some_and(|money| deadline.is_none_or(|at| money <= at));
            let next = if money_first { money } else { deadline };
            if next.is_none_or(|next| next > now) {
                return;
            }
            if money_first {
                if let Some((instant, operation)) = self.due.pop_first() {
                    self.complete(operation, instant);
                }
            } else if let Some((instant, deadline)) = self.deadlines.pop_first() {
                self.meet(deadline, instant);
            }
        }
    }

    /// Notes when the remainder of a packet that was paid at `paid_at` goes back.
    pub(super) fn await_refund(&mut self, packet: usize, paid_at: UnixMillis) {
        let refund_at = paid_at.plus(self.packet(packet).refund_after);
        self.deadlines.insert((refund_at, Deadline::Refund(packet)));
    }

    fn meet(&mut self, deadline: Deadline, instant: UnixMillis) {
        match deadline {
            Deadline::Close(packet) => {
                if self.packet(packet).status == Status::Init {
                    self.close(self.orders[packet].first);
                }
            }
            Deadline::Refund(packet) => self.refund_remainder(packet, instant),
        }
    }

    /// Our reading: the refund's `out_request_no` and remark, which Alipay makes up.
    fn refund_remainder(&mut self, packet: usize, instant: UnixMillis) {
        let Some(amount) = Fen::new(self.packet(packet).left_fen()) else {
            return;
        };
        let order = &self.orders[packet];
        let auth_no = Arc::clone(&order.auth_no);
        let origin = self.operations[order.first].origin.clone();
        let command = Command {
            out_request_no: Arc::from(format!("AUTO{auth_no}")),
            amount,
            caption: Arc::from("超时自动退款"),
            extra_param: None,
            pay_timeout: None,
            what: What::Refund { auth_no },
        };
        let refund = self.accept((packet, packet), command, origin, instant);
        self.complete(refund, instant);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{order_expired_time, span};

    #[test]
    fn times_are_whole_numbers_of_minutes_hours_or_days() {
        for (text, minutes) in [
            ("1m", Some(1)),
            ("90m", Some(90)),
            ("2h", Some(120)),
            ("360d", Some(360 * 24 * 60)),
            ("0m", None),
            ("1.5h", None),
            ("1", None),
            ("m", None),
            ("1mm", None),
            ("-1m", None),
            ("9999d", None),
        ] {
            let expected = minutes.map(|minutes: u64| Duration::from_secs(minutes * 60));
            assert_eq!(span(text), expected, "{text}");
        }
    }

    #[test]
    fn the_refund_time_is_understood_in_both_spellings() {
        for (extra_param, minutes) in [
            (r#"{"orderExpiredTime":"3m"}"#, Some(3)),
            (r#"{"merchantExt":"orderExpiredTime=4m"}"#, Some(4)),
            (r#"{"merchantExt":"a=b;orderExpiredTime=1h"}"#, Some(60)),
            (r#"{"orderExpiredTime":"soon"}"#, None),
            (r#"{"merchantExt":"key=value"}"#, None),
            ("no json", None),
        ] {
            let expected = minutes.map(|minutes: u64| Duration::from_secs(minutes * 60));
            assert_eq!(order_expired_time(extra_param), expected, "{extra_param}");
        }
    }
}
