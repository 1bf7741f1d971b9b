//! How connections end, when the kernel tells of an end before it tells of what went before.
//!
//! Bytes are told when the call that moved them returns, an end when it happens: inside of a call that is not over yet
//! (on one node the peer's reset answers what is being sent), or on another thread. So an end that lies past the last byte
//! that was told waits a moment for the rest.

use tracer_ebpf::{ConnectionEvent, Direction};

use super::Pipeline;
use super::tracked::Tracked;
use crate::connection::{Ends, Stage};
use crate::correlate::Now;
use crate::event::{ConnectionId, Mark, Nanos};
use crate::probe::decode::Data;
use crate::protocol::End;

/// How long the end of a connection waits while an exchange on it may go on (a client can still read what arrived
/// before a reset, and a server works on), or what was moved before is not all told. In nanoseconds.
pub const CLOSE_GRACE: Nanos = 2_000_000_000;

/// `TCP_CLOSE` of `<net/tcp_states.h>`.
const CLOSED: u8 = 7;

/// An end that waits until a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    at: Nanos,
    connection: ConnectionId,
    /// The end's.
    mark: Mark,
    /// The connection is closed, rather than that no more is sent.
    closes: bool,
}

impl Tracked {
    /// The kernel told of another connection's socket: the probe knows a socket whose end was not told by its address,
    /// which somebody else's may have had since then.
    fn is_another(&self, event: &ConnectionEvent) -> bool {
        self.connection.endpoints().peer.is_some() && !self.connection.has_peer_of(event)
    }

    fn lacks(&self, ends: Ends) -> bool {
        self.connection.missing_before(Direction::Ingress, ends.ingress) > 0
            || self.connection.missing_before(Direction::Egress, ends.egress) > 0
    }

    fn finish_sending(&mut self, end: u32, lossy: bool, mark: Mark, stage: &mut Stage<'_>) {
        self.finishing = None;
        self.connection.reach(Direction::Egress, end, mark, stage);
        // Where events were lost a response may be among them: the close, with its positions, tells then.
        if !lossy {
            self.connection.on_end(Direction::Egress, End::Finished, mark, stage);
        }
    }
}

/// Bytes had arrived that the application had not read, and may read yet: a reset does not take them away. One byte may be
/// a FIN.
fn has_unread(event: &ConnectionEvent) -> bool {
    let unread = event.rcv_nxt.wrapping_sub(event.rx_position) as i32;
    event.header.flags & tracer_ebpf::event::flag::SEQUENCE != 0 && unread > 1
}

impl Pipeline {
    pub(super) fn on_shutdown(&mut self, id: ConnectionId, event: &ConnectionEvent, now: &Now) {
        const SHUT_RD: u8 = 0;
        const SHUT_RDWR: u8 = 2;
        let (how, end) = (event.how, event.tx_position);
        let Some(tracked) = self.table.get_mut(id) else { return };
        if tracked.is_another(event) {
            return self.remove(id, None, now.mark);
        }
        let mut finishes = how != SHUT_RD;
        if finishes && tracked.connection.missing_before(Direction::Egress, end) > 0 {
            finishes = false;
            if tracked.finishing.replace(end).is_none() {
                self.wait(id, now.mark, false);
            }
        }
        let lossy = self.events.losses > 0;
        self.with(id, now, |tracked, stage| {
            if finishes {
                tracked.finish_sending(end, lossy, now.mark, stage);
            }
            if how == SHUT_RDWR {
                tracked.connection.on_end(Direction::Ingress, End::Finished, now.mark, stage);
            }
        });
    }

    pub(super) fn on_closed(&mut self, id: ConnectionId, event: &ConnectionEvent, mark: Mark) {
        let Some(id) = self.table.resolve(id) else { return };
        self.connections.closed += 1;
        self.assembler.late.lingering.close(id);
        let ends = Ends { ingress: event.rx_position, egress: event.tx_position };
        match self.table.get_mut(id) {
            Some(tracked) if tracked.is_another(event) => self.remove(id, None, mark),
            Some(tracked) if tracked.open.may_go_on() || tracked.lacks(ends) || has_unread(event) => {
                tracked.closing = Some(ends);
                self.wait(id, mark, true);
            }
            _ => self.remove(id, Some(ends), mark),
        }
    }

    /// A connection can be accepted, or its last bytes read, when it is closed already: its close is told no more.
    pub(super) fn close_what_is_dead(&mut self, id: ConnectionId, event: &ConnectionEvent, mark: Mark) {
        let is_dead = event.header.flags & tracer_ebpf::event::flag::SEQUENCE != 0 && event.state == CLOSED;
        if is_dead
            && let Some(tracked) = self.table.get_mut(id)
            && tracked.closing.is_none()
        {
            tracked.closing = Some(Ends { ingress: event.rx_position, egress: event.tx_position });
            self.wait(id, mark, true);
        }
    }

    /// Before a call's bytes are taken: if they come the other way, those that were to be sent before the end are lost.
    /// Returns whether the connection is closed, and only waits for what was moved before.
    pub(super) fn before_data(&mut self, data: &Data<'_>, now: &Now) -> bool {
        if data.direction == Direction::Ingress {
            self.finish_sending(data.connection, now);
        }
        let tracked = self.table.get_mut(data.connection);
        tracked.is_some_and(|tracked| tracked.closing.is_some_and(|ends| tracked.lacks(ends)))
    }

    /// After a call's bytes were taken, which may be the last that the end of its connection waits for: `waited` says
    /// that it did wait. `ends` says that the call met an end itself.
    pub(super) fn after_data(&mut self, id: ConnectionId, waited: bool, ends: bool, now: &Now) {
        let Some(tracked) = self.table.get_mut(id) else { return };
        let is_told = |end| tracked.connection.missing_before(Direction::Egress, end) == 0;
        if tracked.finishing.is_some_and(is_told) {
            self.finish_sending(id, now);
        }
        let Some(tracked) = self.table.get_mut(id) else { return };
        let Some(closing) = tracked.closing else { return };
        if ends || waited && !tracked.lacks(closing) && !tracked.open.may_go_on() {
            self.remove(id, Some(closing), now.mark);
        }
    }

    /// Lets a connection end whose end waits.
    pub(super) fn close_due(&mut self, time: Nanos) {
        while let Some(due) = self.due.pop_front_if(|due| due.at <= time) {
            let id = due.connection;
            let closing = self.table.get_mut(id).and_then(|tracked| tracked.closing);
            if !due.closes {
                // Nobody's call ends it: nothing may linger on a thread.
                self.finish_sending(id, &Now { mark: Mark { call: 0, ..due.mark }, ..Now::default() });
            } else if closing.is_some() {
                self.remove(id, closing, due.mark);
            }
        }
    }

    /// Every connection that is closing or finishing is in the list until it is over.
    fn wait(&mut self, connection: ConnectionId, mark: Mark, closes: bool) {
        self.due.push_back(Due { at: mark.time.saturating_add(CLOSE_GRACE), connection, mark, closes });
    }

    fn finish_sending(&mut self, id: ConnectionId, now: &Now) {
        let Some(end) = self.table.get_mut(id).and_then(|tracked| tracked.finishing) else { return };
        let lossy = self.events.losses > 0;
        self.with(id, now, |tracked, stage| tracked.finish_sending(end, lossy, now.mark, stage));
    }
}
