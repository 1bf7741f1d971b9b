//! Whether bytes are the start of a compressed packet, and of which.

use super::super::framer;
use super::super::plausible::{self, Fit};
use super::codec;
use super::frame::{HEADER, Header};

/// Bytes that are decompressed to judge what is in them: a header, a comment and the first word.
const PEEK: usize = 512;

/// Judges requests, for detection: `bytes` begin where a call began and hold all that was sent since.
pub(in super::super) fn requests(bytes: &[u8]) -> Fit {
    let mut best = Fit::Open;
    let mut rest = bytes;
    while !rest.is_empty() {
        let fit = one_request(rest);
        if fit == Fit::No || fit == Fit::Strong {
            return fit;
        }
        best = best.max(fit);
        let size = Header::parse(rest).map_or(rest.len(), |header| HEADER + header.length as usize);
        rest = rest.get(size..).unwrap_or_default();
    }
    best
}

/// Judges the start of one request.
fn one_request(bytes: &[u8]) -> Fit {
    if bytes.get(3).is_some_and(|seq| *seq != 0) {
        return Fit::No;
    }
    let Some(header) = Header::parse(bytes) else { return Fit::Open };
    let payload = bytes.get(HEADER..).unwrap_or_default();
    match inside(header, payload) {
        Inside::No => Fit::No,
        Inside::Open => Fit::Open,
        Inside::Bytes(inner) => plausible::one_request(&inner),
    }
}

/// Whether a packet whose header and payload's first bytes are these can begin a request.
pub(super) fn can_be_request(header: Header, payload: &[u8]) -> bool {
    header.seq == 0 && inside(header, payload).fits(|inner| plausible::one_request(inner) != Fit::No)
}

/// The same for an answer; `seq` is the number that its first packet must have, if that is known.
pub(super) fn can_be_response(header: Header, payload: &[u8], seq: Option<u8>) -> bool {
    let numbered = seq.is_none_or(|seq| seq == header.seq);
    numbered && inside(header, payload).fits(|inner| plausible::response(inner, None) != Fit::No)
}

/// Whether bytes are the start of an answer in packets, which for plain ones would be a strange coincidence.
pub(in super::super) fn is_response(bytes: &[u8]) -> bool {
    let Some(header) = Header::parse(bytes) else { return false };
    let payload = bytes.get(HEADER..).unwrap_or_default();
    let Inside::Bytes(inner) = inside(header, payload) else { return false };
    let size = if header.unpacked == 0 { header.length } else { header.unpacked };
    let fits = framer::header(&inner).is_some_and(|(length, seq)| {
        seq == header.seq && length.saturating_add(framer::HEADER as u32) <= size
    });
    fits && plausible::response(&inner, None) != Fit::No
}

enum Inside {
    /// This is no packet.
    No,
    /// Too little is there.
    Open,
    /// The first bytes in it.
    Bytes(Vec<u8>),
}

impl Inside {
    fn fits(&self, judge: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::No => false,
            Self::Open => true,
            Self::Bytes(inner) => judge(inner),
        }
    }
}

fn inside(header: Header, payload: &[u8]) -> Inside {
    if !header.is_plausible() {
        return Inside::No;
    }
    let payload = payload.get(..header.length as usize).unwrap_or(payload);
    if header.unpacked == 0 {
        return Inside::Bytes(payload.get(..PEEK).unwrap_or(payload).to_vec());
    }
    if !codec::looks_packed(payload) {
        return Inside::No;
    }
    let bytes = codec::peek(payload, PEEK);
    if bytes.is_empty() { Inside::Open } else { Inside::Bytes(bytes) }
}
