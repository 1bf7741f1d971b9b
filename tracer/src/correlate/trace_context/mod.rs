//! Trace context that requests carry: which formats are read, and what they say.
//!
//! `OTEL_PROPAGATORS` names the formats (OpenTelemetry specification, "General SDK Configuration"). Only reading
//! matters here: the tracer adds nothing to what an application sends.

pub mod b3;
pub mod w3c;

use std::sync::Arc;

use crate::protocol::TraceHeaders;
use crate::span::{SpanId, TraceId};

/// What a request says of the trace that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The trace, and the caller's span in it. B3 can tell a decision without these.
    pub parent: Option<(TraceId, SpanId)>,
    /// Whether the caller sampled the trace; B3 can leave that open.
    pub sampled: Option<bool>,
    /// `tracestate`.
    pub state: Option<Arc<str>>,
}

/// Which fields of a request did not follow their format. They are as good as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Malformed {
    /// `traceparent`, or several of them.
    pub traceparent: bool,
    /// `tracestate`, or too long a one.
    pub tracestate: bool,
    /// Fields of B3.
    pub b3: bool,
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    TraceContext,
    B3,
}

/// The formats that are read, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagators {
    formats: Vec<Format>,
    /// Names that were given and are not supported.
    unsupported: Vec<String>,
}

/// W3C Trace Context.
impl Default for Propagators {
    fn default() -> Self {
        Self { formats: vec![Format::TraceContext], unsupported: Vec::new() }
    }
}

impl Propagators {
    /// Reads the value of `OTEL_PROPAGATORS`: names separated by commas. Unset or empty means the default.
    #[must_use]
    pub fn from_variable(value: Option<&str>) -> Self {
        let Some(value) = value.filter(|value| !value.trim().is_empty()) else { return Self::default() };
        let mut propagators = Self { formats: Vec::new(), unsupported: Vec::new() };
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let format = match name {
                "tracecontext" => Format::TraceContext,
                // Both are read alike: the two names differ in what is sent.
                "b3" | "b3multi" => Format::B3,
                // Baggage is passed on by the application, and says nothing of spans.
                "none" | "baggage" => continue,
                _ => {
                    propagators.unsupported.push(name.to_owned());
                    continue;
                }
            };
            if !propagators.formats.contains(&format) {
                propagators.formats.push(format);
            }
        }
        propagators
    }

    /// What the user should know: a sentence, where a name was given that is not supported.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let names = self.unsupported.join(", ");
        (!names.is_empty()).then(|| {
            format!(
                "OTEL_PROPAGATORS names {names}, which the tracer does not read: it knows tracecontext, b3 and \
                 b3multi; callers that send only other headers begin new traces here"
            )
        })
    }

    /// What a request says, and what of it was malformed. Of several formats that say something the last one in the
    /// list counts, as in the SDKs.
    #[must_use]
    pub fn extract(&self, headers: &TraceHeaders) -> (Option<Incoming>, Malformed) {
        let mut malformed = Malformed::default();
        let mut incoming = None;
        for format in &self.formats {
            let told = match format {
                Format::TraceContext => trace_context(headers, &mut malformed),
                Format::B3 => b3::extract(headers).unwrap_or_else(|b3::Malformed| {
                    malformed.b3 = true;
                    None
                }),
            };
            incoming = told.or(incoming);
        }
        (incoming, malformed)
    }
}

fn trace_context(headers: &TraceHeaders, malformed: &mut Malformed) -> Option<Incoming> {
    let header = headers.traceparent.as_deref()?;
    let Some(parent) = w3c::TraceParent::parse(header) else {
        malformed.traceparent = true;
        return None;
    };
    let state = headers.tracestate.as_deref();
    let kept = state.and_then(w3c::tracestate);
    // Nothing but separators is an empty list, which is well-formed.
    let is_empty = state.is_none_or(|state| state.trim_matches([' ', '\t', ',']).is_empty());
    malformed.tracestate = kept.is_none() && !is_empty;
    Some(Incoming {
        parent: Some((parent.trace_id, parent.span_id)),
        sampled: Some(parent.sampled),
        state: kept.map(Arc::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const B3: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";

    fn headers(traceparent: &str, tracestate: &str, b3: &str) -> TraceHeaders {
        let text = |value: &str| (value != "-").then(|| value.to_owned());
        TraceHeaders {
            traceparent: text(traceparent),
            tracestate: text(tracestate),
            b3: text(b3),
            b3_multi: None,
        }
    }

    /// The first two digits of the trace's id, or nothing.
    fn trace(variable: &str, headers: &TraceHeaders) -> Option<String> {
        let (incoming, _) = Propagators::from_variable(Some(variable)).extract(headers);
        Some(incoming?.parent?.0.to_string()[..2].to_owned())
    }

    #[test]
    fn formats_are_chosen_by_name() {
        let both = headers(PARENT, "-", B3);
        for (variable, expected) in [
            ("", Some("4b")),
            ("tracecontext,baggage", Some("4b")),
            ("b3", Some("80")),
            ("b3multi", Some("80")),
            ("tracecontext, b3", Some("80")),
            ("b3,tracecontext", Some("4b")),
            ("none", None),
            ("jaeger", None),
        ] {
            assert_eq!(trace(variable, &both).as_deref(), expected, "{variable}");
        }
        assert_eq!(trace("tracecontext,b3", &headers(PARENT, "-", "-")).as_deref(), Some("4b"));
        assert_eq!(trace("tracecontext,b3", &headers(PARENT, "-", "nonsense")).as_deref(), Some("4b"));
    }

    #[test]
    fn what_is_not_supported_is_told() {
        assert_eq!(Propagators::from_variable(Some("tracecontext,baggage,b3multi,none")).warning(), None);
        let warning = Propagators::from_variable(Some("jaeger,tracecontext,xray")).warning().unwrap();
        assert!(warning.starts_with("OTEL_PROPAGATORS names jaeger, xray, which"), "{warning}");
    }

    #[test]
    fn a_bad_state_harms_no_parent_and_a_bad_parent_hides_the_state() {
        let of = |parent, state| Propagators::default().extract(&headers(parent, state, "-"));
        let (incoming, malformed) = of(PARENT, "a=1,b=2");
        assert_eq!((incoming.unwrap().state.as_deref(), malformed), (Some("a=1,b=2"), Malformed::default()));
        let (incoming, malformed) = of(PARENT, "A=1");
        assert!(incoming.is_some_and(|incoming| incoming.state.is_none()) && malformed.tracestate);
        for empty in ["", " , ,", "-"] {
            let (incoming, malformed) = of(PARENT, empty);
            assert!(incoming.is_some() && malformed == Malformed::default(), "{empty}");
        }
        let (incoming, malformed) = of("", "A=1");
        assert!(incoming.is_none() && malformed.traceparent && !malformed.tracestate);
        assert_eq!(of("-", "a=1"), (None, Malformed::default()));
    }
}
