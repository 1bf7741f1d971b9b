//! One side of a connection: a sequence of messages, with the places where it can be picked up again.

use super::MAX_HEAD;
use super::body::{Body, BodyStep, Framing};
use super::head::{Head, HeadReader, HeadStep};
use super::line::Judgement;
use crate::event::Mark;
use crate::protocol::Input;

/// Reads the messages of one side.
///
/// ```text
///  Boundary ──first byte──▶ Head ──empty line──▶ (owner says how the body ends) ──▶ Body ──▶ Boundary
///     ▲                       │ gap, malformed                                        │
///     └── start line at ── Seeking ◀──────────────────────────────────────────────────┘
///         a call's start
/// ```
#[derive(Debug)]
pub(super) struct Reader<H> {
    state: State<H>,
    /// Recognises a start line at the beginning of a call.
    judge: fn(&[u8]) -> Judgement,
}

#[derive(Debug)]
enum State<H> {
    /// Between two messages.
    Boundary,
    Head(HeadReader<H>),
    Body(Body),
    /// Somewhere inside a message.
    Seeking(Option<Candidate>),
    /// The connection no longer speaks HTTP.
    Silent,
}

/// A call's first bytes that may turn out to be a start line.
#[derive(Debug)]
struct Candidate {
    bytes: Vec<u8>,
    first: Mark,
}

/// What a side's bytes mean. After `Head`, the owner calls [`Reader::begin_body`] or [`Reader::restart`].
#[derive(Debug)]
pub(super) enum Item<H> {
    /// A message begins; its first byte moved with this mark.
    First(Mark),
    /// Its header block is complete.
    Head(H),
    /// Its body is complete and had this many bytes.
    Done(u64),
    /// What follows is no message: the reader seeks.
    Malformed,
    /// The header block exceeds the cap: the reader seeks.
    TooLong,
}

/// Where a gap fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Into a body or chunk whose length is known, or a body without end, and not beyond: nothing is lost.
    InBody,
    /// The same; it was the body's rest.
    RestOfBody(u64),
    /// It took the body's rest and more: whatever came next is lost.
    BeyondBody(u64),
    /// Into a header block.
    InHead,
    /// Into a chunked body, its framing included.
    InChunks,
    /// Between messages, or where the side was being sought anyway.
    Between,
    /// Into a side that no longer matters.
    Silent,
}

impl<H: Head> Reader<H> {
    /// A reader that begins at a message boundary, or seeks one.
    pub(super) fn new(at_boundary: bool, judge: fn(&[u8]) -> Judgement) -> Self {
        Self { state: if at_boundary { State::Boundary } else { State::Seeking(None) }, judge }
    }

    /// The next thing that `input` tells; `None` when its bytes are used up.
    pub(super) fn next(&mut self, input: &mut Input<'_>) -> Option<Item<H>> {
        let before = input.bytes.len();
        let item = match &mut self.state {
            State::Boundary => self.first_byte(input),
            State::Head(reader) => match reader.feed(&mut input.bytes) {
                HeadStep::Incomplete => None,
                HeadStep::Complete(head) => Some(Item::Head(head)),
                HeadStep::Malformed => Some(self.fail(Item::Malformed)),
                HeadStep::TooLong => Some(self.fail(Item::TooLong)),
            },
            State::Body(body) => match body.feed(&mut input.bytes) {
                BodyStep::Incomplete => None,
                BodyStep::Complete(size) => {
                    self.state = State::Boundary;
                    Some(Item::Done(size))
                }
                BodyStep::Malformed => Some(self.fail(Item::Malformed)),
            },
            State::Seeking(_) => self.seek(input),
            State::Silent => {
                input.bytes = &[];
                None
            }
        };
        input.call_start &= input.bytes.len() == before;
        item
    }

    fn first_byte(&mut self, input: &mut Input<'_>) -> Option<Item<H>> {
        // RFC 9112 section 2.2: line ends between messages do not count.
        let blank = input.bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        input.bytes = input.bytes.get(blank..).unwrap_or_default();
        if input.bytes.is_empty() {
            return None;
        }
        self.state = State::Head(HeadReader::default());
        Some(Item::First(input.mark))
    }

    fn seek(&mut self, input: &mut Input<'_>) -> Option<Item<H>> {
        if let State::Seeking(Some(candidate)) = &mut self.state {
            let known = candidate.bytes.len();
            candidate
                .bytes
                .extend_from_slice(input.bytes.get(..MAX_HEAD - known.min(MAX_HEAD)).unwrap_or(input.bytes));
            match (self.judge)(&candidate.bytes) {
                Judgement::Match => {
                    candidate.bytes.truncate(known);
                    let (bytes, first) = (std::mem::take(&mut candidate.bytes), candidate.first);
                    self.state = State::Head(HeadReader::resumed(bytes));
                    return Some(Item::First(first));
                }
                Judgement::Prefix => {
                    input.bytes = &[];
                    return None;
                }
                Judgement::Empty | Judgement::Mismatch => self.state = State::Seeking(None),
            }
        }
        if !input.call_start {
            input.bytes = &[];
            return None;
        }
        match (self.judge)(input.bytes) {
            Judgement::Match => return self.first_byte(input),
            Judgement::Prefix => {
                self.state =
                    State::Seeking(Some(Candidate { bytes: input.bytes.to_vec(), first: input.mark }));
            }
            Judgement::Empty | Judgement::Mismatch => {}
        }
        input.bytes = &[];
        None
    }

    fn fail(&mut self, item: Item<H>) -> Item<H> {
        self.state = State::Seeking(None);
        item
    }

    /// Says how the message whose head came last ends.
    pub(super) fn begin_body(&mut self, framing: Framing) {
        self.state = State::Body(Body::new(framing));
    }

    /// The message is over: the next byte begins another.
    pub(super) fn restart(&mut self) {
        self.state = State::Boundary;
    }

    /// The place within the messages is lost.
    pub(super) fn lose(&mut self) {
        if !matches!(self.state, State::Silent) {
            self.state = State::Seeking(None);
        }
    }

    /// The connection no longer speaks HTTP.
    pub(super) fn silence(&mut self) {
        self.state = State::Silent;
    }

    /// `lost` bytes were not seen.
    pub(super) fn gap(&mut self, lost: u64) -> Gap {
        let gap = match &mut self.state {
            State::Body(Body::UntilClose { seen }) => {
                *seen = seen.saturating_add(lost);
                return Gap::InBody;
            }
            State::Body(Body::Length { remaining, total }) if lost <= *remaining => {
                *remaining -= lost;
                if *remaining > 0 {
                    return Gap::InBody;
                }
                let total = *total;
                self.state = State::Boundary;
                return Gap::RestOfBody(total);
            }
            State::Silent => return Gap::Silent,
            State::Body(Body::Length { total, .. }) => Gap::BeyondBody(*total),
            State::Body(Body::Chunked(chunked)) => {
                if chunked.pass(lost) {
                    return Gap::InBody;
                }
                Gap::InChunks
            }
            State::Head(_) => Gap::InHead,
            State::Boundary | State::Seeking(_) => Gap::Between,
        };
        self.state = State::Seeking(None);
        gap
    }

    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Boundary)
    }

    /// Whether a message has begun whose end is known, or will be when it comes.
    pub(super) fn in_message(&self) -> bool {
        matches!(self.state, State::Head(_) | State::Body(_))
    }

    pub(super) fn seeking(&self) -> bool {
        matches!(self.state, State::Seeking(_))
    }

    pub(super) fn in_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether a body is due of which nothing has come.
    pub(super) fn body_untouched(&self) -> bool {
        matches!(&self.state, State::Body(body) if body.untouched())
    }

    /// Bytes of a body that only the connection's end delimits.
    pub(super) fn until_close(&self) -> Option<u64> {
        match &self.state {
            State::Body(Body::UntilClose { seen }) => Some(*seen),
            _ => None,
        }
    }

    /// What is known of a head that is not complete; `None` unless its start line was understood.
    pub(super) fn partial_head(&self) -> Option<&H> {
        match &self.state {
            State::Head(reader) if reader.started() => Some(reader.so_far()),
            _ => None,
        }
    }

    /// Whether a new call begins with a start line.
    pub(super) fn starts_message(&self, input: &Input<'_>) -> bool {
        input.call_start && (self.judge)(input.bytes) == Judgement::Match
    }
}
