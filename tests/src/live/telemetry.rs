//! Spans and log records, wherever the tracer exported them to.

use std::path::Path;
use std::{fs, io};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::sink::{Collected, Received, collected};

/// Spans and log records in the order of their export.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// The spans, each with its resource and scope.
    pub spans: Vec<Collected<Span>>,
    /// The log records, each with its resource and scope.
    pub logs: Vec<Collected<LogRecord>>,
}

impl Telemetry {
    /// What `--export file:PATH` wrote so far: one OTLP JSON request a line. A file that does not exist yet is
    /// empty.
    ///
    /// # Panics
    /// When the file cannot be read, or holds something else.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        };
        let mut telemetry = Self::default();
        text.lines().for_each(|line| telemetry.take(line));
        telemetry
    }

    fn take(&mut self, line: &str) {
        if line.starts_with("{\"resourceLogs\"") {
            let request: ExportLogsServiceRequest = serde_json::from_str(line).expect("OTLP JSON of logs");
            self.take_logs(request);
        } else {
            let request: ExportTraceServiceRequest = serde_json::from_str(line).expect("OTLP JSON of traces");
            self.take_traces(request);
        }
    }

    fn take_traces(&mut self, request: ExportTraceServiceRequest) {
        for group in request.resource_spans {
            let resource = group.resource.unwrap_or_default();
            for scope in group.scope_spans {
                let schema_urls = [group.schema_url.clone(), scope.schema_url];
                self.spans.extend(scope.spans.into_iter().map(collected(
                    resource.clone(),
                    scope.scope,
                    schema_urls,
                )));
            }
        }
    }

    fn take_logs(&mut self, request: ExportLogsServiceRequest) {
        for group in request.resource_logs {
            let resource = group.resource.unwrap_or_default();
            for scope in group.scope_logs {
                let schema_urls = [group.schema_url.clone(), scope.schema_url];
                self.logs.extend(scope.log_records.into_iter().map(collected(
                    resource.clone(),
                    scope.scope,
                    schema_urls,
                )));
            }
        }
    }

    /// The spans of one kind.
    pub fn of_kind(&self, kind: SpanKind) -> impl Iterator<Item = &Span> {
        self.spans.iter().map(|span| &span.item).filter(move |span| span.kind == kind as i32)
    }

    /// The spans of requests that the targets answered.
    pub fn servers(&self) -> impl Iterator<Item = &Span> {
        self.of_kind(SpanKind::Server)
    }

    /// The spans of calls that the targets made.
    pub fn clients(&self) -> impl Iterator<Item = &Span> {
        self.of_kind(SpanKind::Client)
    }

    /// The spans whose parent is this one.
    pub fn children<'a>(&'a self, parent: &'a Span) -> impl Iterator<Item = &'a Span> {
        let is_child =
            |span: &&Span| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id;
        self.spans.iter().map(|span| &span.item).filter(is_child)
    }

    /// The log records that carry the ids of this span.
    pub fn lines<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = &'a LogRecord> {
        let is_line = |log: &&LogRecord| log.span_id == span.span_id && log.trace_id == span.trace_id;
        self.logs.iter().map(|log| &log.item).filter(is_line)
    }
}

/// What a collector took.
impl From<Received> for Telemetry {
    fn from(received: Received) -> Self {
        Self { spans: received.spans, logs: received.logs }
    }
}
