//! Telemetry → OTLP requests: grouped by resource, then by scope; each request within the size that receivers accept.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord as ProtoLog, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan};
use prost::Message;
use rustc_hash::FxHashMap;

use super::record::{attributes, proto_log, proto_span};
use super::stats::Signal;
use super::{Item, Telemetry};
use crate::enrich::Resource;
use crate::span::Scope;

/// The version of the semantic conventions that resources, spans and log records follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

/// Most bytes of one request before compression: gRPC servers take 4 MiB unless they are told otherwise.
pub(super) const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// More than a field's key and length take: 2 bytes for any key here, 5 for any length.
const FRAME: usize = 8;

/// A batch as requests.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// None is empty.
    pub(super) requests: Vec<Request>,
    /// Items, by [`Signal`], that alone are too large for a request.
    pub(super) too_large: [u64; Signal::ALL.len()],
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    /// What is sent.
    pub(super) payload: Payload,
    /// Spans or log records in it.
    pub(super) items: u64,
}

/// The message of a request.
#[derive(Debug)]
pub(super) enum Payload {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

impl Payload {
    /// Spans or log records.
    pub(super) fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Spans,
            Self::Logs(_) => Signal::Logs,
        }
    }

    /// The message in protobuf's binary format.
    pub(super) fn encode_to_vec(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
        }
    }
}

/// Turns a batch into requests of at most `cap` bytes each: first those of spans, then those of log records.
pub(super) fn encode(batch: Vec<Telemetry>, cap: usize) -> Encoded {
    let mut spans = Packer::new(cap);
    let mut logs = Packer::new(cap);
    for Telemetry { resource, item } in batch {
        match item {
            Item::Span(span) => spans.push(&resource, span.description.scope, proto_span(*span)),
            Item::Log(log) => logs.push(&resource, Scope::Logs, proto_log(*log)),
        }
    }
    let too_large = [spans.too_large, logs.too_large];
    let mut requests = Vec::new();
    for (groups, items) in spans.finish() {
        requests.push(Request { payload: traces(groups), items });
    }
    for (groups, items) in logs.finish() {
        requests.push(Request { payload: log_records(groups), items });
    }
    Encoded { requests, too_large }
}

/// A batch as an OTLP exporter sends it, before compression: one message a request.
#[must_use]
pub fn to_protobuf(batch: Vec<Telemetry>) -> Vec<Vec<u8>> {
    encode(batch, MAX_REQUEST_BYTES).requests.iter().map(|request| request.payload.encode_to_vec()).collect()
}

/// Collects records of one signal into requests within a size.
struct Packer<R> {
    cap: usize,
    open: Vec<Group<R>>,
    /// Resource's address → its group in `open`, which keeps the resource alive.
    index: FxHashMap<*const Resource, usize>,
    /// Upper bound of the open request's encoded size.
    size: usize,
    items: u64,
    full: Vec<(Vec<Group<R>>, u64)>,
    too_large: u64,
}

/// The records of one resource.
struct Group<R> {
    proto: ProtoResource,
    scopes: Vec<(Scope, Vec<R>)>,
    _alive: Arc<Resource>,
}

impl<R: Message> Packer<R> {
    fn new(cap: usize) -> Self {
        Self {
            cap,
            open: Vec::new(),
            index: FxHashMap::default(),
            size: 0,
            items: 0,
            full: Vec::new(),
            too_large: 0,
        }
    }

    fn push(&mut self, resource: &Arc<Resource>, scope: Scope, record: R) {
        let size = record.encoded_len() + FRAME;
        let mut envelope = self.envelope(resource, scope);
        if self.size + envelope + size > self.cap {
            self.cut();
            envelope = self.envelope(resource, scope);
            if envelope + size > self.cap {
                self.too_large += 1;
                return;
            }
        }
        self.size += envelope + size;
        self.items += 1;
        let next = self.open.len();
        let at = *self.index.entry(Arc::as_ptr(resource)).or_insert(next);
        if at == next {
            let proto = ProtoResource { attributes: attributes(&resource.attributes), ..Default::default() };
            self.open.push(Group { proto, scopes: Vec::new(), _alive: Arc::clone(resource) });
        }
        let scopes = &mut self.open[at].scopes;
        match scopes.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, records)) => records.push(record),
            None => scopes.push((scope, vec![record])),
        }
    }

    /// Bytes, at most, that the resource and scope add to the open request where they are not in it yet.
    fn envelope(&self, resource: &Arc<Resource>, scope: Scope) -> usize {
        let group = self.index.get(&Arc::as_ptr(resource)).and_then(|at| self.open.get(*at));
        let new_scope = 4 * FRAME + scope.name().len() + env!("CARGO_PKG_VERSION").len() + SCHEMA_URL.len();
        match group {
            Some(group) if group.scopes.iter().any(|(known, _)| *known == scope) => 0,
            Some(_) => new_scope,
            None => {
                let proto =
                    ProtoResource { attributes: attributes(&resource.attributes), ..Default::default() };
                proto.encoded_len() + 3 * FRAME + SCHEMA_URL.len() + new_scope
            }
        }
    }

    fn cut(&mut self) {
        self.index.clear();
        self.size = 0;
        let items = std::mem::take(&mut self.items);
        if items > 0 {
            self.full.push((std::mem::take(&mut self.open), items));
        }
    }

    fn finish(mut self) -> Vec<(Vec<Group<R>>, u64)> {
        self.cut();
        self.full
    }
}

fn traces(groups: Vec<Group<ProtoSpan>>) -> Payload {
    let scope_spans = |(scope, spans)| ScopeSpans {
        scope: Some(proto_scope(scope)),
        spans,
        schema_url: SCHEMA_URL.to_owned(),
    };
    let resource_spans = |group: Group<ProtoSpan>| ResourceSpans {
        resource: Some(group.proto),
        scope_spans: group.scopes.into_iter().map(scope_spans).collect(),
        schema_url: SCHEMA_URL.to_owned(),
    };
    Payload::Traces(ExportTraceServiceRequest {
        resource_spans: groups.into_iter().map(resource_spans).collect(),
    })
}

fn log_records(groups: Vec<Group<ProtoLog>>) -> Payload {
    let scope_logs = |(scope, log_records)| ScopeLogs {
        scope: Some(proto_scope(scope)),
        log_records,
        schema_url: SCHEMA_URL.to_owned(),
    };
    let resource_logs = |group: Group<ProtoLog>| ResourceLogs {
        resource: Some(group.proto),
        scope_logs: group.scopes.into_iter().map(scope_logs).collect(),
        schema_url: SCHEMA_URL.to_owned(),
    };
    Payload::Logs(ExportLogsServiceRequest { resource_logs: groups.into_iter().map(resource_logs).collect() })
}

fn proto_scope(scope: Scope) -> InstrumentationScope {
    InstrumentationScope {
        name: scope.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing;

    fn traces_of(encoded: &Encoded) -> Vec<&ExportTraceServiceRequest> {
        let traces = |request: &'_ Request| matches!(request.payload, Payload::Traces(_));
        let of = |request| match request {
            &Request { payload: Payload::Traces(ref traces), .. } => traces,
            _ => unreachable!(),
        };
        encoded.requests.iter().filter(|request| traces(request)).map(of).collect()
    }

    #[test]
    fn spans_are_grouped_by_resource_then_scope() {
        let (a, b) = (testing::resource("a"), testing::resource("b"));
        let batch = vec![
            testing::span_of(&a, "1", Scope::Http),
            testing::span_of(&b, "2", Scope::Http),
            testing::span_of(&a, "3", Scope::Redis),
            testing::span_of(&a, "4", Scope::Http),
        ];
        let encoded = encode(batch, MAX_REQUEST_BYTES);
        let request = traces_of(&encoded)[0];
        let names = |scope: &ScopeSpans| scope.spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
        let told: Vec<_> = request
            .resource_spans
            .iter()
            .flat_map(|group| {
                group.scope_spans.iter().map(|scope| (scope.scope.clone().unwrap().name, names(scope)))
            })
            .collect();
        let expected =
            [("tracer/http", vec!["1", "4"]), ("tracer/redis", vec!["3"]), ("tracer/http", vec!["2"])];
        assert_eq!(
            told,
            expected
                .map(|(scope, names)| (scope.to_owned(), names.into_iter().map(str::to_owned).collect()))
                .to_vec()
        );
        let group = &request.resource_spans[0];
        assert_eq!(
            (group.schema_url.as_str(), group.scope_spans[0].schema_url.as_str()),
            (SCHEMA_URL, SCHEMA_URL)
        );
        assert_eq!(group.scope_spans[0].scope.as_ref().unwrap().version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn an_empty_batch_makes_no_request() {
        assert!(encode(Vec::new(), MAX_REQUEST_BYTES).requests.is_empty());
    }

    #[test]
    fn requests_stay_within_the_cap_and_nothing_is_lost() {
        let cap = 16 * 1024;
        let resources = [testing::resource("a"), testing::resource("b")];
        let line = |index: usize| "x".repeat(index * 37 % 3_000);
        let batch = (0..400).map(|index| testing::log_of(&resources[index % 2], &line(index))).collect();
        let encoded = encode(batch, cap);
        assert!(encoded.requests.len() > 10);
        assert!(encoded.requests.iter().all(|request| request.payload.encode_to_vec().len() <= cap));
        assert_eq!(encoded.requests.iter().map(|request| request.items).sum::<u64>(), 400);
        // Not needlessly many either: all but the last are nearly full.
        let full = encoded.requests.iter().rev().skip(1);
        assert!(full.into_iter().all(|request| request.payload.encode_to_vec().len() > cap / 2));
    }

    #[test]
    fn an_item_that_is_too_large_alone_is_dropped_and_counted() {
        let big = "x".repeat(5_000);
        let encoded = encode(vec![testing::log("small"), testing::log(&big), testing::span("s")], 4_096);
        assert_eq!(encoded.too_large, [0, 1]);
        assert_eq!(encoded.requests.iter().map(|request| request.items).collect::<Vec<_>>(), [1, 1]);
    }
}
