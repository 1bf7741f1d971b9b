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
use self::target::{HostPort, Part, Target};
use super::{Attribute, Description, Scope, SpanOptions, Status, Value};
use crate::event::{Address, Endpoint, Endpoints, Role};
use crate::protocol::http::HttpExchange;
use crate::text::Text;

/// Known methods of the semantic conventions.
pub const KNOWN_METHODS: [&str; 9] = crate::protocol::http::USUAL_METHODS;

/// Describes an exchange, whose texts it takes. The cap on routes per service is not applied here: see
/// [`RouteTable::limit`].
#[must_use]
pub fn describe(
    exchange: &mut HttpExchange,
    role: Role,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Description {
    let known_method = options.known_methods.iter().any(|known| exchange.method == **known);
    let method = if known_method { exchange.method.clone() } else { Text::Static("HTTP") };
    let error = error_type(exchange, role);
    let status = if error.is_some() { Status::Error(None) } else { Status::Unset };

    let mut attributes = Attributes(Vec::with_capacity(USUAL_ATTRIBUTES));
    if known_method {
        attributes.push("http.request.method", method.clone());
    } else {
        attributes.push("http.request.method", "_OTHER");
        attributes.push("http.request.method_original", exchange.method.clone());
    }
    let route = match role {
        Role::Server => server_attributes(&mut attributes, exchange, endpoints, options),
        Role::Client => {
            client_attributes(&mut attributes, exchange, endpoints);
            None
        }
    };
    let name = match &route {
        Some(route) => [&*method, " ", route].concat().into(),
        None => method,
    };
    attributes.maybe("http.route", route);
    attributes.maybe("http.response.status_code", exchange.status);
    attributes.maybe("error.type", error);
    network_attributes(&mut attributes, exchange, endpoints);
    if role == Role::Server {
        attributes.maybe("user_agent.original", exchange.user_agent.take());
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
fn server_route(target: &Target<'_>, status: Option<u16>, options: &SpanOptions) -> Option<String> {
    let route = route(target.path?, &options.routes)?;
    (route.configured || status != Some(404)).then_some(route.template)
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

/// Returns the route.
fn server_attributes(
    attributes: &mut Attributes,
    exchange: &mut HttpExchange,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Option<String> {
    let target = Target::parse(&exchange.method, &exchange.target);
    let route = server_route(&target, exchange.status, options);
    let scheme = scheme_text(exchange.forwarded.proto.as_deref().or(target.scheme).unwrap_or("http"));
    let query = target.query.filter(|query| !query.is_empty()).map(redact_query);
    let path = target.path.map(|path| Part::new(redact_path(path), &exchange.target));
    let host = exchange.host.as_deref().unwrap_or_default();
    let named = [exchange.forwarded.host.as_deref(), target.authority, Some(host)]
        .into_iter()
        .flatten()
        .find_map(HostPort::parse)
        .map(|named| (Part::new(named.name.into(), host), named.port.or_else(|| default_port(&scheme))));

    let target = std::mem::take(&mut exchange.target);
    attributes.maybe("url.path", path.map(|path| path.of(target)));
    attributes.maybe("url.query", query);
    attributes.push("url.scheme", scheme);
    let host = exchange.host.take().unwrap_or_default();
    let named = named.map(|(name, port)| (name.of(host).into(), port));
    server_address(attributes, named.or_else(|| endpoints.local.as_ref().map(name_and_port)));
    let client = exchange.forwarded.client.take().map(Text::Owned);
    let client = client.or_else(|| endpoints.peer.as_ref().map(|peer| peer.name.clone().into()));
    attributes.maybe("client.address", client);
    route
}

fn client_attributes(attributes: &mut Attributes, exchange: &mut HttpExchange, endpoints: &Endpoints) {
    let target = Target::parse(&exchange.method, &exchange.target);
    let scheme = scheme_text(target.scheme.unwrap_or("http"));
    let peer = endpoints.peer.as_ref().map(name_and_port);
    let host = exchange.host.as_deref().unwrap_or_default();
    let authority = target.authority.or(exchange.host.as_deref());
    let named = authority
        .and_then(HostPort::parse)
        .map(|named| (Part::new(named.name.into(), host), named.port.or_else(|| default_port(&scheme))));
    attributes.push("url.full", full_url(exchange, &target, &scheme, endpoints));

    let host = exchange.host.take().unwrap_or_default();
    let named = named.map(|(name, port)| (name.of(host).into(), port));
    // Over AF_UNIX `Host` is a placeholder; the socket's name says who answers.
    let server = if endpoints.unix { peer.or(named) } else { named.or(peer) };
    server_address(attributes, server.map(|(name, port)| (name, port.filter(|_| !endpoints.unix))));
}

fn full_url(exchange: &HttpExchange, target: &Target<'_>, scheme: &str, endpoints: &Endpoints) -> String {
    if exchange.method == "CONNECT" {
        return redact_userinfo(target.authority.unwrap_or_default()).into_owned();
    }
    let fallback = || endpoints.peer.as_ref().map(authority_of).unwrap_or_default().into();
    let authority = target.authority.or(exchange.host.as_deref()).map_or_else(fallback, redact_userinfo);
    let path = redact_path(target.path.filter(|path| *path != "*").unwrap_or_default());
    let query = target.query.map(redact_query);
    let (mark, query) = query.as_deref().map_or(("", ""), |query| ("?", query));
    [scheme, "://", &authority, &path, mark, query].concat()
}

fn server_address(attributes: &mut Attributes, server: Option<(Text, Option<u16>)>) {
    if let Some((name, port)) = server {
        attributes.push("server.address", name);
        attributes.maybe("server.port", port);
    }
}

fn network_attributes(attributes: &mut Attributes, exchange: &HttpExchange, endpoints: &Endpoints) {
    if let Some((name, port)) = endpoints.peer.as_ref().map(name_and_port) {
        attributes.push("network.peer.address", name);
        attributes.maybe("network.peer.port", port);
    }
    if endpoints.unix {
        attributes.push("network.transport", "unix");
    }
    attributes.push("network.protocol.version", exchange.version.as_str());
}

fn name_and_port(end: &Endpoint) -> (Text, Option<u16>) {
    (end.name.clone().into(), end.port())
}

/// An address as a URL's authority. Socket paths have no such form.
fn authority_of(end: &Endpoint) -> String {
    match &end.address {
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
