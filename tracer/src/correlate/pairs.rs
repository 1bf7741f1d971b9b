//! Connections of which both ends are traced.
//!
//! Both ends of a connection begin at one [`Spot`]: TCP's first sequence numbers, or the sockets of AF_UNIX. Whoever knows
//! that a server's client is here can wait for its events with more patience.

use rustc_hash::FxHashMap;

use super::hops::Spot;
use crate::event::{ConnectionId, Role};

/// The ends of connections whose begin was told.
#[derive(Debug, Default)]
pub struct Pairs {
    ends: FxHashMap<ConnectionId, End>,
    /// Ends whose other ends are not known, by where they began.
    alone: FxHashMap<Spot, ConnectionId>,
}

#[derive(Debug)]
struct End {
    role: Role,
    /// Where it began, until its other end is known.
    alone_at: Option<Spot>,
}

impl Pairs {
    /// A connection begins.
    pub fn meet(&mut self, connection: ConnectionId, role: Role, spot: Spot) {
        self.part(connection);
        if let Some(other) = self.alone.get(&spot).copied()
            && let Some(end) = self.ends.get_mut(&other).filter(|end| end.role != role)
        {
            end.alone_at = None;
            self.alone.remove(&spot);
            self.ends.insert(connection, End { role, alone_at: None });
        } else {
            // Whoever is there already has the same role: one of the two was never told to be over.
            self.alone.insert(spot, connection);
            self.ends.insert(connection, End { role, alone_at: Some(spot) });
        }
    }

    /// A server's connection, which is not over, turned out to have its client here.
    pub fn found(&mut self, server: ConnectionId) {
        let before = self.ends.insert(server, End { role: Role::Server, alone_at: None });
        self.forget(before, server);
    }

    /// The same of one that may be over.
    pub fn found_late(&mut self, server: ConnectionId) {
        if self.ends.contains_key(&server) {
            self.found(server);
        }
    }

    /// A connection is over.
    pub fn part(&mut self, connection: ConnectionId) {
        let before = self.ends.remove(&connection);
        self.forget(before, connection);
    }

    /// Whether both ends of a connection are known.
    #[must_use]
    pub fn is_pair(&self, connection: ConnectionId) -> bool {
        self.ends.get(&connection).is_some_and(|end| end.alone_at.is_none())
    }

    fn forget(&mut self, end: Option<End>, connection: ConnectionId) {
        if let Some(spot) = end.and_then(|end| end.alone_at)
            && self.alone.get(&spot) == Some(&connection)
        {
            self.alone.remove(&spot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(sock: u64) -> ConnectionId {
        ConnectionId { sock, ino: sock }
    }

    const SPOT: Spot = Spot::Tcp { request: 5, response: 9 };
    const CLIENT: ConnectionId = ConnectionId { sock: 1, ino: 1 };
    const SERVER: ConnectionId = ConnectionId { sock: 2, ino: 2 };

    #[test]
    fn ends_that_begin_at_one_spot_are_a_pair_in_either_order() {
        for order in [
            [(CLIENT, Role::Client), (SERVER, Role::Server)],
            [(SERVER, Role::Server), (CLIENT, Role::Client)],
        ] {
            let mut pairs = Pairs::default();
            for (end, role) in order {
                assert!(!pairs.is_pair(end));
                pairs.meet(end, role, SPOT);
            }
            assert!(pairs.is_pair(CLIENT) && pairs.is_pair(SERVER));
        }
    }

    #[test]
    fn ends_at_other_spots_or_of_one_role_or_that_are_over_are_none() {
        let mut pairs = Pairs::default();
        pairs.meet(CLIENT, Role::Client, SPOT);
        pairs.meet(connection(3), Role::Client, SPOT);
        pairs.meet(SERVER, Role::Server, Spot::Tcp { request: 5, response: 8 });
        assert!(![CLIENT, connection(3), SERVER].into_iter().any(|end| pairs.is_pair(end)));
        pairs.part(connection(3));
        pairs.meet(connection(4), Role::Server, SPOT);
        assert!(!pairs.is_pair(connection(4)));
    }

    #[test]
    fn nothing_is_left_of_what_is_over() {
        let mut pairs = Pairs::default();
        for sock in 0..100 {
            let spot = Spot::Tcp { request: sock as u32 / 2, response: 1 };
            pairs.meet(connection(sock), if sock % 4 == 0 { Role::Client } else { Role::Server }, spot);
            pairs.found(connection(sock / 2));
        }
        for sock in 0..100 {
            pairs.part(connection(sock));
        }
        assert!(pairs.ends.is_empty() && pairs.alone.is_empty());
    }
}
