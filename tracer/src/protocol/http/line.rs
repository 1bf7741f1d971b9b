//! Start lines: RFC 9112 sections 3 and 4.

use super::{MAX_HEAD, MAX_METHOD, Version};

/// How bytes that begin where a call began compare with what a start line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// There are no bytes.
    Empty,
    /// So far they are the beginning of one.
    Prefix,
    /// They begin with one.
    Match,
    /// They do not.
    Mismatch,
}

/// A request line's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: Version,
    version_length: usize,
}

/// Whether `bytes` begin with a request line of HTTP/1, its end included.
///
/// Stricter than [`parse_request_line`], since nothing but these bytes speaks for HTTP: the method begins with a
/// capital letter, parts are separated by one space, and the target has one of the four forms (a path may have spaces).
pub(super) fn judge_request(bytes: &[u8]) -> Judgement {
    if bytes.is_empty() {
        return Judgement::Empty;
    }
    let (line, complete) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (bytes.get(..end).unwrap_or_default(), true),
        None => (bytes, false),
    };
    if complete {
        let line = strip_cr(line);
        let strict = parse_request_line(line).is_some_and(|parsed| {
            parsed.method.first().is_some_and(u8::is_ascii_uppercase)
                && target_form(parsed.method, parsed.target) == Judgement::Match
                && line.len() == parsed.method.len() + parsed.target.len() + 2 + parsed.version_length
        });
        return if strict { Judgement::Match } else { Judgement::Mismatch };
    }
    if could_become_request(line) { Judgement::Prefix } else { Judgement::Mismatch }
}

/// Methods that are believed in the middle of a connection, of RFC 9110, 5789, 4918, 3253 and 5323 and in common
/// use. None is the end of another one: what a loss leaves of a request line must not pass for a whole one.
const FAMILIAR_METHODS: [&[u8]; 18] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"QUERY",
    b"PURGE",
];

/// The same as [`judge_request`] where nothing else says that a message begins here.
pub(super) fn judge_familiar_request(bytes: &[u8]) -> Judgement {
    let judgement = judge_request(bytes);
    let end = memchr::memchr(b' ', bytes);
    let method = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let familiar = FAMILIAR_METHODS.iter().any(|known| match end {
        Some(_) => *known == method,
        None => known.starts_with(method),
    });
    match judgement {
        Judgement::Match | Judgement::Prefix if !familiar => Judgement::Mismatch,
        judgement => judgement,
    }
}

fn could_become_request(line: &[u8]) -> bool {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let method = parts.next().unwrap_or_default();
    if line.len() > MAX_HEAD || !is_method(method) || !method.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let Some(target) = parts.next() else { return true };
    let form = target_form(method, target);
    match parts.next() {
        None => form != Judgement::Mismatch,
        Some(rest) if target.starts_with(b"/") => is_path(strip_cr(rest)),
        Some(version) => form == Judgement::Match && could_become_version(strip_cr(version)),
    }
}

fn could_become_version(bytes: &[u8]) -> bool {
    let fixed = b"HTTP/1.";
    bytes.iter().zip(fixed).all(|(have, want)| have == want)
        && bytes.get(fixed.len()..).is_none_or(|minor| minor.is_empty() || minor_version(minor).is_some())
}

/// RFC 9112 section 3.2: `/path`, `scheme://…`, `host:port` for CONNECT, or `*`.
fn target_form(method: &[u8], target: &[u8]) -> Judgement {
    if !is_target(target) {
        return if target.is_empty() { Judgement::Prefix } else { Judgement::Mismatch };
    }
    match target.first() {
        None => Judgement::Prefix,
        Some(b'/') => Judgement::Match,
        Some(b'*') if target.len() == 1 => Judgement::Match,
        Some(_) if method == b"CONNECT" => {
            if memchr::memchr(b':', target).is_some() {
                Judgement::Match
            } else {
                Judgement::Prefix
            }
        }
        Some(first) if first.is_ascii_alphabetic() => absolute_form(target),
        Some(_) => Judgement::Mismatch,
    }
}

fn absolute_form(target: &[u8]) -> Judgement {
    let scheme =
        target.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    let rest = target.get(scheme..).unwrap_or_default();
    if rest.starts_with(b"://") {
        Judgement::Match
    } else if b"://".starts_with(rest) {
        Judgement::Prefix
    } else {
        Judgement::Mismatch
    }
}

/// Whether `bytes` begin with `HTTP/1.x NNN`.
pub(super) fn judge_status(bytes: &[u8]) -> Judgement {
    const PATTERN: &[u8] = b"HTTP/1.x NNN";
    if bytes.is_empty() {
        return Judgement::Empty;
    }
    let fits = bytes.iter().zip(PATTERN).all(|(&have, &want)| match want {
        b'x' | b'N' => have.is_ascii_digit(),
        _ => have == want,
    });
    let class = bytes.get(9).is_none_or(|digit| (b'1'..=b'9').contains(digit));
    match bytes.get(PATTERN.len()) {
        _ if !fits || !class => Judgement::Mismatch,
        None => Judgement::Prefix,
        Some(b' ' | b'\r' | b'\n') => Judgement::Match,
        Some(_) => Judgement::Mismatch,
    }
}

/// Takes a request line (without its end) apart, tolerating runs of spaces as RFC 9112 section 3 allows, and spaces in a
/// path that nobody has encoded: servers refuse them, or believe them.
pub(super) fn parse_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let line = line.trim_ascii_end();
    let method_end = memchr::memchr2(b' ', b'\t', line)?;
    let version_start = memchr::memrchr2(b' ', b'\t', line)?;
    let method = line.get(..method_end)?;
    let target = line.get(method_end..version_start)?.trim_ascii();
    let version = line.get(version_start + 1..)?;
    let parsed = parse_version(version)?;
    let sound = is_method(method) && is_target(target);
    sound.then_some(RequestLine { method, target, version: parsed, version_length: version.len() })
}

/// The status code and version of a status line (without its end).
pub(super) fn parse_status_line(line: &[u8]) -> Option<(Version, u16)> {
    let space = memchr::memchr(b' ', line)?;
    let version = parse_version(line.get(..space)?)?;
    let rest = line.get(space..)?.trim_ascii_start();
    let digits = rest.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || rest.get(3).is_some_and(|next| !next.is_ascii_whitespace()) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    (code >= 100).then_some((version, code))
}

/// Servers and clients take the name in any case, and a minor version of several numbers, as few devices send.
fn parse_version(bytes: &[u8]) -> Option<Version> {
    let (name, minor) = bytes.split_at_checked(b"HTTP/1.".len())?;
    if name.eq_ignore_ascii_case(b"HTTP/1.") { minor_version(minor) } else { None }
}

fn minor_version(bytes: &[u8]) -> Option<Version> {
    const LONGEST: usize = 4;
    let sound = bytes.len() <= LONGEST && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    match bytes.first() {
        Some(b'0') if sound => Some(Version::Http10),
        Some(first) if sound && first.is_ascii_digit() => Some(Version::Http11),
        _ => None,
    }
}

/// A line without the CR that may stand before its LF.
pub(super) fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_method(method: &[u8]) -> bool {
    (1..=MAX_METHOD).contains(&method.len()) && method.iter().all(|&byte| is_token_byte(byte))
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_target(target: &[u8]) -> bool {
    match target.first() {
        None => false,
        Some(b'/') => is_path(target),
        Some(_) => target.iter().all(|&byte| is_target_byte(byte)),
    }
}

/// A path in which spaces stand as they are.
fn is_path(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is_target_byte(byte) || byte == b' ')
}

/// Anything visible: servers accept raw UTF-8 and characters that RFC 3986 wants encoded.
fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_a_request_line_stays_possible() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.0\r\n",
            "CONNECT db.example:443 HTTP/1.1\n",
            "GET http://a.example/x?y=1 HTTP/1.1\r\n",
            "M-SEARCH /caf\u{e9} HTTP/1.1\r\n",
            "GET /a b c HTTP/1.1\r\n",
            "GET / HTTP/1.0.8\r\n",
        ] {
            let line = line.as_bytes();
            assert_eq!(judge_request(line), Judgement::Match);
            assert_eq!(judge_request(&[]), Judgement::Empty);
            for end in 1..line.len() {
                assert_eq!(judge_request(&line[..end]), Judgement::Prefix, "{end} of {line:?}");
            }
        }
    }

    #[test]
    fn other_protocols_are_not_request_lines() {
        for line in [
            "GET foo\r\n",
            "SET key value\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01",
            "*1\r\n$4\r\nPING\r\n",
            "get / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "EHLO mail.example\r\n",
            "GET / HTTP/1.x\r\n",
            "GET / HTTP/3.1\r\n",
            "GET /a b\r\n",
            "GET http://a.example/x y HTTP/1.1\r\n",
            "{\"json\": 1}",
        ] {
            assert_eq!(judge_request(line.as_bytes()), Judgement::Mismatch, "{line:?}");
        }
        assert_eq!(judge_request(b"PRI * HTTP/2"), Judgement::Mismatch);
    }

    #[test]
    fn the_end_of_a_request_line_is_none() {
        for method in FAMILIAR_METHODS {
            let line = [method, b" / HTTP/1.1\r\n"].concat();
            assert_eq!(judge_familiar_request(&line), Judgement::Match);
            for begin in 1..=method.len() {
                assert_eq!(judge_familiar_request(&line[begin..]), Judgement::Mismatch);
                assert_eq!(judge_familiar_request(&line[..begin]), Judgement::Prefix);
            }
        }
    }

    #[test]
    fn status_lines_are_judged() {
        let line = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(judge_status(line), Judgement::Match);
        assert_eq!(judge_status(b"HTTP/1.0 404\r\n"), Judgement::Match);
        for end in 1..13 {
            assert_eq!(judge_status(&line[..end]), Judgement::Prefix);
        }
        for other in ["HTTP/2 200\r\n", "HTTP/1.1 2000", "HTTP/1.1 0", "ICY 200 OK", "+OK\r\n"] {
            assert_eq!(judge_status(other.as_bytes()), Judgement::Mismatch, "{other}");
        }
    }

    #[test]
    fn lines_are_taken_apart() {
        let parsed = parse_request_line(b"GET  /a b HTTP/1.0 ").unwrap();
        assert_eq!((parsed.target, parsed.version), (&b"/a b"[..], Version::Http10));
        let parsed = parse_request_line(b"get   /a\tHTTP/1.0 ").unwrap();
        assert_eq!(
            (parsed.method, parsed.target, parsed.version),
            (&b"get"[..], &b"/a"[..], Version::Http10)
        );
        assert_eq!(parse_status_line(b"HTTP/1.1 503"), Some((Version::Http11, 503)));
        assert_eq!(parse_status_line(b"http/1.1 200 ok"), Some((Version::Http11, 200)));
        assert_eq!(parse_status_line(b"HTTP/1.00 200"), Some((Version::Http10, 200)));
        assert_eq!(parse_status_line(b"HTTP/1. 200"), None);
        assert_eq!(parse_status_line(b"HTTP/2.0 200"), None);
        assert_eq!(parse_status_line(b"HTTP/1.1 50"), None);
        assert_eq!(parse_status_line(b"HTTP/1.1 099 x"), None);
    }
}
