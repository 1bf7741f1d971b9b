//! One case: its directory, its programs, its tracer.

use std::path::PathBuf;

use serde_json::json;
use tests::live::Tracer;
use xtask::testbed::RunDirectory;

use super::hands::Hands;
use super::http;
use super::peer::Peer;

/// The directory of a case.
#[derive(Debug)]
pub struct Scene {
    /// The directory.
    pub directory: RunDirectory,
}

impl Scene {
    /// A fresh one.
    pub fn new(name: &str) -> Self {
        Self { directory: RunDirectory::create(&format!("capture-{name}")).unwrap() }
    }

    /// A program under test.
    pub fn hands(&self, name: &str) -> Hands {
        Hands::start(&self.directory, name)
    }

    /// A tracer that is attached.
    pub fn trace(&self, arguments: &[&str]) -> Tracer {
        Tracer::start(&self.directory, arguments)
    }

    /// A path for a Unix socket.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.directory.socket(name)
    }
}

/// Has `hands` listen and accept `name`; gives its other end.
pub fn accepted(hands: &mut Hands, name: &str) -> Peer {
    let listener = format!("{name}-listener");
    let port = hands.listen(json!({ "name": listener }));
    let peer = Peer::inet(port);
    hands.ask("accept", json!({ "name": name, "listener": listener }));
    peer
}

/// One whole exchange on a connection that `hands` accepted, by plain calls.
pub fn serve(hands: &mut Hands, name: &str, peer: &mut Peer, path: &str) {
    peer.send(&http::get(path));
    assert_eq!(hands.receive(name), http::get(path));
    let response = http::ok(path);
    hands.send(name, &response);
    peer.expect(&response);
}

/// One whole exchange on a connection that `hands` made, by plain calls.
pub fn call(hands: &mut Hands, name: &str, peer: &mut Peer, path: &str) {
    hands.send(name, &http::get(path));
    peer.expect(&http::get(path));
    let response = http::ok(path);
    peer.send(&response);
    assert_eq!(hands.receive(name), response);
}
