//! The tracer's telemetry against the client's record and the application's own log.

use std::collections::HashMap;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tests::live::{Outcome, number, text, value};

use super::client::Answer;
use super::plan::{Call, Request};

/// How far the tracer's wall clock may be off, and how much later than the client's read the server's write may
/// return: the server can lose its processor just then.
const CLOCK_TOLERANCE_NS: u64 = 2_000_000;
const WRITE_TOLERANCE_NS: u64 = 500_000_000;

/// What redis-py sends by itself on a new connection of its pool.
const REDIS_GREETINGS: [&str; 2] = ["HELLO", "CLIENT"];

/// Our own attribute: the answer was not captured, so that nothing is said of its outcome.
const OUTCOME_UNKNOWN: &str = "tracer.db.response.unknown";

/// Findings printed of each sort; the rest is only counted.
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
    /// What is told otherwise than it was, or under another request.
    wrong: Vec<String>,
    /// What is not told, or told as belonging to nothing.
    missing: Vec<String>,
}

/// One of the two.
enum Finding {
    Wrong(String),
    Missing(String),
}

use Finding::{Missing, Wrong};

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
                verdict
                    .note(request, Wrong(format!("the application's own log is not as planned: {lines:?}")));
            }
            match told.servers.get(request.query().as_str()).map(Vec::as_slice) {
                None => verdict.note(request, Missing("has no server span".to_owned())),
                Some([server]) => verdict.compare(request, answer, lines, server, &told),
                Some(several) => verdict.note(request, Wrong(format!("has {} server spans", several.len()))),
            }
        }
        verdict.look_for_more(&told);
        verdict.look_for_secrets(outcome);
        verdict
    }

    /// Panics unless everything was told exactly once, in its place.
    pub fn require_whole(&self, outcome: &Outcome) {
        self.print();
        assert_eq!(outcome.lost_in_all(), 0, "the kernel side lost events");
        assert!(self.wrong.is_empty() && self.missing.is_empty(), "{self}");
    }

    /// Panics unless what was told is right, and no more is missing than the tracer counted as lost.
    pub fn require_right(&self, outcome: &Outcome) {
        self.print();
        let lost = outcome.lost_in_all();
        assert!(self.wrong.is_empty(), "{self}");
        assert!(self.missing.len() as u64 <= lost, "{} missing, {lost} counted losses", self.missing.len());
    }

    fn print(&self) {
        self.wrong.iter().take(SHOWN).for_each(|wrong| println!("  wrong: {wrong}"));
        self.missing.iter().take(SHOWN).for_each(|missing| println!("  missing: {missing}"));
    }

    fn note(&mut self, request: &Request, finding: Finding) {
        let (list, what) = match finding {
            Wrong(what) => (&mut self.wrong, what),
            Missing(what) => (&mut self.missing, what),
        };
        list.push(format!("{} {}: {what}", request.method, request.target()));
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
        let children = told.children.get(&ids(server)).map_or(&[][..], Vec::as_slice);
        let mut findings = compare_calls(request, children);
        findings.extend(wrong_server(request, answer, server).map(Wrong));
        findings.extend(wrong_times(server, children).into_iter().map(Wrong));
        findings.extend(lines.iter().filter_map(|line| compare_line(line, request, server, told)));
        findings.into_iter().for_each(|finding| self.note(request, finding));
    }

    /// What the client never asked for.
    fn look_for_more(&mut self, told: &Told<'_>) {
        if self.servers > self.requests {
            self.wrong.push(format!("{} server spans of no request", self.servers - self.requests));
        }
        if let Some(orphans) = told.children.get(&(&[][..], &[][..])) {
            let calls = orphans.iter().filter(|span| !is_greeting(span)).map(|span| call(span).text);
            self.missing.extend(calls.map(|text| format!("the parent of {text}")));
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
             log records; {} wrong, {} missing",
            self.requests,
            self.servers,
            self.calls,
            self.clients,
            self.greetings,
            self.lines,
            self.lines_told,
            self.wrong.len(),
            self.missing.len()
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

/// What the request asked of the stores, in its order.
fn compare_calls(request: &Request, children: &[&Span]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut planned = request.calls.iter();
    for child in children.iter().filter(|span| !is_greeting(span)) {
        let told = call(child);
        let is_unknown = value(&child.attributes, OUTCOME_UNKNOWN).is_some();
        let is_told = |planned: &Call| {
            *planned == told || is_unknown && (&planned.name, &planned.text) == (&told.name, &told.text)
        };
        let before = planned.clone();
        let passed_over = planned.by_ref().take_while(|planned| !is_told(planned));
        let passed_over: Vec<Finding> = passed_over.map(|call| not_told(&call.text)).collect();
        if before.clone().any(is_told) {
            findings.extend(passed_over);
        } else {
            // Nothing was passed over: it is not one of ours.
            planned = before;
            findings.push(Wrong(format!("{told:?} is not the next of {:?}", request.calls)));
        }
        if is_unknown {
            findings.push(Missing(format!("the outcome of {}", told.text)));
        }
    }
    findings.extend(planned.map(|call| not_told(&call.text)));
    findings
}

fn not_told(text: &str) -> Finding {
    Missing(format!("{text} is not told"))
}

/// One thread makes one call after the other, all of them before it answers.
fn wrong_times(server: &Span, children: &[&Span]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut earliest = server.start_time_unix_nano;
    for child in children {
        let (start, end) = (child.start_time_unix_nano, child.end_time_unix_nano);
        if start < earliest {
            wrong.push(format!("{} begins {} ns too early", child.name, earliest - start));
        }
        if end < start || end > server.end_time_unix_nano {
            wrong.push(format!("{} ends before it begins, or after its parent", child.name));
        }
        if is_error(child) != text(&child.attributes, "error.type").is_some() {
            wrong.push(format!("{} has a status that is not its error's", child.name));
        }
        earliest = end;
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

fn compare_line(line: &str, request: &Request, server: &Span, told: &Told<'_>) -> Option<Finding> {
    let records = told.lines.get(line).map_or(&[][..], Vec::as_slice);
    let record = match records {
        [] => return Some(Missing(format!("a line: {line}"))),
        [record] => record,
        several => return Some(Wrong(format!("a line is told {} times: {line}", several.len()))),
    };
    if record.span_id.is_empty() {
        return Some(Missing(format!("the ids of a line: {line}")));
    }
    if (record.trace_id.as_slice(), record.span_id.as_slice()) != ids(server) {
        return Some(Wrong(format!("a line has the ids of another request: {line}")));
    }
    let (severity, _) = request.line.filter(|_| line.starts_with('{'))?;
    let is_right = record.severity_text == severity;
    (!is_right).then(|| Wrong(format!("a line is {}: {line}", record.severity_text)))
}
