//! From the progress of conversations to spans with ids, parents and times.
//!
//! Times are those of the kernel, at the exit of calls, shifted to the wall clock and not adjusted: a child may
//! start a hair before the call that caused it is over, and end after its parent when the response was written
//! first. Both are true, and a reader who sees them can tell. One thing is adjusted: of two calls on two processors
//! the later one's event can come first, stamped a moment before; a span does not end before it starts for that.

use clap::ValueEnum;
use serde::Deserialize;

use super::Now;
use super::active::{ActiveThreads, Inactive};
use super::contexts::{Contexts, SpanContext};
use super::exchanges::{Open, OpenExchanges, Part};
use super::ids::IdGenerator;
use super::sampler::Sampler;
use super::stats::SpanStats;
use super::telemetry_post::{TelemetryPost, is_telemetry_post, judge};
use super::trace_context::Propagators;
use crate::event::{ActiveId, ConnectionId, Endpoints, Mark, Nanos, Process, Role, Side};
use crate::protocol::{AbandonReason, Exchange, ExchangeId, HealthCheck, Progress, TraceHeaders};
use crate::span::{Span, SpanKind, SpanOptions, describe};

/// The connection that progress comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its identity.
    pub connection: ConnectionId,
    /// What the traced process is on it.
    pub role: Role,
    /// Both ends.
    pub endpoints: &'a Endpoints,
}

/// Makes spans.
#[derive(Debug)]
pub struct Assembler {
    /// Which server exchange is active on which thread.
    pub threads: ActiveThreads,
    /// Counters.
    pub stats: SpanStats,
    contexts: Contexts,
    posts: Vec<(Process, TelemetryPost)>,
    ids: IdGenerator,
    wall_offset: i64,
    tracing: TracingOptions,
    options: SpanOptions,
}

/// Whose traces are continued, and which traces are exported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracingOptions {
    /// Formats of trace context that are read.
    pub propagators: Propagators,
    /// Which traces are sampled.
    pub sampler: Sampler,
    /// Spans of traces that are not sampled are told too: it is decided later whether they are exported.
    pub tell_unsampled: bool,
    /// Which requests that only ask how the server is begin no trace.
    pub health_checks: HealthChecks,
}

/// `--health-checks`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum HealthChecks {
    /// Trace them like other requests
    Keep,
    /// Drop what the kubelet asks (User-Agent kube-probe/…), with what that causes
    #[default]
    DropProbes,
    /// Drop every GET of a usual health route (/healthz, /readyz, /health, …), too
    DropAll,
}

/// What became of a span that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is exported.
    Exported,
    /// Its process exports by itself.
    ByTarget,
    /// It is not sampled, and waits for what its trace turns out to be.
    Held,
}

impl Assembler {
    /// An assembler.
    #[must_use]
    pub fn new(
        threads: ActiveThreads,
        ids: IdGenerator,
        options: SpanOptions,
        tracing: TracingOptions,
    ) -> Self {
        Self {
            threads,
            stats: SpanStats::default(),
            contexts: Contexts::default(),
            posts: Vec::new(),
            ids,
            wall_offset: 0,
            tracing,
            options,
        }
    }

    /// Sets what is added to CLOCK_MONOTONIC to get nanoseconds since the epoch.
    pub fn set_wall_offset(&mut self, offset: i64) {
        self.wall_offset = offset;
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub fn unix(&self, time: Nanos) -> u64 {
        time.saturating_add_signed(self.wall_offset)
    }

    /// The ids of a server exchange, if they are still remembered.
    #[must_use]
    pub fn context(&self, active: ActiveId) -> Option<&SpanContext> {
        self.contexts.get(active)
    }

    /// Number of open server exchanges whose ids are kept.
    #[must_use]
    pub fn contexts(&self) -> usize {
        self.contexts.open()
    }

    /// The posts of telemetry that ended since the last call and say something of their process.
    pub fn drain_posts(&mut self) -> std::vec::Drain<'_, (Process, TelemetryPost)> {
        self.posts.drain(..)
    }

    /// Takes one step of a conversation. Spans that it completes go to `emit`, with the process they belong to, which
    /// tells what became of them.
    pub fn on_progress(
        &mut self,
        progress: Progress,
        source: Source<'_>,
        open: &mut OpenExchanges,
        now: &Now,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        match progress {
            Progress::Begun { id, mark } => self.begin(id, mark, source, open, now),
            Progress::Touched { id, side, mark } => self.touch(id, side, mark, open),
            Progress::Context { id, headers, health } => {
                self.continue_trace(id, &headers, open);
                self.judge_health_check(id, health, open);
            }
            Progress::Ended { id, exchange } => match open.remove(id) {
                Some(begun) => self.end(&begun, &exchange, source, now, emit),
                None => self.stats.unknown_exchange += 1,
            },
            Progress::Abandoned { id, reason } => match open.remove(id) {
                Some(begun) => self.abandon(&begun, Some(reason)),
                None => self.stats.unknown_exchange += 1,
            },
        }
    }

    /// Gives up an exchange that its conversation will not end any more (`None`), or has given up itself.
    pub fn abandon(&mut self, begun: &Open, reason: Option<AbandonReason>) {
        let counter = match reason {
            Some(AbandonReason::Gap) => &mut self.stats.abandoned_gap,
            Some(AbandonReason::Malformed) => &mut self.stats.abandoned_malformed,
            Some(AbandonReason::NoSpan) => &mut self.stats.abandoned_no_span,
            Some(AbandonReason::Encrypted) => &mut self.stats.abandoned_encrypted,
            Some(AbandonReason::Limit) => &mut self.stats.abandoned_limit,
            Some(AbandonReason::Forgotten) => &mut self.stats.abandoned_forgotten,
            None => &mut self.stats.abandoned_unfinished,
        };
        *counter += 1;
        if let Part::Server(active) = begun.part {
            self.threads.end(active, None);
            // Its span will be missing, but what it caused still belongs together.
            self.contexts.end(active);
        }
    }

    fn begin(&mut self, id: ExchangeId, mark: Mark, source: Source<'_>, open: &mut OpenExchanges, now: &Now) {
        let call = open.call(mark.call).copied();
        let part = match source.role {
            Role::Server => {
                self.stats.server_begun += 1;
                let context = self.root_ids();
                let active = self.contexts.begin(context);
                self.threads.begin(active, source.connection, mark, call.map(|call| call.mux_epoch));
                Part::Server(active)
            }
            Role::Client => {
                self.stats.client_begun += 1;
                Part::Client(mark.active.ok_or_else(|| self.why_inactive(mark)))
            }
        };
        let process = match call {
            Some(call) => call.process,
            None if now.process.tgid == mark.thread.tgid => now.process,
            None => Process { tgid: mark.thread.tgid, ..Process::default() },
        };
        if let Some(displaced) = open.insert(Open { id, begun: mark, process, answered: false, part }) {
            self.abandon(&displaced, Some(AbandonReason::Limit));
        }
    }

    fn why_inactive(&self, mark: Mark) -> Inactive {
        self.threads.active(mark.thread).err().unwrap_or(Inactive::NoBinding)
    }

    fn touch(&mut self, id: ExchangeId, side: Side, mark: Mark, open: &mut OpenExchanges) {
        let mux_epoch = open.call(mark.call).map(|call| call.mux_epoch);
        let Some(begun) = open.get_mut(id) else {
            self.stats.unknown_exchange += 1;
            return;
        };
        begun.answered |= side == Side::Response;
        if let Part::Server(active) = begun.part {
            self.threads.touch(active, mark, mux_epoch);
        }
    }

    /// A server exchange continues the trace that its request names. What a client request carries was put there
    /// by the application, and changes nothing here.
    fn continue_trace(&mut self, id: ExchangeId, headers: &TraceHeaders, open: &mut OpenExchanges) {
        let Some(Part::Server(active)) = open.get_mut(id).map(|begun| begun.part) else { return };
        let (incoming, malformed) = self.tracing.propagators.extract(headers);
        self.stats.bad_traceparent += u64::from(malformed.traceparent);
        self.stats.bad_tracestate += u64::from(malformed.tracestate);
        self.stats.bad_b3 += u64::from(malformed.b3);
        let Some((incoming, context)) = incoming.zip(self.contexts.get_open_mut(active)) else { return };
        if let Some((trace_id, span_id)) = incoming.parent {
            self.stats.remote_parents += 1;
            context.trace_id = trace_id;
            context.remote_parent = Some(span_id);
        }
        context.sampled = self.tracing.sampler.samples(context.trace_id, incoming.sampled);
        context.trace_state = incoming.state;
    }

    /// A request that only asks how the server is begins no trace, if that is wanted: neither it nor what it causes
    /// is sampled.
    fn judge_health_check(&mut self, id: ExchangeId, health: Option<HealthCheck>, open: &mut OpenExchanges) {
        let Some(Part::Server(active)) = open.get_mut(id).map(|begun| begun.part) else { return };
        let dropped = matches!(
            (health, self.tracing.health_checks),
            (Some(HealthCheck::Kubelet), HealthChecks::DropProbes) | (Some(_), HealthChecks::DropAll)
        );
        if let Some(context) = self.contexts.get_open_mut(active).filter(|_| dropped) {
            self.stats.health_checks += 1;
            context.sampled = false;
        }
    }

    fn end(
        &mut self,
        begun: &Open,
        exchange: &Exchange,
        source: Source<'_>,
        now: &Now,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let ids = match begun.part {
            Part::Server(active) => {
                self.stats.server_ended += 1;
                let by_response = exchange.times.end.call == now.mark.call && now.mark.call != 0;
                self.threads.end(active, by_response.then_some(now));
                self.contexts.end(active)
            }
            Part::Client(parent) => {
                self.stats.client_ended += 1;
                self.child_ids(parent)
            }
        };
        if is_telemetry_post(exchange) {
            self.stats.telemetry_posts += 1;
            self.posts.extend(judge(exchange, source.role).map(|post| (begun.process, post)));
            return;
        }
        let ids = ids.unwrap_or_else(|| self.root_ids());
        if !ids.sampled && !self.tracing.tell_unsampled {
            self.stats.unsampled += 1;
            return;
        }
        self.emit(begun, exchange, source, ids, emit);
    }

    /// The ids of a client span: below its parent if that is known.
    fn child_ids(&mut self, parent: Result<ActiveId, Inactive>) -> Option<SpanContext> {
        let counter = match parent {
            Ok(active) => match self.contexts.get(active) {
                Some(parent) => {
                    self.stats.children += 1;
                    let span_id = self.ids.span_id();
                    return Some(SpanContext {
                        span_id,
                        remote_parent: Some(parent.span_id),
                        ..parent.clone()
                    });
                }
                None => &mut self.stats.roots_evicted,
            },
            Err(Inactive::NoBinding) => &mut self.stats.roots_no_binding,
            Err(Inactive::Suspended) => &mut self.stats.roots_suspended,
            Err(Inactive::Doubtful) => &mut self.stats.roots_doubtful,
        };
        *counter += 1;
        None
    }

    fn root_ids(&mut self) -> SpanContext {
        let trace_id = self.ids.trace_id();
        SpanContext {
            trace_id,
            span_id: self.ids.span_id(),
            remote_parent: None,
            sampled: self.tracing.sampler.samples(trace_id, None),
            trace_state: None,
        }
    }

    fn emit(
        &mut self,
        begun: &Open,
        exchange: &Exchange,
        source: Source<'_>,
        ids: SpanContext,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let times = &exchange.times;
        let kind = match source.role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
        };
        let trace_state = ids.trace_state.as_deref().unwrap_or_default();
        let start = times.request_first.time;
        let end = times.end.time.max(start);
        // A batch may be told command by command: spans of the same times, each with an id of its own.
        let mut span_id = ids.span_id;
        for description in describe(exchange, source.role, source.endpoints, &self.options) {
            let span = Span {
                trace_id: ids.trace_id,
                span_id,
                parent: ids.remote_parent,
                remote_parent: kind == SpanKind::Server && ids.remote_parent.is_some(),
                trace_state: trace_state.to_owned(),
                sampled: ids.sampled,
                kind,
                start_unix_ns: self.unix(start),
                end_unix_ns: self.unix(end),
                first_byte_unix_ns: times.response_first.map(|mark| self.unix(mark.time.clamp(start, end))),
                description,
            };
            let counter = match emit(begun.process, Box::new(span)) {
                Told::Exported => &mut self.stats.exported,
                Told::ByTarget => &mut self.stats.exported_by_target,
                Told::Held => &mut self.stats.held,
            };
            *counter += 1;
            span_id = self.ids.span_id();
        }
    }
}
