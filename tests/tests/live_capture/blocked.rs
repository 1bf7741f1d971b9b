//! Calls in which the program was already waiting when the tracer attached.

use serde_json::json;

use super::http;
use super::peer::Peer;
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, echoed, served};

#[test]
fn reads_that_were_waiting() {
    let scene = Scene::new("blocked-read");
    let mut hands = scene.hands("hands");
    let calls = [
        ("recv", libc::SYS_recvfrom),
        ("read", libc::SYS_read),
        ("readv", libc::SYS_readv),
        ("recvmsg", libc::SYS_recvmsg),
        ("recvmmsg", libc::SYS_recvmmsg),
    ];
    let mut peers = Vec::new();
    for (via, number) in calls {
        let peer = accepted(&mut hands, via);
        hands.ask_blocking(via, number, "receive", json!({ "name": via, "via": via }));
        peers.push((via, peer));
    }
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    for (via, mut peer) in peers {
        let path = format!("/{via}");
        peer.send(&http::get(&path));
        assert_eq!(hands.ask("finish", json!({ "name": via })), http::get(&path));
        hands.send(via, &http::ok(&path));
        peer.expect(&http::ok(&path));
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), calls.map(|(via, _)| echoed(&format!("/{via}"))));
    assert_whole(&outcome);
}

#[test]
fn an_accept_that_was_waiting() {
    let scene = Scene::new("blocked-accept");
    let mut hands = scene.hands("hands");
    let port = hands.listen(json!({ "name": "l" }));
    hands.ask_blocking("t", libc::SYS_accept4, "accept", json!({ "name": "c", "listener": "l" }));
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = Peer::inet(port);
    hands.ask("finish", json!({ "name": "t" }));
    serve(&mut hands, "c", &mut peer, "/accepted");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [echoed("/accepted")]);
    assert_whole(&outcome);
}
