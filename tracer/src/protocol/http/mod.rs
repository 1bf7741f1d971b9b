//! HTTP/1.0 and HTTP/1.1 (RFC 9112), seen from either end.
//!
//! `line` judges start lines, `head` gathers header blocks, `body` follows framing, `reader` joins these for one
//! side, and `conversation` pairs the two sides.

mod body;
mod conversation;
mod detect;
mod early;
mod forwarded;
mod head;
mod line;
mod open;
mod reader;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use conversation::HttpConversation;

use super::{Conversation, Protocol, Start};
use crate::event::Role;
use crate::text::Text;

/// This protocol, for the list.
pub const PROTOCOL: Protocol =
    Protocol { name: "http", told_by: Role::Server, detect: detect::detect, start };

/// Most bytes of one header block, request or status line included. Servers' own limits lie between 8 and 64 KiB.
pub const MAX_HEAD: usize = 64 * 1024;

/// Most bytes kept of a request's target; the rest is cut off.
pub const MAX_TARGET: usize = 4 * 1024;

/// Most bytes of a method that is believed; the longest registered one has 16.
pub const MAX_METHOD: usize = 32;

/// Methods of which no text is kept for each request: those of RFC 9110 section 9 and PATCH (RFC 5789).
pub const USUAL_METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Most bytes kept of any single header field's value.
pub const MAX_VALUE: usize = 512;

/// Most bytes kept of `tracestate`, several fields joined. W3C asks for 512 at least.
pub const MAX_TRACESTATE: usize = 4 * 1024;

/// Requests of one connection that may wait for their responses.
pub const MAX_OPEN: usize = 128;

/// Bytes of responses that are held because their requests have not been reported yet.
pub const MAX_EARLY: usize = 16 * 1024;

/// Calls of such responses.
pub const MAX_EARLY_INPUTS: usize = 8;

fn start(start: Start) -> Box<dyn Conversation> {
    Box::new(HttpConversation::new(start))
}

/// What one exchange was. Of the header fields only what a span needs is kept, never credentials or bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpExchange {
    /// The method as sent; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: Text,
    /// The request target as sent: origin, absolute, authority or asterisk form (RFC 9112 section 3.2).
    pub target: String,
    /// The target was longer than [`MAX_TARGET`] and is cut.
    pub target_truncated: bool,
    /// The request's version, `1.0` or `1.1`.
    pub version: Version,
    /// `Host`.
    pub host: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// What proxies in front say of the original request.
    pub forwarded: Forwarded,
    /// Status code of the final response; absent when none came.
    pub status: Option<u16>,
    /// Bytes of the request's body, without chunk framing; absent when it was not seen to its end.
    pub request_body: Option<u64>,
    /// Bytes of the response's body, without chunk framing; absent when it was not seen to its end.
    pub response_body: Option<u64>,
    /// Why there is no complete response: `error.type` of a transport failure.
    pub failure: Option<Failure>,
    /// How it ended is not known: the tracer, or the capture, ended before it.
    pub cut_short: bool,
    /// The request is an OTLP/HTTP export: the target reports telemetry by itself.
    pub otlp_export: bool,
}

/// HTTP/1's minor version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and what claims to be later.
    #[default]
    Http11,
}

impl Version {
    /// As in `network.protocol.version`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
        }
    }
}

/// What `Forwarded` (RFC 7239), or else the `X-Forwarded-*` fields, say of the client's original request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Address of the first client, without its port.
    pub client: Option<String>,
    /// The host that it asked for, perhaps with a port.
    pub host: Option<String>,
    /// The scheme that it used, in lower case.
    pub proto: Option<String>,
}

/// How an exchange failed below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// ECONNRESET.
    Reset,
    /// EPIPE.
    BrokenPipe,
    /// ETIMEDOUT.
    TimedOut,
    /// Another error of a call.
    Other,
    /// The client ended the connection before the response was complete.
    ClientClosed,
    /// The server ended the connection before the response was complete.
    ServerClosed,
}

impl Failure {
    /// The failure that an errno of Linux means.
    #[must_use]
    pub fn from_errno(errno: u16) -> Self {
        match errno {
            32 => Self::BrokenPipe,
            104 => Self::Reset,
            110 => Self::TimedOut,
            _ => Self::Other,
        }
    }

    /// The word for `error.type`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reset => "connection_reset",
            Self::BrokenPipe => "broken_pipe",
            Self::TimedOut => "timeout",
            Self::Other => "transport_error",
            Self::ClientClosed => "client_closed",
            Self::ServerClosed => "server_closed",
        }
    }
}
