//! One gap a test: what survives it.

use super::*;
use Side::{Request, Response};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKS: &str = "HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn bodies_of_known_length_have_no_gaps() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nxx").gap(Request, 90).part(
        Request,
        b"12345678",
        false,
    );
    tap.response("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n").call += 1;
    tap.gap(Response, 50).request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["POST /a 200 100/50", "GET /next 200 0/2"]);
    assert_eq!(tap.ended()[0].0.times.end.call, 3, "sendfile ends the response");
}

#[test]
fn a_gap_in_a_chunked_response() {
    let mut tap = Tap::new(true);
    tap.request(GET).response(CHUNKS).gap(Response, 99).part(Response, b"tail\r\n", false);
    assert_eq!(tap.told(), [""; 0]);
    tap.request(NEXT);
    assert_eq!(tap.told(), ["GET /a 201 0/-"]);
    tap.response(OK).close();
    assert_eq!(tap.told(), ["GET /a 201 0/-", "GET /next 200 0/2"]);
    assert_eq!(tap.ended()[0].0.times.end.call, 2);

    let mut tap = Tap::new(true);
    tap.request(GET).response(CHUNKS).gap(Response, 99).part(Response, b"tail\r\n0\r\n\r\n", false);
    assert_eq!(tap.told(), ["GET /a 201 0/-"], "the last chunk");
    tap.request(NEXT).response(CHUNKS).gap(Response, 99).response("5\r\n0\r\n\r\n\r\n");
    assert_eq!(tap.told(), ["GET /a 201 0/-"], "data that looks like it");
    tap.response("0\r\n\r\n").request(GET).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 201 0/-", "GET /next 201 0/-", "GET /a 200 0/2"]);

    let mut tap = Tap::new(true);
    tap.request(GET).response(CHUNKS).gap(Response, 99).close();
    assert_eq!(tap.told(), ["GET /a 201 0/-"]);
}

#[test]
fn a_gap_inside_one_chunk_loses_nothing() {
    let mut tap = Tap::new(true);
    tap.request(GET).response(CHUNKS).response("64\r\n12345").gap(Response, 90);
    tap.part(Response, b"12345\r\n0\r\n\r\n", false).request(NEXT);
    tap.response(CHUNKS).response("64\r\n").gap(Response, 100).response("\r\n0\r\n\r\n").close();
    assert_eq!(tap.told(), ["GET /a 201 0/100", "GET /next 201 0/100"]);
}

#[test]
fn a_gap_in_a_chunked_request() {
    let mut tap = Tap::new(true);
    tap.request("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").gap(Request, 99);
    tap.part(Request, b"tail", false).request("more").gap(Request, 99);
    tap.response(OK).request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["POST /a 200 -/2", "GET /next 200 0/2"]);
}

#[test]
fn a_gap_in_a_requests_head() {
    let mut tap = Tap::new(true);
    tap.request("GET /a HTTP/1.1\r\nHost: x\r\nCoo").gap(Request, 9).part(Request, b"kie: x\r\n\r\n", false);
    tap.response(OK).request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 -/2", "GET /next 200 0/2"], "the request line is known");
    assert_eq!(tap.ended()[0].1.host.as_deref(), Some("x"));

    let mut tap = Tap::new(true);
    tap.request("GET /a HTT").gap(Request, 9).part(Request, b"st: x\r\n\r\n", false);
    tap.response(OK).request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["Gap", "GET /next 200 0/2"]);
}

#[test]
fn a_gap_in_a_responses_head() {
    let mut tap = Tap::new(true);
    tap.request(GET).response("HTTP/1.1 200 O").gap(Response, 9).part(Response, b"\r\n\r\nxx", false);
    tap.request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["Gap", "GET /next 200 0/2"]);

    // Behind the status line only the response's end is unknown: what comes next tells that it was before.
    let mut tap = Tap::new(true);
    tap.request(GET).response("HTTP/1.1 404 No\r\nContent-Len").gap(Response, 9);
    tap.part(Response, b"0\r\n\r\nno", false).response("more").request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 404 0/-", "GET /next 200 0/2"]);
    assert_eq!(tap.ended()[0].0.times.end.call, 3);
    let mut tap = Tap::new(true);
    tap.request(GET).response("HTTP/1.1 404 No\r\nCon").gap(Response, 9).close();
    assert_eq!(tap.told(), ["GET /a 404 0/-"]);
    // An interim response is not the one.
    let mut tap = Tap::new(true);
    tap.request(GET)
        .response("HTTP/1.1 103 Hints\r\nLink")
        .gap(Response, 9)
        .request(NEXT)
        .response(OK)
        .close();
    assert_eq!(tap.told(), ["Gap", "GET /next 200 0/2"]);
    // Nor is one of several that the client asked for: the others' responses may have been lost too.
    let mut tap = Tap::new(true);
    tap.request([GET, NEXT].concat())
        .response("HTTP/1.1 404 No\r\nCon")
        .gap(Response, 9)
        .response(OK)
        .close();
    assert_eq!(tap.told(), ["Gap", "GET /a 404 0/-"]);
}

#[test]
fn a_lost_request() {
    let no = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    let mut tap = Tap::new(true);
    tap.request(GET).response(OK).response(no).gap(Request, 40).request(NEXT).response(OK);
    tap.request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2", "Gap", "GET /next 200 0/2"], "it could have been pipelined");

    let mut tap = Tap::new(true);
    for _ in 0..8 {
        tap.request(GET).response(OK);
    }
    tap.response(no).gap(Request, 40).request(NEXT).response(OK).close();
    assert_eq!(tap.told()[8..], ["GET /next 200 0/2"], "this client does not");
}

#[test]
fn a_lost_request_whose_response_comes_later() {
    let mut tap = Tap::new(true);
    tap.gap(Request, 40).request(GET).response("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").response(OK);
    tap.request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["Gap", "GET /next 200 0/2"], "whose is the 404?");
}

#[test]
fn a_lost_response() {
    let mut tap = Tap::new(true);
    // The gap is noticed by the next response.
    tap.request(GET).request("GET /b HTTP/1.1\r\n\r\n").gap(Response, 40).response(OK);
    tap.request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["Gap", "Gap", "GET /next 200 0/2"]);
}

#[test]
fn no_response_is_not_said_of_one_that_was_missed() {
    let mut tap = Tap::new(true);
    tap.request(GET).response(OK).gap(Response, 10).request(NEXT).close();
    assert_eq!(tap.told(), ["GET /a 200 0/2", "Gap"]);
}

#[test]
fn connections_older_than_the_tracer() {
    let mut tap = Tap::new(false);
    tap.request("body\r\n").response("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    tap.request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /next 200 0/2"]);

    let mut tap = Tap::new(false);
    tap.response("rest of a body").request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /next 200 0/2"]);
}

#[test]
fn an_orphan_to_head_does_not_swallow_what_follows() {
    let mut tap = Tap::new(false);
    tap.response("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    tap.request(NEXT).response(OK).request(NEXT).response(OK).close();
    assert_eq!(tap.told(), ["GET /next 200 0/2", "GET /next 200 0/2"]);
}

#[test]
fn requests_before_the_gap_keep_their_responses() {
    let mut tap = Tap::new(true);
    tap.request("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3").gap(Request, 20);
    tap.response("HTTP/1.1 201 A\r\nContent-Length: 0\r\n\r\nHTTP/1.1 202 B\r\nContent-Length: 0\r\n\r\n");
    tap.response("HTTP/1.1 203 C\r\nContent-Length: 0\r\n\r\n").close();
    assert_eq!(tap.told(), ["Gap", "GET /1 201 0/0", "GET /2 202 0/0"]);
}
