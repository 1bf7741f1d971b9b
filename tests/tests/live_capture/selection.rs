//! `--exe`, `--port`, and what nobody selected.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use xtask::testbed::free_port;

use super::hands::Hands;
use super::http;
use super::peer::{Peer, Service};
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, called, echoed, served, socket_events};

/// A copy of the interpreter under a name that no other process has.
fn interpreter(scene: &Scene, name: &str) -> PathBuf {
    let original = fs::canonicalize(xtask::workspace::virtualenv().join("bin/python")).unwrap();
    let copy = scene.directory.data(name);
    fs::copy(original, &copy).unwrap();
    copy
}

fn start(scene: &Scene, program: &PathBuf, name: &str) -> Hands {
    Hands::start_by(&scene.directory, name, |_, arguments| {
        let mut command = Command::new(program);
        command.args(arguments).env("PYTHONHOME", "/usr");
        command
    })
}

fn one_exchange(hands: &mut Hands, path: &str) {
    let mut peer = accepted(hands, "c");
    serve(hands, "c", &mut peer, path);
    hands.ask("close", json!({ "name": "c" }));
}

#[test]
fn by_executable_before_and_after_the_start() {
    let scene = Scene::new("exe");
    let (chosen, other) = (interpreter(&scene, "chosen-python"), interpreter(&scene, "other-python"));
    let mut before = start(&scene, &chosen, "before");
    let mut bystander = start(&scene, &other, "bystander");
    before.ask("fork", json!({ "name": "child" }));
    let tracer = scene.trace(&["--exe", "chosen-*"]);
    one_exchange(&mut before, "/before");
    one_exchange(&mut bystander, "/bystander");
    let mut after = start(&scene, &chosen, "after");
    one_exchange(&mut after, "/after");
    let mut late_bystander = start(&scene, &other, "late-bystander");
    one_exchange(&mut late_bystander, "/late-bystander");
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/before", "/after"].map(echoed));
    assert_whole(&outcome);
}

/// It sends as soon as it can, and is gone a moment later.
#[test]
fn by_executable_that_lives_for_a_moment() {
    let scene = Scene::new("exe-short");
    let program = scene.directory.data("chosen-curl");
    fs::copy(xtask::workspace::program("curl").unwrap(), &program).unwrap();
    let service = Service::inet();
    let mut starter = scene.hands("starter");
    let tracer = scene.trace(&["--exe", "chosen-*"]);
    let paths = ["/1", "/2", "/3"];
    for path in paths {
        let run = format!("{} -s http://127.0.0.1:{}{path}", program.display(), service.port());
        starter.ask("begin", json!({ "name": "t", "command": { "do": "run_shell", "command": run } }));
        let mut peer = service.accept();
        peer.expect(&format!("GET {path} HTTP/1.1\r\n"));
        peer.send(&http::ok(path));
        assert_eq!(starter.ask("finish", json!({ "name": "t" })), path);
    }
    let outcome = tracer.stop();
    assert_eq!(called(&outcome), paths.map(echoed));
}

#[test]
fn by_port_before_and_after_the_start() {
    let scene = Scene::new("port");
    let ports = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
    let mut before = scene.hands("before");
    before.listen(json!({ "name": "l", "port": ports[0] }));
    before.ask("fork", json!({ "name": "worker" }));
    let (old, new) = (ports[0].to_string(), ports[1].to_string());
    let tracer = scene.trace(&["--port", &old, "--port", &new]);
    let mut after = scene.hands("after");
    after.listen(json!({ "name": "l", "port": ports[1] }));
    let mut bystander = scene.hands("bystander");
    bystander.listen(json!({ "name": "l", "port": ports[2] }));
    for (hands, port, path) in [
        (&mut before, ports[0], "/before"),
        (&mut after, ports[1], "/after"),
        (&mut bystander, ports[2], "/no"),
    ] {
        let mut peer = Peer::inet(port);
        hands.ask("accept", json!({ "name": "c", "listener": "l" }));
        serve(hands, "c", &mut peer, path);
    }
    let mut peer = Peer::inet(ports[0]);
    before.ask_child("worker", "accept", json!({ "name": "c", "listener": "l" }));
    peer.send(&http::get("/worker"));
    before.ask_child("worker", "receive", json!({ "name": "c" }));
    before.ask_child("worker", "send", json!({ "name": "c", "data": http::ok("/worker") }));
    peer.expect(&http::ok("/worker"));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/before", "/after", "/worker"].map(echoed));
    assert_whole(&outcome);
}

#[test]
fn what_is_no_stream_socket_makes_no_event() {
    let scene = Scene::new("no-stream");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let text = http::get("/no-stream");
    for kind in ["udp", "unix-datagram", "unix-seqpacket", "pipe", "file"] {
        assert_eq!(hands.ask("echo", json!({ "kind": kind, "text": text })), text, "{kind}");
    }
    let outcome = tracer.stop();
    assert_eq!(socket_events(&outcome), 0);
    assert!(outcome.telemetry.spans.is_empty() && outcome.telemetry.logs.is_empty());
    assert_whole(&outcome);
}

#[test]
fn who_is_not_selected_makes_no_event() {
    let scene = Scene::new("bystander");
    let chosen = scene.hands("chosen");
    let mut bystander = scene.hands("bystander");
    let tracer = scene.trace(&["--pid", &chosen.pid()]);
    one_exchange(&mut bystander, "/bystander");
    bystander.ask("say", json!({ "text": "not ours" }));
    bystander.ask("fork", json!({ "name": "child" }));
    let outcome = tracer.stop();
    let summary = outcome.summary();
    assert!(summary.contains(" 0 events: "), "{summary}");
    assert_eq!(socket_events(&outcome), 0);
    assert!(outcome.telemetry.spans.is_empty() && outcome.telemetry.logs.is_empty());
    assert_whole(&outcome);
    drop((chosen, bystander));
}
