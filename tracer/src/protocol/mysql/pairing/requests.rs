//! The client's messages: commands begin exchanges.

use super::super::super::{AbandonReason, ExchangeId, Progress};
use super::super::command::Command;
use super::super::framer::Message;
use super::super::handshake::Login;
use super::super::open::Open;
use super::super::request::{MAX_TEXT, Request};
use super::{Kind, Pairing, Phase, Violation};
use crate::event::Mark;

/// Most commands that may be unanswered at once. MariaDB's connector for Node sends all that it is asked for.
const MAX_OPEN: usize = 4096;
/// Most bytes of their texts. Past it a command is followed without its text.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Most bytes of a login that are read; the database's name lies within them unless the secret is absurdly long.
const LOGIN_HEAD: usize = 4096;

impl Pairing {
    /// How much of a client's message with this sequence number is needed: nothing of secrets and files.
    pub(in super::super) fn request_head(&self, seq: u8) -> usize {
        match self.phase {
            Phase::Setup { answered: false, .. } => LOGIN_HEAD,
            _ if seq == 0 && !self.takes_file() => 1 + MAX_TEXT,
            _ => 0,
        }
    }

    /// The client is sending a file that the server asked for.
    pub(in super::super) fn takes_file(&self) -> bool {
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
        let command = Command::from_byte(first.filter(|_| seq == 0)?);
        // A byte that is no command's is one where this is surely the place of one; else the framing is wrong.
        let surely = self.gapless || self.proven;
        command.or(surely.then_some(Command::Unknown)).map(Kind::Command)
    }

    /// The exchange that more request bytes belong to.
    pub(in super::super) fn being_sent(&self) -> Option<ExchangeId> {
        match self.receiving {
            Some(Kind::Data) => self.open.front(),
            Some(_) => self.open.back(),
            None if self.takes_file() => self.open.front(),
            None => None,
        }
        .map(|open| open.id)
    }

    /// The first bytes of a client's message are there.
    pub(in super::super) fn on_opening(
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
    pub(in super::super) fn on_request(
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
                    open.request_last = mark.into();
                }
                Ok(())
            }
        }
    }

    pub(super) fn begin(&mut self, command: Command, first: Mark, out: &mut Vec<Progress>) {
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
        let mut open = Open::new(self.next, command, first.into());
        self.next += 1;
        open.doubtful = self.doubt.is_some() && !lost;
        if self.packed {
            open.reply.goes_on_from(None);
        }
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
            Login::Tls => self.silence(AbandonReason::Encrypted, out),
            Login::Plain { capabilities, database } => {
                self.session.client = Some(capabilities);
                if let Some(open) = self.open.back_mut() {
                    open.request.database = database.map(Into::into);
                    (open.sent, open.request_last) = (true, mark.into());
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
                self.silence(AbandonReason::NoSpan, out);
            }
        } else if let Some(open) = self.open.back_mut() {
            open.request = request;
            if self.text_bytes + open.request.text_bytes() > MAX_TEXT_BYTES {
                open.request.drop_text();
            }
            self.text_bytes += open.request.text_bytes();
            open.reply.goes_on_from((!self.packed).then_some(message.last_seq));
            (open.sent, open.request_last) = (true, mark.into());
        }
    }

    /// The rest of the client's message in progress will not be seen, or its answer comes before.
    pub(in super::super) fn cut_request(
        &mut self,
        partial: Option<&Message<'_>>,
        mark: Mark,
        out: &mut Vec<Progress>,
    ) {
        let cut = self.receiving.is_some_and(|kind| kind != Kind::Data);
        if let (Some(message), Some(Kind::Command(command))) = (partial, self.receiving) {
            self.on_command(command, message, mark, out);
        }
        self.receiving = self.receiving.map(|_| Kind::Data);
        if let Some(open) = self.open.back_mut().filter(|open| !open.sent || cut) {
            open.sent = true;
            open.reply.goes_on_from(None);
        }
    }
}
