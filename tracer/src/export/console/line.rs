//! One line for a span or a log record.

use super::text::{Paint, Style, duration, shown, time_of_day};
use crate::enrich::Resource;
use crate::span::{Attribute, Link, LogRecord, LogStream, Severity, Span, SpanKind, Status, Value};

/// Characters of a name, or of an attribute's value.
const MAX_NAME: usize = 120;

/// Characters of a query's text.
const MAX_QUERY: usize = 80;

/// Characters of a log line.
const MAX_BODY: usize = 1_000;

/// Attributes that a span's line tells, and what stands before their values.
const TOLD: [(&str, &str); 6] = [
    ("http.response.status_code", ""),
    ("db.system.name", ""),
    ("db.namespace", "db="),
    ("db.operation.batch.size", "batch="),
    ("db.response.status_code", "status="),
    ("error.type", "error.type="),
];

/// `+1.2 ms SERVER POST /api  12.3 ms  ERROR  500  error.type=500  service.name=backend`
pub(super) fn span_line(span: &Span, offset: Option<u64>, service: Option<&str>, style: Style) -> String {
    let described = &span.description;
    let kind = match span.kind {
        SpanKind::Server => "SERVER",
        SpanKind::Client => "CLIENT",
    };
    let mut line = offset_text(offset, style);
    line.push_str(&format!("{kind} {}", style.paint(Paint::Strong, &shown(&described.name, MAX_NAME))));
    let mut parts = vec![duration(span.end_unix_ns.saturating_sub(span.start_unix_ns))];
    if let Status::Error(description) = &described.status {
        parts.push(style.paint(Paint::Bad, "ERROR"));
        parts.extend(description.as_deref().map(|text| shown(text, MAX_NAME)));
    }
    parts.extend(TOLD.iter().filter_map(|(key, label)| {
        let value = text_of(find(&described.attributes, key)?);
        Some(format!("{label}{}", shown(&value, MAX_NAME)))
    }));
    parts.extend(service.map(|name| format!("service.name={}", shown(name, MAX_NAME))));
    if let Some(query) = find(&described.attributes, "db.query.text") {
        parts.push(style.paint(Paint::Faint, &shown(&text_of(query), MAX_QUERY)));
    }
    parts.extend(span.links.iter().map(|link| {
        let Link { trace_id, span_id, kind } = link;
        style.paint(Paint::Faint, &format!("{}={trace_id}/{span_id}", kind.name()))
    }));
    for part in parts {
        line.push_str("  ");
        line.push_str(&part);
    }
    line
}

/// `+1.2 ms log INFO message stored`
pub(super) fn log_line(log: &LogRecord, offset: Option<u64>, service: Option<&str>, style: Style) -> String {
    let mut line = offset_text(offset, style);
    line.push_str("log ");
    line.push_str(&severity(log.severity.as_ref(), style));
    line.push_str(&shown(&log.body, MAX_BODY));
    if let Some(name) = service {
        line.push_str(&format!("  service.name={}", shown(name, MAX_NAME)));
    }
    line
}

/// A log record that belongs to no trace: `22:13:20.123 backend stdout INFO started`
pub(super) fn lone_log_line(log: &LogRecord, resource: &Resource, style: Style) -> String {
    let stream = match log.stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    let service = shown(service_name(resource), MAX_NAME);
    let head = style.paint(Paint::Faint, &format!("{} {service} {stream}", time_of_day(log.time_unix_ns)));
    format!("{head} {}{}\n", severity(log.severity.as_ref(), style), shown(&log.body, MAX_BODY))
}

pub(super) fn service_name(resource: &Resource) -> &str {
    match find(&resource.attributes, "service.name") {
        Some(Value::Str(name)) => name,
        _ => "unknown_service",
    }
}

fn offset_text(offset: Option<u64>, style: Style) -> String {
    offset.map_or_else(String::new, |ns| style.paint(Paint::Faint, &format!("+{} ", duration(ns))))
}

/// The severity's word and a space, or nothing when the line states none.
fn severity(severity: Option<&Severity>, style: Style) -> String {
    let Some(Severity { number, text }) = severity else { return String::new() };
    // Ranges of OTLP severity numbers: INFO 9–12, WARN 13–16, ERROR and worse from 17.
    let paint = match number {
        17.. => Paint::Bad,
        13..17 => Paint::Warning,
        9..13 => Paint::Good,
        _ => Paint::Faint,
    };
    style.paint(paint, &shown(text, MAX_NAME)) + " "
}

fn find<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Str(text) => text.as_str().to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Strs(texts) => texts.join(","),
    }
}
