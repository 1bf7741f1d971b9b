//! Packets and files, written out.

use std::net::IpAddr;

use crate::capture::link::linktype;
use crate::event::Nanos;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Client,
    Server,
}

pub(super) const CLIENT_PORT: u16 = 40_000;
pub(super) const SERVER_PORT: u16 = 80;

/// First sequence numbers of both: the client's stream wraps after 100 bytes.
pub(super) const CLIENT_START: u32 = u32::MAX - 99;
pub(super) const SERVER_START: u32 = 7000;

/// When the first packet is captured: a second after the epoch.
pub(super) const START: Nanos = 1_000_000_000;

/// A TCP segment, relative to the SYNs of both: the first byte of each stream has number 1.
#[derive(Clone, Debug)]
pub(super) struct Seg {
    pub(super) who: Who,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    /// Letters of `SFRPA`.
    pub(super) flags: &'static str,
    pub(super) data: Vec<u8>,
}

pub(super) fn seg(who: Who, sequence: u32, acknowledgment: u32, flags: &'static str, data: &str) -> Seg {
    Seg { who, sequence, acknowledgment, flags, data: data.as_bytes().to_vec() }
}

/// A handshake.
pub(super) fn handshake() -> Vec<Seg> {
    vec![seg(Who::Client, 0, 0, "S", ""), seg(Who::Server, 0, 1, "SA", ""), seg(Who::Client, 1, 1, "A", "")]
}

impl Seg {
    pub(super) fn tcp(&self) -> Vec<u8> {
        let (from, to, own, other) = match self.who {
            Who::Client => (CLIENT_PORT, SERVER_PORT, CLIENT_START, SERVER_START),
            Who::Server => (SERVER_PORT, CLIENT_PORT, SERVER_START, CLIENT_START),
        };
        let mut bytes = Vec::new();
        bytes.extend(from.to_be_bytes());
        bytes.extend(to.to_be_bytes());
        bytes.extend(own.wrapping_add(self.sequence).to_be_bytes());
        let has = |letter| self.flags.contains(letter);
        let acknowledgment = if has('A') { other.wrapping_add(self.acknowledgment) } else { 0 };
        bytes.extend(acknowledgment.to_be_bytes());
        let bits = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('A', 16)];
        let flags = bits.into_iter().filter(|(letter, _)| has(*letter)).map(|(_, bit)| bit).sum::<u8>();
        // A header of 24 bytes: with one option, of four bytes (NOP, window scale).
        bytes.extend([6 << 4, flags, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7]);
        bytes.extend(&self.data);
        bytes
    }

    pub(super) fn v4(&self) -> Vec<u8> {
        let (from, to) = match self.who {
            Who::Client => ("10.0.0.1", "10.0.0.2"),
            Who::Server => ("10.0.0.2", "10.0.0.1"),
        };
        v4(from, to, 6, 0, &self.tcp())
    }

    pub(super) fn v6(&self, extensions: &[u8], next: u8) -> Vec<u8> {
        let (from, to) = match self.who {
            Who::Client => ("2001:db8::1", "2001:db8::2"),
            Who::Server => ("2001:db8::2", "2001:db8::1"),
        };
        v6(from, to, next, &[extensions, &self.tcp()].concat())
    }
}

/// `fragment`: flags and offset.
pub(super) fn v4(from: &str, to: &str, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(octets(from));
    bytes.extend(octets(to));
    bytes.extend(payload);
    bytes
}

pub(super) fn v6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend([next, 64]);
    bytes.extend(octets(from));
    bytes.extend(octets(to));
    bytes.extend(payload);
    bytes
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A number in one of the byte orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        if self == Self::Little { number.to_le_bytes() } else { number.to_be_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self == Self::Little { number.to_le_bytes() } else { number.to_be_bytes() }
    }
}

/// A packet for a file: time, original length, captured bytes.
pub(super) type Captured = (Nanos, usize, Vec<u8>);

/// The segments as packets of raw IPv4, a microsecond apart.
pub(super) fn captured(segments: &[Seg]) -> Vec<Captured> {
    spaced(segments, 1000)
}

pub(super) fn spaced(segments: &[Seg], apart: Nanos) -> Vec<Captured> {
    let packet = |(at, seg): (usize, &Seg)| {
        let bytes = seg.v4();
        (START + at as Nanos * apart, bytes.len(), bytes)
    };
    segments.iter().enumerate().map(packet).collect()
}

/// A pcap file of these segments: raw IPv4.
pub(super) fn raw(segments: &[Seg]) -> Vec<u8> {
    pcap(Order::Little, true, linktype::RAW, &captured(segments))
}

pub(super) fn pcap(order: Order, nanos: bool, link: i32, packets: &[Captured]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(order.u32(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    for number in [0, 0, 262_144, u32::try_from(link).unwrap()] {
        file.extend(order.u32(number));
    }
    for (time, length, bytes) in packets {
        let unit = if nanos { 1 } else { 1000 };
        file.extend(order.u32(u32::try_from(time / 1_000_000_000).unwrap()));
        file.extend(order.u32(u32::try_from(time % 1_000_000_000 / unit).unwrap()));
        file.extend(order.u32(u32::try_from(bytes.len()).unwrap()));
        file.extend(order.u32(u32::try_from(*length).unwrap()));
        file.extend(bytes);
    }
    file
}

pub(super) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = u32::try_from(12 + body.len() + padding).unwrap();
    let mut block = Vec::new();
    block.extend(order.u32(kind));
    block.extend(order.u32(length));
    block.extend(body);
    block.extend(std::iter::repeat_n(0, padding));
    block.extend(order.u32(length));
    block
}

pub(super) fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

/// `resolution`: `if_tsresol`; `offset`: `if_tsoffset`.
pub(super) fn interface(order: Order, link: i32, resolution: u8, offset: i64) -> Vec<u8> {
    let mut body = order.u16(u16::try_from(link).unwrap()).to_vec();
    body.extend([0, 0]);
    body.extend(order.u32(0));
    body.extend(order.u16(9));
    body.extend(order.u16(1));
    body.extend([resolution, 0, 0, 0]);
    body.extend(order.u16(14));
    body.extend(order.u16(8));
    let seconds = if order == Order::Little { offset.to_le_bytes() } else { offset.to_be_bytes() };
    body.extend(seconds);
    body.extend([0; 4]);
    block(order, 1, &body)
}

/// An enhanced packet block; `units` since the interface's epoch.
pub(super) fn enhanced(order: Order, interface: u32, units: u64, length: usize, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let numbers = [
        interface,
        (units >> 32) as u32,
        units as u32,
        u32::try_from(bytes.len()).unwrap(),
        u32::try_from(length).unwrap(),
    ];
    numbers.into_iter().for_each(|number| body.extend(order.u32(number)));
    body.extend(bytes);
    block(order, 6, &body)
}

pub(super) fn simple(order: Order, bytes: &[u8]) -> Vec<u8> {
    let mut body = order.u32(u32::try_from(bytes.len()).unwrap()).to_vec();
    body.extend(bytes);
    block(order, 3, &body)
}
