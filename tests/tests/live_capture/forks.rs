//! Prefork servers: the master is selected, its workers serve.

use serde_json::json;

use super::hands::Hands;
use super::http;
use super::peer::Peer;
use super::scene::Scene;
use super::seen::{assert_whole, echoed, served};

/// One connection with one exchange, served by a child that inherited the listener.
fn serve_by(hands: &mut Hands, child: &str, port: u16, path: &str) {
    let mut peer = Peer::inet(port);
    hands.ask_child(child, "accept", json!({ "name": "c", "listener": "l" }));
    peer.send(&http::get(path));
    assert_eq!(hands.ask_child(child, "receive", json!({ "name": "c" })), http::get(path));
    let response = http::ok(path);
    hands.ask_child(child, "send", json!({ "name": "c", "data": response }));
    peer.expect(&response);
    hands.ask_child(child, "close", json!({ "name": "c" }));
}

#[test]
fn workers_forked_before_and_after_attach_and_their_children() {
    let scene = Scene::new("forks");
    let mut hands = scene.hands("hands");
    let port = hands.listen(json!({ "name": "l" }));
    hands.ask("fork", json!({ "name": "before" }));
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    hands.ask("fork", json!({ "name": "after" }));
    hands.ask_child("after", "fork", json!({ "name": "grandchild" }));
    hands.ask_child("before", "fork", json!({ "name": "grandchild" }));
    serve_by(&mut hands, "before", port, "/before");
    serve_by(&mut hands, "after", port, "/after");
    for parent in ["before", "after"] {
        let mut peer = Peer::inet(port);
        let path = format!("/grandchild-of-{parent}");
        let mut ask = |what: &str, arguments: serde_json::Value| {
            let mut command = arguments;
            command["do"] = what.into();
            hands.ask_child(parent, "tell", json!({ "child": "grandchild", "command": command }))
        };
        ask("accept", json!({ "name": "c", "listener": "l" }));
        peer.send(&http::get(&path));
        ask("receive", json!({ "name": "c" }));
        ask("send", json!({ "name": "c", "data": http::ok(&path) }));
        peer.expect(&http::ok(&path));
    }
    let outcome = tracer.stop();
    let paths = ["/before", "/after", "/grandchild-of-before", "/grandchild-of-after"];
    assert_eq!(served(&outcome), paths.map(echoed));
    assert_whole(&outcome);
}

#[test]
fn a_worker_goes_on_with_a_connection_that_its_master_accepted() {
    let scene = Scene::new("forks-inherit");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = super::scene::accepted(&mut hands, "c");
    super::scene::serve(&mut hands, "c", &mut peer, "/master");
    hands.ask("fork", json!({ "name": "worker" }));
    peer.send(&http::get("/worker"));
    hands.ask_child("worker", "receive", json!({ "name": "c" }));
    hands.ask_child("worker", "send", json!({ "name": "c", "data": http::ok("/worker") }));
    peer.expect(&http::ok("/worker"));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/master", "/worker"].map(echoed));
    assert_whole(&outcome);
}
