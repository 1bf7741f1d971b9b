//! A command's arguments, as far as spans need them.

use std::sync::Arc;

use super::command::Command;
use super::cursor::Cursor;
use super::database::Move;
use super::exchange::{Flavor, QueryText};
use super::framer::Message;
use super::handshake;
use super::session::Session;

/// Most bytes of a statement that are kept: long ones are long lists of values.
pub(super) const MAX_TEXT: usize = 16 * 1024;
/// Most query attributes that are stepped over: MySQL's own clients send a handful.
const MAX_ATTRIBUTES: u64 = 256;
/// MariaDB: execute the statement that was prepared last, whose id the client need not have seen.
const LAST_STATEMENT: u32 = u32::MAX;

/// What a command says.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) text: Option<QueryText>,
    /// The text belongs to a statement that was prepared on the server.
    pub(super) prepared: bool,
    /// The database that the command names.
    pub(super) database: Option<Arc<str>>,
    /// What becomes of the current one.
    pub(super) moves_to: Move,
    /// The statement that it is about.
    pub(super) statement: Option<u32>,
}

impl Request {
    /// Reads `message`, whose first byte is `command`'s, and learns from it.
    pub(super) fn parse(command: Command, message: &Message<'_>, session: &mut Session) -> Self {
        let arguments = message.head.get(1..).unwrap_or_default();
        match command {
            Command::Query => {
                let text = query_text(arguments, session);
                let moves_to = text.map(Move::of_statement).unwrap_or_default();
                Self { text: text.map(|text| keep(text, message)), moves_to, ..Self::default() }
            }
            Command::Prepare => {
                let text = keep(arguments, message);
                session.statements.sent(&text);
                Self { text: Some(text), prepared: true, ..Self::default() }
            }
            Command::Execute | Command::BulkExecute => execute(command, arguments, session),
            Command::CloseStatement | Command::Fetch | Command::ResetStatement => {
                Self { statement: Cursor::new(arguments).u32(), prepared: true, ..Self::default() }
            }
            Command::InitDb => {
                let (database, moves_to) = (handshake::name(arguments).map(Into::into), Move::to(arguments));
                Self { database, moves_to, ..Self::default() }
            }
            Command::ChangeUser => {
                let database = handshake::change_user_database(arguments).map(Into::into);
                Self { database, ..Self::default() }
            }
            Command::DropDb => Self { moves_to: Move::drops(arguments), ..Self::default() },
            _ => Self::default(),
        }
    }

    /// How much memory its text takes, whoever shares it.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.text.len())
    }

    /// Forgets the text, but not that there was one.
    pub(super) fn drop_text(&mut self) {
        self.text = self.text.take().map(|_| QueryText { text: "".into(), truncated: true });
    }
}

fn keep(text: &[u8], message: &Message<'_>) -> QueryText {
    let truncated = message.is_cut();
    let text = if truncated { without_partial(text) } else { text };
    // Nearly always it is UTF-8, and looking for what is not costs more than the copy.
    let text = std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text).into(), Arc::from);
    QueryText { text, truncated }
}

/// Text without the first bytes of a character whose others were cut off.
fn without_partial(text: &[u8]) -> &[u8] {
    match text.utf8_chunks().last() {
        Some(last) if last.invalid().len() < 4 && text.ends_with(last.invalid()) => {
            text.get(..text.len() - last.invalid().len()).unwrap_or(text)
        }
        _ => text,
    }
}

fn execute(command: Command, arguments: &[u8], session: &mut Session) -> Request {
    let statement = Cursor::new(arguments).u32();
    if command == Command::BulkExecute || statement == Some(LAST_STATEMENT) {
        session.flavor.get_or_insert(Flavor::Mariadb);
    }
    let text = match statement {
        Some(LAST_STATEMENT) => session.statements.last(),
        Some(id) => session.statements.get(id),
        None => None,
    };
    let moves_to = text.as_ref().map(|text| Move::of_statement(text.text.as_bytes())).unwrap_or_default();
    Request { text, prepared: true, moves_to, statement, database: None }
}

/// COM_QUERY's text: with CLIENT_QUERY_ATTRIBUTES it comes after them.
fn query_text<'a>(arguments: &'a [u8], session: &mut Session) -> Option<&'a [u8]> {
    match session.query_attributes() {
        Some(true) => after_attributes(arguments),
        Some(false) => Some(arguments),
        None if looks_attributed(arguments) => {
            // Only MySQL knows them.
            session.flavor.get_or_insert(Flavor::Mysql);
            after_attributes(arguments)
        }
        None => Some(arguments),
    }
}

/// Whether COM_QUERY's arguments begin with attributes: no text begins with these control characters.
pub(super) fn looks_attributed(arguments: &[u8]) -> bool {
    matches!(arguments, [0..=8, 1, ..])
}

/// Steps over query attributes.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html>
pub(super) fn after_attributes(arguments: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(arguments);
    let count = cursor.lenenc()?;
    cursor.lenenc()?;
    if count == 0 {
        return Some(cursor.rest());
    }
    let nulls = cursor.take(usize::try_from(count.min(MAX_ATTRIBUTES)).ok()?.div_ceil(8))?;
    if count > MAX_ATTRIBUTES || cursor.u8()? != 1 {
        return None;
    }
    let mut kinds = Vec::new();
    for _ in 0..count {
        kinds.push(cursor.u16()?);
        cursor.lenenc_bytes()?;
    }
    for (index, kind) in kinds.into_iter().enumerate() {
        let null = nulls.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        if !null {
            skip_value(&mut cursor, kind)?;
        }
    }
    Some(cursor.rest())
}

/// Steps over a binary value of a type.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>
fn skip_value(cursor: &mut Cursor<'_>, kind: u16) -> Option<()> {
    match kind & 0xff {
        0x01 => cursor.take(1).map(drop),
        0x02 | 0x0d => cursor.take(2).map(drop),
        0x03 | 0x04 | 0x09 => cursor.take(4).map(drop),
        0x05 | 0x08 => cursor.take(8).map(drop),
        0x06 => Some(()),
        0x07 | 0x0a | 0x0b | 0x0c => {
            let length = cursor.u8()?;
            cursor.take(usize::from(length)).map(drop)
        }
        _ => cursor.lenenc_bytes().map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_stepped_over() {
        assert_eq!(after_attributes(b"\0\x01SELECT 1"), Some(&b"SELECT 1"[..]));
        // One string attribute named `k`, one null named `n`.
        let mut attributed = b"\x02\x01\x02\x01\xfe\0\x01k\x06\0\x01n\x05value".to_vec();
        attributed.extend_from_slice(b"SELECT 2");
        assert_eq!(after_attributes(&attributed), Some(&b"SELECT 2"[..]));
        for end in 0..attributed.len() - 8 {
            assert_eq!(after_attributes(&attributed[..end]).unwrap_or_default(), b"", "cut at {end}");
        }
    }
}
