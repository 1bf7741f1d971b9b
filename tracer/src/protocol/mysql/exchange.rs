//! What is told of one command and its answer.

use std::sync::Arc;

use super::command::Command;

/// Which of the two products the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL, or something that calls itself so.
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// A statement's text, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryText {
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: Arc<str>,
    /// Only the beginning was captured.
    pub truncated: bool,
}

/// The server's refusal. Its message is dropped: it repeats values of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Error number, e.g. 1146; 0 when these bytes were not captured.
    pub code: u16,
    /// SQLSTATE, five ASCII characters, where the server sent it.
    pub sqlstate: Option<[u8; 5]>,
}

/// How much of the answer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All of it.
    Whole,
    /// It came, but bytes that tell its outcome were not captured: rows and errors are unknown.
    Unknown,
    /// The connection ended before it did, with this errno if there was one.
    Aborted(Option<u16>),
}

/// One command and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct MysqlExchange {
    /// What was asked.
    pub command: Command,
    /// MySQL or MariaDB; unknown on connections older than the tracer that showed no evidence. Who knows the
    /// server from another of its connections may fill this in before the exchange is described; left alone,
    /// it is described as MySQL, whose protocol both speak.
    pub flavor: Option<Flavor>,
    /// The current database, or the one that the command names.
    pub database: Option<Arc<str>>,
    /// The statement, or the prepared statement that was executed.
    pub text: Option<QueryText>,
    /// The text came from a statement prepared on the server: it holds no values.
    pub prepared: bool,
    /// Whether the session takes a backslash in a string literally (SQL mode NO_BACKSLASH_ESCAPES); `None` when
    /// the server has not said yet, or said both during the exchange.
    pub literal_backslashes: Option<bool>,
    /// Rows of all result sets; `None` when there was no result set or they could not be counted.
    pub rows: Option<u64>,
    /// There was a result set, and bytes of it were not captured: `rows` is absent.
    pub rows_missed: bool,
    /// Sum of the affected rows that the server stated.
    pub affected_rows: Option<u64>,
    /// The last warning count that the server stated.
    pub warnings: Option<u16>,
    /// The server's refusal.
    pub error: Option<ServerError>,
    /// How much of the answer was seen.
    pub completeness: Completeness,
}
