//! From writes to log records.

use std::num::NonZeroU32;

use tracer_ebpf::event::flag;

use super::config::LogMode;
use super::tracked::Sink;
use crate::correlate::active::Evidence;
use crate::correlate::assemble::Assembler;
use crate::correlate::held::{Held, WaitsFor};
use crate::correlate::late::Ticket;
use crate::correlate::log_line::{LogKey, LogLine, LogLines, LogWrite, WriteMark};
use crate::correlate::log_rate::LogRate;
use crate::correlate::stats::LogStats;
use crate::correlate::{Now, log_ids, log_json, severity};
use crate::event::{ActiveId, Nanos, Process, ThreadId};
use crate::export::{Item, Telemetry};
use crate::probe::decode::Log;
use crate::span::{Attribute, LogRecord, LogStream, Severity, SpanId, TraceId};

/// The log stage.
#[derive(Debug)]
pub(super) struct Logs {
    mode: LogMode,
    lines: LogLines<Written>,
    rate: LogRate,
    ready: Vec<LogLine<Written>>,
    held: Held<Record>,
    /// Counters.
    pub(super) stats: LogStats,
}

/// What belongs to a write.
#[derive(Clone, Copy, Debug)]
struct Written {
    process: Process,
    stream: LogStream,
    time: Nanos,
    span: LineSpan,
}

/// The span that a line belongs to.
#[derive(Clone, Copy, Debug)]
enum LineSpan {
    Known(ActiveId, Evidence),
    None,
    /// It will be known later: what it waits with, and the runtime's context that wrote it.
    Late(Ticket, u64),
}

impl LineSpan {
    /// Whether two writes of one thread belong to the same span, as far as is known by now.
    fn is_same(self, later: Self) -> bool {
        match (self, later) {
            (Self::Known(one, by), Self::Known(other, also_by)) => (one, by) == (other, also_by),
            (Self::Late(_, one), Self::Late(_, other)) => one == other,
            (Self::None, Self::None) => true,
            _ => false,
        }
    }
}

impl WriteMark for Written {
    fn goes_with(&self, later: &Self) -> bool {
        self.span.is_same(later.span) && self.stream == later.stream
    }
}

impl Logs {
    /// `rate`: lines a second that a process may write.
    pub(super) fn new(mode: LogMode, rate: Option<NonZeroU32>) -> Self {
        Self {
            mode,
            lines: LogLines::default(),
            rate: LogRate::new(rate),
            ready: Vec::new(),
            held: Held::default(),
            stats: LogStats::default(),
        }
    }

    /// A thread moved bytes on a connection.
    pub(super) fn on_data(&mut self, thread: ThreadId, now: Nanos) {
        self.lines.buffers.on_call(thread, now);
    }

    /// Events were lost.
    pub(super) fn doubt(&mut self) {
        self.lines.buffers.doubt();
    }

    /// Takes a write.
    pub(super) fn on_write(
        &mut self,
        log: &Log<'_>,
        now: &Now,
        assembler: &mut Assembler,
        sink: &mut Sink<'_>,
    ) {
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
        let after = || Some((assembler.late.lingering.line(now.mark)?, Evidence::AfterResponse));
        let span = match assembler.threads.line(now.mark.thread).or_else(after) {
            Some((active, evidence)) => LineSpan::Known(active, evidence),
            None => match assembler.late.ask(now.mark) {
                Ok(ticket) => LineSpan::Late(ticket, now.mark.context),
                Err(_) => LineSpan::None,
            },
        };
        let written = Written { process: now.process, stream, time: now.mark.time, span };
        let write = LogWrite { bytes: log.bytes, missing };
        self.lines.write(key, write, &written, now.mark.time, &mut self.ready);
        self.emit(now.mark.time, assembler, sink);
    }

    /// Tells lines that waited too long for their end.
    pub(super) fn tick(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        self.lines.expire(now, &mut self.ready);
        self.emit(now, assembler, sink);
    }

    /// Tells all lines that wait for their end, or their span.
    pub(super) fn finish(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        self.lines.flush(&mut self.ready);
        self.emit(now, assembler, sink);
        while let Some(record) = self.held.oldest() {
            self.tell(record, None, now, assembler, sink);
        }
    }

    /// Tells lines whose spans, or their ids, have become known.
    pub(super) fn release(
        &mut self,
        answered: &[Ticket],
        settled: &[ActiveId],
        now: Nanos,
        assembler: &Assembler,
        sink: &mut Sink<'_>,
    ) {
        for ticket in answered {
            for record in self.held.release(WaitsFor::Parent(*ticket)) {
                self.sort(record, now, assembler, sink);
            }
        }
        for active in settled {
            for record in self.held.release(WaitsFor::Ids(*active)) {
                self.sort(record, now, assembler, sink);
            }
        }
    }

    fn emit(&mut self, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        let mut ready = std::mem::take(&mut self.ready);
        for line in ready.drain(..) {
            let exports = sink.environment.exports(line.mark.process);
            if !exports.logs {
                self.stats.exported_by_target += 1;
                continue;
            }
            let stated = Stated::of(&line.text);
            // Our ids lead nowhere if our span is not exported.
            let takes_ours = line.own && exports.spans;
            self.sort(Record { line, stated, takes_ours }, now, assembler, sink);
        }
        self.ready = ready;
    }

    /// Tells a line, or holds it until its span is known.
    fn sort(&mut self, record: Record, now: Nanos, assembler: &Assembler, sink: &mut Sink<'_>) {
        let known = match record.line.mark.span {
            _ if !record.takes_ours => None,
            LineSpan::None => None,
            LineSpan::Known(active, evidence) => Some((active, evidence)),
            LineSpan::Late(ticket, _) => match assembler.late.answer(ticket) {
                Some(answer) => answer.ok(),
                None => return self.hold(WaitsFor::Parent(ticket), record, now, assembler, sink),
            },
        };
        match known {
            Some((active, _)) if assembler.is_unsettled(active) => {
                self.hold(WaitsFor::Ids(active), record, now, assembler, sink);
            }
            _ => self.tell(record, known, now, assembler, sink),
        }
    }

    fn hold(
        &mut self,
        waits_for: WaitsFor,
        record: Record,
        now: Nanos,
        assembler: &Assembler,
        sink: &mut Sink<'_>,
    ) {
        if let Some(displaced) = self.held.hold(waits_for, record) {
            self.tell(displaced, None, now, assembler, sink);
        }
    }

    fn tell(
        &mut self,
        record: Record,
        active: Option<(ActiveId, Evidence)>,
        now: Nanos,
        assembler: &Assembler,
        sink: &mut Sink<'_>,
    ) {
        let Record { line, stated, .. } = record;
        let Written { process, stream, time, span } = line.mark;
        let active = active.and_then(|(id, evidence)| Some((assembler.context(id)?, evidence)));
        let ours = active.map(|(context, _)| (context.trace_id, Some(context.span_id), context.sampled));
        // Ids that the application wrote into the line itself win; a trace alone agrees with ours, or not.
        let ours = ours.filter(|ours| stated.agrees_with(ours.0));
        let context = ours.or(stated.context);
        if context.is_none() && self.mode == LogMode::Correlated {
            self.stats.uncorrelated_dropped += 1;
            return;
        }
        let Some(dropped) = self.rate.admit(process, now) else {
            self.stats.rate_limited += 1;
            return;
        };
        let evidence = active.map(|(_, evidence)| evidence).filter(|_| ours.is_some());
        self.stats.exported += 1;
        self.stats.correlated += u64::from(ours.is_some());
        self.stats.after_response += u64::from(evidence == Some(Evidence::AfterResponse));
        self.stats.known_late += u64::from(evidence.is_some() && matches!(span, LineSpan::Late(..)));
        self.stats.ids_of_application += u64::from(ours.is_none() && context.is_some());
        self.stats.truncated += u64::from(line.cut);
        let own = [
            evidence.and_then(Evidence::name).map(|name| Attribute::new("tracer.correlation", name)),
            line.cut.then(|| Attribute::new("tracer.truncated", true)),
            (dropped > 0).then(|| Attribute::new("tracer.dropped_lines", count(dropped))),
        ];
        let record = LogRecord {
            time_unix_ns: assembler.unix(time),
            observed_unix_ns: assembler.unix(now),
            severity: stated.severity,
            context,
            body: line.text,
            stream,
            attributes: own.into_iter().flatten().chain(stated.attributes).collect(),
        };
        let resource = sink.environment.resource(process);
        sink.out.push(Telemetry { resource, item: Item::Log(Box::new(record)) });
    }
}

/// A whole line, with what it says of itself.
#[derive(Debug)]
struct Record {
    line: LogLine<Written>,
    stated: Stated,
    /// Whether it may take the ids of the span that was active when it was written.
    takes_ours: bool,
}

fn count(lines: u64) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}

/// What a line says of itself.
#[derive(Debug, Default)]
struct Stated {
    severity: Option<Severity>,
    context: Option<(TraceId, Option<SpanId>, bool)>,
    attributes: Vec<Attribute>,
}

impl Stated {
    fn of(text: &str) -> Self {
        if !text.trim_start().starts_with('{') {
            let ids = log_ids::of(text);
            let context = ids.map(|ids| (ids.trace_id, ids.span_id, ids.sampled.unwrap_or(true)));
            return Self { severity: severity::of(text), context, attributes: Vec::new() };
        }
        let mut fields = log_json::read(text);
        let sampled = fields.sampled.unwrap_or(true);
        let context = fields.trace_id.map(|trace| (trace, fields.span_id, sampled));
        // Names that the tracer gives itself: an attribute's name is unique.
        fields.attributes.retain(|entry| entry.key != "log.iostream" && !entry.key.starts_with("tracer."));
        Self { severity: fields.severity, context, attributes: fields.attributes }
    }

    /// Whether the line belongs to what we know its trace is: it names none, or the same one and no span.
    fn agrees_with(&self, trace: TraceId) -> bool {
        self.context.is_none_or(|(stated, span, _)| stated == trace && span.is_none())
    }
}

/// Which log stream a write went to. A candidate is a log only if the process's descriptors say so; what the probe
/// knows as a log is one even when the process is gone.
fn stream(log: &Log<'_>, sink: &mut Sink<'_>) -> Option<LogStream> {
    let told = sink.environment.log_stream(log.header.tgid, log.dev, log.ino, log.fd);
    let candidate = log.header.flags & flag::LOG_CANDIDATE != 0;
    told.or((!candidate).then_some(if log.fd == 2 { LogStream::Stderr } else { LogStream::Stdout }))
}
