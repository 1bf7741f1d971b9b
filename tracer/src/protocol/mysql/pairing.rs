//! Requests and answers in order: which exchange a message belongs to.

use std::collections::VecDeque;

use super::super::{AbandonReason, ExchangeId, Progress};
use super::command::Command;
use super::framer::Message;
use super::handshake::{Greeting, Login, PROTOCOL_VERSION};
use super::open::{Open, Terminal};
use super::reply::{self, Shape};
use super::request::{MAX_TEXT, Request};
use super::session::Session;
use crate::event::{Mark, Side};

/// Most commands that may be unanswered at once. Connectors that pipeline send a few at a time.
const MAX_OPEN: usize = 64;
/// Most bytes of a login that are read; the database's name lies within them unless the secret is absurdly long.
const LOGIN_HEAD: usize = 4096;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server greets, the client answers, they agree on who it is.
    Setup { greeted: bool, answered: bool },
    /// The client sends commands.
    Commands,
    /// What follows cannot be read, or is of no interest: TLS, compression, replication.
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
    session: Session,
    open: VecDeque<Open>,
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
    /// The last definition came, and an EOF packet may follow.
    maybe_done: bool,
}

impl Pairing {
    pub(super) fn new(fresh: bool) -> Self {
        Self {
            phase: if fresh { Phase::Setup { greeted: false, answered: false } } else { Phase::Commands },
            gapless: fresh,
            session: Session::default(),
            open: VecDeque::new(),
            next: 0,
            receiving: None,
            pipelined: false,
            doubt: None,
            restart: false,
            maybe_done: false,
        }
    }

    // === requests ===

    /// How much of a client's message with this sequence number is needed: nothing of secrets and files.
    pub(super) fn request_head(&self, seq: u8) -> usize {
        match self.phase {
            Phase::Setup { answered: false, .. } => LOGIN_HEAD,
            _ if seq == 0 && !self.takes_file() => 1 + MAX_TEXT,
            _ => 0,
        }
    }

    /// The client is sending a file that the server asked for.
    pub(super) fn takes_file(&self) -> bool {
        self.open.front().is_some_and(|open| !open.lost && open.reply.takes_file())
    }

    fn classify(&self, seq: u8, first: Option<u8>) -> Option<Kind> {
        if matches!(self.phase, Phase::Setup { answered: false, .. }) {
            return Some(Kind::Login);
        }
        let in_setup = matches!(self.phase, Phase::Setup { .. });
        let asked =
            self.open.back().is_some_and(|open| matches!(open.command, Command::Query | Command::ChangeUser));
        if self.takes_file() || (seq != 0 && (in_setup || asked)) {
            return Some(Kind::Data);
        }
        first.filter(|_| seq == 0).and_then(Command::from_byte).map(Kind::Command)
    }

    /// The exchange that more request bytes belong to.
    pub(super) fn being_sent(&self) -> Option<ExchangeId> {
        match self.receiving {
            Some(Kind::Data) => self.open.front(),
            Some(_) => self.open.back(),
            None if self.takes_file() => self.open.front(),
            None => None,
        }
        .map(|open| open.id)
    }

    /// The first bytes of a client's message are there.
    pub(super) fn on_opening(
        &mut self,
        seq: u8,
        byte: Option<u8>,
        first: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        if self.receiving.is_some() {
            return Ok(());
        }
        let kind = self.classify(seq, byte).ok_or(Violation)?;
        self.receiving = Some(kind);
        match kind {
            Kind::Login => self.begin(Command::Connect, first, out),
            Kind::Command(command) => self.begin(command, first, out),
            Kind::Data => {}
        }
        Ok(())
    }

    /// A client's message is complete.
    pub(super) fn on_request(
        &mut self,
        message: &Message<'_>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        self.on_opening(message.seq, message.head.first().copied(), message.first, out)?;
        match self.receiving.take() {
            Some(Kind::Login) => self.on_login(message, mark, out),
            Some(Kind::Command(command)) => {
                self.on_command(command, message, mark, out);
                Ok(())
            }
            Some(Kind::Data) | None => {
                if let Some(open) = self.open.front_mut() {
                    open.request_last = mark;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, command: Command, first: Mark, out: &mut Vec<Progress>) {
        while self.open.front().is_some_and(|open| open.lost) {
            self.give_up_front(out);
        }
        if self.open.len() >= MAX_OPEN {
            self.abandon_all(AbandonReason::Limit, out);
        }
        let lost = self.is_out_of_turn(first);
        if lost {
            self.open.iter_mut().for_each(|open| open.lost = true);
            self.doubt = Some(false);
        }
        if self.open.is_empty() {
            self.restart = true;
            if self.doubt == Some(true) {
                self.doubt = None;
            }
        }
        let mut open = Open::new(self.next, command, first);
        self.next += 1;
        open.doubtful = self.doubt.is_some() && !lost;
        open.lost = lost;
        out.push(Progress::Begun { id: open.id, mark: first });
        self.open.push_back(open);
    }

    /// A command begins while the one before it is unanswered, and not in the same call. If not all bytes were
    /// seen, the answer may have been missed, or reported too early: which answer is whose cannot be told.
    fn is_out_of_turn(&self, first: Mark) -> bool {
        !self.gapless && self.open.back().is_some_and(|open| open.request_last.call != first.call)
    }

    fn on_login(
        &mut self,
        message: &Message<'_>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        let Phase::Setup { greeted, .. } = self.phase else { return Err(Violation) };
        self.phase = Phase::Setup { greeted, answered: true };
        match Login::parse(message.head, message.length).ok_or(Violation)? {
            Login::Tls => self.silence(out),
            Login::Plain { capabilities, database } => {
                self.session.client = Some(capabilities);
                if let Some(open) = self.open.back_mut() {
                    open.request.database = database.map(Into::into);
                    (open.sent, open.request_last) = (true, mark);
                }
            }
        }
        Ok(())
    }

    fn on_command(&mut self, command: Command, message: &Message<'_>, mark: Mark, out: &mut Vec<Progress>) {
        let request = Request::parse(command, message, &mut self.session);
        if command.shape().is_none() {
            if let (Command::CloseStatement, Some(id)) = (command, request.statement) {
                self.session.statements.remove(id);
            }
            let ended = self.open.pop_back();
            out.extend(ended.map(|open| Progress::Abandoned { id: open.id, reason: AbandonReason::NoSpan }));
            if command == Command::BinlogDump {
                self.silence(out);
            }
        } else if let Some(open) = self.open.back_mut() {
            open.request = request;
            (open.sent, open.request_last) = (true, mark);
        }
    }

    /// The rest of the client's message in progress will not be seen, or its answer comes before.
    pub(super) fn cut_request(&mut self, partial: Option<&Message<'_>>, mark: Mark, out: &mut Vec<Progress>) {
        if let (Some(message), Some(Kind::Command(command))) = (partial, self.receiving) {
            self.on_command(command, message, mark, out);
        }
        self.receiving = self.receiving.map(|_| Kind::Data);
        if let Some(open) = self.open.back_mut() {
            open.sent = true;
        }
    }

    // === responses ===

    /// A message of the server that begins now has an exchange, or a set-up, to belong to. `patient`: an answer
    /// is not expected before its request is complete.
    pub(super) fn expects_response(&self, patient: bool) -> bool {
        match (self.open.front(), self.phase) {
            (Some(open), _) => open.sent || !patient,
            (None, Phase::Setup { greeted, .. }) => !greeted,
            (None, _) => false,
        }
    }

    pub(super) fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restart)
    }

    /// The exchange whose answer is expected.
    pub(super) fn front(&self) -> Option<&Open> {
        self.open.front()
    }

    pub(super) fn front_shape(&self) -> Option<Shape> {
        self.open.front().and_then(|open| open.command.shape())
    }

    /// Says that bytes of an answer move, once an input (`touched`) and exchange.
    pub(super) fn touch(&self, touched: &mut Option<ExchangeId>, mark: Mark, out: &mut Vec<Progress>) {
        if let Some(open) = self.open.front()
            && *touched != Some(open.id)
        {
            *touched = Some(open.id);
            out.push(Progress::Touched { id: open.id, side: Side::Response, mark });
        }
    }

    /// Some bytes of an answer moved; the current message's first byte did in call `first`.
    pub(super) fn answered(&mut self, first: Mark, last: Mark) {
        if let Some(open) = self.open.front_mut() {
            open.answered(first, last);
        }
    }

    /// A server's message is complete.
    pub(super) fn on_response(
        &mut self,
        message: &Message<'_>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        if let Phase::Setup { greeted: false, answered } = self.phase {
            return self.on_greeting(message, answered, mark, out);
        }
        let deprecates_eof = self.session.deprecates_eof();
        let Some(open) = self.open.front_mut() else { return self.on_stray() };
        let maybe_done = std::mem::take(&mut self.maybe_done);
        let progress = open.reply.on_message(message, deprecates_eof);
        if progress != reply::Progress::WasDone && !(maybe_done && progress == reply::Progress::Violation) {
            open.answered(message.first, mark);
        }
        match progress {
            reply::Progress::More => {}
            reply::Progress::MaybeDone => self.maybe_done = true,
            reply::Progress::Done => self.finish_front(mark, out),
            reply::Progress::Violation if !maybe_done => return Err(Violation),
            reply::Progress::WasDone | reply::Progress::Violation => {
                self.finish_front(mark, out);
                return self.on_response(message, mark, out);
            }
        }
        Ok(())
    }

    /// A server's message that answers nothing.
    fn on_stray(&mut self) -> Result<(), Violation> {
        self.stray();
        Ok(())
    }

    /// Bytes came that answer nothing that was captured.
    pub(super) fn stray(&mut self) {
        self.doubt = self.doubt.map(|_| false);
    }

    fn on_greeting(
        &mut self,
        message: &Message<'_>,
        answered: bool,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) -> Result<(), Violation> {
        self.phase = Phase::Setup { greeted: true, answered };
        match message.head.first() {
            Some(&PROTOCOL_VERSION) => {
                self.session.greeted(Greeting::parse(message.head).ok_or(Violation)?);
                Ok(())
            }
            Some(0xff) => {
                // Refused at the door: the connect itself is the request.
                if self.open.is_empty() {
                    self.begin(Command::Connect, message.first, out);
                }
                self.on_response(message, mark, out)
            }
            _ => Err(Violation),
        }
    }

    /// A call's bytes are used up: what may be over is over.
    pub(super) fn settle(&mut self, out: &mut Vec<Progress>) {
        if self.maybe_done
            && let Some(mark) = self.open.front().and_then(|open| open.response_last)
        {
            self.finish_front(mark, out);
        }
    }

    fn finish_front(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        let Some(open) = self.open.pop_front() else { return };
        let end = open.response_last.unwrap_or(mark);
        let logged_in = open.command == Command::Connect && open.reply.error.is_none();
        self.pipelined |= self.open.front().is_some_and(|next| next.sent && !next.lost);
        self.doubt = self.doubt.map(|_| true);
        out.push(open.finish(&mut self.session, end));
        if logged_in {
            self.phase = Phase::Commands;
            if self.session.compresses() {
                self.silence(out);
            }
        }
    }

    // === gaps and ends ===

    fn give_up_front(&mut self, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        if let Some(open) = self.open.pop_front() {
            out.push(open.give_up(&mut self.session));
        }
    }

    /// No answer can be told from another any more until the next command is sent.
    pub(super) fn lose_responses(&mut self, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        if self.pipelined {
            self.abandon_all(AbandonReason::Gap, out);
            return;
        }
        // A missing answer explains why two commands were open.
        self.doubt = None;
        self.open.iter_mut().for_each(|open| open.lost = true);
    }

    /// Commands may have been sent that were not captured.
    pub(super) fn lose_requests(&mut self, out: &mut Vec<Progress>) {
        self.receiving = None;
        if let Phase::Setup { .. } = self.phase {
            self.phase = Phase::Commands;
            self.abandon_all(AbandonReason::Gap, out);
        }
        if self.pipelined {
            self.doubt = Some(false);
        }
    }

    /// A command begins after some that were not captured, and earlier ones are not answered yet: whose the next
    /// answer is cannot be told.
    pub(super) fn give_up_unanswered(&mut self, out: &mut Vec<Progress>) {
        if !self.open.is_empty() {
            self.open.iter_mut().for_each(|open| open.lost = true);
            while !self.open.is_empty() {
                self.give_up_front(out);
            }
            self.doubt = Some(false);
        }
    }

    /// The set-up cannot be followed to its end.
    pub(super) fn lose_setup(&mut self, out: &mut Vec<Progress>) {
        if let Phase::Setup { .. } = self.phase {
            self.phase = Phase::Commands;
            self.receiving = None;
            self.abandon_all(AbandonReason::Gap, out);
        }
    }

    fn abandon_all(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.maybe_done = false;
        out.extend(self.open.drain(..).map(|open| Progress::Abandoned { id: open.id, reason }));
        if self.pipelined || reason == AbandonReason::Limit {
            self.doubt = Some(false);
        }
    }

    fn silence(&mut self, out: &mut Vec<Progress>) {
        self.abandon_all(AbandonReason::NoSpan, out);
        self.phase = Phase::Silent;
    }

    /// Bytes of the server move while its framing is lost: they belong to the command that was sent last.
    pub(super) fn on_lost_bytes(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        if let Some(open) = self.open.back_mut().filter(|open| open.request_first.time <= mark.time) {
            open.answered(mark, mark);
            out.push(Progress::Touched { id: open.id, side: Side::Response, mark });
        }
    }

    /// The call whose middle was not captured ends with a packet that ends the answer.
    pub(super) fn on_terminal(&mut self, terminal: Terminal<'_>, mark: Mark, out: &mut Vec<Progress>) {
        if let [open] = self.open.make_contiguous() {
            open.ends_with(terminal);
            self.finish_front(mark, out);
        }
    }

    /// The connection has ended: so has everything on it.
    pub(super) fn end(&mut self, errno: Option<u16>, mark: Mark, out: &mut Vec<Progress>) {
        self.settle(out);
        while let Some(open) = self.open.pop_front() {
            out.push(open.abort(&mut self.session, errno, mark));
        }
        self.phase = Phase::Silent;
    }
}
