//! A captured connection as its two ends would see it: the events that the probe would send.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tracer_ebpf::event::flag;
use tracer_ebpf::{
    ConnectionEvent, ConnectionNote, Direction, EventKind, Family, Header, ProcessEvent, ProcessNote,
};

use super::call::{Call, Calls};
use super::flow::{Step, Told};
use super::pair::{Pair, Peer};
use crate::connection::WantedEnds;
use crate::event::{ConnectionId, Nanos, Process, Role};
use crate::probe::decode::{Data, Event};

/// What a receiver of events wants of a connection from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// All.
    Whole,
    /// Nothing but its end.
    EndOnly,
}

/// Takes events, and tells whether more of this connection is wanted.
pub trait EventSink {
    /// Takes the next event.
    fn take(&mut self, event: &Event<'_>) -> Interest;
}

impl<F: FnMut(&Event<'_>) -> Interest> EventSink for F {
    fn take(&mut self, event: &Event<'_>) -> Interest {
        self(event)
    }
}

/// `TCP_ESTABLISHED` and `TCP_SYN_SENT` of `<net/tcp_states.h>`.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;

/// A connection and its two ends.
#[derive(Debug)]
pub(super) struct Ends {
    /// Of all connections of the capture.
    number: u64,
    addresses: Pair<SocketAddr>,
    wanted: WantedEnds,
    /// `None` until something moved.
    views: Option<Pair<View>>,
    calls: Calls,
}

/// What an end sees.
#[derive(Clone, Copy, Debug)]
struct View {
    role: Option<Role>,
    interest: Option<Interest>,
}

/// An end as the process that the pipeline knows: the address, and the port where a server listens.
///
/// Nothing else is known of it in a capture, so that the numbers of a process hold just this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedEnd {
    /// The address.
    pub address: IpAddr,
    /// The server's port; `None` for a client.
    pub port: Option<u16>,
}

/// Above all ports: the process of a client.
const NO_PORT: u32 = 1 << 16;

impl CapturedEnd {
    fn process(self) -> Process {
        let address = match self.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let bits = address.to_bits();
        Process {
            tgid: self.port.map_or(NO_PORT, u32::from),
            start: (bits >> 64) as u64,
            cgroup: bits as u64,
        }
    }

    /// The end that events of this process came from.
    #[must_use]
    pub fn of(process: Process) -> Self {
        let address = Ipv6Addr::from_bits(u128::from(process.start) << 64 | u128::from(process.cgroup));
        Self {
            address: address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
            port: u16::try_from(process.tgid).ok(),
        }
    }

    /// `10.0.0.7:80` for a server, `10.0.0.7` for a client.
    #[must_use]
    pub fn name(&self) -> String {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).to_string(),
            None => self.address.to_string(),
        }
    }
}

impl Ends {
    pub(super) fn new(number: u64, addresses: Pair<SocketAddr>, wanted: WantedEnds) -> Self {
        Self { number, addresses, wanted, views: None, calls: Calls::default() }
    }

    /// Whether anything moved.
    pub(super) fn is_announced(&self) -> bool {
        self.views.is_some()
    }

    /// Takes what happens on the connection.
    pub(super) fn on_told(&mut self, told: Told<'_>, sink: &mut impl EventSink) {
        if self.views.is_none() {
            if matches!(told.step, Step::Reset | Step::Closed) {
                // It was refused, or nothing moved on it.
                return;
            }
            self.announce(&told, sink);
        }
        match told.step {
            Step::Bytes { position, length, bytes, push } => {
                let call = Call { time: told.time, from: told.from, position, length, bytes };
                self.on_bytes(call, push, sink);
            }
            Step::Gap { position, length } => {
                self.flush(sink);
                self.moved(Call { time: told.time, from: told.from, position, length, bytes: &[] }, sink);
            }
            Step::Finished => {
                self.flush(sink);
                self.finished(&told, sink);
            }
            Step::Reset => {
                self.flush(sink);
                const ECONNRESET: u16 = 104;
                self.read_end(&told, ECONNRESET, sink);
                self.closed(&told, sink);
            }
            Step::Closed => self.closed(&told, sink),
        }
    }

    /// Tells what waited for the rest of its write.
    pub(super) fn flush(&mut self, sink: &mut impl EventSink) {
        let mut calls = std::mem::take(&mut self.calls);
        calls.flush(&mut |call| self.moved(call, sink));
        self.calls = calls;
    }

    fn on_bytes(&mut self, call: Call<'_>, push: bool, sink: &mut impl EventSink) {
        let mut calls = std::mem::take(&mut self.calls);
        calls.take(call, push, &mut |call| self.moved(call, sink));
        self.calls = calls;
    }

    fn announce(&mut self, told: &Told<'_>, sink: &mut impl EventSink) {
        let views = Pair { first: self.view(Peer::First, told), second: self.view(Peer::Second, told) };
        self.views = Some(views);
        for local in Peer::BOTH {
            let note = match views.of(local).role {
                Some(Role::Client) => ConnectionNote::Connect,
                Some(Role::Server) => ConnectionNote::Accept,
                None => ConnectionNote::Seen,
            };
            if views.of(local).interest.is_some() {
                let event = self.connection_event(local, told);
                self.give(local, &Event::Connection(note, event), sink);
            }
        }
    }

    fn view(&self, local: Peer, told: &Told<'_>) -> View {
        let role = told.client.map(|client| if client == local { Role::Client } else { Role::Server });
        // Where the role is known, an end that is not wanted need not be told at all.
        let wanted = role.is_none_or(|role| self.wanted.may_include(role));
        View { role, interest: wanted.then_some(Interest::Whole) }
    }

    fn moved(&mut self, call: Call<'_>, sink: &mut impl EventSink) {
        for local in Peer::BOTH {
            if !self.is_interesting(local) {
                continue;
            }
            let direction = if call.from == local { Direction::Egress } else { Direction::Ingress };
            let data = self.data(local, direction, call);
            self.give(local, &Event::Data(data), sink);
        }
    }

    fn finished(&mut self, told: &Told<'_>, sink: &mut impl EventSink) {
        self.read_end(told, 0, sink);
        if self.is_interesting(told.from) {
            const SHUT_WR: u8 = 1;
            let event = ConnectionEvent { how: SHUT_WR, ..self.connection_event(told.from, told) };
            self.give(told.from, &Event::Connection(ConnectionNote::Shutdown, event), sink);
        }
    }

    /// The other peer reads the end of what this one sent.
    fn read_end(&mut self, told: &Told<'_>, errno: u16, sink: &mut impl EventSink) {
        let local = told.from.other();
        if self.is_interesting(local) {
            let position = told.next.of(told.from).unwrap_or_default();
            let call = Call { time: told.time, from: told.from, position, length: 0, bytes: &[] };
            let mut data = self.data(local, Direction::Ingress, call);
            data.header.flags |= flag::END;
            data.errno = errno;
            self.give(local, &Event::Data(data), sink);
        }
    }

    fn closed(&mut self, told: &Told<'_>, sink: &mut impl EventSink) {
        for local in Peer::BOTH {
            if self.views.is_none_or(|views| views.of(local).interest.is_none()) {
                continue;
            }
            let event = self.connection_event(local, told);
            self.give(local, &Event::Connection(ConnectionNote::Closed, event), sink);
            // Each end has a thread of its own, which nothing is known of any more.
            let header = Header { kind: EventKind::Process as u16, ..self.header(local, told.time) };
            let event =
                ProcessEvent { header, note: ProcessNote::ThreadExit as u32, ..ProcessEvent::default() };
            self.give(local, &Event::Process(ProcessNote::ThreadExit, event), sink);
        }
    }

    fn give(&mut self, local: Peer, event: &Event<'_>, sink: &mut impl EventSink) {
        let interest = sink.take(event);
        if let Some(view) = self.views.as_mut().map(|views| views.of_mut(local))
            && interest == Interest::EndOnly
        {
            view.interest = Some(interest);
        }
    }

    fn is_interesting(&self, local: Peer) -> bool {
        self.views.is_some_and(|views| views.of(local).interest == Some(Interest::Whole))
    }

    fn id(&self, local: Peer) -> ConnectionId {
        // Two sockets of one machine, as it were, with addresses that are never used again.
        let sock = self.number << 1 | u64::from(local == Peer::Second);
        ConnectionId { sock, ino: self.number }
    }

    fn header(&self, local: Peer, time: Nanos) -> Header {
        let address = self.addresses.of(local);
        let peer = self.addresses.of(local.other());
        let role = self.views.and_then(|views| views.of(local).role);
        // Servers listen on lower ports than those that clients are given, as a rule. It is only a name.
        let serves = role.map_or(address.port() < peer.port(), |role| role == Role::Server);
        let end = CapturedEnd { address: address.ip(), port: serves.then_some(address.port()) };
        let Process { tgid, start, cgroup } = end.process();
        Header {
            kind: EventKind::Data as u16,
            flags: flag::SEQUENCE,
            time_ns: time,
            tgid,
            tid: if local == Peer::First { 1 } else { 2 },
            thread_start_ns: self.number,
            process_start_ns: start,
            cgroup_id: cgroup,
            ..Header::default()
        }
    }

    fn data<'a>(&self, local: Peer, direction: Direction, call: Call<'a>) -> Data<'a> {
        Data {
            header: self.header(local, call.time),
            connection: self.id(local),
            position: call.position.into(),
            other_position: None,
            length: call.length,
            direction,
            errno: 0,
            head: call.bytes,
            tail: &[],
        }
    }

    fn connection_event(&self, local: Peer, told: &Told<'_>) -> ConnectionEvent {
        let header = Header { kind: EventKind::Connection as u16, ..self.header(local, told.time) };
        let ConnectionId { sock, ino } = self.id(local);
        let (ours, theirs) = (self.addresses.of(local), self.addresses.of(local.other()));
        let received = *told.next.of(local.other());
        ConnectionEvent {
            header,
            sock,
            ino,
            peer_sock: 0,
            // How many bytes were received before the capture is not known; with none the stream begins here.
            bytes_received: if received.is_some() { 0 } else { u64::MAX },
            rx_position: received.unwrap_or_default(),
            tx_position: told.next.of(local).unwrap_or_default(),
            rcv_nxt: received.unwrap_or_default(),
            family: if ours.is_ipv4() { Family::Inet } else { Family::Inet6 } as u16,
            note: 0,
            state: if received.is_some() { ESTABLISHED } else { SYN_SENT },
            local_port: ours.port(),
            remote_port: theirs.port(),
            how: 0,
            path_length: 0,
            path_is_peer: 0,
            padding: 0,
            local_address: octets(ours.ip()),
            remote_address: octets(theirs.ip()),
            path: [0; 108],
            padding_end: [0; 4],
        }
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_and_its_process_are_the_same() {
        for (address, port) in [("10.1.2.3", Some(80)), ("::1", None), ("fe80::1:2", Some(65_535))] {
            let end = CapturedEnd { address: address.parse().unwrap(), port };
            assert_eq!(CapturedEnd::of(end.process()), end);
        }
        let end = CapturedEnd { address: "::1".parse().unwrap(), port: Some(80) };
        assert_eq!(end.name(), "[::1]:80");
    }
}
