//! The response side: each reply goes to the command that it answers.

use super::{Building, RedisConversation};
use crate::event::Mark;
use crate::protocol::redis::command::Outcome;
use crate::protocol::redis::outstanding::{Probed, Verdict};
use crate::protocol::redis::reply::Reply;
use crate::protocol::redis::resp::Malformed;
use crate::protocol::redis::session::{Answer, Expect, Origin};
use crate::protocol::redis::step::Step;
use crate::protocol::redis::transaction;
use crate::protocol::{AbandonReason, Input, Progress};

impl RedisConversation {
    pub(super) fn on_response(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        self.outstanding.stop_joining();
        if self.lingering.is_some() {
            return self.goes_on(input.mark, out);
        }
        if self.early.is_holding() {
            return self.hold(input.bytes, input.mark, out);
        }
        if self.outstanding.is_second_probe() {
            self.overlaps(out);
        }
        if self.is_stray(input.mark, out) {
            return;
        }
        if !self.replies_framed {
            if !input.call_start {
                return self.lose(AbandonReason::Gap, out);
            }
            self.replies.reset();
            self.replies_framed = true;
        }
        let mut bytes = input.bytes;
        self.read_replies(&mut bytes, input.mark, out);
    }

    /// In doubt and with nothing open, reply bytes belong to nothing known.
    pub(super) fn is_stray(&mut self, mark: Mark, out: &mut Vec<Progress>) -> bool {
        match &mut self.step {
            Step::Uncertain(doubt) if self.outstanding.is_empty() => {
                doubt.stray(mark);
                self.outstanding.give_up_held(AbandonReason::Gap, out);
                self.replies_framed = false;
                true
            }
            _ => false,
        }
    }

    pub(super) fn read_replies(&mut self, bytes: &mut &[u8], mark: Mark, out: &mut Vec<Progress>) {
        let mut more = !bytes.is_empty() || !self.replies.is_idle();
        while more && !self.over && self.replies_framed {
            if self.replies.is_idle() && !self.begin_reply(bytes, mark, out) {
                return;
            }
            if self.claimed {
                self.outstanding.reply_begins(self.reply_first, mark, self.input, out);
            }
            match self.replies.read(bytes) {
                Ok(None) => return,
                Ok(Some(reply)) => self.end_reply(&reply, bytes.is_empty(), mark, out),
                Err(Malformed) => self.lose(AbandonReason::Malformed, out),
            }
            more = !bytes.is_empty();
        }
    }

    /// A message begins. False: the rest of these bytes has been dealt with.
    pub(super) fn begin_reply(&mut self, bytes: &[u8], mark: Mark, out: &mut Vec<Progress>) -> bool {
        if mark.time < self.no_reply_before {
            self.lose(AbandonReason::Gap, out);
            return false;
        }
        let front = self.outstanding.front();
        let may_push = bytes.first().is_some_and(|first| self.session.may_push(*first));
        if front.is_none() && !may_push {
            if !self.is_stray(mark, out) {
                self.hold(bytes, mark, out);
            }
            return false;
        }
        self.replies.begin(front.is_some_and(|pending| pending.expect == Expect::Exec));
        self.reply_first = mark;
        self.claimed = front.is_some() && !may_push;
        true
    }

    /// A reply came before the command that it answers: two CPUs stamped their events in the other order.
    /// That is only believed while nothing was ever missed.
    pub(super) fn hold(&mut self, bytes: &[u8], mark: Mark, out: &mut Vec<Progress>) {
        if !self.early.hold(bytes, mark) {
            self.lose(AbandonReason::Gap, out);
            self.is_stray(mark, out);
        }
    }

    /// Reads the replies that came too early, now that more commands are known.
    pub(super) fn replay(&mut self, out: &mut Vec<Progress>) {
        for (mark, bytes) in self.early.take() {
            if self.early.is_holding() {
                self.hold(&bytes, mark, out);
            } else {
                self.read_replies(&mut &*bytes, mark, out);
            }
        }
    }

    pub(super) fn end_reply(&mut self, reply: &Reply, last: bool, mark: Mark, out: &mut Vec<Progress>) {
        let front = self.outstanding.front();
        match self.session.origin(reply, front.map(|pending| pending.expect)) {
            Origin::Push => return,
            Origin::Unclear => return self.lose(AbandonReason::Gap, out),
            Origin::Answer => {}
        }
        let Some(mut pending) = front else {
            return self.lose(AbandonReason::Malformed, out);
        };
        self.outstanding.reply_begins(self.reply_first, mark, self.input, out);
        let database = self.session.database;
        match self.session.answer(&mut pending.expect, reply) {
            Answer::Partial => self.outstanding.set_front(pending.expect),
            Answer::Mismatch => self.lose(AbandonReason::Malformed, out),
            Answer::Done(outcome) => {
                self.history.settle();
                let told =
                    transaction::follow(&mut self.session, &mut self.outstanding, pending, &outcome, reply);
                if let Some(probed) = self.outstanding.settle(outcome, database, mark, out) {
                    self.judge(probed, last, mark, out);
                }
                if !told {
                    self.lose(AbandonReason::Gap, out);
                }
                self.pass_over(mark, out);
            }
        }
        if !self.step.is_exact() {
            self.session.forget();
        }
    }

    /// Settles the commands that get no reply because of what the connection is by now.
    pub(super) fn pass_over(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        while let Some(front) = self.outstanding.front()
            && self.session.passes_over(front.expect)
        {
            if let Some(probed) = self.outstanding.settle(Outcome::NoReply, self.session.database, mark, out)
            {
                self.outstanding.judge(probed.id, Verdict::GiveUp, out);
            }
        }
    }

    pub(super) fn judge(&mut self, probed: Probed, last: bool, mark: Mark, out: &mut Vec<Progress>) {
        let (certain, runs) = match &mut self.step {
            Step::Uncertain(doubt) => (doubt.probed(probed, last, mark), doubt.is_running()),
            Step::Exact => (true, true),
        };
        if certain {
            self.step = Step::Exact;
            self.outstanding.tell_held(out);
        } else if !runs {
            self.outstanding.give_up_held(AbandonReason::Gap, out);
        }
        let verdict = match (certain, runs) {
            (true, _) => Verdict::Tell,
            (false, true) => Verdict::Hold,
            (false, false) => Verdict::GiveUp,
        };
        self.outstanding.judge(probed.id, verdict, out);
    }

    /// Bytes of the response side are missing, and with them replies to what is open. A client that waits for its
    /// replies had the one to all but its last write.
    pub(super) fn lose_reply(&mut self, out: &mut Vec<Progress>) {
        let waits = self.step.is_exact() && self.history.waited() || self.outstanding.is_second_probe();
        let keeps = waits
            && self.requests_framed
            && !self.tentative
            && self.building == Building::Nothing
            && !self.session.reply_mode_used;
        if keeps && self.outstanding.keep_last(out) {
            self.outstanding.give_up_held(AbandonReason::Gap, out);
            self.doubt();
        } else {
            self.lose(AbandonReason::Gap, out);
        }
    }

    /// Pairing is no longer certain: nothing that is open can become a span.
    pub(super) fn lose(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.outstanding.abandon_all(reason, out);
        if self.building != Building::Nothing {
            self.building = Building::Ignored;
        }
        self.doubt();
    }

    /// Two commands were on their way at a time, in doubt: nothing that came before shows anything.
    pub(super) fn overlaps(&mut self, out: &mut Vec<Progress>) {
        self.history.overlap();
        self.lose(AbandonReason::Gap, out);
    }

    fn doubt(&mut self) {
        self.lingering = None;
        self.replies.reset();
        self.replies_framed = false;
        self.step.lose();
        self.history.lose();
        self.session.forget();
        self.early.forbid();
    }
}
