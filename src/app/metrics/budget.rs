//! What the spend guard has let through and held back. Nothing of it is there without a cap.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::app::metrics::catalog::Catalog;
use crate::domain::budget::{Counter, Scope, Window};
use crate::domain::ident::AppName;
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// The metrics of the spend guard.
#[derive(Debug)]
pub(super) struct BudgetMetrics {
    cap: IntGaugeVec,
    spent: IntGaugeVec,
    over: IntCounterVec,
    warned: IntCounterVec,
    uncounted: IntCounterVec,
    /// When the windows end that the gauges of sums are about.
    ends: Mutex<BTreeMap<(AppName, Window), UnixMillis>>,
}

impl BudgetMetrics {
    pub(super) fn new(catalog: &mut Catalog) -> Self {
        let of_cap = &["app", "scope", "window"];
        Self {
            cap: catalog.gauge(
                "budget_cap_fen",
                &["app", "window"],
                "What an app may pay out in one window, in fen (1/100 yuan).",
            ),
            spent: catalog.gauge(
                "budget_spent_fen",
                &["app", "window"],
                "What all replicas paid out for an app in the present window, as this process last \
                 heard, in fen.",
            ),
            over: catalog.counter(
                "budget_over_total",
                of_cap,
                "How often a job would have exceeded a cap; a job that waits counts each time.",
            ),
            warned: catalog.counter(
                "budget_warned_total",
                of_cap,
                "Sums that came near their cap, each once in its window, over all replicas.",
            ),
            uncounted: catalog.counter(
                "budget_uncounted_total",
                &["app"],
                "How often a payment could not be counted, because nobody answered.",
            ),
            ends: Mutex::default(),
        }
    }

    /// There is such a cap: its series begin at 0.
    pub(super) fn capped(&self, app: &AppName, (scope, window): (Scope, Window), cap: Fen) {
        let labels = [app.as_str(), scope.as_str(), window.as_str()];
        self.over.with_label_values(&labels).inc_by(0);
        self.warned.with_label_values(&labels).inc_by(0);
        self.uncounted.with_label_values(&[app.as_str()]).inc_by(0);
        if scope == Scope::App {
            let labels = [app.as_str(), window.as_str()];
            self.cap.with_label_values(&labels).set(gauge(cap.get()));
            self.spent.with_label_values(&labels).set(0);
        }
    }

    pub(super) fn over(&self, app: &AppName, counter: &Counter) {
        let labels = [
            app.as_str(),
            counter.scope.as_str(),
            counter.window.as_str(),
        ];
        self.over.with_label_values(&labels).inc();
    }

    pub(super) fn warned(&self, app: &AppName, counter: &Counter) {
        let labels = [
            app.as_str(),
            counter.scope.as_str(),
            counter.window.as_str(),
        ];
        self.warned.with_label_values(&labels).inc();
    }

    pub(super) fn uncounted(&self, app: &AppName) {
        self.uncounted.with_label_values(&[app.as_str()]).inc();
    }

    /// The sum of an app; those of payees and labels are no metric, for their number has no bound.
    pub(super) fn spent(&self, app: &AppName, counter: &Counter, spent_fen: u64) {
        if counter.scope != Scope::App {
            return;
        }
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert((app.clone(), counter.window), counter.ends_at());
        let labels = [app.as_str(), counter.window.as_str()];
        self.spent.with_label_values(&labels).set(gauge(spent_fen));
    }

    /// In a window that has just begun, nothing is spent yet.
    pub(super) fn refresh(&self, now: UnixMillis) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|(app, window), ends_at| {
            let lasts = now < *ends_at;
            if !lasts {
                let labels = [app.as_str(), window.as_str()];
                self.spent.with_label_values(&labels).set(0);
            }
            lasts
        });
    }
}

fn gauge(fen: u64) -> i64 {
    i64::try_from(fen).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::BudgetMetrics;
    use crate::app::metrics::catalog::Catalog;
    use crate::domain::budget::{Counter, Scope, Window};
    use crate::domain::ident::AppName;
    use crate::domain::money::Fen;
    use crate::domain::time::UnixMillis;

    #[test]
    fn a_capped_window_is_there_from_the_start_and_empty_again_once_it_is_over() {
        let mut catalog = Catalog::new();
        let metrics = BudgetMetrics::new(&mut catalog);
        let app = AppName::new("main").unwrap();
        assert!(!catalog.encode().contains("budget_"), "off by default");
        metrics.capped(&app, (Scope::App, Window::Minute), Fen::new(1_000).unwrap());
        let counter = Counter {
            scope: Scope::App,
            value: None,
            window: Window::Minute,
            starts_at: UnixMillis(60_000),
        };
        let has = |sample: &str| catalog.encode().lines().any(|line| line == sample);
        let labels = r#"app="main",scope="app",window="minute""#;
        assert!(has(&format!("hongbaod_budget_over_total{{{labels}}} 0")));
        assert!(has(&format!("hongbaod_budget_warned_total{{{labels}}} 0")));
        let labels = r#"app="main",window="minute""#;
        let spent = |fen: u64| format!("hongbaod_budget_spent_fen{{{labels}}} {fen}");
        assert!(has(&format!("hongbaod_budget_cap_fen{{{labels}}} 1000")));
        assert!(has(&spent(0)));
        metrics.spent(&app, &counter, 888);
        metrics.refresh(UnixMillis(119_999));
        assert!(has(&spent(888)));
        metrics.refresh(UnixMillis(120_000));
        assert!(has(&spent(0)));
    }
}
