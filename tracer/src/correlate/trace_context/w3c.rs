//! W3C Trace Context, Level 2 (<https://www.w3.org/TR/trace-context-2/>).

use crate::span::{SpanId, TraceId};

/// List members of a `tracestate` (section 3.3.1.1); a longer list is dropped whole.
pub const MAX_TRACESTATE_MEMBERS: usize = 32;

/// Bytes of a `tracestate` that is passed on. Vendors should pass on at least 512 (section 3.3.1.5); this bounds
/// what a peer can make every span carry.
pub const MAX_TRACESTATE_BYTES: usize = 2048;

/// The caller's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its id: the parent of the span that answers.
    pub span_id: SpanId,
    /// The caller may have recorded it.
    pub sampled: bool,
    /// The last seven bytes of the trace id are random.
    pub random: bool,
}

/// Length of version 00: `vv-` trace id `-` span id `-ff`.
const LENGTH: usize = 55;

impl TraceParent {
    /// Parses the header's value. Whatever does not follow section 3.2 is as good as no header.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim_matches([' ', '\t']).as_bytes();
        let (fields, rest) = value.split_at_checked(LENGTH)?;
        let version = hex_byte(fields.get(..2)?)?;
        // Section 3.2.2.1: 255 is invalid; 3.2.4: a higher version may go on behind another dash.
        let length_fits = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| fields.get(*at) == Some(&b'-'));
        if !length_fits || !dashes {
            return None;
        }
        let flags = hex_byte(fields.get(53..55)?)?;
        Some(Self {
            trace_id: TraceId::from_hex(fields.get(3..35)?)?,
            span_id: SpanId::from_hex(fields.get(36..52)?)?,
            sampled: flags & 1 != 0,
            random: flags & 2 != 0,
        })
    }
}

/// Two lowercase hex digits.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match *digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// A `tracestate` that may be passed on, from one or several headers joined by commas; `None` when it is empty,
/// malformed or too long, which says nothing about the `traceparent` beside it (section 3.3.1).
#[must_use]
pub fn tracestate(value: &str) -> Option<&str> {
    let value = value.trim_matches([' ', '\t', ',']);
    if value.is_empty() || value.len() > MAX_TRACESTATE_BYTES {
        return None;
    }
    let mut count = 0;
    for member in value.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        // Empty members are allowed.
        if !member.is_empty() && !is_member(member) {
            return None;
        }
        count += usize::from(!member.is_empty());
    }
    (1..=MAX_TRACESTATE_MEMBERS).contains(&count).then_some(value)
}

fn is_member(member: &str) -> bool {
    member.split_once('=').is_some_and(|(key, value)| is_key(key.as_bytes()) && is_value(value.as_bytes()))
}

/// Section 3.3.1.3.1: a lowercase letter or digit, then up to 255 more characters.
fn is_key(key: &[u8]) -> bool {
    let start = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let other = |byte: &u8| start(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= 256 && key.first().is_some_and(start) && key.iter().all(other)
}

/// Section 3.3.1.3.2: up to 256 printable characters without comma and equals sign, the last one not a space.
fn is_value(value: &[u8]) -> bool {
    let allowed = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    !value.is_empty() && value.len() <= 256 && value.iter().all(allowed) && value.last() != Some(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn well_formed() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.trace_id.to_string(), TRACE);
        assert_eq!(parent.span_id.to_string(), "00f067aa0ba902b7");
        assert!(parent.sampled && !parent.random);
        let flags = |flags: &str| {
            let parent = TraceParent::parse(&format!("{}{flags}", &GOOD[..53])).unwrap();
            (parent.sampled, parent.random)
        };
        assert_eq!(flags("00"), (false, false));
        assert_eq!(flags("02"), (false, true));
        assert_eq!(flags("ff"), (true, true), "unknown bits are masked");
        assert!(TraceParent::parse(&format!(" {GOOD}\t")).is_some(), "white space around a field value");
        assert!(TraceParent::parse(&GOOD.replacen("00", "cc", 1)).is_some(), "a higher version");
        assert!(
            TraceParent::parse(&format!("{}-what-the-future-holds", GOOD.replacen("00", "cc", 1))).is_some()
        );
    }

    #[test]
    fn malformed() {
        let cases = [
            ("empty", String::new()),
            ("version 255", GOOD.replacen("00", "ff", 1)),
            ("version in uppercase", GOOD.replacen("00", "CC", 1)),
            ("version of one digit", GOOD[1..].to_owned()),
            ("version not hex", GOOD.replacen("00", "0x", 1)),
            ("version 00 with more", format!("{GOOD}-00")),
            ("version 00 with a dash", format!("{GOOD}-")),
            ("higher version with more and no dash", format!("{}.", GOOD.replacen("00", "cc", 1))),
            ("trace id zero", GOOD.replace(TRACE, &"0".repeat(32))),
            ("trace id in uppercase", GOOD.replace(TRACE, &TRACE.to_uppercase())),
            ("trace id too short", GOOD.replace(TRACE, &TRACE[1..])),
            ("trace id too long", GOOD.replace(TRACE, &format!("{TRACE}0"))),
            ("trace id not hex", GOOD.replace("4bf9", "4bfg")),
            ("span id zero", GOOD.replace("00f067aa0ba902b7", "0000000000000000")),
            ("span id in uppercase", GOOD.replace("00f067aa0ba902b7", "00F067AA0BA902B7")),
            ("span id too short", GOOD.replace("00f067aa0ba902b7", "00f067aa0ba902b")),
            ("flags in uppercase", format!("{}0A", &GOOD[..53])),
            ("flags missing", GOOD[..52].to_owned()),
            ("flags of one digit", GOOD[..54].to_owned()),
            ("wrong separators", GOOD.replace('-', "_")),
            ("two headers joined", format!("{GOOD},{GOOD}")),
            ("not ASCII", GOOD.replace('4', "é")),
        ];
        for (name, value) in cases {
            assert_eq!(TraceParent::parse(&value), None, "{name}: {value}");
        }
    }

    #[test]
    fn states_that_are_passed_on() {
        let most = vec!["k=v"; MAX_TRACESTATE_MEMBERS].join(",");
        for state in ["a=1", "a=1,b=2", "a=1 , b=2", "a=1,,b=2", "9a@b/c*_-=x y", "k= v", most.as_str()] {
            assert_eq!(tracestate(state), Some(state));
        }
        assert_eq!(tracestate(" a=1,"), Some("a=1"));
        let key = format!("{}=1", "k".repeat(256));
        assert_eq!(tracestate(&key), Some(key.as_str()));
    }

    #[test]
    fn states_that_are_dropped() {
        let many = vec!["k=v"; MAX_TRACESTATE_MEMBERS + 1].join(",");
        let key = format!("{}=1", "k".repeat(257));
        let value = format!("k={}", "v".repeat(257));
        let long = vec![format!("k={}", "v".repeat(250)); 10].join(",");
        let cases = ["", ",", "a", "=1", "a=", "A=1", "@a=1", "a =1", "a=1=2", "a=\u{7f}", "a=é"];
        for state in cases.into_iter().chain([many.as_str(), &key, &value, &long]) {
            assert_eq!(tracestate(state), None, "{state}");
        }
    }
}
