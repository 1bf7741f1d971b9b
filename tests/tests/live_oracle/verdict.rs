//! The tracer's telemetry against the client's record and the application's own log.

use std::collections::HashMap;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tests::live::{Outcome, number, text};

use super::client::Answer;
use super::plan::{Call, Request};

/// How far the tracer's wall clock may be off, and how much later than the client's read the server's write may
/// return: the server can lose its processor just then.
const CLOCK_TOLERANCE_NS: u64 = 2_000_000;
const WRITE_TOLERANCE_NS: u64 = 500_000_000;

/// What redis-py sends by itself on a new connection of its pool.
const REDIS_GREETINGS: [&str; 2] = ["HELLO", "CLIENT"];

/// Findings printed; the rest is only counted.
const SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    requests: usize,
    servers: usize,
    calls: usize,
    clients: usize,
    greetings: usize,
    lines: usize,
    lines_told: usize,
    wrong: Vec<String>,
}

type Ids<'a> = (&'a [u8], &'a [u8]);

/// Telemetry by what it is looked up by.
struct Told<'a> {
    servers: HashMap<&'a str, Vec<&'a Span>>,
    children: HashMap<Ids<'a>, Vec<&'a Span>>,
    lines: HashMap<&'a str, Vec<&'a LogRecord>>,
}

impl Verdict {
    /// Compares.
    pub fn of(truth: &[(&Request, &Answer)], log: &str, outcome: &Outcome) -> Self {
        let told = Told::of(outcome);
        let lines = lines_by_id(log);
        let mut verdict = Self { requests: truth.len(), ..Self::default() };
        verdict.count(outcome);
        for (request, answer) in truth {
            let lines = lines.get(request.id.as_str()).map_or(&[][..], Vec::as_slice);
            verdict.calls += request.calls.len();
            verdict.lines += lines.len();
            if !has_expected_lines(request, lines) {
                verdict.wrong(request, format!("the application's own log is not as planned: {lines:?}"));
            }
            match told.servers.get(request.query().as_str()).map(Vec::as_slice) {
                None => verdict.wrong(request, "has no server span".to_owned()),
                Some([server]) => verdict.compare(request, answer, lines, server, &told),
                Some(several) => verdict.wrong(request, format!("has {} server spans", several.len())),
            }
        }
        verdict.look_for_more(&told);
        verdict.look_for_secrets(outcome);
        verdict
    }

    /// Panics unless everything was told exactly once, in its place; or, if the tracer itself counted losses, no
    /// more is wrong than it counted.
    pub fn require_perfect(&self, outcome: &Outcome) {
        for wrong in self.wrong.iter().take(SHOWN) {
            println!("  {wrong}");
        }
        let lost = outcome.lost_in_all();
        assert!(self.wrong.len() as u64 <= lost, "{} findings, {lost} counted losses", self.wrong.len());
    }

    fn wrong(&mut self, request: &Request, what: String) {
        self.wrong.push(format!("{} {}: {what}", request.method, request.target()));
    }

    fn count(&mut self, outcome: &Outcome) {
        self.servers = outcome.telemetry.servers().count();
        let clients: Vec<&Span> = outcome.telemetry.clients().collect();
        self.greetings = clients.iter().filter(|span| is_greeting(span)).count();
        self.clients = clients.len() - self.greetings;
        self.lines_told = outcome.telemetry.logs.len();
        let resources: Vec<_> = outcome.telemetry.spans.iter().map(|span| &span.resource).collect();
        let others = outcome.telemetry.logs.iter().map(|log| &log.resource);
        if let Some(first) = resources.first() {
            if text(&first.attributes, "service.name") != Some("jiwoo-backend") {
                self.wrong.push(format!("the service has another name: {first:?}"));
            }
            if resources.iter().copied().chain(others).any(|resource| resource != *first) {
                self.wrong.push("spans and lines have different resources".to_owned());
            }
        }
    }

    fn compare(
        &mut self,
        request: &Request,
        answer: &Answer,
        lines: &[&str],
        server: &Span,
        told: &Told<'_>,
    ) {
        if let Some(wrong) = wrong_server(request, answer, server) {
            self.wrong(request, wrong);
        }
        let children = told.children.get(&ids(server)).map_or(&[][..], Vec::as_slice);
        for wrong in wrong_children(request, server, children) {
            self.wrong(request, wrong);
        }
        for line in lines {
            if let Some(wrong) = wrong_line(line, request, server, told) {
                self.wrong(request, wrong);
            }
        }
    }

    /// What the client never asked for.
    fn look_for_more(&mut self, told: &Told<'_>) {
        if self.servers > self.requests {
            self.wrong.push(format!("{} server spans of no request", self.servers - self.requests));
        }
        if let Some(orphans) = told.children.get(&(&[][..], &[][..])) {
            let names: Vec<&str> = orphans.iter().take(SHOWN).map(|span| span.name.as_str()).collect();
            self.wrong.push(format!("{} calls have no parent: {names:?}", orphans.len()));
        }
        if self.clients > self.calls {
            self.wrong.push(format!("{} client spans of no call", self.clients - self.calls));
        }
        if self.lines_told > self.lines {
            self.wrong.push(format!("{} lines that were not logged", self.lines_told - self.lines));
        }
    }

    /// Values that the clients planted in SQL literals, Redis values and credentials.
    fn look_for_secrets(&mut self, outcome: &Outcome) {
        for span in &outcome.telemetry.spans {
            let written = format!("{span:?}");
            for secret in ["planted", "message_id", "'jiwoo'", "\"text\""] {
                if written.contains(secret) {
                    self.wrong.push(format!("{secret} left in a span: {written}"));
                }
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests: {} server spans; {} calls: {} client spans (and {} of new Redis connections); {} lines: {} \
             log records; {} findings",
            self.requests,
            self.servers,
            self.calls,
            self.clients,
            self.greetings,
            self.lines,
            self.lines_told,
            self.wrong.len()
        )
    }
}

impl<'a> Told<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let mut told = Self { servers: HashMap::new(), children: HashMap::new(), lines: HashMap::new() };
        for span in outcome.telemetry.servers() {
            let query = text(&span.attributes, "url.query").unwrap_or_default();
            told.servers.entry(query).or_default().push(span);
        }
        for span in outcome.telemetry.clients() {
            let parent = match span.parent_span_id.as_slice() {
                [] => (&[][..], &[][..]),
                parent => (span.trace_id.as_slice(), parent),
            };
            told.children.entry(parent).or_default().push(span);
        }
        for log in &outcome.telemetry.logs {
            told.lines.entry(body(&log.item)).or_default().push(&log.item);
        }
        told.children
            .values_mut()
            .for_each(|children| children.sort_by_key(|span| span.start_time_unix_nano));
        told
    }
}

fn ids(span: &Span) -> Ids<'_> {
    (&span.trace_id, &span.span_id)
}

fn body(log: &LogRecord) -> &str {
    match log.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn is_greeting(span: &Span) -> bool {
    REDIS_GREETINGS.contains(&span.name.as_str())
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

/// The application's lines, the access log's too, by the id of their request.
fn lines_by_id(log: &str) -> HashMap<&str, Vec<&str>> {
    let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("request_id=") else { continue };
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(rest.len());
        lines.entry(&rest[..end]).or_default().push(line);
    }
    lines
}

/// One line by the application where it logs one, and one by gunicorn's access log.
fn has_expected_lines(request: &Request, lines: &[&str]) -> bool {
    let access = lines.iter().filter(|line| line.contains(&request.target())).count();
    let application = request.line.is_none_or(|(severity, message)| {
        let wanted = [format!("\"level\": \"{severity}\""), format!("\"message\": \"{message}")];
        lines.iter().any(|line| wanted.iter().all(|wanted| line.contains(wanted)))
    });
    access == 1 && application && lines.len() == 1 + usize::from(request.line.is_some())
}

fn wrong_server(request: &Request, answer: &Answer, span: &Span) -> Option<String> {
    let attributes = &span.attributes;
    let is_right = span.name == format!("{} {}", request.method, request.path)
        && text(attributes, "http.request.method") == Some(request.method)
        && text(attributes, "url.path") == Some(request.path)
        && text(attributes, "http.route") == Some(request.path)
        && number(attributes, "http.response.status_code") == Some(i64::from(request.status))
        && is_error(span) == (request.status >= 500)
        && span.parent_span_id.is_empty();
    if !is_right {
        return Some(format!("is told otherwise: {span:?}"));
    }
    let is_in_time = span.start_time_unix_nano + CLOCK_TOLERANCE_NS >= answer.sent
        && span.end_time_unix_nano <= answer.read + WRITE_TOLERANCE_NS
        && span.start_time_unix_nano <= span.end_time_unix_nano;
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    (!is_in_time).then(|| format!("{start}..{end} is not inside {}..{}", answer.sent, answer.read))
}

fn wrong_children(request: &Request, server: &Span, children: &[&Span]) -> Vec<String> {
    let mut wrong = Vec::new();
    let calls: Vec<Call> = children.iter().filter(|span| !is_greeting(span)).map(|span| call(span)).collect();
    if calls != request.calls {
        wrong.push(format!("calls are told otherwise: {calls:?}, not {:?}", request.calls));
    }
    // One thread makes one call after the other, all of them before it answers.
    let mut earliest = server.start_time_unix_nano;
    for child in children {
        if child.start_time_unix_nano < earliest || child.end_time_unix_nano < child.start_time_unix_nano {
            wrong.push(format!(
                "{} begins {} ns too early",
                child.name,
                earliest - child.start_time_unix_nano
            ));
        }
        if child.end_time_unix_nano > server.end_time_unix_nano {
            wrong.push(format!("{} ends after its parent", child.name));
        }
        if is_error(child) != text(&child.attributes, "error.type").is_some() {
            wrong.push(format!("{} has a status that is not its error's", child.name));
        }
        earliest = child.end_time_unix_nano;
    }
    wrong
}

fn call(span: &Span) -> Call {
    let system = match text(&span.attributes, "db.system.name") {
        Some("mariadb") => "mariadb",
        Some("redis") => "redis",
        _ => "another",
    };
    let error = text(&span.attributes, "db.response.status_code");
    Call {
        system,
        name: span.name.clone(),
        text: text(&span.attributes, "db.query.text").unwrap_or_default().to_owned(),
        error: error.filter(|error| text(&span.attributes, "error.type") == Some(error)).map(str::to_owned),
    }
}

fn wrong_line(line: &str, request: &Request, server: &Span, told: &Told<'_>) -> Option<String> {
    let records = told.lines.get(line).map_or(&[][..], Vec::as_slice);
    let [record] = records else {
        return Some(format!("a line is told {} times: {line}", records.len()));
    };
    if (record.trace_id.as_slice(), record.span_id.as_slice()) != ids(server) {
        let ids = if record.span_id.is_empty() { "no ids" } else { "the ids of another request" };
        return Some(format!("a line has {ids}: {line}"));
    }
    let (severity, _) = request.line.filter(|_| line.starts_with('{'))?;
    (record.severity_text != severity).then(|| format!("a line is {}: {line}", record.severity_text))
}
