//! What an operator has paused, on virtual time: no money moves, what may have been sent is followed,
//! and nothing is lost, spun or held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::memory_ledger::MemoryLedger;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::Caption;
use hongbaod::domain::job::Kind;
use hongbaod::domain::switch::{Position, Switch, SwitchKey, Thrown};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::OperationStatus;
use hongbaod::pacing::PacedCall;
use hongbaod::ports::ledger::LedgerError;
use hongbaod::ports::switches::Switches;

use super::fakes::{START, Scripted};
use super::rules::steal_copies;
use super::world::{World, app};
use super::{JOB, QUERY, found, not_found, success, unknown};

/// Switches that may be out of reach.
struct Panel {
    inner: MemoryLedger,
    away: AtomicBool,
}

impl Panel {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLedger::new(),
            away: AtomicBool::new(false),
        })
    }

    async fn throw_to(&self, position: Position) {
        let switch = Switch {
            position,
            at: UnixMillis(1),
            by: Caption::new("ops").unwrap(),
            reason: None,
        };
        let all = SwitchKey::of_app(&app()).map(|key| (key, switch.clone()));
        self.inner.throw(&Thrown::from(all)).await.unwrap();
    }

    async fn pause(&self) {
        self.throw_to(Position::Paused).await;
    }

    async fn resume(&self) {
        self.throw_to(Position::Running).await;
    }

    fn check(&self) -> Result<(), LedgerError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(LedgerError::Unavailable("nobody is there".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Switches for Panel {
    async fn thrown(&self) -> Result<Thrown, LedgerError> {
        self.check()?;
        self.inner.thrown().await
    }

    async fn throw(&self, switches: &Thrown) -> Result<(), LedgerError> {
        self.check()?;
        self.inner.throw(switches).await
    }

    async fn restore(&self, key: &SwitchKey, switch: &Switch) -> Result<(), LedgerError> {
        self.check()?;
        self.inner.restore(key, switch).await
    }
}

fn start(script: Vec<Scripted>) -> (World, Arc<Panel>) {
    let panel = Panel::new();
    let switches: Arc<dyn Switches> = Arc::<Panel>::clone(&panel);
    (World::switched(script, switches), panel)
}

/// Pauses, and lets every replica know it.
async fn paused(script: Vec<Scripted>) -> (World, Arc<Panel>) {
    let (world, panel) = start(script);
    panel.pause().await;
    pass(Duration::from_secs(1)).await;
    (world, panel)
}

async fn pass(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Resumes, and tells how long it takes until the next event.
async fn told_after_resume(world: &World, panel: &Panel) -> (String, Duration) {
    panel.resume().await;
    let resumed_at = world.clock_since_start();
    let (key, _) = world.event().await;
    (key, world.clock_since_start() - resumed_at)
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_paused_kind_waits_unclaimed_in_the_ladder_and_is_paid_once() {
    let (world, panel) = paused(vec![success()]).await;
    world.submit(JOB).await;
    pass(Duration::from_secs(6 * 3_600)).await;
    for never in [
        "send",
        "query",
        "insert InFlight",
        "replace by InFlight",
        "rescue",
        "hand back",
    ] {
        assert_eq!(world.journal.count(never), 0, "{never}");
    }
    // Half of 30 s to 32 s a round, so that it is back soon, and no more often.
    let rounds = world.journal.count("copy with ticket");
    assert!(
        (600..1_500).contains(&rounds),
        "{rounds} rounds in six hours"
    );
    let entry = world.ledger.entry("R1").await.unwrap();
    assert!(matches!(entry, Entry::Deferred(ref deferred) if !deferred.pending.maybe_sent));
    assert_eq!(world.metric("paused{app=\"main\",kind=\"disburse\"}"), "1");

    let (key, took) = told_after_resume(&world, &panel).await;
    assert_eq!(key, "disburse.succeeded");
    assert!(took <= Duration::from_secs(35), "{took:?}");
    assert_eq!(world.metric("paused{app=\"main\",kind=\"disburse\"}"), "0");
    assert_eq!(world.stop().await.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_just_come_goes_on_within_a_second_of_the_end() {
    let (world, panel) = paused(vec![success()]).await;
    world.submit(JOB).await;
    pass(Duration::from_millis(500)).await;
    let (key, took) = told_after_resume(&world, &panel).await;
    assert_eq!(key, "disburse.succeeded");
    assert!(took <= Duration::from_millis(300), "{took:?}");
    let journal = world.stop().await;
    assert_eq!(journal.count("copy with ticket"), 0, "it was never put off");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_asked_about_and_settled_while_paused() {
    let (world, panel) = start(vec![unknown(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    panel.pause().await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    let journal = world.stop().await;
    journal.assert_order(&["send", "replace by Deferred{2}", "query"]);
    assert_eq!(journal.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_sent_again_is_put_off_until_the_end() {
    let mut script = vec![unknown()];
    script.extend((0..100).map(|_| not_found()));
    let (world, panel) = start(script);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    panel.pause().await;
    // Its absence is confirmed long since, and each round asks once more.
    world.until("query", 12).await;
    assert_eq!(world.journal.count("send"), 1);
    let entry = world.ledger.entry("R1").await.unwrap();
    assert!(entry.pending().unwrap().maybe_sent);
    world.gateway.script.lock().unwrap().clear();
    world
        .gateway
        .script
        .lock()
        .unwrap()
        .extend([not_found(), success()]);
    let (key, took) = told_after_resume(&world, &panel).await;
    assert_eq!(key, "disburse.succeeded");
    assert!(took <= Duration::from_secs(35), "{took:?}");
    assert_eq!(world.stop().await.count("send"), 2);
}

#[tokio::test(start_paused = true)]
async fn query_jobs_are_answered_while_everything_else_is_paused() {
    let (world, _panel) = paused(vec![found(OperationStatus::Success)]).await;
    world.submit(QUERY).await;
    assert_eq!(world.event().await.0, "query.found");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_between_the_permit_and_the_call_stops_the_call() {
    // The claim's answer takes a moment, and the call still has its place in the rate; or so long
    // that it needs another one.
    for claim_takes_ms in [10, 100] {
        let (world, _panel) = start(vec![success()]);
        *world.ledger.inserts_take.lock().unwrap() = Duration::from_millis(claim_takes_ms);
        world.submit(JOB).await;
        while world.journal.count("insert InFlight") == 0 {
            pass(Duration::from_millis(1)).await;
        }
        world.pacing.pause(&app(), PacedCall::Disburse);
        world.until("ack", 1).await;
        assert_eq!(world.journal.count("send"), 0, "{claim_takes_ms} ms");
        let entry = world.ledger.entry("R1").await.unwrap();
        // What was withheld was never sent, and may still expire.
        assert!(matches!(entry, Entry::Deferred(ref deferred) if !deferred.pending.maybe_sent));
        assert_eq!(entry.pending().unwrap().attempts, 0);
        // The switches say that nothing is paused.
        assert_eq!(world.event().await.0, "disburse.succeeded");
        assert_eq!(world.stop().await.count("send"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_paused_kind_is_not_rescued() {
    let (world, panel) = start(vec![unknown(), found(OperationStatus::Success)]);
    world.submit(JOB).await;
    world.until("ack", 1).await;
    steal_copies(&world, 1).await;
    panel.pause().await;
    pass(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(world.journal.count("rescue"), 0);
    panel.resume().await;
    assert_eq!(world.event().await.0, "disburse.succeeded");
    assert_eq!(world.stop().await.count("rescue with ticket Some(3)"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_is_known_before_the_first_job_is_taken() {
    let panel = Panel::new();
    panel.pause().await;
    panel.away.store(true, Ordering::Relaxed);
    let switches: Arc<dyn Switches> = Arc::<Panel>::clone(&panel);
    let world = World::switched(vec![success()], switches);
    world.submit(JOB).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.journal.lines(), [""; 0], "nothing is taken");
    panel.away.store(false, Ordering::Relaxed);
    world.until("copy with ticket", 1).await;
    assert_eq!(world.journal.count("send"), 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_known_last_stays_while_nobody_can_be_asked() {
    let (world, panel) = paused(vec![success()]).await;
    panel.away.store(true, Ordering::Relaxed);
    panel.resume().await;
    world.submit(JOB).await;
    pass(Duration::from_secs(600)).await;
    assert_eq!(world.journal.count("send"), 0);
    panel.away.store(false, Ordering::Relaxed);
    assert_eq!(world.event().await.0, "disburse.succeeded");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_ledger_forgets_stays_and_is_written_down_again() {
    let (world, panel) = paused(vec![success()]).await;
    panel.inner.forget_everything(START);
    world.submit(JOB).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.journal.count("send"), 0);
    let key = SwitchKey::new(app(), Kind::Disburse).unwrap();
    assert!(panel.inner.thrown().await.unwrap()[&key].is_paused());
    panel.resume().await;
    world.until("send", 1).await;
    world.stop().await;
}
