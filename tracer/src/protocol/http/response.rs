//! Responses' heads.

use super::Version;
use super::body::Framing;
use super::head::{Head, letter};
use super::line::parse_status_line;
use super::request::FramingFields;

/// What is kept of a response's head.
#[derive(Debug, Default)]
pub(super) struct ResponseHead {
    pub(super) version: Version,
    pub(super) status: u16,
    /// `Upgrade: h2c`: with status 101, HTTP/2 comes next.
    pub(super) to_http2: bool,
    framing: FramingFields,
}

/// What follows a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another response to the same request: this one was interim (1xx).
    Another,
    /// A body, perhaps an empty one.
    Body(Framing),
    /// Something that is not HTTP: an upgrade or a tunnel.
    Tunnel,
}

impl Head for ResponseHead {
    fn start_line(&mut self, line: &[u8]) -> bool {
        let Some((version, status)) = parse_status_line(line) else { return false };
        (self.version, self.status) = (version, status);
        true
    }

    fn may_want(line: &[u8]) -> bool {
        match letter(line, 0) {
            // Content-Length; not Content-Type, Connection, Cache-Control.
            b'c' => letter(line, 8) == b'l',
            // Upgrade, Transfer-Encoding.
            first => matches!(first, b'u' | b't'),
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.to_http2 |= value.eq_ignore_ascii_case(b"h2c");
            }
            14 | 17 => {
                self.framing.field(name, value);
            }
            _ => {}
        }
    }
}

impl ResponseHead {
    /// RFC 9112 section 6.3, in answer to a request with this `method` (as far as it is known).
    pub(super) fn after(&self, method: &str) -> After {
        match self.status {
            101 => After::Tunnel,
            100..=199 => After::Another,
            200..=299 if method == "CONNECT" => After::Tunnel,
            204 | 304 => After::Body(Framing::Length(0)),
            _ if method == "HEAD" => After::Body(Framing::Length(0)),
            _ => After::Body(self.framing.of_response()),
        }
    }
}
