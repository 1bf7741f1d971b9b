//! Whether a connection speaks HTTP/1, judged by its first bytes either way.

use super::line::{Judgement, judge_request, judge_status};
use crate::event::{Role, Side};
use crate::protocol::{Opening, Verdict};

/// Judges an opening. Evidence is a whole request line on one side or a status code on the other; the direction
/// that carries requests tells the role, whoever connected.
pub(super) fn detect(opening: &Opening<'_>) -> Verdict {
    if [opening.ingress, opening.egress].into_iter().any(is_other_protocol) {
        return Verdict::NotForUs;
    }
    let likely = opening.role.unwrap_or(match opening.ingress_first {
        Some(false) => Role::Client,
        _ => Role::Server,
    });
    let unlikely = match likely {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    match (judge(opening, likely), judge(opening, unlikely)) {
        (certain @ Verdict::Certain(_), _) | (_, certain @ Verdict::Certain(_)) => certain,
        (Verdict::Unsure, _) | (_, Verdict::Unsure) => Verdict::Unsure,
        _ => Verdict::NotForUs,
    }
}

/// Judges under the assumption that the traced process has `role`.
fn judge(opening: &Opening<'_>, role: Role) -> Verdict {
    let request = judge_request(opening.bytes(role, Side::Request));
    let response = judge_status(opening.bytes(role, Side::Response));
    match (request, response) {
        // From its first byte on, a connection must fit on both sides. An older one may have been met in the
        // middle of either side's body.
        (Judgement::Mismatch, _) | (_, Judgement::Mismatch) if opening.fresh => Verdict::NotForUs,
        (Judgement::Match, _) | (_, Judgement::Match) => Verdict::Certain(role),
        (Judgement::Mismatch, Judgement::Mismatch) => Verdict::NotForUs,
        _ => Verdict::Unsure,
    }
}

/// The preface of HTTP/2 (RFC 9113 section 3.4), or a TLS record (RFC 8446 section 5.1).
fn is_other_protocol(bytes: &[u8]) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Requests of HTTP/1 cannot go on like this after eleven bytes.
    let preface = bytes.len() > 11 && bytes.iter().zip(PREFACE).all(|(have, want)| have == want);
    preface || matches!(bytes, [0x14..=0x17, 3, 0..=4, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Endpoints;

    fn verdict(role: Option<Role>, fresh: bool, ingress: &[u8], egress: &[u8]) -> Verdict {
        let endpoints = Endpoints::default();
        let ingress_first = (!(ingress.is_empty() && egress.is_empty())).then_some(!ingress.is_empty());
        detect(&Opening { role, fresh, ingress, egress, ingress_first, endpoints: &endpoints })
    }

    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n";
    const BODY: &[u8] = b"{\"in\": \"the middle\"}";

    #[test]
    fn requests_tell_the_role() {
        assert_eq!(verdict(None, true, REQUEST, b""), Verdict::Certain(Role::Server));
        assert_eq!(verdict(None, true, b"", REQUEST), Verdict::Certain(Role::Client));
        assert_eq!(verdict(Some(Role::Client), true, b"", REQUEST), Verdict::Certain(Role::Client));
        assert_eq!(
            verdict(Some(Role::Client), true, REQUEST, b""),
            Verdict::Certain(Role::Server),
            "reversed"
        );
    }

    #[test]
    fn responses_suffice() {
        assert_eq!(verdict(None, false, RESPONSE, b""), Verdict::Certain(Role::Client));
        assert_eq!(verdict(None, false, BODY, RESPONSE), Verdict::Certain(Role::Server));
        assert_eq!(verdict(None, false, REQUEST, BODY), Verdict::Certain(Role::Server));
    }

    #[test]
    fn every_prefix_is_unsure() {
        for end in 0..REQUEST.len() - 1 {
            assert_eq!(verdict(None, true, &REQUEST[..end], b""), Verdict::Unsure, "{end}");
        }
        for end in 0..12 {
            assert_eq!(verdict(Some(Role::Client), false, &RESPONSE[..end], b""), Verdict::Unsure, "{end}");
        }
    }

    #[test]
    fn others_are_not_for_us() {
        for other in
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\x16\x03\x01\x02\0", b"*1\r\n$4\r\nPING\r\n", BODY]
        {
            assert_eq!(verdict(None, true, other, b""), Verdict::NotForUs);
            assert_eq!(verdict(None, true, b"", other), Verdict::NotForUs);
        }
        assert_eq!(verdict(None, false, b"\x17\x03\x03\0\x10", b""), Verdict::NotForUs);
        assert_eq!(
            verdict(None, true, b"J\0\0\0\x0a8.0.36", REQUEST),
            Verdict::NotForUs,
            "a greeting came first"
        );
        assert_eq!(verdict(None, false, BODY, BODY), Verdict::NotForUs);
        assert_eq!(verdict(None, false, BODY, b""), Verdict::Unsure, "the other side may tell");
    }
}
