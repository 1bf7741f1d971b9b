//! As much of OTLP JSON Lines as the verdict needs: one export request a line, as `--export file:PATH` writes them.
//!
//! Field names and forms: opentelemetry-proto `docs/specification.md`, "JSON Protobuf Encoding" (ids in hex, enums as
//! numbers, 64-bit integers as strings).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

pub(super) const KIND_SERVER: u64 = 2;
pub(super) const KIND_CLIENT: u64 = 3;
const STATUS_ERROR: u64 = 2;

/// All that a run exported.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<Log>,
    /// The different resources that they came with.
    pub(super) resources: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty for a root.
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) failed: bool,
    attributes: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) body: String,
}

impl Span {
    /// An attribute's value as text; empty if there is none.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// The operation: what a database span's name begins with.
    pub(super) fn operation(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

impl Telemetry {
    /// Reads export requests, one a line.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut telemetry = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let request: Value =
                serde_json::from_str(line).with_context(|| format!("line {} is no JSON", number + 1))?;
            for of_resource in items(&request, "resourceSpans") {
                telemetry.resources.insert(of_resource["resource"].to_string());
                let spans = items(of_resource, "scopeSpans").iter().flat_map(|scope| items(scope, "spans"));
                telemetry.spans.extend(spans.map(span));
            }
            for of_resource in items(&request, "resourceLogs") {
                telemetry.resources.insert(of_resource["resource"].to_string());
                let logs =
                    items(of_resource, "scopeLogs").iter().flat_map(|scope| items(scope, "logRecords"));
                telemetry.logs.extend(logs.map(log));
            }
        }
        Ok(telemetry)
    }
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn span(value: &Value) -> Span {
    Span {
        trace: text(&value["traceId"]),
        id: text(&value["spanId"]),
        parent: text(&value["parentSpanId"]),
        name: text(&value["name"]),
        kind: number(&value["kind"]),
        start: number(&value["startTimeUnixNano"]),
        end: number(&value["endTimeUnixNano"]),
        failed: number(&value["status"]["code"]) == STATUS_ERROR,
        attributes: items(value, "attributes").iter().map(attribute).collect(),
    }
}

fn log(value: &Value) -> Log {
    Log {
        trace: text(&value["traceId"]),
        span: text(&value["spanId"]),
        body: text(&value["body"]["stringValue"]),
    }
}

fn attribute(value: &Value) -> (String, String) {
    // `{"stringValue": "…"}`, `{"intValue": "…"}`: one member, named after its type.
    let content = value["value"].as_object().and_then(|object| object.values().next());
    (text(&value["key"]), content.map(text).unwrap_or_default())
}

/// A string as it is; anything else as JSON writes it; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> u64 {
    text(value).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_logs_are_read() {
        let line = r#"{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"tracer/http"},
            "spans":[{"traceId":"aa","spanId":"bb","parentSpanId":"","name":"GET /x","kind":2,
            "startTimeUnixNano":"10","endTimeUnixNano":"1700000000000000001",
            "attributes":[{"key":"http.response.status_code","value":{"intValue":"500"}}],"status":{"code":2}}]}]}]}"#
            .replace('\n', "");
        let logs = r#"{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":[
            {"traceId":"aa","spanId":"bb","body":{"stringValue":"hello"}}]}]}]}"#
            .replace('\n', "");
        let telemetry = Telemetry::parse(&format!("{line}\n{logs}\n")).unwrap();
        let [span] = &telemetry.spans[..] else { panic!("one span") };
        assert_eq!((span.trace.as_str(), span.id.as_str(), span.parent.as_str()), ("aa", "bb", ""));
        assert_eq!(
            (span.start, span.end, span.kind, span.failed),
            (10, 1_700_000_000_000_000_001, KIND_SERVER, true)
        );
        assert_eq!(span.attribute("http.response.status_code"), "500");
        assert_eq!(span.operation(), "GET");
        assert_eq!(telemetry.logs[0].body, "hello");
        assert_eq!(telemetry.resources.len(), 1);
    }

    #[test]
    fn a_torn_line_is_an_error() {
        assert!(Telemetry::parse("{\"resourceSpans\":[").is_err());
    }
}
