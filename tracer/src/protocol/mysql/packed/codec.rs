//! Decompression of one packet, bounded. Which algorithm the two sides agreed on shows in the data itself.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Decompressed bytes are handed on in pieces of this size.
const PIECE: usize = 16 * 1024;
/// Largest window of zstd that memory is given for: as much as a packet may hold.
const MAX_WINDOW: u64 = super::unpacker::MAX_UNPACKED as u64;
/// Start of a zstd frame (RFC 8878 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The data is not what a MySQL server or client compresses, or not as long as it was said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// Whether `payload` can be the start of compressed data; fewer than two bytes can be anything.
pub(super) fn looks_packed(payload: &[u8]) -> bool {
    let zstd = payload.iter().zip(ZSTD).all(|(byte, magic)| byte == magic);
    // RFC 1950 2.2: deflate with a window of at most 32 KiB, no dictionary, and a check of both bytes.
    let zlib = match *payload {
        [] => true,
        [method] => method & 0x8f == 0x08,
        [method, flags, ..] => {
            method & 0x8f == 0x08 && flags & 0x20 == 0 && u16::from_be_bytes([method, flags]) % 31 == 0
        }
    };
    zstd || zlib
}

/// Decompresses a packet's whole payload and gives its bytes piece by piece. Memory is bounded by a piece and the
/// algorithm's window, time by `length`.
///
/// # Errors
/// When the data is corrupt or does not have exactly `length` bytes; what was given until then is in doubt.
pub(super) fn unpack(payload: &[u8], length: u32, give: &mut dyn FnMut(&[u8])) -> Result<(), Corrupt> {
    let mut left = length as usize;
    let mut count = |piece: &[u8]| {
        left = left.checked_sub(piece.len()).ok_or(Corrupt)?;
        give(piece);
        Ok(())
    };
    if payload.starts_with(ZSTD) { zstd(payload, &mut count) } else { zlib(payload, &mut count) }?;
    if left == 0 { Ok(()) } else { Err(Corrupt) }
}

/// The first bytes of a payload of which perhaps only the beginning is there, for a look at them.
pub(super) fn peek(payload: &[u8], room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece.get(..room - bytes.len()).unwrap_or(piece));
        if bytes.len() < room { Ok(()) } else { Err(Corrupt) }
    };
    // That the payload is cut is not of interest here.
    let _ = if payload.starts_with(ZSTD) { zstd(payload, &mut take) } else { zlib(payload, &mut take) };
    bytes
}

fn zlib(payload: &[u8], give: &mut dyn FnMut(&[u8]) -> Result<(), Corrupt>) -> Result<(), Corrupt> {
    let mut inflate = Decompress::new(true);
    let mut piece = [0; PIECE];
    loop {
        let used = usize::try_from(inflate.total_in()).map_err(|_| Corrupt)?;
        let before = inflate.total_out();
        let rest = payload.get(used..).unwrap_or_default();
        let status = inflate.decompress(rest, &mut piece, FlushDecompress::None).map_err(|_| Corrupt)?;
        let made = usize::try_from(inflate.total_out() - before).map_err(|_| Corrupt)?;
        give(piece.get(..made).unwrap_or_default())?;
        let all_used = inflate.total_in() == payload.len() as u64;
        match status {
            Status::StreamEnd if all_used => return Ok(()),
            Status::StreamEnd => return Err(Corrupt),
            Status::Ok | Status::BufError if made == 0 => return Err(Corrupt),
            Status::Ok | Status::BufError => {}
        }
    }
}

fn zstd(payload: &[u8], give: &mut dyn FnMut(&[u8]) -> Result<(), Corrupt>) -> Result<(), Corrupt> {
    let mut source = payload;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW);
    decoder.init(&mut source).map_err(|_| Corrupt)?;
    let mut piece = [0; PIECE];
    loop {
        if !decoder.is_finished() {
            let strategy = BlockDecodingStrategy::UptoBlocks(1);
            decoder.decode_blocks(&mut source, strategy).map_err(|_| Corrupt)?;
        }
        while decoder.can_collect() > 0 {
            let made = decoder.read(&mut piece).map_err(|_| Corrupt)?;
            give(piece.get(..made).unwrap_or_default())?;
        }
        if decoder.is_finished() {
            return if source.is_empty() { Ok(()) } else { Err(Corrupt) };
        }
    }
}
