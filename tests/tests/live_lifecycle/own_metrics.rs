//! The agent's own metrics: what is sent is what is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use tests::live::{Tracer, TracerOptions};
use tests::sink::{Received, Sink};
use xtask::http::{Address, Client};
use xtask::testbed::{BackendOptions, Testbed};

use super::traffic;

const PATIENCE: Duration = Duration::from_secs(20);

/// What two looks at a quiet agent may find different.
const MOVING: [&str; 2] = ["tracer_stats_published_total", "tracer_process_resident_memory_bytes"];

#[test]
fn what_is_sent_is_what_is_shown() {
    let testbed = Testbed::start("own-metrics").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let sink = Sink::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", sink.http_addr)),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "0".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "0".to_owned()),
    ];
    let options = TracerOptions {
        arguments: ["--pid", &backend.id().to_string(), "--export", "otlp", "--listen", "127.0.0.1:0"]
            .map(str::to_owned)
            .to_vec(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        to_file: false,
        ..TracerOptions::default()
    };
    let tracer = Tracer::start_with(testbed.directory(), options);
    traffic::each_once(&backend, "once");
    let exported = |received: &Received| sent(received).get("tracer_spans_exported_total{}") >= Some(&5);
    assert!(sink.wait_until(exported, PATIENCE), "{:?}", sink.received().requests);
    // Nothing happens any more: soon both say the same.
    let mut differences = Vec::new();
    for _ in 0..20 {
        let count = sink.received().metrics.len();
        let shown = shown(&tracer);
        assert!(sink.wait_until(|received| received.metrics.len() > count, PATIENCE));
        let sent = sent(&sink.received());
        assert!(shown.len() > 100);
        let moves = |name: &String| MOVING.iter().any(|moving| name.starts_with(moving));
        let names: BTreeSet<_> =
            shown.keys().chain(sent.keys()).filter(|name| !moves(name)).cloned().collect();
        let both = names.into_iter().map(|name| (shown.get(&name).copied(), sent.get(&name).copied(), name));
        differences = both.filter(|(shown, sent, _)| shown != sent).collect();
        if differences.is_empty() {
            break;
        }
    }
    assert_eq!(differences, []);
    let _ended = tracer.stop();
    let last = sent(&sink.received());
    assert_eq!(last["tracer_export_pending{signal=\"spans\",sink=\"otlp\"}"], 0);
    assert_eq!(
        last["tracer_export_exported_total{signal=\"spans\",sink=\"otlp\"}"],
        sink.spans().len() as u64,
        "the last numbers are those of the end"
    );
}

/// Name and labels, whose order means nothing.
fn key(name: &str, labels: impl Iterator<Item = String>) -> String {
    let mut labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// The samples of `/metrics`, by name and labels.
fn shown(tracer: &Tracer) -> BTreeMap<String, u64> {
    let stderr = tracer.stderr();
    let (_, rest) = stderr.split_once("served at http://").unwrap();
    let address = rest.lines().next().unwrap().trim().parse().unwrap();
    let mut client = Client::connect(&Address::Tcp(address)).unwrap();
    let answer = client.get("/metrics").unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
        (key(name, labels.split(',').map(str::to_owned)), value.parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

/// The points that came last, in the names that a collector would give them for Prometheus.
fn sent(received: &Received) -> BTreeMap<String, u64> {
    let mut samples = BTreeMap::new();
    for metric in received.metrics.last().into_iter().flatten() {
        let metric = &metric.item;
        let unit = if metric.unit == "By" { "_bytes" } else { "" };
        let (points, total) = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => (&sum.data_points, "_total"),
            Data::Gauge(gauge) => (&gauge.data_points, ""),
            other => panic!("{other:?}"),
        };
        let name = format!("{}{unit}{total}", metric.name.replace('.', "_"));
        for point in points {
            let label = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
                let Some(Value::StringValue(text)) = &attribute.value.as_ref().unwrap().value else {
                    panic!("{attribute:?}")
                };
                format!("{}=\"{text}\"", attribute.key)
            };
            let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("{point:?}") };
            samples.insert(key(&name, point.attributes.iter().map(label)), value.try_into().unwrap());
        }
    }
    samples
}
