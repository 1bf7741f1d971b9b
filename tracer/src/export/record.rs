//! Spans and log records in OTLP's words.

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord as ProtoLog;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link as ProtoLink, SpanKind as ProtoKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as ProtoSpan, SpanFlags, Status as ProtoStatus};

use crate::span::{Attribute, Link, LogRecord, LogStream, Span, SpanKind, Status, Value};

/// W3C trace flag "sampled".
const SAMPLED: u32 = 1;

/// The event that marks the response's first byte.
const FIRST_BYTE_EVENT: &str = "response.first_byte";

pub(super) fn proto_span(span: Span) -> ProtoSpan {
    ProtoSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: span.trace_state,
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.0.to_vec()),
        flags: span_flags(span.sampled, span.remote_parent),
        name: span.description.name.into_string(),
        kind: match span.kind {
            SpanKind::Server => ProtoKind::Server,
            SpanKind::Client => ProtoKind::Client,
        }
        .into(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes: owned(span.description.attributes),
        events: span.first_byte_unix_ns.map(first_byte).into_iter().collect(),
        links: span.links.into_iter().map(proto_link).collect(),
        status: Some(proto_status(span.description.status)),
        ..Default::default()
    }
}

pub(super) fn proto_log(log: LogRecord) -> ProtoLog {
    let (trace_id, span_id, flags) = match log.context {
        Some((trace, span, sampled)) => {
            let span = span.map_or_else(Vec::new, |span| span.0.to_vec());
            (trace.0.to_vec(), span, u32::from(sampled) * SAMPLED)
        }
        None => (Vec::new(), Vec::new(), 0),
    };
    let (severity_number, severity_text) = match log.severity {
        Some(severity) => (severity.number.into(), severity.text),
        None => (0, String::new()),
    };
    let stream = match log.stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    let mut own = owned(log.attributes);
    own.push(key_value("log.iostream", ProtoValue::StringValue(stream.to_owned())));
    ProtoLog {
        time_unix_nano: log.time_unix_ns,
        observed_time_unix_nano: log.observed_unix_ns,
        severity_number,
        severity_text,
        body: Some(AnyValue { value: Some(ProtoValue::StringValue(log.body)) }),
        attributes: own,
        flags,
        trace_id,
        span_id,
        ..Default::default()
    }
}

pub(super) fn attributes(attributes: &[Attribute]) -> Vec<KeyValue> {
    owned(attributes.to_vec())
}

/// The same of attributes that are given up: their texts are not copied.
fn owned(attributes: Vec<Attribute>) -> Vec<KeyValue> {
    let each = |Attribute { key, value }| KeyValue {
        key: key.into_owned(),
        value: Some(AnyValue { value: Some(proto_value(value)) }),
        ..Default::default()
    };
    attributes.into_iter().map(each).collect()
}

/// Whether the parent is remote is always known here, hence the "has" bit.
fn span_flags(sampled: bool, remote_parent: bool) -> u32 {
    let remote = if remote_parent { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    (u32::from(sampled) * SAMPLED) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

/// Only spans of sampled traces are linked to.
fn proto_link(link: Link) -> ProtoLink {
    ProtoLink {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        attributes: vec![key_value("tracer.link", ProtoValue::StringValue(link.kind.name().to_owned()))],
        flags: span_flags(true, link.kind.is_remote()),
        ..Default::default()
    }
}

fn first_byte(time_unix_nano: u64) -> Event {
    Event { time_unix_nano, name: FIRST_BYTE_EVENT.to_owned(), ..Default::default() }
}

fn proto_status(status: Status) -> ProtoStatus {
    match status {
        Status::Unset => ProtoStatus { code: StatusCode::Unset.into(), message: String::new() },
        Status::Error(description) => {
            ProtoStatus { code: StatusCode::Error.into(), message: description.unwrap_or_default() }
        }
    }
}

fn key_value(key: &str, value: ProtoValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn proto_value(value: Value) -> ProtoValue {
    match value {
        Value::Str(text) => ProtoValue::StringValue(text.into_string()),
        Value::Int(number) => ProtoValue::IntValue(number),
        Value::Double(number) => ProtoValue::DoubleValue(number),
        Value::Bool(truth) => ProtoValue::BoolValue(truth),
        Value::Strs(texts) => {
            let element = |text| AnyValue { value: Some(ProtoValue::StringValue(text)) };
            ProtoValue::ArrayValue(ArrayValue { values: texts.into_vec().into_iter().map(element).collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{Item, testing};
    use crate::span::{LinkKind, Severity, SpanId, TraceId};

    fn a_span() -> Span {
        match testing::span("GET /").item {
            Item::Span(span) => *span,
            Item::Log(_) => unreachable!(),
        }
    }

    fn a_log() -> LogRecord {
        match testing::log("hello").item {
            Item::Log(log) => *log,
            Item::Span(_) => unreachable!(),
        }
    }

    #[test]
    fn flags_tell_sampled_and_remote() {
        let flags = |sampled, remote_parent| proto_span(Span { sampled, remote_parent, ..a_span() }).flags;
        assert_eq!([flags(true, false), flags(true, true), flags(false, true)], [0x101, 0x301, 0x300]);
    }

    #[test]
    fn a_span_keeps_ids_status_state_and_first_byte() {
        let mut span = a_span();
        span.parent = Some(SpanId([7; 8]));
        span.trace_state = "vendor=1".to_owned();
        span.first_byte_unix_ns = Some(1_500);
        span.description.status = Status::Error(Some("reset".to_owned()));
        let proto = proto_span(span.clone());
        assert_eq!(proto.trace_id, span.trace_id.0);
        assert_eq!((proto.parent_span_id, proto.trace_state), (vec![7; 8], "vendor=1".to_owned()));
        assert_eq!(proto.status, Some(ProtoStatus { code: 2, message: "reset".to_owned() }));
        let events: Vec<_> =
            proto.events.iter().map(|event| (event.name.as_str(), event.time_unix_nano)).collect();
        assert_eq!(events, [("response.first_byte", 1_500)]);
        assert!(proto_span(a_span()).parent_span_id.is_empty());
    }

    #[test]
    fn links_tell_why() {
        let link = |kind| Link { trace_id: TraceId([3; 16]), span_id: SpanId([4; 8]), kind };
        let links = vec![link(LinkKind::SameNode), link(LinkKind::PossibleParent)];
        let told = proto_span(Span { links, ..a_span() }).links;
        assert!(told.iter().all(|link| (&link.trace_id, &link.span_id) == (&vec![3; 16], &vec![4; 8])));
        let attribute =
            |value: &str| vec![key_value("tracer.link", ProtoValue::StringValue(value.to_owned()))];
        assert_eq!((&told[0].attributes, told[0].flags), (&attribute("same_node"), 0x301));
        assert_eq!((&told[1].attributes, told[1].flags), (&attribute("possible_parent"), 0x101));
    }

    #[test]
    fn a_log_record_keeps_context_severity_and_stream() {
        let mut log = a_log();
        log.context = Some((TraceId([1; 16]), Some(SpanId([2; 8])), true));
        log.severity = Some(Severity { number: 17, text: "ERROR".to_owned() });
        log.stream = LogStream::Stderr;
        let proto = proto_log(log);
        assert_eq!((proto.trace_id, proto.span_id, proto.flags), (vec![1; 16], vec![2; 8], 1));
        assert_eq!((proto.severity_number, proto.severity_text.as_str()), (17, "ERROR"));
        assert_eq!(
            proto.attributes,
            [key_value("log.iostream", ProtoValue::StringValue("stderr".to_owned()))]
        );
        let bare = proto_log(a_log());
        assert_eq!((bare.trace_id.len(), bare.flags, bare.severity_number), (0, 0, 0));
        assert!(bare.observed_time_unix_nano > 0);
    }

    #[test]
    fn every_kind_of_value_is_carried() {
        let list = attributes(&[
            Attribute::new("text", "a"),
            Attribute::new("number", -5_i64),
            Attribute::new("truth", true),
            Attribute::new("texts", vec!["a".to_owned(), "b".to_owned()]),
        ]);
        let text = |text: &str| ProtoValue::StringValue(text.to_owned());
        let texts = ["a", "b"].map(|each| AnyValue { value: Some(text(each)) }).to_vec();
        let expected = [
            text("a"),
            ProtoValue::IntValue(-5),
            ProtoValue::BoolValue(true),
            ProtoValue::ArrayValue(ArrayValue { values: texts }),
        ];
        let told: Vec<_> = list.into_iter().filter_map(|entry| entry.value?.value).collect();
        assert_eq!(told, expected);
    }
}
