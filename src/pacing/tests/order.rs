//! Who goes first: ranks, parties, and what nobody is denied for ever.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::{anybody, app, open, open_for, pacing};
use crate::domain::time::Monotonic;
use crate::pacing::lane::{Asked, Lane, PASSES_MAX};
use crate::pacing::rate::{Bucket, Rate};
use crate::pacing::{Admission, Applicant, PacedCall, PacingOptions, Party, Rank, Signal};

fn who(call: PacedCall, rank: Rank, party: u64) -> Applicant {
    Applicant {
        call,
        rank,
        party: Party(party),
    }
}

fn disburse(rank: Rank) -> Applicant {
    who(PacedCall::Disburse, rank, 0)
}

/// A lane of one slot that has all the tokens it wants.
fn narrow() -> Lane {
    let one = NonZeroU32::MIN;
    let options = PacingOptions {
        requests_per_second: NonZeroU32::new(100_000).unwrap(),
        concurrency_min: one,
        concurrency_max: one,
    };
    Lane::new(&options, || {
        Rate::Own(Bucket::new(options.requests_per_second))
    })
}

/// Lets all of `applicants` wait in this order, and returns the order in which they are served.
fn served(applicants: &[Applicant]) -> Vec<Applicant> {
    let mut lane = narrow();
    let mut now = Monotonic(Duration::from_secs(10));
    let first = anybody(PacedCall::Query);
    let Asked::Granted(mut holder) = lane.ask(first, now) else {
        panic!("the slot is free");
    };
    let mut rank = first.rank;
    let mut waiting: Vec<_> = applicants
        .iter()
        .map(|who| match lane.ask(*who, now) {
            Asked::Waiting(waiter) => (*who, waiter),
            other @ (Asked::Granted(_) | Asked::Closed { .. }) => panic!("{other:?}"),
        })
        .collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        now = now.plus(Duration::from_millis(1));
        lane.release(holder, rank, now);
        let granted = waiting
            .iter()
            .position(|(_, waiter)| waiter.is_granted())
            .expect("a free slot is given to somebody");
        let (who, waiter) = waiting.remove(granted);
        (holder, rank) = (waiter.ticket, who.rank);
        order.push(who);
    }
    order
}

#[test]
fn the_highest_rank_goes_first_whichever_its_method() {
    let few = [
        disburse(Rank::Last),
        disburse(Rank::Normal),
        who(PacedCall::Refund, Rank::First, 0),
        disburse(Rank::First),
        who(PacedCall::Query, Rank::First, 0),
    ];
    let expected = [few[2], few[3], few[4], few[1], few[0]];
    assert_eq!(served(&few), expected);
}

#[test]
fn no_rank_starves() {
    let crowd = [Rank::First, Rank::Normal, Rank::Last]
        .map(|rank| vec![disburse(rank); 100])
        .concat();
    let order = served(&crowd);
    let most = usize::try_from(PASSES_MAX).unwrap() + 3;
    // As long as all of them wait, every rank is among so many in a row.
    let first_left = order
        .iter()
        .rposition(|who| who.rank == Rank::First)
        .unwrap();
    for window in order[..first_left].windows(most) {
        for rank in Rank::ALL {
            assert!(window.iter().any(|who| who.rank == rank), "{rank:?}");
        }
    }
    let firsts = order[..100].iter().filter(|who| who.rank == Rank::First);
    assert!(firsts.count() >= 75, "the guarantee is no equality");
}

#[test]
fn parties_of_one_rank_take_turns_and_each_keeps_its_own_order() {
    let mut crowd: Vec<_> = (0..50)
        .map(|_| who(PacedCall::Disburse, Rank::Normal, 1))
        .collect();
    let small = [2, 3, 2].map(|party| who(PacedCall::Disburse, Rank::Normal, party));
    crowd.extend(small);
    let parties: Vec<u64> = served(&crowd).iter().map(|who| who.party.0).collect();
    assert_eq!(parties[..6], [1, 2, 3, 1, 2, 1]);
    assert!(parties[6..].iter().all(|party| *party == 1));
}

#[tokio::test(start_paused = true)]
async fn slots_that_slow_disbursements_fill_leave_one_for_a_refund() {
    let (pacing, clock) = pacing(10_000, 4, 4);
    let mut held = Vec::new();
    while let Some(Admission::Open(permit)) = pacing.permit_at_once(&app(), disburse(Rank::Normal))
    {
        held.push(permit);
    }
    assert_eq!(held.len(), 3);
    let mut waiting: Vec<_> = (0..100)
        .map(|_| Box::pin(open_for(&pacing, disburse(Rank::Normal))))
        .collect();
    for wait in &mut waiting {
        assert!(wait.as_mut().now_or_never().is_none());
    }
    let refund = open(&pacing, PacedCall::Refund).await;
    assert!(refund.waited().is_zero());
    drop(refund);
    let start = clock.monotonic();
    drop(open(&pacing, PacedCall::Query).await);
    assert_eq!(clock.monotonic(), start);
    // What is set aside leaves one to the others too.
    held.clear();
    drop(waiting);
    let mut aside = Vec::new();
    while let Some(Admission::Open(permit)) = pacing.permit_at_once(&app(), disburse(Rank::Last)) {
        aside.push(permit);
    }
    assert_eq!(aside.len(), 2);
    let other = open_for(&pacing, disburse(Rank::Normal)).await;
    assert!(other.waited().is_zero());
}

#[tokio::test(start_paused = true)]
async fn an_urgent_job_takes_the_next_token_although_a_burst_waits_for_it() {
    let (pacing, _clock) = pacing(10, 64, 64);
    let _first = open_for(&pacing, disburse(Rank::Normal)).await;
    let mut burst = JoinSet::new();
    for _ in 0..40 {
        let pacing = Arc::clone(&pacing);
        burst.spawn(async move { drop(open_for(&pacing, disburse(Rank::Normal)).await) });
    }
    tokio::task::yield_now().await;
    let urgent = open_for(&pacing, disburse(Rank::First)).await;
    assert_eq!(urgent.waited(), Duration::from_millis(100));
    assert_eq!(burst.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn whoever_would_not_wait_gets_nothing_and_leaves_nothing_behind() {
    let (pacing, clock) = pacing(100, 1, 1);
    let normal = disburse(Rank::Normal);
    let holder = open_for(&pacing, normal).await;
    assert!(pacing.permit_at_once(&app(), normal).is_none());
    holder.report(Signal::Blocked);
    let refused = pacing.permit_at_once(&app(), normal);
    assert!(matches!(refused, Some(Admission::Closed { .. })));
    clock.sleep(Duration::from_secs(1)).await;
    // It would be the probe; as it did not wait, the next one is.
    assert!(pacing.permit_at_once(&app(), normal).is_none());
    drop(holder);
    let probe = pacing.permit_at_once(&app(), normal);
    assert!(matches!(probe, Some(Admission::Open(_))));
}
