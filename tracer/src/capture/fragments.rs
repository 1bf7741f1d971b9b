//! IP packets put together from their fragments (RFC 791 3.2, RFC 8200 4.5).
//!
//! TCP itself avoids fragments, but what carries it may not: a tunnel whose packets are longer than a link takes.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use etherparse::IpNumber;
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::event::Nanos;

/// Packets that are put together at once; the one that waits longest is given up.
pub const MAX_FRAGMENTED: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Fragments of one packet: those of a link's usual packet if each is as short as can be (8 bytes), some times over.
const MAX_FRAGMENTS: usize = 1024;

/// The longest payload of a packet.
const MAX_PAYLOAD: usize = 65_515;

/// How long the rest of a packet is waited for, in nanoseconds of the capture. A sender sends all at once, and uses the
/// packet's number again for another one some time after.
pub const MAX_FRAGMENT_AGE: Nanos = 1_000_000_000;

/// A part of an IP packet's payload, captured whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    pub(super) packet: Fragmented,
    /// Where its bytes belong.
    pub(super) offset: u16,
    /// More come behind it.
    pub(super) more: bool,
    pub(super) bytes: &'a [u8],
}

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fragmented {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: IpNumber,
    pub(super) number: u32,
}

/// The payload of a packet of which all came, and how many fragments those were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) packet: Fragmented,
    pub(super) payload: Vec<u8>,
    pub(super) fragments: u64,
}

/// Packets of which a part came.
#[derive(Debug)]
pub(super) struct Fragments {
    pending: LruCache<Fragmented, Pending, FxBuildHasher>,
}

#[derive(Debug)]
struct Pending {
    begun: Nanos,
    /// By their places.
    parts: Vec<(u16, Vec<u8>)>,
    /// Their bytes.
    bytes: usize,
    /// Where the payload ends.
    end: Option<usize>,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { pending: LruCache::with_hasher(MAX_FRAGMENTED, FxBuildHasher) }
    }
}

impl Fragments {
    /// Takes a fragment, and gives the packet if it was the last one missing.
    pub(super) fn take(&mut self, fragment: &Fragment<'_>, time: Nanos) -> Option<Whole> {
        let Fragment { packet, offset, more, bytes } = *fragment;
        let new = || Pending { begun: time, parts: Vec::new(), bytes: 0, end: None };
        let is_old = |pending: &Pending| time.saturating_sub(pending.begun) > MAX_FRAGMENT_AGE;
        if self.pending.peek(&packet).is_some_and(is_old) {
            self.pending.pop(&packet);
        }
        let pending = self.pending.get_or_insert_mut(packet, new);
        if !pending.add(offset, more, bytes) {
            self.pending.pop(&packet);
            return None;
        }
        let payload = pending.whole()?;
        let fragments = self.pending.pop(&packet).map_or(0, |pending| pending.parts.len() as u64);
        Some(Whole { packet, payload, fragments })
    }
}

impl Pending {
    /// `false` if that cannot be a part of this packet.
    fn add(&mut self, offset: u16, more: bool, bytes: &[u8]) -> bool {
        let end = usize::from(offset) + bytes.len();
        if !more {
            self.end = Some(end);
        }
        let at = self.parts.partition_point(|(other, _)| *other < offset);
        match self.parts.get(at) {
            // The capture has it twice.
            Some((other, part)) if *other == offset && part.len() >= bytes.len() => return true,
            _ => self.parts.insert(at, (offset, bytes.to_vec())),
        }
        self.bytes += bytes.len();
        end <= MAX_PAYLOAD && self.parts.len() <= MAX_FRAGMENTS
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end.filter(|end| self.bytes >= *end)?;
        let mut payload = Vec::new();
        for (offset, bytes) in &self.parts {
            let seen = payload.len().checked_sub(usize::from(*offset))?;
            payload.extend_from_slice(bytes.get(seen..).unwrap_or_default());
        }
        (payload.len() == end).then_some(payload)
    }
}

impl Whole {
    /// The packet as it would have been without fragments.
    pub(super) fn packet(&self) -> Vec<u8> {
        // At most MAX_PAYLOAD.
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        let IpNumber(protocol) = self.packet.protocol;
        let mut bytes = Vec::new();
        match (self.packet.source, self.packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x45, 0]);
                bytes.extend(length.saturating_add(20).to_be_bytes());
                bytes.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(length.to_be_bytes());
                bytes.extend([protocol, 64]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            // No packet has both.
            _ => {}
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(number: u32, offset: u16, more: bool, bytes: &[u8]) -> Fragment<'_> {
        let [source, destination] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let packet = Fragmented { source, destination, protocol: IpNumber::TCP, number };
        Fragment { packet, offset, more, bytes }
    }

    fn payload(whole: Option<Whole>) -> Option<(Vec<u8>, u64)> {
        whole.map(|whole| (whole.payload, whole.fragments))
    }

    #[test]
    fn parts_in_any_order_are_a_packet() {
        let parts = [(0, true, &b"abcdefgh"[..]), (8, true, b"ijklmnop"), (16, false, b"qr")];
        let expected = Some((b"abcdefghijklmnopqr".to_vec(), 3));
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut fragments = Fragments::default();
            let mut told = None;
            for at in order {
                assert_eq!(told, None);
                let (offset, more, bytes) = parts[at];
                // Another packet's, and the same one again.
                assert_eq!(fragments.take(&fragment(9, offset, true, bytes), 5), None);
                told = payload(fragments.take(&fragment(7, offset, more, bytes), 5));
                if told.is_none() {
                    assert_eq!(fragments.take(&fragment(7, offset, more, bytes), 5), None);
                }
            }
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn parts_may_overlap_and_must_not_have_holes() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(&fragment(7, 0, true, b"abcdefghijkl"), 5), None);
        let told = payload(fragments.take(&fragment(7, 8, false, b"IJKLMN"), 5));
        assert_eq!(told, Some((b"abcdefghijklMN".to_vec(), 2)));
        assert_eq!(fragments.take(&fragment(7, 0, true, b"abcdefgh"), 5), None);
        assert_eq!(fragments.take(&fragment(7, 16, false, b"qr"), 5), None);
        // As many bytes as there must be, but one part goes beyond the end and another one is missing.
        for (offset, more, length) in [(0, true, 16), (24, true, 24), (32, false, 8)] {
            assert_eq!(fragments.take(&fragment(8, offset, more, &[1; 24][..length]), 5), None);
        }
        for (offset, more, length) in [(0, true, 24), (8, false, 8)] {
            assert_eq!(fragments.take(&fragment(9, offset, more, &[1; 24][..length]), 5), None);
        }
    }

    #[test]
    fn a_number_that_is_used_again_is_another_packet() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(&fragment(7, 0, true, b"old old "), 5), None);
        assert_eq!(fragments.take(&fragment(7, 8, false, b"new"), 6 + MAX_FRAGMENT_AGE), None);
        let told = payload(fragments.take(&fragment(7, 0, true, b"new new "), 7 + MAX_FRAGMENT_AGE));
        assert_eq!(told, Some((b"new new new".to_vec(), 2)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut fragments = Fragments::default();
        for number in 0..1000 {
            fragments.take(&fragment(number, 8, true, &[0; 1400]), 5);
        }
        assert_eq!(fragments.pending.len(), MAX_FRAGMENTED.get());
        for offset in 0..2000 {
            fragments.take(&fragment(7, offset * 8, true, &[0; 8]), 5);
        }
        let kept =
            fragments.pending.peek(&fragment(7, 0, true, b"").packet).map(|pending| pending.parts.len());
        assert!(kept.is_some_and(|kept| kept <= MAX_FRAGMENTS), "{kept:?}");
        assert_eq!(fragments.take(&fragment(8, 65_528, false, &[0; 8]), 5), None);
        assert!(fragments.pending.peek(&fragment(8, 0, true, b"").packet).is_none(), "too long");
    }
}
