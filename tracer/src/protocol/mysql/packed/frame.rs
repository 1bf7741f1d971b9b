//! A compressed packet's header.

/// A header's length.
pub(super) const HEADER: usize = 7;

/// Three bytes of length, a sequence number of this layer's own, three bytes of the payload's original length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The payload's length on the wire.
    pub(super) length: u32,
    pub(super) seq: u8,
    /// The payload's length when decompressed; 0: it is not compressed.
    pub(super) unpacked: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, seq, x, y, z, ..] = *bytes else { return None };
        let length = u32::from_le_bytes([a, b, c, 0]);
        Some(Self { length, seq, unpacked: u32::from_le_bytes([x, y, z, 0]) })
    }

    /// A packet holds something, and compression pays: what did not shrink is sent as it is.
    pub(super) fn is_plausible(self) -> bool {
        self.length > 0 && (self.unpacked == 0 || self.unpacked >= self.length)
    }
}
