//! The assembled lanes on virtual time.

mod order;
mod pause;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use proptest::prelude::{Just, Strategy, prop, proptest};
use proptest::{prop_assert, prop_assert_eq, prop_oneof};
use tokio::task::JoinSet;

use crate::domain::ident::AppName;
use crate::domain::time::{Monotonic, UnixMillis};
use crate::pacing::{
    Admission, Applicant, Further, OpenReason, PacedCall, Pacing, PacingOptions, Party, Permit,
    Rank, Signal,
};
use crate::ports::clock::Clock;

/// The runtime's own clock, which stands still until everybody waits.
struct VirtualClock {
    start: tokio::time::Instant,
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Monotonic {
        // An hour in, so that every bucket is full.
        Monotonic(Duration::from_secs(3_600) + self.start.elapsed())
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

fn clock() -> Arc<dyn Clock> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of the tests, on the runtime's virtual time"
    )]
    let start = tokio::time::Instant::now();
    Arc::new(VirtualClock { start })
}

fn app() -> AppName {
    AppName::new("main").unwrap()
}

/// Rate, floor and ceiling.
fn pacing(rate: u32, floor: u32, ceiling: u32) -> (Arc<Pacing>, Arc<dyn Clock>) {
    let [requests_per_second, concurrency_min, concurrency_max] =
        [rate, floor, ceiling].map(|number| NonZeroU32::new(number).unwrap());
    let options = PacingOptions {
        requests_per_second,
        concurrency_min,
        concurrency_max,
    };
    let clock = clock();
    let pacing = Pacing::new(options, &[app()], Arc::clone(&clock));
    (pacing, clock)
}

/// Somebody like all others.
fn anybody(call: PacedCall) -> Applicant {
    Applicant {
        call,
        rank: Rank::First,
        party: Party::default(),
    }
}

async fn open(pacing: &Pacing, call: PacedCall) -> Permit {
    open_for(pacing, anybody(call)).await
}

async fn open_for(pacing: &Pacing, who: Applicant) -> Permit {
    match pacing.permit(&app(), who).await {
        Admission::Open(permit) => permit,
        Admission::Closed { retry_after } => panic!("closed for {retry_after:?}"),
    }
}

async fn closed(pacing: &Pacing) -> Duration {
    match pacing.permit(&app(), anybody(PacedCall::Disburse)).await {
        Admission::Open(permit) => panic!("{permit:?}"),
        Admission::Closed { retry_after } => retry_after,
    }
}

/// The most of `instants` (in ascending order) that lie within one second.
fn most_in_a_second(instants: &[Monotonic]) -> usize {
    let second = Duration::from_secs(1);
    let within = |(index, start): (usize, &Monotonic)| {
        let rest = instants[index..].iter();
        rest.take_while(|at| at.since(*start) < second).count()
    };
    instants.iter().enumerate().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_configured_is_closed() {
    let (pacing, _clock) = pacing(100, 4, 256);
    let stranger = AppName::new("stranger").unwrap();
    let admission = pacing.permit(&stranger, anybody(PacedCall::Query)).await;
    assert!(matches!(admission, Admission::Closed { .. }));
    assert_eq!(pacing.limit(&stranger), 0);
    assert!(!pacing.breaker_open(&stranger));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_1000_is_spread_at_the_rate_and_all_get_through() {
    let (pacing, clock) = pacing(100, 256, 256);
    let start = clock.monotonic();
    let grants = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let (pacing, clock, grants) =
            (Arc::clone(&pacing), Arc::clone(&clock), Arc::clone(&grants));
        tasks.spawn(async move {
            let permit = open(&pacing, PacedCall::Disburse).await;
            grants.lock().unwrap().push(clock.monotonic());
            clock.sleep(Duration::from_millis(200)).await;
            permit.report(Signal::Answered);
        });
    }
    tasks.join_all().await;
    let grants = grants.lock().unwrap();
    assert_eq!(grants.len(), 1_000);
    assert!(most_in_a_second(&grants) <= 102);
    let took = grants.last().unwrap().since(start);
    assert!(took >= Duration::from_millis(9_980), "{took:?}");
    assert!(took <= Duration::from_millis(10_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_in_the_order_of_asking() {
    let (pacing, clock) = pacing(1_000, 3, 3);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let (pacing, clock, order) = (Arc::clone(&pacing), Arc::clone(&clock), Arc::clone(&order));
        tasks.spawn(async move {
            let permit = open(&pacing, PacedCall::ALL[number % 2]).await;
            order.lock().unwrap().push((number, permit.ticket));
            clock.sleep(Duration::from_millis(10)).await;
        });
    }
    tasks.join_all().await;
    let order = order.lock().unwrap();
    let tickets: Vec<_> = order.iter().map(|(_, ticket)| *ticket).collect();
    assert_eq!(tickets.len(), 200);
    assert!(tickets.is_sorted(), "{tickets:?}");
}

#[tokio::test(start_paused = true)]
async fn a_method_without_tokens_does_not_hold_up_another() {
    let (pacing, clock) = pacing(1, 4, 4);
    let start = clock.monotonic();
    let _first = open(&pacing, PacedCall::Disburse).await;
    let waiting = tokio::spawn({
        let pacing = Arc::clone(&pacing);
        async move { open(&pacing, PacedCall::Disburse).await.waited() }
    });
    tokio::task::yield_now().await;
    let _query = open(&pacing, PacedCall::Query).await;
    assert_eq!(clock.monotonic(), start);
    assert_eq!(waiting.await.unwrap(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn no_more_permits_are_out_than_the_limit_and_a_drop_frees_the_slot() {
    let (pacing, _clock) = pacing(1_000, 2, 2);
    let first = open(&pacing, PacedCall::Disburse).await;
    let _second = open(&pacing, PacedCall::Disburse).await;
    assert_eq!(pacing.in_flight(&app()), 2);
    let mut third = Box::pin(open(&pacing, PacedCall::Disburse));
    assert!(third.as_mut().now_or_never().is_none());
    drop(first);
    let third = third.now_or_never();
    assert!(third.is_some());
    assert_eq!(pacing.in_flight(&app()), 2);
    drop(third);
    assert_eq!(pacing.in_flight(&app()), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_raise_the_limit_and_overload_lowers_it() {
    let (pacing, clock) = pacing(10_000, 4, 16);
    for _ in 0..40 {
        let mut held = Vec::new();
        for _ in 0..pacing.limit(&app()) {
            held.push(open(&pacing, PacedCall::Disburse).await);
        }
        held.iter()
            .for_each(|permit| permit.report(Signal::Answered));
    }
    assert_eq!(pacing.limit(&app()), 16);
    for (signal, expected) in [
        (Signal::TimedOut, 8),
        (Signal::NotSent, 8),
        (Signal::Broken, 8),
        (Signal::Overloaded, 4),
        (Signal::Limited, 4),
    ] {
        clock.sleep(Duration::from_secs(1)).await;
        open(&pacing, PacedCall::Disburse).await.report(signal);
        assert_eq!(pacing.limit(&app()), expected, "{signal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_under_way_get_their_further_tokens_before_new_jobs() {
    let (pacing, clock) = pacing(1, 2, 2);
    let start = clock.monotonic();
    let holders = [
        open(&pacing, PacedCall::Disburse).await,
        open(&pacing, PacedCall::Query).await,
    ];
    let mut fresh = Box::pin(open(&pacing, PacedCall::Query));
    assert!(fresh.as_mut().now_or_never().is_none());
    // Every slot is held by a job that waits behind nobody: there is no deadlock.
    let [first, second] = holders;
    let further = first.next_call(PacedCall::Query).await;
    assert_eq!(further, Further::Granted);
    let further = second.next_call(PacedCall::Query).await;
    assert_eq!(further, Further::Granted);
    assert_eq!(clock.monotonic().since(start), Duration::from_secs(2));
    drop((first, second));
    drop(fresh.await);
    assert_eq!(clock.monotonic().since(start), Duration::from_secs(3));
    assert_eq!(pacing.in_flight(&app()), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_future_that_waits_or_was_just_granted_leaks_nothing() {
    let (pacing, clock) = pacing(1, 1, 1);
    let start = clock.monotonic();
    let holder = open(&pacing, PacedCall::Disburse).await;
    clock.sleep(Duration::from_secs(1)).await;
    let mut granted_unseen = Box::pin(open(&pacing, PacedCall::Disburse));
    let mut waits = Box::pin(open(&pacing, PacedCall::Disburse));
    let mut last = Box::pin(open(&pacing, PacedCall::Disburse));
    for future in [&mut granted_unseen, &mut waits, &mut last] {
        assert!(future.as_mut().now_or_never().is_none());
    }
    // The slot and the token go to the first, which never looks.
    drop(holder);
    drop(waits);
    drop(granted_unseen);
    assert!(last.as_mut().now_or_never().is_some());
    assert_eq!(clock.monotonic().since(start), Duration::from_secs(1));
    drop(last);
    assert_eq!(pacing.in_flight(&app()), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_timekeeper_goes_the_next_in_line_keeps_the_time() {
    let (pacing, clock) = pacing(1, 4, 4);
    let start = clock.monotonic();
    let _holder = open(&pacing, PacedCall::Disburse).await;
    let mut timekeeper = Box::pin(open(&pacing, PacedCall::Disburse));
    let mut next = Box::pin(open(&pacing, PacedCall::Disburse));
    assert!(timekeeper.as_mut().now_or_never().is_none());
    assert!(next.as_mut().now_or_never().is_none());
    drop(timekeeper);
    drop(next.await);
    assert_eq!(clock.monotonic().since(start), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_place_for_30_ms_more_than_is_usual() {
    let (pacing, clock) = pacing(1_000, 4, 4);
    let late = async |length_ms: u64| {
        let permit = open(&pacing, PacedCall::Disburse).await;
        clock.sleep(Duration::from_millis(length_ms)).await;
        permit.is_fresh()
    };
    assert!(!late(31).await);
    assert!(late(30).await);
    // One stall moves the usual by little.
    assert!(!late(1_000).await);
    assert!(!late(40).await);
    // A claim that always takes 80 ms costs one more call per job only until that is usual.
    let mut lost = 0;
    for _ in 0..200 {
        lost += i32::from(!late(80).await);
    }
    assert!(lost <= 60, "{lost}");
    assert!(late(100).await);
    assert!(!late(200).await);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_call_closes_the_lane_for_those_who_wait_too() {
    let (pacing, _clock) = pacing(100, 1, 1);
    let holder = open(&pacing, PacedCall::Disburse).await;
    let app = app();
    let mut waiting = Box::pin(pacing.permit(&app, anybody(PacedCall::Refund)));
    assert!(waiting.as_mut().now_or_never().is_none());
    holder.report(Signal::Blocked);
    let Some(Admission::Closed { retry_after }) = waiting.now_or_never() else {
        panic!("it must be closed at once");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    assert!(pacing.breaker_open(&app));
    assert_eq!(pacing.blocked_reason(&app), Some(OpenReason::Blocked));
    // The job under way may still ask what became of it.
    let further = holder.next_call(PacedCall::Query).await;
    assert_eq!(further, Further::Granted);
}

#[tokio::test(start_paused = true)]
async fn five_calls_in_a_row_that_could_not_be_sent_close_the_lane_until_a_probe_is_answered() {
    let (pacing, clock) = pacing(100, 4, 4);
    for _ in 0..5 {
        assert!(!pacing.breaker_open(&app()));
        open(&pacing, PacedCall::Disburse)
            .await
            .report(Signal::NotSent);
    }
    assert_eq!(pacing.blocked_reason(&app()), Some(OpenReason::Unreachable));
    let mut wait = closed(&pacing).await;
    for expected_s in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(wait, Duration::from_secs(expected_s));
        clock.sleep(wait).await;
        let probe = open(&pacing, PacedCall::Disburse).await;
        assert!(!closed(&pacing).await.is_zero());
        probe.report(Signal::NotSent);
        wait = closed(&pacing).await;
    }
    clock.sleep(wait).await;
    // A probe that is dropped, waiting or granted, makes room for the next at once.
    drop(open(&pacing, PacedCall::Disburse).await);
    let probe = open(&pacing, PacedCall::Disburse).await;
    probe.report(Signal::Answered);
    assert!(!pacing.breaker_open(&app()));
    drop(open(&pacing, PacedCall::Disburse).await);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_while_it_waits_for_a_slot_frees_the_probe() {
    let (pacing, clock) = pacing(100, 1, 1);
    let holder = open(&pacing, PacedCall::Disburse).await;
    holder.report(Signal::Blocked);
    clock.sleep(Duration::from_secs(1)).await;
    let mut probe = Box::pin(open(&pacing, PacedCall::Disburse));
    assert!(probe.as_mut().now_or_never().is_none());
    drop(probe);
    drop(holder);
    open(&pacing, PacedCall::Disburse)
        .await
        .report(Signal::Answered);
    assert!(!pacing.breaker_open(&app()));
}

/// What one task of the crowd does.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    arrives_ms: u64,
    patience_ms: u64,
    call: usize,
    rank: Rank,
    holds_ms: u64,
    further: Option<usize>,
    signal: Signal,
}

fn visitor() -> impl Strategy<Value = Visitor> {
    let signal = prop_oneof![
        12 => Just(Signal::Answered),
        1 => Just(Signal::TimedOut),
        1 => Just(Signal::Overloaded),
        1 => Just(Signal::Limited),
        1 => Just(Signal::NotSent),
        1 => Just(Signal::Broken),
    ];
    let further = prop::option::of(0_usize..4);
    (
        0_u64..3_000,
        0_u64..20_000,
        (0_usize..4, 0_usize..3),
        0_u64..300,
        further,
        signal,
    )
        .prop_map(
            |(arrives_ms, patience_ms, (call, rank), holds_ms, further, signal)| Visitor {
                arrives_ms,
                patience_ms,
                call,
                rank: Rank::ALL[rank],
                holds_ms,
                further,
                signal,
            },
        )
}

#[derive(Default)]
struct Crowd {
    calls: [Mutex<Vec<Monotonic>>; 4],
    inside: Mutex<usize>,
    most_inside: Mutex<usize>,
}

impl Crowd {
    async fn visit(&self, pacing: &Pacing, clock: &dyn Clock, visitor: Visitor) {
        clock.sleep(Duration::from_millis(visitor.arrives_ms)).await;
        let stay = async {
            let who = Applicant {
                call: PacedCall::ALL[visitor.call],
                rank: visitor.rank,
                party: Party(visitor.holds_ms % 3),
            };
            let Admission::Open(permit) = pacing.permit(&app(), who).await else {
                return;
            };
            let permit = Inside::enter(self, permit);
            self.calls[visitor.call]
                .lock()
                .unwrap()
                .push(clock.monotonic());
            clock.sleep(Duration::from_millis(visitor.holds_ms)).await;
            permit.permit.report(visitor.signal);
            if let Some(call) = visitor.further {
                let further = permit.permit.next_call(PacedCall::ALL[call]).await;
                assert_eq!(further, Further::Granted);
                self.calls[call].lock().unwrap().push(clock.monotonic());
                permit.permit.report(visitor.signal);
            }
        };
        let patience = Duration::from_millis(visitor.patience_ms);
        // Whoever runs out of patience is dropped wherever it stands.
        tokio::time::timeout(patience, stay).await.ok();
    }
}

struct Inside<'a> {
    crowd: &'a Crowd,
    permit: Permit,
}

impl<'a> Inside<'a> {
    fn enter(crowd: &'a Crowd, permit: Permit) -> Self {
        let mut inside = crowd.inside.lock().unwrap();
        *inside += 1;
        let mut most = crowd.most_inside.lock().unwrap();
        *most = (*most).max(*inside);
        Self { crowd, permit }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.crowd.inside.lock().unwrap() -= 1;
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]
    #[test]
    fn a_crowd_of_1000_keeps_every_limit_and_nobody_is_forgotten(
        rate in 20_u32..2_000,
        floor in 1_u32..8,
        room in 0_u32..64,
        visitors in prop::collection::vec(visitor(), 1_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (crowd, in_flight, limit) = runtime.block_on(async {
            let (pacing, clock) = pacing(rate, floor, floor + room);
            let crowd = Arc::new(Crowd::default());
            let mut tasks = JoinSet::new();
            for visitor in visitors {
                let (crowd, pacing, clock) =
                    (Arc::clone(&crowd), Arc::clone(&pacing), Arc::clone(&clock));
                tasks.spawn(async move { crowd.visit(&pacing, &*clock, visitor).await });
            }
            tasks.join_all().await;
            let in_flight = pacing.in_flight(&app());
            // Whatever they left behind, the next comes through: a breaker that they opened lets
            // a probe pass, and no slot is lost.
            clock.sleep(Duration::from_secs(31)).await;
            for call in PacedCall::ALL {
                let permit = open(&pacing, call).await;
                assert!(permit.waited().is_zero());
                permit.report(Signal::Answered);
            }
            (crowd, in_flight, pacing.limit(&app()))
        });
        prop_assert_eq!(in_flight, 0);
        prop_assert!((floor..=floor + room).contains(&limit));
        let ceiling = usize::try_from(floor + room).unwrap();
        prop_assert!(*crowd.most_inside.lock().unwrap() <= ceiling);
        let most = usize::try_from(rate + (rate / 50).max(1)).unwrap();
        for calls in &crowd.calls {
            let calls = calls.lock().unwrap();
            prop_assert!(most_in_a_second(&calls) <= most);
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 24, ..Default::default() })]
    #[test]
    fn a_patient_crowd_is_served_to_the_last_task(
        rate in 200_u32..5_000,
        floor in 1_u32..8,
        visitors in prop::collection::vec(visitor(), 1_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let served = runtime.block_on(async {
            let (pacing, clock) = pacing(rate, floor, 64);
            let crowd = Arc::new(Crowd::default());
            let mut tasks = JoinSet::new();
            for visitor in visitors {
                let patient = Visitor {
                    patience_ms: 3_600_000,
                    signal: Signal::Answered,
                    further: None,
                    ..visitor
                };
                let (crowd, pacing, clock) =
                    (Arc::clone(&crowd), Arc::clone(&pacing), Arc::clone(&clock));
                tasks.spawn(async move { crowd.visit(&pacing, &*clock, patient).await });
            }
            tasks.join_all().await;
            crowd.calls.iter().map(|calls| calls.lock().unwrap().len()).sum::<usize>()
        });
        prop_assert_eq!(served, 1_000);
    }
}
