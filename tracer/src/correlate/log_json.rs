//! What a log line that is a JSON object says of its level and of its trace: top-level fields only.
//!
//! A line that was cut is read as far as it goes.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::severity;
use crate::span::{Severity, SpanId, TraceId};

/// What was found in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFields {
    /// Its level.
    pub severity: Option<Severity>,
    /// The trace that the application itself named: 32 hexadecimal digits, not all zero.
    pub trace_id: Option<TraceId>,
    /// The span that the application itself named: 16 hexadecimal digits, not all zero.
    pub span_id: Option<SpanId>,
    /// The sampled flag in `trace_flags`.
    pub sampled: Option<bool>,
}

/// Reads a line. One that is no JSON object has nothing; each kind of field counts where it is found first.
#[must_use]
pub fn read(line: &str) -> LogFields {
    let mut fields = LogFields::default();
    if line.trim_start().starts_with('{') {
        let mut deserializer = serde_json::Deserializer::from_str(line);
        // An error ends the reading; what stood before it was read.
        let _ = deserializer.deserialize_map(Fields(&mut fields));
    }
    fields
}

/// A field that is looked for.
enum Field {
    Level,
    /// Python's `levelno`, whose numbers mean other levels than those of pino and bunyan.
    PythonLevel,
    TraceId,
    SpanId,
    TraceFlags,
}

fn field(key: &str) -> Option<Field> {
    Some(match key.to_ascii_lowercase().as_str() {
        "level" | "severity" | "levelname" | "lvl" | "log.level" | "loglevel" | "log_level"
        | "severity_text" | "severitytext" | "@l" => Field::Level,
        "levelno" => Field::PythonLevel,
        "trace_id" | "traceid" | "trace.id" | "oteltraceid" => Field::TraceId,
        "span_id" | "spanid" | "span.id" | "otelspanid" => Field::SpanId,
        "trace_flags" | "traceflags" | "trace.flags" | "oteltraceflags" => Field::TraceFlags,
        _ => return None,
    })
}

struct Fields<'a>(&'a mut LogFields);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match field(&key) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(field) => {
                    let scalar = map.next_value_seed(AnyScalar)?;
                    take(self.0, &field, &scalar);
                }
            }
        }
        Ok(())
    }
}

fn take(fields: &mut LogFields, field: &Field, scalar: &Scalar) {
    let LogFields { severity, trace_id, span_id, sampled } = fields;
    match (field, scalar) {
        (Field::Level, Scalar::Text(word)) => *severity = severity.take().or_else(|| severity::of_word(word)),
        (Field::Level, Scalar::Number(number)) => *severity = severity.take().or_else(|| node_level(*number)),
        (Field::PythonLevel, Scalar::Number(number)) => {
            *severity = severity.take().or_else(|| python_level(*number))
        }
        (Field::TraceId, Scalar::Text(id)) => *trace_id = trace_id.or_else(|| TraceId::from_hex(&lower(id))),
        (Field::SpanId, Scalar::Text(id)) => *span_id = span_id.or_else(|| SpanId::from_hex(&lower(id))),
        (Field::TraceFlags, Scalar::Text(flags)) => {
            *sampled = sampled.or_else(|| Some(u8::from_str_radix(flags, 16).ok()? & 1 == 1));
        }
        (Field::TraceFlags, Scalar::Number(flags)) => *sampled = sampled.or(Some(flags & 1 == 1)),
        _ => {}
    }
}

fn lower(text: &str) -> Vec<u8> {
    text.trim().to_ascii_lowercase().into_bytes()
}

/// pino's and bunyan's numbers.
fn node_level(number: u64) -> Option<Severity> {
    let severity = match number {
        10 => 1,
        20 => 5,
        30 => 9,
        40 => 13,
        50 => 17,
        60 => 21,
        _ => return None,
    };
    Some(Severity { number: severity, text: number.to_string() })
}

/// The numbers of Python's `logging`.
fn python_level(number: u64) -> Option<Severity> {
    let severity = match number {
        10 => 5,
        20 => 9,
        30 => 13,
        40 => 17,
        50 => 21,
        _ => return None,
    };
    Some(Severity { number: severity, text: number.to_string() })
}

/// The value of a field that is looked for, when it is a text or a number.
enum Scalar {
    Text(String),
    Number(u64),
    Other,
}

struct AnyScalar;

impl<'de> DeserializeSeed<'de> for AnyScalar {
    type Value = Scalar;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn level(line: &str) -> Option<(u8, String)> {
        read(line).severity.map(|severity| (severity.number, severity.text))
    }

    #[test]
    fn levels_in_every_field() {
        for key in ["level", "severity", "levelname", "lvl", "log.level", "Level", "@l"] {
            let line = format!("{{\"message\": \"x\", \"{key}\": \"WARNING\"}}");
            assert_eq!(level(&line), Some((13, "WARNING".into())), "{key}");
        }
        assert_eq!(level("{\"level\":30,\"msg\":\"x\"}"), Some((9, "30".into())));
        assert_eq!(level("{\"levelno\":30}"), Some((13, "30".into())));
        assert_eq!(level("{\"levelname\":\"CRITICAL\"}"), Some((21, "CRITICAL".into())));
        assert_eq!(level("{\"level\":\"high\",\"severity\":\"error\"}"), Some((17, "error".into())));
        for nothing in [
            "{\"a\":{\"level\":\"error\"}}",
            "{\"level\":null}",
            "{\"level\":[\"error\"]}",
            "{\"level\":{\"a\":1}}",
            "[\"level\"]",
            "{",
            "{\"level\":-30}",
            "{\"level\":1.5}",
        ] {
            assert_eq!(level(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn ids_that_the_application_logged() {
        for (trace, span) in [
            ("trace_id", "span_id"),
            ("otelTraceID", "otelSpanID"),
            ("trace.id", "span.id"),
            ("traceId", "spanId"),
        ] {
            let fields =
                read(&format!("{{\"{trace}\":\"{TRACE}\",\"{span}\":\"{SPAN}\",\"trace_flags\":\"01\"}}"));
            assert_eq!(fields.trace_id, TraceId::from_hex(TRACE.as_bytes()), "{trace}");
            assert_eq!(fields.span_id, SpanId::from_hex(SPAN.as_bytes()), "{span}");
            assert_eq!(fields.sampled, Some(true));
        }
        assert_eq!(
            read(&format!("{{\"trace_id\":\"{}\"}}", TRACE.to_uppercase())).trace_id,
            TraceId::from_hex(TRACE.as_bytes())
        );
        for id in ["0", "", &"0".repeat(32), &"g".repeat(32), &TRACE[1..], &format!("{TRACE}0")] {
            assert_eq!(
                read(&format!("{{\"trace_id\":\"{id}\",\"span_id\":\"{id}\"}}")),
                LogFields::default(),
                "{id}"
            );
        }
    }

    #[test]
    fn a_cut_line_is_read_as_far_as_it_goes() {
        let line =
            format!("{{\"level\":\"info\",\"trace_id\":\"{TRACE}\",\"message\":\"long\\u00e4 text\"}}");
        let whole = read(&line);
        for end in (0..line.len()).filter(|end| line.is_char_boundary(*end)) {
            let part = read(&line[..end]);
            assert!(part.severity.is_none() || part.severity == whole.severity);
            assert!(part.trace_id.is_none() || part.trace_id == whole.trace_id);
        }
        assert_eq!(read(&line[..line.len() - 5]), whole);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(read(&deep), LogFields::default());
        let deep = format!("{{\"level\":{}", "{\"a\":".repeat(100_000));
        assert_eq!(read(&deep), LogFields::default());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line in "\\{(\"(level|trace_id|x)\":(\"[a-f0-9äE]*\"|[0-9.eE-]*|\\[|\\{|null),?){0,5}\\}?") {
            let _ = read(&line);
        }
    }
}
