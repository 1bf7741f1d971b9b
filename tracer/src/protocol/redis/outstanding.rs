//! Exchanges that have begun and not ended, and the replies that are still due, in order.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::batch::{Batch, Place};
use super::command::{Command, Outcome};
use super::session::Expect;
use crate::event::{Mark, Side};
use crate::protocol::{AbandonReason, ExchangeId, Progress};

/// Most exchanges of a connection that are open at a time; later ones are abandoned at once.
const MAX_OPEN: usize = 4096;
/// Most replies of a connection that may be due.
const MAX_PENDING: usize = 65_536;
/// Memory for the commands of a connection's open exchanges, in bytes: some ten thousand short ones. Past it commands
/// are only counted, by name.
const MAX_BYTES: usize = 2 << 20;

/// Most exchanges that are answered and held back until the pairing is certain; those that waited longest are given up.
const MAX_HELD: usize = 256;

/// A reply that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) expect: Expect,
    /// Its exchange; `None` when that was abandoned for a limit.
    pub(super) exchange: Option<ExchangeId>,
    /// Its command there.
    pub(super) place: Place,
}

/// The queue of a connection.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    batches: VecDeque<Batch>,
    pending: VecDeque<Pending>,
    /// Answered, if the pairing is what it seems.
    held: VecDeque<Batch>,
    next_id: ExchangeId,
    /// Memory that their kept commands take.
    bytes: usize,
    /// No byte of a reply has come since the last command.
    joinable: bool,
}

/// How an exchange that only tested the pairing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probed {
    /// One thread, active on the same thing, wrote the commands and read the replies.
    pub(super) bound: bool,
    pub(super) id: ExchangeId,
}

/// What becomes of an answered probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is an exchange.
    Tell,
    /// It will be one if the pairing turns out to be right.
    Hold,
    /// Its replies may be another's.
    GiveUp,
}

impl Outstanding {
    /// No exchange is open and no reply is due.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.pending.is_empty()
    }

    /// A reply was seen: what comes now is no part of the same write.
    pub(super) fn stop_joining(&mut self) {
        self.joinable = false;
    }

    /// The oldest reply that is due.
    pub(super) fn front(&self) -> Option<Pending> {
        self.pending.front().copied()
    }

    /// The exchange that a command beginning at `mark` belongs to, when it was begun by an earlier one: the
    /// same call, or the same thread going on for the same thing without having read anything. `apart`: one call may
    /// carry what several requests had to send.
    pub(super) fn joins(&self, mark: Mark, apart: bool) -> Option<ExchangeId> {
        let batch = self.batches.back().filter(|batch| self.joinable && !batch.building)?;
        let last = batch.request_last;
        let same_call = last.call == mark.call && last.active == mark.active && !apart;
        let same_work = mark.active.is_some() && last.active == mark.active && last.thread == mark.thread;
        (same_call || same_work).then_some(batch.id)
    }

    /// The reply that is due, if it is the only one and nothing else is open.
    pub(super) fn only(&self) -> Option<Pending> {
        let alone = self.pending.len() == 1 && self.batches.len() == 1;
        self.front().filter(|pending| alone && pending.exchange.is_some())
    }

    /// A command begins in an exchange of its own. `None` when too many are open.
    pub(super) fn open(
        &mut self,
        mark: Mark,
        input: u64,
        probe: bool,
        out: &mut Vec<Progress>,
    ) -> Option<ExchangeId> {
        let id = self.next_id;
        self.next_id += 1;
        out.push(Progress::Begun { id, mark });
        if self.batches.len() >= MAX_OPEN || self.pending.len() >= MAX_PENDING {
            out.push(Progress::Abandoned { id, reason: AbandonReason::Limit });
            return None;
        }
        self.batches.push_back(Batch::new(id, mark, input, probe));
        self.joinable = true;
        Some(id)
    }

    /// A further command begins in exchange `id`.
    pub(super) fn resume(&mut self, id: ExchangeId, mark: Mark, input: u64, out: &mut Vec<Progress>) {
        if let Some(batch) = self.find(id) {
            batch.building = true;
        }
        self.touch(id, Side::Request, mark, input, out);
    }

    /// More bytes of exchange `id` moved.
    pub(super) fn touch(
        &mut self,
        id: ExchangeId,
        side: Side,
        mark: Mark,
        input: u64,
        out: &mut Vec<Progress>,
    ) {
        if let Some(batch) = self.find(id)
            && batch.touched != input
        {
            batch.touched = input;
            out.push(Progress::Touched { id, side, mark });
        }
    }

    /// The command being read is complete. False: more replies are due than can be followed.
    pub(super) fn add(
        &mut self,
        exchange: Option<ExchangeId>,
        command: Command,
        expect: Option<Expect>,
        mark: Mark,
    ) -> bool {
        self.joinable = true;
        let room = MAX_BYTES.saturating_sub(self.bytes);
        let mut taken = 0;
        let place = exchange.and_then(|id| self.find(id)).map_or(Place::Nowhere, |batch| {
            let before = batch.bytes;
            let place = batch.add(command, expect.is_some(), room, mark);
            taken = batch.bytes - before;
            place
        });
        self.bytes += taken;
        if let Some(expect) = expect {
            // One more would double the queue's memory.
            if self.pending.len() >= MAX_PENDING {
                return false;
            }
            self.pending.push_back(Pending { expect, exchange, place });
        }
        true
    }

    /// What was begun turned out to be no command, or was lost.
    pub(super) fn cancel(&mut self, id: ExchangeId, reason: AbandonReason, out: &mut Vec<Progress>) {
        if let Some(batch) = self.find(id) {
            batch.building = false;
            if batch.commands.is_empty() {
                self.abandon(id, reason, out);
            } else {
                self.end_if_complete(id, out);
            }
        }
    }

    /// Bytes of a reply to the oldest command moved; its first byte at `first`.
    pub(super) fn reply_begins(&mut self, first: Mark, mark: Mark, input: u64, out: &mut Vec<Progress>) {
        let Some(id) = self.front().and_then(|pending| pending.exchange) else { return };
        if let Some(batch) = self.find(id) {
            batch.reply_begins(first);
        }
        self.touch(id, Side::Response, mark, input, out);
    }

    /// The oldest command's next step is awaited: it had several replies.
    pub(super) fn set_front(&mut self, expect: Expect) {
        if let Some(front) = self.pending.front_mut() {
            front.expect = expect;
        }
    }

    /// The oldest command is answered.
    pub(super) fn settle(
        &mut self,
        outcome: Outcome,
        database: Option<u32>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Option<Probed> {
        let pending = self.pending.pop_front()?;
        let id = pending.exchange?;
        let batch = self.find(id)?;
        batch.answer(pending.place, outcome, database, mark);
        self.end_if_complete(id, out)
    }

    /// A queued command's reply came inside `EXEC`'s. False: its exchange is over already.
    pub(super) fn amend(&mut self, id: ExchangeId, place: Place, outcome: &Outcome) -> bool {
        self.find(id).is_some_and(|batch| batch.amend(place, outcome))
    }

    /// The name of a command that is kept.
    pub(super) fn name(&mut self, id: ExchangeId, place: Place) -> Option<Cow<'static, str>> {
        let Place::Kept(at) = place else { return None };
        self.find(id).and_then(|batch| batch.commands.get(at)).map(|command| command.name.clone())
    }

    /// Gives the oldest command, an `EXEC`, the results of commands of other exchanges.
    pub(super) fn attach(&mut self, executed: Vec<(Cow<'static, str>, Outcome)>) {
        let Some(Pending { exchange: Some(id), place, .. }) = self.front() else { return };
        let Some(batch) = self.find(id) else { return };
        for (_, outcome) in &executed {
            batch.note(outcome);
        }
        if let Place::Kept(at) = place
            && let Some(command) = batch.commands.get_mut(at)
        {
            command.executed = executed;
        }
    }

    /// Ends the exchanges that no reply is due for: at the end of a call.
    pub(super) fn end_silent(&mut self, out: &mut Vec<Progress>) {
        let Some(id) = self.batches.back().map(|batch| batch.id) else { return };
        if self.end_if_complete(id, out).is_some() {
            // A probe that nothing answers shows nothing.
            self.abandon(id, AbandonReason::Gap, out);
        }
    }

    /// No reply will come any more.
    pub(super) fn unanswered(&mut self, word: &'static str, mark: Mark, out: &mut Vec<Progress>) {
        for pending in std::mem::take(&mut self.pending) {
            if let Some(batch) = pending.exchange.and_then(|id| self.find(id)) {
                let asked_for = pending.expect == Expect::Shutdown;
                let outcome = if asked_for { Outcome::NoReply } else { Outcome::Unanswered(word) };
                batch.set(pending.place, outcome);
            }
        }
        for mut batch in std::mem::take(&mut self.batches) {
            if batch.commands.is_empty() || batch.probe {
                out.push(Progress::Abandoned { id: batch.id, reason: AbandonReason::NoSpan });
                continue;
            }
            batch.cut_off(mark);
            out.push(batch.ended());
        }
        self.bytes = 0;
    }

    /// Drops everything.
    pub(super) fn abandon_all(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.give_up_held(reason, out);
        self.pending.clear();
        self.bytes = 0;
        out.extend(self.batches.drain(..).map(|batch| Progress::Abandoned { id: batch.id, reason }));
    }

    /// Whether what is open only tests the pairing.
    pub(super) fn is_probe(&self) -> bool {
        self.batches.back().is_some_and(|batch| batch.probe)
    }

    /// Two exchanges are open that only test the pairing: the second one began before the first one's reply was seen.
    pub(super) fn is_second_probe(&self) -> bool {
        self.batches.len() > 1 && self.is_probe()
    }

    /// One exchange is open, it only tests the pairing, and no reply to it was seen: it can have been missed.
    pub(super) fn may_be_answered(&self) -> bool {
        self.batches.len() == 1 && self.is_probe() && self.batches.iter().all(Batch::is_unanswered)
    }

    /// Ends, holds back or abandons the exchange whose test of the pairing has come out.
    pub(super) fn judge(&mut self, id: ExchangeId, verdict: Verdict, out: &mut Vec<Progress>) {
        match verdict {
            Verdict::Tell => {
                if let Some(batch) = self.find(id) {
                    batch.probe = false;
                }
                self.end_if_complete(id, out);
            }
            Verdict::Hold => self.hold(id, out),
            Verdict::GiveUp => self.abandon(id, AbandonReason::Gap, out),
        }
    }

    /// A reply was missed. Of two exchanges that are open, the later one becomes a probe: if the connection works by
    /// turns the reply was the earlier one's, which is given up. False: it is otherwise.
    pub(super) fn keep_last(&mut self, out: &mut Vec<Progress>) -> bool {
        let [first, last] = self.batches.make_contiguous() else { return false };
        let due = last.due as usize;
        let is_apart =
            !last.building && last.is_unanswered() && self.pending.len() == due + first.due as usize;
        let plain = |pending: &Pending| matches!(pending.expect, Expect::One | Expect::Aside);
        if !is_apart || due == 0 || first.due == 0 || first.building || !self.pending.iter().all(plain) {
            return false;
        }
        last.probe = true;
        last.kept = true;
        self.pending.drain(..self.pending.len() - due);
        let first = first.id;
        self.abandon(first, AbandonReason::Gap, out);
        true
    }

    fn hold(&mut self, id: ExchangeId, out: &mut Vec<Progress>) {
        let full = self.held.len() >= MAX_HELD;
        if let Some(oldest) = self.held.pop_front_if(|_| full) {
            self.give_up(&oldest, AbandonReason::Gap, out);
        }
        if let Some(batch) = self.take(id) {
            self.held.push_back(batch);
            out.push(Progress::Answered { id });
        }
    }

    /// A command may have been missed since the last one that was seen.
    pub(super) fn give_up_kept(&mut self, out: &mut Vec<Progress>) {
        if let Some(batch) = self.held.pop_back_if(|batch| batch.kept) {
            self.give_up(&batch, AbandonReason::Gap, out);
        }
    }

    /// The pairing was right all the time.
    pub(super) fn tell_held(&mut self, out: &mut Vec<Progress>) {
        for batch in self.held.drain(..) {
            self.bytes = self.bytes.saturating_sub(batch.bytes);
            out.push(batch.ended());
        }
    }

    /// Whether the pairing was right will not be known.
    pub(super) fn give_up_held(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        for batch in std::mem::take(&mut self.held) {
            self.give_up(&batch, reason, out);
        }
    }

    /// An exchange that was taken out of a queue becomes no span.
    fn give_up(&mut self, batch: &Batch, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        out.push(Progress::Abandoned { id: batch.id, reason });
    }

    fn find(&mut self, id: ExchangeId) -> Option<&mut Batch> {
        // Ids grow along the queue; what is asked for is nearly always at one end.
        match self.batches.back() {
            Some(last) if last.id == id => self.batches.back_mut(),
            _ => {
                let at = if self.batches.front().is_some_and(|first| first.id == id) {
                    0
                } else {
                    self.batches.binary_search_by_key(&id, |batch| batch.id).ok()?
                };
                self.batches.get_mut(at)
            }
        }
    }

    fn end_if_complete(&mut self, id: ExchangeId, out: &mut Vec<Progress>) -> Option<Probed> {
        let batch = self.find(id)?;
        if batch.due > 0 || batch.building || batch.commands.is_empty() {
            return None;
        }
        if batch.probe {
            return Some(Probed { bound: batch.is_bound(), id });
        }
        if let Some(batch) = self.remove(id) {
            out.push(batch.ended());
        }
        None
    }

    fn abandon(&mut self, id: ExchangeId, reason: AbandonReason, out: &mut Vec<Progress>) {
        if self.remove(id).is_some() {
            out.push(Progress::Abandoned { id, reason });
        }
    }

    fn remove(&mut self, id: ExchangeId) -> Option<Batch> {
        let batch = self.take(id)?;
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        Some(batch)
    }

    /// Takes an exchange out of the queue; the memory that it takes stays counted.
    fn take(&mut self, id: ExchangeId) -> Option<Batch> {
        let at = self.batches.binary_search_by_key(&id, |batch| batch.id).ok()?;
        self.batches.remove(at)
    }
}
