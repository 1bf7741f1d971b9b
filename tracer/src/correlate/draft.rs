//! Spans that lack nothing but their ids.

use smallvec::smallvec;

use super::active::Evidence;
use super::assemble::Source;
use super::contexts::SpanContext;
use super::exchanges::{Open, OwnIds};
use crate::event::{ActiveId, Nanos, Process, Role};
use crate::protocol::Exchange;
use crate::span::{
    Attribute, Description, Descriptions, Link, LinkKind, Scope, Span, SpanId, SpanKind, SpanOptions, Status,
    describe,
};

/// Where a span's ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is this server exchange.
    Server(ActiveId),
    /// It was made for this server exchange.
    Below(ActiveId, Evidence),
    /// It has no parent.
    Root,
}

/// A span without its ids. (Of an exchange that is told command by command: all of them.)
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) process: Process,
    pub(super) own: OwnIds,
    kind: SpanKind,
    start: Nanos,
    end: Nanos,
    first_byte: Option<Nanos>,
    descriptions: Descriptions,
    links: Vec<Link>,
}

impl Draft {
    pub(super) fn new(
        begun: &Open,
        exchange: Box<Exchange>,
        source: Source<'_>,
        options: &SpanOptions,
    ) -> Self {
        let Exchange { times, detail } = *exchange;
        let start = times.request_first.time;
        let end = times.end.time.max(start);
        Self {
            process: begun.process,
            own: begun.own,
            kind: match source.role {
                Role::Server => SpanKind::Server,
                Role::Client => SpanKind::Client,
            },
            start,
            end,
            first_byte: times.response_first.map(|mark| mark.time.clamp(start, end)),
            descriptions: describe(detail, source.role, source.endpoints, options),
            links: Vec::new(),
        }
    }

    /// What stands for a request whose exchange was lost for `reason` at `end`: spans below it were told, and name it.
    pub(super) fn lost(begun: &Open, end: Nanos, protocol: Option<&str>, reason: &'static str) -> Self {
        let start = begun.begun.time;
        let scope = protocol.and_then(Scope::of_protocol).unwrap_or(Scope::Http);
        let name = protocol.unwrap_or("request").to_ascii_uppercase().into();
        let attributes = vec![Attribute::new("tracer.incomplete", reason)];
        Self {
            process: begun.process,
            own: begun.own,
            kind: SpanKind::Server,
            start,
            end: end.max(start),
            first_byte: None,
            descriptions: smallvec![Description { name, attributes, status: Status::Unset, scope }],
            links: Vec::new(),
        }
    }

    /// With links to these spans.
    pub(super) fn linked(self, links: Vec<Link>) -> Self {
        Self { links, ..self }
    }

    /// The spans. `next_id` makes ids for all but the first of several; `unix` turns times to the wall clock.
    pub(super) fn spans(
        self,
        ids: &SpanContext,
        evidence: Option<&'static str>,
        mut next_id: impl FnMut() -> SpanId,
        unix: impl Fn(Nanos) -> u64,
    ) -> impl Iterator<Item = Box<Span>> {
        let Self { kind, start, end, first_byte, descriptions, mut links, .. } = self;
        let other_client = |(trace_id, span_id)| Link { trace_id, span_id, kind: LinkKind::SameNode };
        links.extend(ids.other_client.map(other_client));
        let mut span_id = Some(ids.span_id);
        descriptions.into_iter().map(move |mut description| {
            description.attributes.extend(evidence.map(|name| Attribute::new("tracer.correlation", name)));
            Box::new(Span {
                trace_id: ids.trace_id,
                span_id: span_id.take().unwrap_or_else(&mut next_id),
                parent: ids.remote_parent,
                remote_parent: kind == SpanKind::Server && ids.remote_parent.is_some(),
                trace_state: ids.trace_state.as_deref().unwrap_or_default().to_owned(),
                sampled: ids.sampled,
                kind,
                start_unix_ns: unix(start),
                end_unix_ns: unix(end),
                first_byte_unix_ns: first_byte.map(&unix),
                links: links.clone(),
                description,
            })
        })
    }
}
