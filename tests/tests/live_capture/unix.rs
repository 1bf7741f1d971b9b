//! Unix stream sockets.

use serde_json::json;
use tests::live::text;
use xtask::http::Address;
use xtask::testbed::{Nginx, free_port};

use super::http;
use super::peer::{Peer, Service};
use super::scene::{Scene, call, serve};
use super::seen::{assert_whole, called, echoed, seen, served};

#[test]
fn an_http_server_and_its_client() {
    let scene = Scene::new("unix");
    let (server, service) = (scene.socket("server"), scene.socket("service"));
    let mut hands = scene.hands("hands");
    let service_end = Service::unix(&service);
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    hands.listen(json!({ "name": "l", "family": "unix", "path": server }));
    let mut client = Peer::unix(&server);
    hands.ask("accept", json!({ "name": "served", "listener": "l" }));
    hands.ask("connect", json!({ "name": "called", "path": service }));
    let mut peer = service_end.accept();
    for path in ["/first", "/second"] {
        serve(&mut hands, "served", &mut client, path);
        call(&mut hands, "called", &mut peer, path);
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), ["/first", "/second"].map(echoed));
    assert_eq!(called(&outcome), ["/first", "/second"].map(echoed));
    let transport = |span| text(span, "network.transport").map(str::to_owned);
    for span in &outcome.telemetry.spans {
        assert_eq!(transport(&span.item.attributes).as_deref(), Some("unix"), "{:?}", span.item);
    }
    assert_whole(&outcome);
}

/// curl starts after the tracer, as a child of the program that was selected.
#[test]
fn curl_is_the_client() {
    let scene = Scene::new("unix-curl");
    let path = scene.socket("server");
    let service = Service::unix(&path);
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let curl = format!("curl -s --unix-socket {} http://host.test/by-curl", path.display());
    let command = json!({ "do": "run_shell", "command": curl });
    hands.ask("begin", json!({ "name": "curl", "command": command }));
    let mut peer = service.accept();
    peer.expect("GET /by-curl HTTP/1.1\r\n");
    peer.send(&http::ok("to curl"));
    assert_eq!(hands.ask("finish", json!({ "name": "curl" })), "to curl");
    let outcome = tracer.stop();
    assert_eq!(called(&outcome), [seen("/by-curl", 0, 7)]);
}

#[test]
fn nginx_in_front_of_a_unix_socket() {
    let scene = Scene::new("unix-nginx");
    let path = scene.socket("upstream");
    let mut hands = scene.hands("hands");
    hands.listen(json!({ "name": "l", "family": "unix", "path": path }));
    let port = free_port().unwrap();
    let servers = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://unix:{}:; }} }}",
        path.display()
    );
    let listens = Address::Tcp(([127, 0, 0, 1], port).into());
    let nginx = Nginx::start(&scene.directory, "nginx", &servers, &listens).unwrap();
    let tracer = scene.trace(&["--pid", &nginx.id().to_string(), "--pid", &hands.pid()]);
    let mut client = Peer::inet(port);
    client.send(&http::get("/proxied"));
    hands.ask("accept", json!({ "name": "c", "listener": "l" }));
    assert!(hands.receive("c").starts_with("GET /proxied HTTP/1.0\r\n"));
    hands.send("c", &http::ok("from upstream"));
    hands.ask("close", json!({ "name": "c" }));
    client.receive_through("\r\n\r\nfrom upstream");
    let outcome = tracer.stop();
    let expected = seen("/proxied", 0, 13);
    assert_eq!(served(&outcome), [expected.clone(), expected.clone()], "nginx and its upstream");
    assert_eq!(called(&outcome), [expected]);
    assert_whole(&outcome);
}
