//! Header blocks: lines gathered over any number of segments.

use super::MAX_HEAD;
use super::line::strip_cr;

/// What a start line and header fields make: a request's or a response's head.
pub(super) trait Head: Default {
    /// Takes the start line; `false` if it is none.
    fn start_line(&mut self, line: &[u8]) -> bool;

    /// Whether a field that begins like this may be of interest: most are not, and need not be taken apart.
    fn may_want(line: &[u8]) -> bool;

    /// Takes one header field; `value` has no white space around it. The name can be any bytes.
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// Reads one header block.
#[derive(Debug, Default)]
pub(super) struct HeadReader<H> {
    head: H,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Its end has come, but it may be folded: the next byte tells.
    ended: bool,
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
        Self { length: bytes.len(), partial: bytes, ended: false, head: H::default(), started: false }
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
        loop {
            if self.ended && !self.go_on(input) {
                return HeadStep::Incomplete;
            }
            let Some(end) = memchr::memchr(b'\n', input) else { break };
            let (line, rest) = input.split_at_checked(end + 1).unwrap_or((input, &[]));
            *input = rest;
            if !self.admit(line.len()) {
                return HeadStep::TooLong;
            }
            if self.is_idle(line, input) {
                continue;
            }
            if let Some(step) = self.ends(line.strip_suffix(b"\n").unwrap_or(line), input) {
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

    /// A whole line of a field that is of no interest, as most are: `rest` shows that it is not folded.
    fn is_idle(&self, line: &[u8], rest: &[u8]) -> bool {
        self.started
            && self.partial.is_empty()
            && rest.first().is_some_and(|next| !is_blank(*next))
            && !matches!(line, [b'\r' | b'\n', ..])
            && !H::may_want(line)
    }

    /// A field's line has ended, and `input` stands behind it. `false` if that is empty, so that it cannot be told
    /// whether the line is folded: then it is one with the next (RFC 9112 section 5.2).
    fn go_on(&mut self, input: &[u8]) -> bool {
        let Some(next) = input.first() else { return false };
        self.ended = false;
        if is_blank(*next) {
            self.partial.push(b' ');
        } else {
            let line = std::mem::take(&mut self.partial);
            self.field_line(&line);
        }
        true
    }

    /// A line ends with `line`, and `rest` comes behind its end.
    fn ends(&mut self, line: &[u8], rest: &[u8]) -> Option<HeadStep<H>> {
        let folded = rest.first().is_none_or(|next| is_blank(*next));
        if self.partial.is_empty() {
            let line = strip_cr(line);
            if self.started && folded && !line.is_empty() {
                self.partial.extend_from_slice(line);
                self.ended = true;
                return None;
            }
            return self.line(line);
        }
        self.partial.extend_from_slice(line);
        self.partial.truncate(strip_cr(&self.partial).len());
        if self.started && !self.partial.is_empty() {
            self.ended = true;
            return None;
        }
        let whole = std::mem::take(&mut self.partial);
        self.line(&whole)
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
            (true, Some(_)) => self.field_line(line),
        }
        None
    }

    /// Fields that are none are ignored: the peers' own parsers decide what becomes of the message.
    fn field_line(&mut self, line: &[u8]) {
        if !H::may_want(line) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let Some((name, value)) = line.split_at_checked(colon) else { return };
        self.head.field(name.trim_ascii_end(), value.strip_prefix(b":").unwrap_or(value).trim_ascii());
    }
}

/// A line's byte at `at`, in lower case; 0 behind its end.
pub(super) fn letter(line: &[u8], at: usize) -> u8 {
    line.get(at).map_or(0, u8::to_ascii_lowercase)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
