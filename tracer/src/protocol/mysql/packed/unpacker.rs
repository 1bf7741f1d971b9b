//! One side of a compressed connection: from calls to the bytes of the layer below, in any segmentation.

use super::super::plausible::Fit;
use super::codec::{self, Corrupt};
use super::frame::{HEADER, Header};
use super::judge;

/// Largest payload that is kept until it is complete, and so decompressed. Servers compress what their network
/// buffer holds, 16 KiB unless configured otherwise; larger ones are stepped over.
const MAX_PACKED: u32 = 256 * 1024;
/// Most bytes that one packet may become. The protocol allows 16 MiB.
pub(super) const MAX_UNPACKED: u32 = 4 * 1024 * 1024;
/// Most bytes that a side of a connection may become for each of its bytes, beyond [`FREE`]. Result sets rarely
/// shrink to a hundredth; zlib can make a thousand bytes of one, zstd many more.
const MAX_EXPANSION: u64 = 128;
/// Bytes that a side may become at no cost.
const FREE: u64 = 16 * 1024 * 1024;
/// Longest packet that is tried when boundaries are not known: each call that brings more of it costs a look at all.
const MAX_CANDIDATE: u32 = 32 * 1024;

/// What a side's calls become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Piece<'a> {
    /// Bytes of the layer below; `start`: they begin a packet that began where a call did.
    Bytes { bytes: &'a [u8], start: bool },
    /// So many of its bytes cannot be had.
    Missing(u64),
    /// Bytes cannot be had, and nobody knows how many.
    Lost,
}

/// What is looked for when the boundaries are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Sought {
    Request,
    /// An answer whose first packet has this number, if it is known.
    Response(Option<u8>),
}

/// Follows the packets of one side.
#[derive(Debug)]
pub(in super::super) struct Unpacker {
    /// Boundaries are known. Otherwise the packet in progress is only a candidate.
    framed: bool,
    head: [u8; HEADER],
    /// How many bytes of `head` are there.
    have: usize,
    /// Payload bytes of the packet in progress that are still to come.
    left: u32,
    /// Its payload so far, if it is compressed and did not come in one call.
    held: Vec<u8>,
    /// Its payload cannot be decompressed: too large, or bytes are missing.
    skipped: bool,
    /// It began where a call did, and none of its bytes were given yet.
    start: bool,
    /// Number of the last packet that began.
    seq: Option<u8>,
    /// Bytes in and out, for the bound on expansion.
    packed: u64,
    unpacked: u64,
}

impl Unpacker {
    pub(super) fn new(framed: bool) -> Self {
        Self {
            framed,
            head: [0; HEADER],
            have: 0,
            left: 0,
            held: Vec::new(),
            skipped: false,
            start: false,
            seq: None,
            packed: 0,
            unpacked: 0,
        }
    }

    pub(in super::super) fn is_framed(&self) -> bool {
        self.framed
    }

    /// Bytes are held that may begin a packet.
    pub(in super::super) fn has_candidate(&self) -> bool {
        !self.framed && !self.held.is_empty()
    }

    /// The number that the packet after the last one has: a server goes on from its client's.
    pub(in super::super) fn next_seq(&self) -> Option<u8> {
        self.seq.map(|seq| seq.wrapping_add(1))
    }

    /// Forgets the packet in progress; boundaries are not known any more.
    pub(in super::super) fn lose(&mut self) {
        self.framed = false;
        self.forget();
    }

    fn forget(&mut self) {
        (self.have, self.left, self.skipped) = (0, 0, false);
        self.held = Vec::new();
    }

    /// Takes bytes of a call while boundaries are known.
    pub(in super::super) fn feed(&mut self, bytes: &[u8], call_start: bool, give: &mut dyn FnMut(Piece<'_>)) {
        self.packed += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() && self.framed {
            let used = if self.have < HEADER {
                let at_start = call_start && rest.len() == bytes.len();
                self.feed_header(rest, at_start)
            } else {
                self.feed_payload(rest, give)
            };
            rest = rest.get(used..).unwrap_or_default();
            if self.have == HEADER && self.left == 0 {
                self.have = 0;
            }
        }
    }

    /// Takes bytes of a call while boundaries are not known. A packet is sought where a call begins; says whether
    /// one was found, after which its bytes were given.
    pub(in super::super) fn seek(
        &mut self,
        bytes: &[u8],
        call_start: bool,
        sought: Sought,
        give: &mut dyn FnMut(Piece<'_>),
    ) -> bool {
        let mut candidate = std::mem::take(&mut self.held);
        if !candidate.is_empty() {
            candidate.extend_from_slice(bytes);
            match Self::judge(&candidate, sought) {
                Fit::Strong => return self.found(&candidate, give),
                Fit::Open | Fit::Weak => {
                    self.held = candidate;
                    return false;
                }
                Fit::No => {}
            }
        }
        match if call_start { Self::judge(bytes, sought) } else { Fit::No } {
            Fit::Strong => return self.found(bytes, give),
            Fit::Open | Fit::Weak => self.held = bytes.to_vec(),
            Fit::No => {}
        }
        false
    }

    /// Judges bytes that begin where a call did: strong if they begin with a whole packet that is sound.
    fn judge(bytes: &[u8], sought: Sought) -> Fit {
        let Some(header) = Header::parse(bytes) else { return Fit::Open };
        let payload = bytes.get(HEADER..).unwrap_or_default();
        let fits = match sought {
            Sought::Request => judge::can_be_request(header, payload),
            Sought::Response(seq) => judge::can_be_response(header, payload, seq),
        };
        if !fits || header.length > MAX_CANDIDATE || header.unpacked > MAX_UNPACKED {
            return Fit::No;
        }
        let Some(payload) = payload.get(..header.length as usize) else { return Fit::Open };
        let sound = header.unpacked == 0 || codec::unpack(payload, header.unpacked, &mut |_| {}).is_ok();
        if sound { Fit::Strong } else { Fit::No }
    }

    fn found(&mut self, bytes: &[u8], give: &mut dyn FnMut(Piece<'_>)) -> bool {
        self.forget();
        self.framed = true;
        self.feed(bytes, true, give);
        true
    }

    fn feed_header(&mut self, bytes: &[u8], call_start: bool) -> usize {
        if self.have == 0 {
            self.start = call_start;
        }
        let count = bytes.len().min(HEADER - self.have);
        for (slot, byte) in self.head.iter_mut().skip(self.have).zip(bytes) {
            *slot = *byte;
        }
        self.have += count;
        if let Some(header) = self.header() {
            self.left = header.length;
            self.seq = Some(header.seq);
            self.skipped = header.length > MAX_PACKED || header.unpacked > MAX_UNPACKED;
        }
        count
    }

    fn header(&self) -> Option<Header> {
        (self.have == HEADER).then(|| Header::parse(&self.head)).flatten()
    }

    fn feed_payload(&mut self, bytes: &[u8], give: &mut dyn FnMut(Piece<'_>)) -> usize {
        let part = bytes.get(..self.left as usize).unwrap_or(bytes);
        self.left -= part.len() as u32;
        let unpacked = self.header().map_or(0, |header| header.unpacked);
        if unpacked == 0 {
            give(Piece::Bytes { bytes: part, start: std::mem::take(&mut self.start) });
        } else if self.left > 0 {
            if !self.skipped {
                self.held.extend_from_slice(part);
            }
        } else if self.skipped {
            give(Piece::Missing(u64::from(unpacked)));
        } else if self.held.is_empty() {
            self.unpack(part, unpacked, give);
        } else {
            let mut whole = std::mem::take(&mut self.held);
            whole.extend_from_slice(part);
            self.unpack(&whole, unpacked, give);
        }
        part.len()
    }

    fn unpack(&mut self, payload: &[u8], length: u32, give: &mut dyn FnMut(Piece<'_>)) {
        let total = self.unpacked + u64::from(length);
        if total > FREE + self.packed.saturating_mul(MAX_EXPANSION) {
            give(Piece::Missing(u64::from(length)));
            return;
        }
        self.unpacked = total;
        let mut start = std::mem::take(&mut self.start);
        let result = codec::unpack(payload, length, &mut |bytes| {
            give(Piece::Bytes { bytes, start: std::mem::take(&mut start) });
        });
        if result == Err(Corrupt) {
            self.lose();
            give(Piece::Lost);
        }
    }

    /// Steps over bytes that were not captured.
    pub(in super::super) fn skip(&mut self, lost: u64, give: &mut dyn FnMut(Piece<'_>)) {
        let inside = lost.min(u64::from(self.left));
        if !self.framed || self.have < HEADER || inside < lost {
            self.lose();
            give(Piece::Lost);
            return;
        }
        self.left -= inside as u32;
        self.held = Vec::new();
        (self.skipped, self.start) = (true, false);
        match self.header().map_or(0, |header| header.unpacked) {
            0 => give(Piece::Missing(inside)),
            unpacked if self.left == 0 => give(Piece::Missing(u64::from(unpacked))),
            _ => {}
        }
        if self.left == 0 {
            self.have = 0;
        }
    }
}
