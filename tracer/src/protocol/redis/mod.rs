//! Redis and Valkey: RESP2 and RESP3, both roles.
//!
//! ```text
//! bytes ─► resp (tokens) ─► request ─► conversation ─► outstanding ─► exchanges
//!                        └► reply   ─►  (session, transaction, step)
//! ```
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

mod batch;
mod command;
mod conversation;
mod detect;
mod early;
mod error;
mod inline;
mod outstanding;
mod pace;
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

pub use command::{Argument, Command, MAX_ARGUMENT, MAX_ARGUMENTS, Outcome, Tally, UNKNOWN_NAME};
pub(crate) use command::{OTHER_NAMES, Part, Shown, lookup};
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
    /// The further ones, counted by name.
    pub omitted: Vec<Tally>,
    /// The first failing reply's word, such as `WRONGTYPE`.
    pub error: Option<Cow<'static, str>>,
    /// How many replies failed.
    pub failures: u32,
    /// The selected database when the commands ran, if it is known and one for all.
    pub database: Option<u32>,
}

impl RedisExchange {
    /// How many commands there were that are not kept.
    #[must_use]
    pub fn omitted(&self) -> u64 {
        self.omitted.iter().map(|tally| u64::from(tally.commands)).sum()
    }
}

#[cfg(test)]
mod tests;
