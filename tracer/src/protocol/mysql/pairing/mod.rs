//! Requests and answers in order: which exchange a message belongs to.

mod loss;
mod requests;
mod responses;

use std::collections::VecDeque;

use super::super::ExchangeId;
use super::command::Command;
use super::open::Open;
use super::session::Session;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server greets, the client answers, they agree on who it is.
    Setup { greeted: bool, answered: bool },
    /// The client sends commands.
    Commands,
    /// What follows cannot be read, or is of no interest: TLS, replication.
    Silent,
}

/// What a message of the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The answer to the greeting.
    Login,
    /// A command.
    Command(Command),
    /// Authentication or a file's content: a part of the exchange that asked for it.
    Data,
}

/// Bytes did not follow the protocol: the framing cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// The exchanges in progress, and the session that they belong to.
#[derive(Debug)]
pub(super) struct Pairing {
    pub(super) phase: Phase,
    /// Everything since the connection's first byte was seen, so a command without an answer is only waiting, and
    /// an answer without a command is only early.
    pub(super) gapless: bool,
    /// A command was answered since the boundaries of the client's messages were found: they are right.
    proven: bool,
    session: Session,
    open: VecDeque<Open>,
    /// Bytes of their texts.
    text_bytes: usize,
    next: ExchangeId,
    /// What the client's message in progress is, once its first bytes told.
    receiving: Option<Kind>,
    /// A command was answered while the next one had already been sent.
    pipelined: bool,
    /// After a gap on a pipelined connection, answers to commands that were not captured may be outstanding:
    /// nothing is paired until one command was answered (`Some(true)`) and the next one sent with no
    /// other answer between.
    doubt: Option<bool>,
    /// The next byte of the server begins an answer, wherever the framing was before.
    restart: bool,
    /// The bytes came compressed: servers then number messages as they number the packets that hold them, so that
    /// numbers skip.
    pub(super) packed: bool,
    /// The last definition came, and an EOF packet may follow.
    maybe_done: bool,
}

impl Pairing {
    pub(super) fn new(fresh: bool) -> Self {
        Self {
            phase: if fresh { Phase::Setup { greeted: false, answered: false } } else { Phase::Commands },
            gapless: fresh,
            proven: false,
            session: Session::default(),
            open: VecDeque::new(),
            text_bytes: 0,
            next: 0,
            receiving: None,
            pipelined: false,
            doubt: None,
            restart: false,
            packed: false,
            maybe_done: false,
        }
    }

    /// The oldest exchange ends.
    fn take_front(&mut self) -> Option<Open> {
        let open = self.open.pop_front()?;
        self.text_bytes = self.text_bytes.saturating_sub(open.request.text_bytes());
        Some(open)
    }
}
