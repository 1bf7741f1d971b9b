//! Application protocols: from a connection's bytes to exchanges (a request and its response).
//!
//! A protocol is a folder here and a line in [`PROTOCOLS`]. Its conversation is sans-IO: it takes bytes in any
//! segmentation, with gaps, holds bounded state and never panics. Incomplete is not invalid.

mod health;
pub mod http;
pub mod mysql;
mod passage;
pub mod redis;
mod trace_headers;

use health::path;
pub use health::{HealthCheck, HealthPatterns};
pub use passage::Passage;
pub use trace_headers::{B3Fields, TraceHeaders};

use std::sync::Arc;

use crate::event::{Endpoints, Mark, Moment, Role, Side};

/// The protocols that detection tries, in order.
pub const PROTOCOLS: &[Protocol] = &[http::PROTOCOL, mysql::PROTOCOL, redis::PROTOCOL];

/// Most bytes of memory that one conversation may hold, whatever its peers send. Each protocol's own caps, on open
/// requests, kept texts and prepared statements, keep it below this; the fuzz targets check that they do.
pub const MAX_CONVERSATION: usize = 8 << 20;

/// One protocol: how to recognise it and how to follow it.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Short name, as in metrics: `http`, `mysql`, `redis`.
    pub name: &'static str,
    /// The end whose spans suffice where both are seen: who answers requests is told by them, a database by its
    /// clients.
    pub told_by: Role,
    /// Judges the first bytes of a connection.
    pub detect: fn(&Opening<'_>) -> Verdict,
    /// Starts following a connection that was judged `Certain`.
    pub start: fn(Start) -> Box<dyn Conversation>,
}

/// What is known of a connection before its protocol is: the first bytes either way.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// From connect (client) or accept (server); absent when the connection is older than the tracer.
    pub role: Option<Role>,
    /// The bytes below are the connection's very first ones.
    pub fresh: bool,
    /// First bytes received, contiguous; they begin where a call began.
    pub ingress: &'a [u8],
    /// First bytes sent, contiguous; they begin where a call began.
    pub egress: &'a [u8],
    /// Whether the first bytes seen of all were received ones (`None` before any).
    pub ingress_first: Option<bool>,
    /// Both addresses: a port may break a tie, never decide alone.
    pub endpoints: &'a Endpoints,
}

impl Opening<'_> {
    /// The bytes that a process of `role` would have seen on `side`.
    #[must_use]
    pub fn bytes(&self, role: Role, side: Side) -> &[u8] {
        match (role, side) {
            (Role::Client, Side::Request) | (Role::Server, Side::Response) => self.egress,
            (Role::Client, Side::Response) | (Role::Server, Side::Request) => self.ingress,
        }
    }
}

/// A protocol's judgement of an [`Opening`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this protocol, and the traced process has this role.
    Certain(Role),
    /// More bytes are needed.
    Unsure,
    /// It is something else.
    NotForUs,
}

/// How a conversation begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The traced process's role.
    pub role: Role,
    /// The conversation will see the connection from its first byte. Otherwise it must look for the first
    /// certain message boundary, and may have to learn what the beginning would have told.
    pub fresh: bool,
}

/// Bytes that moved in one call, or a contiguous part of them.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Which half of the conversation.
    pub side: Side,
    /// The bytes.
    pub bytes: &'a [u8],
    /// These bytes are the first of their call: messages usually begin here.
    pub call_start: bool,
    /// Who moved them, and when.
    pub mark: Mark,
}

/// Why a side of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender of this side finished it in order (FIN, shutdown, close).
    Finished,
    /// Reset, broken pipe, time-out: the errno.
    Failed(u16),
    /// The connection is closed; both sides end.
    Closed,
    /// How and when the connection ends will not be told; both sides end. What is open may have been answered well:
    /// it must not become an error.
    Forgotten,
    /// The same, and events were lost: what is open may long be over.
    Lost,
}

/// Follows one connection. Output goes to `out`, in the order in which it happened.
///
/// Rules that the stages behind rely on:
/// - `Begun` comes as soon as the first byte of a request is certain to begin one, with that byte's mark.
/// - Every `Begun` is followed by exactly one `Ended` or `Abandoned` with the same id (at the latest when
///   `on_end` is called with [`End::Closed`], [`End::Forgotten`] or [`End::Lost`]).
/// - `Touched` comes at most once per input and exchange.
/// - `Answered` comes at most once, before the `Ended` or `Abandoned` that it announces; nothing is touched after it.
/// - After a gap, a request is never paired with another's response.
pub trait Conversation: Send + std::fmt::Debug {
    /// Takes the next bytes of a side.
    fn on_bytes(&mut self, input: Input<'_>, out: &mut Vec<Progress>);

    /// `lost` bytes of a side moved without being captured; `mark` is the call that moved them, or the one after.
    fn on_gap(&mut self, side: Side, lost: u64, mark: Mark, out: &mut Vec<Progress>);

    /// A side, or all, has ended. `mark` is when it was noticed.
    fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>);

    /// Nobody tells when the connection closes: its transport does not.
    fn expect_no_end(&mut self) {}

    /// By what requests are told that only ask how the server is. Comes before any bytes, if at all.
    fn tell_health_checks_by(&mut self, _patterns: &Arc<HealthPatterns>) {}

    /// How many bytes of a call this conversation wants captured on each side.
    fn window(&self) -> Window {
        Window::Default
    }

    /// What the connection carries now instead, if it has changed its protocol in order (an upgrade, a tunnel).
    fn successor(&self) -> Option<Successor> {
        None
    }
}

/// What a connection carries after it has changed its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// HTTP/2 (`Upgrade: h2c`).
    Http2,
    /// Something else: WebSocket, or whatever a tunnel carries.
    Other,
}

/// How much of each call a conversation wants captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// The configured head and tail.
    #[default]
    Default,
    /// As much as the probe can: bodies are made of many small messages.
    Whole,
    /// Nothing any more: the connection is of no interest (upgraded, encrypted).
    Nothing,
}

/// Number of an exchange within its connection, growing.
pub type ExchangeId = u64;

/// What a conversation has to tell.
#[derive(Debug)]
pub enum Progress {
    /// A request's first byte.
    Begun {
        /// The exchange.
        id: ExchangeId,
        /// The call that moved the byte.
        mark: Mark,
    },
    /// More of an exchange moved (also its first response byte).
    Touched {
        /// The exchange.
        id: ExchangeId,
        /// Which half.
        side: Side,
        /// The call.
        mark: Mark,
    },
    /// The request's header fields that carry trace context are known. Comes before anything that the request
    /// can have caused.
    Context {
        /// The exchange.
        id: ExchangeId,
        /// The fields, unparsed.
        headers: TraceHeaders,
        /// The request only asks whether the server is well.
        health: Option<HealthCheck>,
        /// What tells it where it is passed on.
        passage: Option<Passage>,
    },
    /// The exchange seems to be complete: nothing is done for it any more. Whether it becomes a span is told later.
    Answered {
        /// The exchange.
        id: ExchangeId,
    },
    /// The exchange is complete, or will never be more complete than this.
    Ended {
        /// The exchange.
        id: ExchangeId,
        /// What it was.
        exchange: Box<Exchange>,
    },
    /// The exchange will not become a span.
    Abandoned {
        /// The exchange.
        id: ExchangeId,
        /// Why.
        reason: AbandonReason,
    },
}

/// Why an exchange does not become a span. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbandonReason {
    /// Bytes that were needed to understand or pair it were not captured.
    Gap,
    /// Bytes did not follow the protocol.
    Malformed,
    /// It is not an exchange that makes a span (a statement's close, a quit).
    NoSpan,
    /// Its connection went on in TLS.
    Encrypted,
    /// A bound on open exchanges was reached.
    Limit,
    /// The connection was forgotten first, or the tracer stopped.
    Forgotten,
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Its four moments.
    pub times: Times,
    /// The protocol's own part.
    pub detail: Detail,
}

/// The calls that moved the first and last bytes of an exchange's halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Request's first byte.
    pub request_first: Moment,
    /// Request's last byte.
    pub request_last: Moment,
    /// Response's first byte; absent when none came.
    pub response_first: Option<Moment>,
    /// Response's last byte, or the moment when it was clear that none would come.
    pub end: Moment,
}

/// What each protocol knows of an exchange.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// HTTP/1.
    Http(http::HttpExchange),
    /// MySQL or MariaDB.
    Mysql(mysql::MysqlExchange),
    /// Redis or Valkey.
    Redis(redis::RedisExchange),
    /// The line protocol that the pipeline's own tests speak: the request's line.
    #[cfg(test)]
    Line(String),
}
