//! Packets → messages: four bytes of header, a payload, and chains of full-size packets.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

use crate::event::Mark;

/// A packet with a payload of this length is continued by the next one.
pub(super) const FULL_PACKET: u32 = 0x00ff_ffff;
/// A header's length.
pub(super) const HEADER: usize = 4;
/// A buffer that grew past this is given back after its message.
const KEPT_BUFFER: usize = 4096;

/// A payload's length and sequence number, from a packet's header.
pub(super) fn header(bytes: &[u8]) -> Option<(u32, u8)> {
    match bytes {
        [a, b, c, seq, ..] => Some((u32::from_le_bytes([*a, *b, *c, 0]), *seq)),
        _ => None,
    }
}

/// One message: the payload of a packet, or of a chain of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    /// Sequence number of its first packet.
    pub(super) seq: u8,
    /// Sequence number of its last packet.
    pub(super) last_seq: u8,
    /// Length of the payload over all packets.
    pub(super) length: u64,
    /// The payload's first bytes, as many as were wanted and captured.
    pub(super) head: &'m [u8],
    /// The call that moved its first byte.
    pub(super) first: Mark,
}

impl<'m> Message<'m> {
    /// The message that lies at the start of `bytes`, if all of it does.
    fn whole(bytes: &'m [u8], mark: Mark, cap: &impl Fn(u8) -> usize) -> Option<Self> {
        let (length, seq) = header(bytes)?;
        let size = usize::try_from(length).ok()?;
        let payload = bytes.get(HEADER..HEADER.checked_add(size)?)?;
        let head = payload.get(..cap(seq)).unwrap_or(payload);
        (length < FULL_PACKET).then_some(Self {
            seq,
            last_seq: seq,
            length: u64::from(length),
            head,
            first: mark,
        })
    }

    /// Some of the payload is not in `head`.
    pub(super) fn is_cut(&self) -> bool {
        (self.head.len() as u64) < self.length
    }
}

/// Finds message boundaries on one side of a connection; keeps only the head of a message that is incomplete.
#[derive(Debug, Default)]
pub(super) struct Framer {
    header: [u8; HEADER],
    /// How many bytes of `header` are there.
    have: usize,
    /// Payload bytes of the current packet that are still to come.
    left: u32,
    /// A message's first byte was seen, its last was not.
    started: bool,
    first: Mark,
    seq: u8,
    length: u64,
    head: Vec<u8>,
    cap: usize,
}

impl Framer {
    /// Takes bytes up to the end of a message, or all of them. Returns how many, and the message. `cap` tells
    /// from a message's sequence number how much of its payload is wanted.
    pub(super) fn feed<'m>(
        &'m mut self,
        bytes: &'m [u8],
        mark: Mark,
        cap: impl Fn(u8) -> usize,
    ) -> (usize, Option<Message<'m>>) {
        if !self.started
            && let Some(message) = Message::whole(bytes, mark, &cap)
        {
            return (HEADER + message.length as usize, Some(message));
        }
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            used +=
                if self.have < HEADER { self.feed_header(rest, mark, &cap) } else { self.feed_payload(rest) };
            if self.packet_is_over() && self.close_packet() {
                return (used, Some(self.message()));
            }
        }
        (used, None)
    }

    fn feed_header(&mut self, bytes: &[u8], mark: Mark, cap: &impl Fn(u8) -> usize) -> usize {
        if !self.started {
            self.start(mark);
        }
        let count = bytes.len().min(HEADER - self.have);
        for (slot, byte) in self.header.iter_mut().skip(self.have).zip(bytes) {
            *slot = *byte;
        }
        self.have += count;
        if self.have == HEADER {
            let [a, b, c, seq] = self.header;
            self.left = u32::from_le_bytes([a, b, c, 0]);
            if self.length == 0 {
                self.seq = seq;
                self.cap = cap(seq);
            }
            self.length += u64::from(self.left);
        }
        count
    }

    fn feed_payload(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.left as usize);
        let wanted = count.min(self.cap.saturating_sub(self.head.len()));
        self.head.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.left -= count as u32;
        count
    }

    fn start(&mut self, mark: Mark) {
        if self.head.capacity() > KEPT_BUFFER {
            self.head = Vec::new();
        }
        self.head.clear();
        (self.started, self.first, self.length, self.have) = (true, mark, 0, 0);
    }

    fn packet_is_over(&self) -> bool {
        self.started && self.have == HEADER && self.left == 0
    }

    /// Ends the packet; says whether the message ends with it.
    fn close_packet(&mut self) -> bool {
        self.have = 0;
        self.started = header(&self.header).is_some_and(|(length, _)| length == FULL_PACKET);
        !self.started
    }

    fn message(&self) -> Message<'_> {
        let [.., last_seq] = self.header;
        Message { seq: self.seq, last_seq, length: self.length, head: &self.head, first: self.first }
    }

    /// Steps over bytes that were not captured. Returns how many lie beyond what the framing accounts for (then
    /// the boundaries are lost), and the message that ends among them.
    pub(super) fn skip(&mut self, lost: u64) -> (u64, Option<Message<'_>>) {
        if !self.started || self.have < HEADER {
            return (lost, None);
        }
        // What comes after the hole does not continue the head.
        self.cap = self.head.len();
        let inside = lost.min(u64::from(self.left));
        self.left -= inside as u32;
        let ended = self.packet_is_over() && self.close_packet();
        (lost - inside, ended.then(|| self.message()))
    }

    /// What is known of a message whose end will not be seen.
    pub(super) fn partial(&self) -> Option<Message<'_>> {
        (self.started && self.length > 0).then(|| self.message())
    }

    /// The message in progress, as soon as its first payload byte is there: sequence number, that byte, and
    /// the call that moved the message's first byte.
    pub(super) fn opening(&self) -> Option<(u8, Option<u8>, Mark)> {
        let known = self.started && self.length > 0 && (self.cap == 0 || !self.head.is_empty());
        known.then(|| (self.seq, self.head.first().copied(), self.first))
    }

    /// The call that moved the first byte of the message in progress.
    pub(super) fn in_message(&self) -> Option<Mark> {
        self.started.then_some(self.first)
    }

    /// Forgets the message in progress and its bytes: the next byte begins one.
    pub(super) fn reset(&mut self) {
        self.wipe();
        (self.started, self.have, self.length, self.left) = (false, 0, 0, 0);
    }

    /// Overwrites what was buffered: it held a secret.
    pub(super) fn wipe(&mut self) {
        self.head.fill(0);
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_all(framer: &mut Framer, pieces: &[&[u8]]) -> Vec<(u8, u64, Vec<u8>)> {
        let mut messages = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, message) = framer.feed(rest, Mark::default(), |_| 3);
                messages.extend(message.map(|message| (message.seq, message.length, message.head.to_vec())));
                rest = &rest[used..];
            }
        }
        messages
    }

    #[test]
    fn every_split_gives_the_same_messages() {
        let bytes = b"\x05\0\0\x01hello\0\0\0\x02\x01\0\0\x03x";
        let expected = vec![(1, 5, b"hel".to_vec()), (2, 0, vec![]), (3, 1, b"x".to_vec())];
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(feed_all(&mut Framer::default(), &[head, tail]), expected, "split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(feed_all(&mut Framer::default(), &single), expected);
    }

    #[test]
    fn full_packets_chain() {
        let mut bytes = b"\xff\xff\xff\0".to_vec();
        bytes.resize(HEADER + FULL_PACKET as usize, b'a');
        bytes.extend_from_slice(b"\x02\0\0\x01bc\x01\0\0\x02d");
        let expected = vec![(0, u64::from(FULL_PACKET) + 2, b"aaa".to_vec()), (2, 1, b"d".to_vec())];
        assert_eq!(feed_all(&mut Framer::default(), &[&bytes]), expected);
        let (head, tail) = bytes.split_at(1000);
        assert_eq!(feed_all(&mut Framer::default(), &[head, tail]), expected);
    }

    #[test]
    fn gaps_inside_a_payload_are_arithmetic() {
        let mut framer = Framer::default();
        assert_eq!(feed_all(&mut framer, &[b"\x0a\0\0\x01ab"]), vec![]);
        assert!(matches!(framer.skip(3), (0, None)));
        assert_eq!(feed_all(&mut framer, &[b"fghij"]), vec![(1, 10, b"ab".to_vec())]);
        assert_eq!(feed_all(&mut framer, &[b"\x0a\0\0\x01ab"]), vec![]);
        let (beyond, message) = framer.skip(20);
        assert_eq!((beyond, message.map(|message| message.length)), (12, Some(10)));
        assert_eq!(framer.skip(5).0, 5);
    }
}
