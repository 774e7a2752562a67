//! What an operator pauses.

use std::time::Duration;

use futures_util::FutureExt;

use super::{anybody, app, closed, open, pacing};
use crate::pacing::{Admission, Further, PacedCall, Pacing, Signal};

async fn is_closed(pacing: &Pacing, call: PacedCall) -> bool {
    match pacing.permit(&app(), anybody(call)).await {
        Admission::Open(_) => false,
        Admission::Closed { .. } => true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_call_gets_no_permit_and_every_other_call_does() {
    let (pacing, _clock) = pacing(100, 16, 16);
    pacing.pause(&app(), PacedCall::Disburse);
    for call in PacedCall::ALL {
        let is_paused = call == PacedCall::Disburse;
        assert_eq!(pacing.is_paused(&app(), call), is_paused);
        assert_eq!(is_closed(&pacing, call).await, is_paused, "{call:?}");
        let at_once = pacing.permit_at_once(&app(), anybody(call));
        let refused = matches!(at_once, Some(Admission::Closed { .. }));
        assert_eq!(refused, is_paused, "{call:?}");
    }
    pacing.resume(&app(), PacedCall::Disburse);
    drop(open(&pacing, PacedCall::Disburse).await);
    assert_eq!((pacing.in_flight(&app()), pacing.waiting(&app())), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_call_that_is_paused_is_sent_away_at_once() {
    let (pacing, _clock) = pacing(100, 1, 1);
    let app = app();
    let permit = open(&pacing, PacedCall::Disburse).await;
    let mut waits = Box::pin(pacing.permit(&app, anybody(PacedCall::Disburse)));
    let mut queries = Box::pin(pacing.permit(&app, anybody(PacedCall::Query)));
    assert!((&mut waits).now_or_never().is_none());
    assert!((&mut queries).now_or_never().is_none());
    pacing.pause(&app, PacedCall::Disburse);
    let told = (&mut waits).now_or_never();
    assert!(matches!(told, Some(Admission::Closed { .. })), "{told:?}");
    // What holds a permit may go on with what is not paused.
    assert_eq!(permit.next_call(PacedCall::Disburse).await, Further::Paused);
    assert_eq!(permit.next_call(PacedCall::Query).await, Further::Granted);
    drop(permit);
    let told = (&mut queries).now_or_never();
    assert!(matches!(told, Some(Admission::Open(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_further_call_is_sent_away_too() {
    let (pacing, clock) = pacing(1, 8, 8);
    let permit = open(&pacing, PacedCall::Query).await;
    drop(open(&pacing, PacedCall::Disburse).await);
    let mut waits = Box::pin(permit.next_call(PacedCall::Disburse));
    assert!((&mut waits).now_or_never().is_none());
    pacing.pause(&app(), PacedCall::Disburse);
    assert_eq!((&mut waits).now_or_never(), Some(Further::Paused));
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(pacing.waiting(&app()), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_pause_wakes_everybody_who_waits_for_it() {
    let (pacing, _clock) = pacing(100, 4, 4);
    let app = app();
    assert_eq!(
        pacing.resumed(&app, PacedCall::Pay).now_or_never(),
        Some(())
    );
    pacing.pause(&app, PacedCall::Pay);
    pacing.pause(&app, PacedCall::Refund);
    let mut ends = [0; 3].map(|_| Box::pin(pacing.resumed(&app, PacedCall::Pay)));
    for end in &mut ends {
        assert!(end.now_or_never().is_none());
    }
    pacing.resume(&app, PacedCall::Refund);
    for end in &mut ends {
        assert!(end.now_or_never().is_none(), "another call was resumed");
    }
    pacing.resume(&app, PacedCall::Pay);
    for end in ends {
        assert_eq!(end.now_or_never(), Some(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_a_pause_sends_away_makes_room_for_the_next() {
    let (pacing, clock) = pacing(1, 8, 8);
    let app = app();
    open(&pacing, PacedCall::Disburse)
        .await
        .report(Signal::Blocked);
    let wait = closed(&pacing).await;
    // Somebody takes the only call of this second, so that the probe has to wait.
    clock.sleep(wait).await;
    let probe = open(&pacing, PacedCall::Disburse).await;
    probe.report(Signal::Blocked);
    drop(probe);
    clock.sleep(Duration::from_secs(2)).await;
    drop(open(&pacing, PacedCall::Disburse).await);
    let mut probe = Box::pin(pacing.permit(&app, anybody(PacedCall::Disburse)));
    assert!(
        (&mut probe).now_or_never().is_none(),
        "it waits for its call"
    );
    pacing.pause(&app, PacedCall::Disburse);
    let told = (&mut probe).now_or_never();
    assert!(matches!(told, Some(Admission::Closed { .. })), "{told:?}");
    // A query probes in its place, and closes the breaker.
    open(&pacing, PacedCall::Query)
        .await
        .report(Signal::Answered);
    assert!(!pacing.breaker_open(&app));
}

#[tokio::test(start_paused = true)]
async fn a_paused_call_is_never_the_probe() {
    let (pacing, clock) = pacing(100, 8, 8);
    open(&pacing, PacedCall::Disburse)
        .await
        .report(Signal::Blocked);
    pacing.pause(&app(), PacedCall::Disburse);
    clock.sleep(Duration::from_secs(1)).await;
    assert!(is_closed(&pacing, PacedCall::Disburse).await);
    open(&pacing, PacedCall::Query)
        .await
        .report(Signal::Answered);
    assert!(!pacing.breaker_open(&app()));
}
