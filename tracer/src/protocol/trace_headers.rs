//! The header fields that carry trace context, as a request had them.

/// Fields of W3C Trace Context (<https://www.w3.org/TR/trace-context-2/>) and of B3
/// (<https://github.com/openzipkin/b3-propagation>), unparsed. What a request did not carry is `None`.
///
/// All but `tracestate` may stand in a request once. A field that was sent more often is kept as an empty text, which
/// no format takes for valid: nobody can tell which of them was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// `tracestate`, several fields joined by commas.
    pub tracestate: Option<String>,
    /// `b3`: B3 in one field.
    pub b3: Option<String>,
    /// `X-B3-*`: B3 in several fields.
    pub b3_multi: Option<Box<B3Fields>>,
}

/// The fields of B3's older form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct B3Fields {
    /// `X-B3-TraceId`.
    pub trace_id: Option<String>,
    /// `X-B3-SpanId`.
    pub span_id: Option<String>,
    /// `X-B3-Sampled`.
    pub sampled: Option<String>,
    /// `X-B3-Flags`.
    pub flags: Option<String>,
}

impl TraceHeaders {
    /// Takes a field if it carries trace context; `name` in any case. At most `max` bytes of its value are kept, and
    /// at most `max_state` of all fields of `tracestate`: of those that do not fit none.
    pub fn take_field(&mut self, name: &[u8], value: &[u8], max: usize, max_state: usize) -> bool {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let slot = match name.len() {
            2 if is("b3") => &mut self.b3,
            10 if is("tracestate") => {
                self.add_state(value, max_state);
                return true;
            }
            10 if is("x-b3-flags") => &mut self.multi().flags,
            11 if is("traceparent") => &mut self.traceparent,
            11 if is("x-b3-spanid") => &mut self.multi().span_id,
            12 if is("x-b3-traceid") => &mut self.multi().trace_id,
            12 if is("x-b3-sampled") => &mut self.multi().sampled,
            _ => return false,
        };
        *slot = Some(match slot {
            Some(_) => String::new(),
            None => String::from_utf8_lossy(value.get(..max).unwrap_or(value)).into_owned(),
        });
        true
    }

    fn multi(&mut self) -> &mut B3Fields {
        self.b3_multi.get_or_insert_default()
    }

    fn add_state(&mut self, value: &[u8], max: usize) {
        let joined = self.tracestate.get_or_insert_default();
        if value.is_empty() || joined.len() + value.len() >= max {
            return;
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&String::from_utf8_lossy(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> TraceHeaders {
        let mut headers = TraceHeaders::default();
        for (name, value) in fields {
            assert!(headers.take_field(name.as_bytes(), value.as_bytes(), 10, 20), "{name}");
        }
        headers
    }

    #[test]
    fn names_in_any_case() {
        let taken = headers(&[
            ("TraceParent", "a"),
            ("TRACESTATE", "b=1"),
            ("B3", "c"),
            ("X-B3-TraceId", "d"),
            ("x-b3-spanid", "e"),
            ("X-B3-Sampled", "f"),
            ("X-B3-Flags", "g"),
        ]);
        assert_eq!((taken.traceparent.as_deref(), taken.tracestate.as_deref()), (Some("a"), Some("b=1")));
        assert_eq!(taken.b3.as_deref(), Some("c"));
        let multi = taken.b3_multi.unwrap();
        let fields = [multi.trace_id, multi.span_id, multi.sampled, multi.flags];
        assert_eq!(fields.map(Option::unwrap), ["d", "e", "f", "g"]);
        for other in ["trace-parent", "trace.parent", "trace-state", "x-b3-parentspanid", "", "b4"] {
            assert!(!TraceHeaders::default().take_field(other.as_bytes(), b"x", 10, 20), "{other}");
        }
    }

    #[test]
    fn a_field_sent_twice_is_empty_and_stays_so() {
        for name in ["traceparent", "b3"] {
            let taken = headers(&[(name, "a"), (name, "a"), (name, "a")]);
            assert!(taken.traceparent.or(taken.b3).is_some_and(|value| value.is_empty()), "{name}");
        }
    }

    #[test]
    fn values_are_bounded_and_states_joined() {
        assert_eq!(headers(&[("b3", "0123456789abc")]).b3.as_deref(), Some("0123456789"));
        let states = headers(&[
            ("tracestate", "a=1"),
            ("tracestate", ""),
            ("tracestate", "b=2"),
            ("tracestate", "too=long-for-20"),
        ]);
        assert_eq!(states.tracestate.as_deref(), Some("a=1,b=2"));
    }
}
