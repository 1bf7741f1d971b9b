//! Exchanges and what they are called.

use super::*;
use crate::protocol::http::{Failure, Forwarded, Version};

fn exchange(method: &str, target: &str, status: u16) -> HttpExchange {
    HttpExchange {
        method: method.to_owned().into(),
        target: target.to_owned(),
        host: Some("shop.example:8080".to_owned()),
        user_agent: Some("curl/8.5".to_owned()),
        status: Some(status),
        request_body: Some(0),
        response_body: Some(12),
        ..HttpExchange::default()
    }
}

fn tcp() -> Endpoints {
    let ip = |text: &str| Some(Address::Ip(text.parse().unwrap()).into());
    Endpoints { local: ip("10.0.0.1:5000"), peer: ip("10.0.0.2:41000"), unix: false }
}

fn told(exchange: &HttpExchange, role: Role, endpoints: &Endpoints) -> (Description, Vec<String>) {
    let description = describe(&mut exchange.clone(), role, endpoints, &SpanOptions::default());
    let lines = description
        .attributes
        .iter()
        .map(|attribute| match &attribute.value {
            Value::Str(text) => format!("{}={text}", attribute.key),
            Value::Int(number) => format!("{}={number}", attribute.key),
            other => format!("{}={other:?}", attribute.key),
        })
        .collect();
    (description, lines)
}

fn value(lines: &[String], key: &str) -> Option<String> {
    lines.iter().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

#[test]
fn a_server_span() {
    let (description, lines) = told(&exchange("GET", "/users/42?x=1&sig=secret", 200), Role::Server, &tcp());
    assert_eq!(description.name, "GET /users/{id}");
    assert_eq!(description.status, Status::Unset);
    assert_eq!(
        lines,
        [
            "http.request.method=GET",
            "url.path=/users/42",
            "url.query=x=1&sig=REDACTED",
            "url.scheme=http",
            "server.address=shop.example",
            "server.port=8080",
            "client.address=10.0.0.2",
            "http.route=/users/{id}",
            "http.response.status_code=200",
            "network.peer.address=10.0.0.2",
            "network.peer.port=41000",
            "network.protocol.version=1.1",
            "user_agent.original=curl/8.5",
            "http.request.body.size=0",
            "http.response.body.size=12",
        ]
    );
}

#[test]
fn a_client_span() {
    let (description, lines) = told(&exchange("POST", "/a?X-Amz-Signature=s", 201), Role::Client, &tcp());
    assert_eq!(description.name, "POST");
    assert_eq!(
        lines,
        [
            "http.request.method=POST",
            "url.full=http://shop.example:8080/a?X-Amz-Signature=REDACTED",
            "server.address=shop.example",
            "server.port=8080",
            "http.response.status_code=201",
            "network.peer.address=10.0.0.2",
            "network.peer.port=41000",
            "network.protocol.version=1.1",
            "http.request.body.size=0",
            "http.response.body.size=12",
        ]
    );
}

#[test]
fn statuses_mean_different_things_to_the_two_roles() {
    for (status, role, error) in [
        (404, Role::Server, None),
        (404, Role::Client, Some("404")),
        (399, Role::Client, None),
        (500, Role::Server, Some("500")),
        (503, Role::Client, Some("503")),
    ] {
        let (description, lines) = told(&exchange("GET", "/", status), role, &tcp());
        assert_eq!(value(&lines, "error.type").as_deref(), error);
        assert_eq!(description.status == Status::Error(None), error.is_some());
    }
}

#[test]
fn failures_have_words() {
    let failed =
        HttpExchange { failure: Some(Failure::ServerClosed), status: None, ..exchange("GET", "/", 200) };
    let (description, lines) = told(&failed, Role::Client, &tcp());
    assert_eq!(value(&lines, "error.type").as_deref(), Some("server_closed"));
    assert_eq!(value(&lines, "http.response.status_code"), None);
    assert_eq!(description.status, Status::Error(None));
}

#[test]
fn what_was_cut_short_is_no_error() {
    let cut_short = HttpExchange { cut_short: true, ..exchange("GET", "/", 200) };
    let (description, lines) = told(&cut_short, Role::Client, &tcp());
    assert_eq!(value(&lines, "tracer.incomplete").as_deref(), Some("end_not_seen"));
    assert_eq!((value(&lines, "error.type"), description.status), (None, Status::Unset));
    assert_eq!(value(&told(&exchange("GET", "/", 200), Role::Client, &tcp()).1, "tracer.incomplete"), None);
}

#[test]
fn what_was_not_found_has_no_guessed_route() {
    let (description, lines) = told(&exchange("GET", "/wp-admin.php", 404), Role::Server, &tcp());
    assert_eq!(description.name, "GET");
    assert_eq!(value(&lines, "http.route"), None);
    assert_eq!(value(&lines, "url.path").as_deref(), Some("/wp-admin.php"));

    let mut options = SpanOptions::default();
    options.routes.patterns = vec!["/users/{name}".parse().unwrap()];
    let described = describe(&mut exchange("GET", "/users/nobody", 404), Role::Server, &tcp(), &options);
    assert_eq!(described.name, "GET /users/{name}");
}

#[test]
fn unknown_methods() {
    let (description, lines) = told(&exchange("PURGE", "/x", 200), Role::Server, &tcp());
    assert_eq!(description.name, "HTTP /x");
    assert_eq!(value(&lines, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(value(&lines, "http.request.method_original").as_deref(), Some("PURGE"));
    let (_, lines) = told(&exchange("get", "/x", 200), Role::Client, &tcp());
    assert_eq!(value(&lines, "http.request.method").as_deref(), Some("_OTHER"), "methods are case-sensitive");

    let options = SpanOptions { known_methods: vec!["PURGE".to_owned()], ..SpanOptions::default() };
    assert_eq!(describe(&mut exchange("PURGE", "/x", 200), Role::Client, &tcp(), &options).name, "PURGE");
}

#[test]
fn proxies_tell_of_the_original_request() {
    let forwarded = Forwarded {
        client: Some("203.0.113.9".to_owned()),
        host: Some("www.example".to_owned()),
        proto: Some("https".to_owned()),
    };
    let exchange = HttpExchange { forwarded, version: Version::Http10, ..exchange("GET", "/", 200) };
    let (_, lines) = told(&exchange, Role::Server, &tcp());
    assert_eq!(value(&lines, "client.address").as_deref(), Some("203.0.113.9"));
    assert_eq!(value(&lines, "server.address").as_deref(), Some("www.example"));
    assert_eq!(value(&lines, "server.port").as_deref(), Some("443"));
    assert_eq!(value(&lines, "url.scheme").as_deref(), Some("https"));
    assert_eq!(value(&lines, "network.peer.address").as_deref(), Some("10.0.0.2"));
    assert_eq!(value(&lines, "network.protocol.version").as_deref(), Some("1.0"));
}

#[test]
fn absolute_form_connect_and_asterisk() {
    let (_, lines) = told(&exchange("GET", "http://user:pw@api.example/x?a", 200), Role::Client, &tcp());
    assert_eq!(value(&lines, "url.full").as_deref(), Some("http://REDACTED:REDACTED@api.example/x?a"));
    assert_eq!(value(&lines, "server.address").as_deref(), Some("api.example"));
    assert_eq!(value(&lines, "server.port").as_deref(), Some("80"));

    let (description, lines) = told(&exchange("CONNECT", "db.example:443", 200), Role::Server, &tcp());
    assert_eq!(description.name, "CONNECT");
    assert_eq!(value(&lines, "url.path"), None);
    assert_eq!(value(&lines, "server.address").as_deref(), Some("db.example"));

    let (description, lines) = told(&exchange("OPTIONS", "*", 204), Role::Server, &tcp());
    assert_eq!(description.name, "OPTIONS");
    assert_eq!(value(&lines, "url.path").as_deref(), Some("*"));
    let (_, lines) = told(&exchange("OPTIONS", "*", 204), Role::Client, &tcp());
    assert_eq!(value(&lines, "url.full").as_deref(), Some("http://shop.example:8080"));
}

#[test]
fn unix_sockets_have_no_ports() {
    let endpoints =
        Endpoints { local: None, peer: Some(Address::Unix("/run/app.sock".to_owned()).into()), unix: true };
    let localhost = HttpExchange { host: Some("localhost".to_owned()), ..exchange("GET", "/x", 200) };
    let (_, lines) = told(&localhost, Role::Client, &endpoints);
    assert_eq!(value(&lines, "server.address").as_deref(), Some("/run/app.sock"));
    assert_eq!(value(&lines, "server.port"), None);
    assert_eq!(value(&lines, "network.transport").as_deref(), Some("unix"));
    assert_eq!(value(&lines, "network.peer.address").as_deref(), Some("/run/app.sock"));
    assert_eq!(value(&lines, "network.peer.port"), None);
    assert_eq!(value(&lines, "url.full").as_deref(), Some("http://localhost/x"));

    let nameless =
        Endpoints { local: Some(Address::Unix("/run/app.sock".to_owned()).into()), peer: None, unix: true };
    let no_host = HttpExchange { host: None, ..localhost };
    let (_, lines) = told(&no_host, Role::Server, &nameless);
    assert_eq!(value(&lines, "server.address").as_deref(), Some("/run/app.sock"));
    assert_eq!(value(&lines, "client.address"), None);
}
