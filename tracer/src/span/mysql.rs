//! mysql spans

use super::{Description, SpanOptions};
use crate::event::{Endpoints, Role};
use crate::protocol::mysql::MysqlExchange;

/// Describes an exchange.
#[must_use]
pub fn describe(_: &MysqlExchange, _: Role, _: &Endpoints, _: &SpanOptions) -> Description {
    unreachable!()
}
