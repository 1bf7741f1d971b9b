//! B3 (<https://github.com/openzipkin/b3-propagation>), in one field or in several.

use super::Incoming;
use crate::protocol::{B3Fields, TraceHeaders};
use crate::span::{SpanId, TraceId};

/// Reads B3: the single field where there is one, else the several ones (OpenTelemetry specification, "B3 Extract").
///
/// # Errors
/// [`Malformed`] where the fields do not follow the format: they are as good as none.
pub fn extract(headers: &TraceHeaders) -> Result<Option<Incoming>, Malformed> {
    match (&headers.b3, &headers.b3_multi) {
        (Some(single), _) => parse_single(single.trim_matches([' ', '\t'])).map(Some).ok_or(Malformed),
        (None, Some(fields)) => parse_multi(fields).map(Some).ok_or(Malformed),
        (None, None) => Ok(None),
    }
}

/// Fields that do not follow the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// `{TraceId}-{SpanId}[-{SamplingState}[-{ParentSpanId}]]`, or `{SamplingState}` alone.
fn parse_single(value: &str) -> Option<Incoming> {
    let mut parts = value.split('-');
    let first = parts.next()?;
    let Some(span) = parts.next() else {
        return Some(Incoming { sampled: Some(state(first)?), ..Incoming::default() });
    };
    let parent = Some((trace_id(first)?, SpanId::from_hex(span.as_bytes())?));
    let sampled = parts.next().map(|word| state(word).ok_or(Malformed)).transpose().ok()?;
    // The parent's own parent is only checked: the caller's span is what counts.
    let grandparent = parts.next().is_none_or(|id| SpanId::from_hex(id.as_bytes()).is_some());
    (grandparent && parts.next().is_none()).then(|| Incoming { parent, sampled, ..Incoming::default() })
}

fn parse_multi(fields: &B3Fields) -> Option<Incoming> {
    let sampled = match (fields.flags.as_deref(), fields.sampled.as_deref()) {
        // Debug implies that it is sampled.
        (Some("1"), _) => Some(true),
        // Older tracers said so in words.
        (_, Some("true")) => Some(true),
        (_, Some("false")) => Some(false),
        (_, Some(word)) => Some(state(word)?),
        (_, None) => None,
    };
    let parent = match (&fields.trace_id, &fields.span_id) {
        (Some(trace), Some(span)) => Some((trace_id(trace)?, SpanId::from_hex(span.as_bytes())?)),
        // A sampling decision may come alone; half an identity means nothing.
        (None, None) => None,
        _ => return None,
    };
    Some(Incoming { parent, sampled, ..Incoming::default() })
}

/// `1` sampled, `0` not, `d` debug, which implies sampled.
fn state(word: &str) -> Option<bool> {
    match word {
        "1" | "d" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// 32 hexadecimal digits, or 16, which are the lower half.
fn trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        16 => TraceId::from_hex(format!("{text:0>32}").as_bytes()),
        _ => TraceId::from_hex(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn single(value: &str) -> Result<Option<Incoming>, Malformed> {
        extract(&TraceHeaders { b3: Some(value.to_owned()), ..TraceHeaders::default() })
    }

    fn told(incoming: &Incoming) -> (Option<(String, String)>, Option<bool>) {
        (incoming.parent.map(|(trace, span)| (trace.to_string(), span.to_string())), incoming.sampled)
    }

    #[test]
    fn in_one_field() {
        let ids = |trace: &str| Some((trace.to_owned(), SPAN.to_owned()));
        let short = format!("{:0>32}", &TRACE[16..]);
        for (value, expected) in [
            (format!("{TRACE}-{SPAN}-1"), (ids(TRACE), Some(true))),
            (format!("{TRACE}-{SPAN}-0"), (ids(TRACE), Some(false))),
            (format!("{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"), (ids(TRACE), Some(true))),
            (format!("{TRACE}-{SPAN}"), (ids(TRACE), None)),
            (format!("{}-{SPAN}-1", &TRACE[16..]), (ids(&short), Some(true))),
            (" 0\t".to_owned(), (None, Some(false))),
            ("1".to_owned(), (None, Some(true))),
            ("d".to_owned(), (None, Some(true))),
        ] {
            assert_eq!(told(&single(&value).unwrap().unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn malformed_in_one_field() {
        for value in [
            String::new(),
            "2".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-true"),
            format!("{TRACE}-{SPAN}-1-"),
            format!("{TRACE}-{SPAN}-1-{SPAN}-x"),
            format!("{TRACE}-{}-1", &SPAN[1..]),
            format!("{}-{SPAN}-1", &TRACE[1..]),
            format!("{}-{SPAN}-1", "0".repeat(32)),
            format!("{}-{SPAN}-1", "0".repeat(16)),
            format!("{TRACE}-0000000000000000-1"),
            format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            format!("{TRACE}_{SPAN}_1"),
            format!("é{}-{SPAN}-1", &TRACE[2..]),
        ] {
            assert_eq!(single(&value), Err(Malformed), "{value}");
        }
    }

    #[test]
    fn in_several_fields() {
        let text = |value: &str| Some(value.to_owned());
        let fields = B3Fields { trace_id: text(TRACE), span_id: text(SPAN), ..B3Fields::default() };
        let read = |fields: B3Fields| {
            let headers = TraceHeaders { b3_multi: Some(Box::new(fields)), ..TraceHeaders::default() };
            extract(&headers).map(|incoming| told(&incoming.unwrap()))
        };
        let ids = Some((TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!(read(fields.clone()), Ok((ids.clone(), None)));
        for (word, sampled) in [("1", true), ("0", false), ("true", true), ("false", false)] {
            let told = read(B3Fields { sampled: text(word), ..fields.clone() });
            assert_eq!(told, Ok((ids.clone(), Some(sampled))), "{word}");
        }
        let debug = B3Fields { sampled: text("0"), flags: text("1"), ..fields.clone() };
        assert_eq!(read(debug), Ok((ids, Some(true))));
        assert_eq!(read(B3Fields { sampled: text("0"), ..B3Fields::default() }), Ok((None, Some(false))));
        for bad in [
            B3Fields { span_id: None, ..fields.clone() },
            B3Fields { trace_id: None, ..fields.clone() },
            B3Fields { trace_id: text("x"), ..fields.clone() },
            B3Fields { span_id: text(""), ..fields.clone() },
            B3Fields { sampled: text("yes"), ..fields },
        ] {
            assert_eq!(read(bad), Err(Malformed));
        }
    }

    #[test]
    fn one_field_counts_before_several() {
        let multi = B3Fields { sampled: Some("1".to_owned()), ..B3Fields::default() };
        let headers = TraceHeaders {
            b3: Some("0".to_owned()),
            b3_multi: Some(Box::new(multi)),
            ..TraceHeaders::default()
        };
        assert_eq!(extract(&headers).unwrap().unwrap().sampled, Some(false));
        assert_eq!(extract(&TraceHeaders::default()), Ok(None));
    }
}
