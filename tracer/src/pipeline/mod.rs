//! The stages put together: a record of the ring buffer in, spans and log records out.
//!
//! ```text
//! &[u8] ─decode▶ Event ─connection▶ bytes, gaps, ends ─protocol▶ Progress ─correlate▶ Span, LogRecord
//! ```
//!
//! Pure and single-threaded: times come in with events, and what only the system knows comes through an
//! [`Environment`].

mod config;
mod ends;
mod environment;
mod logs;
mod retention;
mod routes;
pub mod stats;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod tracked;

use std::collections::VecDeque;

use tracer_ebpf::event::flag;
use tracer_ebpf::runtime::context::MIGRATES;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction, Header, ProcessEvent, ProcessNote};

pub use self::config::{Limits, LogMode, PipelineConfig};
pub use self::ends::CLOSE_GRACE;
use self::ends::Due;
pub use self::environment::{Environment, Exports};
use self::logs::Logs;
pub use self::retention::Keep;
use self::retention::Retention;
use self::routes::Routes;
pub use self::stats::Stats;
use self::tracked::{Sink, SpanStages, Tracked};
use crate::connection::detect::Hints;
use crate::connection::table::ConnectionTable;
use crate::connection::{Connection, ConnectionStats, Stage};
use crate::correlate::Now;
use crate::correlate::active::{ActiveThreads, Inactive};
use crate::correlate::assemble::Assembler;
use crate::correlate::ids::IdGenerator;
use crate::correlate::late::Ticket;
use crate::correlate::tracing_options::TracingOptions;
use crate::event::{ActiveId, ConnectionId, Mark, Nanos, Process, ThreadId};
use crate::export::Telemetry;
use crate::probe::decode::{Data, DecodeError, Event, decode};
use crate::protocol::{Progress, Protocol, Window};

/// A wish to capture more, or less, of a connection's calls: for the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The connection.
    pub connection: ConnectionId,
    /// What is wanted from now on.
    pub window: Window,
    /// The server's TCP port, on whichever end it is.
    pub server_port: Option<u16>,
}

/// From records of the ring buffer to telemetry.
pub struct Pipeline {
    config: PipelineConfig,
    protocols: &'static [Protocol],
    environment: Box<dyn Environment>,
    table: ConnectionTable<Tracked>,
    hints: Hints,
    due: VecDeque<Due>,
    assembler: Assembler,
    logs: Logs,
    routes: Routes,
    retention: Retention,
    events: stats::EventStats,
    connections: ConnectionStats,
    calls: u64,
    /// Who made the last one, and when.
    last_call: (ThreadId, Nanos),
    latest: Nanos,
    /// The process of the last event: most events come in runs of one process.
    last_process: Process,
    progress: Vec<Progress>,
    known: Known,
    out: Vec<Telemetry>,
    asks: Vec<Ask>,
}

/// What has become known since it was last looked at; kept for its memory.
#[derive(Debug, Default)]
struct Known {
    answered: Vec<Ticket>,
    settled: Vec<ActiveId>,
}

impl Pipeline {
    /// A pipeline. `seed` makes ids: random bytes of the operating system, anew for each start.
    #[must_use]
    pub fn new(
        config: PipelineConfig,
        protocols: &'static [Protocol],
        environment: Box<dyn Environment>,
        seed: [u8; 32],
    ) -> Self {
        let threads = ActiveThreads::new(config.limits.threads);
        let ids = IdGenerator::new(seed);
        let tracing = TracingOptions {
            propagators: config.propagators.clone(),
            sampler: config.sampler,
            tell_unsampled: config.keep.is_on(),
            health_checks: config.health_checks.clone(),
        };
        let assembler = Assembler::new(threads, ids, config.spans.clone(), tracing);
        Self {
            protocols,
            environment,
            table: ConnectionTable::new(config.limits.connections),
            hints: Hints::default(),
            due: VecDeque::new(),
            assembler,
            logs: Logs::new(config.logs, config.log_rate),
            routes: Routes::new(config.spans.routes.clone()),
            retention: Retention::new(config.keep),
            events: stats::EventStats::default(),
            connections: ConnectionStats::default(),
            calls: 0,
            latest: 0,
            last_call: (ThreadId::default(), 0),
            last_process: Process::default(),
            progress: Vec::new(),
            known: Known::default(),
            out: Vec::new(),
            asks: Vec::new(),
            config,
        }
    }

    /// Sets what is added to CLOCK_MONOTONIC to get nanoseconds since the epoch. To be set before the first event,
    /// and now and then, because the wall clock is adjusted.
    pub fn set_wall_offset(&mut self, offset: i64) {
        self.assembler.set_wall_offset(offset);
    }

    /// Takes one record of the ring buffer.
    pub fn on_record(&mut self, record: &[u8]) {
        match &decode(record) {
            Ok(event) => self.on_event(event),
            Err(DecodeError::TooShort) => self.events.too_short += 1,
            Err(DecodeError::UnknownKind(_)) => self.events.unknown_kind += 1,
            Err(DecodeError::Inconsistent) => self.events.inconsistent += 1,
        }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        self.latest = self.latest.max(event.header().time_ns);
        if event.header().flags & flag::LOST != 0 {
            self.events.losses += 1;
            self.assembler.threads.doubt(self.calls);
            self.assembler.late.doubt();
            self.logs.doubt();
        }
        match event {
            Event::Data(data) => self.on_data(data),
            Event::Log(log) => {
                self.events.log += 1;
                let now = self.observe(&log.header, false);
                let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
                self.logs.on_write(log, &now, &mut self.assembler, &mut sink);
            }
            Event::Connection(note, event) => self.on_connection(*note, event),
            Event::Process(note, event) => self.on_process(*note, event),
            Event::Cgroup(event) => {
                self.events.cgroup += 1;
                self.environment.on_cgroup(event);
            }
        }
        self.release(event.header().time_ns);
    }

    /// Tells what waited for a parent, or its ids, that became known.
    fn release(&mut self, now: Nanos) {
        self.assembler.late.expire(now);
        self.assembler.expire_hops(now);
        // Ids that are settled can settle others: those of the servers that were called on their behalf.
        loop {
            let known = &mut self.known;
            self.assembler.late.take_answered(&mut known.answered);
            self.assembler.take_settled(&mut known.settled);
            if known.answered.is_empty() && known.settled.is_empty() {
                return;
            }
            let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
            let mut stages = SpanStages { routes: &mut self.routes, retention: &mut self.retention };
            let mut emit = |process, span| sink.take(process, span, &mut stages);
            self.assembler.release(&known.answered, &known.settled, &mut emit);
            self.logs.release(&known.answered, &known.settled, now, &self.assembler, &mut sink);
        }
    }

    /// Time has passed without events: what was held too long is told. `now` is CLOCK_MONOTONIC.
    pub fn tick(&mut self, now: Nanos) {
        self.close_due(now);
        self.release(now);
        self.retention.tick(now);
        let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
        self.logs.tick(now, &self.assembler, &mut sink);
    }

    /// Forgets the `count` connections that rested longest, as if the table were full: what they have open is told or
    /// counted. Returns how many those were. `now` is CLOCK_MONOTONIC.
    pub fn forget_connections(&mut self, count: u64, now: Nanos) -> usize {
        let mut forgotten = 0;
        while forgotten < count {
            let Some(tracked) = self.table.pop() else { break };
            let closed = tracked.closing;
            self.close(tracked, closed, Mark { time: now, ..Mark::default() });
            self.connections.evicted_for_memory += 1;
            forgotten += 1;
        }
        usize::try_from(forgotten).unwrap_or(usize::MAX)
    }

    /// Everything is over: open exchanges end, and held lines are told. `now` is CLOCK_MONOTONIC.
    pub fn finish(&mut self, now: Nanos) {
        while let Some(tracked) = self.table.pop() {
            let closed = tracked.closing;
            self.close(tracked, closed, Mark { time: now, ..Mark::default() });
        }
        self.due.clear();
        self.assembler.late.finish();
        self.assembler.expire_hops(Nanos::MAX);
        self.release(now);
        self.assembler.give_up_callers();
        self.release(now);
        let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
        let mut stages = SpanStages { routes: &mut self.routes, retention: &mut self.retention };
        self.assembler.finish(&mut |process, span| sink.take(process, span, &mut stages));
        self.logs.finish(now, &self.assembler, &mut sink);
        self.retention.finish();
    }

    /// The spans and log records that have been completed since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Telemetry> {
        self.out.drain(..)
    }

    /// The wishes that have come up since the last call.
    pub fn drain_asks(&mut self) -> std::vec::Drain<'_, Ask> {
        self.asks.drain(..)
    }

    /// The latest time of an event, by CLOCK_MONOTONIC.
    #[must_use]
    pub fn latest(&self) -> Nanos {
        self.latest
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// All counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (threads, bindings) = self.assembler.threads.sizes();
        Stats {
            events: self.events.clone(),
            connections: self.connections.clone(),
            bindings: self.assembler.threads.stats.clone(),
            spans: self.assembler.stats.clone(),
            late: self.assembler.late.stats.clone(),
            routes_refused: self.routes.refused,
            retention: self.retention.stats.clone(),
            logs: self.logs.stats.clone(),
            tables: stats::TableSizes {
                connections: self.table.len() as u64,
                threads: threads as u64,
                bindings: bindings as u64,
                contexts: self.assembler.contexts() as u64,
                waiting: self.assembler.late.waiting() as u64,
                held: self.assembler.held() as u64,
            },
        }
    }

    /// The event's place in the order of things, with what is active on its thread at this moment: before any of
    /// its bytes is looked at.
    fn observe(&mut self, header: &Header, reads: bool) -> Now {
        let thread = ThreadId::from(header);
        // The parts of a call have its time. What came between them from other threads makes them calls of their own.
        let is_part = header.flags & flag::CONTINUED != 0 && self.last_call == (thread, header.time_ns);
        self.calls += u64::from(!is_part);
        self.last_call = (thread, header.time_ns);
        let mark = Mark {
            time: header.time_ns,
            call: self.calls,
            thread,
            context: header.context & !MIGRATES,
            migrates: header.context & MIGRATES != 0,
            waiters: header.waiters,
            ..Mark::default()
        };
        let process = Process::from(header);
        if process != self.last_process {
            self.last_process = process;
            // Now it lives; when its first span ends it may be gone.
            let _ = self.environment.resource(process);
        }
        let mut now = Now { mark, process, wait_epoch: header.wait_epoch, mux_epoch: header.mux_epoch };
        now.mark.active = self.assembler.threads.observe(&now, reads);
        now.mark.multiplexed =
            now.mark.active.is_none() && self.assembler.threads.active(thread) == Err(Inactive::Suspended);
        self.close_due(header.time_ns);
        now
    }

    fn on_data(&mut self, data: &Data<'_>) {
        self.events.data += 1;
        let now = self.observe(&data.header, data.direction == Direction::Ingress);
        self.logs.on_data(now.mark.thread, now.mark.time);
        self.assembler.late.lingering.on_call(now.mark);
        if !self.make_room_for(data.connection, &now) {
            self.connections.stale += 1;
            return;
        }
        let take = |tracked: &mut Tracked, stage: &mut Stage<'_>| {
            tracked.open.note_call(&now, tracked.connection.standing(data));
            tracked.connection.on_data(data, now.mark, stage);
        };
        let ends = data.header.flags & flag::END != 0;
        // Mostly no end waits: then none of this connection does.
        let ending = !self.due.is_empty();
        let waited = ending && self.before_data(data, &now);
        // What tells only an end does not bring a forgotten connection back.
        if !self.with(data.connection, &now, take) && data.length > 0 {
            self.connections.unannounced += 1;
            self.add(data.connection, Connection::unannounced(), &now);
            self.with(data.connection, &now, take);
        }
        if ending {
            self.after_data(data.connection, waited, ends, &now);
        }
    }

    fn on_connection(&mut self, note: ConnectionNote, event: &ConnectionEvent) {
        self.events.connection += 1;
        let id = ConnectionId { sock: event.sock, ino: event.ino };
        if note == ConnectionNote::Closed {
            // It comes from whatever context the state changed in: its thread means nothing.
            self.calls += 1;
            let mark = Mark { time: event.header.time_ns, call: self.calls, ..Mark::default() };
            return self.on_closed(id, event, mark);
        }
        if note == ConnectionNote::Established {
            return self.on_established(id, event);
        }
        let now = self.observe(&event.header, note == ConnectionNote::Accept);
        self.assembler.late.lingering.on_call(now.mark);
        if !self.make_room_for(id, &now) {
            self.connections.stale += 1;
            return;
        }
        if note == ConnectionNote::Shutdown {
            self.on_shutdown(id, event, &now);
            self.assembler.late.lingering.close(id);
            return self.assembler.threads.leave(now.mark.thread, id);
        }
        let sequence = event.header.flags & flag::SEQUENCE != 0;
        let known = self.table.get_mut(id).map(|tracked| tracked.connection.has_moved());
        let anew = match (note, known) {
            (_, None) => true,
            // The socket was connected again; or a second call only learned that the first had succeeded.
            (ConnectionNote::Connect | ConnectionNote::Accept, Some(moved)) => moved,
            // The probe forgot the connection, and counts from zero again where positions are counts.
            (_, Some(moved)) => moved && !sequence,
        };
        if anew {
            let closed = self.table.get_mut(id).and_then(|tracked| tracked.closing);
            self.remove(id, closed, now.mark);
            self.add(id, Connection::announced(note, event, now.mark), &now);
        } else if let Some(tracked) = self.table.get_mut(id) {
            match note {
                ConnectionNote::Seen => tracked.connection.learn(event),
                _ => {
                    tracked.connection = Connection::announced(note, event, now.mark);
                    (tracked.closing, tracked.finishing) = (None, None);
                    tracked::meet(id, &tracked.connection, &mut self.assembler);
                }
            }
        }
        self.close_what_is_dead(id, event, now.mark);
    }

    /// Comes from whatever context the state changed in, as a close does.
    fn on_established(&mut self, id: ConnectionId, event: &ConnectionEvent) {
        let known = self.table.get_mut(id).filter(|tracked| tracked.connection.has_peer_of(event));
        if let Some(tracked) = known {
            tracked.connection.establish(event);
            tracked::meet(id, &tracked.connection, &mut self.assembler);
        }
    }

    fn on_process(&mut self, note: ProcessNote, event: &ProcessEvent) {
        self.events.process += 1;
        self.environment.on_process(note, event);
        let thread = ThreadId::from(&event.header);
        match note {
            ProcessNote::Exit | ProcessNote::ThreadExit | ProcessNote::Exec => {
                self.assembler.threads.forget(thread);
                if note != ProcessNote::ThreadExit {
                    self.assembler.late.exit_process(thread.tgid);
                }
                self.assembler.late.exit(thread);
            }
            ProcessNote::ThreadStart => {
                let now = self.observe(&event.header, false);
                let (tgid, tid) = (event.child_tgid, event.child_tid);
                let child = ThreadId { tgid, tid, start: event.child_start_ns };
                self.assembler.late.made(thread, child, now.mark.active);
            }
            ProcessNote::Fork | ProcessNote::Listen => {}
        }
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("config", &self.config).finish_non_exhaustive()
    }
}
