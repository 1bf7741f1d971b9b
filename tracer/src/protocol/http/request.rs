//! Requests' heads: the fields that spans and framing need.

use super::body::Framing;
use super::forwarded::ForwardedFields;
use super::head::{Head, letter};
use super::line::parse_request_line;
use super::{Forwarded, MAX_METHOD, MAX_TARGET, MAX_TRACESTATE, MAX_VALUE, USUAL_METHODS, Version};
use crate::protocol::{HealthCheck, HealthPatterns, Passage, TraceHeaders, path};
use crate::text::Text;

/// What is kept of a request's head.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestHead {
    pub(super) method: Text,
    pub(super) target: String,
    pub(super) target_truncated: bool,
    pub(super) version: Version,
    pub(super) host: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) trace: TraceHeaders,
    /// Most requests have none: boxed, so that heads stay small.
    forwarded: Option<Box<ForwardedFields>>,
    /// `X-Forwarded-For`, all of it; `None` where that is too long to be kept.
    forwarded_for: Option<String>,
    forwarded_for_cut: bool,
    framing: FramingFields,
    otlp_content: bool,
}

/// Header fields that say how a message's body ends.
#[derive(Clone, Debug, Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    /// `Content-Length` was no number, or two different ones.
    bad_length: bool,
    transfer_encoding: bool,
    /// `chunked` is the final transfer coding.
    chunked: bool,
}

impl Head for RequestHead {
    fn start_line(&mut self, line: &[u8]) -> bool {
        let Some(parsed) = parse_request_line(line) else { return false };
        self.method = method(parsed.method);
        self.target_truncated = parsed.target.len() > MAX_TARGET;
        self.target = text(parsed.target, MAX_TARGET);
        self.version = parsed.version;
        true
    }

    fn may_want(line: &[u8]) -> bool {
        match letter(line, 0) {
            // Content-Length, Content-Type; not Connection, Cache-Control, Cookie.
            b'c' => matches!(letter(line, 8), b'l' | b't'),
            // Host, User-Agent, X-*, Transfer-Encoding, trace*, b3, Forwarded.
            first => matches!(first, b'h' | b'u' | b'x' | b't' | b'b' | b'f'),
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("host") => set_first(&mut self.host, value),
            10 if is("user-agent") => set_first(&mut self.user_agent, value),
            15 if is("x-forwarded-for") => {
                self.forwarded_for(value);
                self.forwarded_field(name, value);
            }
            12 if is("content-type") => self.otlp_content = is_otlp_content(value),
            _ if self.framing.field(name, value) => {}
            _ if self.trace.take_field(name, value, MAX_VALUE, MAX_TRACESTATE) => {}
            _ => self.forwarded_field(name, value),
        }
    }
}

impl RequestHead {
    /// RFC 9112 section 6.3, for requests. `None`: the length cannot be told, and a server must refuse it.
    pub(super) fn framing(&self) -> Option<Framing> {
        let fields = &self.framing;
        match (fields.transfer_encoding, fields.chunked, fields.bad_length, fields.length) {
            (true, true, ..) => Some(Framing::Chunked),
            (true, false, ..) | (false, _, true, _) => None,
            (false, _, false, length) => Some(Framing::Length(length.unwrap_or(0))),
        }
    }

    /// What tells the request where a proxy passes it on. `None` where not all of that is known.
    pub(super) fn passage(&self) -> Option<Passage> {
        let whole = !self.target_truncated && !self.forwarded_for_cut && !self.method.is_empty();
        whole.then(|| Passage::new(&self.method, &self.target, self.forwarded_for.as_deref()))
    }

    fn forwarded_field(&mut self, name: &[u8], value: &[u8]) {
        if ForwardedFields::includes(name) {
            self.forwarded.get_or_insert_default().field(name, value);
        }
    }

    fn forwarded_for(&mut self, value: &[u8]) {
        let joined = self.forwarded_for.get_or_insert_default();
        if joined.len() + value.len() >= MAX_VALUE {
            self.forwarded_for_cut = true;
            return;
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&String::from_utf8_lossy(value));
    }

    pub(super) fn forwarded(&mut self) -> Forwarded {
        self.forwarded.take().map_or_else(Forwarded::default, |fields| fields.resolve())
    }

    /// Whether the request only asks how the server is.
    pub(super) fn health_check(&self, patterns: &HealthPatterns) -> Option<HealthCheck> {
        patterns.judge(&self.method, &self.target, self.user_agent.as_deref())
    }

    /// OTLP/HTTP: a POST of protobuf or JSON to one of the signals' default paths, perhaps below a prefix.
    pub(super) fn is_otlp_export(&self) -> bool {
        if !self.otlp_content {
            return false;
        }
        let path = path(&self.target);
        let signal = ["/v1/traces", "/v1/logs", "/v1/metrics"].iter().any(|end| path.ends_with(end));
        self.method == "POST" && signal
    }
}

impl FramingFields {
    /// Takes a field if it is about framing.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            match parse_length(value) {
                Some(length) => self.take_length(Some(length)),
                // Equal values in a list are one (section 6.3).
                None => {
                    let parts = value.split(|&byte| byte == b',');
                    parts.for_each(|part| self.take_length(parse_length(part.trim_ascii())));
                }
            }
        } else if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
            self.transfer_encoding = true;
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else {
            return false;
        }
        true
    }

    fn take_length(&mut self, length: Option<u64>) {
        self.bad_length |= length.is_none() || self.length.is_some_and(|known| Some(known) != length);
        self.length = length;
    }

    /// Section 6.3, for responses that can have a body.
    pub(super) fn of_response(&self) -> Framing {
        match (self.transfer_encoding, self.chunked, self.bad_length, self.length) {
            (true, true, ..) => Framing::Chunked,
            (false, _, false, Some(length)) => Framing::Length(length),
            _ => Framing::UntilClose,
        }
    }
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    let further = |length: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, further) }
}

/// A method, without a copy where it is one of the usual ones.
fn method(sent: &[u8]) -> Text {
    match USUAL_METHODS.iter().find(|usual| usual.as_bytes() == sent) {
        Some(usual) => Text::Static(usual),
        None => text(sent, MAX_METHOD).into(),
    }
}

fn is_otlp_content(value: &[u8]) -> bool {
    let media = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    media.eq_ignore_ascii_case(b"application/x-protobuf") || media.eq_ignore_ascii_case(b"application/json")
}

fn set_first(slot: &mut Option<String>, value: &[u8]) {
    if slot.is_none() && !value.is_empty() {
        *slot = Some(text(value, MAX_VALUE));
    }
}

/// At most `cap` bytes of a value as text; what is not UTF-8 is replaced.
pub(super) fn text(value: &[u8], cap: usize) -> String {
    match value.get(..cap) {
        // A character that the cut splits is dropped, not replaced.
        Some(cut) => {
            let whole = std::str::from_utf8(cut).map_or_else(|error| error.valid_up_to(), str::len);
            let cut = if cut.len() - whole < 4 { cut.get(..whole).unwrap_or(cut) } else { cut };
            String::from_utf8_lossy(cut).into_owned()
        }
        // Nearly always it is UTF-8, and looking for what is not costs more than the copy.
        None => match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(value).into_owned(),
        },
    }
}
