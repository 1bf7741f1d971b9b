//! Spans of HTTP exchanges, as in the semantic conventions' `docs/http/http-spans.md`.

mod redact;
mod route;
mod target;
#[cfg(test)]
mod tests;

pub use route::{
    DEFAULT_MAX_ROUTES, PatternError, Route, RouteMode, RouteOptions, RoutePattern, RouteTable, route,
};

use std::borrow::Cow;

use self::redact::{redact_path, redact_query, redact_userinfo};
use self::target::{HostPort, Target};
use super::address::ip_text;
use super::{Attribute, Description, Scope, SpanOptions, Status, Value};
use crate::event::{Address, Endpoints, Role};
use crate::protocol::http::HttpExchange;

/// Known methods of the semantic conventions.
pub const KNOWN_METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Describes an exchange. The cap on routes per service is not applied here: see [`RouteTable::limit`].
#[must_use]
pub fn describe(
    exchange: &HttpExchange,
    role: Role,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Description {
    let target = Target::parse(&exchange.method, &exchange.target);
    let known_method = options.known_methods.contains(&exchange.method);
    let route = match role {
        Role::Server => server_route(exchange, &target, options),
        Role::Client => None,
    };
    let method = if known_method { exchange.method.as_str() } else { "HTTP" };
    let name = match &route {
        Some(route) => [method, " ", route].concat(),
        None => method.to_owned(),
    };
    let error = error_type(exchange, role);
    let status = if error.is_some() { Status::Error(None) } else { Status::Unset };

    let mut attributes = Attributes(Vec::with_capacity(USUAL_ATTRIBUTES));
    if known_method {
        attributes.push("http.request.method", method_text(&exchange.method));
    } else {
        attributes.push("http.request.method", "_OTHER");
        attributes.push("http.request.method_original", exchange.method.clone());
    }
    match role {
        Role::Server => server_attributes(&mut attributes, exchange, &target, endpoints),
        Role::Client => client_attributes(&mut attributes, exchange, &target, endpoints),
    }
    attributes.maybe("http.route", route);
    attributes.maybe("http.response.status_code", exchange.status);
    attributes.maybe("error.type", error);
    network_attributes(&mut attributes, exchange, endpoints);
    if role == Role::Server {
        attributes.maybe("user_agent.original", exchange.user_agent.clone());
    }
    attributes
        .maybe("http.request.body.size", exchange.request_body.and_then(|size| i64::try_from(size).ok()));
    attributes
        .maybe("http.response.body.size", exchange.response_body.and_then(|size| i64::try_from(size).ok()));
    attributes.maybe("tracer.incomplete", exchange.cut_short.then_some("end_not_seen"));

    Description { name, attributes: attributes.0, status, scope: Scope::Http }
}

/// Attributes that a span has at most, but for odd ones: the list need not grow.
const USUAL_ATTRIBUTES: usize = 18;

/// A method, without a copy where it is one of the usual ones.
fn method_text(method: &str) -> Cow<'static, str> {
    match KNOWN_METHODS.iter().find(|known| **known == method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(method.to_owned()),
    }
}

/// A scheme in lower case, without a copy where it is a usual one.
fn scheme_text(scheme: &str) -> Cow<'static, str> {
    match ["http", "https"].iter().find(|known| known.eq_ignore_ascii_case(scheme)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(scheme.to_ascii_lowercase()),
    }
}

/// Attributes in the order in which they are pushed.
struct Attributes(Vec<Attribute>);

impl Attributes {
    fn push(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(Attribute::new(key, value));
    }

    fn maybe(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }
}

/// The route, unless the server said that there is none: a path of which nothing is configured and that was not
/// found is whatever a scanner made up.
fn server_route(exchange: &HttpExchange, target: &Target<'_>, options: &SpanOptions) -> Option<String> {
    let route = route(target.path?, &options.routes)?;
    (route.configured || exchange.status != Some(404)).then_some(route.template)
}

/// `error.type`: a word for a failure of the transport, else the status code where it means an error to `role`.
fn error_type(exchange: &HttpExchange, role: Role) -> Option<Cow<'static, str>> {
    let least = match role {
        Role::Client => 400,
        Role::Server => 500,
    };
    match (exchange.failure, exchange.status) {
        (Some(failure), _) => Some(Cow::Borrowed(failure.word())),
        (None, Some(status)) if status >= least => Some(Cow::Owned(status.to_string())),
        (None, _) => None,
    }
}

fn server_attributes(
    attributes: &mut Attributes,
    exchange: &HttpExchange,
    target: &Target<'_>,
    endpoints: &Endpoints,
) {
    let scheme = scheme_text(exchange.forwarded.proto.as_deref().or(target.scheme).unwrap_or("http"));
    attributes.maybe("url.path", target.path.map(|path| redact_path(path).into_owned()));
    attributes.maybe("url.query", target.query.filter(|query| !query.is_empty()).map(redact_query));
    let named = [exchange.forwarded.host.as_deref(), target.authority, exchange.host.as_deref()]
        .into_iter()
        .flatten()
        .find_map(HostPort::parse)
        .map(|host| (host.name.to_owned(), host.port.or_else(|| default_port(&scheme))));
    attributes.push("url.scheme", scheme);
    server_address(attributes, named.or_else(|| endpoints.local.as_ref().map(address_and_port)));
    let client = exchange.forwarded.client.clone();
    attributes.maybe(
        "client.address",
        client.or_else(|| endpoints.peer.as_ref().map(|peer| address_and_port(peer).0)),
    );
}

fn client_attributes(
    attributes: &mut Attributes,
    exchange: &HttpExchange,
    target: &Target<'_>,
    endpoints: &Endpoints,
) {
    let scheme = scheme_text(target.scheme.unwrap_or("http"));
    let peer = endpoints.peer.as_ref().map(address_and_port);
    let authority = target.authority.or(exchange.host.as_deref());
    let named = authority
        .and_then(HostPort::parse)
        .map(|host| (host.name.to_owned(), host.port.or_else(|| default_port(&scheme))));
    // Over AF_UNIX `Host` is a placeholder; the socket's name says who answers.
    let server = if endpoints.unix { peer.clone().or(named) } else { named.or_else(|| peer.clone()) };
    let server = server.map(|(name, port)| (name, port.filter(|_| !endpoints.unix)));

    let mut full = String::new();
    if exchange.method == "CONNECT" {
        full.push_str(&redact_userinfo(target.authority.unwrap_or_default()));
    } else {
        let fallback = || endpoints.peer.as_ref().map(authority_of).unwrap_or_default();
        let authority = authority.map(redact_userinfo).unwrap_or_else(fallback);
        full = [&*scheme, "://", &authority].concat();
        full.push_str(&redact_path(target.path.filter(|path| *path != "*").unwrap_or_default()));
        if let Some(query) = target.query {
            full.push('?');
            full.push_str(&redact_query(query));
        }
    }
    attributes.push("url.full", full);
    server_address(attributes, server);
}

fn server_address(attributes: &mut Attributes, server: Option<(String, Option<u16>)>) {
    if let Some((name, port)) = server {
        attributes.push("server.address", name);
        attributes.maybe("server.port", port);
    }
}

fn network_attributes(attributes: &mut Attributes, exchange: &HttpExchange, endpoints: &Endpoints) {
    if let Some((address, port)) = endpoints.peer.as_ref().map(address_and_port) {
        attributes.push("network.peer.address", address);
        attributes.maybe("network.peer.port", port);
    }
    if endpoints.unix {
        attributes.push("network.transport", "unix");
    }
    attributes.push("network.protocol.version", exchange.version.as_str());
}

fn address_and_port(address: &Address) -> (String, Option<u16>) {
    match address {
        Address::Ip(address) => (ip_text(address.ip()), Some(address.port())),
        Address::Unix(path) => (path.clone(), None),
    }
}

/// An address as a URL's authority. Socket paths have no such form.
fn authority_of(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}
