//! What became of the lines of the audit log.

use prometheus::{IntCounter, IntGauge};

use crate::app::metrics::catalog::Catalog;

/// The audit log's numbers; all 0 where no log is configured.
#[derive(Debug)]
pub(super) struct AuditMetrics {
    pub(super) written: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) failing: IntGauge,
}

impl AuditMetrics {
    pub(super) fn new(catalog: &mut Catalog) -> Self {
        const NONE: [&str; 0] = [];
        let lines = catalog.counter(
            "audit_lines_total",
            &["result"],
            "Lines of the audit log, by what became of them.",
        );
        let failing = catalog.gauge(
            "audit_failing",
            &[],
            "1 while the audit log cannot be written, else 0.",
        );
        Self {
            written: lines.with_label_values(&["written"]),
            lost: lines.with_label_values(&["lost"]),
            failing: failing.with_label_values(&NONE),
        }
    }
}
