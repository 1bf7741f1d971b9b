//! Ids that an application wrote into a plain-text log line by itself: `trace_id=… span_id=…` in any usual spelling,
//! and `[service,trace,span]` or `[trace-span]` in brackets.
//!
//! Only what is certain counts: 32 and 16 hexadecimal digits, not all zero, right behind the name. A name that is a
//! parameter of a URL says nothing of the line.

use crate::span::{SpanId, TraceId};

/// How far into a record ids are looked for, in bytes.
const MAX_SEARCH: usize = 4096;

/// The trace, the span where it is named too, and whether it is sampled where that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedIds {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: Option<SpanId>,
    /// Whether it is sampled.
    pub sampled: Option<bool>,
}

/// The ids in a record that is plain text.
#[must_use]
pub fn of(record: &str) -> Option<LoggedIds> {
    let text = record.as_bytes();
    let text = text.get(..MAX_SEARCH).unwrap_or(text);
    named(text).or_else(|| bracketed(text))
}

fn named(text: &[u8]) -> Option<LoggedIds> {
    let trace_id = value_of(text, b"trace", b"id", |value| TraceId::from_hex(&hex::<32>(value)?))?;
    let span_id = value_of(text, b"span", b"id", |value| SpanId::from_hex(&hex::<16>(value)?));
    let flags = value_of(text, b"trace", b"flags", |value| Some(hex::<2>(value)?[1] & 1 == 1));
    let sampled = value_of(text, b"trace", b"sampled", |value| match value.first()? {
        b't' | b'T' | b'1' => Some(true),
        b'f' | b'F' | b'0' => Some(false),
        _ => None,
    });
    Some(LoggedIds { trace_id, span_id, sampled: flags.or(sampled) })
}

/// The first value behind a name made of two words, between which there may be a dot, a dash or a low line.
fn value_of<T>(text: &[u8], first: &[u8], second: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    // The first letter can be in either case; the others of the first word can, too, if all are.
    let tail = first.get(1..)?;
    let upper = tail.to_ascii_uppercase();
    let lower = memchr::memmem::find_iter(text, tail).map(|at| at.checked_sub(1));
    lower.chain(memchr::memmem::find_iter(text, &upper).map(|at| at.checked_sub(1))).flatten().find_map(
        |at| {
            let name = text.get(at..)?;
            let rest = strip(name, first)?;
            let rest = rest
                .strip_prefix(b"_")
                .or(rest.strip_prefix(b"."))
                .or(rest.strip_prefix(b"-"))
                .unwrap_or(rest);
            let rest = strip(rest, second)?;
            let before = at.checked_sub(1).and_then(|before| text.get(before));
            // `otelTraceID`, but no parameter of a URL, and no other word's end.
            let starts =
                before.is_none_or(|byte| !(b"?&/%".contains(byte) || byte.is_ascii_digit() || *byte >= 0x80));
            let rest = strip_quote(rest);
            let value = rest.strip_prefix(b"=").or(rest.strip_prefix(b":")).filter(|_| starts)?;
            read(strip_quote(value.trim_ascii_start()))
        },
    )
}

fn strip<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

fn strip_quote(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").or(text.strip_prefix(b"'")).unwrap_or(text)
}

/// Exactly so many hexadecimal digits, in lower case.
fn hex<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let (digits, rest) = value.split_first_chunk::<N>()?;
    let ends = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    (ends && digits.iter().all(u8::is_ascii_hexdigit)).then(|| digits.map(|digit| digit.to_ascii_lowercase()))
}

/// `[service,trace,span]` of Spring Cloud Sleuth, `[trace-span]` of Spring Boot 3.
fn bracketed(text: &[u8]) -> Option<LoggedIds> {
    const LENGTH: usize = 32 + 1 + 16;
    memchr::memchr_iter(b']', text).find_map(|end| {
        let ids = text.get(end.checked_sub(LENGTH)?..end)?;
        let before = text.get(end.checked_sub(LENGTH + 1)?)?;
        if !matches!((before, ids.get(32)?), (b'[', b'-') | (b',' | b'[', b',')) {
            return None;
        }
        let trace_id = TraceId::from_hex(&hex::<32>(ids)?)?;
        let span_id = Some(SpanId::from_hex(&hex::<16>(ids.get(33..)?)?)?);
        Some(LoggedIds { trace_id, span_id, sampled: None })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn usual_spellings() {
        for line in [
            format!(
                "2026-01-02 INFO [app] [a.py:1] [trace_id={TRACE} span_id={SPAN} resource.service.name=x trace_sampled=True] - m"
            ),
            format!("time=x level=info msg=y trace_id={TRACE} span_id={SPAN}"),
            format!("traceId={TRACE}, spanId={SPAN} done"),
            format!("TraceID: {TRACE} SpanID: {SPAN}"),
            format!("trace.id=\"{TRACE}\" span.id=\"{SPAN}\""),
            format!("{{'trace_id': '{TRACE}', 'span_id': '{SPAN}'}}"),
            format!("otelTraceID={} otelSpanID={}", TRACE.to_uppercase(), SPAN.to_uppercase()),
            format!("TRACE_ID={TRACE} SPAN_ID={SPAN}"),
            format!("2026-01-02 INFO [app,{TRACE},{SPAN}] 1 --- [main] c.e.App : x"),
            format!("2026-01-02 INFO 1 --- [app] [main] [{TRACE}-{SPAN}] c.e.App : x"),
        ] {
            let ids = of(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(ids.trace_id.to_string(), TRACE, "{line}");
            assert_eq!(ids.span_id.map(|id| id.to_string()).as_deref(), Some(SPAN), "{line}");
        }
        let sampled = |text: &str| of(&format!("trace_id={TRACE} {text}")).unwrap().sampled;
        assert_eq!([sampled("trace_flags=00"), sampled("trace_flags=01")], [Some(false), Some(true)]);
        assert_eq!([sampled("trace_sampled=False"), sampled("")], [Some(false), None]);
        assert_eq!(of(&format!("trace_id={TRACE}")).unwrap().span_id, None);
    }

    #[test]
    fn what_names_no_trace() {
        for line in [
            "trace_id=0 span_id=0".to_owned(),
            format!("trace_id={}", "0".repeat(32)),
            format!("trace_id={}", &TRACE[1..]),
            format!("trace_id={TRACE}0"),
            format!("the trace {TRACE}"),
            format!("\"GET /x?trace_id={TRACE}&span_id={SPAN} HTTP/1.1\" 200"),
            format!("\"GET /x?a=1&traceId={TRACE} HTTP/1.1\" 200"),
            format!("traceparent: 00-{TRACE}-{SPAN}-01"),
            format!("[{TRACE}-{SPAN}x]"),
            format!("[{TRACE} {SPAN}]"),
            format!("span_id={SPAN}"),
            "trace_id=".to_owned(),
            "race]".to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line in "(trace|span|TRACE|[-_.=:\\[\\],\"' ä]|id|flags|[0-9a-f]{0,33}){0,12}") {
            let _ = of(&line);
        }
    }
}
