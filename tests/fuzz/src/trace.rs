//! Header values of W3C Trace Context.

use tracer::correlate::trace_context::w3c::{MAX_TRACESTATE_BYTES, TraceParent, tracestate};

/// `traceparent`, a line end, `tracestate`.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (parent, state) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(parsed) = TraceParent::parse(parent) {
        let parent = parent.trim_matches([' ', '\t']);
        let ids = format!("{}-{}", parsed.trace_id, parsed.span_id);
        assert_eq!(parent.get(3..52), Some(ids.as_str()), "of {parent:?}");
        assert_ne!((parsed.trace_id.0, parsed.span_id.0), ([0; 16], [0; 8]));
    }
    if let Some(kept) = tracestate(state) {
        assert!(kept.len() <= MAX_TRACESTATE_BYTES.max(state.len()));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nrojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what\na@b=1,,c=2 ",
        "00-00000000000000000000000000000000-b7ad6b7169203331-00\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
