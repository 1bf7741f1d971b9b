//! What a connection's set-up and its answers tell of the session.

use std::sync::Arc;

use super::capability::{
    COMPRESS, DEPRECATE_EOF, QUERY_ATTRIBUTES, SESSION_TRACK, STATUS_NO_BACKSLASH, ZSTD,
};
use super::exchange::Flavor;
use super::handshake::Greeting;
use super::statement::Statements;

/// State that outlives an exchange. Everything is optional: the connection may be older than the tracer.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// From the greeting, or from things that only one of the two products does.
    pub(super) flavor: Option<Flavor>,
    /// What the server offers.
    pub(super) server: Option<u32>,
    /// What the client uses.
    pub(super) client: Option<u32>,
    /// The current database.
    pub(super) database: Option<Arc<str>>,
    /// The server's last status flags.
    pub(super) status: Option<u16>,
    /// Seen rather than negotiated: whether definitions are followed by an EOF packet.
    pub(super) eof_seen: Option<bool>,
    pub(super) statements: Statements,
}

impl Session {
    pub(super) fn greeted(&mut self, greeting: Greeting) {
        self.flavor = Some(greeting.flavor);
        self.server = Some(greeting.capabilities);
    }

    /// Whether both sides agreed on a capability. A client names only what it got offered, so its word
    /// suffices when the greeting was not seen.
    fn agreed(&self, flag: u32) -> Option<bool> {
        Some(self.client? & self.server.unwrap_or(u32::MAX) & flag != 0)
    }

    /// No EOF packet between definitions and rows.
    pub(super) fn deprecates_eof(&self) -> Option<bool> {
        self.agreed(DEPRECATE_EOF).or(self.eof_seen.map(|seen| !seen))
    }

    /// COM_QUERY begins with attributes.
    pub(super) fn query_attributes(&self) -> Option<bool> {
        self.agreed(QUERY_ATTRIBUTES)
    }

    /// OK packets carry session state where their status says so.
    pub(super) fn tracks_state(&self) -> bool {
        self.agreed(SESSION_TRACK) != Some(false)
    }

    /// Everything after the login is compressed.
    pub(super) fn compresses(&self) -> bool {
        self.agreed(COMPRESS) == Some(true) || self.agreed(ZSTD) == Some(true)
    }

    /// Whether a backslash in a string stands for itself, as far as the server has said.
    pub(super) fn literal_backslashes(&self) -> Option<bool> {
        self.status.map(|status| status & STATUS_NO_BACKSLASH != 0)
    }
}
