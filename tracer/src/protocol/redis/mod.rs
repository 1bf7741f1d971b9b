//! Redis and Valkey: RESP2 and RESP3, both roles.
//!
//! ```text
//! bytes ─► resp (tokens) ─► request ─► conversation ─► outstanding ─► exchanges
//!                        └► reply   ─►  (session, transaction, step)
//! ```
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

mod command;
mod conversation;
mod detect;
mod early;
mod outstanding;
mod reply;
mod request;
mod resp;
mod session;
mod step;
mod table;
mod transaction;

use std::borrow::Cow;

use super::{Conversation, Protocol, Start};
use crate::event::Role;

pub use command::{Argument, Command, MAX_ARGUMENT, MAX_ARGUMENTS, Outcome, UNKNOWN_NAME};
pub(crate) use command::{Part, Shown, lookup};
pub(crate) use detect::PORT;

/// This protocol, for the list.
pub const PROTOCOL: Protocol =
    Protocol { name: "redis", told_by: Role::Client, detect: detect::detect, start };

fn start(start: Start) -> Box<dyn Conversation> {
    Box::new(conversation::RedisConversation::new(start))
}

/// The commands of one write, each with its own reply. Mostly one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedisExchange {
    /// The commands, as many as are kept.
    pub commands: Vec<Command>,
    /// How many further commands there were.
    pub omitted: u32,
    /// The first failing reply's word, such as `WRONGTYPE`.
    pub error: Option<Cow<'static, str>>,
    /// How many replies failed.
    pub failures: u32,
    /// The selected database when the commands ran, if it is known and one for all.
    pub database: Option<u32>,
}

#[cfg(test)]
mod tests;
