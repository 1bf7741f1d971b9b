//! Finds the packet that ends an answer in the last bytes of a call whose middle was not captured.

use super::capability::STATUS_MORE_RESULTS;
use super::cursor::Cursor;
use super::framer::{HEADER, header};
use super::open::Terminal;
use super::packet::{EOF_LENGTH, Err, Ok};

/// Longest such packet that is looked for: that many of a call's last bytes are captured. An error message can have up to
/// 512 bytes, but few do.
pub(super) const LONGEST: usize = 512;
/// In a transaction, or autocommit: one of them is set in nearly every status, and in no row of empty values.
const STATUS_ALIVE: u16 = 0x0003;
/// Status flags that exist.
const STATUS_KNOWN: u16 = 0x7fff;

/// The OK, EOF or ERR packet that `bytes` end with, if it ends an answer.
pub(super) fn terminal(bytes: &[u8]) -> Option<Terminal<'_>> {
    let from = bytes.len().saturating_sub(LONGEST);
    let recent = bytes.get(from..)?;
    (0..recent.len()).rev().find_map(|at| packet(recent.get(at..)?))
}

/// Judges bytes that would have to be exactly one packet.
fn packet(bytes: &[u8]) -> Option<Terminal<'_>> {
    let (length, _) = header(bytes)?;
    let payload = bytes.get(HEADER..)?;
    if payload.len() != length as usize {
        return None;
    }
    match payload.first()? {
        0xfe if u64::from(length) == EOF_LENGTH => last(Ok::parse(payload, EOF_LENGTH)),
        0x00 | 0xfe if length >= 7 && is_exact(payload) => last(Ok::parse(payload, u64::from(length))),
        0xff if length >= 9 => refused(payload),
        _ => None,
    }
}

fn last(ok: Ok<'_>) -> Option<Terminal<'_>> {
    let plausible = ok.has(STATUS_ALIVE) && !ok.has(!STATUS_KNOWN) && !ok.has(STATUS_MORE_RESULTS);
    plausible.then_some(Terminal::Ok(ok))
}

/// All fields of an OK packet are there, and what follows them is a length-encoded text or nothing.
fn is_exact(payload: &[u8]) -> bool {
    let mut cursor = Cursor::new(payload.get(1..).unwrap_or_default());
    let fields = cursor.lenenc().and_then(|_| cursor.lenenc()).and_then(|_| cursor.u32());
    fields.is_some() && (cursor.is_empty() || cursor.lenenc_bytes().is_some())
}

fn refused(payload: &[u8]) -> Option<Terminal<'_>> {
    match Err::parse(payload) {
        Err::Refused(error) if error.sqlstate.is_some() => Some(Terminal::Err(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_ends_an_answer() {
        let eof = b"ws of text\x05\0\0\x2a\xfe\x01\0\x02\0";
        assert!(matches!(terminal(eof), Some(Terminal::Ok(ok)) if ok.warnings == Some(1)));
        let ok = b"ws of text\x07\0\0\x2a\xfe\0\0\x02\0\x01\0";
        assert!(matches!(terminal(ok), Some(Terminal::Ok(ok)) if ok.warnings == Some(1)));
        let error = b"ws of text\x0c\0\0\x2a\xff\x25\x05#70100abc";
        assert!(matches!(terminal(error), Some(Terminal::Err(error)) if error.code == 1317));
    }

    #[test]
    fn takes_nothing_else_for_it() {
        assert_eq!(terminal(b"\x07\0\0\x2a\0\0\0\0\0\0\0"), None, "a row of empty values");
        assert_eq!(terminal(b"\x05\0\0\x2a\xfe\0\0\x0a\0"), None, "another result follows");
        assert_eq!(terminal(b"just text"), None);
        assert_eq!(terminal(b""), None);
    }
}
