//! From the progress of conversations to spans with ids, parents and times.
//!
//! Times are those of the kernel, at the exit of calls, shifted to the wall clock and not adjusted: a child may
//! start a hair before the call that caused it is over, and end after its parent when the response was written
//! first. Both are true, and a reader who sees them can tell. One thing is adjusted: of two calls on two processors
//! the later one's event can come first, stamped a moment before; a span does not end before it starts for that.

use std::sync::Arc;

use super::Now;
use super::active::{ActiveThreads, Evidence, Inactive};
use super::contexts::{Contexts, SpanContext};
use super::draft::{Draft, Place};
use super::exchanges::{Open, OpenExchanges, OwnIds, Parent, Part};
use super::health::Verdict;
use super::held::{Held, WaitsFor};
use super::hops::{ClientEnd, Hops, Spot};
use super::ids::IdGenerator;
use super::join::{Caller, Receivers};
use super::late::LateParents;
use super::lost::Lost;
use super::passages::Passages;
use super::stats::SpanStats;
use super::telemetry_post::{TelemetryPost, is_telemetry_post, judge};
use super::tell::Told;
use super::tracing_options::TracingOptions;
use crate::event::{ActiveId, ConnectionId, Endpoint, Endpoints, Mark, Nanos, Process, Role, Side};
use crate::protocol::{AbandonReason, Exchange, ExchangeId, HealthCheck, Passage, Progress, TraceHeaders};
use crate::span::{Span, SpanOptions};

/// Requests that a call without a parent is linked to at most.
const MAX_CANDIDATES: usize = 8;

/// The connection that progress comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its identity.
    pub connection: ConnectionId,
    /// What the traced process is on it.
    pub role: Role,
    /// Both ends.
    pub endpoints: &'a Arc<Endpoints>,
    /// Its protocol's name, as long as it is followed.
    pub protocol: Option<&'static str>,
    /// Spans of the process that moved the bytes are exported.
    pub exported: bool,
}

/// Makes spans.
#[derive(Debug)]
pub struct Assembler {
    /// Which server exchange is active on which thread.
    pub threads: ActiveThreads,
    /// Which parents are known only later.
    pub late: LateParents,
    /// Counters.
    pub stats: SpanStats,
    pub(super) contexts: Contexts,
    pub(super) held: Held<(Place, Draft)>,
    /// Exchanges whose ids were settled, and what waits for them is still to be told.
    pub(super) settled: Vec<ActiveId>,
    pub(super) hops: Hops<Caller>,
    /// Server exchanges whose client is known, but not yet what it belongs to.
    pub(super) callers: Held<(ActiveId, Caller)>,
    /// Open server exchanges by the trace context that they received.
    pub(super) receivers: Receivers,
    /// Open server exchanges by what tells them where they are passed on.
    passages: Passages,
    /// What stands for exchanges that were lost.
    pub(super) lost: Lost,
    posts: Vec<(Process, TelemetryPost)>,
    pub(super) ids: IdGenerator,
    pub(super) wall_offset: i64,
    pub(super) tracing: TracingOptions,
    pub(super) options: SpanOptions,
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
            late: LateParents::default(),
            stats: SpanStats::default(),
            contexts: Contexts::default(),
            held: Held::default(),
            settled: Vec::new(),
            hops: Hops::default(),
            callers: Held::default(),
            receivers: Receivers::default(),
            passages: Passages::default(),
            lost: Lost::default(),
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
            Progress::Begun { id, mark } => self.begin(id, mark, source, open, now, emit),
            Progress::Touched { id, side, mark } => self.touch(id, side, mark, open),
            Progress::Context { id, headers, health, passage } => {
                self.continue_trace(id, &headers, passage, source, open, now);
                self.judge_health_check(id, health, open);
            }
            Progress::Answered { id } => match open.get_mut(id) {
                Some(begun) => {
                    begun.over = true;
                    if let Part::Server(active) = begun.part {
                        self.stop_serving(active);
                    }
                }
                None => self.stats.unknown_exchange += 1,
            },
            Progress::Ended { id, exchange } => match open.remove(id) {
                Some(begun) => {
                    self.forget_client(&begun, source.connection);
                    self.end(&begun, exchange, source, now, emit);
                }
                None => self.stats.unknown_exchange += 1,
            },
            Progress::Abandoned { id, reason } => match open.remove(id) {
                Some(begun) => {
                    self.abandon(
                        &begun,
                        source.connection,
                        Some(reason),
                        source.protocol,
                        now.mark.time,
                        emit,
                    );
                }
                None => self.stats.unknown_exchange += 1,
            },
        }
    }

    fn begin(
        &mut self,
        id: ExchangeId,
        mark: Mark,
        source: Source<'_>,
        open: &mut OpenExchanges,
        now: &Now,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let call = open.call(mark.call).copied();
        let own = self.own_ids();
        let standing = call.map(|call| call.standing).filter(|_| open.is_idle());
        let spot = standing.and_then(|standing| Spot::of(&standing, source.connection.sock, source.role));
        let part = match source.role {
            Role::Server => {
                self.stats.server_begun += 1;
                let context = self.root(own);
                let active = self.contexts.begin(context);
                self.threads.begin(active, source.connection, mark, call.map(|call| call.mux_epoch));
                self.late.begin(active, mark);
                if let Some(spot) = spot {
                    self.find_client(spot, source.connection, active, mark.time);
                }
                Part::Server(active)
            }
            Role::Client => {
                self.stats.client_begun += 1;
                let parent = self.parent(mark);
                let (end, caller) = (ClientEnd { connection: source.connection, id }, Caller { parent, own });
                match spot {
                    Some(spot) if source.exported => self.find_server(spot, end, caller),
                    // What is not exported is nobody's parent.
                    Some(spot) => self.turn_server_away(spot, end, caller),
                    None => {}
                }
                Part::Client(parent)
            }
        };
        let process = match call {
            Some(call) => call.process,
            None if now.process.tgid == mark.thread.tgid => now.process,
            None => Process { tgid: mark.thread.tgid, ..Process::default() },
        };
        let begun = Open {
            id,
            begun: mark,
            process,
            answered: false,
            over: false,
            part,
            spot,
            own,
            passage: None,
            candidates: Vec::new(),
        };
        if let Some(displaced) = open.insert(begun) {
            let reason = Some(AbandonReason::Limit);
            self.abandon(&displaced, source.connection, reason, source.protocol, mark.time, emit);
        }
    }

    /// On whose behalf a client exchange was begun.
    fn parent(&mut self, mark: Mark) -> Parent {
        if let Some(active) = mark.active {
            return Parent::Known(active);
        }
        match self.threads.active(mark.thread) {
            Err(Inactive::Doubtful) => Parent::Unknown(Inactive::Doubtful),
            plain => match self.late.ask(mark) {
                Ok(ticket) => Parent::Late(ticket),
                Err(Inactive::NoBinding) => Parent::Unknown(plain.err().unwrap_or(Inactive::NoBinding)),
                Err(reason) => Parent::Unknown(reason),
            },
        }
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
            if side == Side::Response {
                self.late.on_response(active, mark);
            }
        }
    }

    /// A server exchange continues the trace that its request names. What a client's request carries was put there by
    /// the application: it can tell on whose behalf the request is passed on.
    fn continue_trace(
        &mut self,
        id: ExchangeId,
        headers: &TraceHeaders,
        passage: Option<Passage>,
        source: Source<'_>,
        open: &mut OpenExchanges,
        now: &Now,
    ) {
        let Some(begun) = open.get_mut(id) else { return };
        match begun.part {
            Part::Server(active) => {
                let client = source.endpoints.peer.as_ref().and_then(Endpoint::ip);
                if let (Some(passage), Some(client)) = (passage, client) {
                    begun.passage = Some(passage.request);
                    self.passages.begin(active, begun.process, passage, client);
                }
                self.receive(active, begun.process, headers, now);
            }
            Part::Client(Parent::Unknown(_)) => {
                let (incoming, _) = self.tracing.propagators.extract(headers);
                let received = incoming.and_then(|incoming| incoming.parent);
                let (evidence, mut receivers) = match (received, &passage) {
                    (Some(received), _) => {
                        let receivers = self.receivers.of(received, begun.process);
                        (Evidence::Forwarded, receivers.take(MAX_CANDIDATES).collect::<Vec<_>>())
                    }
                    (None, Some(call)) => {
                        let receivers = self.passages.of(begun.process, call);
                        (Evidence::ForwardedFor, receivers.take(MAX_CANDIDATES).collect())
                    }
                    (None, None) => return,
                };
                if receivers.len() > 1 {
                    begun.candidates = receivers;
                } else if let Some(active) = receivers.pop() {
                    let parent = Parent::Forwarded(active, evidence);
                    begun.part = Part::Client(parent);
                    let end = ClientEnd { connection: source.connection, id };
                    self.change_caller(begun.spot, end, Caller { parent, own: begun.own });
                }
            }
            Part::Client(_) => {}
        }
    }

    fn receive(&mut self, active: ActiveId, process: Process, headers: &TraceHeaders, now: &Now) {
        self.late.head_complete(active, now.mark);
        let (incoming, malformed) = self.tracing.propagators.extract(headers);
        self.stats.bad_traceparent += u64::from(malformed.traceparent);
        self.stats.bad_tracestate += u64::from(malformed.tracestate);
        self.stats.bad_b3 += u64::from(malformed.b3);
        let Some((incoming, context)) = incoming.zip(self.contexts.get_open_mut(active)) else { return };
        if let Some(received) = incoming.parent {
            self.stats.remote_parents += 1;
            context.received = Some(received);
            self.receivers.add(received, active, process);
        }
        if incoming.parent.is_none()
            && incoming.sampled == Some(false)
            && self.tracing.sampler.heeds_callers()
        {
            (context.refused, context.sampled) = (true, false);
        }
        // What the caller only passed on says less than the caller itself.
        if context.hop.is_some_and(|hop| incoming.parent.is_none() || hop.passed_on == incoming.parent) {
            return;
        }
        if let Some((trace_id, span_id)) = incoming.parent {
            if context.hop.take().is_some() && context.sampled {
                context.other_client = context.remote_parent.map(|span_id| (context.trace_id, span_id));
            }
            context.trace_id = trace_id;
            context.remote_parent = Some(span_id);
        }
        context.sampled = self.tracing.sampler.samples(context.trace_id, incoming.sampled);
        context.trace_state = incoming.state;
    }

    /// A request that only asks how the server is begins no trace, if that is wanted: neither it nor what it causes
    /// is sampled.
    fn judge_health_check(&mut self, id: ExchangeId, health: Option<HealthCheck>, open: &mut OpenExchanges) {
        let (Some(health), Some(Part::Server(active))) = (health, open.get_mut(id).map(|begun| begun.part))
        else {
            return;
        };
        let Some(context) = self.contexts.get_open_mut(active) else { return };
        match self.tracing.health_checks.judge(health, context.trace_id) {
            Verdict::Ordinary => {}
            Verdict::Dropped => {
                self.stats.health_checks += 1;
                (context.refused, context.sampled) = (true, false);
            }
            Verdict::Sampled => self.stats.health_checks_sampled += 1,
        }
    }

    fn end(
        &mut self,
        begun: &Open,
        exchange: Box<Exchange>,
        source: Source<'_>,
        now: &Now,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        match begun.part {
            Part::Server(active) => {
                self.end_server(active, &exchange, source, now);
                self.end_passage(active, begun);
            }
            Part::Client(_) => self.stats.client_ended += 1,
        }
        if is_telemetry_post(&exchange) {
            self.stats.telemetry_posts += 1;
            self.posts.extend(judge(&exchange, source.role).map(|post| (begun.process, post)));
            return;
        }
        let place = match self.place_of(begun.part) {
            Ok(place) => place,
            Err(ticket) => {
                let draft = Draft::new(begun, exchange, source);
                self.hold(WaitsFor::Parent(ticket), Place::Root, draft, emit);
                return;
            }
        };
        if let Some(waits_for) = self.waits_for_ids(place) {
            let draft = Draft::new(begun, exchange, source);
            self.hold(waits_for, place, draft, emit);
            return;
        }
        let ids = self.ids(place, begun.own);
        if self.is_told(&ids) {
            let draft = Draft::new(begun, exchange, source);
            let links = self.links(&begun.candidates);
            self.emit(place, draft.linked(links), &ids, emit);
        }
    }

    fn end_server(&mut self, active: ActiveId, exchange: &Exchange, source: Source<'_>, now: &Now) {
        self.stats.server_ended += 1;
        let end = exchange.times.end;
        let by_response = end.call == now.mark.call && now.mark.call != 0;
        self.threads.end(active, by_response.then_some(now));
        // Nothing tells of a Unix socket's close.
        if by_response && source.endpoints.peer.as_ref().and_then(Endpoint::ip).is_some() {
            self.late.answer_whole(active, source.connection, now.mark);
        }
        self.late.end(active);
        self.late.end_for_threads(active, exchange.times.response_first.map(|_| end));
        self.end_context(active);
    }

    pub(super) fn end_passage(&mut self, active: ActiveId, begun: &Open) {
        if let Some(request) = begun.passage {
            self.passages.end(active, begun.process, request);
        }
    }

    fn own_ids(&mut self) -> OwnIds {
        OwnIds { trace_id: self.ids.trace_id(), span_id: self.ids.span_id() }
    }

    /// The ids of a span that begins a trace.
    pub(super) fn root(&self, own: OwnIds) -> SpanContext {
        let OwnIds { trace_id, span_id } = own;
        SpanContext {
            trace_id,
            span_id,
            remote_parent: None,
            sampled: self.tracing.sampler.samples(trace_id, None),
            trace_state: None,
            received: None,
            hop: None,
            other_client: None,
            refused: false,
            has_children: false,
            told: false,
        }
    }
}
