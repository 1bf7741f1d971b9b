//! A file that is read record by record: what of it is needed at once, held in one buffer.

use std::io::{self, Read};

/// Bytes asked of the source at once.
const CHUNK: usize = 64 << 10;

/// Bytes of a source, of which the first ones are held until they are no longer needed.
#[derive(Debug)]
pub(crate) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), start: 0, ended: false }
    }

    /// At least `count` bytes, unless the source ends before: then what is left of it.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < count && !self.ended {
            self.fill(count)?;
        }
        Ok(self.buffer.get(self.start..).unwrap_or_default())
    }

    /// The first `count` bytes are not needed any more. (As many as there are, if they are fewer.)
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }

    fn fill(&mut self, count: usize) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < count {
            let want = (count - self.buffer.len()).max(CHUNK) as u64;
            // Memory grows with what is there, not with what a length field claims.
            if self.source.by_ref().take(want.min(CHUNK as u64 * 16)).read_to_end(&mut self.buffer)? == 0 {
                self.ended = true;
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read.
    struct Dribble(&'static [u8]);

    impl Read for Dribble {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(1);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn bytes_come_in_their_order_and_then_end() {
        let mut input = Input::new(Dribble(b"abcdef"));
        assert_eq!(&input.peek(2).unwrap()[..2], b"ab");
        input.consume(2);
        assert_eq!(input.peek(3).unwrap(), b"cdef");
        input.consume(4);
        assert_eq!(input.peek(1).unwrap(), b"");
        input.consume(9);
        assert_eq!(input.peek(usize::MAX).unwrap(), b"");
    }
}
