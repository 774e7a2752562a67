//! What the continuous reconciliation found.

use std::collections::BTreeMap;

use prometheus::{IntCounter, IntGauge};

use crate::app::metrics::catalog::Catalog;
use crate::domain::ident::AppName;

/// The words of the label `result`.
const RESULTS: [&str; 3] = ["equal", "different", "unanswered"];

/// Each app's numbers; all 0 where it is switched off.
#[derive(Debug)]
pub(super) struct ReconcileMetrics(BTreeMap<AppName, OfApp>);

#[derive(Debug)]
struct OfApp {
    drift_fen: IntGauge,
    checked: [IntCounter; RESULTS.len()],
}

impl ReconcileMetrics {
    pub(super) fn new(catalog: &mut Catalog, apps: &[AppName]) -> Self {
        let drift = catalog.gauge(
            "reconcile_drift_fen",
            &["app"],
            "Sum of the differences between the ledger and Alipay that were found since the start.",
        );
        let checked = catalog.counter(
            "reconcile_checked_total",
            &["app", "result"],
            "Settled jobs that Alipay was asked about some minutes later, by what was found.",
        );
        let of_app = |app: &AppName| OfApp {
            drift_fen: drift.with_label_values(&[app.as_str()]),
            checked: RESULTS.map(|result| checked.with_label_values(&[app.as_str(), result])),
        };
        Self(apps.iter().map(|app| (app.clone(), of_app(app))).collect())
    }

    /// Counts one job of an app that is configured.
    pub(super) fn count(&self, app: &AppName, result: &'static str, fen: u64) {
        let Some(metrics) = self.0.get(app) else {
            return;
        };
        let mut counters = RESULTS.iter().zip(&metrics.checked);
        if let Some((_, counter)) = counters.find(|(word, _)| **word == result) {
            counter.inc();
        }
        metrics
            .drift_fen
            .add(i64::try_from(fen).unwrap_or(i64::MAX));
    }
}
