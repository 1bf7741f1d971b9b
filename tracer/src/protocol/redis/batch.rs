//! An exchange in the making: the commands of one write, and what their replies have told so far.

use std::borrow::Cow;

use super::RedisExchange;
use super::command::{Argument, Command, OTHER_NAMES, Outcome, Tally};
use crate::event::{Mark, Moment};
use crate::protocol::{Detail, Exchange, ExchangeId, Progress, Times};

/// Names that are counted of an exchange's commands that are not kept; those with further names share one.
const MAX_TALLIES: usize = 32;
/// What `EXEC` answers when a command could not be queued.
const EXEC_ABORT: &str = "EXECABORT";

/// The commands of one write.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: ExchangeId,
    pub(super) commands: Vec<Command>,
    /// Commands that are only counted.
    tallies: Vec<Tally>,
    /// Replies due.
    pub(super) due: u32,
    /// Commands answered.
    answered: u32,
    /// A command has begun and is not complete.
    pub(super) building: bool,
    pub(super) request_first: Mark,
    pub(super) request_last: Mark,
    response_first: Option<Seen>,
    end: Seen,
    error: Option<Cow<'static, str>>,
    failures: u32,
    database: Option<u32>,
    /// Memory that the kept commands take.
    pub(super) bytes: usize,
    /// Number of the input that last touched it.
    pub(super) touched: u64,
    /// It only tests whether requests and replies are in step.
    pub(super) probe: bool,
    /// A reply was missed while it was open: what is taken for its own can be that of a command that was missed, too.
    pub(super) kept: bool,
}

/// When something moved.
#[derive(Debug, Clone, Copy)]
struct Seen {
    moment: Moment,
    /// By the thread that wrote the first command, active on the same thing.
    same: bool,
}

/// Where a command's outcome goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To this one of the kept commands.
    Kept(usize),
    /// To this one of the tallies.
    Tally(usize),
    /// Nowhere: its exchange was abandoned for a limit.
    Nowhere,
}

impl Batch {
    pub(super) fn new(id: ExchangeId, mark: Mark, input: u64, probe: bool) -> Self {
        Self {
            id,
            commands: Vec::new(),
            tallies: Vec::new(),
            due: 0,
            answered: 0,
            building: true,
            request_first: mark,
            request_last: mark,
            response_first: None,
            end: Seen { moment: mark.into(), same: true },
            error: None,
            failures: 0,
            database: None,
            bytes: 0,
            touched: input,
            probe,
            kept: false,
        }
    }

    /// Takes a complete command, which may use up to `room` bytes; the first one's name is kept in any case.
    pub(super) fn add(&mut self, mut command: Command, due: bool, room: usize, mark: Mark) -> Place {
        self.building = false;
        self.request_last = mark;
        self.end = self.seen(mark);
        self.due += u32::from(due);
        if size(&command) > room {
            if !self.commands.is_empty() {
                return Place::Tally(self.count(command.name));
            }
            let dropped = u32::try_from(command.args.len()).unwrap_or(u32::MAX);
            command.args_omitted = command.args_omitted.saturating_add(dropped);
            command.args = Vec::new();
        }
        self.bytes = self.bytes.saturating_add(size(&command));
        if self.commands.is_empty() {
            // Mostly it stays alone.
            self.commands.reserve_exact(1);
        }
        self.commands.push(command);
        Place::Kept(self.commands.len() - 1)
    }

    fn count(&mut self, name: Cow<'static, str>) -> usize {
        let known = self.tallies.iter().position(|tally| tally.name == name);
        let at = known.unwrap_or_else(|| {
            let at = self.tallies.len().min(MAX_TALLIES);
            if at == self.tallies.len() {
                let name = if at == MAX_TALLIES { OTHER_NAMES.into() } else { name };
                self.tallies.push(Tally { name, commands: 0, answered: 0 });
            }
            at
        });
        if let Some(tally) = self.tallies.get_mut(at) {
            tally.commands = tally.commands.saturating_add(1);
        }
        at
    }

    /// A command is answered; `database` was selected when it ran.
    pub(super) fn answer(&mut self, place: Place, outcome: Outcome, database: Option<u32>, mark: Mark) {
        self.database = if self.answered == 0 || self.database == database { database } else { None };
        self.answered = self.answered.saturating_add(1);
        self.due = self.due.saturating_sub(1);
        self.end = self.seen(not_before(mark, self.request_last));
        if let Place::Tally(at) = place
            && let Some(tally) = self.tallies.get_mut(at)
        {
            tally.answered = tally.answered.saturating_add(1);
        }
        self.set(place, outcome);
    }

    pub(super) fn set(&mut self, place: Place, outcome: Outcome) {
        self.note(&outcome);
        if let Place::Kept(at) = place
            && let Some(command) = self.commands.get_mut(at)
        {
            command.reply = outcome;
        }
    }

    /// A queued command's result is known. False: it is not known as a queued one here.
    pub(super) fn amend(&mut self, place: Place, outcome: &Outcome) -> bool {
        match place {
            Place::Kept(at) => {
                let is_queued = self.commands.get(at).is_some_and(|command| command.reply == Outcome::Queued);
                if is_queued {
                    self.set(place, outcome.clone());
                }
                is_queued
            }
            Place::Tally(_) => {
                self.note(outcome);
                true
            }
            Place::Nowhere => false,
        }
    }

    /// The first failure names the whole, unless the transaction as such failed.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        if let Some(word) = outcome.failure() {
            self.failures = self.failures.saturating_add(1);
            if self.error.is_none() || word == EXEC_ABORT {
                self.error = Some(word.to_owned().into());
            }
        }
    }

    /// The first byte of a reply to it moved.
    pub(super) fn reply_begins(&mut self, first: Mark) {
        if self.response_first.is_none() {
            self.response_first = Some(self.seen(not_before(first, self.request_first)));
        }
    }

    /// One thread, active on the same thing, wrote the commands and read the replies.
    pub(super) fn is_bound(&self) -> bool {
        self.request_first.active.is_some()
            && self.seen(self.request_last).same
            && self.response_first.is_some_and(|seen| seen.same)
            && self.end.same
    }

    /// No byte of a reply was seen.
    pub(super) fn is_unanswered(&self) -> bool {
        self.response_first.is_none() && self.answered == 0
    }

    fn seen(&self, mark: Mark) -> Seen {
        let first = self.request_first;
        Seen { moment: mark.into(), same: mark.thread == first.thread && mark.active == first.active }
    }

    /// No reply will come any more.
    pub(super) fn cut_off(&mut self, mark: Mark) {
        self.end = self.seen(not_before(mark, self.request_last));
    }

    pub(super) fn ended(self) -> Progress {
        let times = Times {
            request_first: self.request_first.into(),
            request_last: self.request_last.into(),
            response_first: self.response_first.map(|seen| seen.moment),
            end: self.end.moment,
        };
        let detail = RedisExchange {
            commands: self.commands,
            omitted: self.tallies,
            error: self.error,
            failures: self.failures,
            database: self.database,
        };
        let exchange = Box::new(Exchange { times, detail: Detail::Redis(detail) });
        Progress::Ended { id: self.id, exchange }
    }
}

/// A reply can be stamped a hair before its command, on another CPU: it did not come before it.
fn not_before(mark: Mark, request: Mark) -> Mark {
    Mark { time: mark.time.max(request.time), ..mark }
}

/// The memory that a kept command takes, in bytes.
fn size(command: &Command) -> usize {
    let text = |arg: &Argument| match arg {
        Argument::Hidden => 0,
        Argument::Shown(text) | Argument::Cut(text) => text.len(),
    };
    let name = match &command.name {
        Cow::Borrowed(_) => 0,
        Cow::Owned(name) => name.capacity(),
    };
    size_of::<Command>()
        + name
        + command.args.capacity() * size_of::<Argument>()
        + command.args.iter().map(text).sum::<usize>()
}
