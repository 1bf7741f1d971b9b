//! A peer that has closed its socket: on one node its reset comes within the very call that answers it.

use serde_json::json;

use super::http;
use super::peer::{Peer, Service};
use super::scene::Scene;
use super::seen::{assert_whole, echoed, served};

/// The kernel tells of the close before it tells of the last bytes. They count; and what other sockets do at the same
/// addresses later is not taken for what the dead ones did.
#[test]
fn what_a_reset_answers_is_told() {
    const CONNECTIONS: usize = 24;
    let scene = Scene::new("resets");
    let mut hands = scene.hands("hands");
    let port = hands.listen(json!({ "name": "l" }));
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    for number in 0..CONNECTIONS {
        let path = format!("/gone/{number}");
        let mut peer = Peer::inet(port);
        hands.ask("accept", json!({ "name": "c", "listener": "l" }));
        peer.send(&http::get(&path));
        hands.receive("c");
        peer.finish();
        hands.send("c", &http::ok(&path));
        hands.ask("close", json!({ "name": "c" }));
    }
    let service = Service::inet();
    for _ in 0..4 * CONNECTIONS {
        let mut client = Peer::inet(service.port());
        let mut server = service.accept();
        client.send("untraced");
        server.expect("untraced");
    }
    let outcome = tracer.stop();
    let expected: Vec<_> = (0..CONNECTIONS).map(|number| echoed(&format!("/gone/{number}"))).collect();
    assert_eq!(served(&outcome), expected);
    assert_whole(&outcome);
}
