//! Whether what the tracer exported is what the client did: every request against its own record.

use anyhow::Result;
use serde_json::Value;

use super::otlp::{KIND_CLIENT, KIND_SERVER, Log, Span, Telemetry};

/// The readiness check, which the record does not list.
const HEALTH_PATH: &str = "/healthz";
/// In every value that the application stores: it must not leave the node.
const SECRET: &str = "secret-";
/// The operations that the application's routes make. Others under a server span are a client library's own, made when it
/// opens a connection (`SET NAMES`, `HELLO`, `CLIENT SETINFO`).
const OPERATIONS: &[&str] = &["INSERT", "SELECT", "COMMIT", "LPUSH", "LTRIM"];

/// What a kind of request (`PLAN` in `tests/guest/client.py`) must look like.
struct Expectation {
    status: &'static str,
    children: &'static [Child],
}

struct Child {
    operation: &'static str,
    system: &'static str,
    /// `db.response.status_code`; empty for a success.
    error: &'static str,
    /// Its text holds the request's id.
    marked: bool,
}

const fn child(operation: &'static str, system: &'static str, error: &'static str, marked: bool) -> Child {
    Child { operation, system, error, marked }
}

fn expectation(kind: &str) -> Option<Expectation> {
    let (status, children): (_, &[Child]) = match kind {
        "message" => (
            "200",
            &const {
                [
                    child("INSERT", "mariadb", "", false),
                    child("SELECT", "mariadb", "", true),
                    child("COMMIT", "mariadb", "", false),
                    child("LPUSH", "redis", "", true),
                    child("LTRIM", "redis", "", true),
                ]
            },
        ),
        "broken-sql" => ("500", &const { [child("SELECT", "mariadb", "1146", true)] }),
        "broken-redis" => ("500", &const { [child("LPUSH", "redis", "WRONGTYPE", false)] }),
        "missing" => ("404", &[]),
        _ => return None,
    };
    Some(Expectation { status, children })
}

/// A request as the client recorded it.
struct Request {
    id: String,
    kind: String,
    method: String,
    path: String,
    status: String,
}

/// What was found, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Requests that the client made.
    pub requests: usize,
    /// Spans that the tracer exported, readiness checks included.
    pub spans: usize,
    /// Log records that it exported.
    pub logs: usize,
    /// Differences, each in a sentence; none: passed.
    pub problems: Vec<String>,
}

/// Holds the tracer's output (OTLP JSON Lines) against the client's record (JSON Lines).
pub(super) fn check(record: &str, output: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let (requests, telemetry) = match (requests(record, &mut verdict.problems), Telemetry::parse(output)) {
        (Ok(requests), Ok(telemetry)) => (requests, telemetry),
        (Err(error), _) => return failed(verdict, format!("the client's record: {error:#}")),
        (_, Err(error)) => return failed(verdict, format!("the tracer's output: {error:#}")),
    };
    verdict.requests = requests.len();
    verdict.spans = telemetry.spans.len();
    verdict.logs = telemetry.logs.len();
    let problems = &mut verdict.problems;
    for request in &requests {
        let mut found = Vec::new();
        check_request(request, &telemetry, &mut found);
        problems
            .extend(found.into_iter().map(|problem| format!("{} ({}): {problem}", request.id, request.kind)));
    }
    let servers = telemetry.spans.iter().filter(|span| span.kind == KIND_SERVER);
    let servers = servers.filter(|span| span.attribute("url.path") != HEALTH_PATH).count();
    if servers != requests.len() {
        problems.push(format!("{servers} server spans for {} requests", requests.len()));
    }
    if telemetry.resources.len() != 1 {
        problems.push(format!("one process, but {} resources", telemetry.resources.len()));
    }
    if output.contains(SECRET) {
        problems.push(format!("a stored value (`{SECRET}…`) is in the output"));
    }
    verdict
}

fn failed(mut verdict: Verdict, problem: String) -> Verdict {
    verdict.problems.push(problem);
    verdict
}

fn requests(record: &str, problems: &mut Vec<String>) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    let mut planned = 0;
    for line in record.lines() {
        let value: Value = serde_json::from_str(line)?;
        if let Some(number) = value["planned"].as_u64() {
            planned = number;
            continue;
        }
        let text = |name: &str| value[name].as_str().map_or_else(|| value[name].to_string(), str::to_owned);
        requests.push(Request {
            id: text("request"),
            kind: text("kind"),
            method: text("method"),
            path: text("path"),
            status: text("status"),
        });
    }
    if planned == 0 || usize::try_from(planned) != Ok(requests.len()) {
        problems.push(format!("the client made {} of {planned} requests", requests.len()));
    }
    Ok(requests)
}

fn check_request(request: &Request, telemetry: &Telemetry, problems: &mut Vec<String>) {
    let Some(expected) = expectation(&request.kind) else {
        problems.push("no expectation for this kind".to_owned());
        return;
    };
    if request.status != expected.status {
        problems.push(format!("the application answered {}", request.status));
    }
    let query = format!("request={}", request.id);
    let is_its = |span: &&Span| span.kind == KIND_SERVER && span.attribute("url.query") == query;
    let servers: Vec<_> = telemetry.spans.iter().filter(is_its).collect();
    let [server] = servers[..] else {
        problems.push(format!("{} server spans", servers.len()));
        return;
    };
    check_server(request, server, problems);
    check_children(request, &expected, server, &telemetry.spans, problems);
    check_log(request, server, &telemetry.logs, problems);
}

fn check_server(request: &Request, span: &Span, problems: &mut Vec<String>) {
    let attributes = [
        ("http.request.method", &request.method),
        ("url.path", &request.path),
        ("http.response.status_code", &request.status),
    ];
    for (name, expected) in attributes {
        if span.attribute(name) != expected {
            problems.push(format!("{name} is `{}`, not `{expected}`", span.attribute(name)));
        }
    }
    if !span.name.starts_with(&request.method) {
        problems.push(format!("the server span is named `{}`", span.name));
    }
    if span.failed != request.status.starts_with('5') {
        problems.push(format!("status {} with error {}", request.status, span.failed));
    }
    if span.start >= span.end {
        problems.push("the server span has no duration".to_owned());
    }
}

fn check_children(
    request: &Request,
    expected: &Expectation,
    server: &Span,
    spans: &[Span],
    problems: &mut Vec<String>,
) {
    let is_child = |span: &&Span| span.parent == server.id && span.trace == server.trace;
    let mut children: Vec<_> = spans.iter().filter(is_child).collect();
    children.sort_by_key(|span| span.start);
    for child in &children {
        if child.kind != KIND_CLIENT || child.start < server.start || child.end > server.end {
            problems.push(format!("`{}` is no client span inside its parent's time", child.name));
        }
    }
    children.retain(|span| OPERATIONS.contains(&span.operation()));
    let found: Vec<_> = children.iter().map(|span| span.operation()).collect();
    let wanted: Vec<_> = expected.children.iter().map(|child| child.operation).collect();
    if found != wanted {
        problems.push(format!("children {found:?}, not {wanted:?}"));
        return;
    }
    for (span, child) in children.into_iter().zip(expected.children) {
        check_child(request, child, span, problems);
    }
}

fn check_child(request: &Request, expected: &Child, span: &Span, problems: &mut Vec<String>) {
    let attributes = [("db.system.name", expected.system), ("db.response.status_code", expected.error)];
    for (name, wanted) in attributes {
        if span.attribute(name) != wanted {
            problems.push(format!("`{}`: {name} is `{}`, not `{wanted}`", span.name, span.attribute(name)));
        }
    }
    if span.failed == expected.error.is_empty() {
        problems.push(format!("`{}`: error {}", span.name, span.failed));
    }
    let text = span.attribute("db.query.text");
    if expected.marked && !text.contains(&request.id) {
        problems.push(format!("`{text}` is another request's"));
    }
}

fn check_log(request: &Request, server: &Span, logs: &[Log], problems: &mut Vec<String>) {
    let mark = format!("\"request\": \"{}\"", request.id);
    let lines: Vec<_> = logs.iter().filter(|log| log.body.contains(&mark)).collect();
    let [line] = lines[..] else {
        problems.push(format!("{} log records", lines.len()));
        return;
    };
    if (&line.trace, &line.span) != (&server.trace, &server.id) {
        problems.push("its log line has not the server span's ids".to_owned());
    }
}

#[cfg(test)]
mod tests;
