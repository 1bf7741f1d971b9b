//! The server's messages: each belongs to the oldest exchange that is open.

use super::super::super::{ExchangeId, Progress};
use super::super::command::Command;
use super::super::framer::Message;
use super::super::handshake::{Greeting, PROTOCOL_VERSION};
use super::super::open::Open;
use super::super::reply::{self, Shape};
use super::{Pairing, Phase, Violation};
use crate::event::{Mark, Moment, Side};

impl Pairing {
    /// A message of the server that begins now has an exchange, or a set-up, to belong to. `patient`: an answer
    /// is not expected before its request is complete.
    pub(in super::super) fn expects_response(&self, patient: bool) -> bool {
        match (self.open.front(), self.phase) {
            (Some(open), _) => open.sent || !patient,
            (None, Phase::Setup { greeted, .. }) => !greeted,
            (None, _) => false,
        }
    }

    pub(in super::super) fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restart)
    }

    /// The exchange whose answer is expected.
    pub(in super::super) fn front(&self) -> Option<&Open> {
        self.open.front()
    }

    pub(in super::super) fn front_shape(&self) -> Option<Shape> {
        self.open.front().and_then(|open| open.command.shape())
    }

    /// Says that bytes of an answer move, once an input (`touched`) and exchange.
    pub(in super::super) fn touch(
        &self,
        touched: &mut Option<ExchangeId>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) {
        if let Some(open) = self.open.front()
            && *touched != Some(open.id)
        {
            *touched = Some(open.id);
            out.push(Progress::Touched { id: open.id, side: Side::Response, mark });
        }
    }

    /// Some bytes of an answer moved; the current message's first byte did in call `first`.
    pub(in super::super) fn answered(&mut self, first: Mark, last: Mark) {
        if let Some(open) = self.open.front_mut() {
            open.answered(first, last);
        }
    }

    /// A server's message is complete.
    pub(in super::super) fn on_response(
        &mut self,
        message: &Message<'_>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        if let Phase::Setup { greeted: false, answered } = self.phase {
            return self.on_greeting(message, answered, mark, out);
        }
        let deprecates_eof = self.session.deprecates_eof();
        let Some(open) = self.open.front_mut() else {
            self.stray();
            return Ok(());
        };
        let maybe_done = std::mem::take(&mut self.maybe_done);
        let progress = open.reply.on_message(message, deprecates_eof);
        if progress != reply::Progress::WasDone && !(maybe_done && progress == reply::Progress::Violation) {
            open.answered(message.first, mark);
        }
        match progress {
            reply::Progress::More => {}
            reply::Progress::MaybeDone => self.maybe_done = true,
            reply::Progress::Done => {
                self.proven = true;
                self.finish_front(mark.into(), out);
            }
            reply::Progress::Violation if !maybe_done => return Err(Violation),
            reply::Progress::WasDone | reply::Progress::Violation => {
                self.finish_front(mark.into(), out);
                return self.on_response(message, mark, out);
            }
        }
        Ok(())
    }

    /// Bytes came that answer nothing that was captured.
    pub(in super::super) fn stray(&mut self) {
        self.doubt = self.doubt.map(|_| false);
    }

    fn on_greeting(
        &mut self,
        message: &Message<'_>,
        answered: bool,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        self.phase = Phase::Setup { greeted: true, answered };
        match message.head.first() {
            Some(&PROTOCOL_VERSION) => {
                self.session.greeted(Greeting::parse(message.head).ok_or(Violation)?);
                Ok(())
            }
            Some(0xff) => {
                // Refused at the door: the connect itself is the request.
                if self.open.is_empty() {
                    self.begin(Command::Connect, message.first, out);
                }
                self.on_response(message, mark, out)
            }
            _ => Err(Violation),
        }
    }

    /// A call's bytes are used up: what may be over is over.
    pub(in super::super) fn settle(&mut self, out: &mut Vec<Progress>) {
        if self.maybe_done
            && let Some(last) = self.open.front().and_then(|open| open.response_last)
        {
            self.finish_front(last, out);
        }
    }

    pub(super) fn finish_front(&mut self, end: Moment, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        let Some(open) = self.take_front() else { return };
        let end = open.response_last.unwrap_or(end);
        let logged_in = open.command == Command::Connect && open.reply.error.is_none();
        self.pipelined |= self.open.front().is_some_and(|next| next.sent && !next.lost);
        self.doubt = self.doubt.map(|_| true);
        out.push(open.finish(&mut self.session, end));
        if logged_in {
            self.phase = Phase::Commands;
            self.packed = self.session.compresses();
        }
    }
}
