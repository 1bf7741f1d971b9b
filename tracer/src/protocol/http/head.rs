//! Header blocks: lines gathered over any number of segments.

use super::MAX_HEAD;
use super::line::{is_token_byte, strip_cr};

/// What a start line and header fields make: a request's or a response's head.
pub(super) trait Head: Default {
    /// Takes the start line; `false` if it is none.
    fn start_line(&mut self, line: &[u8]) -> bool;

    /// Takes one header field; `value` has no white space around it.
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// Reads one header block.
#[derive(Debug, Default)]
pub(super) struct HeadReader<H> {
    head: H,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Bytes of the block so far.
    length: usize,
    started: bool,
}

/// What feeding a [`HeadReader`] led to.
#[derive(Debug)]
pub(super) enum HeadStep<H> {
    /// The input is used up.
    Incomplete,
    /// The block is complete; the input stands at the body's first byte.
    Complete(H),
    /// The start line is none.
    Malformed,
    /// The block exceeds [`MAX_HEAD`].
    TooLong,
}

impl<H: Head> HeadReader<H> {
    /// A reader that was given `bytes`, in which no line ends, before.
    pub(super) fn resumed(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), partial: bytes, head: H::default(), started: false }
    }

    /// The head as far as it is known.
    pub(super) fn so_far(&self) -> &H {
        &self.head
    }

    /// Whether the start line was understood.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Takes bytes from the front of `input`.
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> HeadStep<H> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            let (line, rest) = input.split_at_checked(end + 1).unwrap_or((input, &[]));
            *input = rest;
            if !self.admit(line.len()) {
                return HeadStep::TooLong;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let step = if self.partial.is_empty() {
                self.line(strip_cr(line))
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(strip_cr(&whole))
            };
            if let Some(step) = step {
                return step;
            }
        }
        let rest = std::mem::take(input);
        if !self.admit(rest.len()) {
            return HeadStep::TooLong;
        }
        self.partial.extend_from_slice(rest);
        HeadStep::Incomplete
    }

    fn admit(&mut self, bytes: usize) -> bool {
        self.length = self.length.saturating_add(bytes);
        self.length <= MAX_HEAD
    }

    fn line(&mut self, line: &[u8]) -> Option<HeadStep<H>> {
        match (self.started, line.first()) {
            // RFC 9112 section 2.2: an empty line before the start line is ignored.
            (false, None) => {}
            (false, Some(_)) => {
                self.started = self.head.start_line(line);
                if !self.started {
                    return Some(HeadStep::Malformed);
                }
            }
            (true, None) => return Some(HeadStep::Complete(std::mem::take(&mut self.head))),
            // Obsolete line folding (section 5.2): no field of interest uses it.
            (true, Some(b' ' | b'\t')) => {}
            (true, Some(_)) => self.field_line(line),
        }
        None
    }

    /// Fields that are none are ignored: the peers' own parsers decide what becomes of the message.
    fn field_line(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let Some((name, value)) = line.split_at_checked(colon) else { return };
        let name = name.trim_ascii_end();
        if name.iter().all(|&byte| is_token_byte(byte)) {
            self.head.field(name, value.strip_prefix(b":").unwrap_or(value).trim_ascii());
        }
    }
}
