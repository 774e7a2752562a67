//! The spend guard's sums: what every implementation promises, and that no number of replicas gets
//! more out of a cap than is in it.

pub(crate) mod race;
mod redis;

use std::sync::Arc;

use hongbaod::domain::budget::{Counter, Scope, ScopeDigest, Window};
use hongbaod::domain::ident::{AppName, MerchantNo};
use hongbaod::domain::job::{Fingerprint, JobKey};
use hongbaod::domain::money::Fen;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::budget::{Budget, Fit, Grant, Limit, Mode, Reservation, Spending};

macro_rules! contract {
    ($($fact:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let budget = hongbaod::adapters::memory_budget::MemoryBudget::new();
                crate::budget::$fact(std::sync::Arc::new(budget)).await;
            })*
        }
        mod redis_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let budget = crate::budget::redis::one().await;
                crate::budget::$fact(budget).await;
            })*
        }

        /// Tries every fact, one after the other, each on sums of its own: for servers that take their
        /// time to start.
        pub(crate) async fn every_fact(budget: impl AsyncFn() -> Arc<dyn Budget>) {
            $(
                eprintln!("fact: {}", stringify!($fact));
                $fact(budget().await).await;
            )*
        }
    };
}

contract! {
    an_amount_is_added_to_every_counter_or_to_none,
    a_cap_is_used_to_its_last_fen_and_by_not_one_more,
    a_job_is_counted_once_however_often_it_asks,
    in_a_new_window_a_job_is_counted_anew_and_only_there,
    a_cap_that_came_later_counts_what_is_sent_from_then_on,
    another_job_under_the_same_number_is_counted_by_itself,
    only_what_this_very_job_was_counted_in_is_given_back,
    what_is_near_a_cap_and_what_is_over_it_is_told_once_in_each_window,
    what_is_only_told_is_counted_over_the_cap,
    each_app_payee_and_window_has_a_sum_of_its_own,
}

/// 2026-11-22T10:00:01.234+08:00.
const NOW: UnixMillis = UnixMillis(1_795_312_801_234);
const MINUTE: u64 = 60_000;

fn app(name: &str) -> AppName {
    AppName::new(name).unwrap()
}

fn limit(scope: Scope, window: Window, cap: u64) -> Limit {
    let value = match scope {
        Scope::App => None,
        Scope::Payee | Scope::Label => Some(ScopeDigest([7; 16])),
    };
    Limit {
        counter: Counter {
            scope,
            value,
            window,
            starts_at: window.start(NOW),
        },
        cap: Fen::new(cap).unwrap(),
        warn_at_fen: cap.saturating_mul(8).div_ceil(10),
    }
}

fn spending(number: &str, fen: u64, limits: &[Limit]) -> Spending {
    Spending {
        key: JobKey {
            app: app("main"),
            out_request_no: MerchantNo::new(number).unwrap(),
        },
        fingerprint: Fingerprint([1; 16]),
        amount: Fen::new(fen).unwrap(),
        at: NOW,
        limits: limits.to_vec(),
        mode: Mode::Enforce,
    }
}

/// The same, so much later.
fn later(spending: &Spending, by_ms: u64) -> Spending {
    let mut later = spending.clone();
    later.at = UnixMillis(spending.at.0 + by_ms);
    for limit in &mut later.limits {
        limit.counter.starts_at = limit.counter.window.start(later.at);
    }
    later
}

/// Whether it was granted, and the sums.
async fn ask(budget: &Arc<dyn Budget>, spending: &Spending) -> (Grant, Vec<u64>) {
    let Reservation { grant, counts } = budget.draw(spending).await.unwrap();
    (grant, counts.iter().map(|count| count.spent_fen).collect())
}

/// What the sums are, without being counted.
async fn sums(budget: &Arc<dyn Budget>, limits: &[Limit]) -> Vec<u64> {
    let looking = spending("LOOK", Fen::MAX, limits);
    let (grant, sums) = ask(budget, &looking).await;
    assert_eq!(grant, Grant::Refused);
    sums
}

const GRANTED: Grant = Grant::Granted;
const REFUSED: Grant = Grant::Refused;

async fn an_amount_is_added_to_every_counter_or_to_none(budget: Arc<dyn Budget>) {
    let limits = [
        limit(Scope::App, Window::Minute, 1_000),
        limit(Scope::App, Window::Day, 5_000),
        limit(Scope::Payee, Window::Hour, 300),
    ];
    let first = spending("R1", 200, &limits);
    assert_eq!(ask(&budget, &first).await, (GRANTED, vec![200, 200, 200]));
    let second = spending("R2", 101, &limits);
    let told = budget.draw(&second).await.unwrap();
    assert_eq!(told.grant, REFUSED);
    let fits: Vec<bool> = told.counts.iter().map(|c| c.fit.is_over()).collect();
    assert_eq!(fits, [false, false, true], "only the payee's is over");
    assert_eq!(sums(&budget, &limits).await, [200, 200, 200]);
}

async fn a_cap_is_used_to_its_last_fen_and_by_not_one_more(budget: Arc<dyn Budget>) {
    let limits = [limit(Scope::App, Window::Day, Fen::MAX)];
    let most = spending("R1", Fen::MAX - 1, &limits);
    assert_eq!(ask(&budget, &most).await, (GRANTED, vec![Fen::MAX - 1]));
    let two = spending("R2", 2, &limits);
    assert_eq!(ask(&budget, &two).await, (REFUSED, vec![Fen::MAX - 1]));
    let one = spending("R3", 1, &limits);
    assert_eq!(ask(&budget, &one).await, (GRANTED, vec![Fen::MAX]));
    assert_eq!(ask(&budget, &two).await, (REFUSED, vec![Fen::MAX]));
}

async fn a_job_is_counted_once_however_often_it_asks(budget: Arc<dyn Budget>) {
    let limits = [
        limit(Scope::App, Window::Minute, 300),
        limit(Scope::Label, Window::Day, 300),
    ];
    let job = spending("R1", 300, &limits);
    for _ in 0..3 {
        // Its own amount is not held against it.
        assert_eq!(ask(&budget, &job).await, (GRANTED, vec![300, 300]));
    }
}

async fn in_a_new_window_a_job_is_counted_anew_and_only_there(budget: Arc<dyn Budget>) {
    let limits = [
        limit(Scope::App, Window::Minute, 300),
        limit(Scope::App, Window::Hour, 500),
    ];
    let job = spending("R1", 300, &limits);
    assert_eq!(ask(&budget, &job).await, (GRANTED, vec![300, 300]));
    let again = later(&job, MINUTE);
    assert_eq!(ask(&budget, &again).await, (GRANTED, vec![300, 300]));
    // The new minute is full, and the hour has this job once.
    let other = later(&spending("R2", 1, &limits), MINUTE);
    assert_eq!(ask(&budget, &other).await, (REFUSED, vec![300, 300]));
    // Nothing is added anywhere where the new window has no room.
    let full = later(&spending("R3", 200, &limits), 2 * MINUTE);
    assert_eq!(ask(&budget, &full).await, (GRANTED, vec![200, 500]));
    let third = later(&job, 2 * MINUTE);
    assert_eq!(ask(&budget, &third).await, (REFUSED, vec![200, 500]));
    let hour = later(&job, 60 * MINUTE);
    assert_eq!(ask(&budget, &hour).await, (GRANTED, vec![300, 300]));
}

async fn a_cap_that_came_later_counts_what_is_sent_from_then_on(budget: Arc<dyn Budget>) {
    let (day, hour) = (
        limit(Scope::App, Window::Day, 300),
        limit(Scope::App, Window::Hour, 300),
    );
    let before = spending("R1", 200, &[day]);
    assert_eq!(ask(&budget, &before).await, (GRANTED, vec![200]));
    let after = spending("R1", 200, &[day, hour]);
    assert_eq!(ask(&budget, &after).await, (GRANTED, vec![200, 200]));
    assert_eq!(ask(&budget, &after).await, (GRANTED, vec![200, 200]));
}

async fn another_job_under_the_same_number_is_counted_by_itself(budget: Arc<dyn Budget>) {
    let limits = [limit(Scope::App, Window::Day, 300)];
    let job = spending("R1", 100, &limits);
    assert_eq!(ask(&budget, &job).await, (GRANTED, vec![100]));
    let mut other = job.clone();
    other.fingerprint = Fingerprint([2; 16]);
    budget.give_back(&other).await.unwrap();
    assert_eq!(ask(&budget, &other).await, (GRANTED, vec![200]));
}

async fn only_what_this_very_job_was_counted_in_is_given_back(budget: Arc<dyn Budget>) {
    let (day, minute, hour) = (
        limit(Scope::App, Window::Day, 1_000),
        limit(Scope::Payee, Window::Minute, 1_000),
        limit(Scope::App, Window::Hour, 1_000),
    );
    let all = [day, minute, hour];
    let other = spending("R2", 400, &all);
    assert_eq!(ask(&budget, &other).await, (GRANTED, vec![400; 3]));
    let job = spending("R1", 300, &[day, minute]);
    budget.give_back(&job).await.unwrap();
    assert_eq!(sums(&budget, &all).await, [400; 3], "it was not counted");
    assert_eq!(ask(&budget, &job).await, (GRANTED, vec![700, 700]));
    // The minute is over by now, and the hour was no cap then.
    let refused = later(&spending("R1", 300, &all), MINUTE);
    budget.give_back(&refused).await.unwrap();
    assert_eq!(sums(&budget, &all).await, [400, 700, 400]);
    budget.give_back(&refused).await.unwrap();
    budget.give_back(&job).await.unwrap();
    assert_eq!(sums(&budget, &all).await, [400, 700, 400], "once");
    // Whoever is sent after that is counted.
    assert_eq!(ask(&budget, &job).await, (GRANTED, vec![700, 1_000]));
}

async fn what_is_near_a_cap_and_what_is_over_it_is_told_once_in_each_window(
    budget: Arc<dyn Budget>,
) {
    let limits = [limit(Scope::Payee, Window::Minute, 100)];
    let told = async |spending: &Spending| {
        let told = budget.draw(spending).await.unwrap();
        (told.counts[0].fit, told.counts[0].warned_now)
    };
    let job = |number: &str, fen| spending(number, fen, &limits);
    for minute in [0, MINUTE] {
        let now = |spending: Spending| later(&spending, minute);
        assert_eq!(told(&now(job("R1", 79))).await, (Fit::Within, false));
        assert_eq!(told(&now(job("R2", 1))).await, (Fit::Within, true));
        assert_eq!(told(&now(job("R3", 1))).await, (Fit::Within, false));
        assert_eq!(told(&now(job("R4", 50))).await, (Fit::OverFirst, false));
        assert_eq!(told(&now(job("R5", 50))).await, (Fit::OverAgain, false));
        // Also when it sinks below and comes near again.
        budget.give_back(&now(job("R1", 79))).await.unwrap();
        assert_eq!(told(&now(job("R6", 90))).await, (Fit::Within, false));
    }
}

async fn what_is_only_told_is_counted_over_the_cap(budget: Arc<dyn Budget>) {
    let limits = [limit(Scope::App, Window::Day, 100)];
    let tell = |number: &str, fen| Spending {
        mode: Mode::Tell,
        ..spending(number, fen, &limits)
    };
    let told = budget.draw(&tell("R1", 150)).await.unwrap();
    let count = told.counts[0];
    assert_eq!((told.grant, count.spent_fen), (GRANTED, 150));
    assert_eq!((count.fit, count.warned_now), (Fit::OverFirst, true));
    let told = budget.draw(&tell("R2", 1)).await.unwrap();
    let count = told.counts[0];
    assert_eq!((told.grant, count.spent_fen), (GRANTED, 151));
    assert_eq!((count.fit, count.warned_now), (Fit::OverAgain, false));
}

async fn each_app_payee_and_window_has_a_sum_of_its_own(budget: Arc<dyn Budget>) {
    let mine = limit(Scope::Payee, Window::Day, 100);
    let mut theirs = mine;
    theirs.counter.value = Some(ScopeDigest([8; 16]));
    let mut label = mine;
    label.counter.scope = Scope::Label;
    let mut hour = mine;
    hour.counter.window = Window::Hour;
    hour.counter.starts_at = Window::Hour.start(NOW);
    for (number, limit) in [("R1", mine), ("R2", theirs), ("R3", label), ("R4", hour)] {
        let job = spending(number, 100, &[limit]);
        assert_eq!(ask(&budget, &job).await, (GRANTED, vec![100]), "{number}");
    }
    let mut other_app = spending("R5", 100, &[mine]);
    other_app.key.app = app("other");
    assert_eq!(ask(&budget, &other_app).await, (GRANTED, vec![100]));
}
