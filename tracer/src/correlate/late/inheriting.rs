//! Threads that were made for a request.
//!
//! One inherits the request only if it ends with it; a worker of a pool outlives it, and then serves others. What such
//! a thread makes in turn inherits only if its maker does too.

use super::{LateParents, Question};
use crate::correlate::active::{Evidence, Inactive};
use crate::event::{ActiveId, Moment, Nanos, ThreadId};

/// Threads made for requests that are watched; a further one inherits nothing.
pub const MAX_INHERITING: usize = 16_384;

/// How long after the response's last byte the end of a thread may be told, in nanoseconds: who joins a thread goes
/// on before the kernel has taken it down.
pub const EXIT_GRACE: Nanos = 10_000_000;

/// A thread that was made while an exchange was active.
#[derive(Debug)]
pub(super) struct Inheriting {
    pub(super) exchange: ActiveId,
    pub(super) waiting: Vec<Question>,
    /// The call by which the exchange ended.
    pub(super) ended: Option<u64>,
    /// It ended too, after its exchange did.
    pub(super) exited: bool,
    /// The thread that made it inherits, if it does, but that is not known yet.
    maker: Option<ThreadId>,
    /// It ended in time, and waits for what becomes of its maker.
    in_time: bool,
    /// Threads that it made.
    made: Vec<ThreadId>,
}

impl Inheriting {
    /// Whether it ended with its exchange, as far as it alone is concerned.
    pub(super) fn ended_in_time(&self) -> bool {
        self.exited || self.in_time
    }
}

impl LateParents {
    /// A thread made another; while `active` was on it, if anything was.
    pub fn made(&mut self, maker: ThreadId, child: ThreadId, active: Option<ActiveId>) {
        let open = |inheriting: &&mut Inheriting| inheriting.ended.is_none();
        let is_full = self.inheriting.len() >= MAX_INHERITING;
        let (exchange, maker) = if let Some(active) = active {
            (active, None)
        } else if let Some(inheriting) = self.inheriting.get_mut(&maker).filter(open) {
            if !is_full {
                inheriting.made.push(child);
            }
            (inheriting.exchange, Some(maker))
        } else {
            return;
        };
        if is_full {
            self.stats.unwatched_by_limit += 1;
            return;
        }
        let inheriting = Inheriting {
            exchange,
            waiting: Vec::new(),
            ended: None,
            exited: false,
            maker,
            in_time: false,
            made: Vec::new(),
        };
        self.inheriting.insert(child, inheriting);
    }

    /// An exchange during which threads may have been made ended by the call; without its response's last byte
    /// nothing is inherited.
    pub fn end_for_threads(&mut self, exchange: ActiveId, response_end: Option<Moment>) {
        if self.inheriting.is_empty() {
            return;
        }
        let outlived = &mut self.outlived;
        let mut dropped = Vec::new();
        for (thread, inheriting) in &mut self.inheriting {
            if inheriting.exchange != exchange || inheriting.ended.is_some() {
                continue;
            }
            match response_end {
                Some(end) => {
                    inheriting.ended = Some(end.call);
                    outlived.push_back((end.time.saturating_add(EXIT_GRACE), *thread));
                }
                None => dropped.push(*thread),
            }
        }
        for thread in dropped {
            self.disinherit(thread);
        }
    }

    /// A thread has ended.
    pub fn exit(&mut self, thread: ThreadId) {
        if let Some(inheriting) = self.inheriting.get_mut(&thread) {
            if inheriting.ended.is_some() {
                // Whether its process ended with it is told within the grace.
                inheriting.exited = true;
            } else {
                self.inherit(thread);
            }
        }
        self.forget(thread);
    }

    /// A thread ended with the exchange it was made for, and so did those that it made and that wait for it.
    pub(super) fn inherit(&mut self, thread: ThreadId) {
        let mut ended = vec![thread];
        while let Some(thread) = ended.pop() {
            let Some(inheriting) = self.inheriting.get_mut(&thread) else { continue };
            if inheriting.maker.is_some() {
                inheriting.in_time = true;
                continue;
            }
            let Some(inheriting) = self.inheriting.remove(&thread) else { continue };
            for question in inheriting.waiting {
                self.answers.give(question.ticket, Ok((inheriting.exchange, Evidence::Thread)));
                self.waiting -= 1;
            }
            for made in inheriting.made {
                let Some(child) = self.inheriting.get_mut(&made) else { continue };
                child.maker = None;
                if child.in_time {
                    ended.push(made);
                }
            }
        }
    }

    /// A thread inherits nothing, nor does what it made.
    pub(super) fn disinherit(&mut self, thread: ThreadId) {
        let mut left = vec![thread];
        while let Some(thread) = left.pop() {
            let Some(inheriting) = self.inheriting.remove(&thread) else { continue };
            for question in inheriting.waiting {
                self.refuse(question.ticket, Inactive::Outlived);
            }
            left.extend(inheriting.made);
        }
    }
}
