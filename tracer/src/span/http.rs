//! http spans

use super::{Description, SpanOptions};
use crate::event::{Endpoints, Role};
use crate::protocol::http::HttpExchange;

/// Describes an exchange.
#[must_use]
pub fn describe(_: &HttpExchange, _: Role, _: &Endpoints, _: &SpanOptions) -> Description {
    unreachable!()
}

/// Known methods of the semantic conventions.
pub const KNOWN_METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Route options.
#[derive(Clone, Debug, Default)]
pub struct RouteOptions {}
