//! Makes metrics and keeps the list of what was made, so that the list can be compared with
//! `docs/metrics.md`.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// What all our own names begin with.
pub(super) const NAMESPACE: &str = "hongbaod";

/// A metric as the page describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name without `hongbaod_`, or the whole name of a process metric.
    pub name: &'static str,
    /// Its type.
    pub metric_type: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Who made the name.
    pub origin: Origin,
}

/// A metric's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// Who made a metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We did; the name has our prefix.
    Own,
    /// A convention of Prometheus for every process.
    Process,
}

impl Description {
    /// The whole name.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self.origin {
            Origin::Own => format!("{NAMESPACE}_{}", self.name),
            Origin::Process => self.name.to_owned(),
        }
    }
}

impl MetricType {
    /// The type's word in the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The process metrics, as their collector makes them.
const PROCESS: [(&str, MetricType); 7] = [
    ("process_cpu_seconds_total", MetricType::Counter),
    ("process_max_fds", MetricType::Gauge),
    ("process_open_fds", MetricType::Gauge),
    ("process_resident_memory_bytes", MetricType::Gauge),
    ("process_start_time_seconds", MetricType::Gauge),
    ("process_threads", MetricType::Gauge),
    ("process_virtual_memory_bytes", MetricType::Gauge),
];

/// A registry and the list of what is in it.
#[derive(Debug)]
pub(super) struct Catalog {
    registry: Registry,
    descriptions: Vec<Description>,
}

impl Catalog {
    /// Makes a registry of its own, with the process's metrics in it.
    pub(super) fn new() -> Self {
        let mut catalog = Self {
            registry: Registry::new(),
            descriptions: Vec::new(),
        };
        catalog.register(ProcessCollector::for_self());
        for (name, metric_type) in PROCESS {
            catalog.descriptions.push(Description {
                name,
                metric_type,
                labels: &[],
                origin: Origin::Process,
            });
        }
        catalog
    }

    pub(super) fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// Everything in the Prometheus text format.
    pub(super) fn encode(&self) -> String {
        let families = self.registry.gather();
        let text = TextEncoder::new().encode_to_string(&families);
        // Only a family without samples is an error, and gathering leaves those out.
        text.unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// Our families as they are now.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    pub(super) fn counter(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &str,
    ) -> IntCounterVec {
        self.describe(name, MetricType::Counter, labels);
        let options = Opts::new(name, help).namespace(NAMESPACE);
        self.add(IntCounterVec::new(options, labels))
    }

    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &str,
    ) -> IntGaugeVec {
        self.describe(name, MetricType::Gauge, labels);
        let options = Opts::new(name, help).namespace(NAMESPACE);
        self.add(IntGaugeVec::new(options, labels))
    }

    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &str,
        buckets: &[f64],
    ) -> HistogramVec {
        self.describe(name, MetricType::Histogram, labels);
        let options = HistogramOpts::new(name, help)
            .namespace(NAMESPACE)
            .buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, labels))
    }

    fn describe(
        &mut self,
        name: &'static str,
        metric_type: MetricType,
        labels: &'static [&'static str],
    ) {
        self.descriptions.push(Description {
            name,
            metric_type,
            labels,
            origin: Origin::Own,
        });
    }

    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        #[expect(
            clippy::expect_used,
            reason = "names, labels and buckets are literals that a test tries all"
        )]
        let metric = made.expect("a metric's name, labels and buckets are valid");
        self.register(metric.clone());
        metric
    }

    fn register<C: Collector + 'static>(&self, collector: C) {
        #[expect(
            clippy::expect_used,
            reason = "every name is registered once, in one function"
        )]
        self.registry
            .register(Box::new(collector))
            .expect("a metric's name is registered once");
    }
}
