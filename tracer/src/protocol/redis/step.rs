//! Whether requests and replies are in step, after a start in the middle or a gap.
//!
//! ```text
//!   fresh ──────────────► Exact ──(gap, mismatch)──► Uncertain ──(proof)──► Exact
//!   older than the tracer ──────────────────────────►
//! ```
//!
//! RESP numbers nothing: after a gap, the next reply can belong to a command that was not seen. Commands are then
//! paired again only once it is shown that no unseen reply is on its way. What is looked at are *probes*: writes with
//! nothing open that are answered by exactly as many replies before the next write. It is shown when
//! - the same thread, active on the same thing, wrote a probe and read its replies: a blocking client, which reads
//!   before it writes; or
//! - the connection has always worked by turns, and did so again for a probe; or
//! - nothing moved for a while after a reply: a reply that was on its way would have come; or
//! - that was so again and again by the connection's own pace: a pause of many times what an exchange takes.
//!
//! Under a steady load a multiplexed connection can look like one that works by turns, one reply late. So turns
//! alone prove nothing. Nor do pauses at a client that multiplexes: a reply that has come waits until its one
//! thread has sent what it works on.
//!
//! A run of probes shows for all of it what it shows at its end: one reply too late is so from the first to the last.
//! So probes are held back until then, and told or given up together.

use crate::event::{Mark, Nanos};

use super::outstanding::Probed;
use super::pace::Pace;

/// Silence after a reply that shows that no other is on its way: far above what a reply takes.
const QUIET: Nanos = 20_000_000;
/// So many exchanges by turns make a connection one that works by turns.
const ENOUGH_TURNS: u32 = 32;
/// Least run that ends with the connection, all answered, and shows by that that it was in step.
const ENOUGH_AT_END: u32 = 2;

/// How sure the pairing is.
#[derive(Debug)]
pub(super) enum Step {
    /// Every reply that is due is known, in order.
    Exact,
    /// A reply of a command that was not seen may be on its way.
    Uncertain(Doubt),
}

/// What speaks for being in step again.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// It began with a gap rather than with a start in the middle.
    after_gap: bool,
    /// The last probe went well, and nothing has spoken against it since.
    in_turn: bool,
    /// A blocking client read the reply to it.
    bound: bool,
    /// Probes that went well, one after the other.
    run: u32,
    /// When they began.
    pace: Pace,
    /// When the last reply byte moved, if nothing else has since.
    last_reply: Option<Nanos>,
}

/// How a connection was used while the pairing was exact.
#[derive(Debug, Default)]
pub(super) struct History {
    turns: u32,
    overlapped: bool,
    /// A command was sent while another's reply was due, or that reply was missed.
    suspect: bool,
}

impl Step {
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact)
    }

    /// Bytes were missed.
    pub(super) fn lose(&mut self) {
        *self = Self::Uncertain(Doubt { after_gap: true, ..Doubt::default() });
    }

    /// A connection that is older than the tracer.
    pub(super) fn middle() -> Self {
        Self::Uncertain(Doubt::default())
    }
}

impl History {
    /// An exchange begins while the pairing is exact; `alone`: nothing else is open.
    pub(super) fn begin(&mut self, alone: bool) {
        self.turns = self.turns.saturating_add(1);
        self.suspect |= !alone;
    }

    /// A reply came, and no byte before it was missed: what seemed to be due was.
    pub(super) fn settle(&mut self) {
        self.overlapped |= std::mem::take(&mut self.suspect);
    }

    /// Something was missed, which may be the reply that seemed to be due.
    pub(super) fn lose(&mut self) {
        self.suspect = false;
    }

    /// A command was sent, in doubt, while another's reply seemed to be due: it must show itself again.
    pub(super) fn overlap(&mut self) {
        self.turns = 0;
    }

    /// No command was sent before the replies to all others had come.
    pub(super) fn waits(&self) -> bool {
        self.waited() && !self.suspect
    }

    /// The same, as far as replies were seen to come later.
    pub(super) fn waited(&self) -> bool {
        !self.overlapped
    }

    fn by_turns(&self) -> bool {
        self.waits() && self.turns >= ENOUGH_TURNS
    }
}

impl Doubt {
    /// A command begins and nothing is open. True: it is in step; otherwise see how it is answered. `hides`: a reply
    /// that came can have been left unread.
    pub(super) fn admit(&mut self, mark: Mark, history: &History, hides: bool) -> bool {
        let still = self.last_reply.take().map_or(0, |last| mark.time.saturating_sub(last));
        self.pace.begin(mark.time, still, self.in_turn);
        let paused = self.in_turn && self.pace.has_paused() && history.waits() && !hides;
        let in_turn = self.in_turn && (history.by_turns() || (self.bound && mark.active.is_some()));
        still >= QUIET || in_turn || paused
    }

    /// A command came while something was open, or could not be admitted.
    pub(super) fn overlap(&mut self) {
        self.stumble();
        self.last_reply = None;
    }

    /// Reply bytes came that belong to nothing known.
    pub(super) fn stray(&mut self, mark: Mark) {
        self.stumble();
        self.last_reply = Some(mark.time);
    }

    /// A probe was answered; `last`: its last reply byte was the last that came. True: it is an exchange itself,
    /// and the connection is in step.
    pub(super) fn probed(&mut self, probed: Probed, last: bool, mark: Mark) -> bool {
        if !last {
            self.stumble();
        }
        self.in_turn = last;
        self.run += u32::from(last);
        self.bound = probed.bound;
        self.last_reply = Some(mark.time);
        last && probed.bound && !self.after_gap
    }

    /// Whether a run goes on: all its probes will turn out the same.
    pub(super) fn is_running(&self) -> bool {
        self.in_turn
    }

    /// The connection ends. Whether its last run was in step; `answered`: its client finished first, and would have
    /// been sent what it was still owed.
    pub(super) fn ends_in_step(&self, mark: Mark, answered: bool) -> bool {
        let quiet = self.last_reply.is_some_and(|last| mark.time >= last.saturating_add(QUIET));
        self.in_turn && (quiet || answered && self.run >= ENOUGH_AT_END)
    }

    fn stumble(&mut self) {
        self.in_turn = false;
        self.run = 0;
        self.pace = Pace::default();
    }
}
