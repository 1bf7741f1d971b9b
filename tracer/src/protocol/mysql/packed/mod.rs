//! The compressed protocol: packets of a second layer that hold, compressed or as they are, the bytes of the first.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression.html>,
//! <https://mariadb.com/kb/en/0-packet/#compressed-packet>
//!
//! ```text
//! bytes ─► unpacker ─► bytes ─► framer ─► …      (one unpacker a side)
//! ```

mod codec;
mod frame;
mod judge;
#[cfg(test)]
pub(super) mod tests;
mod unpacker;

pub(super) use judge::{is_response, requests};
pub(super) use unpacker::{Piece, Sought, Unpacker};

/// Both sides of a compressed connection.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) requests: Unpacker,
    pub(super) responses: Unpacker,
}

impl Packed {
    /// The next byte on either side begins a packet (`framed`), or packets must be looked for.
    pub(super) fn new(framed: bool) -> Self {
        Self { requests: Unpacker::new(framed), responses: Unpacker::new(framed) }
    }
}
