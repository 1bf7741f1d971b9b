//! Exchanges that are given up, and what stands for them.
//!
//! Spans below such an exchange name it: those that it caused, or that of its other end on this node. So it is told as
//! far as it is known, if such a span was told, or as soon as one is. Of what nothing names only the number is told.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::assemble::Assembler;
use super::draft::{Draft, Place};
use super::exchanges::{Open, Part};
use super::held::WaitsFor;
use super::hops::ClientEnd;
use super::tell::Told;
use crate::event::{ActiveId, ConnectionId, Nanos, Process};
use crate::protocol::AbandonReason;
use crate::span::Span;

/// Server exchanges that were lost, and clients' that were, whose drafts are kept for spans that are told later.
const MAX_LOST: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What stands for exchanges that were lost before a span below them was told.
#[derive(Debug)]
pub(super) struct Lost {
    /// Servers' exchanges.
    servers: LruCache<ActiveId, Draft>,
    /// Clients' exchanges, by the server's at the other end.
    clients: LruCache<ActiveId, (Part, Draft)>,
}

impl Default for Lost {
    fn default() -> Self {
        Self { servers: LruCache::new(MAX_LOST), clients: LruCache::new(MAX_LOST) }
    }
}

impl Assembler {
    /// Gives up an exchange at `time` that its conversation will not end any more (`None`), or has given up itself.
    pub fn abandon(
        &mut self,
        begun: &Open,
        connection: ConnectionId,
        reason: Option<AbandonReason>,
        protocol: Option<&'static str>,
        time: Nanos,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let why = self.count_abandoned(reason);
        let server = self.hops.server_of(ClientEnd { connection, id: begun.id });
        self.forget_client(begun, connection);
        let draft = || Draft::lost(begun, time, protocol, why);
        match begun.part {
            Part::Server(active) => {
                self.stop_serving(active);
                // What it caused still belongs together, below what is known of it.
                self.end_context(active);
                self.end_passage(active, begun);
                self.stand_in(active, draft(), emit);
            }
            Part::Client(_) => {
                let server = server.filter(|_| reason != Some(AbandonReason::NoSpan));
                if let Some(server) = server {
                    self.stand_in_for_client(server, begun.part, draft(), emit);
                }
            }
        }
    }

    /// Counts an exchange that is given up. Gives the reason as spans tell it.
    fn count_abandoned(&mut self, reason: Option<AbandonReason>) -> &'static str {
        let stats = &mut self.stats;
        let (counter, why) = match reason {
            Some(AbandonReason::Gap) => (&mut stats.abandoned_gap, "bytes_lost"),
            Some(AbandonReason::Malformed) => (&mut stats.abandoned_malformed, "malformed"),
            Some(AbandonReason::NoSpan) => (&mut stats.abandoned_no_span, "no_span"),
            Some(AbandonReason::Encrypted) => (&mut stats.abandoned_encrypted, "encrypted"),
            Some(AbandonReason::Limit) => (&mut stats.abandoned_limit, "limit"),
            Some(AbandonReason::Forgotten) => (&mut stats.abandoned_forgotten, "end_not_seen"),
            None => (&mut stats.abandoned_unfinished, "unfinished"),
        };
        *counter += 1;
        why
    }

    /// Nothing that follows is done for the exchange, of which it is not sure when it ended.
    pub(super) fn stop_serving(&mut self, active: ActiveId) {
        self.threads.end(active, None);
        self.late.end(active);
        self.late.end_for_threads(active, None);
    }

    fn stand_in(
        &mut self,
        active: ActiveId,
        draft: Draft,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let has_children = self.contexts.get(active).is_some_and(|context| context.has_children);
        self.lost.servers.push(active, draft);
        if has_children {
            self.tell_lost(active, emit);
        }
    }

    fn stand_in_for_client(
        &mut self,
        server: ActiveId,
        part: Part,
        draft: Draft,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let is_told = self.contexts.get(server).is_some_and(|context| context.told);
        self.lost.clients.push(server, (part, draft));
        if is_told {
            self.tell_lost_client(server, emit);
        }
    }

    /// A span below a server's exchange is told, which may have been lost.
    pub(super) fn tell_lost(&mut self, active: ActiveId, emit: &mut impl FnMut(Process, Box<Span>) -> Told) {
        if let Some(draft) = self.lost.servers.pop(&active) {
            self.stats.incomplete += 1;
            self.complete(Place::Server(active), draft, emit);
        }
    }

    /// The span of a server's exchange is told, whose client's may have been lost.
    pub(super) fn tell_lost_client(
        &mut self,
        server: ActiveId,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let Some((part, draft)) = self.lost.clients.pop(&server) else { return };
        self.stats.incomplete += 1;
        match self.place_of(part) {
            Ok(place) => self.complete(place, draft, emit),
            Err(ticket) => self.hold(WaitsFor::Parent(ticket), Place::Root, draft, emit),
        }
    }
}
