//! Recognises MySQL and MariaDB connections.

use super::super::{Opening, Verdict};
use super::framer::{HEADER, header};
use super::packed;
use super::plausible::{self, Fit};
use super::reply::FIRST_SEQ;
use crate::event::{Role, Side};

/// Judges a connection's first bytes.
///
/// A fresh connection begins with the server's greeting. On an older one the evidence is a request: certain by
/// itself when it is SQL text, otherwise together with an answer that fits.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    let judge = |role| {
        let requests = opening.bytes(role, Side::Request);
        let responses = opening.bytes(role, Side::Response);
        if opening.fresh { fresh(requests, responses) } else { older(opening, role, requests, responses) }
    };
    let roles = match &opening.role {
        Some(role) => std::slice::from_ref(role),
        None => &[Role::Client, Role::Server],
    };
    let mut verdict = Verdict::NotForUs;
    for role in roles {
        match judge(*role) {
            Fit::Strong => return Verdict::Certain(*role),
            Fit::Open | Fit::Weak => verdict = Verdict::Unsure,
            Fit::No => {}
        }
    }
    verdict
}

fn fresh(requests: &[u8], responses: &[u8]) -> Fit {
    // The client's first packet answers the greeting, so its number is 1.
    let answers = requests.get(3).is_none_or(|seq| *seq == 1);
    if answers { plausible::greeting(responses) } else { Fit::No }
}

fn older(opening: &Opening<'_>, role: Role, requests: &[u8], responses: &[u8]) -> Fit {
    if requests.is_empty() {
        // The tail of an answer can look like anything.
        return Fit::Open;
    }
    let request = plausible::request(requests);
    if request == Fit::No {
        return compressed(requests, responses);
    }
    if request != Fit::Weak || responses.is_empty() {
        return request;
    }
    let ingress_is_response = opening.bytes(role, Side::Response).as_ptr() == opening.ingress.as_ptr();
    let response_first = opening.ingress_first.is_some_and(|ingress| ingress == ingress_is_response);
    match plausible::response(responses, Some(FIRST_SEQ)) {
        Fit::Weak if is_alone(requests) && !response_first => Fit::Strong,
        // What came before the request is not its answer.
        _ if response_first => Fit::Weak,
        Fit::No => Fit::No,
        _ => Fit::Weak,
    }
}

/// Compressed requests: certain when there is SQL text in one, or when the answer is compressed too.
fn compressed(requests: &[u8], responses: &[u8]) -> Fit {
    match packed::requests(requests) {
        Fit::Weak if packed::is_response(responses) => Fit::Strong,
        fit => fit,
    }
}

/// The request is whole and the only one, so that the answer is its own.
fn is_alone(requests: &[u8]) -> bool {
    header(requests).is_some_and(|(length, _)| requests.len() == HEADER + length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Endpoints;

    fn detect_with(
        role: Option<Role>,
        fresh: bool,
        ingress: &[u8],
        egress: &[u8],
        ingress_first: bool,
    ) -> Verdict {
        let endpoints = Endpoints::default();
        let ingress_first = Some(ingress_first);
        detect(&Opening { role, fresh, ingress, egress, ingress_first, endpoints: &endpoints })
    }

    const GREETING: &[u8] = b"\x4a\0\0\0\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xfe\xf7";
    const SELECT: &[u8] = b"\x09\0\0\0\x03select 1";
    const PING: &[u8] = b"\x01\0\0\0\x0e";
    const OK: &[u8] = b"\x07\0\0\x01\0\0\0\x02\0\0\0";

    #[test]
    fn a_greeting_tells_the_role() {
        assert_eq!(
            detect_with(Some(Role::Client), true, GREETING, b"", true),
            Verdict::Certain(Role::Client)
        );
        assert_eq!(
            detect_with(Some(Role::Server), true, b"", GREETING, false),
            Verdict::Certain(Role::Server)
        );
        assert_eq!(detect_with(None, true, GREETING, b"", true), Verdict::Certain(Role::Client));
        assert_eq!(detect_with(None, true, b"", GREETING, false), Verdict::Certain(Role::Server));
    }

    #[test]
    fn a_cut_greeting_is_not_yet_certain() {
        let certain = GREETING.len() - 2;
        for end in 0..GREETING.len() {
            let expected = if end < certain { Verdict::Unsure } else { Verdict::Certain(Role::Client) };
            assert_eq!(detect_with(Some(Role::Client), true, &GREETING[..end], b"", true), expected, "{end}");
        }
    }

    #[test]
    fn an_error_instead_of_a_greeting_is_recognised() {
        let refused = b"\x17\0\0\0\xff\x10\x04Too many connections";
        assert_eq!(detect_with(None, true, refused, b"", true), Verdict::Certain(Role::Client));
    }

    #[test]
    fn sql_text_suffices_on_an_older_connection() {
        assert_eq!(detect_with(None, false, b"", SELECT, false), Verdict::Certain(Role::Client));
        assert_eq!(detect_with(None, false, SELECT, b"", true), Verdict::Certain(Role::Server));
        let long = b"\xff\xff\0\0\x03 /* hint */ INSERT INTO t VALUES (";
        assert_eq!(detect_with(None, false, b"", long, false), Verdict::Certain(Role::Client));
        let attributed = b"\x0b\0\0\0\x03\0\x01SELECT 1";
        assert_eq!(detect_with(None, false, b"", attributed, false), Verdict::Certain(Role::Client));
    }

    #[test]
    fn other_commands_need_their_answer() {
        assert_eq!(detect_with(None, false, b"", PING, false), Verdict::Unsure);
        assert_eq!(detect_with(None, false, OK, PING, false), Verdict::Certain(Role::Client));
        assert_eq!(detect_with(None, false, PING, OK, true), Verdict::Certain(Role::Server));
        // The OK was there before the ping: it is not its answer.
        assert_eq!(detect_with(None, false, OK, PING, true), Verdict::Unsure);
        assert_eq!(detect_with(Some(Role::Client), false, b"+PONG\r\n", PING, false), Verdict::NotForUs);
    }

    #[test]
    fn a_response_alone_decides_nothing() {
        assert_eq!(detect_with(None, false, OK, b"", true), Verdict::Unsure);
    }

    #[test]
    fn other_protocols_are_left_alone() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"*1\r\n$4\r\nPING\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        ] {
            assert_eq!(detect_with(Some(Role::Client), true, b"", bytes, false), Verdict::NotForUs);
            assert_eq!(detect_with(Some(Role::Client), false, b"", bytes, false), Verdict::NotForUs);
            assert_eq!(detect_with(Some(Role::Server), true, bytes, b"", true), Verdict::NotForUs);
        }
    }
}
