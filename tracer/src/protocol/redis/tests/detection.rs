//! Which connections are ours, and which end is traced.

use super::*;
use crate::event::{Address, Endpoints, Role};
use crate::protocol::{Opening, Verdict};

fn detect(role: Option<Role>, fresh: bool, ingress: &[u8], egress: &[u8], first: Option<bool>) -> Verdict {
    let endpoints = Endpoints::default();
    (PROTOCOL.detect)(&Opening { role, fresh, ingress, egress, ingress_first: first, endpoints: &endpoints })
}

fn at_port(local: u16, peer: u16, ingress: &[u8], egress: &[u8]) -> Verdict {
    let address = |port| Some(Address::Ip(([127, 0, 0, 1], port).into()).into());
    let endpoints = Endpoints { local: address(local), peer: address(peer), unix: false };
    (PROTOCOL.detect)(&Opening {
        role: None,
        fresh: false,
        ingress,
        egress,
        ingress_first: None,
        endpoints: &endpoints,
    })
}

const CLIENT: Verdict = Verdict::Certain(Role::Client);
const SERVER: Verdict = Verdict::Certain(Role::Server);
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
const LIST: &[u8] = b"*2\r\n$1\r\na\r\n$1\r\nb\r\n";

#[test]
fn a_known_role_needs_a_request() {
    assert_eq!(detect(Some(Role::Client), true, b"", SET, Some(false)), CLIENT);
    assert_eq!(detect(Some(Role::Server), true, SET, b"", Some(true)), SERVER);
    assert_eq!(detect(Some(Role::Client), true, b"", b"*2\r\n$7\r\nMY.VERB\r\n$1\r\n", Some(false)), CLIENT);
    assert_eq!(detect(Some(Role::Client), false, b"+OK\r\n", b"", Some(true)), Verdict::Unsure);
    assert_eq!(detect(Some(Role::Client), false, b"rest of a value\r\n", SET, Some(true)), CLIENT);
}

#[test]
fn incomplete_is_unsure() {
    for end in 0..SET.len() {
        let verdict = detect(Some(Role::Client), true, b"", &SET[..end], None);
        let expected = if end < 13 { Verdict::Unsure } else { CLIENT };
        assert_eq!(verdict, expected, "{end}");
        assert_eq!(detect(None, false, b"", &SET[..end], None), Verdict::Unsure, "{end}");
    }
}

#[test]
fn the_other_direction_tells_the_role() {
    for reply in
        [&b"+OK\r\n"[..], b"$-1\r\n", b":1\r\n", b"-ERR x\r\n", LIST, b"_\r\n", b"%1\r\n+a\r\n:1\r\n"]
    {
        assert_eq!(detect(None, false, reply, SET, None), CLIENT);
        assert_eq!(detect(None, false, SET, reply, None), SERVER);
    }
}

#[test]
fn an_array_alone_may_be_a_reply() {
    assert_eq!(detect(None, false, b"", SET, Some(false)), Verdict::Unsure);
    assert_eq!(detect(None, true, b"", SET, Some(false)), CLIENT, "a server never speaks first");
    assert_eq!(at_port(50_000, 6379, b"", SET), CLIENT, "the port breaks the tie");
    assert_eq!(at_port(6379, 50_000, SET, b""), SERVER);
    assert_eq!(at_port(50_000, 6379, SET, b""), Verdict::Unsure, "it does not decide against the bytes");
}

#[test]
fn an_inline_command_needs_a_reply() {
    assert_eq!(detect(Some(Role::Client), true, b"", b"PING\r\n", Some(false)), Verdict::Unsure);
    assert_eq!(detect(Some(Role::Client), true, b"+PONG\r\n", b"PING\r\n", Some(false)), CLIENT);
    assert_eq!(detect(None, false, b"PING\r\n", b"+PONG\r\n", None), SERVER);
    let quoted = b"PUBLISH news \"two words\"\r\n";
    assert_eq!(detect(Some(Role::Client), true, b":2\r\n", quoted, Some(false)), CLIENT, "three words");
    assert_eq!(
        detect(Some(Role::Client), true, b"VALUE k 0 1\r\n", b"get k\r\n", Some(false)),
        Verdict::NotForUs
    );
}

#[test]
fn other_protocols_are_not_ours() {
    let greeting = b"\x4a\0\0\0\x0a5.5.5-10.11.6-MariaDB\0";
    let cases: &[(&[u8], &[u8])] = &[
        (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"", b"POST /api HTTP/1.1\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"GET /a HTTP/1.1\r\n\r\n"),
        (greeting, b""),
        (b"*\0\0\0\x0a5.7\0", b""),
        (greeting, b"\x20\0\0\x01\x85\xa6"),
        (b"", b"\x16\x03\x01\x02\0\x01"),
        (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (b"220 mail ESMTP\r\n", b"EHLO me\r\n"),
        (b"INFO {}\r\n", b"CONNECT {}\r\n"),
        (b"", b"*1\r\n$3\r\n\x01\x02\x03\r\n"),
        (b"", b"$3\r\nSET\r\n"),
    ];
    for (ingress, egress) in cases {
        let verdict = detect(Some(Role::Client), true, ingress, egress, None);
        assert_eq!(verdict, Verdict::NotForUs, "{} / {}", egress.escape_ascii(), ingress.escape_ascii());
        // Sent by a server, the last two are replies.
        let verdict = detect(None, false, ingress, egress, None);
        let is_reply = egress.starts_with(b"*") || egress.starts_with(b"$");
        assert_eq!(verdict == Verdict::Unsure, is_reply, "{}", egress.escape_ascii());
    }
}

#[test]
fn recordings_are_ours_in_both_roles() {
    for (name, _) in FIXTURES {
        let calls = fixture(name);
        let bytes = |wanted| {
            let of_side = calls.iter().take(8).filter(|(side, _)| *side == wanted);
            of_side.flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<u8>>()
        };
        let (requests, replies) = (bytes(Side::Request), bytes(Side::Response));
        if requests.starts_with(b"\r\n") {
            continue;
        }
        assert_eq!(detect(None, false, &replies, &requests, None), CLIENT, "{name}");
        assert_eq!(detect(None, true, &requests, &replies, Some(true)), SERVER, "{name}");
    }
}
