//! recvmmsg and sendmmsg on stream sockets.

use serde_json::json;

use super::http;
use super::peer::Peer;
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, echoed, losses, seen, served};

#[test]
fn several_messages_a_call() {
    let scene = Scene::new("messages");
    let path = scene.socket("server");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    hands.listen(json!({ "name": "l", "family": "unix", "path": path }));
    let unix = Peer::unix(&path);
    hands.ask("accept", json!({ "name": "unix", "listener": "l" }));
    let tcp = accepted(&mut hands, "tcp");
    for (name, mut peer) in [("tcp", tcp), ("unix", unix)] {
        let path = format!("/{name}");
        let request = http::post(&path, "0123456789");
        peer.send(&request);
        let receive = json!({ "name": name, "via": "recvmmsg", "sizes": [20, 30, 4000] });
        let mut read = String::new();
        while read.len() < request.len() {
            read.push_str(hands.ask("receive", receive.clone()).as_str().unwrap());
        }
        assert_eq!(read, request);
        let response = http::ok("first second");
        let sizes = [10, response.len() - 16, 6];
        let send = json!({ "name": name, "data": response, "via": "sendmmsg", "sizes": sizes });
        assert_eq!(hands.ask("send", send), response.len());
        peer.expect(&response);
        serve(&mut hands, name, &mut peer, &format!("{path}/next"));
    }
    let outcome = tracer.stop();
    let expected = [seen("/tcp", 10, 12), echoed("/tcp/next"), seen("/unix", 10, 12), echoed("/unix/next")];
    assert_eq!(served(&outcome), expected);
    assert_whole(&outcome);
}

/// The probe looks at eight messages a call. The others are a gap, and the bytes before it are in their place.
#[test]
fn more_messages_than_the_cap() {
    let scene = Scene::new("messages-cap");
    let socket = scene.socket("server");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    hands.listen(json!({ "name": "l", "family": "unix", "path": socket }));
    let unix = Peer::unix(&socket);
    hands.ask("accept", json!({ "name": "unix", "listener": "l" }));
    let tcp = accepted(&mut hands, "tcp");
    for (name, mut peer) in [("tcp", tcp), ("unix", unix)] {
        let path = format!("/{name}");
        peer.send(&http::get(&path));
        hands.receive(name);
        let response = http::ok(&"b".repeat(200));
        let head = response.find("\r\n\r\n").unwrap() + 4;
        let sizes: Vec<usize> = [head].into_iter().chain(std::iter::repeat_n(10, 20)).collect();
        let send = json!({ "name": name, "data": response, "via": "sendmmsg", "sizes": sizes });
        assert_eq!(hands.ask("send", send), response.len());
        peer.expect(&response);
        serve(&mut hands, name, &mut peer, &format!("{path}/next"));
    }
    let outcome = tracer.stop();
    let expected = [seen("/tcp", 0, 200), echoed("/tcp/next"), seen("/unix", 0, 200), echoed("/unix/next")];
    assert_eq!(served(&outcome), expected);
    assert_eq!(outcome.lost_in_kernel(), losses(&[("iovec_cap", 2)]));
}
