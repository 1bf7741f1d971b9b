//! The connections that are followed, by socket.

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::event::{ConnectionId, Nanos};

/// Connections that are followed at once; the least recently used is forgotten. As many as the probe remembers.
pub const MAX_CONNECTIONS: usize = tracer_ebpf::limits::MAX_CONNECTIONS as usize;

/// A bounded table of connections.
///
/// A socket's address names at most one living connection, so the address is the key; the inode number tells
/// whether it is still the same one.
#[derive(Debug)]
pub struct ConnectionTable<T> {
    entries: LruCache<u64, Entry<T>, FxBuildHasher>,
    limit: usize,
}

#[derive(Debug)]
struct Entry<T> {
    ino: u64,
    since: Nanos,
    value: T,
}

/// What the table knows of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is followed.
    Live,
    /// It is not known.
    Absent,
    /// Another connection had the same socket address until now: it is over, and removed.
    Displaced(T),
    /// Another, younger connection has the socket address: the event is a late one of a dead connection.
    Stale,
}

impl<T> ConnectionTable<T> {
    /// A table of at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: LruCache::unbounded_with_hasher(FxBuildHasher), limit: limit.max(1) }
    }

    /// Number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What an event of `time` about `id` meets.
    pub fn lookup(&mut self, id: ConnectionId, time: Nanos) -> Lookup<T> {
        match self.entries.peek(&id.sock) {
            None => Lookup::Absent,
            Some(entry) if entry.ino == id.ino => Lookup::Live,
            Some(entry) if time < entry.since => Lookup::Stale,
            Some(_) => {
                self.entries.pop(&id.sock).map_or(Lookup::Absent, |entry| Lookup::Displaced(entry.value))
            }
        }
    }

    /// The connection, which becomes the most recently used.
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        self.entries.get_mut(&id.sock).filter(|entry| entry.ino == id.ino).map(|entry| &mut entry.value)
    }

    /// Adds a connection that was first seen at `since`. Returns what had to be forgotten for it.
    #[must_use]
    pub fn insert(&mut self, id: ConnectionId, since: Nanos, value: T) -> Option<T> {
        let replaced = self.entries.put(id.sock, Entry { ino: id.ino, since, value });
        if replaced.is_none() && self.entries.len() > self.limit {
            return self.entries.pop_lru().map(|(_, entry)| entry.value);
        }
        replaced.map(|entry| entry.value)
    }

    /// Removes a connection. Inode number 0 stands for any: a socket that closes may have lost its file.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let entry = self.entries.peek(&id.sock)?;
        if id.ino != 0 && entry.ino != id.ino {
            return None;
        }
        self.entries.pop(&id.sock).map(|entry| entry.value)
    }

    /// The whole identity of a connection that may be named without its inode number.
    #[must_use]
    pub fn resolve(&self, id: ConnectionId) -> Option<ConnectionId> {
        let entry = self.entries.peek(&id.sock)?;
        (id.ino == 0 || entry.ino == id.ino).then_some(ConnectionId { ino: entry.ino, ..id })
    }

    /// Removes the least recently used connection.
    pub fn pop(&mut self) -> Option<T> {
        self.entries.pop_lru().map(|(_, entry)| entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sock: u64, ino: u64) -> ConnectionId {
        ConnectionId { sock, ino }
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut table = ConnectionTable::new(2);
        assert_eq!(table.insert(id(1, 1), 0, 'a'), None);
        assert_eq!(table.insert(id(2, 2), 0, 'b'), None);
        assert_eq!(table.get_mut(id(1, 1)), Some(&mut 'a'));
        assert_eq!(table.insert(id(3, 3), 0, 'c'), Some('b'));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_new_inode_displaces_but_a_late_event_does_not() {
        let mut table = ConnectionTable::new(8);
        assert_eq!(table.lookup(id(1, 1), 10), Lookup::Absent);
        assert_eq!(table.insert(id(1, 1), 10, 'a'), None);
        assert_eq!(table.lookup(id(1, 1), 5), Lookup::Live);
        assert_eq!(table.lookup(id(1, 2), 9), Lookup::Stale);
        assert_eq!(table.lookup(id(1, 2), 20), Lookup::Displaced('a'));
        assert_eq!(table.lookup(id(1, 2), 20), Lookup::Absent);
    }

    #[test]
    fn a_close_without_inode_finds_its_connection() {
        let mut table = ConnectionTable::new(8);
        assert_eq!(table.insert(id(1, 7), 10, 'a'), None);
        assert_eq!(table.resolve(id(1, 0)), Some(id(1, 7)));
        assert_eq!(table.remove(id(1, 8)), None);
        assert_eq!(table.remove(id(1, 0)), Some('a'));
    }
}
