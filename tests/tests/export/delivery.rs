//! What arrives.

use std::time::{Duration, Instant};

use tests::sink::{Fault, Received, Sink};
use tracer::export::DropReason;

use super::stage::*;

#[test]
fn both_protocols_carry_the_same() {
    let mixed: Vec<_> = (0..40)
        .flat_map(|id| {
            let resource = resource(&format!("service {}", id % 3));
            [span(&resource, id), log(&resource, format!("line {id}"))]
        })
        .collect();
    let carried = |variables: fn(&Sink) -> Vec<(&'static str, String)>| {
        let sink = Sink::start();
        let stage =
            Stage::start(&with(variables(&sink), "OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=tenant%201"));
        stage.offer(&mixed);
        let (spans, logs) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, logs.exported), (40, 40));
        let (mut spans, mut logs) = (sink.spans(), sink.logs());
        spans.sort_by_key(|collected| collected.item.start_time_unix_nano);
        logs.sort_by_key(body);
        (spans, logs, sink.requests())
    };
    let (grpc_spans, grpc_logs, grpc_requests) = carried(grpc);
    let (http_spans, http_logs, http_requests) = carried(http);
    assert_eq!((grpc_spans.len(), grpc_logs.len()), (40, 40));
    assert_eq!(grpc_spans, http_spans);
    assert_eq!(grpc_logs, http_logs);
    let first = &grpc_spans[0];
    assert_eq!(first.schema_urls, [tracer::export::SCHEMA_URL; 2]);
    assert_eq!((first.scope.name.as_str(), first.item.flags), ("tracer/http", 0x301));
    for request in grpc_requests.iter().chain(&http_requests) {
        assert_eq!(request.headers["x-scope-orgid"], "tenant 1");
        let agent = request.headers["user-agent"].to_str().unwrap();
        assert!(agent.starts_with("tracer/0."), "{agent}");
    }
    assert!(grpc_requests.iter().all(|request| request.headers["grpc-encoding"] == "gzip"));
    assert!(http_requests.iter().all(|request| request.headers["content-encoding"] == "gzip"));
}

#[test]
fn a_shutdown_sends_what_waits() {
    let sink = Sink::start();
    let stage = Stage::start(&with(http(&sink), "OTEL_BSP_SCHEDULE_DELAY", "3600000"));
    stage.offer(&some_spans(1_300));
    let (spans, _) = stage.shutdown(DEADLINE);
    assert_eq!((spans.exported, sink.spans().len()), (1_300, 1_300));
}

#[test]
fn a_shutdown_ends_at_its_deadline_and_tells_what_was_not_sent() {
    let sink = Sink::start();
    let variables = grpc(&sink);
    drop(sink);
    let stage = Stage::start(&variables);
    stage.offer(&some_spans(20));
    let asked = Instant::now();
    let (spans, _) = stage.shutdown(Duration::from_millis(300));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!((spans.exported, spans.dropped(DropReason::UnsentAtExit)), (0, 20));
}

#[test]
fn large_batches_become_requests_that_a_receiver_takes() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        let stage = Stage::start(&variables(&sink));
        let resource = resource("test");
        let lines =
            (0..200).map(|id| log(&resource, format!("{id:06}{}", "x".repeat(60_000)))).collect::<Vec<_>>();
        stage.offer(&lines);
        let (_, logs) = stage.shutdown(DEADLINE);
        assert_eq!(logs.exported, 200);
        let mut bodies: Vec<_> = sink.logs().iter().map(|log| body(log)[..6].to_owned()).collect();
        bodies.sort();
        assert_eq!(bodies, (0..200).map(|id| format!("{id:06}")).collect::<Vec<_>>());
        let sizes: Vec<_> = sink.requests().iter().map(|request| request.size).collect();
        assert!(sizes.iter().all(|size| *size <= 4 * 1024 * 1024), "{sizes:?}");
    }
}

#[test]
fn a_slow_receiver_is_sent_several_requests_at_once() {
    let sink = Sink::start();
    sink.inject((0..4).map(|_| Fault::Delay(Duration::from_secs(1))));
    let stage = Stage::start(&with(http(&sink), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"));
    stage.offer(&some_spans(40));
    let all_asked = |received: &Received| received.requests.len() == 4 && received.spans.is_empty();
    assert!(sink.wait_until(all_asked, DEADLINE));
    assert_eq!(stage.shutdown(DEADLINE).0.exported, 40);
}

#[test]
fn signals_can_have_different_receivers() {
    let (traces, logs) = (Sink::start(), Sink::start());
    let variables =
        with(http(&traces), "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("http://{}", logs.grpc_addr));
    let stage = Stage::start(&with(variables, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"));
    let resource = resource("test");
    stage.offer(&[span(&resource, 0), log(&resource, "line".to_owned())]);
    stage.shutdown(DEADLINE);
    assert_eq!((traces.spans().len(), traces.logs().len()), (1, 0));
    assert_eq!((logs.spans().len(), logs.logs().len()), (0, 1));
    assert_eq!(traces.spans()[0].resource, logs.logs()[0].resource);
}
