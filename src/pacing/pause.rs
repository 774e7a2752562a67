//! What an operator has paused: no permits for one app's calls of one method, for as long as it takes.

use std::sync::atomic::Ordering;

use crate::domain::ident::AppName;
use crate::pacing::{PacedCall, Pacing};

impl Pacing {
    /// Grants nothing for `call` of `app` any more. Whoever waits for it is told
    /// [`Admission::Closed`](crate::pacing::Admission::Closed) at once. Permits that are out stay:
    /// ask [`Pacing::is_paused`] right before the call. Nothing happens for an app that is not
    /// configured, and nothing more for a call that is paused already.
    pub fn pause(&self, app: &AppName, call: PacedCall) {
        let Some(lane) = self.lanes.get(app) else {
            return;
        };
        if !lane.paused[call.index()].swap(true, Ordering::AcqRel) {
            lane.with(|lane, now| lane.pause(call, now));
        }
    }

    /// Paces `call` of `app` again like any other, and wakes those who wait for that.
    pub fn resume(&self, app: &AppName, call: PacedCall) {
        let Some(lane) = self.lanes.get(app) else {
            return;
        };
        if lane.paused[call.index()].load(Ordering::Acquire) {
            // First in the lane: whoever sees the flag down may ask it.
            lane.lock().resume(call);
            lane.paused[call.index()].store(false, Ordering::Release);
            lane.resumed.notify_waiters();
        }
    }

    /// Whether `call` of `app` is paused; `false` for an app that is not configured.
    #[must_use]
    pub fn is_paused(&self, app: &AppName, call: PacedCall) -> bool {
        let lane = self.lanes.get(app);
        lane.is_some_and(|lane| lane.paused[call.index()].load(Ordering::Acquire))
    }

    /// Returns once `call` of `app` is not paused, at once if it is not. Holds no place in any line.
    pub async fn resumed(&self, app: &AppName, call: PacedCall) {
        let Some(lane) = self.lanes.get(app) else {
            return;
        };
        loop {
            // Made before the look, so that no ring is missed between the two.
            let ring = lane.resumed.notified();
            if !lane.paused[call.index()].load(Ordering::Acquire) {
                return;
            }
            ring.await;
        }
    }
}
