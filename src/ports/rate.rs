//! What pacing needs of whoever counts the calls of all replicas together.

use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::ident::AppName;

/// The shortest window. Windows are so long at 100 calls per second and more; below, one window is
/// as long as one call takes of a second.
pub const WINDOW_MIN: Duration = Duration::from_millis(10);

/// How far ahead calls are spread for demand that is only expected.
pub const SPREAD: Duration = Duration::from_millis(200);

/// How far ahead a calendar may be booked at most; one window more where windows are long.
pub const HORIZON: Duration = Duration::from_secs(3);

/// The calendar that all replicas book their calls in: one per app and method.
///
/// Time is cut into windows of equal length, the same for everybody, counted from 1970 by one clock
/// that all share. Each window has room for its part of a second's calls; what is booked by one is
/// lost to the others, used or not. So nobody has to ask for each call, and no second sees more
/// than the rate and one window.
#[async_trait]
pub trait SharedRate: Send + Sync {
    /// Books calls as `wish` says. Fewer than wished, or none, means that the calendar is full.
    ///
    /// # Errors
    ///
    /// [`RateError`]: no call may be made for it. What was booked all the same is lost to everybody.
    async fn reserve(&self, wish: &RateWish) -> Result<Reservation, RateError>;
}

/// What somebody wants to book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateWish {
    /// The app.
    pub app: AppName,
    /// The method's word, of `[a-z]`.
    pub method: &'static str,
    /// The rate of app and method; the same in every replica.
    pub per_second: NonZeroU32,
    /// So many calls as early as there is room.
    pub soon: u32,
    /// So many calls spread evenly over [`SPREAD`] from now, from at most half of the room in each
    /// window: for jobs that are expected to come. None where a window is longer than
    /// [`WINDOW_MIN`].
    pub spread: u32,
    /// The spread begins here at the earliest, in microseconds of the calendar's clock: what is
    /// before was asked for already.
    pub spread_from_us: u64,
}

/// What was booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The calendar's clock, in microseconds since 1970.
    pub now_us: u64,
    /// The windows, in ascending order. The earliest may be the present one.
    pub windows: Vec<RateWindow>,
}

/// What was booked in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// Where it begins, in microseconds of the calendar's clock.
    pub starts_us: u64,
    /// Calls booked by [`RateWish::soon`].
    pub soon: u32,
    /// Calls booked by [`RateWish::spread`].
    pub spread: u32,
}

/// Nobody could be asked, or no answer came.
#[derive(Debug, thiserror::Error)]
#[error("reserve calls of the shared rate")]
pub struct RateError(#[source] pub Box<dyn Error + Send + Sync>);

/// How long one window is at a rate, in whole microseconds.
#[must_use]
pub fn window_us(per_second: NonZeroU32) -> u64 {
    // Rounded up, so that the rate is never exceeded by rounding.
    let of_one_call = 1_000_000_u64.div_ceil(u64::from(per_second.get()));
    of_one_call.max(micros(WINDOW_MIN))
}

/// A length of time in whole microseconds; saturates.
#[must_use]
pub fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::window_us;

    #[test]
    fn a_window_is_ten_milliseconds_or_the_time_of_one_call() {
        for (rate, expected) in [
            (1, 1_000_000),
            (3, 333_334),
            (99, 10_102),
            (100, 10_000),
            (u32::MAX, 10_000),
        ] {
            let rate = NonZeroU32::new(rate).unwrap();
            assert_eq!(window_us(rate), expected);
        }
    }
}
