//! The families of metrics, and their children per app and per kind.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::app::build_info;
use crate::app::metrics::catalog::Catalog;
use crate::app::metrics::notifications::NotificationResult;
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::money::Fen;
use crate::domain::outcome::{QueryAnswer, Resolution};
use crate::domain::switch::SwitchKey;
use crate::lifecycle::DeferReason;

/// `deferrals_total{reason}` of a delivery that met somebody else's lease.
const PARKED: &str = "parked";

/// `deferrals_total{reason}` of a delivery whose entry another version wrote.
const UNREADABLE: &str = "unreadable";

/// `notifications_total{app}` of a path that names none of ours; no app can have this name.
const NO_APP: &str = "(none)";

/// From a gateway nearby to the timeout and what lies just above it.
const GATEWAY_SECONDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0,
];

/// From what the daemon itself adds to a job that waited for tokens in a burst.
const DURATION_SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0, 250.0,
];

/// From a queue that is empty to a job that waited for a week.
const AGE_SECONDS: [f64; 16] = [
    0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0,
    86_400.0, 259_200.0, 604_800.0,
];

/// From no wait to a burst of thousands.
const WAIT_SECONDS: [f64; 12] = [
    0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0,
];

/// How a job ended: the value of the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JobResult {
    Succeeded,
    Failed,
    Found,
    NotFound,
    Unresolved,
    Rejected,
    Signed,
}

impl JobResult {
    const MONEY: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Rejected];
    const ORDER: [Self; 2] = [Self::Signed, Self::Rejected];
    const QUERY: [Self; 4] = [
        Self::Found,
        Self::NotFound,
        Self::Unresolved,
        Self::Rejected,
    ];

    pub(super) const fn of(resolution: &Resolution) -> Self {
        match resolution {
            Resolution::Succeeded { .. } => Self::Succeeded,
            Resolution::Failed(_) => Self::Failed,
            Resolution::Rejected(_) => Self::Rejected,
            Resolution::Signed(_) => Self::Signed,
        }
    }

    pub(super) const fn of_answer(answer: &QueryAnswer) -> Self {
        match answer {
            QueryAnswer::Found(_) => Self::Found,
            QueryAnswer::NotFound => Self::NotFound,
            QueryAnswer::Unresolved => Self::Unresolved,
            QueryAnswer::Expired => Self::Rejected,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Unresolved => "unresolved",
            Self::Rejected => "rejected",
            Self::Signed => "signed",
        }
    }

    const fn of_kind(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Disburse | Kind::Refund | Kind::Pay => &Self::MONEY,
            Kind::Query => &Self::QUERY,
            Kind::AppPay | Kind::PagePay => &Self::ORDER,
        }
    }
}

/// Every family that we make.
pub(super) struct Families {
    received: IntCounterVec,
    settled: IntCounterVec,
    amount: IntCounterVec,
    duration: HistogramVec,
    age: HistogramVec,
    in_flight: IntGaugeVec,
    deferrals: IntCounterVec,
    set_aside: IntCounterVec,
    duplicates: IntCounterVec,
    conflicts: IntCounterVec,
    contradictions: IntCounterVec,
    buried: IntCounterVec,
    unsettled: IntGaugeVec,
    unsettled_oldest_age: IntGaugeVec,
    gateway_requests: IntCounterVec,
    gateway_codes: IntCounterVec,
    gateway_duration: HistogramVec,
    notifications: IntCounterVec,
    pacing_limit: IntGaugeVec,
    pacing_in_flight: IntGaugeVec,
    pacing_waiting: IntGaugeVec,
    pacing_rate_limit: IntGaugeVec,
    pacing_rate_failing: IntGaugeVec,
    pacing_wait: HistogramVec,
    breaker_open: IntGaugeVec,
    paused: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    key_reloads: IntCounterVec,
    ledger_memory_lost: IntCounterVec,
    ledger_connected: IntGaugeVec,
    broker_connected: IntGaugeVec,
    history_dropped: IntCounterVec,
}

impl Families {
    #[expect(
        clippy::too_many_lines,
        reason = "a list, one entry per metric, in the order of the page"
    )]
    pub(super) fn new(catalog: &mut Catalog) -> Self {
        let build_info = catalog.gauge(
            "build_info",
            &["version", "commit"],
            "Always 1; the labels tell what runs.",
        );
        build_info
            .with_label_values(&[build_info::VERSION, build_info::COMMIT])
            .set(1);
        Self {
            received: catalog.counter(
                "jobs_received_total",
                &["app", "kind"],
                "Deliveries that hold a valid job, redelivered ones and retry copies included.",
            ),
            settled: catalog.counter(
                "jobs_settled_total",
                &["app", "kind", "result"],
                "Jobs that came to a terminal outcome, each once.",
            ),
            amount: catalog.counter(
                "settled_amount_fen_total",
                &["app", "kind", "result"],
                "Amounts of the settled money jobs, in fen (1/100 yuan).",
            ),
            duration: catalog.histogram(
                "job_duration_seconds",
                &["kind"],
                "From a job's last delivery to the confirm of its terminal event.",
                &DURATION_SECONDS,
            ),
            age: catalog.histogram(
                "job_age_seconds",
                &["kind"],
                "From the producer's timestamp to the delivery of the job.",
                &AGE_SECONDS,
            ),
            in_flight: catalog.gauge(
                "in_flight",
                &["kind"],
                "Deliveries that this process works on.",
            ),
            deferrals: catalog.counter(
                "deferrals_total",
                &["kind", "reason"],
                "Jobs that were put off, by reason.",
            ),
            set_aside: catalog.counter(
                "set_aside_total",
                &["kind"],
                "Deliveries that made room for others of their kind, by label, and went to the bulk lane.",
            ),
            duplicates: catalog.counter(
                "duplicates_total",
                &["kind"],
                "Deliveries of jobs that were settled already; nothing was sent.",
            ),
            conflicts: catalog.counter(
                "conflicts_total",
                &["kind"],
                "Jobs that were rejected because their number belongs to other content.",
            ),
            contradictions: catalog.counter(
                "contradictions_total",
                &[],
                "Evidence found against a settled outcome.",
            ),
            buried: catalog.counter(
                "buried_total",
                &["reason"],
                "Messages that were put into the dead-letter queue, by reason.",
            ),
            unsettled: catalog.gauge(
                "unsettled",
                &["kind"],
                "Jobs in the ledger without an outcome.",
            ),
            unsettled_oldest_age: catalog.gauge(
                "unsettled_oldest_age_seconds",
                &[],
                "Age of the oldest job without an outcome; 0 when there is none.",
            ),
            gateway_requests: catalog.counter(
                "gateway_requests_total",
                &["app", "method", "verdict"],
                "Calls to Alipay, by what they told.",
            ),
            gateway_codes: catalog.counter(
                "gateway_codes_total",
                &["method", "code", "sub_code"],
                "Answers of Alipay by code; codes that are not in the built-in table are `other`.",
            ),
            gateway_duration: catalog.histogram(
                "gateway_request_duration_seconds",
                &["method"],
                "How long calls to Alipay took, the ones that were given up included.",
                &GATEWAY_SECONDS,
            ),
            notifications: catalog.counter(
                "notifications_total",
                &["app", "result"],
                "Requests to the listener for notifications, by what became of them.",
            ),
            pacing_limit: catalog.gauge(
                "pacing_limit",
                &["app"],
                "How many calls of the app may be in flight now in this process.",
            ),
            pacing_in_flight: catalog.gauge(
                "pacing_in_flight",
                &["app"],
                "How many permits of the app are out in this process.",
            ),
            pacing_waiting: catalog.gauge(
                "pacing_waiting",
                &["app"],
                "How many jobs of the app wait for a permit in this process.",
            ),
            pacing_rate_limit: catalog.gauge(
                "pacing_rate_limit",
                &["app"],
                "How many calls per second and method the app may start, over all replicas.",
            ),
            pacing_rate_failing: catalog.gauge(
                "pacing_rate_failing",
                &["app"],
                "1 while calls of the shared rate cannot be booked, else 0.",
            ),
            pacing_wait: catalog.histogram(
                "pacing_wait_seconds",
                &[],
                "How long jobs waited for their permit.",
                &WAIT_SECONDS,
            ),
            breaker_open: catalog.gauge(
                "breaker_open",
                &["app"],
                "1 while the app's calls are stopped but for probes, else 0.",
            ),
            paused: catalog.gauge(
                "paused",
                &["app", "kind"],
                "1 while an operator has paused the calls that move money, else 0.",
            ),
            certificate_expiry: catalog.gauge(
                "certificate_expiry_seconds",
                &["app", "which"],
                "The last second of a certificate's validity, in Unix seconds.",
            ),
            key_reloads: catalog.counter(
                "key_reloads_total",
                &["result"],
                "How often changed key files of an app were read again.",
            ),
            ledger_memory_lost: catalog.counter(
                "ledger_memory_lost_total",
                &[],
                "How often the ledger was found to have lost, or perhaps lost, its memory.",
            ),
            ledger_connected: catalog.gauge(
                "ledger_connected",
                &[],
                "1 while Redis can be expected to answer and to write, else 0.",
            ),
            broker_connected: catalog.gauge(
                "broker_connected",
                &[],
                "1 while RabbitMQ can be expected to answer, else 0.",
            ),
            history_dropped: catalog.counter(
                "history_dropped_total",
                &[],
                "Notes for the history of jobs that were lost.",
            ),
        }
    }
}

/// One app's children.
#[derive(Debug)]
pub(super) struct AppMetrics {
    notifications: [IntCounter; NotificationResult::ALL.len()],
    kinds: [AppKindMetrics; Kind::ALL.len()],
    pub(super) pacing_limit: IntGauge,
    pub(super) pacing_in_flight: IntGauge,
    pub(super) pacing_waiting: IntGauge,
    pub(super) pacing_rate_limit: IntGauge,
    pub(super) pacing_rate_failing: IntGauge,
    pub(super) breaker_open: IntGauge,
}

/// One app's children of one kind.
#[derive(Debug)]
pub(super) struct AppKindMetrics {
    pub(super) received: IntCounter,
    /// Only of kinds that move money.
    pub(super) paused: Option<IntGauge>,
    results: Vec<ResultMetrics>,
}

#[derive(Debug)]
struct ResultMetrics {
    result: JobResult,
    jobs: IntCounter,
    /// Only of kinds that move money.
    amount: Option<IntCounter>,
}

impl AppMetrics {
    pub(super) fn new(families: &Families, app: &AppName) -> Self {
        let app = app.as_str();
        Self {
            notifications: notifications(families, app),
            kinds: Kind::ALL.map(|kind| AppKindMetrics::new(families, app, kind)),
            pacing_limit: families.pacing_limit.with_label_values(&[app]),
            pacing_in_flight: families.pacing_in_flight.with_label_values(&[app]),
            pacing_waiting: families.pacing_waiting.with_label_values(&[app]),
            pacing_rate_limit: families.pacing_rate_limit.with_label_values(&[app]),
            pacing_rate_failing: families.pacing_rate_failing.with_label_values(&[app]),
            breaker_open: families.breaker_open.with_label_values(&[app]),
        }
    }

    pub(super) fn kind(&self, kind: Kind) -> &AppKindMetrics {
        &self.kinds[kind.index()]
    }

    /// Counts a notification that ended so.
    pub(super) fn notified(&self, result: NotificationResult) {
        count_notification(&self.notifications, result);
    }
}

fn notifications(families: &Families, app: &str) -> [IntCounter; NotificationResult::ALL.len()] {
    NotificationResult::ALL.map(|result| {
        let labels = [app, result.as_str()];
        families.notifications.with_label_values(&labels)
    })
}

fn count_notification(counters: &[IntCounter], result: NotificationResult) {
    let mut children = NotificationResult::ALL.iter().zip(counters);
    let word = result.as_str();
    if let Some((_, counter)) = children.find(|(other, _)| other.as_str() == word) {
        counter.inc();
    }
}

impl AppKindMetrics {
    fn new(families: &Families, app: &str, kind: Kind) -> Self {
        let results = JobResult::of_kind(kind).iter().map(|&result| {
            let labels = [app, kind.as_str(), result.as_str()];
            ResultMetrics {
                result,
                jobs: families.settled.with_label_values(&labels),
                amount: match kind {
                    Kind::Disburse | Kind::Refund | Kind::Pay => {
                        Some(families.amount.with_label_values(&labels))
                    }
                    // A signature moves no money.
                    Kind::AppPay | Kind::PagePay | Kind::Query => None,
                },
            }
        });
        let paused = SwitchKey::KINDS.contains(&kind);
        Self {
            received: families.received.with_label_values(&[app, kind.as_str()]),
            paused: paused.then(|| families.paused.with_label_values(&[app, kind.as_str()])),
            results: results.collect(),
        }
    }

    /// Counts a job that ended so.
    pub(super) fn ended(&self, result: JobResult) {
        if let Some(metrics) = self.find(result) {
            metrics.jobs.inc();
        }
    }

    /// Counts the amount of a job that ended so.
    pub(super) fn amount(&self, result: JobResult, amount: Fen) {
        if let Some(counter) = self
            .find(result)
            .and_then(|metrics| metrics.amount.as_ref())
        {
            counter.inc_by(amount.get());
        }
    }

    /// How many jobs ended how.
    pub(super) fn results(&self) -> impl Iterator<Item = (JobResult, u64)> {
        let results = self.results.iter();
        results.map(|metrics| (metrics.result, metrics.jobs.get()))
    }

    fn find(&self, result: JobResult) -> Option<&ResultMetrics> {
        self.results.iter().find(|metrics| metrics.result == result)
    }
}

/// One kind's children.
#[derive(Debug)]
pub(super) struct KindMetrics {
    pub(super) duration: Histogram,
    pub(super) age: Histogram,
    pub(super) in_flight: IntGauge,
    pub(super) unsettled: IntGauge,
    pub(super) set_aside: IntCounter,
    pub(super) duplicates: IntCounter,
    pub(super) conflicts: IntCounter,
    pub(super) parked: IntCounter,
    pub(super) parked_unread: IntCounter,
    deferred: [IntCounter; DeferReason::ALL.len()],
}

impl KindMetrics {
    pub(super) fn new(families: &Families, kind: Kind) -> Self {
        let kind = [kind.as_str()];
        let deferrals = |reason| families.deferrals.with_label_values(&[kind[0], reason]);
        Self {
            duration: families.duration.with_label_values(&kind),
            age: families.age.with_label_values(&kind),
            in_flight: families.in_flight.with_label_values(&kind),
            unsettled: families.unsettled.with_label_values(&kind),
            set_aside: families.set_aside.with_label_values(&kind),
            duplicates: families.duplicates.with_label_values(&kind),
            conflicts: families.conflicts.with_label_values(&kind),
            parked: deferrals(PARKED),
            parked_unread: deferrals(UNREADABLE),
            deferred: DeferReason::ALL.map(|reason| deferrals(reason.as_str())),
        }
    }

    /// Counts a job that was put off for `reason`.
    pub(super) fn count_deferral(&self, reason: DeferReason) {
        let mut children = DeferReason::ALL.iter().zip(&self.deferred);
        if let Some((_, counter)) = children.find(|(other, _)| **other == reason) {
            counter.inc();
        }
    }
}

/// What has no app and no kind, or open labels.
#[derive(Debug)]
pub(super) struct Shared {
    /// Of paths that name no configured app, whatever they name.
    notifications: [IntCounter; NotificationResult::ALL.len()],
    pub(super) contradictions: IntCounter,
    pub(super) buried: IntCounterVec,
    pub(super) unsettled_oldest_age: IntGauge,
    pub(super) gateway_requests: IntCounterVec,
    pub(super) gateway_codes: IntCounterVec,
    pub(super) gateway_duration: HistogramVec,
    pub(super) pacing_wait: Histogram,
    pub(super) certificate_expiry: IntGaugeVec,
    pub(super) keys_reloaded: IntCounter,
    pub(super) keys_refused: IntCounter,
    pub(super) ledger_connected: IntGauge,
    pub(super) broker_connected: IntGauge,
    pub(super) history_dropped: IntCounter,
    ledger_memory_lost: IntCounter,
    /// How many losses were counted; also the lock that keeps each from being counted twice.
    losses_counted: std::sync::Mutex<u64>,
}

impl Shared {
    pub(super) fn new(families: Families) -> Self {
        const NONE: [&str; 0] = [];
        Self {
            notifications: notifications(&families, NO_APP),
            contradictions: families.contradictions.with_label_values(&NONE),
            buried: families.buried,
            unsettled_oldest_age: families.unsettled_oldest_age.with_label_values(&NONE),
            gateway_requests: families.gateway_requests,
            gateway_codes: families.gateway_codes,
            gateway_duration: families.gateway_duration,
            pacing_wait: families.pacing_wait.with_label_values(&NONE),
            certificate_expiry: families.certificate_expiry,
            keys_reloaded: families.key_reloads.with_label_values(&["reloaded"]),
            keys_refused: families.key_reloads.with_label_values(&["refused"]),
            ledger_connected: families.ledger_connected.with_label_values(&NONE),
            broker_connected: families.broker_connected.with_label_values(&NONE),
            history_dropped: families.history_dropped.with_label_values(&NONE),
            ledger_memory_lost: families.ledger_memory_lost.with_label_values(&NONE),
            losses_counted: std::sync::Mutex::new(0),
        }
    }

    /// Counts a notification to nobody.
    pub(super) fn notified(&self, result: NotificationResult) {
        count_notification(&self.notifications, result);
    }

    /// Brings the counter up to `losses`, the ledger's own count.
    pub(super) fn count_memory_losses(&self, losses: u64) {
        let counted = self.losses_counted.lock();
        let mut counted = counted.unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = losses.saturating_sub(*counted);
        self.ledger_memory_lost.inc_by(new);
        *counted = counted.saturating_add(new);
    }
}
