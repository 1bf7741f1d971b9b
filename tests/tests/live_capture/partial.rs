//! Partial reads and writes, EAGAIN, MSG_PEEK.

use serde_json::json;

use super::http;
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, echoed, seen, served, socket_events};

#[test]
fn a_response_that_the_socket_takes_in_parts() {
    const SIZE: usize = 2_000_000;
    let scene = Scene::new("partial-write");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    peer.send(&http::get("/large"));
    hands.receive("c");
    hands.ask("set_nonblocking", json!({ "name": "c", "send_buffer": 20_000 }));
    let head = http::head(200, SIZE);
    // The peer does not read yet, so the socket is surely full at some point.
    let full = hands.ask("send_all", json!({ "name": "c", "data": head, "fill": SIZE, "until_full": true }));
    let count = |told: &serde_json::Value, index: usize| told[index].as_u64().unwrap();
    assert_eq!(count(&full, 1), 1, "EAGAIN");
    let left = head.len() + SIZE - usize::try_from(count(&full, 2)).unwrap();
    let command = json!({ "do": "send_all", "name": "c", "fill": left });
    hands.ask("begin", json!({ "name": "t", "command": command }));
    peer.expect(&head);
    peer.receive(SIZE);
    let rest = hands.ask("finish", json!({ "name": "t" }));
    let moved = count(&full, 0) - count(&full, 1) + count(&rest, 0) - count(&rest, 1);
    assert!(moved > 5, "{moved} calls moved something");
    serve(&mut hands, "c", &mut peer, "/next");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [seen("/large", 0, 2_000_000), echoed("/next")]);
    assert_whole(&outcome);
}

#[test]
fn a_request_that_is_read_byte_by_byte_and_a_response_written_so() {
    let scene = Scene::new("partial-read");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    let request = http::post("/bytes", "body");
    peer.send(&request);
    let calls = hands.ask("receive_until", json!({ "name": "c", "end": "\r\n\r\nbody", "step": 1 }));
    assert_eq!(calls, request.len());
    let response = http::ok("answer");
    for byte in response.chars() {
        hands.send("c", &byte.to_string());
    }
    peer.expect(&response);
    serve(&mut hands, "c", &mut peer, "/next");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [seen("/bytes", 4, 6), echoed("/next")]);
    assert_whole(&outcome);
}

#[test]
fn a_call_that_would_block_moves_nothing() {
    let scene = Scene::new("again");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    hands.ask("set_nonblocking", json!({ "name": "c" }));
    for via in ["recv", "read", "readv", "recvmsg", "recvmmsg"] {
        let receive = json!({ "name": "c", "via": via });
        assert_eq!(hands.ask("receive", receive.clone()), "EAGAIN", "{via}");
        let path = format!("/{via}");
        peer.send(&http::get(&path));
        super::hands::wait_for(
            || hands.ask("receive", json!({ "name": "c", "via": "peek" })) != "EAGAIN",
            || "nothing came".to_owned(),
        );
        assert_eq!(hands.ask("receive", receive), http::get(&path));
        hands.send("c", &http::ok(&path));
        peer.expect(&http::ok(&path));
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/recv", "/read", "/readv", "/recvmsg", "/recvmmsg"].map(echoed));
    assert_eq!(socket_events(&outcome), 10, "one event for each call that moved bytes");
    assert_whole(&outcome);
}

#[test]
fn bytes_that_were_peeked_at_count_once() {
    let scene = Scene::new("peek");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    for path in ["/first", "/second"] {
        peer.send(&http::get(path));
        for size in [4, 65536] {
            let peek = json!({ "name": "c", "via": "peek", "size": size });
            assert!(hands.ask("receive", peek).as_str().unwrap().starts_with("GET "));
        }
        assert_eq!(hands.receive("c"), http::get(path));
        hands.send("c", &http::ok(path));
        peer.expect(&http::ok(path));
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/first", "/second"].map(echoed));
    assert_eq!(socket_events(&outcome), 4);
    assert_whole(&outcome);
}
