//! A server that closes its socket while the client keeps its own half open.

use std::time::Duration;

use serde_json::json;

use super::http;
use super::scene::{Scene, accepted};
use super::seen::{assert_whole, seen, served};

/// A response without a length ends with the server's close, and is told then: not when the client has closed too.
#[test]
fn a_response_ends_with_the_servers_own_close() {
    let scene = Scene::new("half-open");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    peer.send(&http::get("/until-close"));
    hands.receive("c");
    hands.send("c", "HTTP/1.1 200 OK\r\n\r\nhello");
    hands.ask("close", json!({ "name": "c" }));
    peer.expect("HTTP/1.1 200 OK\r\n\r\nhello");
    let told = tracer.wait_until(|telemetry| telemetry.servers().count() == 1, Duration::from_secs(20));
    assert!(told, "no span while the client's half is open");
    peer.finish();
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [seen("/until-close", 0, 5)]);
    assert_whole(&outcome);
}
