//! Spans: exchanges in the words of the semantic conventions, ready for export.

pub mod attribute;
pub mod http;
pub mod mysql;
pub mod redis;
pub mod sql;

pub use attribute::{Attribute, Value};
use clap::ValueEnum;
use serde::Deserialize;
use smallvec::{SmallVec, smallvec};

use crate::event::{Endpoints, Role};
use crate::protocol::Detail;
use crate::text::Text;

/// What may leave the node, and how it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanOptions {
    /// `--sql-text`.
    pub sql_text: SqlText,
    /// `--redis-keys mask`: keys become `?` too.
    pub mask_redis_keys: bool,
    /// `--redis-batch commands`: one span a command instead of one a batch.
    pub redis_batch_commands: bool,
    /// `--routes` and its patterns.
    pub routes: http::RouteOptions,
    /// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`, or the default list.
    pub known_methods: Vec<String>,
    /// `OTEL_SEMCONV_STABILITY_OPT_IN=database/dup`: old database names beside the new ones.
    pub database_dup: bool,
}

/// `--sql-text`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SqlText {
    /// Literals become ?
    #[default]
    Sanitized,
    /// As it was sent, with all values
    Raw,
    /// No text
    Off,
}

impl Default for SpanOptions {
    fn default() -> Self {
        Self {
            sql_text: SqlText::default(),
            mask_redis_keys: false,
            redis_batch_commands: false,
            routes: http::RouteOptions::default(),
            known_methods: http::KNOWN_METHODS.iter().map(|method| (*method).to_owned()).collect(),
            database_dup: false,
        }
    }
}

/// `SpanKind` of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Answers a request.
    Server,
    /// Sends one.
    Client,
}

/// `Status` of OTLP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not said: the ordinary case.
    #[default]
    Unset,
    /// Failed, with a description where the attributes do not say it all.
    Error(Option<String>),
}

/// Names of the instrumentation scopes, one a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// HTTP/1.
    Http,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis and Valkey.
    Redis,
    /// Log records.
    Logs,
}

impl Scope {
    /// The scope's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "tracer/http",
            Self::Mysql => "tracer/mysql",
            Self::Redis => "tracer/redis",
            Self::Logs => "tracer/logs",
        }
    }

    /// The scope of a protocol's spans, by the protocol's name.
    #[must_use]
    pub fn of_protocol(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "mysql" => Some(Self::Mysql),
            "redis" => Some(Self::Redis),
            _ => None,
        }
    }
}

/// What an exchange says of itself, before identity, time and parent are added.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Span name, low cardinality.
    pub name: Text,
    /// Attributes in the order in which a reader wants them.
    pub attributes: Vec<Attribute>,
    /// Outcome.
    pub status: Status,
    /// Instrumentation scope.
    pub scope: Scope,
}

/// Descriptions of one exchange: mostly one.
pub type Descriptions = SmallVec<[Description; 1]>;

/// Describes an exchange, whose texts it takes. Most give one description; a Redis batch can be told command by command.
#[must_use]
pub fn describe(
    detail: &mut Detail,
    role: Role,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Descriptions {
    match detail {
        Detail::Http(detail) => smallvec![http::describe(detail, role, endpoints, options)],
        Detail::Mysql(detail) => smallvec![mysql::describe(detail, role, endpoints, options)],
        Detail::Redis(detail) => redis::describe(detail, role, endpoints, options),
        #[cfg(test)]
        Detail::Line(line) => smallvec![crate::pipeline::tests::line::describe(line)],
    }
}

/// A trace's id: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// A span's id: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

/// Another span that a span has to do with, though it is not its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other's trace.
    pub trace_id: TraceId,
    /// The other.
    pub span_id: SpanId,
    /// What they have to do with each other.
    pub kind: LinkKind,
}

/// Why two spans are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// The other is the client's span at the other end of the connection, on this node. The request names another
    /// parent.
    SameNode,
    /// The other is one of several requests on whose behalf the call can have been made.
    PossibleParent,
}

impl LinkKind {
    /// The value of the link's attribute `tracer.link`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameNode => "same_node",
            Self::PossibleParent => "possible_parent",
        }
    }

    /// Whether the other span is in another process.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::SameNode)
    }
}

/// A span that can be exported.
#[derive(Clone, Debug)]
pub struct Span {
    /// Trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Parent, in the same trace.
    pub parent: Option<SpanId>,
    /// The parent is in another process (it came by `traceparent`).
    pub remote_parent: bool,
    /// W3C `tracestate`, as received.
    pub trace_state: String,
    /// W3C sampled flag.
    pub sampled: bool,
    /// Server or client.
    pub kind: SpanKind,
    /// Start, nanoseconds since the epoch.
    pub start_unix_ns: u64,
    /// End, nanoseconds since the epoch.
    pub end_unix_ns: u64,
    /// First byte of the response, nanoseconds since the epoch.
    pub first_byte_unix_ns: Option<u64>,
    /// Spans that it has to do with, besides its parent.
    pub links: Vec<Link>,
    /// Name, attributes, status, scope.
    pub description: Description,
}

/// Which of a process's log streams a line came from: `log.iostream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A severity as the line itself stated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severity {
    /// OTLP severity number (INFO = 9).
    pub number: u8,
    /// The word in the line.
    pub text: String,
}

/// A log line that can be exported.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// When it was written, nanoseconds since the epoch.
    pub time_unix_ns: u64,
    /// When the tracer saw it, nanoseconds since the epoch.
    pub observed_unix_ns: u64,
    /// Absent when the line states none.
    pub severity: Option<Severity>,
    /// The line, without its line end.
    pub body: String,
    /// stdout or stderr.
    pub stream: LogStream,
    /// What was active when it was written: the trace, the span (an application can name a trace alone), sampled.
    pub context: Option<(TraceId, Option<SpanId>, bool)>,
    /// Further attributes.
    pub attributes: Vec<Attribute>,
}

macro_rules! hex_id {
    ($id:ty, $length:literal) => {
        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl $id {
            /// The id that these lowercase hex digits spell; all zero is not an id.
            #[must_use]
            pub fn from_hex(text: &[u8]) -> Option<Self> {
                let mut id = [0; $length];
                if text.len() != 2 * $length {
                    return None;
                }
                for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
                }
                (id != [0; $length]).then_some(Self(id))
            }
        }
    };
}

hex_id!(TraceId, 16);
hex_id!(SpanId, 8);

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
