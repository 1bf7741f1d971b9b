//! The export stage against a receiver: both protocols, what is retried and what is not, and the books.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use tests::sink::{Collected, Fault, Received, Sink};
use tokio::sync::oneshot;
use tonic::Code;
use tracer::enrich::Resource;
use tracer::export::{
    DropReason, Exporter, Item, RetryPolicy, Settings, Signal, Summary, Tally, Target, Telemetry, Variables,
    start,
};
use tracer::span::{
    Attribute, Description, LogRecord, LogStream, Scope, Severity, Span, SpanId, SpanKind, Status, TraceId,
};

/// Long enough for a slow machine; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// 2023-11-14 22:13:20 UTC.
const START: u64 = 1_700_000_000_000_000_000;

/// An export stage on a thread of its own.
struct Stage {
    exporter: Exporter,
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<Summary>,
}

impl Stage {
    fn start(variables: &[(&str, String)]) -> Self {
        let variables: Variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut settings = Settings::from_variables(&variables).unwrap();
        let ms = Duration::from_millis;
        settings.retry = RetryPolicy { first: ms(10), max: ms(50), total: DEADLINE };
        Self::start_with(settings)
    }

    fn start_with(settings: Settings) -> Self {
        let (started, exporter) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (exporter, exporting) = start(&settings, &[Target::Otlp]).unwrap();
                started.send(exporter).unwrap();
                exporting.shutdown(stopped.await.unwrap()).await
            })
        });
        Self { exporter: exporter.recv().unwrap(), stop, thread }
    }

    fn offer(&self, batch: &[Telemetry]) {
        batch.iter().for_each(|telemetry| self.exporter.offer(telemetry.clone()));
    }

    fn tally(&self, signal: Signal) -> Tally {
        self.exporter.stats().sinks[0].tally(signal)
    }

    /// Ends it; the tallies of spans and of log records.
    fn shutdown(self, deadline: Duration) -> (Tally, Tally) {
        self.stop.send(deadline).unwrap();
        let summary = self.thread.join().unwrap();
        let (_, spans, logs) = summary.sinks[0].clone();
        assert_eq!((spans.pending(), logs.pending()), (0, 0), "the books balance");
        (spans, logs)
    }
}

fn grpc(sink: &Sink) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", sink.grpc_addr)),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "10".to_owned()),
    ]
}

fn http(sink: &Sink) -> Vec<(&'static str, String)> {
    let mut variables = grpc(sink);
    variables[0].1 = format!("http://localhost:{}", sink.http_addr.port());
    variables[1].1 = "http/protobuf".to_owned();
    variables
}

fn with(
    mut variables: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    variables.retain(|(known, _)| *known != name);
    variables.push((name, value.to_owned()));
    variables
}

fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource { attributes: vec![Attribute::new("service.name", service.to_owned())] })
}

fn span(resource: &Arc<Resource>, id: u64) -> Telemetry {
    let scopes = [Scope::Http, Scope::Mysql, Scope::Redis];
    let is_child = id % 2 == 0;
    let span = Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId((id + 1).to_be_bytes()),
        parent: is_child.then(|| SpanId(id.to_be_bytes())),
        remote_parent: id % 4 == 0,
        trace_state: "vendor=1".to_owned(),
        sampled: true,
        kind: if is_child { SpanKind::Client } else { SpanKind::Server },
        start_unix_ns: START + id,
        end_unix_ns: START + id + 1_000_000,
        first_byte_unix_ns: Some(START + id + 500),
        description: Description {
            name: format!("span {id}"),
            attributes: vec![
                Attribute::new("text", "täxt"),
                Attribute::new("number", -1_i64),
                Attribute::new("truth", true),
                Attribute::new("list", vec!["a".to_owned(), "b".to_owned()]),
            ],
            status: if is_child { Status::Unset } else { Status::Error(Some("why".to_owned())) },
            scope: scopes[id as usize % 3],
        },
    };
    Telemetry { resource: Arc::clone(resource), item: Item::Span(Box::new(span)) }
}

fn log(resource: &Arc<Resource>, body: String) -> Telemetry {
    let log = LogRecord {
        time_unix_ns: START,
        observed_unix_ns: START + 1,
        severity: Some(Severity { number: 13, text: "WARNING".to_owned() }),
        body,
        stream: LogStream::Stderr,
        context: Some((TraceId([7; 16]), SpanId([1; 8]), true)),
        attributes: Vec::new(),
    };
    Telemetry { resource: Arc::clone(resource), item: Item::Log(Box::new(log)) }
}

fn some_spans(count: u64) -> Vec<Telemetry> {
    let resource = resource("test");
    (0..count).map(|id| span(&resource, id)).collect()
}

fn body(log: &Collected<opentelemetry_proto::tonic::logs::v1::LogRecord>) -> String {
    match log.item.body.clone().unwrap().value.unwrap() {
        ProtoValue::StringValue(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}

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
fn what_may_be_retried_is_retried_and_arrives_once() {
    for (variables, fault) in [
        (grpc as fn(&Sink) -> _, Fault::Grpc(Code::Unavailable, None)),
        (grpc, Fault::Grpc(Code::DeadlineExceeded, None)),
        (http, Fault::Http(503, None)),
        (http, Fault::Http(429, Some("0".to_owned()))),
    ] {
        let sink = Sink::start();
        sink.inject([fault.clone(), fault]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        assert!(sink.wait_until(|received| received.spans.len() == 5, DEADLINE));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped_total()), (5, 0));
        assert_eq!((sink.requests().len(), sink.spans().len()), (3, 5));
    }
}

#[test]
fn what_must_not_be_retried_is_not() {
    for (variables, fault) in [
        (http as fn(&Sink) -> _, Fault::Http(500, Some("0".to_owned()))),
        (http, Fault::Http(400, None)),
        (grpc, Fault::Grpc(Code::ResourceExhausted, None)),
        (grpc, Fault::Grpc(Code::Internal, Some(Duration::ZERO))),
        (grpc, Fault::Grpc(Code::Unimplemented, None)),
    ] {
        let sink = Sink::start();
        sink.inject([fault.clone()]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!(spans.dropped(DropReason::Rejected), 5, "{fault:?}");
        assert_eq!((sink.requests().len(), sink.spans().len()), (1, 0), "{fault:?}");
    }
}

#[test]
fn the_receivers_pause_is_kept() {
    let pause = Duration::from_millis(700);
    for (variables, fault, pause) in [
        (grpc as fn(&Sink) -> _, Fault::Grpc(Code::ResourceExhausted, Some(pause)), pause),
        (grpc, Fault::Grpc(Code::Unavailable, Some(pause)), pause),
        (http, Fault::Http(429, Some("1".to_owned())), Duration::from_secs(1)),
    ] {
        let sink = Sink::start();
        sink.inject([fault]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(1));
        assert!(sink.wait_until(|received| received.spans.len() == 1, DEADLINE));
        let requests = sink.requests();
        assert!(requests[1].at - requests[0].at >= pause);
        drop(stage);
    }
}

#[test]
fn a_partial_success_is_counted_and_never_retried() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        sink.inject([Fault::Partial(2, "too old".to_owned())]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped(DropReason::Rejected)), (3, 2));
        assert_eq!(sink.requests().len(), 1);
    }
}

#[test]
fn a_receiver_that_does_not_answer_in_time_is_asked_again() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        sink.inject([Fault::Delay(Duration::from_secs(60))]);
        let stage = Stage::start(&with(variables(&sink), "OTEL_EXPORTER_OTLP_TIMEOUT", "200"));
        stage.offer(&some_spans(3));
        assert!(sink.wait_until(|received| received.spans.len() == 3, DEADLINE));
        assert_eq!(stage.shutdown(DEADLINE).0.exported, 3);
    }
}

#[test]
fn a_receiver_that_comes_back_gets_what_the_queue_could_hold() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        let (grpc_addr, http_addr) = (sink.grpc_addr, sink.http_addr);
        let variables = with(variables(&sink), "OTEL_BSP_MAX_QUEUE_SIZE", "50");
        let stage = Stage::start(&with(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"));
        stage.offer(&some_spans(1));
        assert!(sink.wait_until(|received| received.spans.len() == 1, DEADLINE));
        drop(sink);
        stage.offer(&some_spans(1_000));
        let full = stage.tally(Signal::Spans).dropped(DropReason::QueueFull);
        // The queue, and what the requests under way had taken out of it.
        assert!((850..=950).contains(&full), "{full} were dropped");
        let sink = Sink::start_on(grpc_addr, http_addr);
        let all = usize::try_from(1_000 - full).unwrap();
        assert!(sink.wait_until(|received| received.spans.len() == all, DEADLINE));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped_total()), (1_001 - full, full));
    }
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
fn retries_end_with_the_time_for_them() {
    let sink = Sink::start();
    let variables: Variables =
        http(&sink).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut settings = Settings::from_variables(&variables).unwrap();
    let ms = Duration::from_millis;
    settings.retry = RetryPolicy { first: ms(10), max: ms(20), total: ms(200) };
    sink.inject((0..1_000).map(|_| Fault::Http(503, None)));
    let stage = Stage::start_with(settings);
    stage.offer(&some_spans(5));
    let (spans, _) = stage.shutdown(DEADLINE);
    assert_eq!(spans.dropped(DropReason::GaveUp), 5);
    assert!(sink.requests().len() > 3);
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
