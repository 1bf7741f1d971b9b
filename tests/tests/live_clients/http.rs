//! Clients of HTTP servers, and a proxy, which is both.

use std::process::Command;
use std::time::Duration;

use xtask::http::Address;
use xtask::process::Process;
use xtask::testbed::{Nginx, RunDirectory, free_port};

use super::client::{Client, node, python, tool};
use super::counts::Counts;
use super::run::{SERVER, at_once, trace};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that may be on their way when `wrk` stops counting: one a connection.
const CONNECTIONS: u64 = 8;

#[test]
fn clients_in_python_and_node_and_curl_are_told_as_they_count_themselves() {
    const REQUESTS: u64 = 50;
    let scene = Scene::start("clients-http");
    let url = format!("http://127.0.0.1:{}/item/[1-{REQUESTS}]?sig=planted", scene.port);
    let mut clients = [
        scene.hold("http-client", python("http_client.py", &[])),
        scene.hold("node-http", node("http_client.js", &[])),
        scene.hold("curl", tool("curl", &["--silent", "--show-error", "--output", "/dev/null", &url])),
    ];
    let told = trace(&scene.directory, &mut clients, &[scene.server.id()], &[], at_once);
    let mut curl = Counts::default();
    curl.add("GET 200", REQUESTS);
    let [python, node, _] = &clients;
    let served = curl.clone().and(&python.account()).and(&node.account());
    told.require(&[
        ("http-client", python.account(), told.client("http-client")),
        ("node-http", node.account(), told.client("node-http")),
        ("curl", curl, told.client("curl")),
        ("node", served, told.server("node")),
    ]);
}

#[test]
fn a_proxy_tells_of_each_request_twice_and_wrk_once() {
    let scene = Scene::start("clients-proxy");
    let port = free_port().unwrap();
    let servers = format!(
        "upstream node {{ server 127.0.0.1:{}; keepalive 8; }}
         server {{ listen 127.0.0.1:{port}; location / {{
             proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}",
        scene.port
    );
    let address = Address::Tcp(([127, 0, 0, 1], port).into());
    let nginx = Nginx::start(&scene.directory, "nginx", &servers, &address).unwrap();
    let connections = CONNECTIONS.to_string();
    let url = format!("http://127.0.0.1:{port}/?sig=planted");
    let wrk = tool("wrk", &["--threads", "1", "--connections", &connections, "--duration", "2s", &url]);
    let mut clients = [Client::hold(&scene.directory, "wrk", &wrk)];
    let mut said = String::new();
    let told = trace(&scene.directory, &mut clients, &[nginx.id(), scene.server.id()], &[], |clients| {
        clients[0].release("");
        said = clients[0].finish();
    });
    let counted: u64 =
        said.lines().find_map(|line| line.trim().split_once(" requests in ")).unwrap().0.parse().unwrap();
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    for (who, told) in [
        ("wrk", told.client("wrk")),
        ("nginx as server", told.server(SERVER)),
        ("nginx as client", told.client(SERVER)),
        ("node", told.server("node")),
    ] {
        let told = told.get("GET 200");
        println!("{who}: {counted} counted, {told} told");
        assert!((counted..=counted + CONNECTIONS).contains(&told), "{who}: {counted} counted, {told} told");
    }
    told.require(&[]);
}

/// A server in Node.
pub struct Scene {
    pub server: Process,
    port: u16,
    pub directory: RunDirectory,
}

impl Scene {
    pub fn start(name: &str) -> Self {
        let directory = RunDirectory::create(name).unwrap();
        let port = free_port().unwrap();
        let mut command = node("http_server.js", &[]);
        command.env("PORT", port.to_string()).env("OTEL_SERVICE_NAME", "node");
        let mut server = Process::start("http-server", command, directory.logs()).unwrap();
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        server.wait_until(PATIENCE, || address.connect().is_ok()).unwrap();
        Self { server, port, directory }
    }

    pub fn hold(&self, name: &str, mut command: Command) -> Client {
        command.env("HTTP_PORT", self.port.to_string());
        Client::hold(&self.directory, name, &command)
    }
}
