//! redis spans

use super::{Description, SpanOptions};
use crate::event::{Endpoints, Role};
use crate::protocol::redis::RedisExchange;

/// Describes an exchange.
#[must_use]
pub fn describe(_: &RedisExchange, _: Role, _: &Endpoints, _: &SpanOptions) -> Vec<Description> {
    unreachable!()
}
