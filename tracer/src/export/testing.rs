//! Telemetry for the tests of this stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Item, Telemetry};
use crate::enrich::Resource;
use crate::span::{
    Attribute, Description, LogRecord, LogStream, Scope, Span, SpanId, SpanKind, Status, TraceId,
};

/// 2023-11-14 22:13:20 UTC.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(crate) fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource { attributes: vec![Attribute::new("service.name", service.to_owned())] })
}

pub(crate) fn span(name: &str) -> Telemetry {
    span_of(&resource("test"), name, Scope::Http)
}

/// A server span of 10 ms in a trace of its own.
pub(crate) fn span_of(resource: &Arc<Resource>, name: &str, scope: Scope) -> Telemetry {
    let id = NEXT_ID.fetch_add(1, Relaxed);
    let mut trace_id = [0xaa; 16];
    trace_id[8..].copy_from_slice(&id.to_be_bytes());
    let span = Span {
        trace_id: TraceId(trace_id),
        span_id: SpanId(id.to_be_bytes()),
        parent: None,
        remote_parent: false,
        trace_state: String::new(),
        sampled: true,
        kind: SpanKind::Server,
        start_unix_ns: START,
        end_unix_ns: START + 10_000_000,
        first_byte_unix_ns: None,
        links: Vec::new(),
        description: Description {
            name: name.to_owned().into(),
            attributes: Vec::new(),
            status: Status::Unset,
            scope,
        },
    };
    Telemetry { resource: Arc::clone(resource), item: Item::Span(Box::new(span)) }
}

pub(crate) fn log(body: &str) -> Telemetry {
    log_of(&resource("test"), body)
}

pub(crate) fn log_of(resource: &Arc<Resource>, body: &str) -> Telemetry {
    let log = LogRecord {
        time_unix_ns: START + 1_000_000,
        observed_unix_ns: START + 2_000_000,
        severity: None,
        body: body.to_owned(),
        stream: LogStream::Stdout,
        context: None,
        attributes: Vec::new(),
    };
    Telemetry { resource: Arc::clone(resource), item: Item::Log(Box::new(log)) }
}
