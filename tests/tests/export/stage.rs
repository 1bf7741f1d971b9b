//! An export stage that runs beside the test, and telemetry for it.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use tests::sink::{Collected, Sink};
use tokio::sync::oneshot;
use tracer::enrich::Resource;
use tracer::export::{
    Exporter, Item, RetryPolicy, Settings, Signal, Summary, Tally, Target, Telemetry, Variables, start,
};
use tracer::span::{
    Attribute, Description, LogRecord, LogStream, Scope, Severity, Span, SpanId, SpanKind, Status, TraceId,
};

/// Long enough for a slow machine; reached only by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// 2023-11-14 22:13:20 UTC.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

/// An export stage on a thread of its own.
pub(crate) struct Stage {
    exporter: Exporter,
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<Summary>,
}

impl Stage {
    pub(crate) fn start(variables: &[(&str, String)]) -> Self {
        let variables: Variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut settings = Settings::from_variables(&variables).unwrap();
        let ms = Duration::from_millis;
        settings.retry = RetryPolicy { first: ms(10), max: ms(50), total: DEADLINE };
        Self::start_with(settings)
    }

    pub(crate) fn start_with(settings: Settings) -> Self {
        let (started, exporter) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (exporter, exporting) = start(&settings, &[Target::Otlp]).unwrap();
                started.send(exporter).unwrap();
                exporting.shutdown(stopped.await.unwrap(), std::future::pending()).await
            })
        });
        Self { exporter: exporter.recv().unwrap(), stop, thread }
    }

    pub(crate) fn offer(&self, batch: &[Telemetry]) {
        batch.iter().for_each(|telemetry| self.exporter.offer(telemetry.clone()));
    }

    pub(crate) fn tally(&self, signal: Signal) -> Tally {
        self.exporter.stats().sinks[0].tally(signal)
    }

    /// Ends it; the tallies of spans and of log records.
    pub(crate) fn shutdown(self, deadline: Duration) -> (Tally, Tally) {
        self.stop.send(deadline).unwrap();
        let summary = self.thread.join().unwrap();
        let (_, spans, logs) = summary.sinks[0].clone();
        assert_eq!((spans.pending(), logs.pending()), (0, 0), "the books balance");
        (spans, logs)
    }
}

pub(crate) fn grpc(sink: &Sink) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", sink.grpc_addr)),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "10".to_owned()),
    ]
}

pub(crate) fn http(sink: &Sink) -> Vec<(&'static str, String)> {
    let mut variables = grpc(sink);
    variables[0].1 = format!("http://localhost:{}", sink.http_addr.port());
    variables[1].1 = "http/protobuf".to_owned();
    variables
}

pub(crate) fn with(
    mut variables: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    variables.retain(|(known, _)| *known != name);
    variables.push((name, value.to_owned()));
    variables
}

pub(crate) fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource { attributes: vec![Attribute::new("service.name", service.to_owned())] })
}

pub(crate) fn span(resource: &Arc<Resource>, id: u64) -> Telemetry {
    let scopes = [Scope::Http, Scope::Mysql, Scope::Redis];
    let is_child = id.is_multiple_of(2);
    let span = Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId((id + 1).to_be_bytes()),
        parent: is_child.then(|| SpanId(id.to_be_bytes())),
        remote_parent: id.is_multiple_of(4),
        trace_state: "vendor=1".to_owned(),
        sampled: true,
        kind: if is_child { SpanKind::Client } else { SpanKind::Server },
        start_unix_ns: START + id,
        end_unix_ns: START + id + 1_000_000,
        first_byte_unix_ns: Some(START + id + 500),
        links: Vec::new(),
        description: Description {
            name: format!("span {id}").into(),
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

pub(crate) fn log(resource: &Arc<Resource>, body: String) -> Telemetry {
    let log = LogRecord {
        time_unix_ns: START,
        observed_unix_ns: START + 1,
        severity: Some(Severity { number: 13, text: "WARNING".to_owned() }),
        body,
        stream: LogStream::Stderr,
        context: Some((TraceId([7; 16]), Some(SpanId([1; 8])), true)),
        attributes: Vec::new(),
    };
    Telemetry { resource: Arc::clone(resource), item: Item::Log(Box::new(log)) }
}

pub(crate) fn some_spans(count: u64) -> Vec<Telemetry> {
    let resource = resource("test");
    (0..count).map(|id| span(&resource, id)).collect()
}

pub(crate) fn body(log: &Collected<opentelemetry_proto::tonic::logs::v1::LogRecord>) -> String {
    match log.item.body.clone().unwrap().value.unwrap() {
        ProtoValue::StringValue(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}
