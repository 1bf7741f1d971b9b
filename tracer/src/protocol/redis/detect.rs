//! Recognising a Redis connection, and which end of it is traced.
//!
//! Requests and replies overlap: an array of bulk strings can be either. Known commands with a fitting number of
//! arguments, the other direction, and who spoke first tell them apart; a port only where those do not.

use super::command::{MAX_NAME, decimal, is_word, lookup};
use super::inline::split_words;
use crate::event::{Endpoint, Role, Side};
use crate::protocol::{Opening, Verdict};

/// The registered port.
pub(crate) const PORT: u16 = 6379;
/// Longest first line that is waited for.
const MAX_LINE: usize = 512;

/// How much bytes look like one side of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// They cannot be.
    No,
    /// None yet, or too few.
    Open,
    /// An inline command: any text protocol may have such lines.
    Inline,
    /// Well formed.
    Plausible,
    /// A known command, well formed.
    Strong,
}

/// Judges the first bytes of a connection.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    match opening.role {
        Some(role) => as_role(opening, role),
        None => unknown_role(opening),
    }
}

fn as_role(opening: &Opening<'_>, role: Role) -> Verdict {
    let (request, reply) = grades(opening, role);
    match request {
        Grade::No => Verdict::NotForUs,
        // An old connection's first reply bytes may be the rest of a long one.
        Grade::Strong if !opening.fresh => Verdict::Certain(role),
        _ if reply == Grade::No => Verdict::NotForUs,
        Grade::Strong | Grade::Plausible => Verdict::Certain(role),
        // Others greet with `+OK` too (POP3); a Redis server never speaks first.
        Grade::Inline if reply == Grade::Plausible && !server_spoke_first(opening, role) => {
            Verdict::Certain(role)
        }
        Grade::Inline if reply == Grade::Plausible => Verdict::NotForUs,
        Grade::Inline | Grade::Open => Verdict::Unsure,
    }
}

fn server_spoke_first(opening: &Opening<'_>, role: Role) -> bool {
    opening.fresh && opening.ingress_first == Some(role == Role::Client)
}

fn unknown_role(opening: &Opening<'_>) -> Verdict {
    let client = as_role(opening, Role::Client);
    let server = as_role(opening, Role::Server);
    match (client, server) {
        (Verdict::NotForUs, other) | (other, Verdict::NotForUs) => alone(opening, other),
        (Verdict::Unsure, Verdict::Unsure) => Verdict::Unsure,
        _ => between(opening),
    }
}

/// Only one role fits. Bytes of one direction only could still be replies to something that was not seen.
fn alone(opening: &Opening<'_>, verdict: Verdict) -> Verdict {
    let both = !opening.ingress.is_empty() && !opening.egress.is_empty();
    match verdict {
        Verdict::Certain(_) if !both && !opening.fresh => Verdict::Unsure,
        verdict => verdict,
    }
}

/// Both roles fit: both directions look like commands, or one does and the other is silent.
fn between(opening: &Opening<'_>) -> Verdict {
    let request = |role| grades(opening, role).0;
    let (client, server) = (request(Role::Client), request(Role::Server));
    // The better request wins when both directions were seen: a list's elements seldom make a command.
    if client >= Grade::Plausible && server >= Grade::Plausible && client != server {
        return Verdict::Certain(if client > server { Role::Client } else { Role::Server });
    }
    // A server never speaks first.
    if let (true, Some(ingress_first)) = (opening.fresh, opening.ingress_first) {
        return Verdict::Certain(if ingress_first { Role::Server } else { Role::Client });
    }
    let strong = |role| request(role) == Grade::Strong;
    let port = |end: &Option<Endpoint>| end.as_ref().and_then(Endpoint::port);
    match (port(&opening.endpoints.peer), port(&opening.endpoints.local)) {
        (Some(PORT), local) if local != Some(PORT) && strong(Role::Client) => Verdict::Certain(Role::Client),
        (peer, Some(PORT)) if peer != Some(PORT) && strong(Role::Server) => Verdict::Certain(Role::Server),
        _ => Verdict::Unsure,
    }
}

fn grades(opening: &Opening<'_>, role: Role) -> (Grade, Grade) {
    (request(opening.bytes(role, Side::Request)), reply(opening.bytes(role, Side::Response)))
}

fn request(bytes: &[u8]) -> Grade {
    match bytes.first() {
        None => Grade::Open,
        Some(b'*') => array(bytes),
        Some(byte) if byte.is_ascii_alphabetic() => inline(bytes),
        Some(_) => Grade::No,
    }
}

/// `*3 $3 SET …`.
fn array(bytes: &[u8]) -> Grade {
    let words = match header(bytes, b'*') {
        Ok((words, rest)) if words > 0 => (words, rest),
        Ok(_) => return Grade::No,
        Err(grade) => return grade,
    };
    let (words, rest) = words;
    let (length, rest) = match header(rest, b'$') {
        Ok((length, rest)) => (length as usize, rest),
        Err(grade) => return grade,
    };
    if length == 0 || length > MAX_NAME {
        return Grade::No;
    }
    match (rest.get(..length), rest.get(length..length + 2)) {
        (Some(name), Some(b"\r\n")) if is_word(name) => match lookup(name) {
            Some(spec) if spec.accepts(words) => Grade::Strong,
            // A server answers it with an error, but a client can send it.
            _ => Grade::Plausible,
        },
        (Some(_), Some(_)) => Grade::No,
        _ if is_word(rest.get(..length).unwrap_or(rest)) || rest.is_empty() => Grade::Open,
        _ => Grade::No,
    }
}

/// The number in `*3\r\n`, and what follows; or how far an incomplete or false one goes.
fn header(bytes: &[u8], kind: u8) -> Result<(u64, &[u8]), Grade> {
    let Some((&first, rest)) = bytes.split_first() else { return Err(Grade::Open) };
    if first != kind {
        return Err(Grade::No);
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at(digits);
    match rest {
        [] | [b'\r'] if digits <= 10 => Err(Grade::Open),
        [b'\r', b'\n', rest @ ..] => {
            decimal(number).filter(|_| digits <= 10).map(|n| (n, rest)).ok_or(Grade::No)
        }
        _ => Err(Grade::No),
    }
}

fn inline(bytes: &[u8]) -> Grade {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        let readable =
            bytes.len() <= MAX_LINE && bytes.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\r');
        return if readable { Grade::Open } else { Grade::No };
    };
    let line = bytes.get(..end).unwrap_or_default();
    // Most lines are no command's: the name is looked up before the line is split.
    let mut blanks = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(spec) = blanks.next().and_then(lookup) else { return Grade::No };
    let is_http = blanks.next_back().is_some_and(|word| word.starts_with(b"HTTP/"));
    let words = split_words(line).len() as u64;
    if spec.accepts(words) && !is_http { Grade::Inline } else { Grade::No }
}

/// The first line of a reply.
fn reply(bytes: &[u8]) -> Grade {
    let Some((&kind, rest)) = bytes.split_first() else { return Grade::Open };
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let is_length = text.iter().all(u8::is_ascii_digit) || matches!(text, b"-" | b"-1" | b"?");
    let fits = match kind {
        b'+' => text.iter().all(|byte| !byte.is_ascii_control()),
        b'-' => {
            text.first().is_none_or(u8::is_ascii_alphabetic)
                && text.iter().all(|byte| !byte.is_ascii_control())
        }
        b':' | b'(' => {
            text.iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() || (at == 0 && *byte == b'-'))
        }
        b'$' | b'*' => is_length,
        b'!' | b'=' | b'%' | b'~' | b'>' | b'|' => is_length && text != b"-1",
        b'#' => matches!(text, b"" | b"t" | b"f"),
        b',' => text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eEinfa".contains(byte)),
        b'_' => text.is_empty(),
        _ => false,
    };
    let empty = text.is_empty() && !matches!(kind, b'+' | b'_');
    match end {
        _ if !fits => Grade::No,
        Some(at) if empty || rest.get(at..at + 2).is_some_and(|end| end != b"\r\n") => Grade::No,
        Some(at) if rest.len() >= at + 2 => Grade::Plausible,
        _ if bytes.len() > MAX_LINE => Grade::No,
        _ => Grade::Open,
    }
}
