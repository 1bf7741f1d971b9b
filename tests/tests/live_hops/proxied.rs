//! nginx before gunicorn, by TCP and by a Unix socket, with all of them selected, or the backend alone.

use std::net::Ipv4Addr;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Outcome, Tracer};
use xtask::http::Address;
use xtask::testbed::{Backend, BackendOptions, Bind, Nginx, Testbed, free_port};

use super::browser::{self, Sent};
use super::tree::{below, check_below, check_chain, first};

struct Scene {
    testbed: Testbed,
    backend: Backend,
    nginx: Nginx,
    address: Address,
}

impl Scene {
    fn new(name: &str, bind: Bind, keep_alive: bool) -> Self {
        let testbed = Testbed::start(name).unwrap();
        let arguments =
            if keep_alive { vec!["--keep-alive".to_owned(), "60".to_owned()] } else { Vec::new() };
        let backend =
            testbed.backend(&BackendOptions { bind, arguments, ..BackendOptions::default() }).unwrap();
        let address = Address::Tcp((Ipv4Addr::LOCALHOST, free_port().unwrap()).into());
        let Address::Tcp(listens) = &address else { unreachable!() };
        let keep = if keep_alive { "keepalive 8;" } else { "" };
        let servers = format!(
            "upstream backend {{ server {}; {keep} }}\nserver {{ listen {listens}; location / {{ \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_pass http://backend; }} }}",
            backend.address()
        );
        let nginx = Nginx::start(testbed.directory(), "nginx", &servers, &address).unwrap();
        Self { testbed, backend, nginx, address }
    }

    fn trace(&self, processes: &[u32]) -> (Vec<Sent>, Outcome) {
        self.trace_while(processes, || browser::send(&self.address, "/api/db/messages"))
    }

    fn trace_while<T>(&self, processes: &[u32], work: impl FnOnce() -> T) -> (T, Outcome) {
        let arguments: Vec<String> =
            processes.iter().flat_map(|process| ["--pid".to_owned(), process.to_string()]).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let tracer = Tracer::start(self.testbed.directory(), &arguments);
        let sent = work();
        let outcome = tracer.stop();
        println!("{}", outcome.summary());
        assert_eq!(outcome.lost_in_all(), 0);
        (sent, outcome)
    }
}

fn whole_chain(name: &str, bind: Bind, keep_alive: bool) {
    let scene = Scene::new(name, bind, keep_alive);
    let processes = [scene.nginx.id(), scene.backend.id(), scene.testbed.mariadb.id()];
    let (sent, outcome) = scene.trace(&processes);
    for sent in &sent {
        check_chain(&outcome, sent, "SELECT");
    }
}

/// nginx says for whom it asks by `X-Forwarded-For`.
#[test]
fn without_a_trace_context() {
    for bind in [Bind::Ipv4, Bind::Unix] {
        let scene = Scene::new("hops-plain", bind, false);
        let processes = [scene.nginx.id(), scene.backend.id(), scene.testbed.mariadb.id()];
        let send = || browser::send_without_context(&scene.address, "/api/db/messages");
        let (sent, outcome) = scene.trace_while(&processes, send);
        let roots: Vec<_> =
            outcome.telemetry.servers().filter(|span| span.parent_span_id.is_empty()).collect();
        assert_eq!(roots.len(), sent);
        for root in roots {
            check_below(&outcome, root, "SELECT");
        }
    }
}

#[test]
fn by_tcp() {
    whole_chain("hops-tcp", Bind::Ipv4, false);
}

#[test]
fn by_tcp_connections_that_live_on() {
    whole_chain("hops-keep", Bind::Ipv4, true);
}

#[test]
fn by_tcp_connections_older_than_the_tracer() {
    let scene = Scene::new("hops-older", Bind::Ipv4, true);
    // Each of nginx's workers has connections then.
    browser::send(&scene.address, "/api/db/messages");
    let processes = [scene.nginx.id(), scene.backend.id()];
    let (sent, outcome) =
        scene.trace_while(&processes, || browser::send_one(&scene.address, "/api/db/messages"));
    let call = below(&outcome, first(&outcome, &sent[0]), SpanKind::Client);
    assert_eq!(call.len(), 1);
    assert_eq!(below(&outcome, call[0], SpanKind::Server).len(), 1);
}

#[test]
fn by_a_unix_socket() {
    whole_chain("hops-unix", Bind::Unix, false);
}

#[test]
fn with_the_backend_alone() {
    let scene = Scene::new("hops-alone", Bind::Ipv4, false);
    let (sent, outcome) = scene.trace(&[scene.backend.id()]);
    for sent in &sent {
        let backend = first(&outcome, sent);
        assert!(!below(&outcome, backend, SpanKind::Client).is_empty());
    }
    assert_eq!(outcome.telemetry.servers().count(), sent.len());
}
