//! What hangs below what in the exported spans.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::Outcome;

use super::browser::Sent;

/// The spans of a kind below `parent`.
pub fn below<'a>(outcome: &'a Outcome, parent: &'a Span, kind: SpanKind) -> Vec<&'a Span> {
    outcome.telemetry.children(parent).filter(|span| span.kind == kind as i32).collect()
}

/// The only span of this kind below `parent`.
pub fn only<'a>(outcome: &'a Outcome, parent: &'a Span, kind: SpanKind) -> &'a Span {
    let found = below(outcome, parent, kind);
    assert_eq!(found.len(), 1, "below {parent:?}: {found:?}");
    found[0]
}

/// The server span that answers the browser.
pub fn first<'a>(outcome: &'a Outcome, sent: &Sent) -> &'a Span {
    let found: Vec<_> = outcome.telemetry.servers().filter(|span| sent.is_parent_of(span)).collect();
    assert_eq!(found.len(), 1, "{sent:?}: {found:?}");
    found[0]
}

/// The backend's calls, each with its store's own span below it: at least one is of that name.
pub fn check_stores(outcome: &Outcome, backend: &Span, wanted: &str) -> usize {
    let calls = below(outcome, backend, SpanKind::Client);
    assert!(calls.iter().any(|span| span.name.starts_with(wanted)), "{calls:?}");
    for call in &calls {
        let answered = only(outcome, call, SpanKind::Server);
        assert_eq!(answered.name, call.name);
    }
    calls.len()
}

/// nginx's span below the browser's, its call, the backend's span, its calls, and their stores' spans: all of the
/// trace. Gives the backend's span.
pub fn check_chain<'a>(outcome: &'a Outcome, sent: &Sent, wanted: &str) -> &'a Span {
    check_below(outcome, first(outcome, sent), wanted)
}

/// As [`check_chain`], from nginx's span on.
pub fn check_below<'a>(outcome: &'a Outcome, proxy: &'a Span, wanted: &str) -> &'a Span {
    let call = only(outcome, proxy, SpanKind::Client);
    let backend = only(outcome, call, SpanKind::Server);
    let calls = check_stores(outcome, backend, wanted);
    let all = outcome.telemetry.spans.iter().filter(|span| span.item.trace_id == proxy.trace_id).count();
    assert_eq!(all, 3 + 2 * calls, "nothing else is in the trace");
    backend
}
