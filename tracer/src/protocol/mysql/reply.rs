//! The answer to a command, message by message.
//!
//! ```text
//!            ┌───────────── OK or EOF that announces another result ─────────────┐
//!            ▼                                                                   │
//! Results ─► OK ─► done            ┌─► (EOF) ─► row* ─► EOF or OK ─► done ───────┤
//!         ├► ERR ─► done           │                 └► ERR ─► done              │
//!         ├► file name ─► (client sends the file) ─► OK ─────────────────────────┤
//!         └► number of columns ─► definition* ──► EOF that announces a cursor ─► done
//! ```
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>

use super::capability::{STATUS_CURSOR, STATUS_MORE_RESULTS};
use super::cursor::Cursor;
use super::exchange::{Flavor, ServerError};
use super::framer::{FULL_PACKET, Message};
use super::packet::{self, EOF_LENGTH, Err, Ok};

/// A table has at most 4096 columns; a result may have more, but not a number that needs more bytes than this.
const MAX_COLUMNS: u64 = 0xffff;
/// Every column definition begins with the catalog, which is always this.
const DEFINITION: &[u8] = b"\x03def";
/// Sequence number of the first packet of an answer to a command of one packet.
pub(super) const FIRST_SEQ: u8 = 1;

/// What the answer to a command looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Authentication, until OK or ERR.
    Login,
    /// OK, EOF or ERR.
    Simple,
    /// One message of text, or ERR.
    Text,
    /// A statement's id and its definitions, or ERR.
    Prepared,
    /// Definitions up to EOF, or ERR.
    Definitions,
    /// Rows up to EOF or OK, or ERR.
    Rows,
    /// One or more results.
    Results,
}

/// Where in an answer the next message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Login,
    Simple,
    Text,
    Prepared,
    /// Definitions of a prepared statement: parameters, then columns, each perhaps followed by EOF.
    Groups {
        left: u16,
        then: u16,
    },
    Definitions,
    /// A result begins.
    Result,
    /// The client is sending a file.
    File,
    Columns(u64),
    AfterColumns,
    Rows,
}

/// What a message means for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More messages follow.
    More,
    /// This was the last one.
    Done,
    /// This was the last one unless an EOF packet follows: it is not known whether this session has them.
    MaybeDone,
    /// The previous message was the last one; this one belongs to something else.
    WasDone,
    /// No such message can stand here.
    Violation,
}

/// An answer in progress and what it has told so far.
#[derive(Debug)]
pub(super) struct Reply {
    state: State,
    /// Sequence number that the next packet must have, where that is certain.
    seq: Option<u8>,
    pub(super) rows: Option<u64>,
    pub(super) affected_rows: Option<u64>,
    pub(super) warnings: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) error: Option<ServerError>,
    /// The current database, when the server said that it changed.
    pub(super) schema: Option<String>,
    /// The id that a prepared statement got.
    pub(super) statement: Option<u32>,
    /// Something came that only one of the two products sends.
    pub(super) flavor: Option<Flavor>,
    /// Whether an EOF packet followed the definitions.
    pub(super) eof_seen: Option<bool>,
}

impl Reply {
    pub(super) fn new(shape: Shape) -> Self {
        let (state, seq) = match shape {
            Shape::Login => (State::Login, None),
            Shape::Simple => (State::Simple, Some(FIRST_SEQ)),
            Shape::Text => (State::Text, Some(FIRST_SEQ)),
            Shape::Prepared => (State::Prepared, Some(FIRST_SEQ)),
            Shape::Definitions => (State::Definitions, Some(FIRST_SEQ)),
            Shape::Rows => (State::Rows, Some(FIRST_SEQ)),
            Shape::Results => (State::Result, Some(FIRST_SEQ)),
        };
        Self {
            state,
            seq,
            rows: None,
            affected_rows: None,
            warnings: None,
            status: None,
            error: None,
            schema: None,
            statement: None,
            flavor: None,
            eof_seen: None,
        }
    }

    /// The request's last packet had this number (`None`: not known), from which the answer's go on.
    pub(super) fn goes_on_from(&mut self, last: Option<u8>) {
        if self.seq.is_some() {
            self.seq = last.map(|last| last.wrapping_add(1));
        }
    }

    /// The number that the next packet must have, where that is certain.
    pub(super) fn expected_seq(&self) -> Option<u8> {
        self.seq
    }

    /// The server asked for a file, which the client is sending.
    pub(super) fn takes_file(&self) -> bool {
        self.state == State::File
    }

    /// Takes the next message. `deprecates_eof`: whether the session leaves EOF packets out, if that is known.
    pub(super) fn on_message(&mut self, message: &Message<'_>, deprecates_eof: Option<bool>) -> Progress {
        if self.seq.is_some_and(|seq| seq != message.seq) {
            return Progress::Violation;
        }
        self.seq = self.seq.map(|_| message.last_seq.wrapping_add(1));
        let Some(first) = message.head.first() else {
            // An empty message: a row of no columns is not possible, authentication data is.
            return if self.state == State::Login { Progress::More } else { Progress::Violation };
        };
        match (first, self.state) {
            (0xff, _) => self.refused(message),
            (_, State::Login) => self.login(*first, message),
            (0x00, State::Simple | State::Result | State::File) => self.ok(message),
            (0xfe, State::Simple) => self.ok(message),
            (_, State::Simple | State::File) => Progress::Violation,
            (_, State::Text) => Progress::Done,
            (0x00, State::Prepared) => self.prepared(message, deprecates_eof),
            (_, State::Prepared) => Progress::Violation,
            (_, State::Groups { left, then }) => self.group(left, then, message, deprecates_eof),
            (_, State::Result) => self.result(*first, message),
            (_, State::Columns(left)) => self.column(left, message),
            (0xfe, State::AfterColumns) if message.length == EOF_LENGTH => self.after_columns(message),
            (0xfe, State::AfterColumns | State::Rows | State::Definitions)
                if message.length < u64::from(FULL_PACKET) =>
            {
                self.ok(message)
            }
            (_, State::AfterColumns | State::Rows) => {
                if self.state == State::AfterColumns {
                    self.eof_seen = Some(false);
                }
                self.state = State::Rows;
                self.rows = self.rows.map_or(Some(1), |rows| rows.checked_add(1));
                Progress::More
            }
            (_, State::Definitions) => definition(message, Progress::More),
        }
    }

    fn refused(&mut self, message: &Message<'_>) -> Progress {
        match Err::parse(message.head) {
            Err::Progress => {
                self.flavor = Some(Flavor::Mariadb);
                Progress::More
            }
            Err::Refused(error) => {
                self.flavor = self.flavor.or(packet::named_flavor(error, message.head));
                self.error = Some(error);
                Progress::Done
            }
        }
    }

    fn login(&mut self, first: u8, message: &Message<'_>) -> Progress {
        if first == 0 { self.ok(message) } else { Progress::More }
    }

    /// OK, or the EOF that ends rows: the result is over, and the answer too unless another result follows.
    fn ok(&mut self, message: &Message<'_>) -> Progress {
        let ok = Ok::parse(message.head, message.length);
        if self.state == State::AfterColumns && ok.has(STATUS_CURSOR) {
            self.rows = None;
        } else if self.state == State::Rows || self.state == State::AfterColumns {
            self.rows.get_or_insert(0);
        } else if let Some(affected) = ok.affected_rows {
            self.affected_rows = Some(self.affected_rows.unwrap_or(0).saturating_add(affected));
        }
        self.note(&ok);
        if ok.has(STATUS_MORE_RESULTS)
            && matches!(self.state, State::Result | State::File | State::Rows | State::AfterColumns)
        {
            self.state = State::Result;
            return Progress::More;
        }
        Progress::Done
    }

    pub(super) fn note(&mut self, ok: &Ok<'_>) {
        self.warnings = ok.warnings.or(self.warnings);
        self.status = ok.status.or(self.status);
        if let Some(schema) = ok.schema {
            self.schema = Some(String::from_utf8_lossy(schema).into_owned());
        }
    }

    /// A result begins with neither OK nor ERR: a file is asked for, or rows follow.
    fn result(&mut self, first: u8, message: &Message<'_>) -> Progress {
        if first == 0xfb {
            self.state = State::File;
            self.seq = None;
            return Progress::More;
        }
        let mut cursor = Cursor::new(message.head);
        let columns = cursor.lenenc().filter(|columns| (1..=MAX_COLUMNS).contains(columns));
        let Some(columns) = columns else { return Progress::Violation };
        // One more byte says whether definitions follow (MySQL's optional metadata, MariaDB's cached metadata).
        let defined = cursor.u8() != Some(0);
        if !cursor.is_empty() || message.is_cut() {
            return Progress::Violation;
        }
        self.rows.get_or_insert(0);
        self.state = if defined { State::Columns(columns) } else { State::AfterColumns };
        Progress::More
    }

    fn column(&mut self, left: u64, message: &Message<'_>) -> Progress {
        self.state = if left > 1 { State::Columns(left - 1) } else { State::AfterColumns };
        definition(message, Progress::More)
    }

    /// The EOF between definitions and rows. With a cursor there are no rows yet.
    fn after_columns(&mut self, message: &Message<'_>) -> Progress {
        self.eof_seen = Some(true);
        let eof = Ok::parse(message.head, message.length);
        if eof.has(STATUS_CURSOR) {
            self.rows = None;
            self.note(&eof);
            return Progress::Done;
        }
        self.state = State::Rows;
        Progress::More
    }

    /// COM_STMT_PREPARE's OK.
    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html>
    fn prepared(&mut self, message: &Message<'_>, deprecates_eof: Option<bool>) -> Progress {
        let mut cursor = Cursor::new(message.head.get(1..).unwrap_or_default());
        self.statement = cursor.u32();
        let columns = cursor.u16();
        let parameters = cursor.u16();
        self.warnings = cursor.u8().and_then(|_| cursor.u16());
        let (Some(columns), Some(parameters)) = (columns, parameters) else { return Progress::Violation };
        // MySQL's optional metadata: one more byte says whether definitions follow.
        let (columns, parameters) = if cursor.u8() == Some(0) { (0, 0) } else { (columns, parameters) };
        let (left, then) = if parameters > 0 { (parameters, columns) } else { (columns, 0) };
        self.state = State::Groups { left, then };
        if left == 0 { Progress::Done } else { self.group_end(left, then, deprecates_eof) }
    }

    fn group(
        &mut self,
        left: u16,
        then: u16,
        message: &Message<'_>,
        deprecates_eof: Option<bool>,
    ) -> Progress {
        if message.length == EOF_LENGTH && message.head.first() == Some(&0xfe) {
            self.eof_seen = Some(true);
            self.state = State::Groups { left: then, then: 0 };
            return match (left, then) {
                (0, 0) => Progress::Done,
                (0, _) => Progress::More,
                _ => Progress::Violation,
            };
        }
        let (left, then) = if left == 0 {
            self.eof_seen = if then > 0 { Some(false) } else { self.eof_seen };
            (then, 0)
        } else {
            (left, then)
        };
        let Some(left) = left.checked_sub(1) else { return Progress::WasDone };
        self.state = State::Groups { left, then };
        let end = self.group_end(left, then, deprecates_eof);
        definition(message, end)
    }

    fn group_end(&self, left: u16, then: u16, deprecates_eof: Option<bool>) -> Progress {
        match deprecates_eof.or(self.eof_seen.map(|seen| !seen)) {
            _ if left > 0 || then > 0 => Progress::More,
            Some(true) => Progress::Done,
            Some(false) => Progress::More,
            None => Progress::MaybeDone,
        }
    }
}

/// Checks that a message is a column definition.
fn definition(message: &Message<'_>, otherwise: Progress) -> Progress {
    if message.head.starts_with(DEFINITION) { otherwise } else { Progress::Violation }
}
