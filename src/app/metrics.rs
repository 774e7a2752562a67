//! What can be measured: every metric of the daemon in one struct, explained in
//! `docs/metrics.md`.
//!
//! Labels are words from closed lists and the names of configured apps, never an id. What is
//! counted per job was resolved once at the start, so that counting is one atomic addition.

mod audit;
mod budget;
mod catalog;
mod families;
mod notifications;
mod reconcile;
mod samples;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::IntGauge;

use crate::app::metrics::audit::AuditMetrics;
use crate::app::metrics::budget::BudgetMetrics;
use crate::app::metrics::catalog::Catalog;
use crate::app::metrics::families::{AppMetrics, JobResult, KindMetrics, Shared};
use crate::app::metrics::reconcile::ReconcileMetrics;
use crate::domain::budget::{Counter, Scope, Window};
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::money::Fen;
use crate::domain::outcome::{QueryAnswer, Resolution};
use crate::domain::switch::SwitchKey;
use crate::domain::time::UnixMillis;
use crate::lifecycle::DeferReason;
use crate::pacing::{PacedCall, Pacing};
use crate::ports::gateway::{CallObserver, CallReport};
use crate::ports::ledger::{Connection, LedgerHealth};

pub use crate::app::metrics::catalog::{Description, MetricType, Origin};
pub use crate::app::metrics::notifications::{NotificationResult, Postponed, Unread};
pub use crate::app::metrics::samples::{Alarms, Sample, Samples};

/// All metrics, on a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    catalog: Catalog,
    apps: BTreeMap<AppName, AppMetrics>,
    kinds: [KindMetrics; Kind::ALL.len()],
    shared: Shared,
    audit: AuditMetrics,
    reconcile: ReconcileMetrics,
    budget: BudgetMetrics,
}

/// One kind's numbers since the start, over all apps, for the page for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindSummary {
    /// The kind.
    pub kind: Kind,
    /// Jobs received, redelivered ones included.
    pub received: u64,
    /// Jobs in flight now.
    pub in_flight: u64,
    /// How many ended how: the result's word and the count.
    pub results: Vec<(&'static str, u64)>,
}

/// Counts a job as in flight until it is dropped.
#[derive(Debug)]
#[must_use = "the job counts as in flight until this is dropped"]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Makes the metrics of a process that serves `apps`.
    #[must_use]
    pub fn new(apps: &[AppName]) -> Self {
        let mut catalog = Catalog::new();
        let families = families::Families::new(&mut catalog);
        let budget = BudgetMetrics::new(&mut catalog);
        let children = |app: &AppName| (app.clone(), AppMetrics::new(&families, app));
        Self {
            apps: apps.iter().map(children).collect(),
            kinds: Kind::ALL.map(|kind| KindMetrics::new(&families, kind)),
            shared: Shared::new(families),
            audit: AuditMetrics::new(&mut catalog),
            reconcile: ReconcileMetrics::new(&mut catalog, apps),
            budget,
            catalog,
        }
    }

    /// Everything in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn encode(&self) -> String {
        self.catalog.encode()
    }

    /// What there is, in the order of the page.
    #[must_use]
    pub fn descriptions(&self) -> &[Description] {
        self.catalog.descriptions()
    }

    /// A job was received; every delivery counts. Jobs of apps that are not configured count only
    /// as buried.
    pub fn received(&self, app: &AppName, kind: Kind) {
        if let Some(app) = self.apps.get(app) {
            app.kind(kind).received.inc();
        }
    }

    /// A job is being worked on until the guard is dropped.
    pub fn in_flight(&self, kind: Kind) -> InFlight {
        let gauge = self.kind(kind).in_flight.clone();
        gauge.inc();
        InFlight(gauge)
    }

    /// An outcome was written to the ledger. Announcing it again does not count.
    pub fn settled(&self, app: &AppName, kind: Kind, resolution: &Resolution, amount: Fen) {
        let result = JobResult::of(resolution);
        self.result(app, kind, result);
        if let Some(app) = self.apps.get(app) {
            app.kind(kind).amount(result, amount);
        }
    }

    /// A job was refused without taking a ledger entry: invalid, or a conflict.
    pub fn rejected(&self, app: &AppName, kind: Kind) {
        self.result(app, kind, JobResult::Rejected);
    }

    /// A query job was answered.
    pub fn answered(&self, app: &AppName, answer: &QueryAnswer) {
        self.result(app, Kind::Query, JobResult::of_answer(answer));
    }

    /// A job's terminal event was confirmed, `duration` after the delivery.
    pub fn announced(&self, kind: Kind, duration: Duration) {
        self.kind(kind).duration.observe(duration.as_secs_f64());
    }

    /// A job was received `age` after its producer published it.
    pub fn aged(&self, kind: Kind, age: Duration) {
        self.kind(kind).age.observe(age.as_secs_f64());
    }

    /// A job was put off.
    pub fn deferred(&self, kind: Kind, reason: DeferReason) {
        self.kind(kind).count_deferral(reason);
    }

    /// A delivery was parked because somebody else holds the lease, or another job the number.
    pub fn parked(&self, kind: Kind) {
        self.kind(kind).parked.inc();
    }

    /// A delivery was parked because this version cannot read its job's entry.
    pub fn parked_unread(&self, kind: Kind) {
        self.kind(kind).parked_unread.inc();
    }

    /// A delivery made room for others.
    pub fn set_aside(&self, kind: Kind) {
        self.kind(kind).set_aside.inc();
    }

    /// A delivery found its job settled.
    pub fn duplicate(&self, kind: Kind) {
        self.kind(kind).duplicates.inc();
    }

    /// A number came with other content.
    pub fn conflict(&self, kind: Kind) {
        self.kind(kind).conflicts.inc();
    }

    /// Evidence against a settled outcome was found.
    pub fn contradicted(&self) {
        self.shared.contradictions.inc();
    }

    /// A request to the listener for notifications was answered; `None` where it names no app.
    pub fn notified(&self, app: Option<&AppName>, result: NotificationResult) {
        match app.and_then(|app| self.apps.get(app)) {
            Some(app) => app.notified(result),
            None => self.shared.notified(result),
        }
    }

    /// A message was dead-lettered for `reason`, a word from a closed list.
    pub fn buried(&self, reason: &'static str) {
        self.shared.buried.with_label_values(&[reason]).inc();
    }

    /// A job got its permit after `waited`.
    pub fn paced(&self, waited: Duration) {
        self.shared.pacing_wait.observe(waited.as_secs_f64());
    }

    /// Every app has this cap of the spend guard.
    pub fn budget_capped(&self, scope: Scope, window: Window, cap: Fen) {
        for app in self.apps.keys() {
            self.budget.capped(app, (scope, window), cap);
        }
    }

    /// How a sum of the spend guard stands.
    pub fn budget_spent(&self, app: &AppName, counter: &Counter, spent_fen: u64) {
        self.budget.spent(app, counter, spent_fen);
    }

    /// A job would have exceeded a cap.
    pub fn budget_over(&self, app: &AppName, counter: &Counter) {
        self.budget.over(app, counter);
    }

    /// A sum came near its cap.
    pub fn budget_warned(&self, app: &AppName, counter: &Counter) {
        self.budget.warned(app, counter);
    }

    /// A payment could not be counted.
    pub fn budget_uncounted(&self, app: &AppName) {
        self.budget.uncounted(app);
    }

    /// Sums of windows that are over are no more the present ones.
    pub fn refresh_budget(&self, now: UnixMillis) {
        self.budget.refresh(now);
    }

    /// How many unsettled jobs of `kind` the ledger's index holds.
    pub fn set_unsettled(&self, kind: Kind, count: u64) {
        self.kind(kind).unsettled.set(gauge_value(count));
    }

    /// How old the oldest unsettled job is; zero when there is none.
    pub fn set_unsettled_oldest_age(&self, age: Duration) {
        let seconds = gauge_value(age.as_secs());
        self.shared.unsettled_oldest_age.set(seconds);
    }

    /// How every lane stands now.
    pub fn set_pacing(&self, pacing: &Pacing) {
        for (app, metrics) in &self.apps {
            metrics.pacing_limit.set(i64::from(pacing.limit(app)));
            metrics
                .pacing_in_flight
                .set(i64::from(pacing.in_flight(app)));
            let waiting = i64::try_from(pacing.waiting(app)).unwrap_or(i64::MAX);
            metrics.pacing_waiting.set(waiting);
            let rate = pacing.requests_per_second(app);
            metrics.pacing_rate_limit.set(i64::from(rate));
            metrics
                .pacing_rate_failing
                .set(i64::from(pacing.rate_failing(app)));
            metrics
                .breaker_open
                .set(i64::from(pacing.breaker_open(app)));
            for kind in SwitchKey::KINDS {
                if let Some(gauge) = &metrics.kind(kind).paused {
                    gauge.set(i64::from(pacing.is_paused(app, PacedCall::from(kind))));
                }
            }
        }
    }

    /// Changed key files of an app are in use.
    pub fn keys_reloaded(&self) {
        self.shared.keys_reloaded.inc();
    }

    /// Changed key files of an app have a mistake; the old keys stay in use.
    pub fn keys_refused(&self) {
        self.shared.keys_refused.inc();
    }

    /// The last second of a certificate's validity, in Unix seconds; `which` is a word from a
    /// closed list.
    pub fn set_certificate_expiry(&self, app: &AppName, which: &'static str, not_after: i64) {
        self.shared
            .certificate_expiry
            .with_label_values(&[app.as_str(), which])
            .set(not_after);
    }

    /// So many lines were written to the audit log.
    pub fn audit_written(&self, lines: usize) {
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        self.audit.written.inc_by(lines);
    }

    /// So many lines will never be in the audit log.
    pub fn audit_lost(&self, lines: u64) {
        self.audit.lost.inc_by(lines);
    }

    /// Whether the audit log cannot be written: 1, else 0.
    pub fn set_audit_failing(&self, failing: i64) {
        self.audit.failing.set(failing);
    }

    /// A settled job was asked for some minutes later; `result` is a word from a closed list, and
    /// `fen` what has drifted apart.
    pub fn reconciled(&self, app: &AppName, result: &'static str, fen: u64) {
        self.reconcile.count(app, result, fen);
    }

    /// A note for the history of a job was lost.
    pub fn history_dropped(&self) {
        self.shared.history_dropped.inc();
    }

    /// Whether the broker can be expected to answer.
    pub fn set_broker(&self, connection: Connection) {
        self.shared.broker_connected.set(connected(connection));
    }

    /// How the ledger stands now; `health` counts its losses since the start.
    pub fn set_ledger(&self, health: &LedgerHealth) {
        let connection = connected(health.connection);
        self.shared.ledger_connected.set(connection);
        self.shared.count_memory_losses(health.memory_losses);
    }

    /// Each kind's numbers since the start, over all apps.
    #[must_use]
    pub fn summary(&self) -> Vec<KindSummary> {
        let summarize = |kind| {
            let apps = self.apps.values().map(|app| app.kind(kind));
            let mut received = 0_u64;
            let mut results: BTreeMap<JobResult, u64> = BTreeMap::new();
            for app in apps {
                received = received.saturating_add(app.received.get());
                for (result, count) in app.results() {
                    let total = results.entry(result).or_default();
                    *total = total.saturating_add(count);
                }
            }
            KindSummary {
                kind,
                received,
                in_flight: u64::try_from(self.kind(kind).in_flight.get()).unwrap_or(0),
                results: results
                    .into_iter()
                    .map(|(result, count)| (result.as_str(), count))
                    .collect(),
            }
        };
        Kind::ALL.map(summarize).into()
    }

    fn result(&self, app: &AppName, kind: Kind, result: JobResult) {
        if let Some(app) = self.apps.get(app) {
            app.kind(kind).ended(result);
        }
    }

    fn kind(&self, kind: Kind) -> &KindMetrics {
        &self.kinds[kind.index()]
    }
}

impl CallObserver for Metrics {
    fn called(&self, report: &CallReport<'_>) {
        if self.apps.contains_key(report.app) {
            self.shared
                .gateway_requests
                .with_label_values(&[report.app.as_str(), report.method, report.verdict])
                .inc();
        }
        self.shared
            .gateway_codes
            .with_label_values(&[report.method, report.code, report.sub_code])
            .inc();
        self.shared
            .gateway_duration
            .with_label_values(&[report.method])
            .observe(report.duration.as_secs_f64());
    }
}

fn gauge_value(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn connected(connection: Connection) -> i64 {
    match connection {
        Connection::Up => 1,
        Connection::Down => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Metrics, NotificationResult, Unread};
    use crate::app::worker::Noted;
    use crate::domain::ident::AppName;
    use crate::domain::job::Kind;
    use crate::domain::money::Fen;
    use crate::domain::outcome::{QueryAnswer, Rejection, Resolution};
    use crate::lifecycle::DeferReason;
    use crate::ports::gateway::{CallObserver, CallReport};
    use crate::ports::ledger::{Connection, LedgerHealth};

    fn app(name: &str) -> AppName {
        AppName::new(name).unwrap()
    }

    /// Whether the text has this sample, without `hongbaod_`.
    fn has(metrics: &Metrics, sample: &str) -> bool {
        let sample = format!("hongbaod_{sample}");
        metrics.encode().lines().any(|line| line == sample)
    }

    #[test]
    fn what_happens_to_jobs_is_counted_under_their_app_kind_and_result() {
        let metrics = Metrics::new(&[app("main")]);
        let expired = Resolution::Rejected(Rejection::Expired);
        let fen = Fen::new(888).unwrap();
        metrics.received(&app("main"), Kind::Disburse);
        metrics.settled(&app("main"), Kind::Disburse, &expired, fen);
        metrics.settled(&app("main"), Kind::Disburse, &expired, fen);
        metrics.rejected(&app("main"), Kind::Disburse);
        metrics.answered(&app("main"), &QueryAnswer::NotFound);
        metrics.deferred(Kind::Pay, DeferReason::InProgress);
        metrics.parked(Kind::Pay);
        metrics.parked_unread(Kind::Pay);
        metrics.duplicate(Kind::Refund);
        metrics.conflict(Kind::Refund);
        metrics.contradicted();
        metrics.buried("invalid");
        let told = NotificationResult::Noted(Noted::Told);
        metrics.notified(Some(&app("main")), told);
        metrics.notified(Some(&app("stranger")), told);
        metrics.notified(None, NotificationResult::Unread(Unread::Busy));
        for sample in [
            r#"jobs_received_total{app="main",kind="disburse"} 1"#,
            r#"jobs_settled_total{app="main",kind="disburse",result="rejected"} 3"#,
            r#"settled_amount_fen_total{app="main",kind="disburse",result="rejected"} 1776"#,
            r#"jobs_settled_total{app="main",kind="query",result="not_found"} 1"#,
            r#"deferrals_total{kind="pay",reason="in_progress"} 1"#,
            r#"deferrals_total{kind="pay",reason="parked"} 1"#,
            r#"deferrals_total{kind="pay",reason="unreadable"} 1"#,
            r#"duplicates_total{kind="refund"} 1"#,
            r#"conflicts_total{kind="refund"} 1"#,
            "contradictions_total 1",
            r#"notifications_total{app="main",result="told"} 1"#,
            r#"notifications_total{app="main",result="forged"} 0"#,
            r#"notifications_total{app="(none)",result="told"} 1"#,
            r#"notifications_total{app="(none)",result="busy"} 1"#,
            r#"buried_total{reason="invalid"} 1"#,
        ] {
            assert!(has(&metrics, sample), "{sample}");
        }
        let summary = &metrics.summary()[0];
        assert_eq!((summary.kind, summary.received), (Kind::Disburse, 1));
        assert!(summary.results.contains(&("rejected", 3)));
    }

    #[test]
    fn an_app_that_is_not_configured_never_becomes_a_label() {
        let metrics = Metrics::new(&[app("main")]);
        metrics.received(&app("stranger"), Kind::Disburse);
        metrics.rejected(&app("stranger"), Kind::Disburse);
        metrics.called(&CallReport {
            app: &app("stranger"),
            method: "alipay.fund.coupon.order.disburse",
            verdict: "unknown",
            code: "none",
            sub_code: "none",
            duration: Duration::ZERO,
        });
        assert!(!metrics.encode().contains("stranger"));
    }

    #[test]
    fn every_closed_label_is_there_from_the_start_so_that_rates_see_the_first_event() {
        let metrics = Metrics::new(&[app("main"), app("other")]);
        for sample in [
            r#"jobs_settled_total{app="other",kind="pay",result="succeeded"} 0"#,
            r#"settled_amount_fen_total{app="main",kind="refund",result="failed"} 0"#,
            r#"deferrals_total{kind="query",reason="blocked"} 0"#,
            r#"breaker_open{app="other"} 0"#,
            r#"paused{app="other",kind="refund"} 0"#,
            "contradictions_total 0",
            "ledger_memory_lost_total 0",
        ] {
            assert!(has(&metrics, sample), "{sample}");
        }
        let text = metrics.encode();
        // Queries settle no amounts, and money jobs are not "found".
        assert!(!text.contains(r#"amount_fen_total{app="main",kind="query""#));
        assert!(!text.contains(r#"paused{app="main",kind="query""#));
        assert!(!text.contains(r#"kind="pay",result="found""#));
    }

    #[test]
    fn a_job_is_in_flight_until_its_guard_is_dropped() {
        let metrics = Metrics::new(&[]);
        let first = metrics.in_flight(Kind::Query);
        let _second = metrics.in_flight(Kind::Query);
        assert!(has(&metrics, r#"in_flight{kind="query"} 2"#));
        drop(first);
        assert!(has(&metrics, r#"in_flight{kind="query"} 1"#));
    }

    #[test]
    fn calls_are_counted_by_verdict_and_by_code_and_timed_in_seconds() {
        let metrics = Metrics::new(&[app("main")]);
        metrics.called(&CallReport {
            app: &app("main"),
            method: "alipay.fund.coupon.order.refund",
            verdict: "refused",
            code: "40004",
            sub_code: "MONEY_NOT_ENOUGH",
            duration: Duration::from_millis(150),
        });
        let method = r#"method="alipay.fund.coupon.order.refund""#;
        for sample in [
            format!(r#"gateway_requests_total{{app="main",{method},verdict="refused"}} 1"#),
            format!(
                r#"gateway_codes_total{{code="40004",{method},sub_code="MONEY_NOT_ENOUGH"}} 1"#
            ),
            format!(r#"gateway_request_duration_seconds_bucket{{{method},le="0.1"}} 0"#),
            format!(r#"gateway_request_duration_seconds_bucket{{{method},le="0.25"}} 1"#),
            format!("gateway_request_duration_seconds_sum{{{method}}} 0.15"),
        ] {
            assert!(has(&metrics, &sample), "{sample}\n{}", metrics.encode());
        }
    }

    #[test]
    fn the_ledgers_losses_are_counted_once_each() {
        let metrics = Metrics::new(&[]);
        for (connection, memory_losses, expected) in [
            (Connection::Up, 0, ("1", "0")),
            (Connection::Down, 2, ("0", "2")),
            (Connection::Up, 2, ("1", "2")),
            (Connection::Up, 3, ("1", "3")),
        ] {
            metrics.set_ledger(&LedgerHealth {
                connection,
                memory_lost_at: None,
                memory_losses,
            });
            let (connected, lost) = expected;
            assert!(has(&metrics, &format!("ledger_connected {connected}")));
            assert!(has(&metrics, &format!("ledger_memory_lost_total {lost}")));
        }
    }
}
