//! One request to the shared calendar, beside those who wait for what it brings.

use std::error::Error;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::domain::time::Monotonic;
use crate::pacing::share::Need;
use crate::pacing::{PacedCall, SharedLane};
use crate::ports::rate::{RateWish, Reservation, SharedRate};

/// A request that is under way. When it is dropped without an answer, nothing was booked.
pub(super) struct Booking {
    lane: Arc<SharedLane>,
    call: PacedCall,
    need: Need,
    asked_at: Monotonic,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Asking,
    Answered,
}

impl Booking {
    pub(super) fn new(
        lane: Arc<SharedLane>,
        call: PacedCall,
        need: Need,
        asked_at: Monotonic,
    ) -> Self {
        Self {
            lane,
            call,
            need,
            asked_at,
            stage: Stage::Asking,
        }
    }

    /// Asks in a task of its own; where no runtime is left to run it, everything ends anyway.
    pub(super) fn start(self, rate: &Arc<dyn SharedRate>) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.run(Arc::clone(rate)));
        }
    }

    /// Asks, and tells the lane what came of it.
    async fn run(mut self, rate: Arc<dyn SharedRate>) {
        let wish = RateWish {
            app: self.lane.app.clone(),
            method: self.call.as_str(),
            per_second: self.lane.per_second,
            soon: self.need.soon,
            spread: self.need.spread,
            spread_from_us: self.need.spread_from_us,
        };
        match rate.reserve(&wish).await {
            Ok(reservation) => self.booked(&reservation),
            Err(error) => {
                let error: &dyn Error = &error;
                let (app, method) = (&wish.app, wish.method);
                if self.lane.lock().is_failing(self.call) {
                    tracing::debug!(error, %app, method, "could not book calls again");
                } else {
                    tracing::warn!(error, %app, method, "could not book calls; jobs wait until it works");
                }
            }
        }
    }

    fn booked(&mut self, reservation: &Reservation) {
        self.stage = Stage::Answered;
        let (need, asked_at) = (self.need, self.asked_at);
        self.lane.with(|lane, now| {
            lane.booked(self.call, now, |share| {
                share.filled(need, reservation, asked_at, now);
            });
        });
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if self.stage == Stage::Asking {
            self.lane.with(|lane, now| {
                lane.booked(self.call, now, |share| share.failed(now));
            });
        }
    }
}
