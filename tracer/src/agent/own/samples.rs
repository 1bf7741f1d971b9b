//! The agent's counters and sizes as named numbers, for whichever format they are told in.

use serde_json::Value;

use crate::agent::runtimes::Counts;
use crate::enrich::process::read_capped;
use crate::export::{DropReason, ExportStats, Signal};
use crate::kubernetes::run::Shared as Pods;
use crate::pipeline::Stats;

/// Bytes of a page, on every architecture that is built for.
const PAGE: u64 = 4096;

/// The unit of sizes.
const BYTES: &str = "By";

/// Connections by what they carry: the only name that is not there from the start.
const BY_PROTOCOL: &str = "connections.by_protocol";

/// Most bytes read of `/proc/self/statm`.
const MAX_STATM: u64 = 256;

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Since the start.
    Counter,
    /// Now.
    Gauge,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In OpenTelemetry's manner, `spans.exported`, without the prefix `tracer`.
    pub name: String,
    /// A unit of UCUM: `By`; empty for what is counted.
    pub unit: &'static str,
    /// What tells it from others of the same name.
    pub labels: Vec<(&'static str, String)>,
    /// Whether it only grows.
    pub kind: Kind,
    /// The number.
    pub value: u64,
}

impl Sample {
    fn new(name: &str, labels: &[(&'static str, &str)], kind: Kind, value: u64) -> Self {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Self { name: name.to_owned(), unit: "", labels, kind, value }
    }

    /// The name that a collector gives it for Prometheus (OpenTelemetry specification, "Prometheus and OpenMetrics
    /// Compatibility"), without the suffix of counters.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let name = self.name.replace('.', "_");
        if self.unit == BYTES { name + "_bytes" } else { name }
    }
}

/// All of the pipeline's counters: their names are the fields', so that none can be forgotten.
#[must_use]
pub fn of_pipeline(stats: &Stats) -> Vec<Sample> {
    let mut samples = Vec::new();
    // Integers and maps of integers cannot fail to be written.
    flatten("", &serde_json::to_value(stats).unwrap_or_default(), &mut samples);
    samples
}

fn flatten(path: &str, value: &Value, samples: &mut Vec<Sample>) {
    let Value::Object(fields) = value else {
        let kind = if path.starts_with("tables.") { Kind::Gauge } else { Kind::Counter };
        samples.extend(value.as_u64().map(|number| Sample::new(path, &[], kind, number)));
        return;
    };
    for (name, value) in fields {
        if path == BY_PROTOCOL {
            let count = value.as_u64().unwrap_or_default();
            samples.push(Sample::new(path, &[("protocol", name)], Kind::Counter, count));
        } else {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, samples);
        }
    }
}

/// A sample of each name that comes up only later, so that an instrument can be made for it.
pub fn of_later() -> impl Iterator<Item = Sample> {
    [Sample::new(BY_PROTOCOL, &[], Kind::Counter, 0)].into_iter()
}

/// What the probe lost, by reason.
pub fn of_losses<'a>(losses: impl Iterator<Item = (&'a str, u64)>) -> impl Iterator<Item = Sample> {
    losses.map(|(reason, count)| Sample::new("kernel.lost", &[("reason", reason)], Kind::Counter, count))
}

/// How often the reader has shown its counters: it tells a dead reader from a quiet node.
#[must_use]
pub fn of_publications(count: u64) -> Sample {
    Sample::new("stats.published", &[], Kind::Counter, count)
}

/// Cgroups in the probe's map.
#[must_use]
pub fn of_selection(cgroups: u64) -> Sample {
    Sample::new("kernel.selected_cgroups", &[], Kind::Gauge, cgroups)
}

/// Targets' language runtimes, by whether they are read, or why not.
pub fn of_runtimes(counts: &Counts) -> impl Iterator<Item = Sample> {
    counts.all().map(|(answer, count)| Sample::new("runtimes", &[("evidence", answer)], Kind::Counter, count))
}

/// What became of what was offered to each sink.
#[must_use]
pub fn of_export(stats: &ExportStats) -> Vec<Sample> {
    let mut samples = Vec::new();
    for sink in &stats.sinks {
        for signal in Signal::ALL {
            let tally = sink.tally(signal);
            let signal = match signal {
                Signal::Spans => "spans",
                Signal::Logs => "logs",
            };
            let labels = [("sink", sink.name()), ("signal", signal)];
            samples.push(Sample::new("export.offered", &labels, Kind::Counter, tally.offered));
            samples.push(Sample::new("export.exported", &labels, Kind::Counter, tally.exported));
            samples.push(Sample::new("export.pending", &labels, Kind::Gauge, tally.pending()));
            for reason in DropReason::ALL {
                let labels = [labels[0], labels[1], ("reason", reason.name())];
                samples.push(Sample::new("export.dropped", &labels, Kind::Counter, tally.dropped(reason)));
            }
        }
    }
    samples
}

/// Pods, and how it stands with the API server.
#[must_use]
pub fn of_pods(pods: &Pods) -> Vec<Sample> {
    let counts = pods.counts();
    let (failures, lists) = pods.api.counts();
    let states = [("known", counts.known), ("matching", counts.matching), ("traced", counts.traced)];
    let mut samples: Vec<Sample> = states
        .into_iter()
        .map(|(state, count)| Sample::new("kubernetes.pods", &[("state", state)], Kind::Gauge, count))
        .collect();
    samples.push(Sample::new("kubernetes.pods_over_limit", &[], Kind::Counter, counts.over_limit));
    samples.push(Sample::new("kubernetes.lists", &[], Kind::Counter, lists));
    samples.push(Sample::new("kubernetes.api.up", &[], Kind::Gauge, u64::from(pods.api.is_well())));
    samples.extend(failures.into_iter().map(|(reason, count)| {
        Sample::new("kubernetes.api.failures", &[("reason", reason)], Kind::Counter, count)
    }));
    samples
}

/// The agent's resident memory. 0 where it cannot be read.
#[must_use]
pub fn of_memory() -> Sample {
    // Second field of statm (proc(5)): resident pages.
    let statm = read_capped("/proc/self/statm".as_ref(), MAX_STATM).unwrap_or_default();
    let text = String::from_utf8_lossy(&statm);
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
    let sample = Sample::new("process.resident_memory", &[], Kind::Gauge, pages * PAGE);
    Sample { unit: BYTES, ..sample }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_pipeline_is_told_once() {
        let mut stats = Stats::default();
        stats.spans.exported = 7;
        stats.tables.threads = 3;
        stats.routes_refused = 2;
        stats.connections.by_protocol.insert("http", 5);
        let samples = of_pipeline(&stats);
        let find = |name: &str| {
            let mut found = samples.iter().filter(|sample| sample.name == name);
            let sample = found.next().unwrap_or_else(|| panic!("{name}"));
            assert!(found.next().is_none(), "{name} twice");
            sample.clone()
        };
        assert_eq!((find("spans.exported").value, find("spans.exported").kind), (7, Kind::Counter));
        assert_eq!((find("tables.threads").value, find("tables.threads").kind), (3, Kind::Gauge));
        assert_eq!(find("routes_refused").value, 2);
        let http = find(BY_PROTOCOL);
        assert_eq!((http.value, http.labels), (5, vec![("protocol", "http".to_owned())]));
        let leaves = serde_json::to_string(&stats).unwrap().matches(':').count();
        let groups = serde_json::to_string(&stats).unwrap().matches(":{").count();
        assert_eq!(samples.len(), leaves - groups);
        let names: std::collections::BTreeSet<_> = samples.iter().map(Sample::prometheus_name).collect();
        assert_eq!(names.len(), samples.len(), "no two become one");
    }

    #[test]
    fn memory_is_more_than_nothing() {
        assert!(of_memory().value > 1_000_000);
        assert_eq!(of_memory().prometheus_name(), "process_resident_memory_bytes");
    }
}
