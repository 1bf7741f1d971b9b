//! Spans that lack nothing but their ids.

use std::sync::Arc;

use smallvec::smallvec;

use super::active::Evidence;
use super::assemble::Source;
use super::contexts::SpanContext;
use super::exchanges::{Open, OwnIds, Part};
use crate::event::{ActiveId, Endpoints, Nanos, Process, Role};
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
    words: Words,
    links: Vec<Link>,
}

/// What a span says. An exchange is described when it is told: until then it takes a third of the memory, and what is
/// not sampled is not described at all.
#[derive(Debug)]
enum Words {
    Exchange(Box<Exchange>, Arc<Endpoints>),
    /// What is known of a lost one.
    Lost {
        description: Box<Description>,
        start: Nanos,
        end: Nanos,
    },
}

impl Draft {
    pub(super) fn new(begun: &Open, exchange: Box<Exchange>, source: Source<'_>) -> Self {
        Self {
            process: begun.process,
            own: begun.own,
            kind: match source.role {
                Role::Server => SpanKind::Server,
                Role::Client => SpanKind::Client,
            },
            words: Words::Exchange(exchange, Arc::clone(source.endpoints)),
            links: Vec::new(),
        }
    }

    /// What stands for an exchange that was lost for `reason` at `end`: spans below it were told, and name it.
    pub(super) fn lost(begun: &Open, end: Nanos, protocol: Option<&str>, reason: &'static str) -> Self {
        let start = begun.begun.time;
        let scope = protocol.and_then(Scope::of_protocol).unwrap_or(Scope::Http);
        let name = protocol.unwrap_or("request").to_ascii_uppercase().into();
        let attributes = vec![Attribute::new("tracer.incomplete", reason)];
        let description = Box::new(Description { name, attributes, status: Status::Unset, scope });
        Self {
            process: begun.process,
            own: begun.own,
            kind: match begun.part {
                Part::Server(_) => SpanKind::Server,
                Part::Client(_) => SpanKind::Client,
            },
            words: Words::Lost { description, start, end },
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
        options: &SpanOptions,
        mut next_id: impl FnMut() -> SpanId,
        unix: impl Fn(Nanos) -> u64,
    ) -> impl Iterator<Item = Box<Span>> {
        let Self { kind, words, mut links, .. } = self;
        let (start, end, first_byte, descriptions) = words.describe(kind, options);
        // Of two calls on two processors the later one can be stamped a moment before.
        let end = end.max(start);
        let first_byte = first_byte.map(|first| first.clamp(start, end));
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

impl Words {
    /// Start, end, the response's first byte, and the descriptions.
    fn describe(self, kind: SpanKind, options: &SpanOptions) -> (Nanos, Nanos, Option<Nanos>, Descriptions) {
        match self {
            Self::Exchange(mut exchange, endpoints) => {
                let role = match kind {
                    SpanKind::Server => Role::Server,
                    SpanKind::Client => Role::Client,
                };
                let Exchange { times, detail } = &mut *exchange;
                let first_byte = times.response_first.map(|first| first.time);
                let descriptions = describe(detail, role, &endpoints, options);
                (times.request_first.time, times.end.time, first_byte, descriptions)
            }
            Self::Lost { description, start, end } => (start, end, None, smallvec![*description]),
        }
    }
}
