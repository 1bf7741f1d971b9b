//! The life of connections in the table, from the first event to the last.

use super::retention::Retention;
use super::routes::Routes;
use super::{Ask, Environment, Pipeline};
use crate::connection::table::Lookup;
use crate::connection::{Connection, Ends, Stage};
use crate::correlate::Now;
use crate::correlate::assemble::{Assembler, Source};
use crate::correlate::exchanges::OpenExchanges;
use crate::correlate::hops::Spot;
use crate::correlate::tell::Told;
use crate::event::{ConnectionId, Mark, Process, Role};
use crate::export::Telemetry;
use crate::protocol::{Progress, Successor, Window};
use crate::span::Span;

/// A connection in the table.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) id: ConnectionId,
    pub(super) connection: Connection,
    pub(super) open: OpenExchanges,
    /// Its close was told, but an exchange may go on, or what was moved before is not all told.
    pub(super) closing: Option<Ends>,
    /// It was told that no more would be sent, but what was sent before is not all told: the sequence number behind it.
    pub(super) finishing: Option<u32>,
}

impl Pipeline {
    /// Ends what had the connection's socket address before. Returns whether the event is of this connection's
    /// time, rather than a late one of a dead connection.
    pub(super) fn make_room_for(&mut self, id: ConnectionId, now: &Now) -> bool {
        match self.table.lookup(id, now.mark.time) {
            Lookup::Live | Lookup::Absent => true,
            Lookup::Stale => false,
            Lookup::Displaced(old) => {
                self.connections.displaced += u64::from(old.closing.is_none());
                let closed = old.closing;
                self.close(old, closed, Mark { active: None, ..now.mark });
                true
            }
        }
    }

    pub(super) fn add(&mut self, id: ConnectionId, connection: Connection, now: &Now) {
        self.connections.opened += 1;
        meet(id, &connection, &mut self.assembler);
        let tracked =
            Tracked { id, connection, open: OpenExchanges::default(), closing: None, finishing: None };
        if let Some(forgotten) = self.table.insert(id, now.mark.time, tracked) {
            self.connections.evicted += 1;
            self.close(forgotten, None, Mark { active: None, ..now.mark });
        }
    }

    /// Lets a connection take an event, and follows up what its conversation tells. `false` when the connection is
    /// not known.
    pub(super) fn with(
        &mut self,
        id: ConnectionId,
        now: &Now,
        take: impl FnOnce(&mut Tracked, &mut Stage<'_>),
    ) -> bool {
        let Some(tracked) = self.table.get_mut(id) else { return false };
        let mut stage = Stage {
            protocols: self.protocols,
            wanted: self.config.wanted,
            health: &self.config.health_checks.patterns,
            hints: &mut self.hints,
            stats: &mut self.connections,
            out: &mut self.progress,
        };
        take(tracked, &mut stage);
        if let Some(window) = tracked.connection.window_change() {
            self.asks.push(Ask { connection: id, window, server_port: tracked.connection.server_port() });
            match tracked.connection.successor() {
                Some(Successor::Http2) => self.connections.http2 += 1,
                Some(Successor::Other) => self.connections.upgraded += 1,
                None => {}
            }
        }
        if !self.progress.is_empty() {
            let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
            let mut stages = SpanStages { routes: &mut self.routes, retention: &mut self.retention };
            follow_up(&mut self.progress, tracked, now, &mut self.assembler, &mut sink, &mut stages);
        }
        true
    }

    /// `closed` as for [`Connection::close`].
    pub(super) fn remove(&mut self, id: ConnectionId, closed: Option<Ends>, mark: Mark) {
        if let Some(tracked) = self.table.remove(id) {
            self.close(tracked, closed, mark);
        }
    }

    /// Ends both sides of a connection that is in the table no more.
    pub(super) fn close(&mut self, mut tracked: Tracked, closed: Option<Ends>, mark: Mark) {
        // Nobody's call ended it: nothing may linger on the thread that happened to make room.
        let now = Now { mark: Mark { call: 0, ..mark }, ..Now::default() };
        self.connections.undecided += u64::from(tracked.connection.is_undecided());
        if tracked.connection.window() != Window::Default {
            // Should it come back after having been forgotten, it begins anew.
            let server_port = tracked.connection.server_port();
            self.asks.push(Ask { connection: tracked.id, window: Window::Default, server_port });
        }
        let mut stage = Stage {
            protocols: self.protocols,
            wanted: self.config.wanted,
            health: &self.config.health_checks.patterns,
            hints: &mut self.hints,
            stats: &mut self.connections,
            out: &mut self.progress,
        };
        // Which connections they were of is not known.
        let lost = self.events.losses > 0;
        tracked.connection.close(closed, lost, mark, &mut stage);
        let mut sink = Sink { environment: &mut *self.environment, out: &mut self.out };
        let mut stages = SpanStages { routes: &mut self.routes, retention: &mut self.retention };
        follow_up(&mut self.progress, &mut tracked, &now, &mut self.assembler, &mut sink, &mut stages);
        while let Some(open) = tracked.open.pop() {
            let protocol = tracked.connection.protocol();
            let mut emit = |process, span| sink.take(process, span, &mut stages);
            self.assembler.abandon(&open, tracked.id, None, protocol, mark.time, &mut emit);
        }
        self.assembler.close_connection(tracked.id);
    }
}

/// A connection whose begin is known may be one end of two that are here.
pub(super) fn meet(id: ConnectionId, connection: &Connection, assembler: &mut Assembler) {
    let Some((role, begin)) = connection.role().zip(connection.begin()) else { return };
    if let Some(spot) = Spot::of(&begin, id.sock, role) {
        assembler.open_connection(id, role, spot);
    }
}

/// Where telemetry goes, and who names its resource.
pub(super) struct Sink<'a> {
    pub(super) environment: &'a mut dyn Environment,
    pub(super) out: &'a mut Vec<Telemetry>,
}

impl Sink<'_> {
    /// Hands a span on, unless its process exports by itself.
    pub(super) fn take(
        &mut self,
        process: Process,
        mut span: Box<Span>,
        stages: &mut SpanStages<'_>,
    ) -> Told {
        if !self.environment.exports(process).spans {
            return Told::ByTarget;
        }
        let resource = self.environment.resource(process);
        stages.routes.limit(&resource, &mut span);
        stages.retention.take(resource, span, self.out)
    }
}

/// What a span passes before it is exported.
pub(super) struct SpanStages<'a> {
    pub(super) routes: &'a mut Routes,
    pub(super) retention: &'a mut Retention,
}

fn follow_up(
    progress: &mut Vec<Progress>,
    tracked: &mut Tracked,
    now: &Now,
    assembler: &mut Assembler,
    sink: &mut Sink<'_>,
    stages: &mut SpanStages<'_>,
) {
    let Some(role) = tracked.connection.role() else {
        progress.clear();
        return;
    };
    let calls = role == Role::Client && progress.iter().any(|step| matches!(step, Progress::Begun { .. }));
    let source = Source {
        connection: tracked.id,
        role,
        endpoints: tracked.connection.endpoints(),
        protocol: tracked.connection.protocol(),
        exported: !calls || sink.environment.exports(now.process).spans,
    };
    for step in progress.drain(..) {
        assembler.on_progress(step, source, &mut tracked.open, now, &mut |process, span| {
            sink.take(process, span, stages)
        });
    }
    for (process, post) in assembler.drain_posts() {
        sink.environment.on_telemetry_post(process, post);
    }
}
