//! The filter's metrics as Prometheus reads them from Envoy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::eventually;
use super::proxy::Proxy;

/// The labels of one sample, without the one that Envoy adds to every histogram bucket.
pub type Labels = BTreeMap<String, String>;

/// The `stats_config` that is shipped, which turns what names hold into labels.
pub fn stats_config() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/envoy.yaml");
    let bootstrap: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    bootstrap["stats_config"].clone()
}

impl Proxy {
    /// Every sample of a metric.
    pub fn samples(&self, metric: &str) -> Vec<(Labels, f64)> {
        let text = self.envoy.admin("/stats/prometheus");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let named = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name == metric).then(|| (read_labels(labels), value.parse().unwrap()))
        });
        named.collect()
    }

    /// The sum of the samples of a metric that have all these labels; `None` where none has.
    pub fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |found: &Labels| {
            labels.iter().all(|(label, value)| found.get(*label).is_some_and(|v| v == value))
        };
        let samples = self.samples(metric);
        let mut fitting =
            samples.iter().filter(|(found, _)| fits(found)).map(|(_, value)| *value).peekable();
        fitting.peek().is_some().then_some(()).map(|()| fitting.sum())
    }

    /// Waits for the sum of the samples with these labels to be so much; what it is else.
    pub fn sum_becomes(&self, metric: &str, labels: &[(&str, &str)], want: f64) -> Option<f64> {
        let reached = || Some(self.sum(metric, labels)).filter(|sum| *sum == Some(want));
        eventually(Duration::from_secs(6), reached).unwrap_or_else(|| self.sum(metric, labels))
    }
}

fn read_labels(text: &str) -> Labels {
    let text = text.trim_end_matches('}');
    let pairs = text.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}
