//! One conversation of a protocol, in either role: bytes in any segmentation, gaps, ends.
//!
//! Checked: every exchange that begins ends once, in order of the rules of [`Conversation`]; what a connection holds
//! stays below [`MAX_CONVERSATION`].

use std::collections::HashMap;

use tracer::event::{Mark, Role, Side, ThreadId};
use tracer::protocol::{
    Conversation, End, ExchangeId, Input, MAX_CONVERSATION, PROTOCOLS, Progress, Protocol, Start,
};

use crate::memory::Meter;
use crate::recordings::{self, Calls};
use crate::steps::{self, Step};

/// Operations; the low three bits of a step's.
mod operation {
    pub(super) const REQUEST: u8 = 0;
    pub(super) const RESPONSE: u8 = 1;
    /// More bytes of the same call.
    pub(super) const REQUEST_GOES_ON: u8 = 2;
    pub(super) const RESPONSE_GOES_ON: u8 = 3;
    pub(super) const GAP: u8 = 4;
    pub(super) const END: u8 = 5;
    /// The same bytes many times over, to get at the caps with a short input.
    pub(super) const REQUESTS: u8 = 6;
}

/// Most bytes that an input may make of repeated ones: enough for all caps, few enough to be fast.
const MAX_REPEATED: usize = 1 << 18;

pub(crate) fn http(input: &[u8]) {
    run("http", input);
}

pub(crate) fn mysql(input: &[u8]) {
    run("mysql", input);
}

pub(crate) fn redis(input: &[u8]) {
    run("redis", input);
}

pub(crate) fn http_seeds() -> Vec<Vec<u8>> {
    seeds(&recordings::http())
}

pub(crate) fn mysql_seeds() -> Vec<Vec<u8>> {
    seeds(&recordings::mysql())
}

pub(crate) fn redis_seeds() -> Vec<Vec<u8>> {
    seeds(&recordings::redis())
}

/// The first byte says role (bit 0) and whether the connection is seen from its start (bit 1).
fn run(name: &str, input: &[u8]) {
    let Some(protocol) = PROTOCOLS.iter().find(|protocol| protocol.name == name) else { return };
    let Some((&first, rest)) = input.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let mut tap = Tap::new(protocol, Start { role, fresh: first & 2 != 0 });
    for step in steps::read(rest) {
        tap.take(&step);
    }
    tap.finish();
}

/// A conversation, and what it told that is not over.
struct Tap {
    meter: Meter,
    conversation: Box<dyn Conversation>,
    call: u64,
    out: Vec<Progress>,
    open: HashMap<ExchangeId, Told>,
    ended: Option<ExchangeId>,
    /// Bytes that may still be made by repetition.
    repeatable: usize,
}

/// What was told of an open exchange.
#[derive(Debug, Default)]
struct Told {
    context: bool,
}

impl Tap {
    fn new(protocol: &Protocol, start: Start) -> Self {
        Self {
            meter: Meter::default(),
            conversation: (protocol.start)(start),
            call: 0,
            out: Vec::new(),
            open: HashMap::new(),
            ended: None,
            repeatable: MAX_REPEATED,
        }
    }

    fn take(&mut self, step: &Step) {
        let text = &step.text;
        match step.operation & 7 {
            operation::REQUEST => self.bytes(Side::Request, text, true),
            operation::RESPONSE => self.bytes(Side::Response, text, true),
            operation::REQUEST_GOES_ON => self.bytes(Side::Request, text, false),
            operation::RESPONSE_GOES_ON => self.bytes(Side::Response, text, false),
            operation::GAP => {
                let (number, rest) = step.number::<2>();
                let shift = rest.first().map_or(0, |shift| u32::from(*shift) % 48);
                self.gap(side(step.operation), number << shift);
            }
            operation::END => {
                let (kind, _) = step.number::<1>();
                let end = match kind % 4 {
                    0 => End::Finished,
                    1 => End::Failed(104),
                    2 => End::Failed((kind / 4) as u16),
                    _ => return,
                };
                self.end(side(step.operation), end);
            }
            repeated => {
                let (times, text) = step.number::<1>();
                let side = if repeated == operation::REQUESTS { Side::Request } else { Side::Response };
                let times = (1 << (times % 18)).min(self.repeatable / text.len().max(1));
                self.repeatable -= times * text.len();
                self.bytes(side, &text.repeat(times), true);
            }
        }
    }

    fn mark(&self) -> Mark {
        let thread = ThreadId { tgid: 1, tid: 1 + (self.call % 2) as u32, start: 1 };
        Mark { time: self.call * 1000, call: self.call, thread, ..Mark::default() }
    }

    fn bytes(&mut self, side: Side, bytes: &[u8], call_start: bool) {
        self.call += u64::from(call_start);
        if !bytes.is_empty() {
            let input = Input { side, bytes, call_start, mark: self.mark() };
            self.conversation.on_bytes(input, &mut self.out);
        }
        self.check();
    }

    fn gap(&mut self, side: Side, lost: u64) {
        let mark = self.mark();
        self.conversation.on_gap(side, lost, mark, &mut self.out);
        self.check();
    }

    fn end(&mut self, side: Side, end: End) {
        self.call += 1;
        let mark = self.mark();
        self.conversation.on_end(side, end, mark, &mut self.out);
        self.check();
    }

    /// As the connection stage does when a connection is over.
    fn finish(mut self) {
        let end = if self.call.is_multiple_of(2) { End::Closed } else { End::Forgotten };
        self.end(Side::Request, end);
        self.end(Side::Response, end);
        assert!(self.open.is_empty(), "never ended: {:?}", self.open);
    }

    fn check(&mut self) {
        for progress in std::mem::take(&mut self.out) {
            match progress {
                Progress::Begun { id, .. } => {
                    assert!(self.open.insert(id, Told::default()).is_none(), "{id} begun twice");
                    assert!(self.ended.is_none_or(|ended| ended != id), "{id} begun again");
                }
                Progress::Touched { id, .. } | Progress::Answered { id } => {
                    assert!(self.open.contains_key(&id), "{id} moved, but not open");
                }
                Progress::Context { id, .. } => {
                    let told = self.open.get_mut(&id);
                    assert!(told.is_some_and(|told| !std::mem::replace(&mut told.context, true)), "{id}");
                }
                Progress::Ended { id, exchange } => {
                    assert!(self.open.remove(&id).is_some(), "{id} ended, but not open");
                    let times = exchange.times;
                    let calls = [times.request_first.call, times.request_last.call, times.end.call];
                    assert!(calls.iter().all(|call| *call <= self.call), "{times:?}");
                    self.ended = Some(id);
                }
                Progress::Abandoned { id, .. } => {
                    assert!(self.open.remove(&id).is_some(), "{id} abandoned, but not open");
                    self.ended = Some(id);
                }
            }
        }
        let _ = self.conversation.window();
        self.meter.check(MAX_CONVERSATION);
    }
}

/// Gaps and ends concern the side that bit 3 of their operation names.
fn side(operation: u8) -> Side {
    if operation & 8 == 0 { Side::Request } else { Side::Response }
}

/// Each conversation as it was, in both roles.
fn seeds(conversations: &[Calls]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, calls) in conversations.iter().enumerate() {
        let steps: Vec<Step> = calls
            .iter()
            .map(|(side, bytes)| match side {
                Side::Request => Step::new(operation::REQUEST, bytes.clone()),
                Side::Response => Step::new(operation::RESPONSE, bytes.clone()),
            })
            .collect();
        let first = 2 | (number as u8 & 1);
        seeds.push([vec![first], steps::write(&steps)].concat());
    }
    seeds
}
