//! What becomes of exchanges when bytes are missing, and when the connection ends.

use super::super::super::{AbandonReason, Progress};
use super::super::open::Terminal;
use super::{Pairing, Phase};
use crate::event::{Mark, Side};

impl Pairing {
    pub(super) fn give_up_front(&mut self, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        if let Some(open) = self.take_front() {
            out.push(open.give_up(&mut self.session));
        }
    }

    /// No answer can be told from another any more until the next command is sent.
    pub(in super::super) fn lose_responses(&mut self, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        if self.pipelined {
            self.abandon_all(AbandonReason::Gap, out);
            return;
        }
        // A missing answer explains why two commands were open.
        self.doubt = None;
        self.open.iter_mut().for_each(|open| open.lost = true);
    }

    /// Commands may have been sent that were not captured.
    pub(in super::super) fn lose_requests(&mut self, out: &mut Vec<Progress>) {
        self.receiving = None;
        self.proven = false;
        if let Phase::Setup { .. } = self.phase {
            self.phase = Phase::Commands;
            self.abandon_all(AbandonReason::Gap, out);
        }
        if self.pipelined {
            self.doubt = Some(false);
        }
    }

    /// A command begins after some that were not captured, and earlier ones are not answered yet: whose the next
    /// answer is cannot be told.
    pub(in super::super) fn give_up_unanswered(&mut self, out: &mut Vec<Progress>) {
        if !self.open.is_empty() {
            self.open.iter_mut().for_each(|open| open.lost = true);
            while !self.open.is_empty() {
                self.give_up_front(out);
            }
            self.doubt = Some(false);
        }
    }

    /// The set-up cannot be followed to its end.
    pub(in super::super) fn lose_setup(&mut self, out: &mut Vec<Progress>) {
        if let Phase::Setup { .. } = self.phase {
            self.phase = Phase::Commands;
            self.receiving = None;
            self.abandon_all(AbandonReason::Gap, out);
        }
    }

    pub(super) fn abandon_all(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        self.text_bytes = 0;
        out.extend(self.open.drain(..).map(|open| Progress::Abandoned { id: open.id, reason }));
        if self.pipelined || reason == AbandonReason::Limit {
            self.doubt = Some(false);
        }
    }

    pub(super) fn silence(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.abandon_all(reason, out);
        self.phase = Phase::Silent;
    }

    /// Bytes of the server move while its framing is lost: they belong to the command that was sent last.
    pub(in super::super) fn on_lost_bytes(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        if let Some(open) = self.open.back_mut().filter(|open| open.request_first.time <= mark.time) {
            open.answered(mark, mark);
            out.push(Progress::Touched { id: open.id, side: Side::Response, mark });
        }
    }

    /// The call whose middle was not captured ends with a packet that ends the answer.
    pub(in super::super) fn on_terminal(
        &mut self,
        terminal: Terminal<'_>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) {
        if let [open] = self.open.make_contiguous() {
            open.ends_with(terminal);
            self.finish_front(mark.into(), out);
        }
    }

    /// The connection has ended: so has everything on it.
    pub(in super::super) fn end(&mut self, errno: Option<u16>, mark: Mark, out: &mut Vec<Progress>) {
        self.settle(out);
        while let Some(open) = self.take_front() {
            out.push(open.abort(&mut self.session, errno, mark));
        }
        self.phase = Phase::Silent;
    }

    /// Nothing more will be told of the connection, which may go on.
    pub(in super::super) fn forget(&mut self, out: &mut Vec<Progress>) {
        self.settle(out);
        while let Some(open) = self.take_front() {
            out.push(if open.lost {
                open.give_up(&mut self.session)
            } else {
                Progress::Abandoned { id: open.id, reason: AbandonReason::Forgotten }
            });
        }
        self.phase = Phase::Silent;
    }
}
