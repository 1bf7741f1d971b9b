//! Follows one connection: framing on both sides, gaps, and answers that are reported before their requests.
//!
//! What is certain after a gap, and what is not:
//! - Inside a message whose length is known, missing bytes are stepped over.
//! - Past it on the request side, commands may be missing. The next one is sought where a call begins; answers
//!   that come before it are dropped. Commands before the gap keep their answers: those come in order.
//! - Past it on the response side, nobody can tell what the next bytes answer. The commands that were sent
//!   keep their times but not their outcome, except when the gap lies within one call (its middle was not
//!   captured) and the call's last bytes are the packet that ends the answer. The next command starts afresh.

use super::super::{End, Input, Progress, Start};
use super::framer::{Framer, Message};
use super::pairing::{Pairing, Phase};
use super::plausible::{self, Fit};
use super::reply::Shape;
use super::seek::Seeker;
use super::tail;
use crate::event::{Mark, Side};

/// How much of a server's message is read: an OK with session state, an error's number. Rows only need a byte.
const RESPONSE_HEAD: usize = 512;
/// Most bytes of answers that are held until their requests are reported.
const MAX_EARLY: usize = 64 * 1024;

/// Where the response side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Responses {
    /// Boundaries are known.
    Framed,
    /// An answer begins where the next call begins.
    Awaited,
    /// Boundaries are not known until the next command.
    Lost,
}

/// Bytes of an answer that were reported before their request.
#[derive(Debug)]
struct Early {
    bytes: Vec<u8>,
    call_start: bool,
    mark: Mark,
}

/// One MySQL connection whose bytes can be read, be it after decompression.
#[derive(Debug)]
pub(super) struct PlainConversation {
    requests: Framer,
    responses: Framer,
    pairing: Pairing,
    /// Set while the boundaries of the request side are not known.
    seeker: Option<Seeker>,
    sync: Responses,
    early: Vec<Early>,
    early_bytes: usize,
    /// The last call whose bytes are certain to be of the answer in progress: its first bytes followed on.
    last_call: Option<u64>,
    /// Of that call, how many bytes are contiguous up to its end; all of them count as any number.
    last_tail: usize,
}

impl PlainConversation {
    pub(super) fn new(start: Start) -> Self {
        Self {
            requests: Framer::default(),
            responses: Framer::default(),
            pairing: Pairing::new(start.fresh),
            seeker: (!start.fresh).then(Seeker::default),
            sync: if start.fresh { Responses::Framed } else { Responses::Awaited },
            early: Vec::new(),
            early_bytes: 0,
            last_call: None,
            last_tail: 0,
        }
    }

    // === requests ===

    fn on_request_bytes(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        if let Some(id) = self.pairing.being_sent() {
            out.push(Progress::Touched { id, side: Side::Request, mark: input.mark });
        }
        if let Some(seeker) = &mut self.seeker {
            if self.pairing.takes_file() {
                return;
            }
            let Some(found) = seeker.push(input) else { return };
            self.seeker = None;
            self.pairing.give_up_unanswered(out);
            self.feed_requests(&found.earlier, found.first, out);
        }
        self.feed_requests(input.bytes, input.mark, out);
        self.replay_early(out);
    }

    fn feed_requests(&mut self, bytes: &[u8], mark: Mark, out: &mut Vec<Progress>) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_silent() && self.seeker.is_none() {
            let pairing = &mut self.pairing;
            let (used, message) = self.requests.feed(rest, mark, |seq| pairing.request_head(seq));
            let result = match message {
                Some(message) => pairing.on_request(&message, mark, out),
                None => match self.requests.opening() {
                    Some((seq, byte, first)) => pairing.on_opening(seq, byte, first, out),
                    None => Ok(()),
                },
            };
            rest = rest.get(used..).unwrap_or_default();
            if self.pairing.take_restart() && !self.pairing.gapless {
                self.responses.reset();
                self.sync = Responses::Awaited;
            }
            if self.pairing.front().is_some_and(|open| open.lost) {
                self.responses.reset();
                self.sync = Responses::Lost;
            }
            if result.is_err() {
                self.lose_requests(mark, out);
            }
        }
        if self.requests.in_message().is_none() {
            // It may have held a secret.
            self.requests.wipe();
        }
    }

    fn lose_requests(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        self.pairing.gapless = false;
        let partial = self.requests.partial();
        self.pairing.cut_request(partial.as_ref(), mark, out);
        self.requests.reset();
        self.seeker = Some(Seeker::default());
        self.drop_early(out);
        self.pairing.lose_requests(out);
    }

    // === responses ===

    fn on_response_bytes(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        if self.sync == Responses::Awaited {
            self.sync = self.judge_awaited(input);
            if self.sync == Responses::Lost {
                self.lose_responses(out);
            }
        }
        match self.sync {
            Responses::Framed => self.feed_responses(input, out),
            Responses::Awaited => self.pairing.stray(),
            Responses::Lost => self.on_lost_bytes(input, out),
        }
    }

    /// Whether these bytes begin the answer that is awaited. Bytes that moved before its request are someone
    /// else's; other bytes that do not look like an answer's beginning are its own, but out of step.
    fn judge_awaited(&self, input: &Input<'_>) -> Responses {
        let Some(open) = self.pairing.front() else { return Responses::Awaited };
        if input.mark.time < open.request_first.time {
            return Responses::Awaited;
        }
        let expected = open.reply.expected_seq();
        let begins = match self.pairing.front_shape() {
            Some(Shape::Results | Shape::Simple | Shape::Prepared) => {
                plausible::response(input.bytes, expected) != Fit::No
            }
            _ => input.bytes.get(3).zip(expected).is_none_or(|(seq, expected)| *seq == expected),
        };
        if input.call_start && begins { Responses::Framed } else { Responses::Lost }
    }

    fn feed_responses(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        let (mut rest, mark) = (input.bytes, input.mark);
        let mut touched = None;
        while !rest.is_empty() && !self.is_silent() {
            if self.responses.in_message().is_none() && !self.pairing.expects_response(self.pairing.gapless) {
                let call_start = input.call_start && rest.len() == input.bytes.len();
                self.set_aside(rest, call_start, mark, out);
                break;
            }
            self.cut_request(mark, out);
            self.pairing.touch(&mut touched, mark, out);
            self.last_call = Some(mark.call);
            let (used, message) = self.responses.feed(rest, mark, |_| RESPONSE_HEAD);
            rest = rest.get(used..).unwrap_or_default();
            let was_packed = self.pairing.packed;
            if let Some(message) = message
                && self.pairing.on_response(&message, mark, out).is_err()
            {
                self.last_call = None;
                self.lose_responses(out);
                return;
            }
            if self.pairing.packed != was_packed {
                // The server does not speak before it is asked: nothing follows.
                break;
            }
        }
        match self.responses.in_message() {
            Some(first) => self.pairing.answered(first, mark),
            None => self.pairing.settle(out),
        }
    }

    /// A command is answered before its end (a refusal): what was seen of it must do.
    fn cut_request(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        if self.pairing.front().is_some_and(|open| !open.sent) {
            let partial = self.requests.partial();
            self.pairing.cut_request(partial.as_ref(), mark, out);
        }
    }

    /// Bytes that answer nothing yet: early ones while every byte is seen, else of no use.
    fn set_aside(&mut self, bytes: &[u8], call_start: bool, mark: Mark, out: &mut Vec<Progress>) {
        if !self.pairing.gapless {
            self.pairing.stray();
            return;
        }
        if self.early_bytes + bytes.len() > MAX_EARLY {
            self.early = Vec::new();
            self.early_bytes = 0;
            self.lose_responses(out);
            return;
        }
        self.early_bytes += bytes.len();
        self.early.push(Early { bytes: bytes.to_vec(), call_start, mark });
    }

    fn replay_early(&mut self, out: &mut Vec<Progress>) {
        if self.early.is_empty() || !self.pairing.expects_response(self.pairing.gapless) {
            return;
        }
        self.early_bytes = 0;
        for early in std::mem::take(&mut self.early) {
            let Early { bytes, call_start, mark } = early;
            self.on_response_bytes(&Input { side: Side::Response, bytes: &bytes, call_start, mark }, out);
        }
    }

    /// Held bytes cannot be trusted any more; what they answer will not be known.
    fn drop_early(&mut self, out: &mut Vec<Progress>) {
        if !self.early.is_empty() {
            self.early.clear();
            self.early_bytes = 0;
            self.lose_responses(out);
        }
    }

    fn lose_responses(&mut self, out: &mut Vec<Progress>) {
        self.pairing.gapless = false;
        self.responses.reset();
        self.pairing.lose_setup(out);
        self.pairing.lose_responses(out);
        self.sync = if self.pairing.front().is_some() { Responses::Lost } else { Responses::Awaited };
    }

    fn on_lost_bytes(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        self.pairing.on_lost_bytes(input.mark, out);
        if input.call_start {
            // Nothing is missing between this call and the one before, which did not end the answer.
            let goes_on = self.last_call.filter(|_| self.last_tail >= tail::LONGEST);
            self.last_call = goes_on.map(|_| input.mark.call);
        }
        self.last_tail = if input.call_start { usize::MAX } else { input.bytes.len() };
        if self.last_call == Some(input.mark.call)
            && let Some(terminal) = tail::terminal(input.bytes)
        {
            self.pairing.on_terminal(terminal, input.mark, out);
        }
    }

    // === gaps ===

    fn on_request_gap(&mut self, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        if let Some(seeker) = &mut self.seeker {
            seeker.reset();
            return;
        }
        let (beyond, message) = self.requests.skip(lost);
        let result =
            message.map_or(Ok(()), |message: Message<'_>| self.pairing.on_request(&message, mark, out));
        if beyond > 0 || result.is_err() {
            self.lose_requests(mark, out);
        }
    }

    fn on_response_gap(&mut self, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        // Whole calls are missing, or the end of one: who answers what behind them cannot be told.
        self.last_call = self.last_call.filter(|call| *call == mark.call);
        self.last_tail = 0;
        if self.sync != Responses::Framed {
            // An answer that was awaited began among the missing bytes.
            self.lose_responses(out);
            return;
        }
        let (beyond, message) = self.responses.skip(lost);
        let result =
            message.map_or(Ok(()), |message: Message<'_>| self.pairing.on_response(&message, mark, out));
        if beyond > 0 || result.is_err() {
            self.lose_responses(out);
        }
    }
}

/// What the layer above asks and tells.
impl PlainConversation {
    pub(super) fn on_bytes(&mut self, input: &Input<'_>, out: &mut Vec<Progress>) {
        if self.is_silent() || input.bytes.is_empty() {
            return;
        }
        match input.side {
            Side::Request => self.on_request_bytes(input, out),
            Side::Response => self.on_response_bytes(input, out),
        }
    }

    pub(super) fn on_gap(&mut self, side: Side, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        if self.is_silent() || lost == 0 {
            return;
        }
        self.pairing.gapless = false;
        self.drop_early(out);
        match side {
            Side::Request => self.on_request_gap(lost, mark, out),
            Side::Response => self.on_response_gap(lost, mark, out),
        }
    }

    pub(super) fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        if side == Side::Request && !matches!(end, End::Closed | End::Forgotten | End::Lost) {
            // The server may still answer.
            return;
        }
        // An answer that was held back because its request was incomplete (a refusal) is all that will come.
        self.pairing.gapless = false;
        self.replay_early(out);
        self.cut_request(mark, out);
        match end {
            End::Failed(errno) => self.pairing.end(Some(errno), mark, out),
            End::Finished | End::Closed => self.pairing.end(None, mark, out),
            End::Forgotten | End::Lost => self.pairing.forget(out),
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.pairing.phase == Phase::Silent
    }

    /// The client's and the server's bytes are compressed from here on.
    pub(super) fn is_packed(&self) -> bool {
        self.pairing.packed
    }

    /// They have been compressed since before anybody looked.
    pub(super) fn set_packed(&mut self) {
        self.pairing.packed = true;
    }

    /// Bytes that the server moves now can begin the answer to a command.
    pub(super) fn awaits_answer(&self, mark: Mark) -> bool {
        let sent = self.pairing.front().is_some_and(|open| open.request_first.time <= mark.time);
        sent && self.sync == Responses::Awaited
    }

    /// Bytes of the server moved that cannot be read.
    pub(super) fn on_unreadable(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        if self.sync == Responses::Framed || self.awaits_answer(mark) {
            self.lose_responses(out);
        } else if self.sync == Responses::Awaited {
            self.pairing.stray();
        }
        self.pairing.on_lost_bytes(mark, out);
    }
}
