//! The task that delivers what is due, and lets the bank's deadlines come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sandbox::bank::Bank;
use crate::sandbox::faults::{NoticeKnobs, NoticeOrder};
use crate::sandbox::notices::{Answered, Notice, content};
use crate::sandbox::state::State;

/// How often the clock is looked at: it may be hurried, put forward, or a test's.
const TICK: Duration = Duration::from_millis(20);

/// The most deliveries at one time; what is due beyond them waits.
const DELIVERIES_MAX: usize = 256;

/// Delivers until `stop` is cancelled; what is under way then is let go of.
pub(in crate::sandbox) async fn send_all(state: Arc<State>, stop: CancellationToken) {
    let mut deliveries = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
            () = state.notices_woken() => {}
            Some(_ended) = deliveries.join_next() => {}
        }
        state.with_bank(Bank::advance);
        let room = DELIVERIES_MAX.saturating_sub(deliveries.len());
        let mut due = state.take_due_notices(room);
        let knobs = state.faults().notices;
        match knobs.order {
            NoticeOrder::Together => {
                for (number, notice) in due {
                    let state = Arc::clone(&state);
                    deliveries.spawn(async move { deliver(&state, number, &notice, &knobs).await });
                }
            }
            NoticeOrder::NewestFirst if due.is_empty() => {}
            NoticeOrder::NewestFirst => {
                due.reverse();
                let state = Arc::clone(&state);
                deliveries.spawn(async move {
                    for (number, notice) in due {
                        deliver(&state, number, &notice, &knobs).await;
                    }
                });
            }
        }
    }
}

/// Makes one delivery, in as many copies as the knob wants, and records how it ended.
async fn deliver(state: &State, number: u64, notice: &Notice, knobs: &NoticeKnobs) {
    let sent_at = state.now();
    let form = content::form(state, notice, knobs);
    let charset = content::charset(notice, knobs);
    let copies = (0..knobs.copies).map(|_| state.poster().post(&notice.url, form.clone(), charset));
    let answers = join_all(copies).await;
    let success = answers.iter().find(|answer| **answer == Answered::Success);
    let answered = success.or_else(|| answers.first());
    let answered = answered.copied().unwrap_or(Answered::Otherwise("not sent"));
    state.record_delivery(number, sent_at, answered);
}
