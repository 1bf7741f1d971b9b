//! Joins what several processes of this node do for one another, without headers or past unchanged ones.
//!
//! - A server's exchange becomes the child of the client's exchange at the other end of its connection ([`super::hops`]),
//!   unless its request names another parent. A trace context that the client's process had itself received, and only
//!   passed on (nginx does), names no closer parent.
//! - A client's exchange whose thread tells nothing, but which passes on a trace context that exactly one open request
//!   of its process received, is made on behalf of that request.
//!
//! Whoever waits for ids waits through the whole chain: what is below a server's exchange is told when its ids are
//! settled.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::assemble::Assembler;
use super::contexts::{Hop, SpanContext};
use super::exchanges::{Open, OwnIds, Parent, Part};
use super::held::WaitsFor;
use super::hops::{ClientEnd, Spot, Waits};
use super::late::Ticket;
use crate::event::{ActiveId, ConnectionId, Nanos, Process, Role};
use crate::span::{SpanId, TraceId};

/// Requests that are open at once and whose trace context is remembered for who passes it on.
const MAX_RECEIVERS: usize = 65_536;

/// A client's exchange, as the parent of a server's.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// On whose behalf it is made.
    pub parent: Parent,
    /// Its ids.
    pub own: OwnIds,
}

/// What a caller's span is: known, or known when something else is.
enum Span {
    Known(SpanContext, Hop),
    Later(WaitsFor),
}

impl Assembler {
    /// A connection begins at this spot.
    pub fn open_connection(&mut self, connection: ConnectionId, role: Role, spot: Spot) {
        self.hops.pairs.meet(connection, role, spot);
    }

    /// A connection is over.
    pub fn close_connection(&mut self, connection: ConnectionId) {
        self.hops.pairs.part(connection);
        self.late.lingering.close(connection);
    }

    /// A server's exchange begins: its client may be on this node.
    pub(super) fn find_client(&mut self, spot: Spot, connection: ConnectionId, server: ActiveId, now: Nanos) {
        match self.hops.begin_server(spot, connection, server, now) {
            Ok((_, caller)) => self.join(server, caller),
            Err(Waits::Yes { instead_of }) => {
                self.unsettle_ids(server);
                if let Some(other) = instead_of {
                    self.settle_ids(other, |_| {});
                }
            }
            Err(Waits::No) => {}
        }
        self.stats.ambiguous_ends = self.hops.ambiguous;
    }

    /// A client's exchange begins: its server may be on this node, and its event have come first.
    pub(super) fn find_server(&mut self, spot: Spot, end: ClientEnd, caller: Caller) {
        if let Some(server) = self.hops.begin_client(spot, end, caller) {
            self.join(server, caller);
        }
        self.stats.ambiguous_ends = self.hops.ambiguous;
    }

    /// A client's exchange begins that is not exported: its server need not wait for it.
    pub(super) fn turn_server_away(&mut self, spot: Spot, end: ClientEnd, caller: Caller) {
        if let Some(server) = self.hops.turn_away(spot, end, caller) {
            self.settle_ids(server, |_| {});
        }
    }

    /// More is known of a client's exchange.
    pub(super) fn change_caller(&mut self, spot: Option<Spot>, end: ClientEnd, caller: Caller) {
        if let Some(waiting) = spot.and_then(|spot| self.hops.client_mut(spot, end)) {
            *waiting = caller;
        } else if let Some(server) = self.hops.server_of(end) {
            self.join(server, caller);
        }
    }

    /// An exchange is over, or given up: if it is a client's, its server is looked for no more.
    pub(super) fn forget_client(&mut self, begun: &Open, connection: ConnectionId) {
        if let Part::Client(_) = begun.part {
            self.hops.end_client(begun.spot, ClientEnd { connection, id: begun.id });
        }
    }

    /// A server's exchange is over.
    pub(super) fn end_context(&mut self, active: ActiveId) {
        if let Some(received) = self.contexts.end(active).and_then(|context| context.received) {
            self.receivers.remove(received, active);
        }
    }

    /// Servers' exchanges whose client did not show up go on without it.
    pub fn expire_hops(&mut self, now: Nanos) {
        let Self { hops, contexts, settled, .. } = self;
        hops.expire(now, |server| settled.extend(contexts.settle(server, |_| {}).then_some(server)));
    }

    /// Nothing more will become known: servers' exchanges whose client is known, but not what that belongs to, go on
    /// without it.
    pub fn give_up_callers(&mut self) {
        while let Some((server, _)) = self.callers.oldest() {
            self.settle_ids(server, |_| {});
        }
    }

    /// What these callers waited for is known.
    pub(super) fn join_released(&mut self, answered: &[Ticket], settled: &[ActiveId]) {
        let answered = answered.iter().map(|ticket| WaitsFor::Parent(*ticket));
        let settled = settled.iter().map(|active| WaitsFor::Ids(*active));
        for known in answered.chain(settled) {
            for (server, caller) in self.callers.release(known) {
                self.join(server, caller);
            }
        }
    }

    /// Makes a server's exchange the child of a client's, as soon as it is known what that is.
    fn join(&mut self, server: ActiveId, caller: Caller) {
        match self.span_of(&caller) {
            Span::Known(client, hop) => self.adopt(server, client, hop),
            Span::Later(waits_for) => {
                self.unsettle_ids(server);
                if let Some((displaced, _)) = self.callers.hold(waits_for, (server, caller)) {
                    self.settle_ids(displaced, |_| {});
                }
            }
        }
    }

    fn span_of(&self, caller: &Caller) -> Span {
        let parent = match caller.parent {
            Parent::Known(active) | Parent::Forwarded(active, _) => Some(active),
            Parent::Unknown(_) => None,
            Parent::Late(ticket) => match self.late.answer(ticket) {
                Some(answer) => answer.ok().map(|(active, _)| active),
                None => return Span::Later(WaitsFor::Parent(ticket)),
            },
        };
        match parent.and_then(|active| Some((active, self.contexts.get(active)?))) {
            Some((active, _)) if self.is_unsettled(active) => Span::Later(WaitsFor::Ids(active)),
            Some((_, context)) => {
                Span::Known(context.child(caller.own.span_id), Hop { passed_on: context.received })
            }
            None => Span::Known(self.root(caller.own), Hop { passed_on: None }),
        }
    }

    fn adopt(&mut self, server: ActiveId, client: SpanContext, hop: Hop) {
        let mut joined = false;
        let take = |context: &mut SpanContext| {
            // A parent that the request names wins, unless the client's process had only passed it on.
            if context.received.is_some() && hop.passed_on != context.received {
                context.other_client = client.sampled.then_some((client.trace_id, client.span_id));
                return;
            }
            joined = true;
            context.trace_id = client.trace_id;
            context.remote_parent = Some(client.span_id);
            context.sampled = client.sampled && !context.refused;
            context.trace_state = client.trace_state;
            context.hop = Some(hop);
        };
        if self.is_unsettled(server) {
            self.settle_ids(server, take);
        } else if let Some(context) = self.contexts.get_open_mut(server) {
            take(context);
        }
        self.stats.same_node += u64::from(joined);
    }
}

/// Open requests, by the trace context that they received.
#[derive(Debug, Default)]
pub struct Receivers {
    requests: HashMap<(TraceId, SpanId), Vec<(ActiveId, Process)>, FxBuildHasher>,
    count: usize,
}

impl Receivers {
    /// A request received a trace context.
    pub fn add(&mut self, received: (TraceId, SpanId), active: ActiveId, process: Process) {
        if self.count < MAX_RECEIVERS {
            self.requests.entry(received).or_default().push((active, process));
            self.count += 1;
        }
    }

    /// It is over.
    pub fn remove(&mut self, received: (TraceId, SpanId), active: ActiveId) {
        let Some(requests) = self.requests.get_mut(&received) else { return };
        let before = requests.len();
        requests.retain(|(other, _)| *other != active);
        self.count -= before - requests.len();
        if requests.is_empty() {
            self.requests.remove(&received);
        }
    }

    /// The requests of the process that received it.
    pub fn of(&self, received: (TraceId, SpanId), process: Process) -> impl Iterator<Item = ActiveId> {
        let own = move |(_, other): &&(ActiveId, Process)| {
            (other.tgid, other.start) == (process.tgid, process.start)
        };
        let requests = self.requests.get(&received);
        requests.into_iter().flatten().filter(own).map(|(active, _)| *active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_those_of_the_process() {
        let mut receivers = Receivers::default();
        let context = (TraceId([1; 16]), SpanId([1; 8]));
        let process = |tgid| Process { tgid, start: 1, cgroup: 0 };
        receivers.add(context, ActiveId(1), process(1));
        receivers.add(context, ActiveId(2), process(2));
        let of = |receivers: &Receivers, context| receivers.of(context, process(1)).collect::<Vec<_>>();
        assert_eq!(of(&receivers, context), [ActiveId(1)]);
        receivers.add(context, ActiveId(3), process(1));
        assert_eq!(of(&receivers, context), [ActiveId(1), ActiveId(3)]);
        assert_eq!(of(&receivers, (TraceId([2; 16]), SpanId([1; 8]))), []);
        for active in 1..4 {
            receivers.remove(context, ActiveId(active));
        }
        assert_eq!((receivers.count, receivers.requests.len()), (0, 0));
    }
}
