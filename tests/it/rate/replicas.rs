//! Replicas that share a calendar, on virtual time: never above the rate, rarely below it, and
//! cheap.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::domain::ident::AppName;
use hongbaod::pacing::{
    Admission, Applicant, PacedCall, Pacing, PacingOptions, Party, Permit, Rank, Signal,
};
use hongbaod::ports::clock::Clock;
use hongbaod::ports::rate::{RateError, RateWish, Reservation, SharedRate};
use proptest::prelude::{prop, proptest};
use proptest::prop_assert;
use tokio::task::JoinSet;

use super::calendar::Calendars;
use crate::clocks::ScaledClock;

/// A way to the calendar that takes its time, and may lose what it carries.
struct Way {
    calendars: Arc<Calendars>,
    /// The longest delay in each direction.
    delay_ms_max: u64,
    /// Answers out of a hundred that are lost.
    lost_percent: u64,
    chance: AtomicU64,
    asked: AtomicU32,
    broken: AtomicBool,
}

impl Way {
    fn new(calendars: &Arc<Calendars>, delay_ms_max: u64, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            calendars: Arc::clone(calendars),
            delay_ms_max,
            lost_percent: 0,
            chance: AtomicU64::new(seed | 1),
            asked: AtomicU32::new(0),
            broken: AtomicBool::new(false),
        })
    }

    fn draw(&self, below: u64) -> u64 {
        let mut state = self.chance.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.chance.store(state, Ordering::Relaxed);
        state % below
    }

    async fn delay(&self) {
        let micros = self.draw(self.delay_ms_max * 1_000 + 1);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// From now on nobody answers.
    fn cut(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    fn mend(&self) {
        self.broken.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl SharedRate for Way {
    async fn reserve(&self, wish: &RateWish) -> Result<Reservation, RateError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.delay().await;
        if self.broken.load(Ordering::Relaxed) {
            return Err(RateError("nobody is there".into()));
        }
        let reservation = self.calendars.reserve(wish).await?;
        self.delay().await;
        if self.draw(100) < self.lost_percent {
            return Err(RateError("the answer was lost".into()));
        }
        Ok(reservation)
    }
}

fn app() -> AppName {
    AppName::new("main").unwrap()
}

/// A replica whose concurrency is fixed.
fn replica(rate: u32, concurrency: u32, way: &Arc<Way>) -> (Arc<Pacing>, Arc<ScaledClock>) {
    let concurrency = NonZeroU32::new(concurrency).unwrap();
    let options = PacingOptions {
        requests_per_second: NonZeroU32::new(rate).unwrap(),
        concurrency_min: concurrency,
        concurrency_max: concurrency,
    };
    let clock = ScaledClock::new(1_000);
    let way: Arc<dyn SharedRate> = Arc::<Way>::clone(way);
    let paced: Arc<dyn Clock> = Arc::<ScaledClock>::clone(&clock);
    (Pacing::shared(options, &[app()], paced, way), clock)
}

async fn open(pacing: &Pacing) -> Permit {
    let who = Applicant {
        call: PacedCall::Disburse,
        rank: Rank::Normal,
        party: Party::default(),
    };
    match pacing.permit(&app(), who).await {
        Admission::Open(permit) => permit,
        Admission::Closed { retry_after } => panic!("closed for {retry_after:?}"),
    }
}

/// When calls began, in microseconds of the calendars' clock: each replica has one of its own.
#[derive(Clone)]
struct Calls {
    calendars: Arc<Calendars>,
    instants: Arc<Mutex<Vec<u64>>>,
}

impl Calls {
    fn new(calendars: &Arc<Calendars>) -> Self {
        Self {
            calendars: Arc::clone(calendars),
            instants: Arc::default(),
        }
    }

    fn note(&self) {
        let now_us = self.calendars.now_us();
        self.instants.lock().unwrap().push(now_us);
    }

    fn count(&self) -> usize {
        self.instants.lock().unwrap().len()
    }

    fn add(&self, other: &Self) {
        let other = other.instants.lock().unwrap().clone();
        self.instants.lock().unwrap().extend(other);
    }

    /// The most within one second.
    fn most(&self) -> usize {
        let mut instants = self.instants.lock().unwrap().clone();
        instants.sort_unstable();
        let mut first = 0;
        let mut most = 0;
        for (index, at) in instants.iter().enumerate() {
            while at - instants[first] >= 1_000_000 {
                first += 1;
            }
            most = most.max(index + 1 - first);
        }
        most
    }
}

/// Jobs without end, at most 256 at hand as with a prefetch, each call answered after `call_ms`.
fn work(
    pacing: &Arc<Pacing>,
    clock: &Arc<ScaledClock>,
    calls: &Calls,
    call_ms: u64,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let (pacing, clock, calls) = (Arc::clone(pacing), Arc::clone(clock), calls.clone());
        tasks.spawn(async move {
            loop {
                let permit = open(&pacing).await;
                calls.note();
                clock.sleep(Duration::from_millis(call_ms)).await;
                permit.report(Signal::Answered);
            }
        });
    }
    tasks
}

fn most_allowed(rate: u32) -> usize {
    usize::try_from((rate + rate / 20).max(rate + 1)).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 12, ..Default::default() })]
    #[test]
    fn four_replicas_together_never_exceed_the_rate_and_use_it(
        rate in prop::sample::select(vec![20_u32, 100, 100, 250, 1_000]),
        delay_ms in prop::sample::select(vec![0_u64, 1, 8]),
        call_ms in 1_u64..60,
        seed in 1_u64..,
    ) {
        let (calls, asked) = run(async {
            let calendars = Arc::new(Calendars::new());
            let calls = Calls::new(&calendars);
            let mut crews = Vec::new();
            let mut ways = Vec::new();
            for number in 0..4 {
                let way = Way::new(&calendars, delay_ms, seed.rotate_left(number * 7));
                let (pacing, clock) = replica(rate, 256, &way);
                crews.push(work(&pacing, &clock, &calls, call_ms));
                ways.push(way);
                // They do not start together.
                tokio::time::sleep(Duration::from_millis(seed % 97)).await;
            }
            seconds(20).await;
            (calls, ways.iter().map(|way| way.asked()).sum::<u32>())
        });
        let (most, count) = (calls.most(), u32::try_from(calls.count()).unwrap());
        prop_assert!(most <= most_allowed(rate), "{most} in a second of {rate}");
        prop_assert!(count >= rate * 19, "{count} in 20 s of {rate}");
        if rate >= 100 {
            prop_assert!(asked * 5 <= count, "asked {asked} times for {count} calls");
        }
        if rate >= 1_000 {
            prop_assert!(asked * 20 <= count, "asked {asked} times for {count} calls");
        }
    }

    #[test]
    fn lost_answers_lose_calls_and_never_add_any(
        lost_percent in 1_u64..60,
        seed in 1_u64..,
    ) {
        let calls = run(async {
            let calendars = Arc::new(Calendars::new());
            let calls = Calls::new(&calendars);
            let mut crews = Vec::new();
            for number in 0..4 {
                let mut way = Way::new(&calendars, 3, seed.rotate_left(number * 7));
                Arc::get_mut(&mut way).unwrap().lost_percent = lost_percent;
                let (pacing, clock) = replica(100, 256, &way);
                crews.push(work(&pacing, &clock, &calls, 20));
            }
            seconds(10).await;
            calls
        });
        prop_assert!(calls.most() <= most_allowed(100));
        prop_assert!(calls.count() >= 100, "{}", calls.count());
    }

    #[test]
    fn replicas_with_different_loads_share_what_there_is(
        loads in prop::collection::vec(1_u64..120, 4),
        seed in 1_u64..,
    ) {
        // Each replica's jobs come by themselves, so many a second in the mean.
        let wanted: u64 = loads.iter().sum();
        let (counts, all) = run(async {
            let calendars = Arc::new(Calendars::new());
            let mut crews = Vec::new();
            let mut counts = Vec::new();
            for (number, load) in loads.iter().enumerate() {
                let seed = seed.rotate_left(u32::try_from(number * 7).unwrap());
                let way = Way::new(&calendars, 1, seed);
                let (pacing, clock) = replica(100, 256, &way);
                let calls = Calls::new(&calendars);
                crews.push(arrivals(pacing, clock, way, (calls.clone(), *load)));
                counts.push(calls);
            }
            seconds(20).await;
            (counts, Calls::new(&calendars))
        });
        for calls in &counts {
            all.add(calls);
        }
        prop_assert!(all.most() <= most_allowed(100));
        let count = u64::try_from(all.count()).unwrap();
        let expected = wanted.min(100) * 20;
        prop_assert!(count * 100 >= expected * 90, "{count} of {expected}: {loads:?}");
        if wanted <= 70 {
            // Nobody starves beside the others: what comes is done.
            for (calls, load) in counts.iter().zip(&loads) {
                let count = u64::try_from(calls.count()).unwrap();
                prop_assert!(count * 100 >= load * 20 * 70, "{count} at {load}/s: {loads:?}");
            }
        }
    }
}

/// Jobs that come by chance, `load` a second in the mean.
fn arrivals(
    pacing: Arc<Pacing>,
    clock: Arc<ScaledClock>,
    way: Arc<Way>,
    (calls, load): (Calls, u64),
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut jobs = JoinSet::new();
        loop {
            // Uniform between nothing and twice the mean.
            let pause = way.draw(2_000_000 / load);
            tokio::time::sleep(Duration::from_micros(pause)).await;
            let (pacing, clock, calls) = (Arc::clone(&pacing), Arc::clone(&clock), calls.clone());
            jobs.spawn(async move {
                let permit = open(&pacing).await;
                calls.note();
                clock.sleep(Duration::from_millis(5)).await;
                permit.report(Signal::Answered);
            });
        }
    });
    tasks
}

/// How long jobs of a steady `load` wait, and how often Redis is asked in ten seconds.
async fn steady(rate: u32, load: u64, delay_ms: u64) -> (Vec<Duration>, u32, u32) {
    let calendars = Arc::new(Calendars::new());
    let way = Way::new(&calendars, delay_ms, 77);
    let (pacing, clock) = replica(rate, 256, &way);
    let waits = Arc::new(Mutex::new(Vec::new()));
    let mut jobs = JoinSet::new();
    let until = clock.monotonic().plus(Duration::from_secs(10));
    while clock.monotonic() < until {
        tokio::time::sleep(Duration::from_micros(way.draw(2_000_000 / load))).await;
        let (pacing, waits) = (Arc::clone(&pacing), Arc::clone(&waits));
        jobs.spawn(async move {
            let permit = open(&pacing).await;
            waits.lock().unwrap().push(permit.waited());
            permit.report(Signal::Answered);
        });
    }
    jobs.join_all().await;
    let mut waits = waits.lock().unwrap().clone();
    waits.sort_unstable();
    let count = u32::try_from(waits.len()).unwrap();
    (waits, count, way.asked())
}

#[test]
fn below_the_rate_nearly_no_job_waits_or_asks() {
    // Each row: rate, jobs a second, and how many jobs there must be for each question to Redis.
    for (rate, load, per_question) in [
        (100_000, 100, 5),
        (100_000, 300, 20),
        (1_000, 300, 20),
        (100_000, 2_000, 40),
    ] {
        let (waits, count, asked) = run(steady(rate, load, 1));
        assert!(
            asked * per_question <= count,
            "{rate}, {load}/s: {asked} for {count}"
        );
        let p99 = waits[waits.len() * 99 / 100];
        assert!(p99 <= Duration::from_millis(4), "{rate}, {load}/s: {p99:?}");
        let median = waits[waits.len() / 2];
        assert_eq!(median, Duration::ZERO, "{rate}, {load}/s");
    }
}

#[test]
fn a_single_job_after_a_pause_asks_once_and_waits_for_the_answer_alone() {
    for rate in [1, 10, 100, 100_000] {
        run(async {
            let calendars = Arc::new(Calendars::new());
            let way = Way::new(&calendars, 0, 1);
            let (pacing, _clock) = replica(rate, 4, &way);
            for number in 1..=5 {
                let permit = open(&pacing).await;
                assert_eq!(permit.waited(), Duration::ZERO, "{rate}");
                drop(permit);
                assert_eq!(way.asked(), number, "{rate}");
                seconds(10).await;
            }
            // Nobody asks for nobody.
            seconds(3_600).await;
            assert_eq!(way.asked(), 5);
        });
    }
}

#[test]
fn a_burst_onto_expected_jobs_gets_all_the_room_there_is_at_once() {
    run(async {
        let calendars = Arc::new(Calendars::new());
        let way = Way::new(&calendars, 0, 1);
        let (pacing, clock) = replica(100_000, 1_000, &way);
        for _ in 0..100 {
            drop(open(&pacing).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let start = clock.monotonic();
        let calls = Calls::new(&calendars);
        let mut crew = JoinSet::new();
        for _ in 0..500 {
            let (pacing, clock, calls) = (Arc::clone(&pacing), Arc::clone(&clock), calls.clone());
            crew.spawn(async move {
                let _permit = open(&pacing).await;
                calls.note();
                clock.sleep(Duration::from_secs(1)).await;
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(calls.count(), 500);
        assert!(clock.monotonic().since(start) < Duration::from_millis(5));
    });
}

#[test]
fn a_replica_short_of_slots_leaves_the_others_their_part() {
    // One has a single slot for calls of half a second and a long line; the other works.
    let (slow, quick) = run(async {
        let calendars = Arc::new(Calendars::new());
        let (slow, quick) = (Calls::new(&calendars), Calls::new(&calendars));
        let ways = [Way::new(&calendars, 1, 3), Way::new(&calendars, 1, 5)];
        let (pacing, clock) = replica(100, 1, &ways[0]);
        let _slow_crew = work(&pacing, &clock, &slow, 500);
        let (pacing, clock) = replica(100, 256, &ways[1]);
        let _quick_crew = work(&pacing, &clock, &quick, 20);
        seconds(20).await;
        (slow.count(), quick.count())
    });
    assert!(slow >= 30, "{slow}");
    assert!(slow + quick >= 1_900, "{slow} + {quick}");
}

#[test]
fn while_nobody_answers_nobody_calls_and_it_goes_on_within_a_second() {
    run(async {
        let calendars = Arc::new(Calendars::new());
        let way = Way::new(&calendars, 1, 9);
        let (pacing, clock) = replica(100, 256, &way);
        let calls = Calls::new(&calendars);
        let _crew = work(&pacing, &clock, &calls, 20);
        seconds(2).await;
        way.cut();
        // What was booked before may be used until the failure shows.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (calls_before, asked_before) = (calls.count(), way.asked());
        seconds(60).await;
        assert_eq!(calls.count(), calls_before);
        let asked = way.asked() - asked_before;
        assert!((30..=70).contains(&asked), "{asked}");
        assert_eq!(pacing.waiting(&app()), 256);
        way.mend();
        seconds(3).await;
        assert!(calls.count() - calls_before >= 190, "{}", calls.count());
        assert!(calls.most() <= most_allowed(100));
    });
}

#[test]
fn nobody_is_forgotten_when_those_who_wait_go_away() {
    run(async {
        let calendars = Arc::new(Calendars::new());
        let way = Way::new(&calendars, 2, 21);
        let (pacing, _clock) = replica(50, 8, &way);
        for round in 0..200_u64 {
            let patience = Duration::from_micros(way.draw(30_000));
            tokio::time::timeout(patience, open(&pacing)).await.ok();
            if round % 10 == 0 {
                seconds(1).await;
            }
        }
        assert_idle(&pacing);
        let permit = open(&pacing).await;
        assert!(permit.waited() <= Duration::from_millis(100), "{permit:?}");
    });
}

fn assert_idle(pacing: &Pacing) {
    assert_eq!(pacing.in_flight(&app()), 0);
    assert_eq!(pacing.waiting(&app()), 0);
}
