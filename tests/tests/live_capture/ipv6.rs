//! IPv6, and IPv4 through an IPv6 socket.

use serde_json::json;
use tests::live::{number, text};

use super::peer::{Peer, Service};
use super::scene::{Scene, call, serve};
use super::seen::{assert_whole, called, echoed, served};

#[test]
fn addresses_of_either_version() {
    if !xtask::testbed::has_ipv6() {
        println!("not run: this machine has no ::1");
        return;
    }
    let scene = Scene::new("ipv6");
    let mut hands = scene.hands("hands");
    let service = Service::inet6();
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let port = hands.listen(json!({ "name": "six", "family": "inet6" }));
    let dual = hands.listen(json!({ "name": "dual", "family": "dual" }));
    for (listener, mut peer) in
        [("six", Peer::inet6(port)), ("dual", Peer::inet6(dual)), ("dual", Peer::inet(dual))]
    {
        hands.ask("accept", json!({ "name": "c", "listener": listener }));
        serve(&mut hands, "c", &mut peer, "/served");
    }
    hands.ask("connect", json!({ "name": "called", "port": service.port(), "family": "inet6" }));
    call(&mut hands, "called", &mut service.accept(), "/called");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/served", "/served", "/served"].map(echoed));
    assert_eq!(called(&outcome), [echoed("/called")]);
    let mut peers: Vec<_> = outcome
        .telemetry
        .servers()
        .map(|span| text(&span.attributes, "network.peer.address").unwrap())
        .collect();
    peers.sort_unstable();
    assert_eq!(peers, ["127.0.0.1", "::1", "::1"], "a mapped address is told as what it is");
    let call = outcome.telemetry.clients().next().unwrap();
    assert_eq!(text(&call.attributes, "network.peer.address"), Some("::1"));
    assert_eq!(number(&call.attributes, "network.peer.port"), Some(service.port().into()));
    assert_whole(&outcome);
}
