//! One message flow a test: what is told of it.

use super::*;
use crate::protocol::http::{MAX_HEAD, MAX_OPEN, Version};
use crate::protocol::{HealthCheck, Successor, TraceHeaders, Window};
use Side::{Request, Response};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn one_exchange() {
    let mut tap = Tap::new(true);
    tap.request(GET).response(OK);
    let [begun, context, touched, ended] = tap.out.as_slice() else { panic!("{:?}", tap.out) };
    assert!(matches!(begun, Progress::Begun { id: 0, mark } if mark.call == 1));
    assert!(
        matches!(context, Progress::Context { id: 0, headers, health: None, .. } if *headers == TraceHeaders::default())
    );
    assert!(matches!(touched, Progress::Touched { id: 0, side: Response, mark } if mark.call == 2));
    assert!(matches!(ended, Progress::Ended { id: 0, .. }));
    let (exchange, detail) = tap.ended()[0];
    let times = exchange.times;
    assert_eq!((times.request_first.call, times.request_last.call), (1, 1));
    assert_eq!((times.response_first.map(|mark| mark.call), times.end.call), (Some(2), 2));
    assert_eq!((detail.host.as_deref(), detail.version), (Some("x"), Version::Http11));
    assert_eq!(tap.told(), ["GET /a 200 0/2"]);
    tap.close();
}

#[test]
fn marks_follow_the_bytes() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nContent-").request("Length: 4\r\n\r\nab").request("cd");
    tap.response("HTTP/1.1 100 Continue\r\n\r\n").response("HTTP/1.1 200 OK\r\nConte");
    tap.response("nt-Length: 3\r\n\r\nx").response("yz");
    let times = tap.ended()[0].0.times;
    assert_eq!((times.request_first.call, times.request_last.call), (1, 3));
    assert_eq!((times.response_first.map(|mark| mark.call), times.end.call), (Some(5), 7));
    assert_eq!(tap.told(), ["POST /a 200 4/3"]);
    tap.close();
}

#[test]
fn keep_alive_and_http10() {
    let mut tap = Tap::new(true);
    tap.request(GET).response(OK).request("GET /b HTTP/1.0\nConnection: keep-alive\n\n");
    tap.response("HTTP/1.0 200 OK\nContent-Length: 1\n\nx");
    assert_eq!(tap.told(), ["GET /a 200 0/2", "GET /b 200 0/1"]);
    assert_eq!(tap.ended()[1].1.version, Version::Http10);
}

#[test]
fn pipelining_pairs_in_order() {
    let mut tap = Tap::new(true);
    tap.request(
        "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\n.GET /c HTTP/1.1\r\n\r\n",
    );
    tap.response(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    );
    tap.response("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\n...");
    assert_eq!(tap.told(), ["GET /a 200 0/1", "POST /b 404 1/0", "GET /c 500 0/3"]);
    tap.close();
}

#[test]
fn the_queue_is_bounded() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HTTP/1.1\r\n\r\n".repeat(MAX_OPEN + 3));
    assert_eq!(tap.told(), ["Limit"].repeat(3));
    tap.response(OK.repeat(MAX_OPEN + 3)).request(GET);
    let ended = tap.ended().len();
    assert_eq!(ended, MAX_OPEN);
    tap.close();
}

#[test]
fn chunked_both_ways() {
    let mut tap = Tap::new(true);
    tap.request(
        "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    );
    tap.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n");
    tap.response("a\r\n0123456789\r\n").response("0\r\n\r\n");
    assert_eq!(tap.told(), ["POST /a 200 3/10"]);
    assert_eq!(tap.ended()[0].0.times.end.call, 4);
}

#[test]
fn close_delimited() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HTTP/1.0\r\n\r\n").response("HTTP/1.0 200 OK\r\n\r\nhello ").response("world");
    tap.gap(Response, 100);
    assert_eq!(tap.told(), [""; 0]);
    tap.end(Response, End::Finished);
    assert_eq!(tap.told(), ["GET /a 200 0/111"]);
    assert_eq!(tap.ended()[0].0.times.end.call, 3);
    tap.close();

    let mut tap = Tap::new(true);
    tap.request(GET).response("HTTP/1.1 200 OK\r\n\r\nhello").close();
    assert_eq!(tap.told(), ["GET /a 200 0/5"], "the server closes");
    let mut tap = Tap::with_role(Role::Client, true);
    tap.request(GET).response("HTTP/1.1 200 OK\r\n\r\nhello").close();
    assert_eq!(tap.told(), ["GET /a 200 0/- client_closed"], "more may have been to come");
}

#[test]
fn responses_without_bodies() {
    let mut tap = Tap::new(true);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
    tap.request("HEAD /a HTTP/1.1\r\n\r\n").response(head);
    tap.request("GET /b HTTP/1.1\r\n\r\n")
        .response("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    tap.request("PUT /c HTTP/1.1\r\nContent-Length: 0\r\n\r\n").response("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(tap.told(), ["HEAD /a 200 0/0", "GET /b 304 0/0", "PUT /c 204 0/0"]);
}

#[test]
fn interim_responses_are_not_the_response() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    tap.response("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").request("hi");
    tap.response(OK);
    assert_eq!(tap.told(), ["POST /a 200 2/2"]);
    assert_eq!(tap.ended()[0].0.times.response_first.map(|mark| mark.call), Some(4));
}

#[test]
fn a_refused_body_need_not_come() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n");
    tap.response("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").request(GET).response(OK);
    assert_eq!(tap.told(), ["POST /a 417 -/0", "GET /a 200 0/2"]);
}

#[test]
fn a_response_can_come_before_the_request_ends() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nab");
    tap.response("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\n").request("cd").response("no!");
    assert_eq!(tap.told(), ["POST /a 413 -/3"]);
    assert_eq!(tap.ended()[0].0.times.request_last.call, 3);
    tap.request("ef").request(GET).response(OK);
    assert_eq!(tap.told(), ["POST /a 413 -/3", "GET /a 200 0/2"]);
    tap.close();
}

#[test]
fn a_response_to_a_head_that_is_not_complete() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HTTP/1.1\r\nX: ").response("HTTP/1.1 431 Large\r\nContent-Length: 0\r\n\r\n").close();
    assert_eq!(tap.told(), ["GET /a 431 -/0"]);
    let mut tap = Tap::new(true);
    tap.request("GET /a").response("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n").close();
    assert_eq!(tap.told(), ["Malformed"], "nothing is known of the request");
}

#[test]
fn upgrades_end_in_silence() {
    let mut tap = Tap::new(true);
    tap.request("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(tap.conversation.window(), Window::Default);
    tap.response("HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02");
    tap.request(GET).response(OK).gap(Request, 5);
    assert_eq!(tap.told(), ["GET /ws 101 0/-"]);
    assert_eq!(tap.conversation.window(), Window::Nothing);
    tap.close();
}

#[test]
fn connect() {
    let mut tap = Tap::new(true);
    tap.request("CONNECT a.example:443 HTTP/1.1\r\n\r\n")
        .response("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    tap.request("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
    tap.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .request("\x16\x03\x01")
        .response("\x16");
    assert_eq!(tap.told(), ["CONNECT a.example:443 407 0/0", "CONNECT a.example:443 200 0/-"]);
    assert_eq!(tap.conversation.window(), Window::Nothing);
}

#[test]
fn targets_and_methods_as_they_come() {
    let mut tap = Tap::new(true);
    for line in ["OPTIONS *", "GET http://u@h:81/x?y", "x-own /caf\u{e9}"] {
        tap.request(format!("\r\n{line} HTTP/1.1\r\n\r\n")).response(OK);
    }
    assert_eq!(
        tap.told(),
        ["OPTIONS * 200 0/2", "GET http://u@h:81/x?y 200 0/2", "x-own /caf\u{e9} 200 0/2"]
    );
}

#[test]
fn trace_context_is_told_with_the_head() {
    let mut tap = Tap::new(true);
    tap.request(
        "GET / HTTP/1.1\r\nTraceParent: 00-a\r\nTRACESTATE: a=1\r\ntracestate:\r\ntracestate: b=2 \r\n",
    );
    assert_eq!(tap.contexts(), []);
    tap.request("\r\n").response(OK);
    tap.request("GET / HTTP/1.1\r\ntraceparent: 00-a\r\ntraceparent: 00-b\r\n\r\n").response(OK).close();
    assert_eq!(tap.contexts(), [(Some("00-a"), Some("a=1,b=2")), (Some(""), None)]);
}

#[test]
fn otlp_exports_are_recognised() {
    let mut tap = Tap::new(true);
    let post =
        |path, kind| format!("POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n");
    tap.request(post("/v1/traces", "application/x-protobuf")).response(OK);
    tap.request(post("/otlp/v1/logs?x", "application/json; charset=utf-8")).response(OK);
    tap.request(post("/v1/metrics", "text/plain")).response(OK);
    tap.request(post("/v1/tracesx", "application/json")).response(OK);
    let flags: Vec<_> = tap.ended().iter().map(|(_, detail)| detail.otlp_export).collect();
    assert_eq!(flags, [true, true, false, false]);
}

#[test]
fn big_heads_and_heads_too_big() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HTTP/1.1\r\n");
    for _ in 0..60 {
        tap.request(format!("Cookie: {}\r\n", "c".repeat(1000)));
    }
    tap.request("\r\n").response(OK);
    assert_eq!(tap.told(), ["GET /a 200 0/2"]);

    tap.request(format!("GET /a HTTP/1.1\r\nCookie: {}", "c".repeat(MAX_HEAD)));
    tap.response("HTTP/1.1 431 No\r\nContent-Length: 0\r\n\r\n").request(GET).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2", "Limit", "GET /a 200 0/2"]);
}

#[test]
fn early_ends() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let ended = |role, response: &str, ends: &[(Side, End)]| {
        let mut tap = Tap::with_role(role, true);
        tap.request(GET).response(response);
        for (side, end) in ends {
            tap.end(*side, *end);
        }
        tap.close().told()
    };
    assert_eq!(ended(Role::Server, "", &[]), ["GET /a - 0/- server_closed"]);
    assert_eq!(ended(Role::Client, "", &[]), ["GET /a - 0/- client_closed"]);
    assert_eq!(ended(Role::Client, "", &[(Response, End::Finished)]), ["GET /a - 0/- server_closed"]);
    assert_eq!(
        ended(Role::Client, half, &[(Response, End::Failed(104))]),
        ["GET /a 200 0/- connection_reset"]
    );
    assert_eq!(ended(Role::Server, half, &[(Response, End::Failed(32))]), ["GET /a 200 0/- broken_pipe"]);
    assert_eq!(ended(Role::Server, half, &[(Request, End::Finished)]), ["GET /a 200 0/- client_closed"]);
    assert_eq!(ended(Role::Server, OK, &[(Request, End::Finished)]), ["GET /a 200 0/2"]);
    let half_closed = [(Request, End::Finished), (Response, End::Finished)];
    assert_eq!(ended(Role::Client, half, &half_closed), ["GET /a 200 0/- server_closed"]);
}

#[test]
fn an_end_that_nobody_tells() {
    let forgotten = |role, response: &str| {
        let mut tap = Tap::with_role(role, true);
        tap.request(GET).request(GET).request("GET /b HTTP/1.1\r\nHo").response(response);
        tap.end(Request, End::Forgotten).end(Response, End::Forgotten).check_closed();
        tap.told()
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let (answered, open) = ("GET /a 200 0/- cut_short", "GET /a - 0/- cut_short");
    for role in [Role::Client, Role::Server] {
        assert_eq!(forgotten(role, head), [answered, open, "Forgotten"]);
        assert_eq!(forgotten(role, &format!("{head}half")), [answered, open, "Forgotten"]);
        assert_eq!(forgotten(role, "HTTP/1.1 200 OK\r\nContent-"), [open, open, "Forgotten"]);
        assert_eq!(forgotten(role, ""), [open, open, "Forgotten"]);
        let until_close = "HTTP/1.0 200 OK\r\n\r\nmore may come";
        assert_eq!(forgotten(role, until_close), [answered, open, "Forgotten"]);
    }
    let mut tap = Tap::with_role(Role::Server, true);
    tap.conversation.expect_no_end();
    tap.request(GET).response("HTTP/1.0 200 OK\r\n\r\nall of it");
    tap.end(Request, End::Forgotten).end(Response, End::Forgotten).check_closed();
    assert_eq!(tap.told(), ["GET /a 200 0/9"], "there it is over as far as anybody can tell");
}

#[test]
fn what_was_open_when_events_were_lost_may_be_over() {
    let mut tap = Tap::with_role(Role::Server, true);
    tap.request(GET).response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    tap.end(Request, End::Lost).end(Response, End::Lost).check_closed();
    assert_eq!(tap.told(), ["Forgotten"]);
}

#[test]
fn a_client_can_finish_before_it_is_answered() {
    let mut tap = Tap::new(true);
    tap.request(GET).end(Request, End::Finished).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2"]);
}

#[test]
fn requests_that_never_were() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HT").close();
    assert_eq!(tap.told(), ["Malformed"]);
    let mut tap = Tap::new(true);
    tap.request("\0\0garbage\n\n").request(GET).response(OK).request(GET).response(OK).close();
    assert_eq!(tap.told(), ["Malformed", "Gap", "GET /a 200 0/2"]);
}

#[test]
fn an_early_response_waits_for_its_request() {
    let mut tap = Tap::with_role(Role::Client, true);
    tap.request(GET).response(OK);
    tap.response("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        .request("HEAD /b HTTP/1.1\r\n")
        .request("\r\n");
    tap.request("GET /c HTTP/1.1\r\n\r\n").response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2", "HEAD /b 200 0/0", "GET /c 200 0/2"]);
    assert_eq!(tap.ended()[1].0.times.response_first.map(|mark| mark.call), Some(3));
}

#[test]
fn early_responses_are_not_held_without_end() {
    let mut tap = Tap::with_role(Role::Client, true);
    let big = format!("HTTP/1.1 201 OK\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
    tap.request(GET).response(OK).response(&big).request("GET /late HTTP/1.1\r\n\r\n");
    tap.request(GET).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2", "Gap", "GET /a 200 0/2"]);
}

#[test]
fn the_fields_of_interest() {
    let mut tap = Tap::new(true);
    tap.request(
        "GET / HTTP/1.1\r\nHOST : h:1\r\nUser-Agent:curl\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n\
         X-Forwarded-Proto: https\r\nCookie: secret\r\nAuthorization: Basic secret\r\n folded: secret\r\n\r\n",
    );
    tap.response(OK);
    let detail = tap.ended()[0].1;
    assert_eq!((detail.host.as_deref(), detail.user_agent.as_deref()), (Some("h:1"), Some("curl")));
    assert_eq!(detail.forwarded.client.as_deref(), Some("192.0.2.7"));
    assert_eq!(detail.forwarded.proto.as_deref(), Some("https"));
    assert!(!format!("{detail:?}").contains("secret"));
}

#[test]
fn odd_lengths() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nhi").response(OK);
    tap.request("POST /b HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!");
    tap.response("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n").request(GET).response(OK).close();
    assert_eq!(tap.told(), ["POST /a 200 2/2", "POST /b 400 -/0", "GET /a 200 0/2"]);
}

#[test]
fn folded_fields_are_one_line() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nX: y\r\n z\r\nTransfer-Encoding:\r\n\tchunked\r\nHost: h\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    tap.response(OK);
    tap.request("POST /b HTTP/1.1\r\nUser-Agent: a\r\n").request(" b\r\n").request("Content-Length: 1\r\n");
    tap.request("\r\n").request("x").response(OK).request(GET).response(OK);
    assert_eq!(tap.told(), ["POST /a 200 1/2", "POST /b 200 1/2", "GET /a 200 0/2"]);
    assert_eq!(tap.ended()[0].1.host.as_deref(), Some("h"));
    assert_eq!(tap.ended()[1].1.user_agent.as_deref(), Some("a  b"));
}

#[test]
fn what_comes_after_an_upgrade_is_told() {
    let successor = |request: &str, response: &str| {
        let mut tap = Tap::new(true);
        tap.request(request).response(response);
        tap.conversation.successor()
    };
    let upgrade =
        |to: &str| format!("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: {to}\r\n\r\n");
    assert_eq!(successor(GET, &upgrade("h2c")), Some(Successor::Http2));
    assert_eq!(successor(GET, &upgrade("websocket")), Some(Successor::Other));
    assert_eq!(successor("CONNECT h:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"), Some(Successor::Other));
    assert_eq!(successor(GET, "HTTP/1.1 426 No\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"), None);
}

#[test]
fn health_checks_are_told() {
    let told = |request: &str| {
        let mut tap = Tap::new(true);
        tap.request(request);
        let context = tap.out.iter().find_map(|progress| match progress {
            Progress::Context { health, .. } => Some(*health),
            _ => None,
        });
        context.expect("a context")
    };
    let head =
        |line: &str, agent: &str| told(&format!("{line} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n"));
    assert_eq!(head("GET /any", "kube-probe/1.33"), Some(HealthCheck::Prober));
    assert_eq!(head("GET /healthz?verbose", "curl/8"), Some(HealthCheck::Path));
    assert_eq!(head("POST /healthz", "curl/8"), None);
    assert_eq!(head("GET /healthz/x", "not kube-probe/1"), None);
}
