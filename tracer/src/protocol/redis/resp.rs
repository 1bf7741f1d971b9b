//! RESP2 and RESP3, token by token: bytes in any segmentation, no copy of bulk strings.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>, and `networking.c` for inline commands.

use memchr::memchr;

use super::command::decimal;

/// Longest line that is followed. `MONITOR` prints whole commands in one line; nothing is kept of it but its start.
const MAX_LINE: usize = 64 << 20;
/// Longest line that states a length or a number. A big number is not one.
const MAX_HEADER: usize = 40;
/// Largest bulk string: a bound against nonsense, far above `proto-max-bulk-len`'s default of 512 MiB.
const MAX_BULK: u64 = 1 << 40;
/// Most elements of an aggregate: Redis's own bound is `INT_MAX`.
const MAX_ELEMENTS: u64 = 1 << 31;
/// Length of CR LF.
const CRLF: u64 = 2;

/// The bytes do not follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A piece of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A value that is one line, which [`Tokenizer::text`] holds: `+ - : # , (`.
    Line { kind: u8 },
    /// `_`, `$-1` or `*-1`.
    Null,
    /// A bulk string begins: `$ ! =`. Parts and a `BulkEnd` follow.
    Bulk { kind: u8 },
    /// Bytes of a bulk string, perhaps none.
    Part(&'a [u8]),
    /// The bulk string is over.
    BulkEnd,
    /// An aggregate begins: `* ~ % | >`. So many values follow, or an unknown number and an `End`.
    Aggregate { kind: u8, count: Option<u64> },
    /// End of a streamed aggregate.
    End,
}

/// Cuts bytes into tokens.
#[derive(Debug)]
pub(super) struct Tokenizer {
    state: State,
    /// Inside `$?`: chunks until one of length 0.
    streaming: bool,
    /// Start of a line that came in pieces.
    line: Vec<u8>,
    /// Bytes of that line so far; 0 at its start.
    length: usize,
    /// Its last byte so far.
    last: u8,
    /// How much of a line is kept.
    keep: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Line,
    /// So many bytes remain of a bulk string, CR LF included.
    Body(u64),
}

impl Tokenizer {
    /// Keeps at most `keep` bytes of a line.
    pub(super) fn new(keep: usize) -> Self {
        Self { state: State::Line, streaming: false, line: Vec::new(), length: 0, last: 0, keep }
    }

    /// Forgets what it was in the middle of.
    pub(super) fn reset(&mut self) {
        self.state = State::Line;
        self.streaming = false;
        self.length = 0;
    }

    /// How many bytes may be passed over without losing the place: the rest of a bulk string.
    pub(super) fn skippable(&self) -> u64 {
        match self.state {
            State::Body(left) => left,
            State::Line => 0,
        }
    }

    /// Passes over bytes that were not captured. False: the place is lost.
    pub(super) fn skip(&mut self, lost: u64) -> bool {
        match &mut self.state {
            State::Body(left) if lost <= *left => {
                *left -= lost;
                true
            }
            State::Body(_) | State::Line => false,
        }
    }

    /// The next token, taken off the front of `input`; `None` when more bytes are needed.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Token<'a>>, Malformed> {
        if let State::Body(left) = self.state {
            return self.body(left, input);
        }
        if self.length == 0
            && !self.streaming
            && let Some(token) = self.header(input)
        {
            return Ok(Some(token));
        }
        match self.read_line(input, true)? {
            true => self.line_token().map(Some),
            false => Ok(None),
        }
    }

    /// The usual beginning of a string or an array, in one piece: `$5` or `*3` and CR LF. What is anything else, or
    /// longer, is read as a line.
    fn header(&mut self, input: &mut &[u8]) -> Option<Token<'static>> {
        const MAX_DIGITS: usize = 6;
        let (&kind, rest) = input.split_first().filter(|(kind, _)| matches!(kind, b'$' | b'*'))?;
        let digits = rest.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = rest.split_at_checked(digits)?;
        let rest = rest.strip_prefix(b"\r\n")?;
        let number = decimal(text)?;
        *input = rest;
        self.last = b'\n';
        if kind == b'*' {
            return Some(Token::Aggregate { kind, count: Some(number) });
        }
        self.state = State::Body(number + CRLF);
        Some(Token::Bulk { kind })
    }

    fn body<'a>(&mut self, left: u64, input: &mut &'a [u8]) -> Result<Option<Token<'a>>, Malformed> {
        if left > CRLF {
            let most = usize::try_from(left - CRLF).unwrap_or(usize::MAX);
            let (part, rest) = input.split_at(most.min(input.len()));
            *input = rest;
            self.state = State::Body(left - part.len() as u64);
            return Ok((!part.is_empty()).then_some(Token::Part(part)));
        }
        let expected: &[u8] = if left == CRLF { b"\r\n" } else { b"\n" };
        let expected = expected.get(..left as usize).unwrap_or_default();
        let have = expected.len().min(input.len());
        let (end, rest) = input.split_at(have);
        if !expected.starts_with(end) {
            return Err(Malformed);
        }
        *input = rest;
        if have < expected.len() {
            self.state = State::Body(left - have as u64);
            return Ok(None);
        }
        self.state = State::Line;
        Ok(Some(if self.streaming { Token::Part(&[]) } else { Token::BulkEnd }))
    }

    /// Reads to the end of a line: true when it was reached. `crlf`: a bare LF is an error, not an end.
    pub(super) fn read_line(&mut self, input: &mut &[u8], crlf: bool) -> Result<bool, Malformed> {
        let end = memchr(b'\n', input);
        let (piece, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        *input = rest;
        let before = piece.len().checked_sub(2).and_then(|at| piece.get(at).copied()).unwrap_or(self.last);
        self.keep_piece(piece)?;
        if end.is_none() {
            return Ok(false);
        }
        let ends_crlf = self.length >= 2 && before == b'\r';
        if crlf && !ends_crlf {
            return Err(Malformed);
        }
        self.line.truncate(self.length - if ends_crlf { 2 } else { 1 });
        self.length = 0;
        Ok(true)
    }

    /// The line that was read, as far as it was kept.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The same after its first byte.
    pub(super) fn text(&self) -> &[u8] {
        self.line.get(1..).unwrap_or_default()
    }

    /// Gives the memory of a long line back.
    pub(super) fn release_line(&mut self) {
        self.line.shrink_to(MAX_HEADER);
    }

    /// Bytes read of a line that has not ended.
    pub(super) fn partial_line(&self) -> usize {
        self.length
    }

    fn keep_piece(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if self.length == 0 {
            self.line.clear();
        }
        let room = self.keep.saturating_sub(self.line.len());
        self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.length = self.length.saturating_add(piece.len());
        self.last = piece.last().copied().unwrap_or(self.last);
        if self.length <= MAX_HEADER {
            return Ok(());
        }
        let is_header = self.line.first().is_some_and(|kind| b"$!=*~%|>;:#_.".contains(kind));
        if is_header || self.length > MAX_LINE { Err(Malformed) } else { Ok(()) }
    }

    fn line_token(&mut self) -> Result<Token<'static>, Malformed> {
        let (&kind, text) = self.line.split_first().ok_or(Malformed)?;
        if self.streaming {
            return self.chunk();
        }
        match kind {
            b'+' | b'-' => Ok(Token::Line { kind }),
            b':' | b'(' if is_integer(text) => Ok(Token::Line { kind }),
            b',' if is_double(text) => Ok(Token::Line { kind }),
            b'#' if matches!(text, b"t" | b"f") => Ok(Token::Line { kind }),
            b'_' if text.is_empty() => Ok(Token::Null),
            b'.' if text.is_empty() => Ok(Token::End),
            b'$' | b'*' if text == b"-1" => Ok(Token::Null),
            b'$' if text == b"?" => {
                self.streaming = true;
                Ok(Token::Bulk { kind })
            }
            b'$' | b'!' | b'=' => {
                let length = bounded(text, MAX_BULK)?;
                self.state = State::Body(length + CRLF);
                Ok(Token::Bulk { kind })
            }
            b'*' | b'~' | b'%' | b'|' | b'>' => aggregate(kind, text),
            _ => Err(Malformed),
        }
    }

    /// `;4` and four bytes; `;0` ends the string.
    fn chunk(&mut self) -> Result<Token<'static>, Malformed> {
        let length =
            self.line.strip_prefix(b";").ok_or(Malformed).and_then(|text| bounded(text, MAX_BULK))?;
        if length == 0 {
            self.streaming = false;
            return Ok(Token::BulkEnd);
        }
        self.state = State::Body(length + CRLF);
        Ok(Token::Part(&[]))
    }
}

fn aggregate(kind: u8, text: &[u8]) -> Result<Token<'static>, Malformed> {
    if text == b"?" && kind != b'|' {
        return Ok(Token::Aggregate { kind, count: None });
    }
    let count = bounded(text, MAX_ELEMENTS)?;
    let values = if matches!(kind, b'%' | b'|') { 2 * count } else { count };
    Ok(Token::Aggregate { kind, count: Some(values) })
}

fn bounded(text: &[u8], most: u64) -> Result<u64, Malformed> {
    decimal(text).filter(|&number| number <= most).ok_or(Malformed)
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn is_double(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eEinfaN".contains(byte))
}
