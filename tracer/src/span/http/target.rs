//! Request targets (RFC 9112 section 3.2) and authorities (RFC 3986 section 3.2) taken apart.

use std::borrow::Cow;

/// The parts of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Only in absolute form.
    pub(super) scheme: Option<&'a str>,
    /// In absolute form and authority form, userinfo included.
    pub(super) authority: Option<&'a str>,
    /// Absent in authority form; `*` in asterisk form.
    pub(super) path: Option<&'a str>,
    /// What follows the question mark.
    pub(super) query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes `target` apart as a request with `method` means it.
    pub(super) fn parse(method: &str, target: &'a str) -> Self {
        if method == "CONNECT" {
            return Self { authority: Some(target), ..Self::default() };
        }
        // A fragment does not belong here (section 3.2.1), but some clients send one.
        let target =
            memchr::memchr(b'#', target.as_bytes()).and_then(|end| target.get(..end)).unwrap_or(target);
        if target.starts_with('/') {
            return Self::with_path(target);
        }
        match target.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
                let parts = Self::with_path(path);
                let path = parts.path.filter(|path| !path.is_empty()).or(Some("/"));
                Self { scheme: Some(scheme), authority: Some(authority), path, ..parts }
            }
            _ => Self::with_path(target),
        }
    }

    fn with_path(path: &'a str) -> Self {
        let mark = memchr::memchr(b'?', path.as_bytes());
        match mark.and_then(|mark| Some((path.get(..mark)?, path.get(mark + 1..)?))) {
            Some((path, query)) => Self { path: Some(path), query: Some(query), ..Self::default() },
            None => Self { path: Some(path), ..Self::default() },
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

/// A part of a text that may be given up for it: then its beginning needs no copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many of its first bytes.
    Beginning(usize),
    /// Something else.
    Copied(String),
}

impl Part {
    /// `part`, which may be the beginning of `whole`.
    pub(super) fn new(part: Cow<'_, str>, whole: &str) -> Self {
        match part {
            Cow::Borrowed(part) if std::ptr::eq(part.as_ptr(), whole.as_ptr()) => Self::Beginning(part.len()),
            part => Self::Copied(part.into_owned()),
        }
    }

    /// The part of the `whole` that it was taken from.
    pub(super) fn of(self, mut whole: String) -> String {
        match self {
            Self::Beginning(length) => {
                whole.truncate(length);
                whole
            }
            Self::Copied(text) => text,
        }
    }
}

/// A host and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostPort<'a> {
    /// Name or address; IPv6 without brackets.
    pub(super) name: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Takes `host`, `host:port`, `[v6]` or `[v6]:port` apart; userinfo before an `@` is left out. `None` if it
    /// is none of these.
    pub(super) fn parse(authority: &'a str) -> Option<Self> {
        let host = match memchr::memrchr(b'@', authority.as_bytes()) {
            Some(at) => authority.get(at + 1..).unwrap_or_default(),
            None => authority,
        };
        let host = host.trim_ascii();
        let (name, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']')?;
                (name, rest.strip_prefix(':'))
            }
            None => match memchr::memchr(b':', host.as_bytes()) {
                Some(colon) => (host.get(..colon)?, host.get(colon + 1..)),
                None => (host, None),
            },
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) => Some(digits.parse().ok()?),
        };
        let odd = |byte: u8| byte <= b' ' || matches!(byte, b'/' | b'\\' | b'?' | b'#' | b',');
        let sound = !name.is_empty() && !name.bytes().any(odd);
        sound.then_some(Self { name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms() {
        let origin = Target::parse("GET", "/a/b?x=1?2#f");
        assert_eq!(origin, Target { path: Some("/a/b"), query: Some("x=1?2"), ..Target::default() });
        let absolute = Target::parse("GET", "http://u:p@h.example:81?q");
        assert_eq!((absolute.scheme, absolute.authority), (Some("http"), Some("u:p@h.example:81")));
        assert_eq!((absolute.path, absolute.query), (Some("/"), Some("q")));
        assert_eq!(Target::parse("CONNECT", "h:443").authority, Some("h:443"));
        assert_eq!(Target::parse("OPTIONS", "*").path, Some("*"));
        assert_eq!(Target::parse("GET", "/go?to=http://x/").path, Some("/go"));
    }

    #[test]
    fn a_beginning_is_kept_and_all_else_copied() {
        let whole = "/a?b=1".to_owned();
        let part = Part::new(Cow::Borrowed(&whole[..2]), &whole);
        assert_eq!(part, Part::Beginning(2));
        assert_eq!(part.of(whole.clone()), "/a");
        for other in [Cow::Borrowed(&whole[1..2]), Cow::Owned("a".to_owned())] {
            assert_eq!(Part::new(other, &whole).of(whole.clone()), "a");
        }
    }

    #[test]
    fn hosts() {
        let parse = |text| HostPort::parse(text).map(|host| (host.name, host.port));
        assert_eq!(parse("a.example"), Some(("a.example", None)));
        assert_eq!(parse("u:p@a.example:8080"), Some(("a.example", Some(8080))));
        assert_eq!(parse("[2001:db8::1]:80"), Some(("2001:db8::1", Some(80))));
        assert_eq!(parse("[::1]"), Some(("::1", None)));
        for bad in ["", ":80", "a:99999", "a b", "[::1", "a/b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
