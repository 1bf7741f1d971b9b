//! A connection is a socket, whatever number it has in whichever process.

use serde_json::json;

use super::http;
use super::peer::Service;
use super::scene::{Scene, accepted, call, serve};
use super::seen::{Seen, assert_whole, called, echoed, served};

#[test]
fn a_request_read_on_one_descriptor_and_answered_on_its_dup() {
    let scene = Scene::new("dup");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    peer.send(&http::get("/dup"));
    hands.receive("c");
    hands.ask("dup", json!({ "name": "c", "to": "d" }));
    hands.ask("close", json!({ "name": "c" }));
    hands.send("d", &http::ok("/dup"));
    peer.expect(&http::ok("/dup"));
    serve(&mut hands, "d", &mut peer, "/again");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/dup", "/again"].map(echoed));
    assert_whole(&outcome);
}

#[test]
fn a_connection_passed_to_another_process() {
    let scene = Scene::new("passed");
    let mut hands = scene.hands("hands");
    hands.ask("pair", json!({ "first": "a", "second": "b" }));
    hands.ask("fork", json!({ "name": "child" }));
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    peer.send(&http::get("/passed"));
    hands.receive("c");
    hands.ask("send_fd", json!({ "over": "a", "name": "c" }));
    hands.ask_child("child", "receive_fd", json!({ "over": "b", "name": "c" }));
    hands.ask("close", json!({ "name": "c" }));
    hands.ask_child("child", "send", json!({ "name": "c", "data": http::ok("/passed") }));
    peer.expect(&http::ok("/passed"));
    peer.send(&http::get("/then"));
    hands.ask_child("child", "receive", json!({ "name": "c" }));
    hands.ask_child("child", "send", json!({ "name": "c", "data": http::ok("/then") }));
    peer.expect(&http::ok("/then"));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/passed", "/then"].map(echoed));
    assert_whole(&outcome);
}

#[test]
fn a_connection_that_is_made_without_waiting() {
    let scene = Scene::new("connect");
    let mut hands = scene.hands("hands");
    let service = Service::inet();
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let connect = json!({ "name": "c", "port": service.port() });
    assert_eq!(hands.ask("connect_without_waiting", connect), libc::EINPROGRESS);
    call(&mut hands, "c", &mut service.accept(), "/called");
    let outcome = tracer.stop();
    assert_eq!(called(&outcome), [echoed("/called")]);
    assert_whole(&outcome);
}

/// Every second connection is given up after its request, and the next one at once has its number.
#[test]
fn a_number_that_is_used_again_at_once() {
    const CONNECTIONS: usize = 40;
    let scene = Scene::new("number");
    let mut hands = scene.hands("hands");
    let service = Service::inet();
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut numbers = Vec::new();
    let mut given_up = Vec::new();
    for index in 0..CONNECTIONS {
        numbers.push(hands.ask("connect", json!({ "name": "c", "port": service.port() })));
        let mut peer = service.accept();
        let path = format!("/{index}");
        hands.send("c", &http::get(&path));
        if index % 2 == 0 {
            // Its peer answers only when the number belongs to somebody else.
            given_up.push(peer);
        } else {
            for mut late in given_up.drain(..) {
                late.send(&http::response(500, "late"));
            }
            peer.expect(&http::get(&path));
            peer.send(&http::ok(&path));
            assert_eq!(hands.receive("c"), http::ok(&path));
        }
        hands.ask("close", json!({ "name": "c" }));
    }
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    let outcome = tracer.stop();
    let answered = |seen: &Seen| seen.status.is_some();
    let (answered, unanswered): (Vec<Seen>, Vec<Seen>) = called(&outcome).into_iter().partition(answered);
    let expected: Vec<Seen> = (1..CONNECTIONS).step_by(2).map(|index| echoed(&format!("/{index}"))).collect();
    assert_eq!(answered, expected);
    let paths: Vec<String> = unanswered.into_iter().map(|seen| seen.path).collect();
    let expected: Vec<String> = (0..CONNECTIONS).step_by(2).map(|index| format!("/{index}")).collect();
    assert_eq!(paths, expected);
    assert_whole(&outcome);
}
