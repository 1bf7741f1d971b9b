//! What a log line that is a JSON object says of its level and of its trace (top-level fields only), and all its
//! fields as attributes.
//!
//! A line that was cut is read as far as it goes.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::severity;
use crate::span::{Attribute, Severity, SpanId, TraceId, Value};

/// Most attributes of one line; further fields stand in the body only. Loki takes no more than 128 by default, and
/// the resource's count there too.
pub const MAX_ATTRIBUTES: usize = 64;

/// Most bytes of an attribute's name and of its value; what is longer stands in the body only.
pub const MAX_ATTRIBUTE: usize = 4096;

/// Most bytes of all attributes of a line together, names and values. By default Loki refuses a record with more than
/// 64 KiB of them, the resource's counted too.
pub const MAX_ATTRIBUTE_BYTES: usize = 32 * 1024;

/// Levels of objects within objects whose fields are attributes, as `outer.inner`.
pub const MAX_DEPTH: usize = 4;

/// What was found in a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFields {
    /// Its level.
    pub severity: Option<Severity>,
    /// The trace that the application itself named: 32 hexadecimal digits, not all zero.
    pub trace_id: Option<TraceId>,
    /// The span that the application itself named: 16 hexadecimal digits, not all zero.
    pub span_id: Option<SpanId>,
    /// The sampled flag in `trace_flags`.
    pub sampled: Option<bool>,
    /// All fields that are a text, a number, a truth value or a list of texts, under their own names; those of inner
    /// objects as `outer.inner`. Of two with one name the first.
    pub attributes: Vec<Attribute>,
}

/// Reads a line. One that is no JSON object has nothing; each kind of field counts where it is found first.
#[must_use]
pub fn read(line: &str) -> LogFields {
    let mut fields = LogFields::default();
    if line.trim_start().starts_with('{') {
        let mut deserializer = serde_json::Deserializer::from_str(line);
        // An error ends the reading; what stood before it was read.
        let _ = deserializer.deserialize_map(Fields { found: &mut fields, prefix: "", depth: 0 });
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

/// An object: the line itself, or one in it.
struct Fields<'a> {
    found: &'a mut LogFields,
    /// Names of the objects around it, each with a dot behind.
    prefix: &'a str,
    depth: usize,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let name = format!("{}{key}", self.prefix);
            let field = if self.depth == 0 { field(&key) } else { None };
            let scalar =
                map.next_value_seed(AnyValue { found: self.found, name: &name, depth: self.depth + 1 })?;
            if let Some(field) = field {
                take(self.found, &field, &scalar);
            }
            self.found.keep(name, scalar);
        }
        Ok(())
    }
}

impl LogFields {
    fn keep(&mut self, name: String, scalar: Scalar) {
        let value = match scalar {
            Scalar::Text(text) if text.len() <= MAX_ATTRIBUTE => Value::from(text),
            // Greater ones have no place in OTLP's integers.
            Scalar::Number(number) => i64::try_from(number).map_or(Value::Double(number as f64), Value::Int),
            Scalar::Negative(number) => Value::Int(number),
            Scalar::Fraction(number) => Value::Double(number),
            Scalar::Truth(truth) => Value::Bool(truth),
            Scalar::Texts(texts) => Value::from(texts),
            Scalar::Text(_) | Scalar::Other => return,
        };
        let room = self.attributes.len() < MAX_ATTRIBUTES && (1..=MAX_ATTRIBUTE).contains(&name.len());
        if room && self.attributes.iter().all(|other| other.key != name) {
            self.attributes.push(Attribute { key: name.into(), value });
            if self.attributes.iter().map(size).sum::<usize>() > MAX_ATTRIBUTE_BYTES {
                self.attributes.pop();
            }
        }
    }
}

/// Bytes of an attribute, as text.
fn size(attribute: &Attribute) -> usize {
    /// Of the longest number.
    const NUMBER: usize = 24;
    let value = match &attribute.value {
        Value::Str(text) => text.len(),
        Value::Strs(texts) => texts.iter().map(String::len).sum(),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) => NUMBER,
    };
    attribute.key.len() + value
}

fn take(fields: &mut LogFields, field: &Field, scalar: &Scalar) {
    let LogFields { severity, trace_id, span_id, sampled, attributes: _ } = fields;
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

/// The value of a field.
enum Scalar {
    Text(String),
    Number(u64),
    Negative(i64),
    Fraction(f64),
    Truth(bool),
    /// A list of nothing but texts.
    Texts(Vec<String>),
    Other,
}

/// A field's value. One that is an object has its fields told under `name`.
struct AnyValue<'a> {
    found: &'a mut LogFields,
    name: &'a str,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for AnyValue<'_> {
    type Value = Scalar;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue<'_> {
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

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Negative(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Fraction(number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Scalar, E> {
        Ok(Scalar::Truth(truth))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let mut texts = Some(Vec::new());
        let mut bytes = 0;
        while let Some(element) = seq.next_element_seed(Element)? {
            bytes += element.as_ref().map_or(0, String::len);
            texts = texts.zip(element.filter(|_| bytes <= MAX_ATTRIBUTE)).map(|(mut texts, text)| {
                texts.push(text);
                texts
            });
        }
        Ok(texts.map_or(Scalar::Other, Scalar::Texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        if self.depth < MAX_DEPTH && self.name.len() < MAX_ATTRIBUTE {
            let prefix = format!("{}.", self.name);
            Fields { found: self.found, prefix: &prefix, depth: self.depth }.visit_map(map)?;
        } else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        }
        Ok(Scalar::Other)
    }
}

/// An element of a list, if it is a text.
struct Element;

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<String>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
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
                LogFields {
                    attributes: Vec::new(),
                    ..read(&format!("{{\"trace_id\":\"{id}\",\"span_id\":\"{id}\"}}"))
                },
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
        assert_eq!(read(&line[..line.len() - 5]).trace_id, whole.trace_id);
    }

    #[test]
    fn fields_become_attributes() {
        let line = r#"{"message":"stored","n":-3,"big":18446744073709551615,"f":1.5,"ok":true,"none":null,
            "tags":["a","b"],"mixed":["a",1],"empty":[],"http":{"status":200,"req":{"id":"x"}},"n":4,"":1}"#;
        let attributes = read(line).attributes;
        let told: Vec<_> = attributes.iter().map(|entry| (entry.key.as_ref(), entry.value.clone())).collect();
        let texts = |texts: &[&str]| Value::Strs(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(
            told,
            [
                ("message", Value::from("stored")),
                ("n", Value::Int(-3)),
                ("big", Value::Double(u64::MAX as f64)),
                ("f", Value::Double(1.5)),
                ("ok", Value::Bool(true)),
                ("tags", texts(&["a", "b"])),
                ("empty", texts(&[])),
                ("http.status", Value::Int(200)),
                ("http.req.id", Value::from("x")),
            ]
        );
        assert!(read("plain text").attributes.is_empty());
    }

    #[test]
    fn attributes_are_bounded() {
        let many: Vec<_> = (0..2 * MAX_ATTRIBUTES).map(|number| format!("\"k{number}\":1")).collect();
        assert_eq!(read(&format!("{{{}}}", many.join(","))).attributes.len(), MAX_ATTRIBUTES);
        let long = "x".repeat(MAX_ATTRIBUTE + 1);
        let lines = [
            format!("{{\"k\":\"{long}\"}}"),
            format!("{{\"{long}\":1}}"),
            format!("{{\"k\":[\"{long}\"]}}"),
            format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH + 1), "}".repeat(MAX_DEPTH + 1)),
        ];
        for line in lines {
            assert!(read(&line).attributes.is_empty(), "{line}");
        }
    }

    #[test]
    fn attributes_are_bounded_together() {
        let long = "x".repeat(MAX_ATTRIBUTE);
        let fields: Vec<_> = (0..20).map(|number| format!("\"k{number}\":\"{long}\"")).collect();
        let attributes = read(&format!("{{{},\"short\":1}}", fields.join(","))).attributes;
        assert_eq!(attributes.len(), MAX_ATTRIBUTE_BYTES / (MAX_ATTRIBUTE + 3) + 1);
        assert_eq!(attributes.last().unwrap().key, "short", "what is small still has room");
        let inner: Vec<_> = (0..40).map(|number| format!("\"f{number}\":1")).collect();
        let attributes = read(&format!("{{\"{}\":{{{}}}}}", "k".repeat(3000), inner.join(","))).attributes;
        assert_eq!(attributes.len(), MAX_ATTRIBUTE_BYTES / 3027);
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
