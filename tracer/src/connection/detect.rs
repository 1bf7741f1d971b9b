//! Which protocol a connection speaks.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use tracer_ebpf::Direction;

use crate::event::{Address, Mark, Role};
use crate::protocol::{Opening, Protocol, Verdict};

/// Bytes held of each side until the protocol is known: more than any first message needs to show what it is.
pub const MAX_HELD_BYTES: usize = 4096;

/// Calls held apart of each side until the protocol is known; what further calls move is held as of one.
pub const MAX_HELD_CHUNKS: usize = 16;

/// What the first bytes of a connection show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The protocol with this index, spoken in this role.
    Protocol(usize, Role),
    /// More bytes are needed.
    Unsure,
    /// TLS: encrypted.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Nothing that we know.
    Unknown,
}

/// Judges a connection's first bytes. `hint` is the protocol to ask first.
#[must_use]
pub fn find(opening: &Opening<'_>, protocols: &[Protocol], hint: Option<usize>) -> Finding {
    if [opening.ingress, opening.egress].into_iter().any(is_tls_handshake) {
        return Finding::Tls;
    }
    if [opening.ingress, opening.egress].into_iter().any(|bytes| bytes.starts_with(HTTP2_PREFACE)) {
        return Finding::Http2;
    }
    let hinted = hint.and_then(|index| Some((index, protocols.get(index)?)));
    let others = protocols.iter().enumerate().filter(|(index, _)| Some(*index) != hint);
    let mut unsure = false;
    for (index, protocol) in hinted.into_iter().chain(others) {
        match (protocol.detect)(opening) {
            Verdict::Certain(role) => return Finding::Protocol(index, role),
            Verdict::Unsure => unsure = true,
            Verdict::NotForUs => {}
        }
    }
    let tls = [opening.ingress, opening.egress].into_iter().any(is_tls_data);
    match (unsure, tls && !opening.fresh) {
        (true, _) => Finding::Unsure,
        (false, true) => Finding::Tls,
        (false, false) => Finding::Unknown,
    }
}

/// The start of the client's connection preface (RFC 9113 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// A TLS record of a ClientHello or ServerHello (RFC 8446 5.1 and 4): type 22, version 3.1 to 3.4, a length that
/// a hello can have, message 1 or 2.
fn is_tls_handshake(bytes: &[u8]) -> bool {
    let [22, 3, 1..=4, high, low, 1 | 2, ..] = *bytes else { return false };
    (38..=16_384).contains(&u16::from_be_bytes([high, low]))
}

/// A TLS record of application data, for connections older than the tracer.
fn is_tls_data(bytes: &[u8]) -> bool {
    let [23, 3, 3, high, low, ..] = *bytes else { return false };
    (17..=16_640).contains(&u16::from_be_bytes([high, low]))
}

/// The first calls of a connection, until its protocol is known.
#[derive(Debug, Default)]
pub struct Held {
    ingress: Half,
    egress: Half,
    order: Vec<Chunk>,
}

#[derive(Debug, Default)]
struct Half {
    bytes: Vec<u8>,
    chunks: usize,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    direction: Direction,
    start: usize,
    end: usize,
    call_start: bool,
    mark: Mark,
    /// Bytes that followed and are not held.
    lost: u64,
}

impl Held {
    /// Takes a call's bytes, unless that would exceed the bound: then `false`.
    #[must_use]
    pub fn push(&mut self, direction: Direction, bytes: &[u8], call_start: bool, mark: Mark) -> bool {
        let half = match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        };
        let start = half.bytes.len();
        let end = start.saturating_add(bytes.len());
        if end > MAX_HELD_BYTES {
            return false;
        }
        if half.chunks >= MAX_HELD_CHUNKS {
            // Somebody reads or writes byte by byte.
            let Some(last) = self.order.last_mut() else { return false };
            if last.direction != direction || last.mark.thread != mark.thread {
                return false;
            }
            (last.end, last.mark) = (end, mark);
            half.bytes.extend_from_slice(bytes);
            return true;
        }
        half.bytes.extend_from_slice(bytes);
        half.chunks += 1;
        self.order.push(Chunk { direction, start, end, call_start, mark, lost: 0 });
        true
    }

    /// As [`Self::push`], but of what exceeds the bound only how much it is. `false` if the direction was cut before the
    /// other one spoke: what comes then cannot be told from it.
    #[must_use]
    pub fn take(&mut self, direction: Direction, bytes: &[u8], call_start: bool, mark: Mark) -> bool {
        let half = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        let kept = match self.order.last() {
            Some(last) if last.direction == direction && last.lost > 0 => 0,
            _ if self.is_cut(direction) => return false,
            _ => MAX_HELD_BYTES.saturating_sub(half.bytes.len()).min(bytes.len()),
        };
        let (head, rest) = bytes.split_at(kept);
        (head.is_empty() || self.push(direction, head, call_start, mark))
            && self.lose(direction, rest.len() as u64)
    }

    /// Bytes were lost, or passed over, right behind the last ones held. `false` if those went the other way.
    #[must_use]
    pub fn lose(&mut self, direction: Direction, bytes: u64) -> bool {
        let last = self.order.last_mut().filter(|last| last.direction == direction);
        last.map(|last| last.lost = last.lost.saturating_add(bytes)).is_some()
    }

    /// Whether bytes of a direction are not held.
    fn is_cut(&self, direction: Direction) -> bool {
        self.order.iter().any(|chunk| chunk.direction == direction && chunk.lost > 0)
    }

    /// Nothing that may still come can tell more: both directions spoke, and one of them was cut.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let cut = self.order.iter().any(|chunk| chunk.lost > 0);
        cut && !self.ingress.bytes.is_empty() && !self.egress.bytes.is_empty()
    }

    /// What came in so far.
    #[must_use]
    pub fn ingress(&self) -> &[u8] {
        &self.ingress.bytes
    }

    /// What went out so far.
    #[must_use]
    pub fn egress(&self) -> &[u8] {
        &self.egress.bytes
    }

    /// Whether the very first bytes held came in; `None` when there are none.
    #[must_use]
    pub fn ingress_first(&self) -> Option<bool> {
        self.order.first().map(|chunk| chunk.direction == Direction::Ingress)
    }

    /// The calls in their order: direction, bytes, whether they begin their call, mark, bytes lost behind them.
    pub fn chunks(&self) -> impl Iterator<Item = (Direction, &[u8], bool, Mark, u64)> {
        self.order.iter().filter_map(|chunk| {
            let half = match chunk.direction {
                Direction::Ingress => &self.ingress,
                Direction::Egress => &self.egress,
            };
            let bytes = half.bytes.get(chunk.start..chunk.end)?;
            Some((chunk.direction, bytes, chunk.call_start, chunk.mark, chunk.lost))
        })
    }
}

/// What servers spoke before: tells the order of detection, never the verdict. A small direct-mapped cache; when
/// two addresses share a slot, the later one has it.
#[derive(Debug)]
pub struct Hints {
    /// Index of the protocol plus one, or 0.
    slots: Box<[u8; HINT_SLOTS]>,
}

const HINT_SLOTS: usize = 1024;

impl Default for Hints {
    fn default() -> Self {
        Self { slots: Box::new([0; HINT_SLOTS]) }
    }
}

impl Hints {
    /// The protocol that was last found at a server's address.
    #[must_use]
    pub fn get(&self, server: &Address) -> Option<usize> {
        let slot = self.slots.get(slot(server))?;
        usize::from(*slot).checked_sub(1)
    }

    /// Remembers a protocol.
    pub fn set(&mut self, server: &Address, protocol: usize) {
        if let (Some(slot), Ok(value)) = (self.slots.get_mut(slot(server)), u8::try_from(protocol + 1)) {
            *slot = value;
        }
    }
}

fn slot(server: &Address) -> usize {
    let mut hasher = FxHasher::default();
    server.hash(&mut hasher);
    // The remainder is below HINT_SLOTS on any width.
    (hasher.finish() % HINT_SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Endpoints;
    use crate::pipeline::tests::line;

    fn opening<'a>(ingress: &'a [u8], egress: &'a [u8], endpoints: &'a Endpoints) -> Opening<'a> {
        Opening { role: None, fresh: true, ingress, egress, ingress_first: Some(true), endpoints }
    }

    #[test]
    fn encrypted_and_http2_are_recognised() {
        let none = Endpoints::default();
        let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252];
        assert_eq!(find(&opening(&hello, b"", &none), line::PROTOCOLS, None), Finding::Tls);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(find(&opening(b"", preface, &none), line::PROTOCOLS, None), Finding::Http2);
        // A MySQL packet of 66,326 bytes whose header looks like the start of a TLS record.
        assert_eq!(
            find(&opening(&[22, 3, 1, 0, 3, 83], b"", &none), line::PROTOCOLS, None),
            Finding::Unknown
        );
        let data = [23, 3, 3, 1, 0, 9];
        assert_eq!(find(&opening(&data, b"", &none), line::PROTOCOLS, None), Finding::Unknown);
        let older = Opening { fresh: false, ..opening(&data, b"", &none) };
        assert_eq!(find(&older, line::PROTOCOLS, None), Finding::Tls);
    }

    #[test]
    fn hints_are_kept_by_address() {
        let mut hints = Hints::default();
        let address = Address::Unix("/run/a".to_owned());
        assert_eq!(hints.get(&address), None);
        hints.set(&address, 2);
        assert_eq!(hints.get(&address), Some(2));
    }

    #[test]
    fn held_bytes_are_bounded_and_keep_their_order() {
        let mut held = Held::default();
        assert!(held.push(Direction::Egress, b"ab", true, Mark::default()));
        assert!(held.push(Direction::Ingress, b"x", true, Mark::default()));
        assert!(held.push(Direction::Egress, b"c", true, Mark::default()));
        let calls: Vec<_> = held.chunks().map(|(direction, bytes, ..)| (direction, bytes.to_vec())).collect();
        let (egress, ingress) = (Direction::Egress, Direction::Ingress);
        assert_eq!(calls, [(egress, b"ab".to_vec()), (ingress, b"x".to_vec()), (egress, b"c".to_vec())]);
        assert_eq!((held.egress(), held.ingress_first()), (&b"abc"[..], Some(false)));
        assert!(!held.push(Direction::Egress, &[0; MAX_HELD_BYTES - 2], true, Mark::default()));
        assert!(held.push(Direction::Egress, &[0; MAX_HELD_BYTES - 3], true, Mark::default()));
        for _ in 1..MAX_HELD_CHUNKS {
            assert!(held.push(Direction::Ingress, b"x", true, Mark::default()));
        }
        let calls = held.chunks().count();
        let late = Mark { time: 9, ..Mark::default() };
        assert!(held.push(Direction::Ingress, b"y", true, late), "byte by byte");
        assert_eq!(held.chunks().count(), calls);
        assert_eq!(held.chunks().last(), Some((Direction::Ingress, &b"xy"[..], true, late, 0)));
        assert!(held.push(Direction::Egress, b"", true, late));
        assert!(!held.push(Direction::Ingress, b"z", true, late), "each of many turns would have to be kept");
    }

    #[test]
    fn long_calls_are_held_by_their_beginnings() {
        let mark = Mark::default();
        let mut held = Held::default();
        assert!(held.take(Direction::Ingress, &[1; MAX_HELD_BYTES + 5], true, mark));
        assert!(held.take(Direction::Ingress, b"more", true, mark) && held.lose(Direction::Ingress, 1));
        assert!(!held.is_over() && !held.lose(Direction::Egress, 1));
        assert!(held.take(Direction::Egress, b"answer", true, mark) && held.is_over());
        assert!(!held.take(Direction::Ingress, b"next", true, mark));
        let lost: Vec<_> = held.chunks().map(|(.., bytes, _, _, lost)| (bytes.len(), lost)).collect();
        assert_eq!(lost, [(MAX_HELD_BYTES, 10), (6, 0)]);
    }
}
