//! The metrics as values, for the page for people.

use std::collections::BTreeMap;

use prometheus::core::Collector as _;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde::Serialize;

use crate::app::metrics::Metrics;
use crate::app::metrics::catalog::NAMESPACE;

/// All families at one moment.
pub struct Samples(Vec<MetricFamily>);

/// One sample of a family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The labels by their names.
    pub labels: BTreeMap<String, String>,
    /// The number of a counter or a gauge; 0 of a histogram.
    pub value: f64,
    /// How many observations a histogram has; 0 of others.
    pub count: u64,
    /// A histogram's buckets: the upper bound, and how many observations are at most so large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<(f64, u64)>,
}

/// What somebody has to be told of as soon as it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Evidence found against settled outcomes.
    pub contradictions: u64,
    /// Messages that were put into the dead-letter queue.
    pub buried: u64,
    /// Age of the oldest job without an outcome, in whole seconds; 0 when there is none.
    pub oldest_unsettled_s: u64,
}

impl Metrics {
    /// Every metric as it is now.
    #[must_use]
    pub fn samples(&self) -> Samples {
        Samples(self.catalog.gather())
    }

    /// What stands behind incidents; cheap enough for once a second.
    #[must_use]
    pub fn alarms(&self) -> Alarms {
        let buried = self.shared.buried.collect();
        let buried = buried.iter().flat_map(MetricFamily::get_metric);
        // Counters of integers, far below what a float holds exactly.
        let buried = buried
            .map(|metric| whole(metric.get_counter().get_value()))
            .sum();
        Alarms {
            contradictions: self.shared.contradictions.get(),
            buried,
            oldest_unsettled_s: u64::try_from(self.shared.unsettled_oldest_age.get()).unwrap_or(0),
        }
    }
}

impl Samples {
    /// The samples of one of our families, named without `hongbaod_`; none for any other name.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<Sample> {
        let own = |family: &&MetricFamily| {
            let rest = family.name().strip_prefix(NAMESPACE);
            rest.and_then(|rest| rest.strip_prefix('_')) == Some(name)
        };
        let family = self.0.iter().find(own);
        family.map_or_else(Vec::new, |family| {
            let metrics = family.get_metric().iter();
            metrics
                .map(|metric| sample(metric, family.get_field_type()))
                .collect()
        })
    }
}

fn sample(metric: &Metric, metric_type: MetricType) -> Sample {
    let labels = metric.get_label().iter();
    let labels = labels.map(|label| (label.name().to_owned(), label.value().to_owned()));
    let labels = labels.collect();
    if metric_type == MetricType::HISTOGRAM {
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        let buckets: Vec<(f64, u64)> = buckets
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
            .collect();
        return Sample {
            labels,
            value: 0.0,
            count: histogram.get_sample_count(),
            buckets,
        };
    }
    let value = if metric_type == MetricType::GAUGE {
        metric.get_gauge().get_value()
    } else {
        metric.get_counter().get_value()
    };
    Sample {
        labels,
        value,
        count: 0,
        buckets: Vec::new(),
    }
}

/// A counter's float as the integer that it is.
fn whole(count: f64) -> u64 {
    format!("{count:.0}").parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::app::metrics::{Alarms, Metrics};
    use crate::domain::ident::AppName;
    use crate::domain::job::Kind;

    #[test]
    fn samples_are_what_was_counted_and_alarms_what_has_to_be_told() {
        let app = AppName::new("main").unwrap();
        let metrics = Metrics::new(std::slice::from_ref(&app));
        assert_eq!(metrics.alarms(), Alarms::default());
        metrics.received(&app, Kind::Pay);
        metrics.announced(Kind::Pay, Duration::from_millis(30));
        metrics.contradicted();
        metrics.buried("invalid");
        metrics.buried("overdue");
        metrics.set_unsettled_oldest_age(Duration::from_secs(90));
        let samples = metrics.samples();
        let received = samples.of("jobs_received_total");
        let pay = received
            .iter()
            .find(|sample| sample.labels["kind"] == "pay");
        assert!(pay.is_some_and(|sample| format!("{:.0}", sample.value) == "1"));
        let durations = samples.of("job_duration_seconds");
        let pay = durations
            .iter()
            .find(|sample| sample.labels["kind"] == "pay");
        let counts: Vec<u64> = pay
            .unwrap()
            .buckets
            .iter()
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(counts, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert!(samples.of("nothing").is_empty());
        let alarms = Alarms {
            contradictions: 1,
            buried: 2,
            oldest_unsettled_s: 90,
        };
        assert_eq!(metrics.alarms(), alarms);
    }
}
