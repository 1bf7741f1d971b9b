//! nginx before gunicorn, by TCP and by a Unix socket, with all of them selected, or the backend alone.

use std::net::Ipv4Addr;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Outcome, Tracer};
use xtask::http::Address;
use xtask::testbed::{Backend, BackendOptions, Bind, Nginx, Testbed, free_port};

use super::browser::{self, Sent};

struct Scene {
    testbed: Testbed,
    backend: Backend,
    nginx: Nginx,
    address: Address,
}

impl Scene {
    fn new(name: &str, bind: Bind, keep_alive: bool) -> Self {
        let testbed = Testbed::start(name).unwrap();
        let backend = testbed.backend(&BackendOptions { bind, ..BackendOptions::default() }).unwrap();
        let address = Address::Tcp((Ipv4Addr::LOCALHOST, free_port().unwrap()).into());
        let Address::Tcp(listens) = &address else { unreachable!() };
        let keep = if keep_alive { "keepalive 8;" } else { "" };
        let servers = format!(
            "upstream backend {{ server {}; {keep} }}\nserver {{ listen {listens}; location / {{ \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass http://backend; }} }}",
            backend.address()
        );
        let nginx = Nginx::start(testbed.directory(), "nginx", &servers, &address).unwrap();
        Self { testbed, backend, nginx, address }
    }

    fn trace(&self, processes: &[u32]) -> (Vec<Sent>, Outcome) {
        let arguments: Vec<String> =
            processes.iter().flat_map(|process| ["--pid".to_owned(), process.to_string()]).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let tracer = Tracer::start(self.testbed.directory(), &arguments);
        let sent = browser::send(&self.address, "/api/db/messages");
        let outcome = tracer.stop();
        println!("{}", outcome.summary());
        assert_eq!(outcome.lost_in_all(), 0);
        (sent, outcome)
    }
}

fn below<'a>(outcome: &'a Outcome, parent: &'a Span, kind: SpanKind) -> Vec<&'a Span> {
    outcome.telemetry.children(parent).filter(|span| span.kind == kind as i32).collect()
}

/// The only span of this kind below `parent`.
fn only<'a>(outcome: &'a Outcome, parent: &'a Span, kind: SpanKind) -> &'a Span {
    let found = below(outcome, parent, kind);
    assert_eq!(found.len(), 1, "below {parent:?}: {found:?}");
    found[0]
}

/// The server span that answers the browser.
fn first<'a>(outcome: &'a Outcome, sent: &Sent) -> &'a Span {
    let found: Vec<_> = outcome.telemetry.servers().filter(|span| sent.is_parent_of(span)).collect();
    assert_eq!(found.len(), 1, "{sent:?}: {found:?}");
    found[0]
}

/// The backend's statements, each with the database's own span below it.
fn check_statements(outcome: &Outcome, backend: &Span) -> usize {
    let statements = below(outcome, backend, SpanKind::Client);
    assert!(statements.iter().any(|span| span.name.starts_with("SELECT")), "{statements:?}");
    for statement in &statements {
        let answered = only(outcome, statement, SpanKind::Server);
        assert_eq!(answered.name, statement.name);
    }
    statements.len()
}

fn whole_chain(name: &str, bind: Bind, keep_alive: bool) {
    let scene = Scene::new(name, bind, keep_alive);
    let processes = [scene.nginx.id(), scene.backend.id(), scene.testbed.mariadb.id()];
    let (sent, outcome) = scene.trace(&processes);
    for sent in &sent {
        let proxy = first(&outcome, sent);
        let call = only(&outcome, proxy, SpanKind::Client);
        let backend = only(&outcome, call, SpanKind::Server);
        let statements = check_statements(&outcome, backend);
        let all = outcome.telemetry.spans.iter().filter(|span| sent.has_in_trace(&span.item)).count();
        assert_eq!(all, 3 + 2 * statements, "nothing else is in the trace");
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
