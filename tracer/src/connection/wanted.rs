//! Which ends of connections become spans, where both ends are seen.

use clap::ValueEnum;
use serde::Deserialize;

use crate::event::Role;
use crate::protocol::Protocol;

/// Which ends of connections become spans. `--role` of `tracer replay`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum WantedEnds {
    /// One end of each: the server of HTTP, the client of databases
    Auto,
    /// The server
    Server,
    /// The client
    Client,
    /// Both: each exchange is told twice
    #[default]
    Both,
}

impl WantedEnds {
    /// Whether an end of this role that speaks this protocol is wanted.
    #[must_use]
    pub fn includes(self, protocol: &Protocol, role: Role) -> bool {
        match self {
            Self::Auto => role == protocol.told_by,
            Self::Server => role == Role::Server,
            Self::Client => role == Role::Client,
            Self::Both => true,
        }
    }

    /// Whether some protocol's end of this role is wanted.
    #[must_use]
    pub fn may_include(self, role: Role) -> bool {
        match self {
            Self::Auto | Self::Both => true,
            Self::Server => role == Role::Server,
            Self::Client => role == Role::Client,
        }
    }

    /// Whether a connection that speaks no known protocol counts at its end of this role: once a connection.
    #[must_use]
    pub fn counts(self, role: Option<Role>) -> bool {
        !(self == Self::Auto && role == Some(Role::Client))
    }
}
