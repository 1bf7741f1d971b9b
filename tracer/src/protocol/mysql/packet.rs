//! The generic answers: OK, ERR, EOF.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_response_packets.html>

use super::capability::STATUS_SESSION_STATE;
use super::cursor::Cursor;
use super::exchange::{Flavor, ServerError};

/// Length of an EOF packet's payload; an OK packet with EOF's first byte has at least seven.
pub(super) const EOF_LENGTH: u64 = 5;
/// Error number of a MariaDB progress report: not an error, and not the end.
/// <https://mariadb.com/kb/en/err_packet/>
const PROGRESS: u16 = 0xffff;
/// Session state change: the current database.
const SCHEMA_CHANGE: u8 = 1;

/// What an OK or EOF packet states, as far as it was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ok<'a> {
    /// Absent in an EOF packet.
    pub(super) affected_rows: Option<u64>,
    pub(super) status: Option<u16>,
    pub(super) warnings: Option<u16>,
    /// The current database, if the packet says that it changed.
    pub(super) schema: Option<&'a [u8]>,
}

impl<'a> Ok<'a> {
    /// Reads an OK packet (first byte 0x00 or 0xfe), or an EOF packet by its `length`.
    pub(super) fn parse(payload: &'a [u8], length: u64) -> Self {
        let mut cursor = Cursor::new(payload);
        if length == EOF_LENGTH && cursor.u8() == Some(0xfe) {
            let warnings = cursor.u16();
            return Self { affected_rows: None, status: cursor.u16(), warnings, schema: None };
        }
        let mut cursor = Cursor::new(payload.get(1..).unwrap_or_default());
        let affected_rows = cursor.lenenc();
        let status = affected_rows.and_then(|_| cursor.lenenc()).and_then(|_| cursor.u16());
        let warnings = status.and_then(|_| cursor.u16());
        let tracked = status.is_some_and(|status| status & STATUS_SESSION_STATE != 0);
        let schema = if tracked { changed_schema(&mut cursor) } else { None };
        Self { affected_rows, status, warnings, schema }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.status.is_some_and(|status| status & flag != 0)
    }
}

/// Looks for a change of database in an OK packet's session state.
fn changed_schema<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    cursor.lenenc_bytes()?;
    let mut changes = Cursor::new(cursor.lenenc_bytes()?);
    while let (Some(kind), Some(data)) = (changes.u8(), changes.lenenc_bytes()) {
        if kind == SCHEMA_CHANGE {
            return Cursor::new(data).lenenc_bytes();
        }
    }
    None
}

/// What a packet with first byte 0xff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Err {
    /// A refusal.
    Refused(ServerError),
    /// MariaDB tells how far a long statement has got.
    Progress,
}

impl Err {
    /// Reads an ERR packet; the number is 0 when even that was not captured. Its message is not read.
    pub(super) fn parse(payload: &[u8]) -> Self {
        let mut cursor = Cursor::new(payload.get(1..).unwrap_or_default());
        let code = cursor.u16().unwrap_or_default();
        if code == PROGRESS {
            return Self::Progress;
        }
        let marked = cursor.u8() == Some(b'#');
        let state = if marked { cursor.take(5).and_then(|state| state.try_into().ok()) } else { None };
        let sqlstate = state.filter(|state: &[u8; 5]| state.iter().all(u8::is_ascii_alphanumeric));
        Self::Refused(ServerError { code, sqlstate })
    }
}

/// Error number of a syntax error, whose message names the product whose manual helps.
const SYNTAX_ERROR: u16 = 1064;

/// Which product refused, if its message tells.
pub(super) fn named_flavor(error: ServerError, payload: &[u8]) -> Option<Flavor> {
    let names = |product: &[u8]| memchr::memmem::find(payload, product).is_some();
    match error.code {
        SYNTAX_ERROR if names(b"corresponds to your MariaDB server") => Some(Flavor::Mariadb),
        SYNTAX_ERROR if names(b"corresponds to your MySQL server") => Some(Flavor::Mysql),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_states_rows_status_and_warnings() {
        let ok = Ok::parse(b"\0\x03\x07\x02\0\x01\0", 7);
        assert_eq!(ok, Ok { affected_rows: Some(3), status: Some(2), warnings: Some(1), schema: None });
    }

    #[test]
    fn ok_states_a_changed_schema() {
        let ok = Ok::parse(b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04shop", 17);
        assert_eq!(ok.schema, Some(&b"shop"[..]));
        assert_eq!(Ok::parse(b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04sh", 17).schema, None);
    }

    #[test]
    fn eof_is_told_by_its_length() {
        let eof = Ok::parse(b"\xfe\x02\0\x22\0", 5);
        assert_eq!((eof.affected_rows, eof.warnings, eof.status), (None, Some(2), Some(0x22)));
        let ok = Ok::parse(b"\xfe\0\0\x22\0\x02\0", 7);
        assert_eq!((ok.affected_rows, ok.warnings, ok.status), (Some(0), Some(2), Some(0x22)));
    }

    #[test]
    fn errors_keep_number_and_state_only() {
        let refused = Err::parse(b"\xff\x7a\x04#42S02Table 'x.secret' doesn't exist");
        assert_eq!(refused, Err::Refused(ServerError { code: 1146, sqlstate: Some(*b"42S02") }));
        let early = Err::parse(b"\xff\x10\x04Too many connections");
        assert_eq!(early, Err::Refused(ServerError { code: 1040, sqlstate: None }));
        assert_eq!(Err::parse(b"\xff\xff\xff\x01\x01\x02"), Err::Progress);
    }
}
