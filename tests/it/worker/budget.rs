//! The spend guard in the real worker, on virtual time that begins with a full minute.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::memory_budget::MemoryBudget;
use hongbaod::app::budget::{BudgetOptions, Caps, OnError, SpendGuard, WhenOver};
use hongbaod::app::worker::WorkerOptions;
use hongbaod::domain::budget::Counter;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::money::Fen;
use hongbaod::domain::verdict::{Doubt, Finding, NotExecuted, OperationStatus, Verdict};
use hongbaod::ports::broker::Broker as _;
use hongbaod::ports::budget::{Budget, BudgetError, Grant, Mode, Reservation, Spending};

use super::fakes::{START, Scripted};
use super::world::{World, copy, options};
use super::{JOB, found, not_found, refused, success, unknown};

/// Sums in memory, which may be out of reach, or lose replies.
#[derive(Default)]
struct Sums {
    inner: MemoryBudget,
    /// What was granted, and to which counters.
    granted: Mutex<Vec<Spending>>,
    asked: AtomicU32,
    /// The next so many are not answered, though they are carried out.
    lost: AtomicU32,
    /// The next so many are not even carried out.
    away: AtomicU32,
}

fn take(left: &AtomicU32) -> bool {
    let less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

fn nobody() -> BudgetError {
    BudgetError("nobody answers".into())
}

#[async_trait]
impl Budget for Sums {
    async fn draw(&self, spending: &Spending) -> Result<Reservation, BudgetError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if take(&self.away) {
            return Err(nobody());
        }
        let told = self.inner.draw(spending).await?;
        if told.grant == Grant::Granted {
            self.granted.lock().unwrap().push(spending.clone());
        }
        if take(&self.lost) {
            return Err(nobody());
        }
        Ok(told)
    }
    async fn give_back(&self, spending: &Spending) -> Result<(), BudgetError> {
        self.inner.give_back(spending).await
    }
}

impl Sums {
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
    /// The sums of those counters that the last one who was granted something is counted in.
    async fn spent(&self) -> Vec<u64> {
        let last = self.granted.lock().unwrap().last().cloned();
        let mut looking = last.expect("something was granted");
        looking.key = super::world::key("LOOK");
        looking.amount = Fen::new(Fen::MAX).unwrap();
        looking.mode = Mode::Enforce;
        let told = self.inner.draw(&looking).await.unwrap();
        told.counts.iter().map(|count| count.spent_fen).collect()
    }
    /// The counters that each grant was for.
    fn counters(&self) -> Vec<Vec<Counter>> {
        let granted = self.granted.lock().unwrap();
        let counters = |spending: &Spending| spending.limits.iter().map(|l| l.counter).collect();
        granted.iter().map(counters).collect()
    }
}

fn fen(fen: u64) -> Option<Fen> {
    Fen::new(fen)
}

/// Two jobs of 8.88 fit into a minute, a hundred into a day.
fn caps() -> BudgetOptions {
    BudgetOptions {
        per_app: Caps {
            minute: fen(2 * 888),
            day: fen(100 * 888),
            ..Caps::default()
        },
        warn_percent: 100,
        salt: "test".to_owned(),
        ..BudgetOptions::default()
    }
}

fn guarded(caps: BudgetOptions, sums: &Arc<Sums>) -> WorkerOptions {
    WorkerOptions {
        budget: Some(SpendGuard {
            counters: Arc::<Sums>::clone(sums),
            options: caps,
        }),
        ..options()
    }
}

fn start(caps: BudgetOptions, script: Vec<Scripted>) -> (World, Arc<Sums>) {
    let sums = Arc::new(Sums::default());
    (World::with(script, guarded(caps, &sums)), sums)
}

/// The job under another number.
fn job(number: &str) -> String {
    JOB.replace("\"R1\"", &format!("\"{number}\""))
}

/// The next event that is about a job.
async fn of_job(world: &World) -> (String, serde_json::Value) {
    loop {
        let (key, event) = world.event().await;
        if !key.starts_with("budget.") {
            return (key, event);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_exceed_a_cap_waits_without_a_lease_and_is_paid_in_the_next_window() {
    let (world, sums) = start(caps(), vec![success(), success(), success()]);
    for number in ["R1", "R2", "R3"] {
        world.submit(&job(number)).await;
        world.until("ack", 1 + world.journal.count("ack")).await;
    }
    assert_eq!(world.journal.count("send"), 2);
    let Some(Entry::Deferred(waiting)) = world.ledger.entry("R3").await else {
        panic!("it waits in the ladder")
    };
    assert!(!waiting.pending.maybe_sent);
    assert_eq!(waiting.pending.attempts, 0);
    let over = r#"deferrals_total{kind="disburse",reason="over_budget"}"#;
    assert_eq!(world.metric(over), "1");
    assert!(world.clock_since_start() < Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    }
    let passed = world.clock_since_start();
    assert!(passed >= Duration::from_secs(60), "{passed:?}");
    assert!(passed < Duration::from_secs(130), "{passed:?}");
    // The new minute has one job, the day all three.
    assert_eq!(sums.spent().await, [888, 3 * 888]);
    let over = r#"budget_over_total{app="main",scope="app",window="minute"}"#;
    assert_eq!(world.metric(over), "1");
    let spent = r#"budget_spent_fen{app="main",window="day"}"#;
    assert_eq!(world.metric(spent), (3 * 888).to_string());
    // It was never sent, so nobody asks about it first.
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn with_reject_what_would_exceed_a_cap_is_rejected_once_alipay_does_not_know_it() {
    let caps = BudgetOptions {
        over: WhenOver::Reject,
        ..caps()
    };
    let (world, sums) = start(caps, vec![success(), success(), not_found()]);
    for number in ["R1", "R2"] {
        world.submit(&job(number)).await;
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    }
    world.submit(&job("R3")).await;
    let (key, rejected) = of_job(&world).await;
    assert_eq!(
        (key.as_str(), rejected["data"]["reason"].as_str()),
        ("disburse.rejected", Some("over_budget"))
    );
    assert_eq!(rejected["attempts"], 1);
    // The outcome stands, and is told again.
    world.submit(&job("R3")).await;
    assert_eq!(of_job(&world).await.1, rejected);
    assert_eq!(sums.spent().await, [2 * 888; 2]);
    assert_eq!(world.stop().await.count("send"), 2);
}

#[tokio::test(start_paused = true)]
async fn with_reject_a_late_duplicate_of_a_paid_job_is_told_that_it_succeeded() {
    let caps = BudgetOptions {
        over: WhenOver::Reject,
        per_app: Caps {
            day: fen(1),
            ..Caps::default()
        },
        ..caps()
    };
    // The ledger has forgotten it long ago, and nobody doubts any more.
    let (world, sums) = start(caps, vec![found(OperationStatus::Success)]);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    assert_eq!(sums.asked(), 1);
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn with_reject_a_job_that_may_have_been_sent_waits_all_the_same() {
    let caps = BudgetOptions {
        over: WhenOver::Reject,
        ..caps()
    };
    // In doubt: it is asked about, and then it would be sent; in the next window it is asked about again.
    let script = vec![success(), success(), not_found(), not_found(), success()];
    let (world, _) = start(caps, script);
    for number in ["R1", "R2"] {
        world.submit(&job(number)).await;
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    }
    let mut again = copy(&job("R3"));
    again.ticket = Some(hongbaod::domain::entry::Ticket(0));
    world.broker.inner.publish_job(&again).await.unwrap();
    let (key, event) = of_job(&world).await;
    assert_eq!(
        (key.as_str(), event["id"].as_str()),
        ("disburse.succeeded", Some("main/disburse/R3"))
    );
    let over = r#"deferrals_total{kind="disburse",reason="over_budget"}"#;
    assert_eq!(world.metric(over), "1");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cap_that_is_only_told_stops_nothing() {
    let caps = BudgetOptions {
        over: WhenOver::Tell,
        ..caps()
    };
    let (world, sums) = start(caps, vec![success(), success(), success()]);
    for number in ["R1", "R2", "R3"] {
        world.submit(&job(number)).await;
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    }
    assert!(world.clock_since_start() < Duration::from_secs(60));
    assert_eq!(sums.spent().await, [3 * 888; 2]);
    let over = r#"budget_over_total{app="main",scope="app",window="minute"}"#;
    assert_eq!(world.metric(over), "1");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_nobody_counts_jobs_wait_and_were_never_sent() {
    let (world, sums) = start(caps(), vec![success()]);
    sums.away.store(3, Ordering::SeqCst);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    let uncounted = r#"deferrals_total{kind="disburse",reason="uncounted"}"#;
    assert_eq!(world.metric(uncounted), "3");
    assert_eq!(world.metric(r#"budget_uncounted_total{app="main"}"#), "3");
    assert_eq!(sums.spent().await, [888; 2]);
    let journal = world.stop().await;
    assert_eq!((journal.count("send"), journal.count("query")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_whose_reply_is_lost_is_found_again_and_counts_once() {
    let (world, sums) = start(caps(), vec![success()]);
    sums.lost.store(2, Ordering::SeqCst);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    assert_eq!(sums.asked(), 3);
    assert_eq!(sums.spent().await, [888; 2]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_so_pays_while_nobody_counts() {
    let caps = BudgetOptions {
        on_error: OnError::Pay,
        ..caps()
    };
    let (world, sums) = start(caps, vec![success()]);
    sums.away.store(u32::MAX, Ordering::SeqCst);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    assert_eq!(world.metric(r#"budget_uncounted_total{app="main"}"#), "1");
    assert_eq!(world.stop().await.count("copy"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_settled_job_takes_nothing_out_of_the_budget() {
    let (world, sums) = start(caps(), vec![success()]);
    for _ in 0..3 {
        world.submit(JOB).await;
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    }
    assert_eq!((sums.asked(), sums.spent().await), (1, vec![888; 2]));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_worker_dies_between_reservation_and_answer_is_counted_once_in_a_window() {
    // It dies in the call: the lease is waited for, then it is asked about for more than a minute.
    let mut script = vec![Scripted::Panic, not_found()];
    script.extend((0..6).map(|_| Scripted::Queried(Finding::Unknown(Doubt::TimedOut))));
    script.extend([not_found(), success()]);
    let (world, sums) = start(caps(), script);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    assert_eq!(world.journal.count("send"), 2);
    // The second sending fell into another minute, where its money may have moved, and the same day.
    let counters = sums.counters();
    assert_eq!(counters.len(), 2);
    assert_ne!(counters[0][0], counters[1][0]);
    assert_eq!(counters[0][1], counters[1][1]);
    assert_eq!(sums.spent().await, [888; 2]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_ledger_forgot_is_counted_only_if_it_is_sent() {
    for (answers, asked) in [
        (vec![found(OperationStatus::Success)], 0),
        (vec![not_found(), success()], 1),
    ] {
        let (world, sums) = start(caps(), answers);
        world.ledger.inner.forget_everything(START);
        world.submit(JOB).await;
        assert_eq!(of_job(&world).await.0, "disburse.succeeded");
        assert_eq!(sums.asked(), asked);
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_executed_keeps_its_place_in_the_budget() {
    let limited = || Scripted::Sent(Verdict::NotExecuted(NotExecuted::Limited));
    let (world, sums) = start(caps(), vec![limited(), limited(), success()]);
    world.submit(JOB).await;
    assert_eq!(of_job(&world).await.0, "disburse.succeeded");
    assert_eq!((sums.asked(), sums.spent().await), (3, vec![888; 2]));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_alipay_refused_is_given_back() {
    let closed = found(OperationStatus::Closed);
    for script in [vec![refused()], vec![unknown(), closed]] {
        let (world, sums) = start(caps(), script);
        world.submit(JOB).await;
        assert_eq!(of_job(&world).await.0, "disburse.failed");
        assert_eq!(sums.spent().await, [0; 2]);
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_for_its_budget_expires() {
    let none = BudgetOptions {
        per_app: Caps {
            minute: fen(1),
            ..Caps::default()
        },
        ..caps()
    };
    let (world, _) = start(none, vec![not_found()]);
    let expiring = JOB.replace(
        "\"amount\"",
        "\"not_after\":\"2026-11-22T10:00:30+08:00\",\"amount\"",
    );
    world.submit(&expiring).await;
    let (key, event) = of_job(&world).await;
    assert_eq!(
        (key.as_str(), event["data"]["reason"].as_str()),
        ("disburse.rejected", Some("expired"))
    );
    assert_eq!(world.stop().await.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sum_that_comes_near_its_cap_is_told_once_in_its_window() {
    let near = BudgetOptions {
        per_app: Caps::default(),
        per_payee: Caps {
            hour: fen(2_000),
            ..Caps::default()
        },
        warn_percent: 80,
        ..caps()
    };
    let (world, _) = start(near, vec![success(), success()]);
    world.submit(&job("R1")).await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.submit(&job("R2")).await;
    let mut told = [world.event().await, world.event().await];
    told.sort_by(|(one, _), (other, _)| one.cmp(other));
    let [(key, event), (of_job, _)] = told;
    assert_eq!(
        (key.as_str(), of_job.as_str()),
        ("budget.warned", "disburse.succeeded")
    );
    let id = event["id"].as_str().unwrap();
    assert!(
        id.starts_with("main/budget/payee/hour/2026-11-22T10:00:00.000+08:00/"),
        "{id}"
    );
    let budget = &event["data"]["budget"];
    assert_eq!(
        (&budget["cap"], &budget["spent"]),
        (&"20.00".into(), &"17.76".into())
    );
    assert_eq!(budget["value"], "2088****0001");
    // The third waits, and nothing new is said.
    world.submit(&job("R3")).await;
    world.until("copy", 1).await;
    let warned = r#"budget_warned_total{app="main",scope="payee",window="hour"}"#;
    assert_eq!(world.metric(warned), "1");
    assert_eq!(world.stop().await.count("event budget.warned"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_warning_that_is_not_confirmed_holds_up_no_job_and_is_published_again() {
    let near = BudgetOptions {
        warn_percent: 1,
        ..caps()
    };
    let late = Scripted::Sent(Verdict::Succeeded(Default::default()));
    let (world, _) = start(near, vec![late]);
    world.broker.events.lose(2);
    world.submit(JOB).await;
    world.until("event budget.warned", 2).await;
    world.until("ack", 1).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_what_pays_people_out_is_counted() {
    let refund = r#"{"kind":"refund","out_request_no":"F1","auth_no":"2026112210002001000000000001","amount":"8.88","remark":"r"}"#;
    let pay = r#"{"kind":"pay","out_request_no":"P1","out_order_no":"P1","order_title":"t","amount":"8.88","payer_user_id":"2088000000000002"}"#;
    let (world, sums) = start(caps(), vec![success(), success()]);
    for body in [refund, pay] {
        world.submit(body).await;
        assert!(of_job(&world).await.0.ends_with(".succeeded"));
    }
    assert_eq!(sums.asked(), 0);
    world.stop().await;
}
