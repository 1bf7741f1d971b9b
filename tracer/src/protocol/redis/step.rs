//! Whether requests and replies are in step, after a start in the middle or a gap.
//!
//! ```text
//!   fresh ──────────────► Exact ──(gap, mismatch)──► Uncertain ──(proof)──► Exact
//!   older than the tracer ──────────────────────────►
//! ```
//!
//! RESP numbers nothing: after a gap, the next reply can belong to a command that was not seen. Commands are then
//! paired again only once it is shown that no unseen reply is on its way:
//! - a *probe* (a write with nothing open) was answered by exactly as many replies before the next write, and the
//!   same thread, active on the same thing, wrote and read it: a blocking client, which reads before it writes; or
//! - the connection has always worked by turns, and did so again for a probe; or
//! - nothing moved for a while after a reply: a reply that was on its way would have come.
//!
//! Under a steady load a multiplexed connection can look like one that works by turns, one reply late. So turns
//! alone prove nothing.

use crate::event::{Mark, Nanos};

use super::outstanding::Probed;

/// Silence after a reply that shows that no other is on its way: far above what a reply takes.
const QUIET: Nanos = 20_000_000;
/// So many exchanges by turns make a connection one that works by turns.
const ENOUGH_TURNS: u32 = 32;

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
    /// When the last reply byte moved, if nothing else has since.
    last_reply: Option<Nanos>,
}

/// How a connection was used while the pairing was exact.
#[derive(Debug, Default)]
pub(super) struct History {
    turns: u32,
    overlapped: bool,
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
        self.overlapped |= !alone;
    }

    /// A command was sent while another's reply was due.
    pub(super) fn overlap(&mut self) {
        self.overlapped = true;
    }

    /// No command was sent before the replies to all others had come.
    pub(super) fn waits(&self) -> bool {
        !self.overlapped
    }

    fn by_turns(&self) -> bool {
        !self.overlapped && self.turns >= ENOUGH_TURNS
    }
}

impl Doubt {
    /// A command begins and nothing is open. True: it is in step; otherwise see how it is answered.
    pub(super) fn admit(&mut self, mark: Mark, history: &History) -> bool {
        let quiet = self.last_reply.take().is_some_and(|last| mark.time >= last.saturating_add(QUIET));
        let in_turn = self.in_turn && (history.by_turns() || (self.bound && mark.active.is_some()));
        quiet || in_turn
    }

    /// A command came while something was open, or could not be admitted.
    pub(super) fn overlap(&mut self) {
        self.in_turn = false;
        self.last_reply = None;
    }

    /// Reply bytes came that belong to nothing known.
    pub(super) fn stray(&mut self, mark: Mark) {
        self.in_turn = false;
        self.last_reply = Some(mark.time);
    }

    /// A probe was answered; `last`: its last reply byte was the last that came. True: it is an exchange itself,
    /// and the connection is in step.
    pub(super) fn probed(&mut self, probed: Probed, last: bool, mark: Mark) -> bool {
        self.in_turn = last;
        self.bound = probed.bound;
        self.last_reply = Some(mark.time);
        last && probed.bound && !self.after_gap
    }
}
