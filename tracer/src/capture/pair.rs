//! The two peers of a connection, before anybody knows which one is the server.

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The one with the lower address.
    First,
    /// The other one.
    Second,
}

impl Peer {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The peer's peer.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// One of something for each peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pair<T> {
    /// Of [`Peer::First`].
    pub first: T,
    /// Of [`Peer::Second`].
    pub second: T,
}

impl<T> Pair<T> {
    /// That of a peer.
    pub const fn of(&self, peer: Peer) -> &T {
        match peer {
            Peer::First => &self.first,
            Peer::Second => &self.second,
        }
    }

    /// That of a peer, to be changed.
    pub const fn of_mut(&mut self, peer: Peer) -> &mut T {
        match peer {
            Peer::First => &mut self.first,
            Peer::Second => &mut self.second,
        }
    }
}
