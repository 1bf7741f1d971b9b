//! OTLP JSON Lines in a file, as OpenTelemetry's file exporter writes them: one `ExportTraceServiceRequest` or
//! `ExportLogsServiceRequest` a line (OpenTelemetry specification, `protocol/file-exporter.md`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::ExportError;
use super::encode::{Payload, Request, encode};
use super::outage::Outage;
use super::queue::Queue;
use super::stats::{DropReason, SinkStats};

/// Appends requests to a file.
#[derive(Debug)]
pub(super) struct FileSink {
    file: File,
    /// The last write failed, perhaps within a line.
    torn: bool,
    outage: Outage,
    stats: Arc<SinkStats>,
}

impl FileSink {
    /// Opens the file, or makes it. What it holds already stays.
    pub(super) fn open(path: &Path, stats: Arc<SinkStats>) -> Result<Self, ExportError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| ExportError::File { path: path.to_owned(), source })?;
        let outage = Outage::new(format!("export to {}", path.display()));
        Ok(Self { file, torn: false, outage, stats })
    }

    /// Writes what the queue gives until it is closed and empty. Blocks in writes: has a thread of its own.
    pub(super) async fn run(mut self, queue: Arc<Queue>) {
        while let Some(batch) = queue.next().await {
            // Lines have no size that a reader would refuse.
            for request in encode(batch, usize::MAX).requests {
                self.write(&request);
            }
        }
    }

    fn write(&mut self, request: &Request) {
        let signal = request.payload.signal();
        let result = self.write_line(&request.payload);
        self.torn = result.is_err();
        match result {
            Ok(()) => self.stats.exported(signal, request.items),
            Err(_) => self.stats.dropped(signal, DropReason::GaveUp, request.items),
        }
        let tally = self.stats.tally(signal);
        let lost = tally.dropped_total();
        match result {
            Ok(()) => self.outage.succeeded(lost, tally.dropped(DropReason::QueueFull)),
            Err(error) => self.outage.failed(&error.to_string(), lost),
        }
    }

    fn write_line(&mut self, payload: &Payload) -> io::Result<()> {
        let mut line = if self.torn { b"\n".to_vec() } else { Vec::new() };
        match payload {
            Payload::Traces(request) => serde_json::to_writer(&mut line, request)?,
            Payload::Logs(request) => serde_json::to_writer(&mut line, request)?,
        }
        line.push(b'\n');
        // One call a line: a reader never sees half of one.
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::export::Item;
    use crate::export::queue::Limits;
    use crate::export::stats::Signal;
    use crate::export::testing;
    use crate::span::{Scope, SpanId, Status, TraceId};

    fn written(name: &str, batch: Vec<crate::export::Telemetry>) -> Vec<Value> {
        let path = std::env::temp_dir().join(format!("tracer-{}-{name}.jsonl", std::process::id()));
        let stats = SinkStats::new("file".to_owned());
        let mut sink = FileSink::open(&path, stats).unwrap();
        encode(batch, usize::MAX).requests.iter().for_each(|request| sink.write(request));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn spans_follow_the_json_mapping() {
        let mut telemetry = testing::span_of(&testing::resource("shop"), "GET /", Scope::Http);
        if let Item::Span(span) = &mut telemetry.item {
            span.parent = Some(SpanId([0xab; 8]));
            span.first_byte_unix_ns = Some(1_700_000_000_000_000_001);
            span.description.status = Status::Error(None);
            span.description
                .attributes
                .push(crate::span::Attribute::new("http.response.status_code", 500_i64));
        }
        let lines = written("spans", vec![telemetry]);
        let group = &lines[0]["resourceSpans"][0];
        assert_eq!(
            group["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "shop"}})
        );
        let span = &group["scopeSpans"][0]["spans"][0];
        assert_eq!(span["parentSpanId"], json!("abababababababab"));
        assert_eq!(span["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(span["kind"], json!(2));
        assert_eq!(span["startTimeUnixNano"].as_str().map(str::len), Some(19));
        assert_eq!(span["events"][0]["timeUnixNano"], json!("1700000000000000001"));
        assert_eq!(span["status"]["code"], json!(2));
        let attribute = span["attributes"].as_array().and_then(|list| list.last());
        assert_eq!(
            attribute,
            Some(&json!({"key": "http.response.status_code", "value": {"intValue": "500"}}))
        );
    }

    #[test]
    fn log_records_follow_the_json_mapping() {
        let mut telemetry = testing::log("line");
        if let Item::Log(log) = &mut telemetry.item {
            log.context = Some((TraceId([0x01; 16]), Some(SpanId([0x02; 8])), true));
        }
        let lines = written("logs", vec![telemetry, testing::span("s")]);
        assert_eq!(lines.len(), 2);
        let log = &lines[1]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(log["body"], json!({"stringValue": "line"}));
        assert_eq!(log["traceId"], json!("01010101010101010101010101010101"));
        assert_eq!(log["spanId"], json!("0202020202020202"));
        assert_eq!((&log["flags"], log["timeUnixNano"].is_string()), (&json!(1), true));
    }

    #[test]
    fn an_unwritable_path_is_a_sentence() {
        let stats = SinkStats::new("file".to_owned());
        let error = FileSink::open(Path::new("/no/such/spans.jsonl"), stats).unwrap_err().to_string();
        assert_eq!(error, "cannot write to /no/such/spans.jsonl: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn a_full_disk_is_counted_and_does_not_end_the_sink() {
        let stats = SinkStats::new("file".to_owned());
        let limits = Limits { spans: 10, logs: 10, batch: 1, delay: Duration::ZERO };
        let queue = Queue::new(limits, Arc::clone(&stats));
        let sink = FileSink::open(Path::new("/dev/full"), Arc::clone(&stats)).unwrap();
        queue.offer(testing::span("a"));
        queue.offer(testing::span("b"));
        queue.close();
        sink.run(queue).await;
        assert_eq!(stats.tally(Signal::Spans).dropped(DropReason::GaveUp), 2);
    }
}
