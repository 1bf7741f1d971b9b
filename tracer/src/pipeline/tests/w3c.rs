//! The cases of W3C's own test of trace context (<https://github.com/w3c/trace-context>, `test/test.py`), as requests
//! that a server reads: none breaks anything, and none joins a trace that it does not name well.

use super::script::{Conn, Script};
use crate::pipeline::PipelineConfig;
use crate::protocol::PROTOCOLS;
use crate::span::Span;

const WEB: Conn = (1, 11);
const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// The span that answers a request with these fields.
fn answer(fields: &str) -> Span {
    let mut s = Script::speaking(PROTOCOLS, PipelineConfig::default());
    s.accept(1, WEB);
    s.recv(1, WEB, &format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    s.send(1, WEB, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(s.spans().len(), 1, "{fields}");
    s.spans()[0].clone()
}

/// Whether the trace is continued. If not, the span is the root of a trace of its own.
fn continues(fields: &str) -> bool {
    let span = answer(fields);
    let parent = span.parent.map(|parent| parent.to_string());
    match (span.trace_id.to_string() == TRACE, parent.as_deref()) {
        (true, Some(PARENT)) => assert!(span.remote_parent, "{fields}"),
        (false, None) => assert!(!span.remote_parent && span.trace_state.is_empty(), "{fields}"),
        other => panic!("{fields}: {other:?}"),
    }
    span.parent.is_some()
}

fn state(fields: &str) -> String {
    answer(&format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n{fields}")).trace_state
}

#[test]
fn traceparents_that_are_continued() {
    let good = format!("00-{TRACE}-{PARENT}-01");
    let future = format!("cc-{TRACE}-{PARENT}-01");
    for fields in [
        format!("traceparent: {good}\r\n"),
        format!("TraceParent: {good}\r\n"),
        format!("TrAcEpArEnT: {good}\r\n"),
        format!("TRACEPARENT:{good}\r\n"),
        format!("traceparent: {future}\r\n"),
        format!("traceparent: {future}-what-the-future-will-be-like\r\n"),
        format!("traceparent:  {good}\r\n"),
        format!("traceparent: \t{good}\r\n"),
        format!("traceparent: {good} \r\n"),
        format!("traceparent: {good}\t\r\n"),
        format!("traceparent: \t {good} \t\r\n"),
        format!("traceparent: 00-{TRACE}-{PARENT}-03\r\n"),
        format!("tracestate: foo=1\r\ntraceparent: {good}\r\ntracestate: bar=2\r\n"),
    ] {
        assert!(continues(&fields), "{fields}");
    }
}

#[test]
fn traceparents_that_are_not() {
    let good = format!("00-{TRACE}-{PARENT}-01");
    let future = format!("cc-{TRACE}-{PARENT}-01");
    let zeros = "0".repeat(32);
    let mut cases = vec![
        // Missing, twice, under another name.
        String::new(),
        "tracestate: foo=1\r\n".to_owned(),
        "traceparent:\r\n".to_owned(),
        format!("traceparent: {good}\r\ntraceparent: {good}\r\n"),
        format!("traceparent: {good}\r\ntraceparent: 00-{}-{PARENT}-01\r\n", TRACE.replace('1', "2")),
        format!("traceparent:\r\ntraceparent: {good}\r\n"),
        format!("traceparent: {future}-a\r\ntraceparent: {future}-a\r\n"),
        format!("traceparent: {good}, {good}\r\n"),
        format!("trace-parent: {good}\r\n"),
        format!("trace.parent: {good}\r\n"),
        format!("traceparent : {}\r\n", good.replace('-', "_")),
    ];
    for value in [
        format!("{good}."),
        format!("{good}-what-the-future-will-be-like"),
        format!("{future}.what-the-future-will-be-like"),
        format!("ff-{TRACE}-{PARENT}-01"),
        format!(".0-{TRACE}-{PARENT}-01"),
        format!("0.-{TRACE}-{PARENT}-01"),
        format!("000-{TRACE}-{PARENT}-01"),
        format!("0000-{TRACE}-{PARENT}-01"),
        format!("0-{TRACE}-{PARENT}-01"),
        format!("CC-{TRACE}-{PARENT}-01"),
        format!("00-{zeros}-{PARENT}-01"),
        format!("00-.{}-{PARENT}-01", &TRACE[1..]),
        format!("00-{}.-{PARENT}-01", &TRACE[1..]),
        format!("00-{}A-{PARENT}-01", &TRACE[1..]),
        format!("00-{TRACE}3-{PARENT}-01"),
        format!("00-{}-{PARENT}-01", &TRACE[1..]),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{TRACE}-.{}-01", &PARENT[1..]),
        format!("00-{TRACE}-{}.-01", &PARENT[1..]),
        format!("00-{TRACE}-{}B-01", &PARENT[1..]),
        format!("00-{TRACE}-{PARENT}7-01"),
        format!("00-{TRACE}-{}-01", &PARENT[1..]),
        format!("00-{TRACE}-{PARENT}-.0"),
        format!("00-{TRACE}-{PARENT}-0."),
        format!("00-{TRACE}-{PARENT}-0A"),
        format!("00-{TRACE}-{PARENT}-001"),
        format!("00-{TRACE}-{PARENT}-1"),
        format!("00-{TRACE}-{PARENT}-"),
        format!("00-{TRACE}-{PARENT}"),
        format!("00 {TRACE} {PARENT} 01"),
        format!("00-{}-{PARENT}-01", TRACE.replace('1', "é")),
        "-".repeat(55),
        "0".repeat(50_000),
    ] {
        cases.push(format!("traceparent: {value}\r\n"));
    }
    for fields in cases {
        assert!(!continues(&fields), "{fields}");
    }
}

#[test]
fn tracestates_that_are_kept() {
    let many: Vec<_> = (0..32).map(|number| format!("bar{number:02}={number:02}")).collect();
    let (first, second) = many.split_at(16);
    let (long_key, tenant) = ("z".repeat(256), format!("{}@{}", "t".repeat(241), "v".repeat(14)));
    let all =
        "!\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    for (fields, expected) in [
        ("tracestate: foo=1\r\n".to_owned(), "foo=1".to_owned()),
        ("TraceState: foo=1\r\n".to_owned(), "foo=1".to_owned()),
        ("tracestate: foo=1\r\ntracestate: bar=2\r\n".to_owned(), "foo=1,bar=2".to_owned()),
        ("tracestate: foo=1\r\ntracestate:\r\n".to_owned(), "foo=1".to_owned()),
        ("tracestate:\r\ntracestate: foo=1\r\n".to_owned(), "foo=1".to_owned()),
        ("tracestate: foo=1,,bar=2,\r\n".to_owned(), "foo=1,,bar=2".to_owned()),
        ("tracestate: foo=1 \t , \t bar=2\r\n".to_owned(), "foo=1 \t , \t bar=2".to_owned()),
        ("tracestate: foo@=1,bar=2\r\n".to_owned(), "foo@=1,bar=2".to_owned()),
        (format!("tracestate: {}\r\n", many.join(",")), many.join(",")),
        (format!("tracestate: {}\r\ntracestate: {}\r\n", first.join(","), second.join(",")), many.join(",")),
        (format!("tracestate: {long_key}=1,{tenant}=2\r\n"), format!("{long_key}=1,{tenant}=2")),
        (format!("tracestate: 0-_*/@a={all}\r\n"), format!("0-_*/@a={all}")),
        ("tracestate: foo=1,foo=2\r\n".to_owned(), "foo=1,foo=2".to_owned()),
    ] {
        assert_eq!(state(&fields), expected, "{fields}");
    }
}

#[test]
fn tracestates_that_are_not() {
    let many: Vec<_> = (0..33).map(|number| format!("bar{number:02}={number:02}")).collect();
    let (first, second) = many.split_at(16);
    for fields in [
        String::new(),
        "tracestate:\r\n".to_owned(),
        "trace-state: foo=1\r\n".to_owned(),
        "trace.state: foo=1\r\n".to_owned(),
        "tracestate: foo =1\r\n".to_owned(),
        "tracestate: FOO=1\r\n".to_owned(),
        "tracestate: foo.bar=1\r\n".to_owned(),
        "tracestate: @foo=1,bar=2\r\n".to_owned(),
        "tracestate: foo=1,bar=2,-=3\r\n".to_owned(),
        "tracestate: foo=bar=baz\r\n".to_owned(),
        "tracestate: foo=,bar=3\r\n".to_owned(),
        "tracestate: foo\r\n".to_owned(),
        "tracestate: foo=1\r\ntracestate: é=2\r\n".to_owned(),
        format!("tracestate: {}\r\n", many.join(",")),
        format!("tracestate: {}\r\ntracestate: {}\r\n", first.join(","), second.join(",")),
        format!("tracestate: {}=1\r\n", "z".repeat(257)),
        format!("tracestate: a={}\r\n", "z".repeat(257)),
    ] {
        assert_eq!(state(&fields), "", "{fields}");
    }
}

#[test]
fn a_state_is_nothing_without_a_parent() {
    for fields in ["tracestate: foo=1\r\n", "traceparent: 00-x\r\ntracestate: foo=1\r\n"] {
        assert!(!continues(fields), "{fields}");
    }
}
