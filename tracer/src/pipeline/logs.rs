//! From writes to log records.

use tracer_ebpf::event::flag;

use super::config::LogMode;
use super::tracked::Sink;
use crate::correlate::active::Evidence;
use crate::correlate::assemble::Assembler;
use crate::correlate::log_line::{LogKey, LogLine, LogLines, LogWrite};
use crate::correlate::stats::LogStats;
use crate::correlate::{Now, log_json, severity};
use crate::event::{ActiveId, Nanos, Process};
use crate::export::{Item, Telemetry};
use crate::probe::decode::Log;
use crate::span::{Attribute, LogRecord, LogStream, Severity, SpanId, TraceId};

/// The log stage.
#[derive(Debug)]
pub(super) struct Logs {
    mode: LogMode,
    lines: LogLines<Written>,
    ready: Vec<LogLine<Written>>,
    /// Counters.
    pub(super) stats: LogStats,
}

/// What belongs to a write.
#[derive(Clone, Copy, Debug)]
struct Written {
    process: Process,
    stream: LogStream,
    time: Nanos,
    active: Option<(ActiveId, Evidence)>,
}

impl Logs {
    pub(super) fn new(mode: LogMode) -> Self {
        Self { mode, lines: LogLines::default(), ready: Vec::new(), stats: LogStats::default() }
    }

    /// Takes a write.
    pub(super) fn on_write(&mut self, log: &Log<'_>, now: &Now, assembler: &Assembler, sink: &mut Sink<'_>) {
        if self.mode == LogMode::Off {
            return;
        }
        let Some(stream) = stream(log, sink) else {
            self.stats.not_logs += 1;
            return;
        };
        let missing = u64::from(log.length).saturating_sub(log.bytes.len() as u64);
        self.stats.writes += 1;
        self.stats.bytes += u64::from(log.length);
        self.stats.cut_writes += u64::from(missing > 0);
        self.stats.cut_bytes += missing;
        let key = LogKey { thread: now.mark.thread, dev: log.dev, ino: log.ino };
        let active = assembler.threads.line(now.mark.thread);
        let written = Written { process: now.process, stream, time: now.mark.time, active };
        let write = LogWrite { bytes: log.bytes, missing };
        self.lines.write(key, write, &written, now.mark.time, &mut self.ready);
        self.emit(now.mark.time, assembler, sink);
    }

    /// Tells lines that waited too long for their end.
    pub(super) fn tick(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        self.lines.expire(now, &mut self.ready);
        self.emit(now, assembler, sink);
    }

    /// Tells all lines that wait for their end.
    pub(super) fn finish(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        self.lines.flush(&mut self.ready);
        self.emit(now, assembler, sink);
    }

    fn emit(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        for line in self.ready.drain(..) {
            let Written { process, stream, time, active } = line.mark;
            let exports = sink.environment.exports(process);
            if !exports.logs {
                self.stats.exported_by_target += 1;
                continue;
            }
            let stated = stated(&line.text);
            // Ids that the application wrote into the line itself win; ours lead nowhere if our span is not exported.
            let active = active.filter(|_| line.own && stated.context.is_none() && exports.spans);
            let active = active.and_then(|(id, evidence)| Some((assembler.context(id)?, evidence)));
            let ours = active.map(|(context, _)| (context.trace_id, context.span_id, context.sampled));
            let context = stated.context.or(ours);
            if context.is_none() && self.mode == LogMode::Correlated {
                self.stats.uncorrelated_dropped += 1;
                continue;
            }
            let after_response = matches!(active, Some((_, Evidence::AfterResponse)));
            self.stats.exported += 1;
            self.stats.correlated += u64::from(active.is_some());
            self.stats.after_response += u64::from(after_response);
            let after = after_response.then(|| Attribute::new("tracer.correlation", "after_response"));
            let cut = line.cut.then(|| Attribute::new("tracer.truncated", true));
            let record = LogRecord {
                time_unix_ns: assembler.unix(time),
                observed_unix_ns: assembler.unix(now),
                severity: stated.severity,
                context,
                body: line.text,
                stream,
                attributes: after.into_iter().chain(cut).collect(),
            };
            let resource = sink.environment.resource(process);
            sink.out.push(Telemetry { resource, item: Item::Log(Box::new(record)) });
        }
    }
}

/// What a line says of itself.
#[derive(Debug, Default)]
struct Stated {
    severity: Option<Severity>,
    context: Option<(TraceId, SpanId, bool)>,
}

fn stated(text: &str) -> Stated {
    if text.trim_start().starts_with('{') {
        let fields = log_json::read(text);
        let ids = fields.trace_id.zip(fields.span_id);
        let context = ids.map(|(trace, span)| (trace, span, fields.sampled.unwrap_or(true)));
        return Stated { severity: fields.severity, context };
    }
    Stated { severity: severity::of(text), context: None }
}

/// Which log stream a write went to. A candidate is a log only if the process's descriptors say so; what the probe
/// knows as a log is one even when the process is gone.
fn stream(log: &Log<'_>, sink: &mut Sink<'_>) -> Option<LogStream> {
    let told = sink.environment.log_stream(log.header.tgid, log.dev, log.ino, log.fd);
    let candidate = log.header.flags & flag::LOG_CANDIDATE != 0;
    told.or((!candidate).then_some(if log.fd == 2 { LogStream::Stderr } else { LogStream::Stdout }))
}
