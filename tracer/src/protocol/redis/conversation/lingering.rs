//! A reply of which a part was not captured, and with it where it ends: a server can write one from more pieces, or in
//! larger calls, than the probe looks at (`COMMAND DOCS`).
//!
//! If it is the only one that is due, all that moves until the next command is its own, and its outcome was told by its
//! first byte. Then only its end is not seen: it is told when the next command begins, as of the last byte that moved
//! before. That is the end for a client that waits for replies. One that was seen to send more before it had them is
//! not believed to; one that does so for the first time within such a reply cannot be told from one that waits.

use super::{Building, RedisConversation};
use crate::event::Mark;
use crate::protocol::Progress;
use crate::protocol::redis::command::Outcome;
use crate::protocol::redis::session::Expect;

impl RedisConversation {
    /// Bytes of the reply that is being read were lost, up to those that moved at `mark`. False: more depends on them
    /// than its end.
    pub(super) fn linger(&mut self, mark: Mark, out: &mut Vec<Progress>) -> bool {
        let plain = |expect| matches!(expect, Expect::One | Expect::Aside);
        let lingers = self.step.is_exact()
            && self.history.waits()
            && self.requests_framed
            && !self.tentative
            && self.building == Building::Nothing
            && self.claimed
            && self.replies.is_in_aggregate()
            && !self.early.is_holding()
            && self.outstanding.only().is_some_and(|pending| plain(pending.expect));
        if lingers {
            self.goes_on(mark, out);
        }
        lingers
    }

    /// More of the reply that lingers moved.
    pub(super) fn goes_on(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        self.lingering = Some(mark);
        self.outstanding.reply_begins(self.reply_first, mark, self.input, out);
    }

    /// A command begins at `mark`, or none will any more: the reply that lingers was over when its last byte moved.
    pub(super) fn settle_lingering(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        let Some(last) = self.lingering.take() else { return };
        self.outstanding.settle(Outcome::Ok, self.session.database, last, out);
        self.replies.reset();
        self.no_reply_before = mark.time;
    }
}
