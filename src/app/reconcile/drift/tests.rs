//! The sample, and what is found by asking.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Drift, DriftPorts, MINUTE_MS};
use crate::adapters::random::SystemRandom;
use crate::app::metrics::Metrics;
use crate::app::witness::{Settling, Witness as _};
use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
use crate::domain::job::{Fingerprint, JobKey, Kind, Labels, MoneyJob, QueryTarget};
use crate::domain::money::Fen;
use crate::domain::outcome::{Outcome, Resolution, SignedOrder};
use crate::domain::time::{Monotonic, UnixMillis, millis};
use crate::domain::verdict::{Doubt, Finding, Verdict};
use crate::pacing::{Pacing, PacingOptions};
use crate::ports::clock::Clock;
use crate::ports::gateway::{Gateway, Prepared};

const START: UnixMillis = UnixMillis(1_795_312_800_000);

fn app() -> AppName {
    AppName::new("main").unwrap()
}

fn settle(drift: &Drift, index: usize, at: UnixMillis) {
    let key = JobKey {
        app: app(),
        out_request_no: MerchantNo::new(&format!("R{index}")).unwrap(),
    };
    let outcome = Outcome {
        kind: Kind::Disburse,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: Some(key.out_request_no.clone()),
        auth_no: None,
        amount: Fen::new(888).unwrap(),
        resolution: Resolution::Succeeded {
            operation_id: AlipayNo::new("1").ok(),
            gmt_trans: None,
        },
        attempts: 1,
        settled_at: at,
        labels: Labels::default(),
    };
    drift.settled(&Settling {
        key: &key,
        outcome: &outcome,
        took: None,
    });
}

fn drift(per_minute: u32) -> Drift {
    let per_minute = NonZeroU32::new(per_minute).unwrap();
    Drift::new(per_minute, Arc::new(SystemRandom))
}

#[test]
fn so_many_of_a_minute_are_kept_and_none_is_due_before_five_minutes_have_passed() {
    let drift = drift(6);
    for index in 0..1_000 {
        settle(&drift, index, START);
    }
    let minutes = |count: u64| UnixMillis(START.0 + count * MINUTE_MS);
    assert!(drift.next(UnixMillis(minutes(5).0 - 1)).is_none());
    let mut drawn = Vec::new();
    while let Some(due) = drift.next(minutes(5)) {
        drawn.push(due.key);
    }
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 6);
    let first_six = |key: &JobKey| key.out_request_no.as_str().len() == 2;
    assert!(!drawn.iter().all(first_six), "only the first: {drawn:?}");
}

#[test]
fn the_sample_of_an_hour_is_the_most_that_is_kept() {
    let drift = drift(2);
    for minute in 0..200 {
        for index in 0..5 {
            settle(&drift, index, UnixMillis(START.0 + minute * MINUTE_MS));
        }
    }
    let later = UnixMillis(START.0 + 300 * MINUTE_MS);
    let mut count = 0;
    while drift.next(later).is_some() {
        count += 1;
    }
    assert_eq!(count, 120);
}

/// Answers in turn: not found, no answer, not found.
struct Silent(Mutex<u32>);

#[async_trait]
impl Gateway for Silent {
    fn apps(&self) -> Vec<AppName> {
        vec![app()]
    }

    fn prepare(&self, _job: &MoneyJob) -> Option<Prepared> {
        None
    }

    fn sign_order(&self, _job: &MoneyJob, _prepared: &Prepared) -> Option<SignedOrder> {
        None
    }

    async fn send(&self, _app: &AppName, _prepared: &Prepared) -> Verdict {
        panic!("it only asks");
    }

    async fn query(&self, _app: &AppName, _target: &QueryTarget) -> Finding {
        let mut asked = self.0.lock().unwrap();
        *asked += 1;
        if *asked == 2 {
            return Finding::Unknown(Doubt::TimedOut);
        }
        Finding::NotFound
    }
}

/// The paused clock of the runtime.
struct Paused(tokio::time::Instant);

#[async_trait]
impl Clock for Paused {
    fn now(&self) -> UnixMillis {
        UnixMillis(START.0 + millis(self.0.elapsed()))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's clock stands still, and this is its beginning"
)]
async fn what_has_drifted_apart_is_counted_in_fen_and_what_is_unknown_is_not() {
    let clock: Arc<dyn Clock> = Arc::new(Paused(tokio::time::Instant::now()));
    let options = PacingOptions {
        requests_per_second: NonZeroU32::new(100).unwrap(),
        concurrency_min: NonZeroU32::new(4).unwrap(),
        concurrency_max: NonZeroU32::new(8).unwrap(),
    };
    let metrics = Arc::new(Metrics::new(&[app()]));
    let ports = DriftPorts {
        gateway: Arc::new(Silent(Mutex::new(0))),
        pacing: Pacing::new(options, &[app()], Arc::clone(&clock)),
        clock,
        metrics: Arc::clone(&metrics),
    };
    let drift = Arc::new(drift(6));
    (0..3).for_each(|index| settle(&drift, index, START));
    let running = tokio::spawn(Arc::clone(&drift).run(ports));
    tokio::time::sleep(Duration::from_secs(299)).await;
    let has = |sample: &str| metrics.encode().lines().any(|line| line == sample);
    assert!(has(r#"hongbaod_reconcile_drift_fen{app="main"} 0"#));
    tokio::time::sleep(Duration::from_secs(60)).await;
    running.abort();
    for sample in [
        r#"hongbaod_reconcile_drift_fen{app="main"} 1776"#,
        r#"hongbaod_reconcile_checked_total{app="main",result="different"} 2"#,
        r#"hongbaod_reconcile_checked_total{app="main",result="unanswered"} 1"#,
        r#"hongbaod_reconcile_checked_total{app="main",result="equal"} 0"#,
    ] {
        assert!(has(sample), "{sample}");
    }
}
