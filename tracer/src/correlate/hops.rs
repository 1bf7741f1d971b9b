//! Two ends of one connection, both on this node: the client's exchange is the parent of the server's.
//!
//! No header is needed. The ends are told by where the connection stands when an exchange begins:
//!
//! - TCP: the client's next byte to write has the sequence number of the server's next byte to read, and the other
//!   way round. Sequence numbers begin at random and are the same at both ends, whatever addresses, network
//!   namespaces and translations lie between.
//! - AF_UNIX: the kernel knows each socket's peer.
//!
//! Both numbers must be known at both ends, 64 random bits. Two connections that stand at one spot at once are both
//! refused.
//!
//! ```text
//!   client's exchange begins ──▶ waits until it is over ──┐
//!                                                         ├──▶ joined, once each
//!   server's exchange begins ──▶ waits a moment ──────────┘
//! ```
//!
//! The client writes before the server reads, but the events come at the ends of the calls: a server can even answer
//! before the client's event comes. So a server's exchange waits a moment for its client, and its ids with it; longer where
//! the client is known to be here ([`super::pairs`]).
//!
//! Only an exchange that begins while its connection has no other one open takes part: of pipelined requests the two
//! ends can cut the bytes into calls differently.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::pairs::Pairs;
use crate::connection::Standing;
use crate::event::{ActiveId, ConnectionId, Nanos, Role};
use crate::protocol::ExchangeId;

/// Exchanges of clients, and of servers, that wait for their other ends; beyond that the one that waited longest waits
/// no more.
pub const MAX_WAITING: usize = 32_768;

/// How long a server's exchange waits for the client's event, in nanoseconds: a thread that was preempted on its way
/// out of a call is soon on again.
pub const SERVER_GRACE: Nanos = 30_000_000;

/// The same where the client is known to be on this node, so that its event comes unless it is lost: longer than a
/// thread is kept from a crowded processor.
pub const PAIR_GRACE: Nanos = 1_000_000_000;

/// Where a connection stands: the same at both ends, and nowhere else at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    /// TCP.
    Tcp {
        /// Sequence number of the request's first byte.
        request: u32,
        /// Sequence number of the response's first byte.
        response: u32,
    },
    /// AF_UNIX: addresses of both `struct sock`.
    Unix {
        /// The client's.
        client: u64,
        /// The server's.
        server: u64,
    },
}

/// A client's exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientEnd {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its number on it.
    pub id: ExchangeId,
}

/// The exchanges that wait for their other ends. `C` is what is kept of a client's exchange.
#[derive(Debug)]
pub struct Hops<C> {
    clients: FxHashMap<Spot, Client<C>>,
    servers: FxHashMap<Spot, Server>,
    /// Clients in the order of their beginning.
    begun: VecDeque<(Spot, ClientEnd)>,
    /// Servers that wait for [`SERVER_GRACE`], in the order of their beginning, and until when.
    due: VecDeque<Due>,
    /// Those that wait for [`PAIR_GRACE`].
    due_pairs: VecDeque<Due>,
    /// Clients that were joined and are not over.
    joined: FxHashMap<ClientEnd, ActiveId>,
    /// Connections of which both ends are here.
    pub pairs: Pairs,
    /// Exchanges that stand where another one stood already: nobody can tell whose other end is whose.
    pub ambiguous: u64,
}

/// When a server's exchange has waited long enough.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Nanos,
    spot: Spot,
    server: ActiveId,
}

#[derive(Debug)]
struct Client<C> {
    end: ClientEnd,
    kept: C,
    /// Another connection's client stands at the same spot, or it is nobody's parent.
    refused: bool,
}

#[derive(Debug)]
struct Server {
    connection: ConnectionId,
    active: ActiveId,
    /// Another connection's server stands at the same spot.
    ambiguous: bool,
}

impl<C> Default for Hops<C> {
    fn default() -> Self {
        Self {
            clients: FxHashMap::default(),
            servers: FxHashMap::default(),
            begun: VecDeque::new(),
            due: VecDeque::new(),
            due_pairs: VecDeque::new(),
            joined: FxHashMap::default(),
            pairs: Pairs::default(),
            ambiguous: 0,
        }
    }
}

impl<C: Clone> Hops<C> {
    /// A client's exchange begins. Gives the server's exchange, if it waits.
    pub fn begin_client(&mut self, spot: Spot, end: ClientEnd, client: C) -> Option<ActiveId> {
        if let Some(other) =
            self.clients.get_mut(&spot).filter(|other| other.end.connection != end.connection)
        {
            other.refused = true;
            self.ambiguous += 1;
            return None;
        }
        if let Some(server) = self.servers.get(&spot).filter(|server| server.connection != end.connection) {
            if server.ambiguous {
                return None;
            }
            let server = self.servers.remove(&spot)?;
            self.joined.insert(end, server.active);
            self.pairs.found_late(server.connection);
            return Some(server.active);
        }
        self.clients.insert(spot, Client { end, kept: client, refused: false });
        self.begun.push_back((spot, end));
        while self.clients.len() > MAX_WAITING
            && let Some((spot, end)) = self.begun.pop_front()
        {
            self.remove_client(spot, end);
        }
        if self.begun.len() > 2 * self.clients.len() + 64 {
            let clients = &self.clients;
            self.begun.retain(|(spot, end)| clients.get(spot).is_some_and(|client| client.end == *end));
        }
        None
    }

    /// A client's exchange begins that is nobody's parent. Gives the server's exchange, if it waits: in vain.
    pub fn turn_away(&mut self, spot: Spot, end: ClientEnd, client: C) -> Option<ActiveId> {
        let server = self.begin_client(spot, end, client);
        self.joined.remove(&end);
        if let Some(client) = self.clients.get_mut(&spot).filter(|client| client.end == end) {
            client.refused = true;
        }
        server
    }

    /// A server's exchange begins at `now`. Gives the client's exchange, if that is known. If not, this one waits, and
    /// may turn up in [`Self::begin_client`], or in [`Self::expire`].
    ///
    /// # Errors
    /// What is waited for, when no such client is known so far.
    pub fn begin_server(
        &mut self,
        spot: Spot,
        connection: ConnectionId,
        server: ActiveId,
        now: Nanos,
    ) -> Result<(ClientEnd, C), Waits> {
        if let Some(client) = self.clients.get(&spot).filter(|client| client.end.connection != connection) {
            if client.refused {
                return Err(Waits::No);
            }
            let Some(Client { end, kept, .. }) = self.clients.remove(&spot) else { return Err(Waits::No) };
            self.joined.insert(end, server);
            self.pairs.found(connection);
            return Ok((end, kept));
        }
        let full = self.servers.len() >= MAX_WAITING;
        let waiting = Server { connection, active: server, ambiguous: false };
        let displaced = match self.servers.entry(spot) {
            Entry::Occupied(mut other) if other.get().connection != connection => {
                // The other one goes on without a client too, when it has waited long enough.
                other.get_mut().ambiguous = true;
                self.ambiguous += 1;
                return Err(Waits::No);
            }
            _ if full => return Err(Waits::No),
            Entry::Occupied(mut own) => Some(own.insert(waiting)),
            Entry::Vacant(place) => {
                place.insert(waiting);
                None
            }
        };
        let (due, grace) = if self.pairs.is_pair(connection) {
            (&mut self.due_pairs, PAIR_GRACE)
        } else {
            (&mut self.due, SERVER_GRACE)
        };
        due.push_back(Due { at: now.saturating_add(grace), spot, server });
        Err(Waits::Yes { instead_of: displaced.map(|displaced| displaced.active) })
    }

    /// A client's exchange has changed its mind about what it is: gives the server's exchange, if it was joined.
    pub fn server_of(&self, end: ClientEnd) -> Option<ActiveId> {
        self.joined.get(&end).copied()
    }

    /// What is kept of a client's exchange that waits.
    pub fn client_mut(&mut self, spot: Spot, end: ClientEnd) -> Option<&mut C> {
        let client = self.clients.get_mut(&spot)?;
        (client.end == end).then_some(&mut client.kept)
    }

    /// A client's exchange is over.
    pub fn end_client(&mut self, spot: Option<Spot>, end: ClientEnd) {
        self.joined.remove(&end);
        if let Some(spot) = spot {
            self.remove_client(spot, end);
        }
    }

    /// The servers' exchanges that have waited long enough at `now`.
    pub fn expire(&mut self, now: Nanos, mut over: impl FnMut(ActiveId)) {
        for queue in [&mut self.due, &mut self.due_pairs] {
            while let Some(Due { spot, server, .. }) = queue.pop_front_if(|due| due.at <= now) {
                if let Entry::Occupied(waiting) = self.servers.entry(spot)
                    && waiting.get().active == server
                {
                    waiting.remove();
                    over(server);
                }
            }
        }
    }

    /// Exchanges that wait: clients' and servers'.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    fn remove_client(&mut self, spot: Spot, end: ClientEnd) {
        if self.clients.get(&spot).is_some_and(|client| client.end == end) {
            self.clients.remove(&spot);
        }
    }
}

/// Whether a server's exchange waits for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It does, perhaps instead of another one that waits no more.
    Yes {
        /// The other one.
        instead_of: Option<ActiveId>,
    },
    /// Nobody could tell its client.
    No,
}

impl Spot {
    /// The spot that an end of this `role` with the socket `own_sock` stands at.
    #[must_use]
    pub fn of(standing: &Standing, own_sock: u64, role: Role) -> Option<Self> {
        if !standing.sequence {
            let (client, server) = match role {
                Role::Client => (own_sock, standing.peer_sock),
                Role::Server => (standing.peer_sock, own_sock),
            };
            return (standing.peer_sock != 0).then_some(Self::Unix { client, server });
        }
        let (request, response) = match role {
            Role::Client => (standing.egress, standing.ingress),
            Role::Server => (standing.ingress, standing.egress),
        };
        // Only the low 32 bits of a sequence number count.
        let low = |position: u64| position as u32;
        Some(Self::Tcp { request: low(request?), response: low(response?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(request: u32, response: u32) -> Spot {
        Spot::Tcp { request, response }
    }

    fn end(sock: u64) -> ClientEnd {
        ClientEnd { connection: connection(sock), id: 0 }
    }

    fn connection(sock: u64) -> ConnectionId {
        ConnectionId { sock, ino: sock }
    }

    #[test]
    fn both_ends_see_the_same_place() {
        let client = Standing { ingress: Some(9), egress: Some((1 << 32) | 5), sequence: true, peer_sock: 0 };
        let server = Standing { ingress: Some(5), egress: Some(9), sequence: true, peer_sock: 0 };
        assert_eq!(Spot::of(&client, 1, Role::Client), Spot::of(&server, 2, Role::Server));
        let client = Standing { peer_sock: 2, ..Standing::default() };
        let server = Standing { peer_sock: 1, ..Standing::default() };
        assert_eq!(Spot::of(&client, 1, Role::Client), Spot::of(&server, 2, Role::Server));
        assert_eq!(Spot::of(&Standing::default(), 1, Role::Client), None);
    }

    #[test]
    fn either_order() {
        let mut hops = Hops::default();
        assert_eq!(hops.begin_client(tcp(5, 9), end(1), 'a'), None);
        let joined = hops.begin_server(tcp(5, 9), connection(2), ActiveId(1), 0);
        assert_eq!(joined, Ok((end(1), 'a')));
        assert!(hops.begin_server(tcp(6, 9), connection(2), ActiveId(2), 0).is_err());
        assert_eq!(hops.begin_client(tcp(6, 9), end(3), 'b'), Some(ActiveId(2)));
        assert_eq!(hops.waiting(), (0, 0));
        assert_eq!((hops.server_of(end(1)), hops.server_of(end(3))), (Some(ActiveId(1)), Some(ActiveId(2))));
        hops.end_client(Some(tcp(5, 9)), end(1));
        assert_eq!(hops.server_of(end(1)), None);
    }

    #[test]
    fn what_does_not_meet_is_not_joined() {
        let mut hops = Hops::default();
        hops.begin_client(tcp(5, 9), end(1), 'a');
        let unjoined = [
            (tcp(5, 8), connection(2)),
            (tcp(6, 9), connection(2)),
            // A socket is not its own peer.
            (tcp(5, 9), connection(1)),
            (Spot::Unix { client: 5, server: 2 }, connection(2)),
        ];
        for (number, (spot, connection)) in (0..).zip(unjoined) {
            assert!(hops.begin_server(spot, connection, ActiveId(number), 0).is_err(), "{spot:?}");
        }
        assert!(hops.begin_server(tcp(5, 9), connection(2), ActiveId(9), 0).is_ok());
        let half_known = Standing { ingress: None, egress: Some(5), sequence: true, peer_sock: 0 };
        assert_eq!(Spot::of(&half_known, 1, Role::Client), None);
    }

    #[test]
    fn two_at_one_spot_are_refused() {
        let mut hops = Hops::default();
        hops.begin_client(tcp(5, 9), end(1), 'a');
        hops.begin_client(tcp(5, 9), end(3), 'b');
        for server in [2, 4] {
            let joined = hops.begin_server(tcp(5, 9), connection(server), ActiveId(server), 0);
            assert_eq!(joined, Err(Waits::No));
        }
        let mut hops = Hops::default();
        assert!(matches!(
            hops.begin_server(tcp(5, 9), connection(2), ActiveId(1), 0),
            Err(Waits::Yes { .. })
        ));
        assert_eq!(hops.begin_server(tcp(5, 9), connection(4), ActiveId(2), 0), Err(Waits::No));
        assert_eq!(hops.begin_client(tcp(5, 9), end(1), 'a'), None);
        let mut over = Vec::new();
        hops.expire(SERVER_GRACE, |server| over.push(server));
        assert_eq!((over, hops.ambiguous), (vec![ActiveId(1)], 1));
    }

    #[test]
    fn a_client_that_is_over_and_a_server_that_waited_enough_are_not_joined() {
        let mut hops = Hops::default();
        hops.begin_client(tcp(5, 9), end(1), 'a');
        hops.end_client(Some(tcp(5, 9)), end(1));
        assert!(hops.begin_server(tcp(5, 9), connection(2), ActiveId(1), 0).is_err());
        let mut over = Vec::new();
        hops.expire(SERVER_GRACE - 1, |server| over.push(server));
        assert!(over.is_empty());
        hops.expire(SERVER_GRACE, |server| over.push(server));
        assert_eq!(over, [ActiveId(1)]);
        assert_eq!(hops.begin_client(tcp(5, 9), end(3), 'b'), None);
    }

    #[test]
    fn a_server_that_is_over_before_its_client_comes_is_not_remembered() {
        let mut hops = Hops::default();
        hops.pairs.meet(connection(2), Role::Server, tcp(5, 9));
        assert!(hops.begin_server(tcp(5, 9), connection(2), ActiveId(1), 0).is_err());
        hops.pairs.part(connection(2));
        assert_eq!(hops.begin_client(tcp(5, 9), end(1), 'a'), Some(ActiveId(1)));
        assert!(!hops.pairs.is_pair(connection(2)));
    }

    #[test]
    fn a_server_whose_client_is_here_waits_longer_and_keeps_nobody() {
        let mut hops = Hops::<char>::default();
        hops.pairs.found(connection(2));
        assert!(hops.begin_server(tcp(5, 9), connection(2), ActiveId(1), 0).is_err());
        assert!(hops.begin_server(tcp(7, 9), connection(4), ActiveId(2), 0).is_err());
        let mut over = Vec::new();
        hops.expire(PAIR_GRACE - 1, |server| over.push(server));
        assert_eq!(over, [ActiveId(2)]);
        hops.expire(PAIR_GRACE, |server| over.push(server));
        assert_eq!(over, [ActiveId(2), ActiveId(1)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut hops = Hops::default();
        for number in 0..2 * MAX_WAITING as u32 {
            hops.begin_client(tcp(number, 1), end(u64::from(number)), 'a');
            let waits = hops.begin_server(tcp(number, 2), connection(1), ActiveId(number.into()), 0);
            assert_eq!(waits == Err(Waits::No), number as usize >= MAX_WAITING);
        }
        assert_eq!(hops.waiting(), (MAX_WAITING, MAX_WAITING));
        for number in 0..2 * MAX_WAITING as u32 {
            hops.end_client(Some(tcp(number, 1)), end(u64::from(number)));
        }
        hops.begin_client(tcp(0, 1), end(0), 'a');
        assert!(hops.begun.len() < 100);
    }
}
