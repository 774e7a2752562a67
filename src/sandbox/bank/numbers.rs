//! Numbers in the shapes of Alipay's, from counters.

use std::sync::Arc;

use crate::adapters::alipay::wire::timestamp_gmt8;
use crate::domain::time::UnixMillis;

/// Deterministic: the same calls give the same numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    orders: u64,
    operations: u64,
}

impl Numbers {
    /// 28 digits: the day in GMT+8, `10002001`, and a counter of 12 digits.
    ///
    /// Source: a real answer, `2017122810002001950287006752`.
    pub(super) fn auth_no(&mut self, now: UnixMillis) -> Arc<str> {
        self.orders += 1;
        Arc::from(format!("{}10002001{:012}", day(now), self.orders))
    }

    /// 20 digits: the day in GMT+8 and a counter of 12 digits.
    ///
    /// Source: a real answer, `20171228312616259502`.
    pub(super) fn operation_id(&mut self, now: UnixMillis) -> Arc<str> {
        self.operations += 1;
        Arc::from(format!("{}{:012}", day(now), self.operations))
    }
}

fn day(now: UnixMillis) -> String {
    let mut day = timestamp_gmt8(now.0);
    day.truncate(10);
    day.retain(|c| c.is_ascii_digit());
    day
}
