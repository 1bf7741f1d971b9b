//! Segments put together again to what was written by one call.
//!
//! A sender cuts what it writes into segments and marks the last one (PSH). The stages behind take what one call
//! moved as belonging together (a pipeline of Redis commands is one batch), and look for the beginnings of messages
//! where calls begin.

use super::pair::Peer;
use crate::event::Nanos;

/// Bytes of a call after which its rest counts as another call.
pub const MAX_CALL: usize = 64 << 10;

/// How far apart the first and the last segment of a call may be, in nanoseconds: all of it gets the time of the last.
pub const MAX_SPREAD: Nanos = 1_000_000;

/// What one call moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// When its last segment was captured.
    pub(super) time: Nanos,
    pub(super) from: Peer,
    /// Sequence number of its first byte.
    pub(super) position: u32,
    pub(super) length: u32,
    /// What was captured of it, from its start.
    pub(super) bytes: &'a [u8],
}

/// A call whose last segment has not come.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    begun: Nanos,
    time: Nanos,
    from: Peer,
    position: u32,
    bytes: Vec<u8>,
}

impl Calls {
    /// Takes a segment; `push` tells that it ends its call.
    pub(super) fn take(&mut self, part: Call<'_>, push: bool, tell: &mut impl FnMut(Call<'_>)) {
        let whole = part.bytes.len() == part.length as usize;
        if self.open.as_ref().is_some_and(|open| !whole || !open.goes_on_with(&part)) {
            self.flush(tell);
        }
        match &mut self.open {
            None if push || !whole || part.bytes.len() >= MAX_CALL => tell(part),
            None => {
                let Call { time, from, position, bytes, .. } = part;
                self.open = Some(Open { begun: time, time, from, position, bytes: bytes.to_vec() });
            }
            Some(open) => {
                open.bytes.extend_from_slice(part.bytes);
                open.time = part.time;
                if push || open.bytes.len() >= MAX_CALL {
                    self.flush(tell);
                }
            }
        }
    }

    /// Tells what there is of a call.
    pub(super) fn flush(&mut self, tell: &mut impl FnMut(Call<'_>)) {
        if let Some(Open { time, from, position, bytes, .. }) = self.open.take() {
            // Less than twice MAX_CALL and a segment.
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            tell(Call { time, from, position, length, bytes: &bytes });
        }
    }
}

impl Open {
    fn goes_on_with(&self, part: &Call<'_>) -> bool {
        let end = self.position.wrapping_add(self.bytes.len() as u32);
        self.from == part.from && end == part.position && part.time.saturating_sub(self.begun) <= MAX_SPREAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parts: &[(Nanos, Peer, u32, &'static str, bool)]) -> Vec<(Nanos, u32, String)> {
        let mut calls = Calls::default();
        let mut told = Vec::new();
        let mut tell = |call: Call<'_>| {
            assert_eq!(call.length as usize, call.bytes.len());
            told.push((call.time, call.position, String::from_utf8(call.bytes.to_vec()).unwrap()));
        };
        for (time, from, position, text, push) in parts {
            let length = u32::try_from(text.len()).unwrap();
            let call = Call { time: *time, from: *from, position: *position, length, bytes: text.as_bytes() };
            calls.take(call, *push, &mut tell);
        }
        calls.flush(&mut tell);
        told
    }

    #[test]
    fn segments_up_to_the_pushed_one_are_a_call() {
        let (first, second) = (Peer::First, Peer::Second);
        let parts = [
            (10, first, 5, "ab", false),
            (11, first, 7, "c", true),
            (12, first, 8, "d", false),
            (13, second, 90, "x", false),
            (14, first, 9, "e", false),
            (15 + MAX_SPREAD, first, 10, "f", true),
            (16, first, 20, "g", false),
        ];
        let expected = [
            (11, 5, "abc"),
            (12, 8, "d"),
            (13, 90, "x"),
            (14, 9, "e"),
            (15 + MAX_SPREAD, 10, "f"),
            (16, 20, "g"),
        ];
        let expected = expected.map(|(time, position, text)| (time, position, text.to_owned()));
        assert_eq!(told(&parts), expected);
    }
}
