//! Both protocols deliver the same, to our receiver and to a collector that is not ours.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::trace::v1::Span;
use tests::live::{Telemetry, Tracer, TracerOptions};
use tests::sink::Sink;
use xtask::testbed::{Backend, BackendOptions, Testbed};

use super::rotel::Rotel;
use super::traffic;

#[test]
fn grpc_and_http_deliver_the_same_to_a_sink_and_to_a_foreign_collector() {
    let testbed = Testbed::start("collectors").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let sinks = [Sink::start(), Sink::start()];
    let rotels = ["rotel-grpc", "rotel-http"].map(|name| Rotel::start(testbed.directory(), name));
    // All at once: they see the same.
    let tracers = [
        start(&testbed, &backend, "sink-by-grpc", "grpc", sinks[0].grpc_addr),
        start(&testbed, &backend, "sink-by-http", "http/protobuf", sinks[1].http_addr),
        start(&testbed, &backend, "rotel-by-grpc", "grpc", rotels[0].grpc),
        start(&testbed, &backend, "rotel-by-http", "http/protobuf", rotels[1].http),
    ];
    for round in 0..10 {
        traffic::each_once(&backend, &format!("round{round}"));
    }
    for tracer in tracers {
        let outcome = tracer.stop();
        assert_eq!((outcome.lost_in_all(), outcome.spans_lost_in_export()), (0, 0), "{}", outcome.summary());
    }
    let [by_grpc, by_http] = sinks.map(|sink| {
        let received = sink.received();
        let compressed = |headers: &hyper::HeaderMap| {
            ["grpc-encoding", "content-encoding"]
                .iter()
                .any(|name| headers.get(*name).is_some_and(|value| value == "gzip"))
        };
        assert!(
            received.requests.iter().all(|request| compressed(&request.headers)),
            "{:?}",
            received.requests
        );
        Telemetry::from(received)
    });
    assert_eq!(told(&by_grpc), told(&by_http));
    assert_eq!(lines(&by_grpc), lines(&by_http));
    let mut names: Vec<String> = by_grpc.spans.iter().map(|span| span.item.name.clone()).collect();
    names.sort();
    for rotel in rotels {
        assert_eq!(rotel.stop(), (names.clone(), by_grpc.logs.len()));
    }
    println!("collectors: {} spans and {} log records, four times", names.len(), by_grpc.logs.len());
}

fn start(testbed: &Testbed, backend: &Backend, name: &str, protocol: &str, collector: SocketAddr) -> Tracer {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
    ];
    let options = TracerOptions {
        name: name.to_owned(),
        arguments: ["--pid", &backend.id().to_string(), "--export", "otlp"].map(str::to_owned).to_vec(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        to_file: false,
        ..TracerOptions::default()
    };
    Tracer::start_with(testbed.directory(), options)
}

/// The spans without what differs between two tracers: ids, and times by the few microseconds between two programs
/// of one call. Sorted, with the name of the parent in place of its id.
fn told(telemetry: &Telemetry) -> Vec<String> {
    let spans = telemetry.spans.iter().map(|span| &span.item);
    let parent = |child: &Span| {
        let mut parents = telemetry.servers().filter(|span| span.span_id == child.parent_span_id);
        parents.next().map(|span| format!("{} {:?}", span.name, span.attributes))
    };
    let mut told: Vec<String> = spans
        .map(|span| {
            format!("{} {} {:?} {:?} {:?}", span.name, span.kind, span.status, span.attributes, parent(span))
        })
        .collect();
    told.sort();
    told
}

/// The log records likewise.
fn lines(telemetry: &Telemetry) -> Vec<String> {
    let logs = telemetry.logs.iter().map(|log| &log.item);
    let is_told = |id: &[u8]| telemetry.servers().any(|span| span.span_id == id);
    let mut lines: Vec<String> =
        logs.map(|log| format!("{:?} {} {:?}", log.body, log.severity_text, is_told(&log.span_id))).collect();
    lines.sort();
    lines
}
