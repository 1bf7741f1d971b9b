//! From writes to log records.

use tracer_ebpf::event::flag;

use super::config::LogMode;
use super::environment::Environment;
use crate::correlate::Now;
use crate::correlate::active::Evidence;
use crate::correlate::assemble::Assembler;
use crate::correlate::logs::{Line, LineAssembler, PlainLines, Write, severity};
use crate::correlate::stats::LogStats;
use crate::event::Nanos;
use crate::export::{Item, Telemetry};
use crate::probe::decode::Log;
use crate::span::{Attribute, LogRecord, LogStream};

/// The log stage.
#[derive(Debug)]
pub(super) struct Logs {
    mode: LogMode,
    lines: Box<dyn LineAssembler>,
    ready: Vec<Line>,
    last_seen: Nanos,
    /// Counters.
    pub(super) stats: LogStats,
}

impl Logs {
    pub(super) fn new(mode: LogMode) -> Self {
        Self {
            mode,
            lines: Box::<PlainLines>::default(),
            ready: Vec::new(),
            last_seen: 0,
            stats: LogStats::default(),
        }
    }

    pub(super) fn on_write(
        &mut self,
        log: &Log<'_>,
        now: &Now,
        environment: &mut dyn Environment,
        assembler: &Assembler,
        out: &mut Vec<Telemetry>,
    ) {
        if self.mode == LogMode::Off {
            return;
        }
        let Some(stream) = stream(log, environment) else {
            self.stats.not_logs += 1;
            return;
        };
        let missing = log.length.saturating_sub(u32::try_from(log.bytes.len()).unwrap_or(u32::MAX));
        self.stats.writes += 1;
        self.stats.bytes += u64::from(log.length);
        self.stats.cut_writes += u64::from(missing > 0);
        self.stats.cut_bytes += u64::from(missing);
        let write = Write {
            thread: now.mark.thread,
            process: now.process,
            file: (log.dev, log.ino),
            stream,
            time: now.mark.time,
            bytes: log.bytes,
            missing,
            active: assembler.threads.line(now.mark.thread),
        };
        self.lines.on_write(&write, &mut self.ready);
        self.emit(now.mark.time, environment, assembler, out);
    }

    pub(super) fn tick(
        &mut self,
        now: Nanos,
        environment: &mut dyn Environment,
        assembler: &Assembler,
        out: &mut Vec<Telemetry>,
    ) {
        self.lines.tick(now, &mut self.ready);
        self.emit(if now == Nanos::MAX { self.last_seen } else { now }, environment, assembler, out);
    }

    fn emit(
        &mut self,
        now: Nanos,
        environment: &mut dyn Environment,
        assembler: &Assembler,
        out: &mut Vec<Telemetry>,
    ) {
        self.last_seen = self.last_seen.max(now);
        for line in self.ready.drain(..) {
            let active = line.active.and_then(|(id, evidence)| Some((assembler.context(id)?, evidence)));
            if active.is_none() && self.mode == LogMode::Correlated {
                self.stats.uncorrelated_dropped += 1;
                continue;
            }
            let mut attributes = Vec::new();
            self.stats.exported += 1;
            self.stats.correlated += u64::from(active.is_some());
            if let Some((_, Evidence::AfterResponse)) = active {
                self.stats.after_response += 1;
                attributes.push(Attribute::new("tracer.correlation", "after_response"));
            }
            if line.truncated {
                attributes.push(Attribute::new("tracer.truncated", true));
            }
            let record = LogRecord {
                time_unix_ns: assembler.unix(line.time),
                observed_unix_ns: assembler.unix(now),
                severity: severity(&line.text),
                context: active.map(|(context, _)| (context.trace_id, context.span_id, context.sampled)),
                body: line.text,
                stream: line.stream,
                attributes,
            };
            let resource = environment.resource(line.process);
            out.push(Telemetry { resource, item: Item::Log(Box::new(record)) });
        }
    }
}

/// Which log stream a write went to. A candidate is a log only if the process's descriptors say so; what the probe
/// knows as a log is one even when the process is gone.
fn stream(log: &Log<'_>, environment: &mut dyn Environment) -> Option<LogStream> {
    let told = environment.log_stream(log.header.tgid, log.dev, log.ino, log.fd);
    let candidate = log.header.flags & flag::LOG_CANDIDATE != 0;
    told.or((!candidate).then_some(if log.fd == 2 { LogStream::Stderr } else { LogStream::Stdout }))
}
