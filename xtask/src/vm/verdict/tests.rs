use serde_json::{Value, json};

use super::*;

const RECORD: &str = r#"{"planned": 3}
{"request": "t0_0", "kind": "message", "method": "POST", "path": "/api/db/message", "status": 200}
{"request": "t0_1", "kind": "broken-sql", "method": "GET", "path": "/api/db/broken", "status": 500}
{"request": "t0_2", "kind": "missing", "method": "GET", "path": "/missing", "status": 404}"#;

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

/// One request's spans; `children` are (operation, system, error, text). Ids are made of the request's number.
fn spans(
    number: u64,
    method: &str,
    path: &str,
    status: u64,
    children: &[(&str, &str, &str, &str)],
) -> Vec<Value> {
    let (trace, server) = (format!("trace{number}"), format!("server{number}"));
    let start = 1000 * number;
    let mut attributes_of_server = attributes(&[
        ("http.request.method", method),
        ("url.path", path),
        ("url.query", &format!("request=t0_{number}")),
    ]);
    let status_code = json!({"key": "http.response.status_code", "value": {"intValue": status.to_string()}});
    attributes_of_server.as_array_mut().unwrap().push(status_code);
    let mut spans = vec![json!({
        "traceId": trace, "spanId": server, "parentSpanId": "", "name": format!("{method} {path}"), "kind": 2,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 900).to_string(),
        "attributes": attributes_of_server, "status": {"code": if status >= 500 { 2 } else { 0 }},
    })];
    for (index, (operation, system, error, text)) in (0u64..).zip(children) {
        let start = start + 10 * (index + 1);
        let mut pairs = vec![("db.system.name", *system), ("db.query.text", *text)];
        if !error.is_empty() {
            pairs.push(("db.response.status_code", error));
        }
        spans.push(json!({
            "traceId": trace, "spanId": format!("child{number}{index}"), "parentSpanId": server,
            "name": format!("{operation} x"), "kind": 3,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 5).to_string(),
            "attributes": attributes(&pairs), "status": {"code": if error.is_empty() { 0 } else { 2 }},
        }));
    }
    spans
}

fn log(number: u64) -> Value {
    json!({
        "traceId": format!("trace{number}"), "spanId": format!("server{number}"),
        "body": {"stringValue": format!("{{\"level\": \"INFO\", \"request\": \"t0_{number}\"}}")},
    })
}

struct Output {
    spans: Vec<Value>,
    logs: Vec<Value>,
}

/// What a faultless tracer exports for `RECORD`.
fn right() -> Output {
    let message = [
        ("SET", "mariadb", "", "SET NAMES utf8mb4"),
        ("INSERT", "mariadb", "", "INSERT INTO messages (body) VALUES (?)"),
        ("SELECT", "mariadb", "", "SELECT COUNT(*) AS t0_0 FROM messages"),
        ("COMMIT", "mariadb", "", "COMMIT"),
        ("LPUSH", "redis", "", "LPUSH api_logs:t0_0 ?"),
        ("LTRIM", "redis", "", "LTRIM api_logs:t0_0 ? ?"),
    ];
    let broken = [("SELECT", "mariadb", "1146", "SELECT t0_1 FROM no_such_table")];
    let mut all = spans(0, "POST", "/api/db/message", 200, &message);
    all.extend(spans(1, "GET", "/api/db/broken", 500, &broken));
    all.extend(spans(2, "GET", "/missing", 404, &[]));
    all.extend(spans(9, "GET", "/healthz", 200, &[]));
    Output { spans: all, logs: (0..3).map(log).collect() }
}

fn problems(output: &Output) -> Vec<String> {
    let resource = json!({"attributes": attributes(&[("service.name", "app")])});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": output.spans}]}]});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": output.logs}]}]});
    check(RECORD, &format!("{spans}\n{logs}\n")).problems
}

/// Asserts that the only thing wrong, after `spoil`, is told by a sentence with `word`.
#[track_caller]
fn told(word: &str, spoil: impl FnOnce(&mut Output)) {
    let mut output = right();
    spoil(&mut output);
    let problems = problems(&output);
    assert!(problems.len() == 1 && problems[0].contains(word), "{problems:#?}");
}

fn span<'a>(output: &'a mut Output, id: &str) -> &'a mut Value {
    output.spans.iter_mut().find(|span| span["spanId"] == id).unwrap()
}

#[test]
fn a_faultless_output_passes() {
    let output = right();
    assert_eq!(problems(&output), Vec::<String>::new());
}

#[test]
fn nothing_exported_is_a_failure_of_every_request() {
    let verdict = check(RECORD, "");
    assert_eq!(verdict.requests, 3);
    assert_eq!(verdict.problems.iter().filter(|problem| problem.contains("0 server spans")).count(), 4);
}

#[test]
fn an_unfinished_client_is_told() {
    let record: String = RECORD.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(check(&record, "").problems.iter().any(|problem| problem.contains("made 2 of 3")));
    assert!(check("", "").problems.iter().any(|problem| problem.contains("made 0 of 0")));
}

#[test]
fn a_lost_or_doubled_child_is_told() {
    told("children", |output| output.spans.retain(|span| span["name"] != "COMMIT x"));
    told("children", |output| {
        let again = span(output, "child03").clone();
        output.spans.push(again);
    });
}

#[test]
fn a_child_of_another_request_is_told() {
    told("another request's", |output| {
        span(output, "child04")["attributes"][1]["value"]["stringValue"] = json!("LPUSH api_logs:t0_7 ?");
    });
    told("inside its parent's time", |output| span(output, "child03")["endTimeUnixNano"] = json!("901"));
}

#[test]
fn a_missed_error_is_told() {
    told("error false", |output| span(output, "child10")["status"] = json!({}));
    told("error false", |output| span(output, "server1")["status"] = json!({}));
}

#[test]
fn a_wrong_server_span_is_told() {
    told("http.response.status_code", |output| {
        span(output, "server2")["attributes"][3]["value"] = json!({"intValue": "200"});
    });
    told("4 server spans for 3", |output| {
        let stray = spans(8, "GET", "/stray", 200, &[]);
        output.spans.extend(stray);
    });
}

#[test]
fn a_log_line_without_ids_is_told() {
    told("log line", |output| output.logs[0]["spanId"] = json!(""));
    told("0 log records", |output| {
        output.logs.remove(1);
    });
}

#[test]
fn a_leaked_value_is_told() {
    told("stored value", |output| {
        let text = json!("INSERT INTO messages (body) VALUES ('secret-t0_0')");
        span(output, "child01")["attributes"][1]["value"]["stringValue"] = text;
    });
}
