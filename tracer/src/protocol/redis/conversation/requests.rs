//! The request side: commands begin, join an exchange, and end.

use super::{Building, RedisConversation};
use crate::event::{Mark, Role, Side};
use crate::protocol::redis::request::{Request, Step as Read};
use crate::protocol::redis::resp::Malformed;
use crate::protocol::redis::step::Step;
use crate::protocol::{AbandonReason, Input, Progress};

impl RedisConversation {
    pub(super) fn on_request(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        if !self.requests_framed {
            if !input.call_start {
                return;
            }
            self.requests.reset();
            self.requests_framed = true;
            self.tentative = true;
        }
        let mut bytes = input.bytes;
        self.read_requests(&mut bytes, input.mark, out);
        self.replay(out);
        self.outstanding.end_silent(out);
    }

    pub(super) fn read_requests(&mut self, bytes: &mut &[u8], mark: Mark, out: &mut Vec<Progress>) {
        // What is in the middle of a command may be complete with no further byte, after a gap.
        let mut more = !bytes.is_empty() || !self.requests.is_idle();
        while more && !self.over && self.requests_framed {
            if !self.begin_command(bytes, mark, out) {
                return self.unframe_requests(out);
            }
            match self.requests.read(bytes) {
                Ok(Read::More) => return self.pause_command(out),
                Ok(Read::Command(request)) => self.end_command(*request, mark, out),
                Ok(Read::Nothing) => self.drop_command(AbandonReason::NoSpan, out),
                Err(Malformed) if self.tentative => self.unframe_requests(out),
                Err(Malformed) => self.lose_requests(AbandonReason::Malformed, mark, out),
            }
            more = !bytes.is_empty();
        }
    }

    /// A command begins, or goes on. False: this cannot be the place where one begins.
    pub(super) fn begin_command(&mut self, bytes: &[u8], mark: Mark, out: &mut Vec<Progress>) -> bool {
        if !self.requests.is_idle() {
            if let Building::Exchange(id) = self.building {
                self.outstanding.touch(id, Side::Request, mark, self.input, out);
            }
            return true;
        }
        self.settle_lingering(mark, out);
        self.command_first = mark;
        let first = bytes.first().copied();
        if self.tentative {
            // An inline command proves nothing: any text looks like one.
            return first == Some(b'*');
        }
        if first.is_some_and(|byte| !byte.is_ascii_whitespace()) {
            self.enrol(mark, out);
        }
        true
    }

    /// Decides what the command that begins at `mark` belongs to.
    pub(super) fn enrol(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        // A multiplexing client sends what several requests want in one write; but a transaction is one request's, and
        // so is what one context writes.
        let shared = self.role == Role::Client && mark.multiplexed && mark.entered() == 0;
        let apart = shared && !self.session.in_transaction();
        if let Some(id) = self.outstanding.joins(mark, apart) {
            self.outstanding.resume(id, mark, self.input, out);
            self.building = Building::Exchange(id);
            return;
        }
        self.outstanding.end_silent(out);
        let alone = self.outstanding.is_empty();
        if let Step::Uncertain(doubt) = &mut self.step {
            if alone {
                let hides = self.role == Role::Client && mark.multiplexed;
                if doubt.admit(mark, &self.history, hides) {
                    self.step = Step::Exact;
                    // All that is held is of the run that goes on: it is given up when that ends.
                    self.outstanding.tell_held(out);
                }
                // What comes next on the response side begins a reply.
                self.replies_framed = false;
            } else if !self.outstanding.may_be_answered() {
                return self.ignore(out);
            }
        }
        let probe = !self.step.is_exact();
        if !probe {
            self.history.begin(alone);
        }
        let id = self.outstanding.open(mark, self.input, probe, out);
        self.building = id.map_or(Building::Counted, Building::Exchange);
    }

    /// A command in doubt, while a reply is due: which reply is whose can no longer be told.
    pub(super) fn ignore(&mut self, out: &mut Vec<Progress>) {
        self.building = Building::Ignored;
        if let Step::Uncertain(doubt) = &mut self.step {
            doubt.overlap();
        }
        if self.outstanding.is_probe() {
            return self.overlaps(out);
        }
        self.history.overlap();
        self.outstanding.give_up_held(AbandonReason::Gap, out);
    }

    pub(super) fn pause_command(&mut self, out: &mut Vec<Progress>) {
        if self.tentative && self.requests.is_credible() {
            self.tentative = false;
            self.enrol(self.command_first, out);
        } else if self.tentative && self.requests.has_name() {
            self.unframe_requests(out);
        }
    }

    pub(super) fn end_command(&mut self, request: Request, mark: Mark, out: &mut Vec<Progress>) {
        if self.tentative {
            if !request.is_credible() {
                return self.unframe_requests(out);
            }
            self.tentative = false;
        }
        if self.building == Building::Nothing {
            self.enrol(self.command_first, out);
        }
        let building = std::mem::replace(&mut self.building, Building::Nothing);
        if request.is_replication() {
            // A replica: what follows is a snapshot and a stream of commands, or it has been going on for long.
            self.outstanding.abandon_all(AbandonReason::NoSpan, out);
            self.over = true;
            return;
        }
        let expect = self.session.expect(&request);
        if self.session.reply_mode_used {
            self.early.forbid();
        }
        let exchange = match building {
            Building::Exchange(id) => Some(id),
            Building::Counted => None,
            Building::Ignored | Building::Nothing => return,
        };
        if !self.outstanding.add(exchange, request.command, expect, mark) {
            self.lose(AbandonReason::Limit, out);
        }
        self.pass_over(mark, out);
    }

    pub(super) fn drop_command(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        if let Building::Exchange(id) = std::mem::replace(&mut self.building, Building::Nothing) {
            self.outstanding.cancel(id, reason, out);
        }
    }

    pub(super) fn unframe_requests(&mut self, out: &mut Vec<Progress>) {
        self.requests_framed = false;
        self.tentative = false;
        if let Step::Uncertain(doubt) = &mut self.step {
            doubt.overlap();
            self.outstanding.give_up_held(AbandonReason::Gap, out);
        }
    }

    /// The place on the request side is lost. Replies to what was sent before are still told in order.
    pub(super) fn lose_requests(&mut self, reason: AbandonReason, mark: Mark, out: &mut Vec<Progress>) {
        let cut = self.requests.give_up().filter(|_| reason == AbandonReason::Gap);
        match cut {
            // It began at a known place, so the next reply is its own, whatever its arguments were.
            Some(request) if request.command.name != "CLIENT" => self.end_command(*request, mark, out),
            Some(_) => self.lose(reason, out),
            None => self.drop_command(reason, out),
        }
        self.unframe_requests(out);
        // A command that is not known may have ended the reply that lingers.
        if self.outstanding.is_probe() || self.early.is_holding() || self.lingering.is_some() {
            self.lose(reason, out);
        }
        self.outstanding.give_up_kept(out);
        self.outstanding.stop_joining();
        self.step.lose();
        self.session.forget();
        self.early.forbid();
        self.building = Building::Nothing;
    }
}
