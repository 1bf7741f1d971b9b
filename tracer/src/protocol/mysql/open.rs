//! An exchange in progress.

use std::sync::Arc;

use super::super::{AbandonReason, Detail, Exchange, ExchangeId, Progress, Times};
use super::command::Command;
use super::database::Move;
use super::exchange::{Completeness, Flavor, MysqlExchange};
use super::packet::Ok;
use super::reply::{Reply, Shape};
use super::request::Request;
use super::session::Session;
use crate::event::{Mark, Moment};

/// Error numbers that only MariaDB has (1901 ER_GENERATED_COLUMN… to 1979); MySQL left them free.
const MARIADB_ERRORS: std::ops::RangeInclusive<u16> = 1901..=1999;

/// A command whose answer is not complete.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: ExchangeId,
    pub(super) command: Command,
    pub(super) request: Request,
    /// The request's last byte was seen, or it is known that it will not be.
    pub(super) sent: bool,
    pub(super) request_first: Moment,
    pub(super) request_last: Moment,
    pub(super) response_first: Option<Moment>,
    pub(super) response_last: Option<Moment>,
    pub(super) reply: Reply,
    /// Rows came that were not captured.
    rows_missed: bool,
    /// Its answer's framing is lost: what it said will not be known.
    pub(super) lost: bool,
    /// An answer to a request that was not captured may be outstanding before its own.
    pub(super) doubtful: bool,
}

impl Open {
    pub(super) fn new(id: ExchangeId, command: Command, first: Moment) -> Self {
        Self {
            id,
            command,
            request: Request::default(),
            sent: false,
            request_first: first,
            request_last: first,
            response_first: None,
            response_last: None,
            reply: Reply::new(command.shape().unwrap_or(Shape::Simple)),
            rows_missed: false,
            lost: false,
            doubtful: false,
        }
    }

    /// Bytes of the answer moved. Calls are stamped when they return, so an answer's can bear an earlier time than
    /// its request's: it cannot really have come before.
    pub(super) fn answered(&mut self, first: Mark, last: Mark) {
        let begun = self.request_first.time;
        let after_request = |mark: Mark| Moment { time: mark.time.max(begun), call: mark.call };
        self.response_last = Some(after_request(last));
        let first = after_request(first);
        self.response_first.get_or_insert(first);
    }

    /// Ends it with the answer as it was understood.
    pub(super) fn finish(mut self, session: &mut Session, end: Moment) -> Progress {
        if self.doubtful {
            return Progress::Abandoned { id: self.id, reason: AbandonReason::Gap };
        }
        let database = self.database(session);
        let before = session.literal_backslashes();
        self.teach(session);
        let after = session.literal_backslashes();
        let backslashes = if before.is_none() || before == after { after } else { None };
        if self.command == Command::Connect && self.reply.error.is_none() {
            return Progress::Abandoned { id: self.id, reason: AbandonReason::NoSpan };
        }
        self.ended(session, database, backslashes, Completeness::Whole, end)
    }

    /// Ends it without knowing what the answer said. The answer came before now; if nothing at all was seen of
    /// it, not even its time is known.
    pub(super) fn give_up(self, session: &mut Session) -> Progress {
        if self.request.moves_to != Move::Nowhere || self.request.database.is_some() {
            // Whether the database was changed is not known.
            session.database = None;
        }
        let Some(end) = self.response_last.filter(|_| !self.doubtful && self.command != Command::Connect)
        else {
            return Progress::Abandoned { id: self.id, reason: AbandonReason::Gap };
        };
        let database = self.database(session);
        self.ended(session, database, session.literal_backslashes(), Completeness::Unknown, end)
    }

    /// Ends it because the connection ended.
    pub(super) fn abort(self, session: &mut Session, errno: Option<u16>, mark: Mark) -> Progress {
        if self.lost || self.doubtful {
            return self.give_up(session);
        }
        let database = self.database(session);
        let backslashes = session.literal_backslashes();
        self.ended(session, database, backslashes, Completeness::Aborted(errno), mark.into())
    }

    /// The database that the exchange is about.
    fn database(&self, session: &Session) -> Option<Arc<str>> {
        match self.command {
            Command::Connect | Command::ChangeUser => self.request.database.clone(),
            Command::InitDb => self.request.database.clone().or_else(|| session.database.clone()),
            _ => session.database.clone(),
        }
    }

    /// What the answer changes in the session.
    fn teach(&mut self, session: &mut Session) {
        session.status = self.reply.status.or(session.status);
        session.eof_seen = self.reply.eof_seen.or(session.eof_seen);
        let refused = self.reply.error;
        let mariadb_error = refused.filter(|error| MARIADB_ERRORS.contains(&error.code));
        if let Some(flavor) = self.reply.flavor.or(mariadb_error.map(|_| Flavor::Mariadb)) {
            session.flavor.get_or_insert(flavor);
        }
        if refused.is_none() {
            match self.command {
                Command::Connect | Command::ChangeUser => session.database.clone_from(&self.request.database),
                _ => match &self.request.moves_to {
                    Move::Nowhere => {}
                    Move::To(database) => session.database = Some(database.clone()),
                    Move::Unclear => session.database = None,
                    Move::Drops(database) if session.database.as_ref() == Some(database) => {
                        session.database = None
                    }
                    Move::Drops(_) => {}
                },
            }
            if matches!(self.command, Command::ChangeUser | Command::ResetConnection) {
                session.statements.clear();
            }
            if let (Some(id), Some(text)) = (self.reply.statement, &self.request.text) {
                session.statements.insert(id, text.clone());
            }
        }
        if let Some(schema) = self.reply.schema.take().filter(|_| session.tracks_state()) {
            session.database = (!schema.is_empty()).then(|| schema.into());
        }
    }

    fn ended(
        self,
        session: &Session,
        database: Option<Arc<str>>,
        literal_backslashes: Option<bool>,
        completeness: Completeness,
        end: Moment,
    ) -> Progress {
        let known = completeness != Completeness::Unknown;
        let detail = MysqlExchange {
            command: self.command,
            flavor: session.flavor,
            database,
            text: self.request.text,
            prepared: self.request.prepared,
            literal_backslashes,
            rows: self.reply.rows.filter(|_| known),
            rows_missed: self.rows_missed || !known && self.reply.rows.is_some(),
            affected_rows: self.reply.affected_rows.filter(|_| known),
            warnings: self.reply.warnings.filter(|_| known),
            error: self.reply.error,
            completeness,
        };
        let times = Times {
            request_first: self.request_first,
            request_last: self.request_last,
            response_first: self.response_first,
            end,
        };
        let exchange = Box::new(Exchange { times, detail: Detail::Mysql(detail) });
        Progress::Ended { id: self.id, exchange }
    }

    /// The last packet of a call whose middle was not captured told how the answer ends.
    pub(super) fn ends_with(&mut self, terminal: Terminal<'_>) {
        self.rows_missed = self.reply.rows.take().is_some();
        match terminal {
            Terminal::Ok(ok) => self.reply.note(&ok),
            Terminal::Err(error) => self.reply.error = Some(error),
        }
    }
}

/// The packet that ends an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal<'a> {
    Ok(Ok<'a>),
    Err(super::exchange::ServerError),
}
