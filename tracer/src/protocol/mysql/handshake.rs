//! Connection set-up: the server's greeting and the client's answer to it.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>,
//! <https://mariadb.com/kb/en/connection/>

use super::capability::{CONNECT_WITH_DB, MYSQL, PLUGIN_AUTH_LENENC, PROTOCOL_41, SECURE_CONNECTION, SSL};
use super::cursor::Cursor;
use super::exchange::Flavor;

/// The only protocol version in use.
pub(super) const PROTOCOL_VERSION: u8 = 10;
/// Payload length of a request to go on in TLS; a login is longer.
const SSL_REQUEST: u64 = 32;
/// Old replication clients take no version above 5.5.5, so MariaDB 10 puts this before its own.
const MARIADB_PREFIX: &[u8] = b"5.5.5-";

/// What the greeting tells. The connection's id and the challenge are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) flavor: Flavor,
    pub(super) capabilities: u32,
}

impl Greeting {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != PROTOCOL_VERSION {
            return None;
        }
        let version = cursor.until_nul()?;
        cursor.take(4 + 8 + 1)?;
        let low = u32::from(cursor.u16()?);
        // Before 4.1 the packet ended here.
        let high = cursor.take(1 + 2).and_then(|_| cursor.u16()).map_or(0, u32::from);
        let capabilities = high << 16 | low;
        Some(Self { flavor: flavor(version, capabilities), capabilities })
    }
}

fn flavor(version: &[u8], capabilities: u32) -> Flavor {
    let named = version.windows(7).any(|word| word.eq_ignore_ascii_case(b"mariadb"));
    if named || version.starts_with(MARIADB_PREFIX) || capabilities & MYSQL == 0 {
        Flavor::Mariadb
    } else {
        Flavor::Mysql
    }
}

/// The client's answer to the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// From the next byte on the connection is TLS.
    Tls,
    /// It names capabilities and perhaps a database. User and secret are not kept.
    Plain { capabilities: u32, database: Option<String> },
}

impl Login {
    /// Reads a handshake response of `length` bytes, of which `payload` was captured.
    pub(super) fn parse(payload: &[u8], length: u64) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let low = cursor.u16()?;
        if u32::from(low) & SSL != 0 && length <= SSL_REQUEST {
            return Some(Self::Tls);
        }
        if u32::from(low) & PROTOCOL_41 == 0 {
            return Some(Self::Plain { capabilities: u32::from(low), database: old_database(cursor, low) });
        }
        let capabilities = u32::from(cursor.u16()?) << 16 | u32::from(low);
        let database = database(cursor, capabilities);
        Some(Self::Plain { capabilities, database })
    }
}

/// HandshakeResponse41 after the capabilities.
fn database(mut cursor: Cursor<'_>, capabilities: u32) -> Option<String> {
    cursor.take(4 + 1 + 23)?;
    cursor.until_nul()?;
    if capabilities & PLUGIN_AUTH_LENENC != 0 {
        cursor.lenenc_bytes()?;
    } else if capabilities & SECURE_CONNECTION != 0 {
        let length = cursor.u8()?;
        cursor.take(usize::from(length))?;
    } else {
        cursor.until_nul()?;
    }
    if capabilities & CONNECT_WITH_DB == 0 {
        return None;
    }
    name(cursor.until_nul()?)
}

/// HandshakeResponse320 after the capabilities.
fn old_database(mut cursor: Cursor<'_>, low: u16) -> Option<String> {
    cursor.u24()?;
    cursor.until_nul()?;
    cursor.until_nul()?;
    if u32::from(low) & CONNECT_WITH_DB == 0 {
        return None;
    }
    name(cursor.until_nul()?)
}

/// The database that COM_CHANGE_USER names; `arguments` follow the command byte.
pub(super) fn change_user_database(arguments: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(arguments);
    cursor.until_nul()?;
    let length = cursor.u8()?;
    cursor.take(usize::from(length))?;
    name(cursor.until_nul()?)
}

/// A database's name; empty is none.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}
