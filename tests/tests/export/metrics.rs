//! The agent's own metrics against a receiver, over both protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, number_data_point,
};
use tests::sink::{Collected, Sink};
use tokio::runtime::Runtime;
use tracer::agent::own::push::{self, Pushing};
use tracer::agent::own::samples::{Kind, Sample};
use tracer::enrich::resource::Host;
use tracer::export::{Settings, Variables};

use super::stage::DEADLINE;

const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

/// Metrics on their way to a sink.
struct Stage {
    runtime: Runtime,
    pushing: Pushing,
    /// How often they were collected.
    collected: Arc<AtomicU64>,
}

impl Stage {
    fn start(sink: &Sink, protocol: &str, further: &[(&str, &str)]) -> Self {
        let address = if protocol == "grpc" { sink.grpc_addr } else { sink.http_addr };
        let endpoint = format!("http://{address}");
        let mut variables: Variables = Variables::new();
        let standard = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("NODE_NAME", "node-1"),
        ];
        for (name, value) in standard.iter().chain(further) {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let metrics = Settings::from_variables(&variables).unwrap().metrics.unwrap();
        let host = Host { name: Some("node-1".to_owned()), id: None };
        let cluster = [("k8s.cluster.name".to_owned(), "aks-1".to_owned())];
        let resource = push::resource(&variables, &host, &cluster);
        let collected = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&collected);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _context = runtime.enter();
        let source = move || samples(count.fetch_add(1, Ordering::Relaxed));
        let pushing = push::start(&metrics, resource, source).unwrap();
        drop(_context);
        Self { runtime, pushing, collected }
    }

    fn finish(self) {
        self.runtime.block_on(self.pushing.finish());
    }
}

/// A counter that grows by 10 with each collection, one with labels, a gauge in bytes.
fn samples(collections: u64) -> Vec<Sample> {
    let sample = |name: &str, unit, labels: &[(&'static str, &str)], kind, value| Sample {
        name: name.to_owned(),
        unit,
        labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        kind,
        value,
    };
    vec![
        sample("spans.exported", "", &[], Kind::Counter, 10 * collections),
        sample("kernel.lost", "", &[("reason", "ring_full")], Kind::Counter, 3),
        sample("kernel.lost", "", &[("reason", "compat")], Kind::Counter, 0),
        sample("process.resident_memory", "By", &[], Kind::Gauge, 4096),
    ]
}

fn attribute<'a>(resource: &'a Collected<Metric>, key: &str) -> Option<&'a str> {
    let attributes = &resource.resource.attributes;
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn number(point: &NumberDataPoint) -> i64 {
    match point.value {
        Some(number_data_point::Value::AsInt(value)) => value,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn counters_and_sizes_arrive_with_what_the_agent_is() {
    for protocol in PROTOCOLS {
        let sink = Sink::start();
        let stage = Stage::start(&sink, protocol, &[]);
        assert!(sink.wait_until(|received| received.metrics.len() >= 2, DEADLINE), "{protocol}");
        stage.finish();
        let received = sink.received();
        let last = received.metrics.last().unwrap();
        let find = |name: &str| &last.iter().find(|metric| metric.item.name == name).unwrap().item;
        let Some(Data::Sum(exported)) = &find("tracer.spans.exported").data else { panic!("no sum") };
        assert!(exported.is_monotonic);
        assert_eq!(exported.aggregation_temporality(), AggregationTemporality::Cumulative);
        assert!(number(&exported.data_points[0]) >= 20 && number(&exported.data_points[0]) % 10 == 0);
        let Some(Data::Sum(lost)) = &find("tracer.kernel.lost").data else { panic!("no sum") };
        let mut reasons: Vec<_> = lost
            .data_points
            .iter()
            .map(|point| (format!("{:?}", point.attributes[0].value), number(point)))
            .collect();
        reasons.sort();
        assert!(reasons[0].0.contains("compat") && reasons[0].1 == 0, "{reasons:?}");
        assert!(reasons[1].0.contains("ring_full") && reasons[1].1 == 3, "{reasons:?}");
        let Some(Data::Gauge(memory)) = &find("tracer.process.resident_memory").data else {
            panic!("no gauge")
        };
        assert_eq!(
            (number(&memory.data_points[0]), find("tracer.process.resident_memory").unit.as_str()),
            (4096, "By")
        );
        let expected = [
            ("service.name", "tracer"),
            ("service.instance.id", "node-1"),
            ("k8s.node.name", "node-1"),
            ("k8s.cluster.name", "aks-1"),
        ];
        for (key, value) in expected {
            assert_eq!(attribute(&last[0], key), Some(value), "{key}");
        }
        let headers = &received.requests[0].headers;
        assert_eq!(headers["x-tenant"], "blue");
        let encoding = if protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
        assert_eq!(headers[encoding], "gzip");
    }
}

#[test]
fn the_last_numbers_are_sent_at_the_end() {
    let sink = Sink::start();
    let stage = Stage::start(&sink, "grpc", &[("OTEL_METRIC_EXPORT_INTERVAL", "3600000")]);
    stage.finish();
    assert_eq!(sink.received().metrics.len(), 1);
}

#[test]
fn a_receiver_without_a_place_for_metrics_is_asked_once() {
    for protocol in PROTOCOLS {
        let sink = Sink::start();
        sink.take_no_metrics();
        let stage = Stage::start(&sink, protocol, &[]);
        // Collections go on; requests do not.
        let collected = Arc::clone(&stage.collected);
        let went_on = || collected.load(Ordering::Relaxed) > 5;
        let end = std::time::Instant::now() + DEADLINE;
        while !went_on() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(went_on());
        stage.finish();
        assert_eq!(sink.requests().len(), 1, "{protocol}");
    }
}

#[test]
fn the_agents_own_environment_names_it() {
    let sink = Sink::start();
    let further =
        [("OTEL_SERVICE_NAME", "node-agent"), ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,service.name=no")];
    let stage = Stage::start(&sink, "http/protobuf", &further);
    stage.finish();
    let received = sink.received();
    let last = &received.metrics.last().unwrap()[0];
    assert_eq!(attribute(last, "service.name"), Some("node-agent"));
    assert_eq!(attribute(last, "team"), Some("a b"));
}
