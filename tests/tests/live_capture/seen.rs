//! What the tracer told, reduced to what a case knows.

use std::fmt;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Losses, Outcome, number, text};

/// An HTTP exchange as its span tells it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// `url.path`, or what is known of the target.
    pub path: String,
    /// The status code, if the span has one.
    pub status: Option<i64>,
    /// Size of the request's body.
    pub request: Option<i64>,
    /// Size of the response's body.
    pub response: Option<i64>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, status, request, response } = self;
        write!(f, "{path} {status:?} ({request:?} ▶ {response:?})")
    }
}

/// A whole exchange: a request with `request` bytes of body that was answered 200 with `response` bytes.
pub fn seen(path: &str, request: i64, response: i64) -> Seen {
    Seen { path: path.to_owned(), status: Some(200), request: Some(request), response: Some(response) }
}

/// A GET that was answered as [`super::scene::serve`] answers it: its path, echoed.
pub fn echoed(path: &str) -> Seen {
    seen(path, 0, i64::try_from(path.len()).unwrap())
}

/// The exchanges of one kind, in the order in which they began.
pub fn exchanges(outcome: &Outcome, kind: SpanKind) -> Vec<Seen> {
    let mut spans: Vec<&Span> = outcome.telemetry.of_kind(kind).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.into_iter().map(reduce).collect()
}

/// The server's side of [`exchanges`].
pub fn served(outcome: &Outcome) -> Vec<Seen> {
    exchanges(outcome, SpanKind::Server)
}

/// The client's side of [`exchanges`].
pub fn called(outcome: &Outcome) -> Vec<Seen> {
    exchanges(outcome, SpanKind::Client)
}

fn reduce(span: &Span) -> Seen {
    let path = text(&span.attributes, "url.path").or_else(|| path_of(text(&span.attributes, "url.full")?));
    Seen {
        path: path.unwrap_or(&span.name).to_owned(),
        status: number(&span.attributes, "http.response.status_code"),
        request: number(&span.attributes, "http.request.body.size"),
        response: number(&span.attributes, "http.response.body.size"),
    }
}

fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').and_then(|at| rest.get(at..))
}

/// Nothing was lost in the kernel, and no byte went unexplained.
pub fn assert_whole(outcome: &Outcome) {
    assert_eq!(outcome.lost_in_kernel(), Losses::new());
    assert!(!outcome.summary().contains("not told by any event"), "{}", outcome.summary());
}

/// Losses by reason.
pub fn losses(expected: &[(&str, u64)]) -> Losses {
    expected.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

/// How many events of sockets the tracer took.
pub fn socket_events(outcome: &Outcome) -> u64 {
    let summary = outcome.summary();
    let line = summary.lines().find(|line| line.contains(" events: ")).expect("the count of events");
    let (_, counts) = line.split_once(" events: ").expect("counts");
    counts.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}
