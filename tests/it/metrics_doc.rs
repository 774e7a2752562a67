//! `docs/metrics.md` and the registry say the same, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hongbaod::app::metrics::Metrics;
use hongbaod::domain::budget::{Scope, Window};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::money::Fen;
use hongbaod::lifecycle::DeferReason;
use hongbaod::ports::gateway::{CallObserver, CallReport};

/// A metric's type and the names of its labels.
type Shape = (String, BTreeSet<String>);

const PAGE: &str = include_str!("../../docs/metrics.md");

fn app() -> AppName {
    AppName::new("main").unwrap()
}

/// The rows of the page: `name`, type, labels, meaning, when to worry.
fn documented() -> BTreeMap<String, Shape> {
    let mut shapes = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(!cells[3].is_empty(), "a metric without a meaning: {line}");
        let labels = cells[2]
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels = labels
            .filter(|label| !label.is_empty())
            .map(ToOwned::to_owned);
        let name = cells[0].trim_matches('`').to_owned();
        let shape = (cells[1].to_owned(), labels.collect());
        assert!(shapes.insert(name, shape).is_none(), "two rows: {line}");
    }
    shapes
}

/// What the registry says of itself.
fn described(metrics: &Metrics) -> BTreeMap<String, Shape> {
    let shape = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    let descriptions = metrics.descriptions().iter();
    descriptions
        .map(|metric| {
            let metric_type = metric.metric_type.as_str().to_owned();
            (metric.full_name(), (metric_type, shape(metric.labels)))
        })
        .collect()
}

/// What a scrape shows once every metric with open labels was used.
fn scraped(metrics: &Metrics) -> BTreeMap<String, Shape> {
    metrics.buried("invalid");
    metrics.budget_capped(Scope::App, Window::Day, Fen::new(1).unwrap());
    metrics.set_certificate_expiry(&app(), "alipay", 1);
    metrics.called(&CallReport {
        app: &app(),
        method: "alipay.fund.coupon.order.disburse",
        verdict: "refused",
        code: "40004",
        sub_code: "PAYEE_NOT_EXIST",
        duration: Duration::from_millis(80),
    });
    let text = metrics.encode();
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let words: Vec<_> = line.split(' ').collect();
        let shape = (words[3].to_owned(), BTreeSet::new());
        shapes.insert(words[2].to_owned(), shape);
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| shapes.contains_key(*family))
            .unwrap_or(name);
        let (_, labels) = shapes.get_mut(family).unwrap();
        let Some((pairs, _value)) = rest.split_once('}') else {
            continue;
        };
        // No label value of ours holds a comma or an equals sign.
        let names = pairs.split(',').filter_map(|pair| pair.split_once('='));
        labels.extend(
            names
                .map(|(label, _)| label.to_owned())
                .filter(|label| label != "le"),
        );
    }
    shapes
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels_and_nothing_else_is() {
    let metrics = Metrics::new(&[app()]);
    let documented = documented();
    assert_eq!(documented, described(&metrics));
    assert_eq!(documented, scraped(&metrics));
    assert!(documented.len() > 25);
}

#[test]
fn every_reason_of_a_deferral_is_explained() {
    for reason in DeferReason::ALL {
        let word = format!("`{}`", reason.as_str());
        assert!(PAGE.contains(&word), "{word}");
    }
}
