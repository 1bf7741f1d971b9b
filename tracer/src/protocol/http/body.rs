//! Bodies: RFC 9112 sections 6 and 7. Nothing of a body is kept; it is counted and skipped.

/// How a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes.
    Length(u64),
    /// By the last chunk and trailers.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A body being skipped.
#[derive(Debug)]
pub(super) enum Body {
    /// This many of `total` bytes are to come.
    Length { remaining: u64, total: u64 },
    /// Chunks.
    Chunked(Chunked),
    /// Everything up to the connection's end; `seen` bytes so far.
    UntilClose { seen: u64 },
}

/// What skipping led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyStep {
    /// The input is used up.
    Incomplete,
    /// The body is complete and had this many bytes.
    Complete(u64),
    /// Chunk framing is broken.
    Malformed,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(total) => Self::Length { remaining: total, total },
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose { seen: 0 },
        }
    }

    /// Skips what belongs to the body at the front of `input`.
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> BodyStep {
        match self {
            Self::Length { remaining, total } => {
                *remaining -= skip(input, *remaining);
                if *remaining == 0 { BodyStep::Complete(*total) } else { BodyStep::Incomplete }
            }
            Self::Chunked(chunked) => chunked.feed(input),
            Self::UntilClose { seen } => {
                *seen = seen.saturating_add(skip(input, u64::MAX));
                BodyStep::Incomplete
            }
        }
    }

    /// Whether no byte of it has come.
    pub(super) fn untouched(&self) -> bool {
        match self {
            Self::Length { remaining, total } => remaining == total,
            Self::Chunked(chunked) => chunked.untouched,
            Self::UntilClose { seen } => *seen == 0,
        }
    }
}

/// Most bytes of a chunk's size line; extensions included. Servers allow 4 to 16 KiB.
const MAX_SIZE_LINE: u32 = 16 * 1024;

/// Most bytes of trailers.
const MAX_TRAILERS: u32 = super::MAX_HEAD as u32;

/// A chunked body.
///
/// ```text
///  Size ──LF──▶ Data ──size bytes──▶ DataEnd ──LF──▶ Size
///    └──LF, size 0──▶ Trailer ──empty line──▶ complete
/// ```
#[derive(Debug)]
pub(super) struct Chunked {
    state: ChunkState,
    /// Body bytes so far.
    total: u64,
    untouched: bool,
}

#[derive(Debug)]
enum ChunkState {
    Size { size: u64, digits: u8, extension: bool, length: u32 },
    Data { remaining: u64 },
    DataEnd,
    Trailer { line_empty: bool, length: u32 },
}

const SIZE_START: ChunkState = ChunkState::Size { size: 0, digits: 0, extension: false, length: 0 };

impl Default for Chunked {
    fn default() -> Self {
        Self { state: SIZE_START, total: 0, untouched: true }
    }
}

impl Chunked {
    fn feed(&mut self, input: &mut &[u8]) -> BodyStep {
        while let Some((&byte, rest)) = input.split_first() {
            self.untouched = false;
            if let ChunkState::Data { remaining } = &mut self.state {
                let skipped = skip(input, *remaining);
                *remaining -= skipped;
                self.total = self.total.saturating_add(skipped);
                if *remaining == 0 {
                    self.state = ChunkState::DataEnd;
                }
                continue;
            }
            *input = rest;
            match self.framing_byte(byte) {
                Ok(false) => {}
                Ok(true) => return BodyStep::Complete(self.total),
                Err(Malformed) => return BodyStep::Malformed,
            }
        }
        BodyStep::Incomplete
    }

    /// Passes `lost` bytes that were not seen, if all of them are data of the current chunk.
    pub(super) fn pass(&mut self, lost: u64) -> bool {
        let ChunkState::Data { remaining } = &mut self.state else { return false };
        let Some(rest) = remaining.checked_sub(lost) else { return false };
        *remaining = rest;
        self.total = self.total.saturating_add(lost);
        if rest == 0 {
            self.state = ChunkState::DataEnd;
        }
        true
    }

    /// Takes a byte outside chunk data; whether it was the body's last.
    fn framing_byte(&mut self, byte: u8) -> Result<bool, Malformed> {
        match &mut self.state {
            ChunkState::Size { size, digits, extension, length } => {
                *length += 1;
                match byte {
                    b'\n' if *digits > 0 => {
                        self.state = match *size {
                            0 => ChunkState::Trailer { line_empty: true, length: 0 },
                            remaining => ChunkState::Data { remaining },
                        };
                    }
                    _ if *length > MAX_SIZE_LINE => return Err(Malformed),
                    b'\n' => return Err(Malformed),
                    _ if *extension => {}
                    b';' | b' ' | b'\t' | b'\r' if *digits > 0 => *extension = true,
                    _ => {
                        let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                        *size = size.checked_mul(16).ok_or(Malformed)? | u64::from(digit);
                        *digits = digits.saturating_add(1);
                    }
                }
            }
            ChunkState::DataEnd => match byte {
                b'\r' => {}
                b'\n' => self.state = SIZE_START,
                _ => return Err(Malformed),
            },
            ChunkState::Trailer { line_empty, length } => {
                *length += 1;
                match byte {
                    b'\n' if *line_empty => return Ok(true),
                    _ if *length > MAX_TRAILERS => return Err(Malformed),
                    b'\n' => *line_empty = true,
                    b'\r' => {}
                    _ => *line_empty = false,
                }
            }
            ChunkState::Data { .. } => {}
        }
        Ok(false)
    }
}

struct Malformed;

/// Drops up to `most` bytes from the front of `input`; how many they were.
fn skip(input: &mut &[u8], most: u64) -> u64 {
    let length = usize::try_from(most).map_or(input.len(), |most| most.min(input.len()));
    *input = input.get(length..).unwrap_or_default();
    length as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (BodyStep, usize) {
        let mut input = text.as_bytes();
        let step = Body::new(Framing::Chunked).feed(&mut input);
        (step, input.len())
    }

    #[test]
    fn chunks_with_extensions_and_trailers() {
        let text = "5;a=\"b\"\r\nhello\r\nA \r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET";
        assert_eq!(run(text), (BodyStep::Complete(15), 3));
        assert_eq!(run("1\nx\n0\n\nrest"), (BodyStep::Complete(1), 4), "bare LF");
    }

    #[test]
    fn broken_chunks() {
        for text in ["\r\n", "x\r\n", "fffffffffffffffff\r\n", "1\r\nxy\r\n"] {
            assert_eq!(run(text).0, BodyStep::Malformed, "{text:?}");
        }
        assert_eq!(run(&format!("1;{}", "e".repeat(20_000))).0, BodyStep::Malformed);
    }

    #[test]
    fn huge_lengths_do_not_overflow() {
        let mut body = Body::new(Framing::Length(u64::MAX));
        assert_eq!(body.feed(&mut &b"abc"[..]), BodyStep::Incomplete);
        assert_eq!(run("ffffffffffffffff\r\nabc").0, BodyStep::Incomplete);
        let mut body = Body::UntilClose { seen: u64::MAX };
        assert_eq!(body.feed(&mut &b"abc"[..]), BodyStep::Incomplete);
    }
}
