//! The exchanges of one connection that have begun and are not over.

use std::collections::VecDeque;

use super::Now;
use super::active::{Evidence, Inactive};
use super::hops::Spot;
use super::late::Ticket;
use crate::connection::Standing;
use crate::event::{ActiveId, Mark, Process};
use crate::protocol::ExchangeId;
use crate::span::{SpanId, TraceId};

/// Exchanges open at once on one connection. Conversations have bounds of their own, below this one.
pub const MAX_OPEN: usize = 16_384;

/// Calls of a connection whose thread's state is remembered, for exchanges that turn out to have begun with one
/// of them.
const REMEMBERED_CALLS: usize = 4;

/// The open exchanges of one connection.
#[derive(Debug, Default)]
pub struct OpenExchanges {
    /// In the order of their numbers.
    open: VecDeque<Open>,
    calls: [Call; REMEMBERED_CALLS],
    next_call: usize,
}

/// A call on the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    number: u64,
    /// The process that made it.
    pub process: Process,
    /// Its thread's count of waits on several descriptors.
    pub mux_epoch: u32,
    /// Where the connection stood before it.
    pub standing: Standing,
}

/// An exchange that is not over.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its number on its connection.
    pub id: ExchangeId,
    /// The call that moved its first byte.
    pub begun: Mark,
    /// The process that made that call.
    pub process: Process,
    /// A byte of the response has moved.
    pub answered: bool,
    /// It seems to be over: only whether it becomes a span is not known.
    pub over: bool,
    /// What it is to the traced process.
    pub part: Part,
    /// Of a client's exchange: where its other end is found.
    pub spot: Option<Spot>,
    /// Of a client's exchange: its span's id, and the trace that it begins when it has no parent.
    pub own: OwnIds,
    /// Of a server's exchange that is looked for where it is passed on: its method and target, hashed.
    pub passage: Option<u64>,
    /// Of a client's exchange that has no parent: the requests that it can have been made for.
    pub candidates: Vec<ActiveId>,
}

/// Ids that are allotted when an exchange begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnIds {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
}

/// What an exchange is to the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It answers: the exchange can be active on threads.
    Server(ActiveId),
    /// It asks: on behalf of somebody, or nobody.
    Client(Parent),
}

/// On whose behalf a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// On behalf of a server exchange.
    Known(ActiveId),
    /// On behalf of the one server exchange of its process that it can be passing on, by this evidence.
    Forwarded(ActiveId, Evidence),
    /// Nobody knows.
    Unknown(Inactive),
    /// It will be known later.
    Late(Ticket),
}

impl OpenExchanges {
    /// Remembers the state of the thread that makes a call.
    pub fn note_call(&mut self, now: &Now, standing: Standing) {
        if let Some(slot) = self.calls.get_mut(self.next_call) {
            *slot = Call { number: now.mark.call, process: now.process, mux_epoch: now.mux_epoch, standing };
        }
        self.next_call = (self.next_call + 1) % REMEMBERED_CALLS;
    }

    /// A call, if it is remembered.
    #[must_use]
    pub fn call(&self, number: u64) -> Option<&Call> {
        self.calls.iter().find(|call| call.number == number)
    }

    /// Adds an exchange. Returns one that had to go for it.
    pub fn insert(&mut self, exchange: Open) -> Option<Open> {
        let displaced = if self.open.len() >= MAX_OPEN { self.open.pop_front() } else { None };
        self.open.push_back(exchange);
        displaced
    }

    /// The exchange with this number.
    pub fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Open> {
        let at = self.position(id)?;
        self.open.get_mut(at)
    }

    /// Removes the exchange with this number.
    pub fn remove(&mut self, id: ExchangeId) -> Option<Open> {
        let at = self.position(id)?;
        self.open.remove(at)
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.iter().all(|open| open.over)
    }

    /// Removes any exchange.
    pub fn pop(&mut self) -> Option<Open> {
        self.open.pop_front()
    }

    /// Whether an exchange may still get something although the connection is closed: a client can read what
    /// arrived before, and a server that has not begun to answer is still at work.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        self.open.iter().filter(|open| !open.over).any(|open| match open.part {
            Part::Client(_) => true,
            Part::Server(_) => !open.answered,
        })
    }

    fn position(&self, id: ExchangeId) -> Option<usize> {
        match self.open.front() {
            Some(first) if first.id == id => Some(0),
            _ => self.open.binary_search_by_key(&id, |open| open.id).ok(),
        }
    }
}
