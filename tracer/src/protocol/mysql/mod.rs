//! mysql

use super::{Conversation, Opening, Protocol, Start, Verdict};

/// This protocol, for the list.
pub const PROTOCOL: Protocol = Protocol { name: "mysql", detect, start };

fn detect(_: &Opening<'_>) -> Verdict {
    Verdict::NotForUs
}

fn start(_: Start) -> Box<dyn Conversation> {
    unreachable!()
}

/// Stub.
#[derive(Debug, Clone, PartialEq)]
pub struct MysqlExchange {}
