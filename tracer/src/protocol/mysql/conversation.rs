//! Follows one connection: as it is, or through decompression.

use super::super::{Conversation, End, Input, Progress, Start, Window};
use super::packed::{self, Packed, Piece, Sought};
use super::plain::PlainConversation;
use crate::event::{Mark, Side};

/// Stands for bytes of unknown number: more than any message has left.
const UNKNOWN: u64 = 1 << 40;

/// What lies between the connection's bytes and MySQL's messages.
#[derive(Debug)]
enum Layer {
    /// Nothing.
    Plain,
    /// Unknown: the connection is older than the tracer. The first command that is found either way tells, and its
    /// answer.
    Either(Box<Packed>),
    /// The compressed protocol.
    Packed(Box<Packed>),
}

/// One MySQL connection.
#[derive(Debug)]
pub(super) struct MysqlConversation {
    plain: PlainConversation,
    layer: Layer,
}

impl MysqlConversation {
    pub(super) fn new(start: Start) -> Self {
        let layer = if start.fresh { Layer::Plain } else { Layer::Either(Box::new(Packed::new(false))) };
        Self { plain: PlainConversation::new(start), layer }
    }

    /// Plain bytes; they may be the last plain ones.
    fn on_plain(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        self.plain.on_bytes(input, out);
        if self.plain.is_packed() {
            self.layer = Layer::Packed(Box::new(Packed::new(true)));
        }
    }

    /// Nobody knows yet whether these bytes are plain or packed. A packet whose header comes in a call of its own
    /// can hold a plain command, so packets are sought first.
    fn on_either(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        let Layer::Either(packed) = &mut self.layer else { return };
        let plain = &mut self.plain;
        let mut give = |piece: Piece<'_>| {
            if !plain.is_packed() {
                plain.set_packed();
                // What was gathered as plain is no command.
                plain.on_gap(Side::Request, UNKNOWN, input.mark, out);
            }
            hand_on(plain, piece, input, out);
        };
        let (bytes, call_start) = (input.bytes, input.call_start);
        let is_packed = input.side == Side::Request
            && packed.requests.seek(bytes, call_start, Sought::Request, &mut give);
        if is_packed {
            if let Layer::Either(packed) = std::mem::replace(&mut self.layer, Layer::Plain) {
                self.layer = Layer::Packed(packed);
            }
            return;
        }
        let answers = input.side == Side::Response && self.plain.awaits_answer(input.mark);
        if answers && packed::is_response(bytes) {
            // The command was the content of a packet that began before anybody looked.
            self.plain.set_packed();
            self.plain.on_unreadable(input.mark, out);
            self.layer = Layer::Packed(Box::new(Packed::new(false)));
            return;
        }
        self.plain.on_bytes(input, out);
        if answers {
            self.layer = Layer::Plain;
        }
    }
}

fn on_packed(plain: &mut PlainConversation, packed: &mut Packed, input: &Input<'_>, out: &mut Vec<Progress>) {
    let Input { bytes, call_start, mark, .. } = *input;
    let (unpacker, sought) = match input.side {
        Side::Request => (&mut packed.requests, Sought::Request),
        Side::Response => {
            let seq = packed.requests.next_seq();
            (&mut packed.responses, Sought::Response(seq))
        }
    };
    if unpacker.is_framed() {
        unpacker.feed(bytes, call_start, &mut |piece| hand_on(plain, piece, input, out));
    } else if sought == Sought::Request || plain.awaits_answer(mark) {
        let found = unpacker.seek(bytes, call_start, sought, &mut |piece| hand_on(plain, piece, input, out));
        if !found && sought != Sought::Request && !unpacker.has_candidate() {
            plain.on_unreadable(mark, out);
        }
    } else {
        unpacker.lose();
        plain.on_unreadable(mark, out);
    }
}

/// Gives the messages' reader what became of some bytes.
fn hand_on(plain: &mut PlainConversation, piece: Piece<'_>, input: &Input<'_>, out: &mut Vec<Progress>) {
    match piece {
        Piece::Bytes { bytes, start } => {
            plain.on_bytes(&Input { bytes, call_start: start, ..*input }, out);
        }
        Piece::Missing(lost) => plain.on_gap(input.side, lost, input.mark, out),
        Piece::Lost => {
            plain.on_gap(input.side, UNKNOWN, input.mark, out);
            if input.side == Side::Response {
                plain.on_unreadable(input.mark, out);
            }
        }
    }
}

impl Conversation for MysqlConversation {
    fn on_bytes(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        if input.bytes.is_empty() || self.plain.is_silent() {
            return;
        }
        match &mut self.layer {
            Layer::Plain => self.on_plain(&input, out),
            Layer::Either(_) => self.on_either(&input, out),
            Layer::Packed(packed) => on_packed(&mut self.plain, packed, &input, out),
        }
    }

    fn on_gap(&mut self, side: Side, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        if lost == 0 {
            return;
        }
        let plain = &mut self.plain;
        let unpacker = match (&mut self.layer, side) {
            (Layer::Plain, _) => return plain.on_gap(side, lost, mark, out),
            (Layer::Either(packed) | Layer::Packed(packed), Side::Request) => &mut packed.requests,
            (Layer::Either(packed) | Layer::Packed(packed), Side::Response) => &mut packed.responses,
        };
        unpacker.skip(lost, &mut |piece| match piece {
            Piece::Missing(lost) => plain.on_gap(side, lost, mark, out),
            Piece::Lost | Piece::Bytes { .. } => plain.on_gap(side, UNKNOWN, mark, out),
        });
    }

    fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        self.plain.on_end(side, end, mark, out);
    }

    fn window(&self) -> Window {
        if self.plain.is_silent() { Window::Nothing } else { Window::Whole }
    }
}
