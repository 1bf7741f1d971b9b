//! MySQL and MariaDB: the classic client/server protocol.
//!
//! ```text
//! bytes ─┬────────────► framer ─► message ─┬─ client's ─► request ──┐
//!        │                ▲                 │                        ├─► pairing ─► open ─► exchange
//!        └─► unpacker ────┘                 └─ server's ─► reply ────┘
//! ```
//!
//! The protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>,
//! <https://mariadb.com/kb/en/clientserver-protocol/>. A connection that goes on in TLS is recognised, counted and
//! then left alone: nothing of what follows can be read.

mod capability;
mod command;
mod conversation;
mod cursor;
mod database;
mod detect;
mod exchange;
mod framer;
mod handshake;
mod open;
mod packed;
mod packet;
mod pairing;
mod plain;
mod plausible;
mod reply;
mod request;
mod seek;
mod session;
mod statement;
mod tail;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use exchange::{Completeness, Flavor, MysqlExchange, QueryText, ServerError};

use super::{Conversation, Protocol, Start};
use crate::event::Role;

/// This protocol, for the list.
pub const PROTOCOL: Protocol =
    Protocol { name: "mysql", told_by: Role::Client, detect: detect::detect, start };

fn start(start: Start) -> Box<dyn Conversation> {
    Box::new(conversation::MysqlConversation::new(start))
}
